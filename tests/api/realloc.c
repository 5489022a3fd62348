// SPDX-License-Identifier: MIT
/* realloc keeps what was there, over every pair of magnitudes; in place or not. */
#include "tap.h"

#include <malloc.h>

#define MAX ((size_t)64 << 20)
#define PAIRS 4000

static void fill(unsigned char *p, size_t from, size_t to, uint64_t key)
{
	size_t i;

	/* Small blocks whole; of large ones each page's start and end. */
	for (i = from; i<to; i += to - from> 65536 ? 509 : 1)
		p[i] = tap_mix(key ^ i);
	if (to > from)
		p[to - 1] = tap_mix(key ^ (to - 1));
}

static size_t check(const unsigned char *p, size_t from, size_t to,
		    size_t limit, uint64_t key)
{
	size_t i, bad = 0;

	for (i = from; i < to && i<limit; i += to - from> 65536 ? 509 : 1)
		bad += p[i] != (unsigned char)tap_mix(key ^ i);
	if (to > from && to <= limit)
		bad += p[to - 1] != (unsigned char)tap_mix(key ^ (to - 1));
	return bad;
}

static void random_pairs(uint64_t *state)
{
	size_t from, to, most, bad = 0, null = 0, same = 0, misaligned = 0;
	unsigned char *p, *q;
	uintptr_t old;
	int n;

	for (n = 0; n < PAIRS; n++) {
		/* The largest are slow: not too many. */
		most = n % 20 ? 1 << 20 : MAX;
		from = tap_random_size(state, most);
		to = tap_random_size(state, most);
		/* As many neighbours in size as strangers. */
		if (n / 20 & 1)
			to = from / 2 + tap_random(state) % from + 1;
		if (to > MAX)
			to = MAX;
		p = malloc(from);
		if (!p) {
			null++;
			continue;
		}
		fill(p, 0, from, n);
		old = (uintptr_t)p;
		q = realloc(p, to);
		if (!q) {
			null++;
			free(p);
			continue;
		}
		same += (uintptr_t)q == old;
		misaligned += ((uintptr_t)q & (to < 16 ? 7 : 15)) != 0;
		if (check(q, 0, from, to, n)) {
			tap_note("realloc from %zu to %zu lost contents", from,
				 to);
			bad++;
		}
		/* All of the new size is there to be written. */
		if (malloc_usable_size(q) < to)
			bad++;
		fill(q, 0, to, ~n);
		bad += check(q, 0, to, to, ~n) != 0;
		free(q);
	}
	tap_ok(!bad && !null && !misaligned,
	       "%d random pairs up to 64 MiB: %zu broken, %zu NULL, "
	       "%zu misaligned; %zu in place",
	       n, bad, null, misaligned, same);
}

/* One block through a long life, others living beside it. */
static void walk(uint64_t *state)
{
	enum {
		BLOCKS = 50
	};
	unsigned char *p[BLOCKS] = { NULL }, *q;
	size_t size[BLOCKS] = { 0 }, to, bad = 0;
	uint64_t key[BLOCKS] = { 0 };
	int n, i;

	for (n = 0; n < 40000; n++) {
		i = tap_random(state) % BLOCKS;
		to = tap_random_size(state, n % 64 ? 20000 : 2 << 20);
		q = realloc(p[i], to);
		if (!q) {
			tap_ok(false, "realloc to %zu gave NULL", to);
			return;
		}
		bad += check(q, 0, size[i], to, key[i]) != 0;
		p[i] = q;
		size[i] = to;
		key[i] = tap_mix(n);
		fill(q, 0, to, key[i]);
	}
	for (i = 0; i < BLOCKS; i++)
		free(p[i]);
	tap_ok(!bad,
	       "40,000 steps of realloc over %d blocks: %zu lost contents",
	       BLOCKS, bad);
}

/* Report how often a large block that grows stays where it is. */
static void growth(void)
{
	size_t size, from, bad = 0;
	unsigned char *p, *q;
	int steps = 0, same = 0, shrinks = 0, stayed = 0;
	long rss = tap_rss();

	p = malloc(65536);
	fill(p, 0, 65536, 1);
	from = 65536;
	for (size = 65536 / 4 * 5; size <= 4 * MAX; size = size / 4 * 5) {
		uintptr_t old = (uintptr_t)p;

		q = realloc(p, size);
		if (!q)
			break;
		steps++;
		same += (uintptr_t)q == old;
		p = q;
		bad += check(p, 0, 65536, size, 1) != 0;
		bad += p[from - 1] != (from == 65536 ? p[65535] : 9);
		p[size - 1] = 9;
		from = size;
	}
	tap_ok(!bad && steps > 35,
	       "64 KiB to 256 MiB by 1.25: %d steps, %zu lost contents", steps,
	       bad);
	tap_note("in place: %d of %d growths", same, steps);
	for (size = from / 2; size > 65536; size /= 2) {
		uintptr_t old = (uintptr_t)p;

		q = realloc(p, size);
		shrinks++;
		stayed += (uintptr_t)q == old;
		p = q;
		bad += check(p, 0, 65536, size, 1) != 0;
	}
	tap_ok(!bad, "halving down again keeps contents; %d of %d in place",
	       stayed, shrinks);
	/* Memory goes back after a delay, on a program's own calls. */
	for (int i = 0; i < 50 && tap_rss() - rss >= 16 << 10; i++) {
		process_sleep(0.1);
		free(malloc(100));
	}
	tap_ok(tap_rss() - rss < 16 << 10,
	       "shrinking gave the memory back: RSS %ld KiB before, %ld after",
	       rss, tap_rss());
	free(p);
	if (tap_is_tract())
		tap_ok(same * 2 > steps,
		       "most growths happen in place: %d of %d", same, steps);
	else
		tap_skip("growth in place is asked of libtract");
}

int main(int argc, char **argv)
{
	uint64_t state;

	tap_start(argc, argv, 180);
	state = tap_seed;
	random_pairs(&state);
	walk(&state);
	growth();
	return tap_done();
}
