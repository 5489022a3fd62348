// SPDX-License-Identifier: MIT
#include "purge.h"

#include "options.h"
#include "region.h"
#include "sys.h"

/*
 * Freed memory waits for its decay because a program often wants it back.  How
 * much of it does, the recent past tells: the most units taken after as many had
 * been given back (not the sum: one unit taken and returned for ever is one).  What
 * exceeds that and this much more goes at once, down to half, so that a program
 * which frees all and then sleeps need not be asked.
 */
#define IDLE_UNITS_MAX 512

/* So many times as much: of blocks of many lengths no run fits exactly. */
#define SWINGS 3

/* Units purged in one call: bounds the time other purgers wait. */
#define PURGE_UNITS_MAX 4096

/*
 * When memory cannot be given back (a filter, a kernel short of memory) it is
 * not tried for a while, twice as long each time: decommit is advice, and the
 * retries must not cost more than the memory.
 */
#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 10000

bool tract__purge_awake;
size_t tract__purge_limit = IDLE_UNITS_MAX;
bool tract__purge_hurry;

/*
 * One purger at a time, who holds the lock over the system calls.  Outermost.
 * He claims units in the maps without the arena's lock, as the module does: a
 * claimed unit keeps its reservation from being released, and what else he reads
 * of a region was written before the unit was offered.
 */
static struct lock purge_lock;

static size_t owed; /* units, under the arena's lock */

/* Under purge_lock; times in ms. */
static struct {
	uint32_t seen_at;
	uint32_t swept_at;
	uint64_t offered;    /* units, when last looked at ... */
	uint32_t offered_at; /* ... and when that was another number */
	uint32_t pause_ms;   /* 0: purging works */
	uint32_t failed_at;
} purge;

/* Where to purge, and how far. */
struct order {
	bool all;    /* wherever something is offered, not where it is for us */
	size_t keep; /* units that may stay */
	const struct region *region; /* only there, and only ... */
	size_t first;
	size_t end;
};

static bool concerns(const struct region *region, const struct order *order)
{
	if (!read_once(&region->units))
		return false;
	if (order->region)
		return region == order->region;
	return order->all ||
	       (region->pool == POOL_HEAP && region_is_driven(region));
}

static size_t count_intact(const struct order *order)
{
	unsigned int regions =
		__atomic_load_n(&tract__arena.region_count, __ATOMIC_ACQUIRE);
	size_t intact = 0;

	for (unsigned int r = 0; r < regions; r++) {
		const struct region *region = &tract__arena.regions[r];

		if (concerns(region, order))
			intact += region_intact(region);
	}
	return intact;
}

static const struct order due_order = { .all = false };

/* Units that the program has had back within about two decays. */
static size_t retaken(uint32_t now)
{
	uint32_t period = tract__options.decay_ms > 100 ?
				  (uint32_t)tract__options.decay_ms :
				  100;
	uint32_t elapsed = now - tract__arena.flow.since;

	if (elapsed >= period) {
		tract__arena.flow.retaken[1] =
			elapsed < 2 * period ? tract__arena.flow.retaken[0] : 0;
		tract__arena.flow.retaken[0] = 0;
		tract__arena.flow.deepest = tract__arena.flow.given;
		tract__arena.flow.since = now;
	}
	return SWINGS *
	       (tract__arena.flow.retaken[0] + tract__arena.flow.retaken[1]);
}

struct claimed {
	struct decommit ranges[DECOMMIT_BATCH];
	struct region *regions[DECOMMIT_BATCH];
	unsigned int count;
	size_t units;
};

static void claim_in(struct claimed *claimed, struct region *region,
		     const struct order *order, struct claim want,
		     size_t units_max)
{
	size_t at = order->region ? order->first : 0;
	size_t end = order->region ? order->end :
				     read_once(&region->offered_end);

	while (claimed->count < DECOMMIT_BATCH && claimed->units < units_max) {
		size_t first;
		size_t n = tract__purge_map_claim(&region->map, &at, end,
						  units_max - claimed->units,
						  want, &first);

		if (!n)
			return;
		claimed->regions[claimed->count] = region;
		claimed->ranges[claimed->count++] = (struct decommit){
			.reservation = &region->reservation,
			.offset = first * UNIT_SIZE,
			.length = n * UNIT_SIZE,
		};
		claimed->units += n;
	}
}

static void claim_some(struct claimed *claimed, const struct order *order,
		       struct claim want)
{
	size_t intact = count_intact(order);
	size_t units_max = intact > order->keep ? intact - order->keep : 0;

	claimed->count = 0;
	claimed->units = 0;
	if (units_max > PURGE_UNITS_MAX)
		units_max = PURGE_UNITS_MAX;
	/* Of a huge page nothing or all goes. */
	if (want.whole)
		units_max = align_up(units_max, HUGE_UNITS);
	for (unsigned int r = 0; r < read_once(&tract__arena.region_count); r++)
		if (concerns(&tract__arena.regions[r], order))
			claim_in(claimed, &tract__arena.regions[r], order, want,
				 units_max);
}

static uint32_t next_pause(bool purged)
{
	if (purged)
		return 0;
	if (!purge.pause_ms)
		return PAUSE_MIN_MS;
	return purge.pause_ms < PAUSE_MAX_MS / 2 ? 2 * purge.pause_ms :
						   PAUSE_MAX_MS;
}

/* What could not be purged is offered again; it is tried after a pause. */
static void finish(struct claimed *claimed)
{
	lock_acquire(&tract__arena.lock);
	for (unsigned int i = 0; i < claimed->count; i++) {
		const struct decommit *range = &claimed->ranges[i];
		struct region *region = claimed->regions[i];
		size_t first = range->offset / UNIT_SIZE;
		size_t units = range->length / UNIT_SIZE;

		if (!range->done) {
			tract__purge_map_unclaim(&region->map, first, units);
			continue;
		}
		tract__purge_map_finish(&region->map, first, units);
		write_once(&region->purged, region->purged + units);
		write_once(&tract__arena.purges, tract__arena.purges + 1);
	}
	lock_release(&tract__arena.lock);
}

/* One batch.  True: there may be more. */
static bool purge_some(const struct order *order, struct claim want,
		       uint32_t now)
{
	struct claimed claimed;
	bool done;

	claim_some(&claimed, order, want);
	if (!claimed.count)
		return false;
	tract__backend_decommit(claimed.ranges, claimed.count);
	done = claimed.ranges[claimed.count - 1].done;
	finish(&claimed);
	purge.pause_ms = next_pause(done);
	purge.failed_at = now;
	return done;
}

/* Whole 2 MiB first: a huge page is not broken while others are empty. */
static void purge_claimable(const struct order *order, bool young, uint32_t now)
{
	struct claim want = { .young = young, .whole = true };

	while (purge_some(order, want, now))
		;
	want.whole = false;
	while (purge_some(order, want, now))
		;
}

/* Nothing left of which the passage of time would make anything. */
static void rest_if_idle(void)
{
	lock_acquire(&tract__arena.lock);
	write_once(&tract__purge_awake,
		   tract__options.decay_ms != DECAY_NEVER &&
			   count_intact(&due_order) != 0);
	lock_release(&tract__arena.lock);
}

static void age(void)
{
	for (unsigned int r = 0; r < read_once(&tract__arena.region_count);
	     r++) {
		struct region *region = &tract__arena.regions[r];

		if (concerns(region, &due_order))
			tract__purge_map_age(&region->map,
					     read_once(&region->offered_end));
	}
}

/* What the last sweep found and still is there goes; the rest has aged. */
static void sweep(uint32_t now, bool all)
{
	purge_claimable(&due_order, all, now);
	age();
	purge.swept_at = now;
}

/* Has nothing been offered for a whole decay? */
static bool all_is_old(uint32_t now)
{
	uint64_t offered = 0;

	for (unsigned int r = 0; r < read_once(&tract__arena.region_count); r++)
		offered +=
			read_once(&tract__arena.regions[r].map.header->offered);
	if (offered != purge.offered) {
		purge.offered = offered;
		purge.offered_at = now;
	}
	return now - purge.offered_at >= (uint32_t)tract__options.decay_ms;
}

/* Down to what the program is likely to want back, and by what it has grown. */
static void purge_excess(size_t grown, uint32_t now)
{
	size_t intact = count_intact(&due_order);
	struct order order = { .keep = intact };

	if (intact > tract__purge_limit)
		order.keep = tract__purge_limit / 2;
	if (grown > intact)
		grown = intact;
	if (order.keep > intact - grown)
		order.keep = intact - grown;
	if (order.keep >= intact)
		return;
	/* The oldest first. */
	purge_claimable(&order, false, now);
	purge_claimable(&order, true, now);
}

static noinline void tick(uint32_t now)
{
	uint32_t decay = (uint32_t)tract__options.decay_ms;
	size_t grown;
	bool all;

	/* One is enough. */
	if (!lock_try(&purge_lock))
		return;
	all = all_is_old(now);
	lock_acquire(&tract__arena.lock);
	write_once(&tract__purge_limit, IDLE_UNITS_MAX + retaken(now));
	grown = owed;
	owed = 0;
	lock_release(&tract__arena.lock);
	write_once(&purge.seen_at, now);
	write_once(&tract__purge_hurry, false);
	if (now - purge.failed_at < purge.pause_ms)
		goto out;
	purge_excess(grown, now);
	if (all || now - purge.swept_at >= decay / 2)
		sweep(now, all);
	rest_if_idle();
out:
	lock_release(&purge_lock);
}

bool tract__purge_tick(uint32_t now)
{
	if (!purge_needs_tick())
		return false;
	if (now == read_once(&purge.seen_at) && tract__options.decay_ms &&
	    !read_once(&tract__purge_hurry))
		return true;
	tick(now);
	return purge_needs_tick();
}

void tract__purge_owe(size_t units)
{
	if (!purge_needs_tick())
		return;
	owed += units;
	write_once(&tract__purge_hurry, true);
}

bool tract__purge_all(void)
{
	const struct order order = { .all = true };
	uint64_t before = read_once(&tract__arena.purges);
	bool any;

	lock_acquire(&purge_lock);
	purge_claimable(&order, true, tract__sys_now_ms());
	any = read_once(&tract__arena.purges) != before;
	rest_if_idle();
	lock_release(&purge_lock);
	return any;
}

void tract__purge_range(struct region *region, size_t first, size_t units)
{
	const struct order order = {
		.region = region,
		.first = first,
		.end = first + units,
	};

	lock_acquire(&purge_lock);
	purge_claimable(&order, true, tract__sys_now_ms());
	lock_release(&purge_lock);
}

void tract__purge_fork_prepare(void)
{
	lock_acquire(&purge_lock);
}

void tract__purge_fork_parent(void)
{
	lock_release(&purge_lock);
}

void tract__purge_fork_child(void)
{
	lock_reset(&purge_lock);
}
