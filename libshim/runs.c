// SPDX-License-Identifier: MIT
#include "runs.h"

static unsigned int bin_of(size_t units)
{
	unsigned int shift;

	if (units < RUNS_EXACT)
		return (unsigned int)units;
	shift = log2_floor(units);
	return RUNS_EXACT + (shift - 6) * 8 +
	       (unsigned int)(units >> (shift - 3) & 7);
}

void tract__runs_insert(struct runs *runs, struct span *span)
{
	unsigned int bin = bin_of(span->units);
	uint64_t *word = &runs->nonempty[bin / 64];
	uint64_t bit = 1ull << bin % 64;

	if (!(*word & bit))
		list_init(&runs->bins[bin]);
	list_insert(&span->node, &runs->bins[bin]);
	*word |= bit;
	write_once(&runs->units, runs->units + span->units);
}

void tract__runs_remove(struct runs *runs, struct span *span)
{
	unsigned int bin = bin_of(span->units);

	list_remove(&span->node);
	if (list_empty(&runs->bins[bin]))
		runs->nonempty[bin / 64] &= ~(1ull << bin % 64);
	write_once(&runs->units, runs->units - span->units);
}

void tract__runs_replace(struct runs *runs, struct span *old, struct span *span,
			 size_t units)
{
	if (bin_of(units) != bin_of(old->units)) {
		tract__runs_remove(runs, old);
		span->units = (uint32_t)units;
		tract__runs_insert(runs, span);
		return;
	}
	write_once(&runs->units, runs->units + units - old->units);
	span->units = (uint32_t)units;
	if (span == old)
		return;
	list_insert(&span->node, &old->node);
	list_remove(&old->node);
}

/* First bin from @bin on that holds a run; RUNS_BINS if none does. */
static unsigned int next_nonempty(const struct runs *runs, unsigned int bin)
{
	uint64_t word;

	if (bin >= RUNS_BINS)
		return RUNS_BINS;
	word = runs->nonempty[bin / 64] & ~0ull << bin % 64;
	for (unsigned int i = bin / 64;;) {
		if (word)
			return i * 64 + (unsigned int)__builtin_ctzll(word);
		if (++i == ARRAY_SIZE(runs->nonempty))
			return RUNS_BINS;
		word = runs->nonempty[i];
	}
}

static struct span *best_in_bin(struct list *bin, size_t units)
{
	struct span *best = NULL;
	int scanned = 0;

	for (struct list *n = bin->next; n != bin && scanned < RUNS_SCAN;
	     n = n->next, scanned++) {
		struct span *span = container_of(n, struct span, node);

		if (span->units >= units &&
		    (!best || span->units < best->units))
			best = span;
		if (best && best->units == units)
			break;
	}
	return best;
}

struct span *tract__runs_find(struct runs *runs, size_t units)
{
	unsigned int bin = bin_of(units);

	/* The runs of the request's own bin may be too short, of others not. */
	for (bin = next_nonempty(runs, bin); bin < RUNS_BINS;
	     bin = next_nonempty(runs, bin + 1)) {
		struct span *span = best_in_bin(&runs->bins[bin], units);

		if (span)
			return span;
	}
	return NULL;
}

/* Last bin up to @bin that holds a run; -1 if none does. */
static int last_nonempty(const struct runs *runs, int bin)
{
	for (int i = bin / 64; bin >= 0; bin = --i * 64 + 63) {
		uint64_t word = runs->nonempty[i] & ~0ull >> (63 - bin % 64);

		if (word)
			return i * 64 + 63 - __builtin_clzll(word);
	}
	return -1;
}

struct span *tract__runs_next_shorter(struct runs *runs, struct span *span)
{
	int bin = RUNS_BINS;

	if (span) {
		bin = (int)bin_of(span->units);
		if (span->node.next != &runs->bins[bin])
			return container_of(span->node.next, struct span, node);
	}
	bin = last_nonempty(runs, bin - 1);
	return bin < 0 ? NULL :
			 container_of(runs->bins[bin].next, struct span, node);
}
