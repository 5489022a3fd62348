// SPDX-License-Identifier: MIT
/*
 * Passive false sharing, after E. Berger's cache-scratch (Hoard, ASPLOS 2000):
 * the main thread allocates small blocks side by side and gives one to each
 * thread; each frees it, allocates its own and writes to it many times.  An
 * allocator that hands the freed block out again has two threads fight over a
 * cache line.
 *
 *   cachescratch [THREADS [ITERATIONS [SIZE [WRITES]]]]
 */
#include "bench/bench.h"

#include <pthread.h>

static unsigned long threads, iterations, size, writes;
static unsigned char *seeded[64];
static uint64_t sums[64 * 16];

static void *worker(void *arg)
{
	unsigned long self = (uintptr_t)arg, n, w, k;
	unsigned char *p = seeded[self];
	uint64_t sum = 0;

	free(p);
	for (n = 0; n < iterations; n++) {
		volatile unsigned char *block;

		block = bench_need(malloc(size));
		for (k = 0; k < size; k++)
			block[k] = self + n;
		for (w = 0; w < writes; w++)
			for (k = 0; k < size; k++)
				block[k]++;
		sum = sum * 31 + block[size - 1];
		free((void *)block);
	}
	sums[self * 16] = sum;
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t t[64];
	uint64_t sum = 0;
	unsigned long i;

	bench_start("cachescratch", &argc, argv, NULL);
	threads = bench_arg(argc, argv, 1, 4);
	iterations = bench_arg(argc, argv, 2, 20000);
	size = bench_arg(argc, argv, 3, 8);
	writes = bench_arg(argc, argv, 4, 500);
	if (!threads || threads > 64 || !size)
		bench_die("arguments out of range");
	for (i = 0; i < threads; i++)
		seeded[i] = bench_need(malloc(size));
	for (i = 0; i < threads; i++)
		if (pthread_create(&t[i], NULL, worker, (void *)i))
			bench_die("cannot start a thread");
	for (i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	for (i = 0; i < threads; i++)
		sum = bench_mix(sum + sums[i * 16]);
	return bench_end(threads * iterations, sum);
}
