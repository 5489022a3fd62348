// SPDX-License-Identifier: GPL-2.0-only
/*
 * Purging under memory pressure, the machine's or a memory cgroup's.
 *
 * Maps are on a list_lru, by the node that they are on and the cgroup that they
 * are charged to, which is the one that the process was in when it bound them.
 * The list makes the kernel call the shrinker for that cgroup when it reaches
 * its limit, and the shrinker takes the maps of that list in turn.
 *
 * Everything here runs inside of somebody's memory allocation, with any locks
 * held: it allocates nothing, and tries to take the locks of the zap (zap.c), but
 * does not wait for them.  It does wait for the mutex of a map, which nobody
 * allocates under: of two who are short of memory the second would otherwise see
 * no progress, and get somebody killed, while the first is at work.  What it may
 * be the last to drop is the structure of a map, whose memory goes back by RCU.
 *
 * The objects that are counted are pages.
 */
#include <linux/list_lru.h>
#include <linux/slab.h>

#include "compat.h"
#include "purge.h"
#include "purge_map.h"
#include "shrinker.h"

/* The most that is said to be there to free: bounds the work. */
#define COUNT_MAX (SZ_512M >> PAGE_SHIFT)
/* Pages to a call; a call for less waits until no priority is left. */
#define BATCH (SZ_2M >> PAGE_SHIFT)
/* Maps looked at in a call. */
#define MAPS_MAX 128UL

static struct shrinker *tract_shrinker;
static struct list_lru tract_shrinker_lru;
/* The list can be made only for a shrinker that is registered. */
static bool tract_shrinker_ready;

/* Charged to the current cgroup, which gets a list if it has none. */
void *tract_shrinker_alloc(struct kmem_cache *cache)
{
	return kmem_cache_alloc_lru(cache, &tract_shrinker_lru, GFP_KERNEL);
}

void tract_shrinker_add(struct tract_bound_map *map)
{
	tract_compat_list_lru_add(&tract_shrinker_lru, &map->lru);
}

/* Who got @map from the list by now has a reference. */
void tract_shrinker_del(struct tract_bound_map *map)
{
	tract_compat_list_lru_del(&tract_shrinker_lru, &map->lru);
}

static struct tract_bound_map *map_of(struct list_head *item)
{
	return container_of(item, struct tract_bound_map, lru);
}

/* A map on the list is not dead while the list is locked. */
static enum lru_status add_estimate(struct list_head *item,
				    struct list_lru_one *list,
				    TRACT_COMPAT_LIST_LRU_LOCK void *arg)
{
	struct tract_bound_map *map = map_of(item);
	unsigned long *count = arg;

	if (!READ_ONCE(map->progress.shared))
		*count += tract_purge_estimate(map)
			  << (map->unit_shift - PAGE_SHIFT);
	return LRU_SKIP;
}

static enum lru_status get_first(struct list_head *item,
				 struct list_lru_one *list,
				 TRACT_COMPAT_LIST_LRU_LOCK void *arg)
{
	struct tract_bound_map **found = arg;

	*found = map_of(item);
	kref_get(&(*found)->kref);
	return LRU_ROTATE;
}

static unsigned long count(struct shrinker *shrinker, struct shrink_control *sc)
{
	unsigned long pages = 0, maps = MAPS_MAX;

	/* Pairs with the release in tract_shrinker_init(). */
	if (!smp_load_acquire(&tract_shrinker_ready))
		return 0;
	if (!list_lru_shrink_count(&tract_shrinker_lru, sc))
		return SHRINK_EMPTY;
	list_lru_walk_one(&tract_shrinker_lru, sc->nid, sc->memcg, add_estimate,
			  &pages, &maps);
	return min_t(unsigned long, pages, COUNT_MAX);
}

/* The next map in turn, with a reference, or NULL. */
static struct tract_bound_map *get_next(const struct shrink_control *sc)
{
	struct tract_bound_map *map = NULL;
	unsigned long one = 1;

	list_lru_walk_one(&tract_shrinker_lru, sc->nid, sc->memcg, get_first,
			  &map, &one);
	return map;
}

/* Purge @goal pages, or the unit that they are in.  Returns the pages. */
static u64 purge(struct tract_bound_map *map, u64 goal)
{
	const unsigned int shift = map->unit_shift - PAGE_SHIFT;
	u64 purged = 0;

	if (READ_ONCE(map->progress.shared) || !tract_purge_map_lock(map))
		return 0;
	if (tract_purge_estimate(map))
		purged = tract_purge_pressure(map, goal >> shift);
	tract_purge_map_unlock(map);
	return purged << shift;
}

static unsigned long scan(struct shrinker *shrinker, struct shrink_control *sc)
{
	unsigned long maps, purged = 0;

	maps = min(list_lru_shrink_count(&tract_shrinker_lru, sc), MAPS_MAX);
	for (; maps && purged < sc->nr_to_scan; maps--) {
		struct tract_bound_map *map = get_next(sc);

		if (!map)
			break;
		purged += purge(map, sc->nr_to_scan - purged);
		tract_purge_map_put(map);
		cond_resched();
	}
	return purged ?: SHRINK_STOP;
}

int tract_shrinker_init(void)
{
	int err;

	tract_shrinker = tract_compat_shrinker_alloc();
	if (!tract_shrinker)
		return -ENOMEM;
	tract_shrinker->count_objects = count;
	tract_shrinker->scan_objects = scan;
	tract_shrinker->batch = BATCH;
	/* Costs nothing to get back: take half of what there is at a time. */
	tract_shrinker->seeks = 0;
	err = tract_compat_shrinker_register(tract_shrinker);
	if (err)
		goto err_free;
	err = list_lru_init_memcg(&tract_shrinker_lru, tract_shrinker);
	if (err)
		goto err_free;
	/* Pairs with the acquire in count(): the list is there. */
	smp_store_release(&tract_shrinker_ready, true);
	return 0;

err_free:
	tract_compat_shrinker_free(tract_shrinker);
	return err;
}

void tract_shrinker_exit(void)
{
	tract_compat_shrinker_free(tract_shrinker);
	list_lru_destroy(&tract_shrinker_lru);
}
