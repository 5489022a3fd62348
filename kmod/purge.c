// SPDX-License-Identifier: GPL-2.0-only
/*
 * Purging offered units.
 *
 * The order of a purge: the locks are taken and the look for children is made
 * (zap.c), a run of units is claimed, its pages go and the TLBs are flushed, the
 * run is released.  Nothing can fail between claim and release, so no unit stays
 * PURGING, and none goes back.
 *
 * All of it works in steps, each under one hold of the map's mutex and at most
 * one of the zap's locks, and each bounded in what it looks at and in what it
 * zaps, whatever the process writes into its map.
 *
 * A scan is one look through a map, in passes: each pass is for some states, and
 * the first ones only for whole huge pages, so that none is split for a unit
 * while others can go whole.  Reservations are aligned to huge pages, so what is
 * aligned in the map is in memory.
 */
#include <linux/ktime.h>
#include <linux/mm.h>

#include "owner.h"
#include "purge.h"
#include "purge_map.h"
#include "unit.h"
#include "zap.h"

/* The most that one step does. */
#define STEP_UNITS SZ_64K /* looked at */
#define STEP_RUNS 128	  /* zapped */
#define STEP_BYTES SZ_32M /* zapped */

struct pass {
	unsigned int states;
	bool whole; /* huge pages only */
	bool ages; /* VOLATILE units that it comes by */
};

static const struct pass sweep_passes[] = {
	{ .states = TRACT_UNITS_AGED, .whole = true },
	{ .states = TRACT_UNITS_AGED, .ages = true },
};

static const struct pass pressure_passes[] = {
	{ .states = TRACT_UNITS_AGED, .whole = true },
	{ .states = TRACT_UNITS_OFFERED, .whole = true },
	{ .states = TRACT_UNITS_AGED },
	{ .states = TRACT_UNITS_OFFERED },
};

struct step {
	struct tract_bound_map *map;
	struct tract_purge_scan *scan;
	const struct pass *passes;
	unsigned int pass_count;
	u64 goal; /* units to purge, at most */
	u64 purged; /* units */
	u64 looks; /* units to look at, at most */
	unsigned int runs;
	bool begun; /* the zap's locks are held */
	int err; /* why they are not */
};

/* May the step zap?  It holds the locks then, until its end. */
static bool may_zap(struct step *step)
{
	if (!step->begun && !step->err) {
		step->err = tract_zap_try_begin(step->map->res);
		step->begun = !step->err;
	}
	return step->begun;
}

static bool is_spent(const struct step *step)
{
	return step->purged >= step->goal || step->runs >= STEP_RUNS;
}

/*
 * Purge one run of units from @at on, at most up to @end.  Returns the first
 * that is not of the run: @at itself if the process was faster.
 */
static u64 purge_run(struct step *step, u64 at, u64 end, unsigned int states)
{
	struct tract_bound_map *map = step->map;
	u64 next;

	end = min(end, at + (step->goal - step->purged));
	next = tract_unit_claim_run(map->states, at, end, states);
	if (next == at)
		return at;
	tract_zap_purge(map->res, at << map->unit_shift,
			(next - at) << map->unit_shift);
	tract_unit_release_run(map->states, at, next);
	map->progress.purged += next - at;
	WRITE_ONCE(map->header->purged, map->progress.purged);
	step->purged += next - at;
	step->runs++;
	return next;
}

/* All of the huge page that starts at unit @at, if nothing in it is in use. */
static void purge_whole(struct step *step, u64 at, u64 end, unsigned int states)
{
	if (!tract_unit_is_whole(step->map->states, at, end, states) ||
	    !may_zap(step))
		return;
	while (at < end && !is_spent(step)) {
		u64 next = purge_run(step, at, end, states);

		at = next == at ? at + 1 : next;
	}
}

/* Units of a huge page, at least one. */
static u64 units_of_huge(const struct tract_bound_map *map)
{
	return max_t(u64, PMD_SIZE >> map->unit_shift, 1);
}

/* The next huge page before @limit.  False when the step cannot go on. */
static bool step_whole(struct step *step, const struct pass *pass, u64 limit)
{
	struct tract_bound_map *map = step->map;
	struct tract_purge_scan *scan = step->scan;
	const u64 huge = units_of_huge(map);
	u64 at, end;

	scan->at = tract_unit_find(map->states, scan->at, limit, pass->states);
	if (scan->at == limit)
		return true;
	at = round_down(scan->at, huge);
	end = at + huge;
	/* The tail of a reservation may be no whole page. */
	if (end <= map->units)
		purge_whole(step, at, end, pass->states);
	if (step->err == -EAGAIN || is_spent(step))
		return false;
	/* With a child in the way no other page would go either. */
	scan->at = step->err ? map->units : min(end, map->units);
	return true;
}

/* The next units before @limit.  False when the step cannot go on. */
static bool step_units(struct step *step, const struct pass *pass, u64 limit)
{
	const bool is_last = pass == &step->passes[step->pass_count - 1];
	struct tract_bound_map *map = step->map;
	struct tract_purge_scan *scan = step->scan;
	unsigned int states = pass->states;
	u64 next;

	if (pass->ages)
		states |= TRACT_UNITS_OFFERED;
	scan->at = tract_unit_find(map->states, scan->at, limit, states);
	if (scan->at == limit)
		return true;
	if (pass->ages && tract_unit_age(map->states + scan->at)) {
		scan->left++;
		scan->at++;
		return true;
	}
	if (may_zap(step)) {
		next = purge_run(step, scan->at, map->units, pass->states);
		scan->at = max(next, scan->at + 1);
		return !is_spent(step);
	}
	if (step->err == -EAGAIN)
		return false;
	scan->left += is_last;
	scan->at++;
	return true;
}

/* False when the step ends before the pass does. */
static bool step_pass(struct step *step)
{
	struct tract_purge_scan *scan = step->scan;
	const struct pass *pass = &step->passes[scan->pass];
	const u64 start = scan->at;
	const u64 limit = min(step->map->units, start + step->looks);
	bool goes_on = true;

	while (goes_on && scan->at < limit)
		goes_on = pass->whole ? step_whole(step, pass, limit) :
					step_units(step, pass, limit);
	step->looks -= min(step->looks, scan->at - start);
	if (!goes_on || scan->at < step->map->units)
		return false;
	scan->pass++;
	scan->at = 0;
	return true;
}

static void set_shared(struct tract_bound_map *map, bool shared)
{
	struct tract_purge_progress *progress = &map->progress;

	if (progress->shared == shared)
		return;
	WRITE_ONCE(progress->shared, shared);
	WRITE_ONCE(map->header->flags, shared ? TRACT_PURGE_SHARED : 0);
}

static void scan_begin(struct step *step)
{
	*step->scan = (struct tract_purge_scan){
		.active = true,
		/*
		 * Pairs with the process's release: what is counted here is
		 * found by this scan, what is not brings about another.
		 */
		.offered = smp_load_acquire(&step->map->header->offered),
	};
}

static void scan_end(struct step *step)
{
	struct tract_purge_progress *progress = &step->map->progress;

	step->scan->active = false;
	WRITE_ONCE(progress->offered, step->scan->offered);
	WRITE_ONCE(progress->left, step->scan->left);
}

static enum tract_purge_result step_run(struct step *step)
{
	struct tract_bound_map *map = step->map;

	lockdep_assert_held(&map->mutex);
	step->looks = STEP_UNITS;
	step->goal = clamp_t(u64, step->goal, 1, STEP_BYTES >> map->unit_shift);
	if (!step->scan->active)
		scan_begin(step);
	while (step->scan->pass < step->pass_count && step_pass(step))
		;
	if (step->begun)
		tract_zap_end(map->res);
	if (step->err == -EBUSY)
		step->scan->shared = true;
	if (step->begun || step->err == -EBUSY)
		set_shared(map, !step->begun);
	step->begun = false;
	if (step->scan->pass < step->pass_count)
		return step->err == -EAGAIN ? TRACT_PURGE_BLOCKED :
					      TRACT_PURGE_MORE;
	scan_end(step);
	return TRACT_PURGE_DONE;
}

/*
 * One step of a sweep: AGED units go, VOLATILE ones become AGED.  A unit that
 * this sweep ages is met once, so it goes in the next one.
 */
enum tract_purge_result tract_purge_sweep(struct tract_bound_map *map)
{
	struct tract_purge_progress *progress = &map->progress;
	struct tract_owner_work work = {};
	struct step step = {
		.map = map,
		.scan = &progress->sweep,
		.passes = sweep_passes,
		.pass_count = ARRAY_SIZE(sweep_passes),
		.goal = U64_MAX,
	};
	u64 start = ktime_get_ns();
	enum tract_purge_result result;

	if (!progress->sweep.active) {
		work.sweeps = 1;
		WRITE_ONCE(map->header->sweeps, ++progress->sweeps);
	}
	result = step_run(&step);
	work.sweep_ns = ktime_get_ns() - start;
	if (result == TRACT_PURGE_MORE)
		progress->sweep.ns += work.sweep_ns;
	work.purged_age_bytes = step.purged << map->unit_shift;
	work.skipped_sweeps = result == TRACT_PURGE_DONE &&
			      progress->sweep.shared;
	tract_owner_count(map->res->owner, &map->res->counters, &work);
	return result;
}

/* Purge up to @goal units at once.  Returns how many; may run in reclaim. */
u64 tract_purge_pressure(struct tract_bound_map *map, u64 goal)
{
	struct tract_purge_progress *progress = &map->progress;
	struct tract_owner_work work = {};
	struct step step = {
		.map = map,
		.scan = &progress->pressure,
		.passes = pressure_passes,
		.pass_count = ARRAY_SIZE(pressure_passes),
		.goal = goal,
	};
	const bool was_active = progress->pressure.active;
	enum tract_purge_result result = step_run(&step);

	/* That may have been the end of a scan, and most be before its start. */
	if (result == TRACT_PURGE_DONE && was_active && !is_spent(&step))
		result = step_run(&step);
	if (result != TRACT_PURGE_DONE)
		WRITE_ONCE(progress->left,
			   progress->left - min(progress->left, step.purged));
	work.purged_pressure_bytes = step.purged << map->unit_shift;
	tract_owner_count(map->res->owner, &map->res->counters, &work);
	return step.purged;
}

/* See whether the children that were in the way are gone. */
void tract_purge_look_for_children(struct tract_bound_map *map)
{
	lockdep_assert_held(&map->mutex);
	if (!map->progress.shared || tract_zap_try_begin(map->res))
		return;
	tract_zap_end(map->res);
	set_shared(map, false);
}

/*
 * How many units could be purged: a guess, by what the process counts, that is
 * right after a scan.  0 when it is not worth a look.  The caller has the mutex,
 * or otherwise sees to it that the map is not dead.
 */
u64 tract_purge_estimate(struct tract_bound_map *map)
{
	const struct tract_purge_progress *progress = &map->progress;
	u64 more =
		READ_ONCE(map->header->offered) - READ_ONCE(progress->offered);
	u64 left = READ_ONCE(progress->left);

	if (more > map->units || left > map->units - more)
		return map->units;
	return more + left;
}

/* Nothing is known of what the process has put into the map already. */
void tract_purge_init(struct tract_bound_map *map)
{
	map->progress.offered = READ_ONCE(map->header->offered);
	map->progress.left = map->units;
}
