/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Purge maps: the arrays in which processes offer memory, pinned and mapped for
 * the kernel, from PURGE_MAP until the map, its reservation or its mm goes.
 */
#ifndef TRACT_PURGE_MAP_H
#define TRACT_PURGE_MAP_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sizes.h>
#include <linux/tract.h>
#include <linux/types.h>

#include "purge.h"
#include "reservation.h"
#include "sweep.h"

#define TRACT_PURGE_UNIT_MIN max_t(u32, SZ_16K, PAGE_SIZE)
#define TRACT_PURGE_UNIT_MAX SZ_2M

struct tract_bound_map {
	struct kref kref; /* being bound, and one for each that is at work */
	struct rcu_head rcu;
	struct list_head lru; /* in shrinker.c, until dead */
	u64 id; /* of the reservation */
	/*
	 * Held by whoever works on the map, for one bounded step in which
	 * nothing is allocated and no other lock is waited for that is held
	 * over an allocation: reclaim takes it.  To unbind is to set @dead under
	 * it: when that is done nobody will use the fields from @res to @states
	 * again.
	 */
	struct mutex mutex;
	bool dead; /* mutex */
	struct tract_reservation *res; /* a reference, until dead */
	struct page **pages; /* pinned */
	unsigned int page_count;
	/*
	 * The process's memory.  It may write what it likes at any time, and
	 * what it has at that address by now may be something else.
	 */
	struct tract_purge_header *header;
	u8 *states;
	u64 units;
	unsigned int unit_shift;
	/* Of the process's counts, what STATS has; mutex. */
	u64 counted_offered;
	u64 counted_reused;
	struct tract_purge_progress progress; /* mutex */
	struct tract_sweep_plan plan; /* mutex */
};

int tract_purge_map_set(void *arg, void __user *uarg);
int tract_purge_map_unbind(struct tract_reservation *res);
void tract_purge_map_reap(struct tract_bound_map *map);

struct tract_bound_map *tract_purge_map_get_next(u64 *id);
void tract_purge_map_put(struct tract_bound_map *map);
bool tract_purge_map_lock(struct tract_bound_map *map);
void tract_purge_map_unlock(struct tract_bound_map *map);

void tract_purge_map_count_locked(struct tract_bound_map *map);
void tract_purge_map_count(struct tract_reservation *res);
void tract_purge_map_count_all(const struct mm_struct *mm);

int tract_purge_map_init(void);
void tract_purge_map_exit(void);

#endif /* TRACT_PURGE_MAP_H */
