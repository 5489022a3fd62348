/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Purging: looking through maps in bounded steps, ageing what is offered, and
 * dropping its pages.  sweep.c and shrinker.c say when.
 */
#ifndef TRACT_PURGE_H
#define TRACT_PURGE_H

#include <linux/types.h>

struct tract_bound_map;

/* How far somebody has come in looking through a map. */
struct tract_purge_scan {
	bool active;
	bool shared; /* a child was in the way */
	unsigned int pass;
	u64 at; /* the next unit of this pass */
	u64 offered; /* by the header, when the scan began */
	u64 left; /* units seen that stay offered */
	u64 ns; /* spent in all steps but the last */
};

/* What is known of a map, under its mutex. */
struct tract_purge_progress {
	/*
	 * At the end of the last complete scan: the header's count when that
	 * began, and the units that it left.  While nothing was offered since
	 * and none was left there is nothing to look at.  A shrinker reads them
	 * without the mutex.
	 */
	u64 offered;
	u64 left;
	bool shared; /* as the flag in the header */
	u64 sweeps;
	u64 purged;
	struct tract_purge_scan sweep;
	struct tract_purge_scan pressure;
};

enum tract_purge_result {
	TRACT_PURGE_DONE, /* that was the end of the scan */
	TRACT_PURGE_MORE,
	TRACT_PURGE_BLOCKED, /* by a lock; the same again later */
};

void tract_purge_init(struct tract_bound_map *map);
u64 tract_purge_estimate(struct tract_bound_map *map);
void tract_purge_look_for_children(struct tract_bound_map *map);
enum tract_purge_result tract_purge_sweep(struct tract_bound_map *map);
u64 tract_purge_pressure(struct tract_bound_map *map, u64 goal);

#endif /* TRACT_PURGE_H */
