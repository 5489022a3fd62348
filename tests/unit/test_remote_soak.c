// SPDX-License-Identifier: MIT
/*
 * The soak of tests/api on the library's logic alone, so that it runs under the
 * address and the thread sanitizer; without forks, of which the latter knows
 * nothing good.
 */
#include <pthread.h>

#include "malloc.h"
#include "soak.h"
#include "stats.h"
#include "suite.h"

/* TRACT_TEST_SOAK is how many threads live after one another (50). */
enum {
	THREADS = 4,
	STEPS = 6000,
};

static void *life(void *arg)
{
	uint64_t state = (uintptr_t)arg;
	uint64_t steps = STEPS / 2 + soak_random(&state) % STEPS;

	for (uint64_t i = 0; i < steps; i++) {
		soak_step(&state);
		if (soak_random(&state) % 20000 == 0)
			tract__trim();
	}
	return NULL;
}

/* Keeps a few threads running, each with a successor. */
START_TEST(payloads_survive_threads)
{
	struct tract_heap_stats start, end;
	const char *lives = getenv("TRACT_TEST_SOAK");
	int count = THREADS * (lives ? atoi(lives) : 50);
	pthread_t thread[THREADS];

	ck_assert_int_ge(count, THREADS);
	soak = (struct soak_family){ tract__malloc, tract__calloc,
				     tract__realloc, tract__memalign,
				     tract__free };
	tract__stats_get(&start);
	for (int i = 0; i < count; i++) {
		if (i >= THREADS)
			pthread_join(thread[i % THREADS], NULL);
		ck_assert(!pthread_create(
			&thread[i % THREADS], NULL, life,
			(void *)(uintptr_t)soak_mix(random_state + i)));
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	soak_free_all();
	ck_assert_uint_eq(soak_broken, 0);
	ck_assert_uint_eq(soak_refused, 0);
	tract__trim();
	tract__stats_get(&end);
	ck_assert_uint_eq(end.live_blocks, start.live_blocks);
	ck_assert_uint_eq(end.live_bytes, start.live_bytes);
	ck_assert_uint_eq(end.dirty_bytes, 0);
}
END_TEST

SUITE_MAIN("remote soak", payloads_survive_threads)
