// SPDX-License-Identifier: MIT
/*
 * One block grows from 64 KiB to 256 MiB in steps of 1.25, each new byte
 * written, as a buffer does that is read into.
 *
 *   realloc [TIMES]
 */
#include "bench/bench.h"

int main(int argc, char **argv)
{
	unsigned long times, n, steps = 0, same = 0;
	size_t size, next, i;
	unsigned char *p, *q;
	uint64_t sum = 0;

	bench_start("realloc", &argc, argv, NULL);
	times = bench_arg(argc, argv, 1, 3);
	for (n = 0; n < times; n++) {
		size = 64 << 10;
		p = bench_need(malloc(size));
		memset(p, n, size);
		while (size < 256 << 20) {
			uintptr_t old = (uintptr_t)p;

			next = size + size / 4;
			if (next > 256 << 20)
				next = 256 << 20;
			q = bench_need(realloc(p, next));
			steps++;
			same += (uintptr_t)q == old;
			memset(q + size, steps, next - size);
			p = q;
			size = next;
		}
		for (i = 0; i < size; i += 1021)
			sum = sum * 31 + p[i];
		free(p);
	}
	if (bench_verbose)
		fprintf(stderr, "realloc: in place %lu of %lu\n", same, steps);
	return bench_end(steps, sum);
}
