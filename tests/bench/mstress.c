// SPDX-License-Identifier: MIT
/*
 * Threads with tables of live blocks, of which some are exchanged with other
 * threads through a shared table; after each round all threads end and new ones
 * go on.  In the manner of mimalloc's stress test.
 *
 *   mstress [THREADS [ROUNDS [STEPS]]]
 */
#include "bench/bench.h"

#include <pthread.h>
#include <stdatomic.h>

#define TABLE 2000
#define SHARED 1000

static _Atomic(uint64_t *) shared[SHARED];
static unsigned long threads, rounds, steps;
static atomic_ulong made, gone;

/* A block of words that says its length and what its words must be. */
static uint64_t *make(uint64_t *state, uint64_t *sum)
{
	uint64_t n = bench_random(state), words;
	uint64_t *p;

	words = n % 1000 == 0 ? 8192 : n % 100 == 0 ? 512 : n % 50 + 2;
	p = bench_need(malloc(words * sizeof(*p)));
	p[0] = words;
	p[1] = p[words - 1] = words == 2 ? 77 : n;
	*sum += words * 31 + p[1];
	return p;
}

static void drop(uint64_t *p, uint64_t *sum)
{
	if (!p)
		return;
	if (p[1] != p[p[0] - 1])
		bench_die("a block's contents changed");
	*sum += p[0] * 31 + p[1];
	free(p);
}

static void *worker(void *arg)
{
	uint64_t state = bench_stream((uintptr_t)arg), in = 0, out = 0, n;
	uint64_t **table = bench_need(calloc(TABLE, sizeof(*table)));
	unsigned long i, k;

	for (i = 0; i < steps; i++) {
		n = bench_random(&state);
		k = n % TABLE;
		drop(table[k], &out);
		table[k] = make(&state, &in);
		if (n >> 32 & 7)
			continue;
		table[k] = atomic_exchange(&shared[n % SHARED], table[k]);
	}
	/* A third stays for others to free. */
	for (k = 0; k < TABLE; k++) {
		if (k % 3 == 0)
			table[k] =
				atomic_exchange(&shared[k % SHARED], table[k]);
		drop(table[k], &out);
	}
	free(table);
	made += in;
	gone += out;
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned long r, i;
	pthread_t t[64];
	uint64_t out = 0;

	bench_start("mstress", &argc, argv, NULL);
	threads = bench_arg(argc, argv, 1, 4);
	rounds = bench_arg(argc, argv, 2, 20);
	steps = bench_arg(argc, argv, 3, 100000);
	if (!threads || threads > 64)
		bench_die("arguments out of range");
	for (r = 0; r < rounds; r++) {
		for (i = 0; i < threads; i++)
			if (pthread_create(&t[i], NULL, worker,
					   (void *)(r * threads + i)))
				bench_die("cannot start a thread");
		for (i = 0; i < threads; i++)
			pthread_join(t[i], NULL);
	}
	for (i = 0; i < SHARED; i++)
		drop(atomic_exchange(&shared[i], NULL), &out);
	gone += out;
	/* Who freed which block varies; their sum does not. */
	if (made != gone)
		bench_die("what was freed is not what was made");
	return bench_end(threads * rounds * steps, made);
}
