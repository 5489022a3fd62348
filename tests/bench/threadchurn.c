// SPDX-License-Identifier: MIT
/*
 * Threads that live for a request: each allocates a little, frees half and
 * leaves the rest to the one that comes 16 later.
 *
 *   threadchurn [THREADS [BLOCKS]]
 */
#include "bench/bench.h"

#include <pthread.h>

#define LAG 16

static unsigned long threads, blocks;
static unsigned char **left[LAG];
static uint64_t sum;

static void *request(void *arg)
{
	unsigned long self = (uintptr_t)arg, i;
	unsigned char **mine = bench_need(malloc(blocks * sizeof(*mine)));
	unsigned char **old = left[self % LAG];
	uint64_t state = bench_stream(self), own = 0;

	for (i = 0; i < blocks; i++) {
		size_t size = bench_random(&state) % 900 + 8;

		mine[i] = bench_need(malloc(size));
		memset(mine[i], self + i, size < 64 ? size : 64);
	}
	for (i = 0; i < blocks; i += 2) {
		own += mine[i][7] * i;
		free(mine[i]);
	}
	for (i = 1; old && i < blocks; i += 2) {
		own += old[i][7] * i;
		free(old[i]);
	}
	free(old);
	left[self % LAG] = mine;
	sum = bench_mix(sum + own);
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned long n, i;
	pthread_t t;

	bench_start("threadchurn", &argc, argv, NULL);
	threads = bench_arg(argc, argv, 1, 8000);
	blocks = bench_arg(argc, argv, 2, 400);
	for (n = 0; n < threads; n++) {
		if (pthread_create(&t, NULL, request, (void *)n))
			bench_die("cannot start a thread");
		pthread_join(t, NULL);
	}
	for (n = 0; n < LAG; n++) {
		for (i = 1; left[n] && i < blocks; i += 2)
			free(left[n][i]);
		free(left[n]);
	}
	return bench_end(threads * blocks, sum);
}
