// SPDX-License-Identifier: MIT
/*
 * calloc of every magnitude up to 4 MiB; all of it is read, some is written.
 *
 *   callocs [STEPS]
 */
#include "bench/bench.h"

#define LIVE 64

int main(int argc, char **argv)
{
	static uint64_t *p[LIVE];
	uint64_t state, r, sum = 0;
	unsigned long steps, n;
	size_t words, i;

	bench_start("callocs", &argc, argv, NULL);
	steps = bench_arg(argc, argv, 1, 60000);
	state = bench_stream(0);
	for (n = 0; n < steps; n++) {
		r = bench_random(&state);
		words = ((size_t)1 << r % (n % 16 ? 12 : 20)) + (r >> 32) % 16;
		free(p[n % LIVE]);
		p[n % LIVE] = bench_need(calloc(words, sizeof(uint64_t)));
		/* Must be zero: the checksum tells if not. */
		for (i = 0; i < words; i += 8)
			sum += p[n % LIVE][i];
		sum = sum * 31 + words;
		for (i = 0; i < words; i += r & 1 ? 8 : 512)
			p[n % LIVE][i] = ~(uint64_t)n;
	}
	for (n = 0; n < LIVE; n++)
		free(p[n]);
	return bench_end(steps, sum);
}
