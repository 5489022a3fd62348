/* SPDX-License-Identifier: MIT */
/*
 * Short runs that were given back last, by length: whoever wants as many units
 * has one without a search, and no run is merged only to be cut again.
 *
 * Large blocks and spans of small ones keep to their own: a block is written to
 * all over, a span often in its first part only, and would be charged with the
 * pages behind that for ever.  How far a span is written to depends on the class,
 * and so each gets one of its own back if there is any.
 *
 * They are offered in the map as all free memory is, so to wait here keeps
 * nothing from being purged.  Their kind is SPAN_NONE.  Under the arena's lock.
 */
#ifndef TRACT_QUICK_H
#define TRACT_QUICK_H

#include "region.h"

/*
 * The run given back last of @units units, of those of @class if there is one, taken
 * out of the map; or NULL.
 */
struct span *tract__quick_alloc(size_t units, enum span_kind kind,
				unsigned int class);

/* Keeps a run of the heap's pool that has just been offered, all of it. */
void tract__quick_free(struct span *span, enum span_kind kind);

/* Makes ordinary free runs of all; true if there was any. */
bool tract__quick_flush(void);

static inline bool quick_keeps(size_t units)
{
	return units <= QUICK_UNITS;
}

#endif
