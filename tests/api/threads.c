// SPDX-License-Identifier: MIT
/*
 * Threads end; what they allocated stays good and others free it.  Five
 * thousand short threads leave neither memory nor mappings behind.
 */
#include "tap.h"

#include <pthread.h>
#include <stdatomic.h>

#define GENERATIONS 5000
#define BLOCKS 40
/* Kept by a short thread, freed by one that comes this much later. */
#define LAG 32

struct heritage {
	unsigned char *p[BLOCKS];
	size_t size[BLOCKS];
};

static struct heritage *left[GENERATIONS];
static atomic_ulong broken;

static void consume(struct heritage *h, unsigned int key)
{
	size_t k;
	int i;

	for (i = 0; i < BLOCKS; i++) {
		for (k = 0; k < h->size[i]; k++)
			if (h->p[i][k] != (unsigned char)(key + i)) {
				broken++;
				break;
			}
		free(h->p[i]);
	}
	free(h);
}

static void *life(void *arg)
{
	unsigned int self = (uintptr_t)arg;
	uint64_t state = tap_mix(tap_seed + self);
	struct heritage *h = malloc(sizeof(*h));
	int i;

	for (i = 0; i < BLOCKS; i++) {
		h->size[i] = tap_random_size(&state, i ? 1000 : 50000);
		h->p[i] = malloc(h->size[i]);
		memset(h->p[i], self + i, h->size[i]);
		free(malloc(h->size[i] * 2));
	}
	left[self] = h;
	if (self >= LAG) {
		consume(left[self - LAG], self - LAG);
		left[self - LAG] = NULL;
	}
	return NULL;
}

static void short_threads(void)
{
	long rss = 0, vmas = 0, rss_end, vmas_end;
	unsigned int i, made;
	pthread_t t[2];

	for (i = 0; i < GENERATIONS; i += 2) {
		/* Two at a time: their exits meet each other. */
		for (made = 0; made < 2; made++)
			if (pthread_create(&t[made], NULL, life,
					   (void *)(uintptr_t)(i + made)))
				break;
		while (made)
			pthread_join(t[--made], NULL);
		if (i == GENERATIONS / 10) {
			rss = tap_rss();
			vmas = process_vmas();
		}
	}
	rss_end = tap_rss();
	vmas_end = process_vmas();
	tap_ok(!broken, "%d threads' blocks freed by later threads: %lu broken",
	       GENERATIONS, broken);
	tap_ok(rss_end < rss + (4 << 10),
	       "no growth: RSS %ld KiB after %d threads, %ld after %d", rss,
	       GENERATIONS / 10, rss_end, GENERATIONS);
	tap_ok(vmas_end <= vmas + 4, "no growth: %ld mappings, then %ld", vmas,
	       vmas_end);
	for (i = GENERATIONS - LAG; i < GENERATIONS; i++)
		consume(left[i], i);
	tap_ok(!broken, "what the last left, freed by main: %lu broken",
	       broken);
}

static void *hoarder(void *arg)
{
	void **blocks = arg;
	int i;

	for (i = 0; i < 100000; i++)
		blocks[i] = memset(malloc(500), 1, 500);
	return NULL;
}

/* Memory of a thread that ended comes back when another frees it. */
static void orphans(void)
{
	static void *blocks[100000];
	long before, full, after, mapped;
	double until;
	pthread_t t;
	int i, round;

	before = tap_rss();
	for (round = 0; round < 5; round++) {
		pthread_create(&t, NULL, hoarder, blocks);
		pthread_join(t, NULL);
		full = tap_rss();
		for (i = 0; i < 100000; i++)
			free(blocks[i]);
	}
	mapped = process_status("\nVmSize:");
	for (until = process_now() + 3; process_now() < until;
	     process_sleep(0.25))
		free(malloc(100));
	after = tap_rss();
	tap_ok(full - before < 120 << 10,
	       "five such threads reuse one's memory: RSS %ld KiB above start",
	       full - before);
	if (tap_is_tract())
		tap_ok(after - before < 16 << 10,
		       "48 MB of an ended thread go back: %ld KiB above start",
		       after - before);
	else
		tap_skip("memory of an ended thread: %ld KiB above start",
			 after - before);
	tap_note("address space %ld KiB", mapped);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv, 120);
	short_threads();
	orphans();
	return tap_done();
}
