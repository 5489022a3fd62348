// SPDX-License-Identifier: MIT
/*
 * tract_offer() and tract_reclaim(): what is a part and what is not, what comes
 * back after nothing, after malloc_trim(0), after age, in a child, and to many
 * threads at a time.
 */
#include "tap.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "../../include/tract.h"

#define UNIT TRACT_UNIT_SIZE

static void *(*cache_alloc)(size_t size);
static int (*offer)(void *p, size_t size);
static int (*reclaim)(void *p, size_t size);

static bool find_functions(void)
{
	*(void **)&cache_alloc = dlsym(RTLD_DEFAULT, "tract_cache_alloc");
	*(void **)&offer = dlsym(RTLD_DEFAULT, "tract_offer");
	*(void **)&reclaim = dlsym(RTLD_DEFAULT, "tract_reclaim");
	return cache_alloc && offer && reclaim;
}

static bool all_are(const unsigned char *p, size_t size, int value)
{
	size_t i;

	for (i = 0; i < size; i++)
		if (p[i] != value)
			return false;
	return true;
}

/* EINVAL from both, and no harm. */
static bool is_refused(void *p, size_t size)
{
	errno = 0;
	if (offer(p, size) != -1 || errno != EINVAL)
		return false;
	errno = 0;
	return reclaim(p, size) == -1 && errno == EINVAL;
}

static void parts(void *(*alloc)(size_t size), const char *what)
{
	size_t size = 5 * UNIT + 1000;
	unsigned char *p = alloc(size);
	int fault = 0;
	char local;

	memset(p, 1, size);
	fault += !is_refused(p + 1, UNIT);
	fault += !is_refused(p + 4096, UNIT);
	fault += !is_refused(p, UNIT - 1);
	fault += !is_refused(p, 0);
	fault += !is_refused(p, 7 * UNIT);
	fault += !is_refused(p, 6 * UNIT);
	fault += !is_refused(p + 5 * UNIT, 999);
	fault += !is_refused(p + 6 * UNIT, UNIT);
	fault += !is_refused(p, SIZE_MAX);
	fault += !is_refused(p + UNIT, SIZE_MAX - UNIT + 1);
	fault += !is_refused(NULL, UNIT);
	fault += !is_refused((void *)((uintptr_t)&local & -UNIT), UNIT);
	tap_ok(!fault && all_are(p, size, 1), "%s: %d of 12 are no part", what,
	       12 - fault);

	fault = offer(p, UNIT) || offer(p + UNIT, 2 * UNIT) ||
		offer(p + 5 * UNIT, 1000) || offer(p, size);
	fault |= reclaim(p + 3 * UNIT, 2 * UNIT) != TRACT_INTACT;
	fault |= reclaim(p, size) != TRACT_INTACT;
	fault |= reclaim(p, size) != TRACT_INTACT;
	tap_ok(!fault && all_are(p, size, 1),
	       "%s: in parts, twice, whole, and at the end", what);
	free(p);
	tap_ok(is_refused(p, UNIT), "%s: a block that was freed is none", what);
}

static void trimmed(void *(*alloc)(size_t size), const char *what)
{
	unsigned char *p = alloc(8 * UNIT);
	int partly, purged, intact;

	memset(p, 2, 8 * UNIT);
	offer(p + 2 * UNIT, 3 * UNIT);
	malloc_trim(0);
	offer(p + 6 * UNIT, UNIT);
	intact = reclaim(p + 5 * UNIT, 3 * UNIT);
	partly = reclaim(p + UNIT, 2 * UNIT);
	purged = reclaim(p + 3 * UNIT, 2 * UNIT);
	tap_ok(intact == TRACT_INTACT && partly == TRACT_PARTLY &&
		       purged == TRACT_PURGED,
	       "%s, trimmed: %d, %d, %d; expected 0, 1, 2", what, intact,
	       partly, purged);
	tap_ok(all_are(p, 2 * UNIT, 2) && all_are(p + 2 * UNIT, 3 * UNIT, 0) &&
		       all_are(p + 5 * UNIT, 3 * UNIT, 2),
	       "%s, trimmed: what was offered is zero, and nothing else", what);
	/* With its parts in all states. */
	offer(p, 4 * UNIT);
	malloc_trim(0);
	offer(p + 4 * UNIT, UNIT);
	free(p);
	p = calloc(1, 8 * UNIT);
	tap_ok(all_are(p, 8 * UNIT, 0), "%s, trimmed and freed: calloc is zero",
	       what);
	free(p);
}

#define ZEROED_KIB (32 << 10)
/* Of memory that need not be touched, for what else there is to touch. */
#define ZEROED_TOUCH_KIB 512

static void dirty_and_free(void)
{
	unsigned char *p = malloc((size_t)ZEROED_KIB << 10);

	memset(p, 8, (size_t)ZEROED_KIB << 10);
	free(p);
}

/* What is known to be zero is not written to. */
static void zeroed(const char *what)
{
	long grown = tap_rss();
	unsigned char *p = calloc(1, (size_t)ZEROED_KIB << 10);

	grown = tap_rss() - grown;
	tap_ok(grown < ZEROED_TOUCH_KIB, "%s: calloc of %d KiB touches %ld",
	       what, ZEROED_KIB, grown);
	tap_ok(all_are(p, (size_t)ZEROED_KIB << 10, 0), "%s: it is zero", what);
	free(p);
}

/* Nothing is known to be zero there, whatever was before the fork. */
static void zeroed_in_child(void)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		unsigned char *p = calloc(1, (size_t)ZEROED_KIB << 10);

		_exit(!all_are(p, (size_t)ZEROED_KIB << 10, 0));
	}
	waitpid(pid, &status, 0);
	tap_ok(!status, "calloc in a child is zero: %#x", status);
}

/* Goes by itself, or at anybody's next call. */
static void aged(void)
{
	unsigned char *p = malloc(4 * UNIT), *q = cache_alloc(4 * UNIT);
	int i, ordinary, cached;

	memset(p, 3, 4 * UNIT);
	memset(q, 3, 4 * UNIT);
	offer(p, 4 * UNIT);
	offer(q, 4 * UNIT);
	dirty_and_free();
	zeroed_in_child();
	for (i = 0; i < 4; i++) {
		process_sleep(1);
		free(malloc(100));
	}
	ordinary = reclaim(p, 4 * UNIT);
	cached = reclaim(q, 4 * UNIT);
	tap_ok(ordinary == TRACT_PURGED && all_are(p, 4 * UNIT, 0),
	       "after 4 s an ordinary block is purged: %d", ordinary);
	tap_ok(cached == TRACT_INTACT && all_are(q, 4 * UNIT, 3),
	       "after 4 s a cache is intact: %d", cached);
	zeroed("after 4 s");
	free(p);
	free(q);
}

static void resized(void)
{
	unsigned char *p = malloc(40 * UNIT);
	bool good;

	memset(p, 4, 40 * UNIT);
	offer(p + 10 * UNIT, 30 * UNIT);
	p = realloc(p, 20 * UNIT);
	good = all_are(p, 10 * UNIT, 4);
	good &= reclaim(p + 10 * UNIT, 10 * UNIT) >= 0;
	p = realloc(p, 60 * UNIT);
	good &= all_are(p, 10 * UNIT, 4);
	memset(p, 5, 60 * UNIT);
	malloc_trim(0);
	good &= all_are(p, 60 * UNIT, 5);
	tap_ok(good, "what is cut off, and grown again, is in use");
	free(p);
}

static void forked(void)
{
	unsigned char *p = cache_alloc(4 * UNIT), *q = malloc(UNIT * 2);
	int status = -1;
	pid_t pid;

	memset(p, 6, 4 * UNIT);
	memset(q, 6, 2 * UNIT);
	offer(p + UNIT, 2 * UNIT);
	pid = fork();
	if (!pid) {
		int was = reclaim(p + UNIT, 2 * UNIT);
		bool good = all_are(p, UNIT, 6) && all_are(q, 2 * UNIT, 6) &&
			    all_are(p + 3 * UNIT, UNIT, 6);

		/* Without the module nothing goes on behind a child's back. */
		good &= was == TRACT_INTACT ?
				all_are(p + UNIT, 2 * UNIT, 6) :
				was == TRACT_PURGED &&
					all_are(p + UNIT, 2 * UNIT, 0);
		memset(p, 7, 4 * UNIT);
		offer(p, 4 * UNIT);
		malloc_trim(0);
		good &= reclaim(p, 4 * UNIT) == TRACT_PURGED;
		offer(q, 2 * UNIT);
		malloc_trim(0);
		_exit(!good);
	}
	waitpid(pid, &status, 0);
	tap_ok(!status, "a child: lost or intact, and zero if lost: %#x",
	       status);
	tap_ok(reclaim(p, 4 * UNIT) == TRACT_INTACT &&
		       all_are(p, 4 * UNIT, 6) && all_are(q, 2 * UNIT, 6),
	       "and its parent has all of it");
	free(p);
	free(q);
}

#define THREADS 4
#define ROUNDS 3000

static unsigned char *shared_block;
static atomic_ulong slow;

/* The purge that is in the way may be slow, where processors are few. */
static int reclaim_in_time(void *p, size_t size)
{
	int was = reclaim(p, size);

	for (; was < 0 && errno == EAGAIN; slow++)
		was = reclaim(p, size);
	return was;
}

/* Offers and takes back its own parts while another thread purges. */
static void *exchange(void *arg)
{
	unsigned char *mine = shared_block + (uintptr_t)arg * 4 * UNIT;
	uint64_t state = tap_seed + (uintptr_t)arg;
	uintptr_t bad = 0;
	int i, k;

	memset(mine, 1, 4 * UNIT);
	for (i = 0; i < ROUNDS; i++) {
		size_t first = tap_random(&state) % 4;
		size_t units = 1 + tap_random(&state) % (4 - first);
		unsigned char *p = mine + first * UNIT;
		int was;

		offer(p, units * UNIT);
		if (i % 16 == 0)
			process_sleep(0.0005);
		was = reclaim_in_time(p, units * UNIT);
		for (k = 0; k < (int)units; k++) {
			unsigned char *unit = p + k * UNIT;

			bad += *unit != unit[UNIT - 1] || *unit > 1;
			bad += was == TRACT_INTACT && *unit != 1;
			bad += was == TRACT_PURGED && *unit != 0;
			unit[0] = unit[UNIT - 1] = 1;
		}
		bad += was < 0;
	}
	return (void *)bad;
}

static volatile bool trim_on = true;

static void *trim(void *arg)
{
	(void)arg;
	while (trim_on) {
		malloc_trim(0);
		process_sleep(0.0002);
	}
	return NULL;
}

static void threads(void)
{
	uintptr_t bad = 0, i;
	pthread_t t[THREADS], trimmer;
	void *result;

	shared_block = cache_alloc(THREADS * 4 * UNIT);
	pthread_create(&trimmer, NULL, trim, NULL);
	for (i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, exchange, (void *)i);
	for (i = 0; i < THREADS; i++) {
		pthread_join(t[i], &result);
		bad += (uintptr_t)result;
	}
	trim_on = false;
	pthread_join(trimmer, NULL);
	tap_ok(!bad, "%d threads while another trims: %lu wrong, %lu slow",
	       THREADS, (unsigned long)bad, slow);
	free(shared_block);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv, 60);
	if (!find_functions())
		tap_skip_all("tract's alone");
	parts(malloc, "malloc");
	parts(cache_alloc, "cache");
	tap_ok(is_refused(malloc(100), 100), "a small block has no parts");
	errno = 0;
	tap_ok(!cache_alloc(0) && errno == EINVAL,
	       "a cache of 0 bytes is refused");
	errno = 0;
	tap_ok(!cache_alloc(SIZE_MAX) && errno == ENOMEM,
	       "a cache beyond all memory is refused");
	trimmed(malloc, "malloc");
	trimmed(cache_alloc, "cache");
	resized();
	forked();
	dirty_and_free();
	malloc_trim(0);
	zeroed("trimmed");
	zeroed_in_child();
	threads();
	aged();
	return tap_done();
}
