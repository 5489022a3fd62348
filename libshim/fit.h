/* SPDX-License-Identifier: MIT */
/* Which free run serves a request.  Under the arena's lock. */
#ifndef TRACT_FIT_H
#define TRACT_FIT_H

#include "region.h"

/*
 * A run of @units units at a multiple of @align bytes, taken out of the free
 * runs and out of the map: base, region, units and dirty_units are set.  Memory
 * whose contents are intact is preferred (its pages are there) to purged and
 * fresh.  With @spare units more, if there is a clean run of that length.
 *
 * NULL: no run of the pool is long enough; or, with *@busy set, one is, but is
 * just being purged.
 */
struct span *tract__fit(enum pool pool, size_t units, size_t spare,
			size_t align, bool *busy);

/*
 * The free units after the run in use @span, as many as make it @units long,
 * become part of it.  False: no room, or it is just being purged.
 */
bool tract__fit_grow(struct span *span, size_t units);

/*
 * Files what has been purged meanwhile as clean, so that it merges with what is
 * beside it; true if there was any.  Takes the time of a look at every span.
 */
bool tract__fit_settle(void);

#endif
