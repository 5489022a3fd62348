// SPDX-License-Identifier: MIT
/*
 * Islands: within reach or not at all, blocks that never overlap, whoever takes
 * and returns them, and memory that goes back.
 */
#include "tap.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "../include/tract.h"

#define PAGE ((size_t)4096)
#define SIZE ((size_t)16 << 20)
#define REACH ((size_t)1 << 31)
#define THREADS 4
#define BLOCKS 32

static struct tract_island *(*create)(const void *near, size_t reach,
				      size_t size);
static void (*destroy)(struct tract_island *island);
static void *(*take)(struct tract_island *island, size_t size);
static void (*give)(struct tract_island *island, void *p, size_t size);
static void *(*base_of)(const struct tract_island *island);
static size_t (*size_of)(const struct tract_island *island);

static struct tract_island *island;

static bool find(void)
{
	*(void **)&create = dlsym(RTLD_DEFAULT, "tract_island_create");
	*(void **)&destroy = dlsym(RTLD_DEFAULT, "tract_island_destroy");
	*(void **)&take = dlsym(RTLD_DEFAULT, "tract_island_alloc");
	*(void **)&give = dlsym(RTLD_DEFAULT, "tract_island_free");
	*(void **)&base_of = dlsym(RTLD_DEFAULT, "tract_island_base");
	*(void **)&size_of = dlsym(RTLD_DEFAULT, "tract_island_size");
	return create;
}

static bool within(const struct tract_island *of, const void *near,
		   size_t reach)
{
	uintptr_t low = (uintptr_t)base_of(of);
	uintptr_t high = low + size_of(of) - 1, at = (uintptr_t)near;

	return (low > at ? low - at : at - low) <= reach &&
	       (high > at ? high - at : at - high) <= reach;
}

/* All that is free near here is taken, until there is no more. */
static void test_full(void)
{
	struct tract_island *all[256];
	size_t reach = (size_t)256 << 20;
	int n = 0, bad = 0;

	while (n < 256) {
		all[n] = create((void *)create, reach, SIZE);
		if (!all[n])
			break;
		bad += !within(all[n++], (void *)create, reach);
	}
	tap_ok(n > 0 && n < 33 && errno == EADDRNOTAVAIL,
	       "%d islands of 16 MiB within 256 MiB, then errno %d", n, errno);
	tap_ok(!bad, "%d of them out of reach", bad);
	while (n-- > 0)
		destroy(all[n]);
}

static void test_blocks(void)
{
	size_t pages = SIZE / PAGE;
	char *one, *p;
	size_t n = 0, bad = 0;

	tap_ok(!take(island, 0) && errno == EINVAL, "no block of nothing");
	tap_ok(!take(island, SIZE + 1) && errno == EINVAL, "nor a larger one");
	p = take(island, SIZE);
	tap_ok(p == base_of(island), "all of it is one block");
	tap_ok(!take(island, 1) && errno == ENOMEM, "then there is no more");
	memset(p, 1, SIZE);
	give(island, p, SIZE);
	while ((p = take(island, 1))) {
		bad += *p;
		*p = 1;
		n++;
	}
	tap_ok(n == pages && !bad, "%zu pages, %zu not zero", n, bad);
	one = (char *)base_of(island) + 777 * PAGE;
	give(island, one, 1);
	tap_ok(take(island, 1) == one, "the page that was returned");
	give(island, base_of(island), SIZE);
	p = take(island, 65 * PAGE);
	one = take(island, 65 * PAGE);
	tap_ok(p && one && (one >= p + 65 * PAGE || p >= one + 65 * PAGE),
	       "blocks over words: %p %p", (void *)p, (void *)one);
	give(island, p, 65 * PAGE);
	give(island, one, 65 * PAGE);
	p = take(island, PAGE);
	tap_ok(!mprotect(p, PAGE, PROT_READ | PROT_EXEC) &&
		       !mprotect(p, PAGE, PROT_READ | PROT_WRITE),
	       "it may be made executable");
	give(island, p, PAGE);
	give(island, NULL, PAGE);
}

static void *churn(void *arg)
{
	uint64_t state = tap_seed + 100 * (uintptr_t)arg;
	char *blocks[BLOCKS] = { NULL };
	size_t sizes[BLOCKS];
	/* Each turn faults some 30 pages in: a lot for an emulated processor. */
	int turns = tap_env("TRACT_TEST_SLOWNESS", 1) > 1 ? 300 : 30000;
	unsigned long bad = 0;

	for (int i = 0; i < turns; i++) {
		int k = tap_random(&state) % BLOCKS;
		size_t size = (1 + tap_random(&state) % 130) * PAGE;

		if (blocks[k]) {
			for (size_t n = 0; n < sizes[k]; n += PAGE)
				bad += blocks[k][n] != (char)(k + 1) ||
				       blocks[k][n + 1] != (char)(long)arg;
			give(island, blocks[k], sizes[k]);
			blocks[k] = NULL;
			continue;
		}
		blocks[k] = take(island, size);
		sizes[k] = size;
		for (size_t n = 0; blocks[k] && n < size; n += PAGE) {
			bad += blocks[k][n];
			blocks[k][n] = (char)(k + 1);
			blocks[k][n + 1] = (char)(long)arg;
		}
	}
	for (int k = 0; k < BLOCKS; k++)
		give(island, blocks[k], sizes[k]);
	return (void *)bad;
}

static void test_threads(void)
{
	pthread_t threads[THREADS];
	unsigned long bad = 0;
	void *result;
	char *all;

	for (long i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, churn, (void *)(i + 1));
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &result);
		bad += (unsigned long)result;
	}
	tap_ok(!bad, "%d threads, %lu pages mixed up", THREADS, bad);
	all = take(island, SIZE);
	tap_ok(all, "nothing is left behind");
	give(island, all, SIZE);
}

static void test_fork(void)
{
	char *p = take(island, PAGE);
	pid_t child;
	int status;

	*p = 5;
	child = fork();
	if (!child) {
		char *q = take(island, PAGE);

		_exit(!q || q == p || *p != 5 || *q);
	}
	waitpid(child, &status, 0);
	tap_ok(!status && take(island, PAGE) != p,
	       "a child has a copy of its own");
}

/* No memory for it is another answer than no place. */
static void test_limit(void)
{
	struct rlimit old, none = { .rlim_cur = 0 };

	getrlimit(RLIMIT_AS, &old);
	none.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_AS, &none);
	tap_ok(!create((void *)create, REACH, SIZE) && errno == ENOMEM,
	       "at the limit of address space: %s", strerror(errno));
	setrlimit(RLIMIT_AS, &old);
}

int main(int argc, char **argv)
{
	long rss;

	tap_start(argc, argv, 55);
	if (!find())
		tap_skip_all("no islands");
	tap_ok(!create(&island, REACH, 0) && errno == EINVAL, "not of nothing");
	tap_ok(!create(&island, REACH, TRACT_ISLAND_MAX + 1) && errno == EINVAL,
	       "nor beyond the largest");
	tap_ok(!create(&island, PAGE, SIZE) && errno == EADDRNOTAVAIL,
	       "nor where reach is shorter than it is long");
	island = create((void *)create, REACH, SIZE);
	if (!tap_ok(island && within(island, (void *)create, REACH),
		    "within 2 GiB of the library"))
		return tap_done();
	test_full();
	test_limit();
	rss = tap_rss();
	test_blocks();
	test_threads();
	tap_ok(tap_rss() < rss + 2048, "RSS %ld kB, before %ld", tap_rss(),
	       rss);
	test_fork();
	destroy(island);
	return tap_done();
}
