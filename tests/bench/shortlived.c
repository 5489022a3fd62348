// SPDX-License-Identifier: MIT
/*
 * A program that allocates little and ends: what an allocator costs before it has
 * done anything.
 *
 *   shortlived [BLOCKS]
 */
#include "bench/bench.h"

int main(int argc, char **argv)
{
	unsigned char *block[1000];
	unsigned long blocks, i;
	uint64_t sum = 0;
	size_t size;

	bench_start("shortlived", &argc, argv, NULL);
	blocks = bench_arg(argc, argv, 1, 100);
	if (blocks > 1000)
		bench_die("too many blocks");
	for (i = 0; i < blocks; i++) {
		size = 8 + i * 37 % 1000;
		block[i] = bench_need(malloc(size));
		memset(block[i], i, size);
	}
	for (i = 0; i < blocks; i++) {
		sum = sum * 31 + block[i][0];
		free(block[i]);
	}
	return bench_end(blocks, sum);
}
