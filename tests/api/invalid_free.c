// SPDX-License-Identifier: MIT
/*
 * Pointers that are freed, and are no block's: into small, medium and large ones
 * at a wrong place, before and after their memory was reused, and to what
 * malloc() has never given out.
 */
#include "misuse.h"

#include <malloc.h>
#include <sys/mman.h>

static char static_data[64];

static void interior(size_t size, size_t by)
{
	char *p = do_malloc(size);

	do_malloc(size);
	do_free(about(p + by));
}

static void interior_p1(size_t size)
{
	interior(size, 1);
}

static void interior_p8(size_t size)
{
	interior(size, 8);
}

static void interior_p16(size_t size)
{
	interior(size, 16);
}

static void interior_page(size_t size)
{
	interior(size, 4096);
}

static void interior_half(size_t size)
{
	interior(size, size / 2 & ~15ul);
}

static void interior_inherited(size_t size)
{
	char *p = inherited(size);

	do_free(about(p + 16));
}

static void interior_other(size_t size)
{
	char *p = do_malloc(size);

	do_malloc(size);
	elsewhere(about(p + 16));
}

static void interior_reused(size_t size)
{
	char *p;

	others(size * 2);
	malloc_trim(0);
	p = do_malloc(size);
	do_malloc(size);
	do_free(about(p + 32));
}

/* Aligned more than a block needs: what lies before it is another's or nobody's. */
static void before_aligned(size_t size)
{
	char *p = aligned_alloc(4096, size);

	do_free(about(p - 16));
}

static void realloc_interior(size_t size)
{
	char *p = do_malloc(size);

	do_realloc(about(p + 16), size + 1);
}

static void stack(size_t size)
{
	char local[64] __attribute__((aligned(16)));

	memset(local, 1, sizeof(local));
	do_free(about(local + size));
}

static void stack_other(size_t size)
{
	char local[64] __attribute__((aligned(16)));

	memset(local, 1, sizeof(local));
	elsewhere(about(local + size));
}

static void data(size_t size)
{
	do_free(about(static_data + size));
}

static void data_other(size_t size)
{
	elsewhere(about(static_data + size));
}

static void code(size_t size)
{
	(void)size;
	do_free(about((void *)(uintptr_t)do_malloc));
}

static void number(size_t value)
{
	do_free(about((void *)value));
}

static void number_realloc(size_t value)
{
	do_realloc(about((void *)value), 100);
}

static void mapped_file(size_t size)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	char *p = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 0);

	do_free(about(p + size));
}

static void mapped_anonymous(size_t size)
{
	char *p = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(p, 0, 4 << 20);
	do_free(about(p + size));
}

static void foreign_other(size_t size)
{
	char *p = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	elsewhere(about(p + size));
}

/* Right beyond and right before all that malloc has handed out. */
static void beyond(size_t size)
{
	char *p = do_malloc(size), *q;
	int i;

	for (i = 0; i < 100; i++) {
		q = do_malloc(size);
		p = q > p ? q : p;
	}
	do_free(about(p + 16 * ((malloc_usable_size(p) + 31) / 16) +
		      (size_t)(64 << 20)));
}

/* In a span of this size, a place where a block could be but none is. */
static void never_allocated(size_t size)
{
	char *p = do_malloc(size);
	size_t step = malloc_usable_size(p);
	char *q = do_malloc(size);

	if (q > p)
		step = q - p;
	q += step * 3;
	/* Where blocks are placed at random somebody may have that one. */
	while (tap_is_tract() && malloc_usable_size(q))
		q += step;
	do_free(about(q));
}

/* malloc_usable_size of nonsense may say 0 or abort; it must not crash. */
static void usable_size(void)
{
	static const size_t numbers[] = { 16, 0xdeadbeefdeadbee0,
					  0xfffffffffffffff0, 0x7ffffffff000,
					  (size_t)static_data };
	bool must = tap_is_tract();
	unsigned int i;
	int status;
	pid_t pid;

	for (i = 0; i < ARRAY_SIZE(numbers); i++) {
		pid = fork();
		if (!pid) {
			size_t (*volatile f)(void *) = malloc_usable_size;
			int null = open("/dev/null", O_WRONLY);

			tap_alarm(20);
			dup2(null, STDERR_FILENO);
			_exit(f((void *)numbers[i]) ? 3 : 0);
		}
		waitpid(pid, &status, 0);
		if (must)
			tap_ok(!status || (WIFSIGNALED(status) &&
					   WTERMSIG(status) == SIGABRT),
			       "malloc_usable_size(%#zx) is 0 or aborts: %#x",
			       numbers[i], status);
		else
			tap_skip("malloc_usable_size(%#zx): %#x", numbers[i],
				 status);
	}
}

static const struct misuse misuses[] = {
	{ "free of p + 16 of an ended thread's block of",
	  interior_inherited,
	  { 100, 1000, 20000, 200000, 1 << 20 } },
	{ "free by another thread of p + 16 in",
	  interior_other,
	  { 100, 1000, 20000, 200000, 1 << 20 } },
	{ "free after reuse of p + 32 in",
	  interior_reused,
	  { 100, 1000, 20000, 200000, 1 << 20 } },
	{ "free of p - 16 of an aligned block of",
	  before_aligned,
	  { 100, 4096, 20000, 1 << 20 } },
	{ "free by another thread of a stack address +",
	  stack_other,
	  { 16, 1 } },
	{ "free by another thread of static data +", data_other, { 16, 1, 8 } },
	{ "free by another thread of a mapping +",
	  foreign_other,
	  { 4096, 16, 1 << 20, 65536 } },
	{ "free of p + 1 in", interior_p1, { 16, 1000, 20000, 1 << 20 } },
	{ "free of p + 8 in", interior_p8, { 16, 1000, 20000, 1 << 20 } },
	{ "free of p + 16 in", interior_p16, { 100, 1000, 20000, 1 << 20 } },
	{ "free of p + 4096 in", interior_page, { 20000, 200000, 1 << 20 } },
	{ "free of the middle of",
	  interior_half,
	  { 100, 1000, 20000, 200000, 1 << 20, 64 << 20 } },
	{ "realloc of p + 16 in", realloc_interior, { 100, 20000, 1 << 20 } },
	{ "free of a stack address +", stack, { 16, 1 } },
	{ "free of static data +", data, { 16, 1, 8 } },
	{ "free of code", code, { 1 } },
	{ "free of a mapped file +", mapped_file, { 4096, 16, 7 } },
	{ "free of a mapping +",
	  mapped_anonymous,
	  { 4096, 16, 1 << 20, 2 << 20, 65536 } },
	{ "free far beyond blocks of", beyond, { 64, 20000 } },
	{ "free of what malloc has not given out, size",
	  never_allocated,
	  { 64, 1000 } },
	{ "free of the number",
	  number,
	  { 0xdeadbeefdeadbeef, 1, 16, 0x800000000000, 0x7ffffffffff0,
	    0xffffffffffffffff } },
	{ "free of the number",
	  number,
	  { 0xfffffffffffffff0, 0xffff800000000000, 4096, 0x123456789ab0,
	    (size_t)1 << 63, 0x555555550000 } },
	{ "realloc of the number",
	  number_realloc,
	  { 0xdeadbeefdeadbeef, 16, 0xfffffffffffffff0 } },
};

int main(int argc, char **argv)
{
	tap_start(argc, argv, 120);
	for (int i = 0; i < 1000; i++)
		do_free(NULL);
	attempt_all(misuses, ARRAY_SIZE(misuses));
	usable_size();
	return tap_done();
}
