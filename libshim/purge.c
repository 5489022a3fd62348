// SPDX-License-Identifier: MIT
#include "purge.h"

#include "options.h"
#include "region.h"
#include "sys.h"

/*
 * Freed memory waits for its decay because a program often wants it back.  How
 * much of it does, the recent past tells: the units taken after as many had been
 * given back.  What exceeds that and this much more goes at once, down to half,
 * so that a program which frees all and then sleeps need not be asked.
 */
#define IDLE_UNITS_MAX 512

/* Units purged in one go: bounds the time other purgers wait. */
#define PURGE_UNITS_MAX 4096

/*
 * When memory cannot be given back (a filter, a kernel short of memory) it is
 * not tried for a while, twice as long each time: decommit is advice, and the
 * retries must not cost more than the memory.
 */
#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 10000

/* One purger at a time; held over the system calls.  Outermost. */
static struct lock purge_lock;

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
		tract__arena.flow.since = now;
	}
	return tract__arena.flow.retaken[0] + tract__arena.flow.retaken[1];
}

/*
 * Takes runs out of the index: those that are older than the decay, and the
 * oldest of what is more than @keep units.
 */
static unsigned int collect_due(struct span **runs, uint32_t now, size_t keep)
{
	int decay = tract__options.decay_ms;
	unsigned int count = 0;
	size_t units = 0;

	while (count < DECOMMIT_BATCH && units < PURGE_UNITS_MAX &&
	       !list_empty(&tract__arena.age)) {
		struct span *span =
			container_of(tract__arena.age.next, struct span, age);
		bool due = decay != DECAY_NEVER &&
			   now - span->freed_at >= (uint32_t)decay;

		if (!due && tract__arena.dirty.units <= keep)
			break;
		tract__region_take(span);
		units += span->units;
		runs[count++] = span;
	}
	return count;
}

static uint32_t next_pause(bool purged)
{
	if (purged)
		return 0;
	if (!tract__arena.pause_ms)
		return PAUSE_MIN_MS;
	return tract__arena.pause_ms < PAUSE_MAX_MS / 2 ?
		       2 * tract__arena.pause_ms :
		       PAUSE_MAX_MS;
}

/* One batch.  True: there may be more. */
static bool purge_some(size_t keep)
{
	struct decommit ranges[DECOMMIT_BATCH];
	struct span *runs[DECOMMIT_BATCH];
	uint32_t now = tract__sys_now_ms();
	unsigned int count;
	bool more = true;

	lock_acquire(&tract__arena.lock);
	count = collect_due(runs, now, keep);
	lock_release(&tract__arena.lock);
	if (!count)
		return false;
	for (unsigned int i = 0; i < count; i++) {
		struct region *region = region_of(runs[i]);

		ranges[i].reservation = &region->reservation;
		ranges[i].offset = index_of(runs[i]) * UNIT_SIZE;
		ranges[i].length = runs[i]->units * UNIT_SIZE;
	}
	tract__backend_decommit(ranges, count);
	lock_acquire(&tract__arena.lock);
	tract__arena.pause_ms = next_pause(ranges[count - 1].done);
	tract__arena.failed_at = now;
	for (unsigned int i = 0; i < count; i++) {
		struct region *region = region_of(runs[i]);
		size_t index = index_of(runs[i]);

		if (ranges[i].done) {
			tract__arena.purged_units += runs[i]->units;
			tract__arena.purges++;
			tract__region_insert(region, index, runs[i]->units,
					     SPAN_CLEAN, 0);
		} else {
			/* Tried again a pause later, not now. */
			tract__region_insert(region, index, runs[i]->units,
					     SPAN_DIRTY, now);
			more = false;
		}
	}
	lock_release(&tract__arena.lock);
	return more;
}

/* Is anything due?  *@keep: units of dirty memory that may wait. */
static bool purge_due(uint32_t now, size_t *keep)
{
	size_t limit;
	bool due = false;

	*keep = SIZE_MAX;
	lock_acquire(&tract__arena.lock);
	limit = IDLE_UNITS_MAX + retaken(now);
	if (!list_empty(&tract__arena.age) &&
	    now - tract__arena.failed_at >= tract__arena.pause_ms) {
		struct span *oldest =
			container_of(tract__arena.age.next, struct span, age);

		due = now - oldest->freed_at >=
		      (uint32_t)tract__options.decay_ms;
		if (tract__arena.dirty.units > limit) {
			*keep = limit / 2;
			due = true;
		}
	}
	lock_release(&tract__arena.lock);
	return due;
}

bool tract__purge_tick(uint32_t now)
{
	size_t keep;

	if (!read_once(&tract__arena.dirty.units) ||
	    tract__options.decay_ms == DECAY_NEVER)
		return false;
	if (purge_due(now, &keep) && lock_try(&purge_lock)) {
		while (purge_some(keep))
			;
		lock_release(&purge_lock);
	}
	return true;
}

bool tract__purge_all(void)
{
	bool any = read_once(&tract__arena.dirty.units) != 0;

	if (!tract__arena.initialised)
		return false;
	lock_acquire(&purge_lock);
	while (purge_some(0))
		;
	lock_release(&purge_lock);
	return any;
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
