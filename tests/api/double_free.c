// SPDX-License-Identifier: MIT
/*
 * Small, medium and large blocks that are freed twice, by the thread that
 * allocated them or by others, before and after their memory was reused.
 */
#include "misuse.h"

#include <malloc.h>

static void *(*volatile do_calloc)(size_t, size_t) = calloc;

static void twice(size_t size)
{
	void *p = do_malloc(size);

	do_free(p);
	do_free(about(p));
}

/* With a neighbour alive, so that the span stays. */
static void twice_among(size_t size)
{
	void *neighbour = do_malloc(size), *p = do_malloc(size);

	do_malloc(size);
	do_free(p);
	do_free(about(p));
	do_free(neighbour);
}

/*
 * Allocation has come to where the block lies, and is about to hand it out: those
 * of lower addresses come first.
 */
static void twice_before_reuse(size_t size)
{
	void *p[70];
	int i;

	for (i = 0; i < 70; i++)
		p[i] = do_malloc(size);
	for (i = 0; i < 70; i += 2)
		do_free(p[i]);
	for (i = 0; i < 200 && do_malloc(size) != p[2]; i++)
		;
	do_free(about(p[4]));
}

/* Nothing is allocated between: the block must not have been handed out. */
static void twice_later(size_t size)
{
	void *q[50], *p;
	int i;

	for (i = 0; i < 50; i++)
		q[i] = do_malloc(size);
	p = q[25];
	do_free(p);
	for (i = 0; i < 50; i++)
		if (i != 25)
			do_free(q[i]);
	do_free(about(p));
}

static void twice_other_thread(size_t size)
{
	void *p = do_malloc(size);

	do_free(p);
	elsewhere(about(p));
}

static void twice_both_others(size_t size)
{
	void *p = do_malloc(size);

	elsewhere(p);
	elsewhere(about(p));
}

static void other_then_own(size_t size)
{
	void *p = do_malloc(size);

	elsewhere(p);
	do_free(about(p));
}

/* One of a span's blocks of which another thread has freed every other. */
static void *among_gathered(size_t size)
{
	void *p[40];
	int i;

	for (i = 0; i < 40; i++)
		p[i] = do_malloc(size);
	for (i = 0; i < 40; i += 2)
		elsewhere(p[i]);
	return about(p[20]);
}

static void twice_gathered(size_t size)
{
	elsewhere(among_gathered(size));
}

static void twice_gathered_own(size_t size)
{
	do_free(among_gathered(size));
}

static void twice_inherited(size_t size)
{
	void *p = inherited(size);

	do_free(p);
	do_free(about(p));
}

static void twice_inherited_other(size_t size)
{
	void *p = inherited(size);

	do_free(p);
	elsewhere(about(p));
}

/* All of the size is freed and another size takes the span's place. */
static void twice_reused(size_t size)
{
	void *keep[2000], *p = do_malloc(size);
	size_t other = size > 64 ? size / 3 : 96;
	int i;

	others(size);
	do_free(p);
	malloc_trim(0);
	for (i = 0; i < 2000; i++) {
		keep[i] = do_malloc(i & 1 ? other + 16 : other);
		/* Handed out again at that very place: another's block then. */
		if (keep[i] == p) {
			do_free(p);
			break;
		}
	}
	do_free(about(p));
}

/* The same, the second time by another thread. */
static void twice_reused_other(size_t size)
{
	void *keep[500], *p = do_malloc(size);
	int i;

	others(size);
	do_free(p);
	malloc_trim(0);
	for (i = 0; i < 500; i++) {
		keep[i] = do_malloc(size + size / 2 + 16);
		if (keep[i] == p) {
			do_free(p);
			break;
		}
	}
	elsewhere(about(p));
}

static void twice_moved(size_t size)
{
	void *p = do_malloc(size), *q;

	q = do_realloc(p, size * 40);
	if (q == p)
		q = do_realloc(q, size * 400);
	if (q == p)
		do_free(q);
	do_free(about(p));
}

static void twice_aligned(size_t size)
{
	void *p = aligned_alloc(4096, size);

	do_free(p);
	do_free(about(p));
}

static void sized(size_t size)
{
	void (*f)(void *, size_t) =
		(void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
	void *p = do_malloc(size);

	f(p, size);
	f(about(p), size);
}

static void realloc_freed(size_t size)
{
	void *p = do_malloc(size);

	do_free(p);
	do_realloc(about(p), size * 2 + 100);
}

static void realloc_zero_freed(size_t size)
{
	void *p = do_malloc(size);

	do_free(p);
	do_realloc(about(p), 0);
}

/* A child of fork() is watched over like its parent. */
static void in_child(size_t size)
{
	void *p = do_malloc(size);
	int status;
	pid_t pid;

	do_free(p);
	about(p);
	pid = fork();
	if (!pid) {
		do_free(p);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)
		abort();
}

/* Caught also while the C library is half gone, and with stderr buffered. */
static void late(void)
{
	void *p = do_calloc(1, 40);

	do_free(p);
	do_free(about(p));
}

static void at_exit(size_t size)
{
	(void)size;
	atexit(late);
	exit(0);
}

static const struct misuse misuses[] = {
	{ "double free of", twice, { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free beside a live one of",
	  twice_among,
	  { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free before the memory is reused of",
	  twice_before_reuse,
	  { 16, 100, 256, 1000 } },
	{ "double free after other frees of",
	  twice_later,
	  { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free, second by another thread, of",
	  twice_other_thread,
	  { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free, both by others, of",
	  twice_both_others,
	  { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free, first by another thread, of",
	  other_then_own,
	  { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free after the memory was reused of",
	  twice_reused,
	  { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free by another after the memory was reused of",
	  twice_reused_other,
	  { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free by another thread, others of the span between, of",
	  twice_gathered,
	  { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free, first by another with more of the span, of",
	  twice_gathered_own,
	  { 16, 100, 1000, 20000, 200000, 1 << 20 } },
	{ "double free of an ended thread's block of",
	  twice_inherited,
	  { 16, 1000, 20000, 200000, 1 << 20 } },
	{ "double free of an ended thread's, second by another, of",
	  twice_inherited_other,
	  { 16, 1000, 20000, 200000, 1 << 20 } },
	{ "double free of an aligned block of",
	  twice_aligned,
	  { 100, 4096, 20000, 1 << 20 } },
	{ "double free with free_sized of", sized, { 16, 20000, 1 << 20 } },
	{ "double free after realloc moved it of",
	  twice_moved,
	  { 16, 1000, 20000 } },
	{ "double free in a forked child of", in_child, { 16, 20000, 1 << 20 } },
	{ "double free in an atexit handler", at_exit, { 40 } },
	{ "realloc of freed", realloc_freed, { 16, 1000, 20000, 1 << 20 } },
	{ "realloc to 0 of freed", realloc_zero_freed, { 16, 20000, 1 << 20 } },
};

int main(int argc, char **argv)
{
	tap_start(argc, argv, 120);
	attempt_all(misuses, ARRAY_SIZE(misuses));
	return tap_done();
}
