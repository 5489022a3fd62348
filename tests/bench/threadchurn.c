// SPDX-License-Identifier: MIT
/*
 * Threads that live for a request: each allocates a little, frees half and
 * leaves the rest to the one that comes 16 later.  A few run at a time, as on a
 * server that has something to do.  (One at a time was tried: it measures where the
 * scheduler puts the one thread that can run, and how long it takes to wake it.)
 *
 *   threadchurn [THREADS [BLOCKS]]
 */
#include "bench/bench.h"

#include <pthread.h>

#define LAG 16
#define AT_A_TIME 4

static unsigned long threads, blocks;
static unsigned char **left[LAG];
static uint64_t sums[AT_A_TIME];

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
	sums[self % AT_A_TIME] = own;
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t running[AT_A_TIME];
	unsigned long n, i;
	uint64_t sum = 0;

	bench_start("threadchurn", &argc, argv, NULL);
	threads = bench_arg(argc, argv, 1, 8000);
	blocks = bench_arg(argc, argv, 2, 400);
	for (n = 0; n < threads + AT_A_TIME; n++) {
		pthread_t *t = &running[n % AT_A_TIME];

		if (n >= AT_A_TIME && n - AT_A_TIME < threads) {
			pthread_join(*t, NULL);
			sum = bench_mix(sum + sums[n % AT_A_TIME]);
		}
		if (n < threads && pthread_create(t, NULL, request, (void *)n))
			bench_die("cannot start a thread");
	}
	for (n = 0; n < LAG; n++) {
		for (i = 1; left[n] && i < blocks; i += 2)
			free(left[n][i]);
		free(left[n]);
	}
	return bench_end(threads * blocks, sum);
}
