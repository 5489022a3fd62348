// SPDX-License-Identifier: MIT
/*
 * A server in the manner of those that run a coroutine a request: stacks from
 * malloc(), a guard page at the end of each, and between them the blocks that
 * the requests work on.
 *
 *   coroutines COUNT
 *
 * All run at once, then half of them end and others take their place, four
 * times; prints a sum over what they computed and the mappings at most.
 */
#include <malloc.h>
#include <stdio.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "../process.h"

#define PAGE ((size_t)4096)
#define STACK (16 * PAGE)

struct coroutine {
	ucontext_t context;
	char *stack;
	unsigned long *block;
	unsigned int number, steps;
};

static ucontext_t scheduler;
static unsigned long sum;
static long most;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* A request: it computes on its stack and on a block of its own. */
static void serve(unsigned int low, unsigned int high)
{
	struct coroutine *self = (void *)((unsigned long)high << 32 | low);
	volatile unsigned long local[64];
	size_t words = 20 + self->number % 400;

	for (int i = 0; i < 64; i++)
		local[i] = self->number + i;
	self->block = malloc(words * sizeof(*self->block));
	if (!self->block)
		die("malloc");
	for (size_t i = 0; i < words; i++)
		self->block[i] = local[i % 64];
	swapcontext(&self->context, &scheduler);
	for (size_t i = 0; i < words; i++)
		sum += self->block[i] ^ local[i % 64];
	sum += local[self->number % 64];
	free(self->block);
}

static void start(struct coroutine *c, unsigned int number)
{
	unsigned long self = (unsigned long)c;

	c->stack = memalign(PAGE, STACK);
	if (!c->stack)
		die("memalign");
	if (mprotect(c->stack, PAGE, PROT_NONE))
		die("mprotect");
	c->number = number;
	getcontext(&c->context);
	c->context.uc_stack.ss_sp = c->stack + PAGE;
	c->context.uc_stack.ss_size = STACK - PAGE;
	c->context.uc_link = &scheduler;
	makecontext(&c->context, (void (*)(void))serve, 2, (unsigned int)self,
		    (unsigned int)(self >> 32));
	swapcontext(&scheduler, &c->context);
}

static void end(struct coroutine *c)
{
	swapcontext(&scheduler, &c->context);
	if (mprotect(c->stack, PAGE, PROT_READ | PROT_WRITE))
		die("mprotect");
	free(c->stack);
}

static void count_maps(void)
{
	long now = process_vmas();

	if (now > most)
		most = now;
}

int main(int argc, char **argv)
{
	unsigned int count = argc > 1 ? atoi(argv[1]) : 50000, i, round;
	struct coroutine *all = calloc(count, sizeof(*all));
	unsigned int number = 0;

	for (i = 0; i < count; i++)
		start(&all[i], number++);
	count_maps();
	for (round = 0; round < 4; round++) {
		for (i = round % 2; i < count; i += 2)
			end(&all[i]);
		for (i = round % 2; i < count; i += 2)
			start(&all[i], number++);
		count_maps();
	}
	for (i = 0; i < count; i++)
		end(&all[i]);
	printf("sum %lu\nmappings %ld\n", sum, most);
	return 0;
}
