// SPDX-License-Identifier: MIT
/*
 * A server's memory after P. Larson and M. Krishnan, "Memory allocation for
 * long-running server applications" (ISMM 1998), written anew from the paper's
 * description.  Each thread replaces random blocks of its array; after some
 * rounds it hands the array, blocks and all, to a thread that it starts, and
 * ends.  So nearly every block is freed by another thread than allocated it.
 *
 *   larson [SECONDS [THREADS [MIN [MAX [BLOCKS [ROUNDS]]]]]]
 *
 *   SECONDS 0 runs a fixed number of generations, for which the checksum is
 *   always the same; with SECONDS it covers the first four of each chain.
 *   --generations=N  how many with SECONDS 0 (default 60)
 *   --check          fails if RSS exceeds --rss=MIB (default 100), if mappings
 *                    grow after a fifth of the time, or if libtract is there
 *                    and has freed no span
 */
#include "bench/bench.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tract.h"

struct chain {
	unsigned char **block;
	unsigned int *size;
	uint64_t state, ops, sum, early_sum;
	unsigned long generation;
};

static unsigned long seconds, threads, smallest, largest, blocks, rounds;
static unsigned long generations = 60, rss_limit = 100;
static bool check;
static atomic_bool stop;
static atomic_ulong running, corrupt, total_ops;
static pthread_attr_t detached;

static bool option(const char *word)
{
	if (!strncmp(word, "--generations=", 14))
		generations = strtoul(word + 14, NULL, 0);
	else if (!strncmp(word, "--rss=", 6))
		rss_limit = strtoul(word + 6, NULL, 0);
	else if (!strcmp(word, "--check"))
		check = true;
	else
		return false;
	return true;
}

static unsigned int pick(uint64_t *state)
{
	return smallest + bench_random(state) % (largest - smallest + 1);
}

static void put(struct chain *c, unsigned long k, unsigned int size)
{
	unsigned char *p = bench_need(malloc(size));

	p[0] = k;
	p[size - 1] = k;
	c->block[k] = p;
	c->size[k] = size;
}

static void take(struct chain *c, unsigned long k)
{
	unsigned char *p = c->block[k];

	if (p[0] != (unsigned char)k || p[c->size[k] - 1] != (unsigned char)k)
		corrupt++;
	c->sum = bench_mix(c->sum + p[0] * 131 + c->size[k]);
	free(p);
}

static void *generation(void *arg)
{
	struct chain *c = arg;
	unsigned long n, k;
	pthread_t t;

	for (n = 0; n < rounds * blocks; n++) {
		k = bench_random(&c->state) % blocks;
		take(c, k);
		put(c, k, pick(&c->state));
	}
	c->ops += n;
	atomic_fetch_add_explicit(&total_ops, n, memory_order_relaxed);
	c->generation++;
	if (c->generation == 4)
		c->early_sum = c->sum;
	if (seconds ? atomic_load(&stop) : c->generation >= generations)
		running--;
	else if (pthread_create(&t, &detached, generation, c))
		bench_die("cannot start a thread");
	return NULL;
}

static struct chain *begin(unsigned long number)
{
	struct chain *c = bench_need(calloc(1, sizeof(*c)));
	unsigned long k;
	pthread_t t;

	c->block = bench_need(calloc(blocks, sizeof(*c->block)));
	c->size = bench_need(calloc(blocks, sizeof(*c->size)));
	c->state = bench_stream(number);
	for (k = 0; k < blocks; k++)
		put(c, k, pick(&c->state));
	if (pthread_create(&t, &detached, generation, c))
		bench_die("cannot start a thread");
	return c;
}

static unsigned long spans_freed(void)
{
	void (*get)(struct tract_heap_stats *, size_t) =
		(void (*)(struct tract_heap_stats *, size_t))dlsym(
			RTLD_DEFAULT, "tract_heap_stats");
	struct tract_heap_stats stats = { 0 };

	if (!get)
		return 1;
	get(&stats, sizeof(stats));
	fprintf(stderr, "larson: spans freed %llu of %llu\n",
		(unsigned long long)stats.spans_freed,
		(unsigned long long)stats.spans_allocated);
	return stats.spans_freed;
}

/* Watches until the chains have ended; 0 if all that is checked held. */
static int watch(void)
{
	double start = process_now(), report = 1;
	long rss, vmas, most_rss = 0, first_vmas = LONG_MAX,
			last_vmas = LONG_MAX;

	while (running) {
		double now = process_now() - start;

		/* Seldom enough not to count, often enough to end in time. */
		process_sleep(seconds ? 0.05 : 0.002);
		if (seconds && now >= seconds)
			atomic_store(&stop, true);
		if (now < report || stop)
			continue;
		report += 1;
		rss = bench_rss();
		vmas = process_vmas();
		most_rss = rss > most_rss ? rss : most_rss;
		/*
		 * Threads that are ending beside the ones that follow them have
		 * stacks, more of them on a busy machine: the fewest tell.
		 */
		if (now < seconds / 5.0 + 1)
			first_vmas = vmas < first_vmas ? vmas : first_vmas;
		else if (now > seconds * 4 / 5.0)
			last_vmas = vmas < last_vmas ? vmas : last_vmas;
		if (bench_verbose)
			fprintf(stderr,
				"larson: %3.0f s, %lu operations, RSS %ld KiB, "
				"%ld VMAs\n",
				now, total_ops, rss, vmas);
	}
	if (!check)
		return 0;
	fprintf(stderr,
		"larson: RSS at most %ld KiB (limit %lu), VMAs %ld at first, "
		"%ld at last\n",
		most_rss, rss_limit << 10, first_vmas, last_vmas);
	return most_rss > (long)rss_limit << 10 ||
	       last_vmas > first_vmas + 2 * (long)threads || !spans_freed();
}

int main(int argc, char **argv)
{
	struct chain *chain[256];
	uint64_t sum = 0, ops = 0;
	unsigned long i, k;
	int failed;

	bench_start("larson", &argc, argv, option);
	seconds = bench_arg(argc, argv, 1, 0);
	threads = bench_arg(argc, argv, 2, 4);
	smallest = bench_arg(argc, argv, 3, 8);
	largest = bench_arg(argc, argv, 4, 128);
	blocks = bench_arg(argc, argv, 5, 1024);
	rounds = bench_arg(argc, argv, 6, 100);
	if (!threads || threads > 256 || !smallest || largest < smallest ||
	    !blocks || !rounds)
		bench_die("arguments out of range");
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	running = threads;
	for (i = 0; i < threads; i++)
		chain[i] = begin(i);
	failed = watch();
	for (i = 0; i < threads; i++) {
		ops += chain[i]->ops;
		for (k = 0; k < blocks; k++)
			take(chain[i], k);
		sum += seconds ? chain[i]->early_sum : chain[i]->sum;
		free(chain[i]->block);
		free(chain[i]->size);
		free(chain[i]);
	}
	if (corrupt)
		bench_die("a block's contents changed");
	bench_end(ops, sum);
	if (failed)
		fprintf(stderr, "larson: the check failed\n");
	return failed;
}
