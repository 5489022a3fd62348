// SPDX-License-Identifier: GPL-2.0-only
/*
 * Binding purge maps, finding them, and seeing them go.
 *
 * A bound map is in the table and nowhere else to be found; who takes it out of
 * the table tears it down.  That is the process, by UNBIND or by binding
 * another; the release of the reservation, at the last munmap(), exec or exit;
 * or, when a forked child keeps the reservation mapped, the sweep that finds the
 * owner's mm without users.  (An mmu notifier would tell at once, but has a price
 * for every change to the process's memory, for as long as the map is bound.)
 *
 * The long-term pin makes fork() copy the page for the child at once, so that
 * the page stays the owner's whatever happens to its address.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <linux/xarray.h>

#include "owner.h"
#include "purge_map.h"
#include "shrinker.h"
#include "sweep.h"

#define DECAY_MS_MIN 10
#define DECAY_MS_MAX (60 * 60 * 1000)
#define DECAY_MS_DEFAULT 1000

/* What the process asked for, checked. */
struct bind_args {
	unsigned long address;
	unsigned int pages;
	unsigned int unit_shift;
	u64 units;
	u32 decay_ms;
};

/* By the reservation's id, the readers under RCU. */
static DEFINE_XARRAY(tract_purge_maps);
static struct kmem_cache *tract_purge_map_cache;

static void map_free_rcu(struct rcu_head *rcu)
{
	kmem_cache_free(tract_purge_map_cache,
			container_of(rcu, struct tract_bound_map, rcu));
}

static void map_free(struct kref *kref)
{
	struct tract_bound_map *map =
		container_of(kref, struct tract_bound_map, kref);

	call_rcu(&map->rcu, map_free_rcu);
}

/* Frees no more than the structure, and so may be called in reclaim. */
void tract_purge_map_put(struct tract_bound_map *map)
{
	kref_put(&map->kref, map_free);
}

/* The first map from *@id on, and its id; or NULL. */
struct tract_bound_map *tract_purge_map_get_next(u64 *id)
{
	struct tract_bound_map *map;
	unsigned long index = *id;

	rcu_read_lock();
	do {
		map = xa_find(&tract_purge_maps, &index, ULONG_MAX, XA_PRESENT);
	} while (map && !kref_get_unless_zero(&map->kref));
	rcu_read_unlock();
	*id = index;
	return map;
}

/* False, and not locked, when the map is dead. */
bool tract_purge_map_lock(struct tract_bound_map *map)
{
	mutex_lock(&map->mutex);
	if (!map->dead)
		return true;
	mutex_unlock(&map->mutex);
	return false;
}

void tract_purge_map_unlock(struct tract_bound_map *map)
{
	mutex_unlock(&map->mutex);
}

/* Counts come from the process: what nobody can have counted is not believed. */
static u64 count_since(u64 now, u64 *counted)
{
	u64 more = now - *counted;

	*counted = now;
	return more > U32_MAX ? 0 : more;
}

/* Add to STATS what the process has counted since the last time. */
void tract_purge_map_count_locked(struct tract_bound_map *map)
{
	struct tract_owner_work work = {};

	lockdep_assert_held(&map->mutex);
	work.offered_units = count_since(READ_ONCE(map->header->offered),
					 &map->counted_offered);
	work.reused_units = count_since(READ_ONCE(map->header->reused),
					&map->counted_reused);
	tract_owner_count(map->res->owner, &map->res->counters, &work);
}

/* Of all maps of @mm, or of all. */
void tract_purge_map_count_all(const struct mm_struct *mm)
{
	struct tract_bound_map *map;
	u64 id = 0;

	while ((map = tract_purge_map_get_next(&id))) {
		if (tract_purge_map_lock(map)) {
			if (!mm || map->res->mm == mm)
				tract_purge_map_count_locked(map);
			tract_purge_map_unlock(map);
		}
		tract_purge_map_put(map);
		id++;
		cond_resched();
	}
}

void tract_purge_map_count(struct tract_reservation *res)
{
	struct tract_bound_map *map;
	u64 id = res->id;

	map = tract_purge_map_get_next(&id);
	if (!map)
		return;
	if (id == res->id && tract_purge_map_lock(map)) {
		tract_purge_map_count_locked(map);
		tract_purge_map_unlock(map);
	}
	tract_purge_map_put(map);
}

static void unpin(struct tract_bound_map *map, bool dirty)
{
	/* Written to behind the page tables' back, so that nobody else knows. */
	if (map->page_count)
		unpin_user_pages_dirty_lock(map->pages, map->page_count, dirty);
	kvfree(map->pages);
}

/* The caller has taken @map out of the table, and gives up its reference. */
static void tear_down(struct tract_bound_map *map)
{
	struct tract_reservation *res = map->res;

	/* Waits for a step under way, so that nothing is claimed afterwards. */
	mutex_lock(&map->mutex);
	tract_purge_map_count_locked(map);
	map->dead = true;
	mutex_unlock(&map->mutex);

	tract_shrinker_del(map);
	vunmap(map->header);
	tract_owner_uncharge_map(res->owner,
				 (u64)map->page_count << PAGE_SHIFT);
	unpin(map, true);
	tract_reservation_put(res);
	tract_purge_map_put(map);
}

/* 0, or -ENOENT if @res has no map. */
int tract_purge_map_unbind(struct tract_reservation *res)
{
	struct tract_bound_map *map = xa_erase(&tract_purge_maps, res->id);

	if (!map)
		return -ENOENT;
	tear_down(map);
	return 0;
}

/* Unbind @map, unless somebody else is about to. */
void tract_purge_map_reap(struct tract_bound_map *map)
{
	if (xa_cmpxchg(&tract_purge_maps, map->id, map, NULL, GFP_KERNEL) ==
	    map)
		tear_down(map);
}

static int pin_error(long err)
{
	if (fatal_signal_pending(current))
		return -EINTR;
	return err == -ENOMEM ? -ENOMEM : -EFAULT;
}

/* Pin @count pages from @address on, all private and anonymous. */
static int pin(struct tract_bound_map *map, unsigned long address,
	       unsigned int count)
{
	unsigned long at;
	unsigned int i;
	long n;

	map->pages =
		kvmalloc_array(count, sizeof(*map->pages), GFP_KERNEL_ACCOUNT);
	if (!map->pages)
		return -ENOMEM;
	while (map->page_count < count) {
		at = address + ((unsigned long)map->page_count << PAGE_SHIFT);
		n = pin_user_pages_fast(at, count - map->page_count,
					FOLL_WRITE | FOLL_LONGTERM,
					map->pages + map->page_count);
		if (n <= 0)
			return pin_error(n);
		map->page_count += n;
	}
	for (i = 0; i < count; i++)
		if (!folio_test_anon(page_folio(map->pages[i])))
			return -EINVAL;
	return 0;
}

/* Undo map_create() of a map that is not in the table. */
static void map_destroy(struct tract_bound_map *map)
{
	vunmap(map->header);
	unpin(map, false);
	tract_purge_map_put(map);
}

/* A map for @res, not yet with a reference to it. */
static struct tract_bound_map *map_create(struct tract_reservation *res,
					  const struct bind_args *args)
{
	struct tract_bound_map *map;
	int err;

	map = tract_shrinker_alloc(tract_purge_map_cache);
	if (!map)
		return ERR_PTR(-ENOMEM);
	memset(map, 0, sizeof(*map));
	kref_init(&map->kref);
	INIT_LIST_HEAD(&map->lru);
	mutex_init(&map->mutex);
	map->id = res->id;
	map->res = res;
	map->unit_shift = args->unit_shift;
	map->units = args->units;
	err = pin(map, args->address, args->pages);
	if (err)
		goto err_destroy;
	map->header = vmap(map->pages, map->page_count, VM_MAP, PAGE_KERNEL);
	err = -ENOMEM;
	if (!map->header)
		goto err_destroy;
	map->states = (u8 *)map->header + PAGE_SIZE;
	map->counted_offered = READ_ONCE(map->header->offered);
	map->counted_reused = READ_ONCE(map->header->reused);
	tract_purge_init(map);
	tract_sweep_plan(&map->plan, args->decay_ms);
	return map;

err_destroy:
	map_destroy(map);
	return ERR_PTR(err);
}

/* Put @map, which has references to all it needs, in place of what was there. */
static int publish(struct tract_bound_map *map)
{
	struct tract_bound_map *old;
	int err;

	/* Reclaim waits for the mutex, so nothing may be allocated under it. */
	err = xa_reserve(&tract_purge_maps, map->id, GFP_KERNEL_ACCOUNT);
	if (err)
		return err;
	/* Nobody works on it before the module's side of it is as for a new map. */
	mutex_lock(&map->mutex);
	tract_shrinker_add(map);
	/* Allocates only if somebody unbinds what is there just now. */
	old = xa_store(&tract_purge_maps, map->id, map,
		       GFP_NOWAIT | __GFP_NOWARN);
	if (xa_is_err(old)) {
		map->dead = true;
		mutex_unlock(&map->mutex);
		tract_shrinker_del(map);
		return xa_err(old);
	}
	WRITE_ONCE(map->header->sweeps, 0);
	WRITE_ONCE(map->header->purged, 0);
	WRITE_ONCE(map->header->flags, 0);
	mutex_unlock(&map->mutex);
	if (old)
		tear_down(old);
	return 0;
}

static int bind(struct tract_reservation *res, const struct bind_args *args)
{
	const u64 length = (u64)args->pages << PAGE_SHIFT;
	struct tract_bound_map *map;
	int err;

	err = tract_owner_charge_map(res->owner, length);
	if (err)
		return err;
	map = map_create(res, args);
	if (IS_ERR(map)) {
		err = PTR_ERR(map);
		goto err_charge;
	}
	kref_get(&res->kref);
	err = publish(map);
	if (err)
		goto err_map;
	/*
	 * Another thread may have unmapped the reservation meanwhile, and its
	 * release, having found no map, will not come again.
	 */
	if (!tract_reservation_is_mapped(res)) {
		tract_purge_map_unbind(res);
		return -ENOENT;
	}
	tract_sweep_start();
	return 0;

err_map:
	tract_reservation_put(res);
	map_destroy(map);
err_charge:
	tract_owner_uncharge_map(res->owner, length);
	return err;
}

/* 0 or -EINVAL, for what is wrong whatever the reservation. */
static int check_args(const struct tract_purge_map *args)
{
	if (args->decay_ms && args->decay_ms != TRACT_DECAY_NEVER &&
	    (args->decay_ms < DECAY_MS_MIN || args->decay_ms > DECAY_MS_MAX))
		return -EINVAL;
	if (args->unit_size && (!is_power_of_2(args->unit_size) ||
				args->unit_size < TRACT_PURGE_UNIT_MIN ||
				args->unit_size > TRACT_PURGE_UNIT_MAX))
		return -EINVAL;
	if (!PAGE_ALIGNED(args->address))
		return -EINVAL;
	return 0;
}

/* Fill @bind by @args, whose length has to fit @res. */
static int check_length(const struct tract_purge_map *args,
			const struct tract_reservation *res,
			struct bind_args *bind)
{
	u32 unit_size = args->unit_size ?: TRACT_UNIT_SIZE;

	bind->unit_shift = ilog2(unit_size);
	bind->units = res->length >> bind->unit_shift;
	if (!bind->units || args->length != PAGE_SIZE + PAGE_ALIGN(bind->units))
		return -EINVAL;
	/* pin_user_pages_fast() counts in int; no limit is near that. */
	if (args->length >> PAGE_SHIFT > INT_MAX)
		return -ENOSPC;
	if (!access_ok((void __user *)args->address, args->length))
		return -EFAULT;
	bind->address = args->address;
	bind->pages = args->length >> PAGE_SHIFT;
	bind->decay_ms = args->decay_ms ?: DECAY_MS_DEFAULT;
	return 0;
}

int tract_purge_map_set(void *arg, void __user *uarg)
{
	const struct tract_purge_map *args = arg;
	const bool is_unbind = args->flags & TRACT_PURGE_MAP_UNBIND;
	struct bind_args bind_args = {};
	struct tract_reservation *res;
	int err;

	if (args->flags & ~TRACT_PURGE_MAP_UNBIND)
		return -EOPNOTSUPP;
	if (is_unbind && (args->address || args->length || args->unit_size ||
			  args->decay_ms))
		return -EINVAL;
	err = check_args(args);
	if (err)
		return err;
	res = tract_reservation_get(args->id);
	if (!res)
		return -ENOENT;
	if (is_unbind) {
		err = tract_purge_map_unbind(res);
	} else {
		err = check_length(args, res, &bind_args);
		if (!err)
			err = bind(res, &bind_args);
	}
	tract_reservation_put(res);
	return err;
}

int tract_purge_map_init(void)
{
	tract_purge_map_cache = KMEM_CACHE(tract_bound_map, SLAB_ACCOUNT);
	return tract_purge_map_cache ? 0 : -ENOMEM;
}

/* With the last reservation gone there is no map left, but maybe the memory. */
void tract_purge_map_exit(void)
{
	WARN_ON(!xa_empty(&tract_purge_maps));
	xa_destroy(&tract_purge_maps);
	rcu_barrier();
	kmem_cache_destroy(tract_purge_map_cache);
}
