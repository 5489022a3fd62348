// SPDX-License-Identifier: MIT
/*
 * TRACT_OPTIONS=hardened=1: where small blocks lie, what freed memory reads, when
 * it comes back, what is noticed, and that all of it goes back.
 */
#include "hardened.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/wait.h>

static void *(*volatile do_malloc)(size_t) = malloc;
static void *(*volatile do_realloc)(void *, size_t) = realloc;
static void (*volatile do_free)(void *) = free;

#define PLACES 64

struct places {
	uint16_t at[PLACES];
};

/* Of a size that nobody else uses, so that the span is a new one. */
static struct places take_places(void)
{
	struct places places;

	for (int i = 0; i < PLACES; i++)
		places.at[i] = (uint16_t)(uintptr_t)do_malloc(80);
	return places;
}

/* What a child has, begun anew or forked. */
static struct places ask_child(bool anew)
{
	char *argv[] = { "hardened", "places", NULL };
	struct places places = { 0 };
	int pipes[2];

	if (pipe(pipes))
		return places;
	if (!fork()) {
		dup2(pipes[1], STDOUT_FILENO);
		if (anew)
			execv("/proc/self/exe", argv);
		places = take_places();
		_exit(write(pipes[1], &places, sizeof(places)) < 0);
	}
	close(pipes[1]);
	if (read(pipes[0], &places, sizeof(places)) != sizeof(places))
		memset(&places, 0, sizeof(places));
	close(pipes[0]);
	wait(NULL);
	return places;
}

/* No two blocks are at one place; the first may be at 0. */
static bool has_answered(const struct places *places)
{
	return places->at[0] != places->at[1];
}

static int count_equal(const struct places *a, const struct places *b)
{
	int equal = 0;

	for (int i = 0; i < PLACES; i++)
		equal += a->at[i] == b->at[i];
	return equal;
}

/* 64 of the 819 blocks of a span: of any two processes a few may agree. */
static void test_placement(void)
{
	struct places forked[2], started[2], own;
	int rising = 0, adjacent = 0, quarter[4] = { 0 }, i;

	/* The random numbers have begun, so a child could have the same. */
	do_free(do_malloc(1));
	started[0] = ask_child(true);
	started[1] = ask_child(true);
	forked[0] = ask_child(false);
	forked[1] = ask_child(false);
	own = take_places();
	for (i = 0; i < PLACES; i++) {
		quarter[own.at[i] >> 14]++;
		if (!i)
			continue;
		rising += own.at[i] > own.at[i - 1];
		adjacent += abs(own.at[i] - own.at[i - 1]) == 80;
	}
	tap_ok(adjacent < 8, "%d of %d blocks lie beside the last one",
	       adjacent, PLACES);
	tap_ok(rising > 12 && rising < 52, "%d of %d behind the last one",
	       rising, PLACES);
	tap_ok(quarter[0] > 1 && quarter[1] > 1 && quarter[2] > 1 &&
		       quarter[3] > 1,
	       "all over the span: %d %d %d %d", quarter[0], quarter[1],
	       quarter[2], quarter[3]);
	tap_ok(has_answered(&started[0]) &&
		       count_equal(&started[0], &started[1]) < 8,
	       "two processes: %d of %d at the same place",
	       count_equal(&started[0], &started[1]), PLACES);
	tap_ok(has_answered(&forked[0]) &&
		       count_equal(&forked[0], &forked[1]) < 8,
	       "two forked children: %d", count_equal(&forked[0], &forked[1]));
	tap_ok(count_equal(&forked[0], &own) < 8, "parent and child: %d",
	       count_equal(&forked[0], &own));
}

static size_t count_nonzero(const volatile char *p, size_t length)
{
	size_t n = 0;

	for (size_t i = 0; i < length; i++)
		n += p[i] != 0;
	return n;
}

static void *free_thread(void *p)
{
	do_free(p);
	return NULL;
}

static const size_t sizes[] = { 16,    100,    1000,	5000,	 30000,
				50000, 300000, 1 << 20, 5 << 20, 40 << 20 };

static void test_zeroed(void)
{
	size_t freed = 0, by_other = 0, moved = 0, broken = 0, tail;
	pthread_t t;
	char *p, *q;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		size_t n = sizes[i];

		p = do_malloc(n);
		memset(p, 1, n);
		do_free(p);
		freed += count_nonzero(p, n);
		p = do_malloc(n);
		memset(p, 2, n);
		pthread_create(&t, NULL, free_thread, p);
		pthread_join(t, NULL);
		by_other += count_nonzero(p, n);
		p = do_malloc(n);
		memset(p, 3, n);
		q = do_realloc(p, n < 20000 ? 3 * n : n / 50);
		broken += q[0] != 3 || q[n < 20000 ? n - 1 : n / 50 - 1] != 3;
		if (q != p)
			moved += count_nonzero(p, n);
		do_free(q);
	}
	tap_ok(!freed, "freed: %zu bytes left", freed);
	tap_ok(!by_other, "freed by another thread: %zu bytes left", by_other);
	tap_ok(!moved && !broken, "moved: %zu bytes left, %zu broken", moved,
	       broken);
	p = do_malloc(4 << 20);
	memset(p, 4, 4 << 20);
	q = do_realloc(p, 1 << 20);
	tail = count_nonzero(p + (1 << 20) + (64 << 10), 2 << 20);
	tap_ok(q == p && !tail && p[(1 << 20) - 1] == 4,
	       "shrunk in place: %zu bytes left", tail);
	do_free(q);
}

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* After how many frees a block is handed out again, or FAR. */
#define FAR 20000

static int distance(size_t size)
{
	void *p = do_malloc(size), *q;
	int n = 0;

	do_free(p);
	do {
		q = do_malloc(size);
		do_free(q);
	} while (q != p && ++n < FAR);
	return n;
}

static void test_delay(size_t size, int least)
{
	void *p = do_malloc(size), *q[200];
	int far[21], back = 0, i;

	do_free(p);
	for (i = 0; i < 200; i++) {
		q[i] = do_malloc(size);
		back += q[i] == p;
	}
	tap_ok(!back, "of %zu: not back after 200 allocations", size);
	for (i = 0; i < 200; i++)
		do_free(q[i]);
	for (i = 0; i < 21; i++)
		far[i] = distance(size);
	qsort(far, 21, sizeof(*far), compare);
	tap_ok(far[10] > least,
	       "of %zu: back after %d pairs of malloc and free in the median, "
	       "%d at the least; more than %d",
	       size, far[10], far[0], least);
}

/* Does @run end by abort(), saying @what? */
static bool dies(void (*run)(size_t), size_t size, const char *what)
{
	char said[256] = "";
	int pipes[2], status;

	if (pipe(pipes))
		return false;
	fflush(stdout);
	if (!fork()) {
		dup2(pipes[1], STDERR_FILENO);
		run(size);
		_exit(0);
	}
	close(pipes[1]);
	while (read(pipes[0], said, sizeof(said) - 1) > 0 &&
	       !strstr(said, what))
		;
	close(pipes[0]);
	wait(&status);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT &&
	       strstr(said, what);
}

static void push_out(size_t size)
{
	static void *p[20000];

	for (int i = 0; i < 20000; i++)
		p[i] = do_malloc(size);
	for (int i = 0; i < 20000; i++)
		do_free(p[i]);
}

static void twice_pushed_out(size_t size)
{
	void *keep[64], *p;

	for (int i = 0; i < 64; i++)
		keep[i] = do_malloc(size);
	p = keep[31];
	do_free(p);
	push_out(size);
	do_free(p);
	do_free(keep[0]);
}

static void twice_trimmed(size_t size)
{
	void *keep = do_malloc(size), *p = do_malloc(size);

	do_free(p);
	malloc_trim(0);
	do_free(p);
	do_free(keep);
}

static void use_freed_size(size_t size)
{
	void *p = do_malloc(size);

	do_free(p);
	if (!malloc_usable_size(p))
		do_realloc(p, size + 1);
}

static void write_freed(size_t size)
{
	volatile char *p = do_malloc(size);

	do_free((void *)p);
	p[size / 2] = 1;
	push_out(size);
}

static void write_freed_trim(size_t size)
{
	volatile char *p = do_malloc(size);

	do_free((void *)p);
	p[size - 1] = 1;
	malloc_trim(0);
}

static void freed_before_fork(size_t size)
{
	void *p = do_malloc(size);
	int status;

	do_free(p);
	if (!fork()) {
		do_free(p);
		_exit(0);
	}
	wait(&status);
	if (WIFSIGNALED(status))
		abort();
}

static void test_misuse(void)
{
	static const struct {
		const char *name, *what;
		void (*run)(size_t);
	} cases[] = {
		{ "freed again after 20000 others", "double free",
		  twice_pushed_out },
		{ "freed again after malloc_trim", "double free",
		  twice_trimmed },
		{ "freed again in a forked child", "double free",
		  freed_before_fork },
		{ "freed has no size, and realloc", "invalid realloc",
		  use_freed_size },
		{ "written to, then pushed out", "write after free",
		  write_freed },
		{ "written to, then trimmed", "write after free",
		  write_freed_trim },
	};
	static const size_t small[] = { 16, 100, 1000, 1500 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int caught = 0;

		for (int k = 0; k < 4; k++)
			caught += dies(cases[i].run, small[k], cases[i].what);
		tap_ok(caught == 4, "%s: %d of 4 found", cases[i].name, caught);
	}
}

/* Other tests of the library hold in this mode as well. */
static void test_others(const char *name)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 64);
	int status;

	if (n < 0)
		n = 0;
	path[n] = 0;
	strcpy(strrchr(path, '/') + 1, name);
	fflush(stdout);
	if (!fork()) {
		freopen("/dev/null", "w", stdout);
		freopen("/dev/null", "w", stderr);
		execl(path, name, NULL);
		_exit(9);
	}
	wait(&status);
	tap_ok(!status, "%s, hardened: status %#x", name, status);
}

#define THREADS 4
#define SHARED 500

static struct item {
	uint32_t size;
	uint32_t sum;
} * _Atomic shared[SHARED];
static _Atomic size_t broken;

static struct item *make_item(uint64_t *state)
{
	size_t size = tap_random_size(state, 2000) + sizeof(struct item);
	struct item *item;

	if (tap_random(state) % 200 == 0)
		size *= 100;
	item = do_malloc(size);
	memset(item, (int)size, size);
	item->size = (uint32_t)size;
	item->sum = ~item->size;
	return item;
}

static void check_item(struct item *item)
{
	if (!item)
		return;
	broken += item->sum != ~item->size ||
		  (item->size > sizeof(*item) &&
		   ((unsigned char *)item)[item->size - 1] !=
			   (unsigned char)item->size);
	do_free(item);
}

static void *exchange(void *arg)
{
	uint64_t state = tap_seed + (uintptr_t)arg * 1000000007;

	for (int i = 0; i < 50000; i++)
		check_item(__atomic_exchange_n(
			&shared[tap_random(&state) % SHARED],
			i % 16 ? make_item(&state) : NULL, __ATOMIC_ACQ_REL));
	return NULL;
}

static void test_threads(void)
{
	struct tract_heap_stats before, after;
	pthread_t t[THREADS];
	int bad = 0, status;

	malloc_trim(0);
	before = hardened_stats();
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, exchange, (void *)(uintptr_t)i);
	for (int i = 0; i < 20; i++) {
		if (!fork()) {
			void *p[100];

			for (int k = 0; k < 100; k++)
				p[k] = memset(do_malloc(k * 50 + 1), 1, k);
			for (int k = 0; k < 100; k++)
				do_free(p[k]);
			malloc_trim(0);
			_exit(0);
		}
		wait(&status);
		bad += status != 0;
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	tap_ok(!bad, "children forked meanwhile: %d ended badly", bad);
	for (int i = 0; i < SHARED; i++)
		check_item(shared[i]);
	tap_ok(!broken, "exchanged by threads: %zu broken", (size_t)broken);
	after = hardened_stats();
	/* The C library keeps a little for threads that ended. */
	tap_ok(after.live_blocks <= before.live_blocks + 2 * THREADS,
	       "what is kept back is not live: %zu blocks, %zu before",
	       after.live_blocks, before.live_blocks);
	tap_ok(after.cached_blocks > 500, "but cached: %zu",
	       after.cached_blocks);
	malloc_trim(0);
	after = hardened_stats();
	tap_ok(after.span_bytes <= before.span_bytes + (1 << 20) &&
		       !after.dirty_bytes,
	       "malloc_trim: spans of %zu bytes, %zu before, %zu dirty",
	       after.span_bytes, before.span_bytes, after.dirty_bytes);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "places")) {
		struct places places = take_places();

		return write(STDOUT_FILENO, &places, sizeof(places)) < 0;
	}
	hardened_start(argc, argv, 120);
	test_placement();
	test_zeroed();
	test_delay(16, 4000);
	test_delay(700, 4000);
	test_delay(5000, 250);
	test_misuse();
	test_others("double_free");
	test_others("invalid_free");
	test_others("align");
	test_others("sizes");
	test_others("stats");
	test_threads();
	return tap_done();
}
