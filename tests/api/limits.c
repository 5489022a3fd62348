// SPDX-License-Identifier: MIT
/*
 * Little address space.  malloc says NULL and ENOMEM, quickly, nothing breaks,
 * and what is freed can be had again.  The limit is set before the program
 * starts, so that the allocator's first reservation meets it too.
 */
#include "tap.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define HOARD 40000000

struct node {
	struct node *next;
	size_t size;
	unsigned char fill[];
};

static const char *failed_step;

static bool step(bool good, const char *what)
{
	if (!good && !failed_step)
		failed_step = what;
	return good;
}

/* Takes blocks until there are none; returns how many bytes that were. */
static size_t hoard(struct node **list, uint64_t *state, size_t largest,
		    size_t smallest)
{
	size_t total = 0, size;
	struct node *node;
	int n;

	for (n = 0; n < HOARD; n++) {
		size = smallest + tap_random(state) % (largest - smallest + 1);
		errno = 0;
		node = malloc(sizeof(*node) + size);
		if (!node) {
			step(errno == ENOMEM, "NULL without ENOMEM");
			return total;
		}
		node->next = *list;
		node->size = size;
		node->fill[0] = node->fill[size - 1] = size;
		*list = node;
		total += size;
	}
	step(false, "the limit was never met");
	return total;
}

static void release(struct node **list, bool every_other)
{
	struct node **at = list, *node;
	bool drop = true;

	while ((node = *at)) {
		step(node->fill[0] == (unsigned char)node->size &&
			     node->fill[node->size - 1] ==
				     (unsigned char)node->size,
		     "contents changed");
		if (drop) {
			*at = node->next;
			free(node);
		} else {
			at = &node->next;
		}
		if (every_other)
			drop = !drop;
	}
}

static atomic_ulong thread_refusals, thread_rounds;

static void *contender(void *arg)
{
	uint64_t state = tap_mix((uintptr_t)arg);
	struct node *list = NULL, *node;
	int i, round;

	for (round = 0; round < 6; round++) {
		for (i = 0; i < 3000; i++) {
			size_t size = tap_random_size(&state, 60000);

			node = malloc(sizeof(*node) + size);
			if (!node) {
				thread_refusals++;
				break;
			}
			node->next = list;
			node->size = size;
			node->fill[0] = node->fill[size - 1] = size;
			list = node;
		}
		release(&list, false);
		thread_rounds++;
	}
	return NULL;
}

static void contend(void)
{
	pthread_attr_t attr;
	pthread_t t[6];
	int i, started;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128 << 10);
	for (started = 0; started < 6; started++)
		if (pthread_create(&t[started], &attr, contender,
				   (void *)(uintptr_t)(started + 1)))
			break;
	step(started >= 4, "no threads under the limit");
	for (i = 0; i < started; i++)
		pthread_join(t[i], NULL);
	step(thread_rounds == 6ul * started, "a thread ended early");
}

/* The program under the limit; @floor bytes at least must be had. */
static int limited(size_t limit, size_t floor)
{
	size_t large, small, again, mixed;
	struct node *list = NULL;
	unsigned char *p;
	uint64_t state = 1;
	double start, slow;
	int i, null = 0;

	tap_alarm(50);
	large = hoard(&list, &state, 1 << 20, 1 << 19);
	step(large >= floor, "too little in large blocks");
	step(large <= limit, "more than the limit");

	/* Refusals are quick: a program may go on asking. */
	start = process_now();
	for (i = 0; i < 100; i++) {
		errno = 0;
		p = malloc(limit);
		null += !p && errno == ENOMEM;
		free(p);
	}
	slow = process_now() - start;
	step(null == 100, "more than the limit was given");
	step(slow < 2, "100 refusals took over 2 s");

	/* A realloc that is refused leaves its block. */
	p = malloc(100);
	if (p) {
		p[99] = 9;
		step(!realloc(p, limit), "realloc beyond the limit");
		step(p[99] == 9, "refused realloc changed the block");
		free(p);
	}
	release(&list, false);

	/* All of it as small blocks now, then half, then all. */
	small = hoard(&list, &state, 500, 16);
	step(small >= floor / 2, "too little in small blocks after large");
	release(&list, true);
	again = hoard(&list, &state, 500, 16);
	step(again >= small / 4, "freed small blocks are not had again");
	release(&list, false);
	mixed = hoard(&list, &state, 200000, 1);
	step(mixed >= floor / 2, "too little in mixed blocks after small");
	release(&list, false);
	contend();
	p = calloc(1, floor / 2);
	step(p != NULL, "no block of half the floor at the end");
	free(p);

	printf("# MiB had: large %.0f, small %.0f, again %.0f, mixed %.0f; 100 "
	       "refusals %.3f s; %lu refused in threads\n",
	       large / 1048576.0, small / 1048576.0, again / 1048576.0,
	       mixed / 1048576.0, slow, thread_refusals);
	if (failed_step)
		printf("# failed: %s\n", failed_step);
	fflush(stdout);
	return failed_step ? 1 : 0;
}

static void under(int resource, const char *name, size_t limit, size_t floor)
{
	char a[32], b[32];
	int status = 0;
	pid_t pid;

	snprintf(a, sizeof(a), "%zu", limit);
	snprintf(b, sizeof(b), "%zu", floor);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct rlimit r = { limit, limit };

		setrlimit(resource, &r);
		execl("/proc/self/exe", "limits", "limited", a, b, NULL);
		_exit(9);
	}
	waitpid(pid, &status, 0);
	tap_ok(status == 0, "%s of %zu MiB, %zu MiB of it must be had: %s %d",
	       name, limit >> 20, floor >> 20,
	       WIFSIGNALED(status) ? "signal" : "status",
	       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

/* The limit sinks below what is mapped while the program runs. */
static void sinking(void)
{
	struct rlimit r = { 1 << 20, RLIM_INFINITY };
	struct node *list = NULL;
	int status = 0, i;
	void *p[64];
	pid_t pid;

	pid = fork();
	if (!pid) {
		tap_alarm(50);
		for (i = 0; i < 100; i++)
			free(malloc(i << 14));
		setrlimit(RLIMIT_AS, &r);
		/* From what is reserved, or not at all; but no crash. */
		for (i = 0; i < 20000; i++) {
			struct node *node = malloc(sizeof(*node) + 2000);

			if (!node)
				break;
			node->next = list;
			node->size = 2000;
			node->fill[0] = node->fill[1999] = 2000 & 255;
			list = node;
		}
		release(&list, false);
		errno = 0;
		step(!malloc((size_t)8 << 30) && errno == ENOMEM,
		     "8 GiB under a limit of 1 MiB");
		r.rlim_cur = RLIM_INFINITY;
		setrlimit(RLIMIT_AS, &r);
		for (i = 0; i < 64; i++) {
			/* Above 1 GiB in all: a new reservation is needed. */
			p[i] = malloc(40 << 20);
			step(p[i] != NULL, "no memory after the limit rose");
		}
		while (i--)
			free(p[i]);
		_exit(failed_step ? 1 : 0);
	}
	waitpid(pid, &status, 0);
	tap_ok(status == 0, "a limit below what is mapped: status %#x", status);
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "limited"))
		return limited(strtoull(argv[2], NULL, 0),
			       strtoull(argv[3], NULL, 0));
	tap_start(argc, argv, 170);
	under(RLIMIT_AS, "RLIMIT_AS", (size_t)1 << 30, (size_t)400 << 20);
	under(RLIMIT_AS, "RLIMIT_AS", 200 << 20, 80 << 20);
	under(RLIMIT_AS, "RLIMIT_AS", 64 << 20, 16 << 20);
	under(RLIMIT_DATA, "RLIMIT_DATA", 200 << 20, 80 << 20);
	under(RLIMIT_DATA, "RLIMIT_DATA", 64 << 20, 16 << 20);
	sinking();
	return tap_done();
}
