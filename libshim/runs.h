/* SPDX-License-Identifier: MIT */
/*
 * An index of free runs by length: best fit in constant time, near enough.
 *
 * Pure logic on span headers, no memory of its own.  Lengths up to 63 units
 * have a bin each; above, eight bins to a doubling, where the best of the first
 * RUNS_SCAN is taken.
 */
#ifndef TRACT_RUNS_H
#define TRACT_RUNS_H

#include "span.h"

#define RUNS_EXACT 64
#define RUNS_BINS (RUNS_EXACT + 8 * 26)
#define RUNS_SCAN 32

/* All of it zero: an empty one, of which no page is touched. */
struct runs {
	uint64_t nonempty[(RUNS_BINS + 63) / 64];
	size_t units;		     /* of all runs in the index */
	struct list bins[RUNS_BINS]; /* meaningless where one is empty */
};

/* @span->units says how long the run is; it goes to the front of its bin. */
void tract__runs_insert(struct runs *runs, struct span *span);
void tract__runs_remove(struct runs *runs, struct span *span);
/*
 * @span, of @units units, takes the place of @old, of which it is a part or which
 * is a part of it; they may be the same.
 */
void tract__runs_replace(struct runs *runs, struct span *old, struct span *span,
			 size_t units);
/* The shortest run of at least @units found, still in the index; or NULL. */
struct span *tract__runs_find(struct runs *runs, size_t units);
/*
 * One by one all runs, a bin of longer ones before a bin of shorter ones.  After
 * @span, which is in the index; the first after NULL.
 */
struct span *tract__runs_next_shorter(struct runs *runs, struct span *span);

#endif
