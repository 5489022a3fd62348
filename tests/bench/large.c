// SPDX-License-Identifier: MIT
/*
 * Blocks of 1 to 16 MiB come and go at random, every page of each written.
 *
 *   large [STEPS [LIVE]]
 */
#include "bench/bench.h"

#define LIVE_MAX 256

int main(int argc, char **argv)
{
	static unsigned char *p[LIVE_MAX];
	static size_t size[LIVE_MAX];
	unsigned long steps, live, n, k;
	uint64_t state, sum = 0;
	size_t i;

	bench_start("large", &argc, argv, NULL);
	steps = bench_arg(argc, argv, 1, 400);
	live = bench_arg(argc, argv, 2, 16);
	if (!live || live > LIVE_MAX)
		bench_die("arguments out of range");
	state = bench_stream(0);
	for (n = 0; n < steps; n++) {
		k = bench_random(&state) % live;
		for (i = 0; i < size[k]; i += 4096)
			sum += p[k][i];
		free(p[k]);
		size[k] = ((size_t)1 << 20) +
			  bench_random(&state) % ((size_t)15 << 20);
		p[k] = bench_need(malloc(size[k]));
		for (i = 0; i < size[k]; i += 4096)
			p[k][i] = n + i / 4096;
	}
	for (k = 0; k < live; k++)
		free(p[k]);
	return bench_end(steps, sum);
}
