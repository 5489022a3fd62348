// SPDX-License-Identifier: MIT
/*
 * Mixed lifetimes: most blocks die young, some live long, a few for ever, and
 * the sizes in favour change from phase to phase.  Peak and final RSS against
 * the live bytes show what fragmentation costs.
 *
 *   fragment [PHASES [STEPS]]
 */
#include "bench/bench.h"

#define YOUNG 2000
#define OLD 40000

struct block {
	unsigned char *p;
	size_t size;
};

static struct block young[YOUNG], old[OLD];
static uint64_t sum;
static size_t live, most;

static void replace(struct block *b, size_t size)
{
	if (b->p) {
		sum = sum * 31 + b->p[0] + b->p[b->size - 1];
		live -= b->size;
		free(b->p);
	}
	b->p = bench_need(malloc(size));
	b->size = size;
	memset(b->p, size, size);
	live += size;
	most = live > most ? live : most;
}

int main(int argc, char **argv)
{
	unsigned long phases, steps, f, n;
	uint64_t state, r;
	size_t size;

	bench_start("fragment", &argc, argv, NULL);
	phases = bench_arg(argc, argv, 1, 8);
	steps = bench_arg(argc, argv, 2, 400000);
	state = bench_stream(0);
	for (f = 0; f < phases; f++) {
		for (n = 0; n < steps; n++) {
			r = bench_random(&state);
			/* Each phase favours sizes round another one. */
			size = ((size_t)16 << f % 8) + r % (64 << f % 6);
			if (r >> 20 & 15)
				replace(&young[r % YOUNG], size);
			else
				replace(&old[(r >> 8) % OLD], size);
		}
		/* At the end of a phase most of the old goes as well. */
		for (n = 0; n < OLD; n++)
			if (n % 16 && old[n].p) {
				sum = sum * 31 + old[n].p[0];
				live -= old[n].size;
				free(old[n].p);
				old[n].p = NULL;
			}
	}
	if (bench_verbose)
		fprintf(stderr, "fragment: live at most %zu KiB, now %zu\n",
			most >> 10, live >> 10);
	return bench_end(phases * steps, sum);
}
