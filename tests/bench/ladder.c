// SPDX-License-Identifier: MIT
/*
 * One thread up the ladder of sizes, 8 bytes to 256 KiB: many blocks of a size,
 * freed in the order they came, in reverse, or at random.
 *
 *   ladder [ROUNDS [BLOCKS]]
 */
#include "bench/bench.h"

#define BLOCKS_MAX 10000

int main(int argc, char **argv)
{
	static unsigned char *p[BLOCKS_MAX];
	static unsigned int order[BLOCKS_MAX];
	unsigned long rounds, blocks, count, r, i;
	uint64_t state, sum = 0, ops = 0;
	size_t size;

	bench_start("ladder", &argc, argv, NULL);
	rounds = bench_arg(argc, argv, 1, 30);
	blocks = bench_arg(argc, argv, 2, 4000);
	if (blocks > BLOCKS_MAX)
		bench_die("arguments out of range");
	state = bench_stream(0);
	for (r = 0; r < rounds; r++) {
		for (size = 8; size <= 262144; size += size / 4 + 4) {
			/* No more than 16 MiB of a size at a time. */
			count = size * blocks > 16 << 20 ? (16 << 20) / size :
							   blocks;
			for (i = 0; i < count; i++) {
				p[i] = bench_need(malloc(size));
				p[i][0] = p[i][size - 1] = i;
				order[i] = r % 3 == 1 ? count - 1 - i : i;
			}
			for (i = 0; r % 3 == 2 && i < count; i++) {
				unsigned long k = bench_random(&state) % count;
				unsigned int swap = order[i];

				order[i] = order[k];
				order[k] = swap;
			}
			for (i = 0; i < count; i++) {
				sum += p[order[i]][size - 1] * (i + 1);
				free(p[order[i]]);
			}
			ops += count;
		}
	}
	return bench_end(ops, sum);
}
