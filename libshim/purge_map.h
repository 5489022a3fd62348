/* SPDX-License-Identifier: MIT */
/*
 * The purge map of a region: one byte a unit that says whether its pages may be
 * dropped, by whom, and whether they are gone.  The states and who changes which
 * are enum tract_unit of <linux/tract.h>; the module plays the claimer where the
 * map is bound, purge.c where not, and they may both.
 *
 * Pure logic, no system call.  The process's side (offer, take) is serialised by
 * the arena's lock, so that the header's counters need no atomic addition; a
 * claimer needs no lock at all, and nobody ever waits for one.
 *
 *   offer    LIVE to VOLATILE, release: after the last access to the unit
 *   take     VOLATILE or AGED to LIVE by compare-exchange, acquire: contents are
 *            intact.  PURGED to LIVE: zero.  PURGING: another run must do.
 *   age      VOLATILE to AGED by compare-exchange
 *   claim    VOLATILE or AGED to PURGING by compare-exchange
 *   finish   PURGING to PURGED, release: after the pages are gone
 */
#ifndef TRACT_PURGE_MAP_H
#define TRACT_PURGE_MAP_H

#include <linux/tract.h>

#include "common.h"

/*
 * In a child of fork(), of memory that the program had offered before: what it
 * holds is unknown.  The device, to which the child's map is nothing, would take
 * it for LIVE.
 */
#define UNIT_LOST ((uint8_t)0xff)

/* On its way from offered to LIVE, which it already is to everybody else. */
#define UNIT_HELD ((uint8_t)0xfe)

/* Units of a 2 MiB page; maps begin at a multiple of that. */
#define HUGE_UNITS ((size_t)32)

struct purge_map {
	struct tract_purge_header *header;
	uint8_t *state;
};

/* What became of a run while it was offered. */
struct taken {
	size_t intact; /* units that were offered and have their old contents */
	size_t end;    /* units up to and with the last such */
	size_t gone;   /* units that were purged and read as zero */
};

/* Which units a claimer wants. */
struct claim {
	bool young; /* VOLATILE as well as AGED */
	bool whole; /* none but of 2 MiB of which every unit is wanted */
};

/* Offers what is LIVE of a run and leaves the rest as it is. */
void tract__purge_map_offer(struct purge_map *map, size_t first, size_t count);

/*
 * Takes a run back, all of it or nothing.  False: a unit of it is PURGING.  What
 * is LIVE stays so and is not counted.
 */
bool tract__purge_map_take(struct purge_map *map, size_t first, size_t count,
			   struct taken *taken);

/* The number of units at the start of a run that are PURGED. */
size_t tract__purge_map_purged(const struct purge_map *map, size_t first,
			       size_t count);

/* The number of units of a run that are offered and not yet claimed. */
size_t tract__purge_map_count(const struct purge_map *map, size_t first,
			      size_t count);

/* Every VOLATILE unit of [0, @end) becomes AGED. */
void tract__purge_map_age(struct purge_map *map, size_t end);

/*
 * Claims the next run of [*@at, @end), of at most @max units, and moves *@at
 * behind it.  The length of the run, which starts at *@first; 0: there is none.
 */
size_t tract__purge_map_claim(struct purge_map *map, size_t *at, size_t end,
			      size_t max, struct claim want, size_t *first);

/* The pages of a run that the caller has claimed are gone. */
void tract__purge_map_finish(struct purge_map *map, size_t first, size_t count);

/* They are not: the claim is given up.  Serialised as an offer is. */
void tract__purge_map_unclaim(struct purge_map *map, size_t first,
			      size_t count);

/*
 * In a forked child, whose copy of the map nobody keeps: what is offered of a
 * run counts as @state, VOLATILE or UNIT_LOST.
 */
void tract__purge_map_forget(struct purge_map *map, size_t first, size_t count,
			     uint8_t state);

/*
 * The counters after that.  @offered: units that are VOLATILE.
 */
void tract__purge_map_restart(struct purge_map *map, size_t offered);

#endif
