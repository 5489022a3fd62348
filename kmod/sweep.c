// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sweeps: one work for the maps of all processes.
 *
 * A map is swept every half of its decay time.  A sweep purges what the one
 * before has aged and ages what is new, so a unit goes between one and two
 * periods after it was offered.
 *
 * Two timers run the work.  The deferrable one is for the next date of any map
 * and wakes no idle processor.  The other wakes one, at the date itself while a
 * map has units that wait for it, else half a second later, which bounds how
 * long the memory of a process that offers it and falls asleep can stay.
 * Without a bound map neither is armed.
 *
 * The work takes the maps in turn, a bounded step each, until none has more to
 * do, so that one with many units in bad order delays the others by no more than
 * a step; and how soon it is swept again depends on how long that took.
 */
#include <linux/jiffies.h>
#include <linux/log2.h>
#include <linux/sched.h>
#include <linux/workqueue.h>

#include "purge.h"
#include "purge_map.h"
#include "sweep.h"

/* Between looks whether the owner of a map is still there. */
#define VISIT_PERIOD (5 * HZ)
/* By how much a date may be missed for the sake of an idle processor. */
#define SLACK (HZ / 2)
/* Dates are rounded up so that many maps have the same one; a power of two. */
#define GRID_MAX 16
/* The longest wait for a lock, in powers of two of jiffies. */
#define BLOCKED_MAX 6

static struct workqueue_struct *tract_sweep_wq;

static void sweep(struct work_struct *work);
static DECLARE_DEFERRABLE_WORK(tract_sweep_lazy, sweep);
static DECLARE_DELAYED_WORK(tract_sweep_sure, sweep);

/* The next dates of all maps. */
struct agenda {
	bool any;
	unsigned long lazy;
	unsigned long sure;
};

static void agenda_add(struct agenda *agenda,
		       const struct tract_sweep_plan *plan)
{
	unsigned long lazy = READ_ONCE(plan->next_visit);
	unsigned long sure = READ_ONCE(plan->urgent) ? lazy : lazy + SLACK;

	if (!agenda->any || time_before(lazy, agenda->lazy))
		agenda->lazy = lazy;
	if (!agenda->any || time_before(sure, agenda->sure))
		agenda->sure = sure;
	agenda->any = true;
}

static void plan_sweep(struct tract_sweep_plan *plan, unsigned long pause)
{
	unsigned long grid = clamp(plan->period / 16, 1UL, GRID_MAX + 0UL);

	/* One more, for the part of this jiffy that has passed. */
	plan->next_sweep =
		round_up(jiffies + pause + 1, rounddown_pow_of_two(grid));
}

static void plan_visit(struct tract_sweep_plan *plan)
{
	unsigned long next = jiffies + VISIT_PERIOD;

	if (plan->period && time_before(plan->next_sweep, next))
		next = plan->next_sweep;
	WRITE_ONCE(plan->next_visit, next);
}

void tract_sweep_plan(struct tract_sweep_plan *plan, u32 decay_ms)
{
	/* Rounds up, and so never to 0. */
	plan->period = decay_ms == TRACT_DECAY_NEVER ?
			       0 :
			       msecs_to_jiffies(DIV_ROUND_UP(decay_ms, 2));
	plan_sweep(plan, plan->period);
	plan_visit(plan);
}

/* Begin a sweep, if it is time and there is anything to look at. */
static bool wants_sweep(struct tract_bound_map *map)
{
	struct tract_sweep_plan *plan = &map->plan;

	if (map->progress.sweep.active)
		return true;
	if (!plan->period || time_before(jiffies, plan->next_sweep))
		return false;
	if (tract_purge_estimate(map))
		return true;
	plan_sweep(plan, plan->period);
	return false;
}

/* One step of a sweep.  True if there is more to do at once. */
static bool step(struct tract_bound_map *map)
{
	struct tract_sweep_plan *plan = &map->plan;
	u64 ns;

	switch (tract_purge_sweep(map)) {
	case TRACT_PURGE_MORE:
		plan->blocked = 0;
		return true;
	case TRACT_PURGE_BLOCKED:
		WRITE_ONCE(plan->next_visit, jiffies + (1UL << plan->blocked));
		if (plan->blocked < BLOCKED_MAX)
			plan->blocked++;
		return false;
	default:
		plan->blocked = 0;
		/*
		 * A map rests for as long as its sweep took, and so has half a
		 * processor at most.  Not for longer: what is offered during a
		 * long sweep is purged by the next one, and to the process that
		 * offers much it is memory that does not come back.  The last
		 * step is not counted: what one step does is little, and may have
		 * taken long because this thread had to wait.
		 */
		ns = map->progress.sweep.ns;
		plan_sweep(plan, max(plan->period, nsecs_to_jiffies(ns)));
		plan_visit(plan);
		return false;
	}
}

/* True if there is more to do at once. */
static bool visit_locked(struct tract_bound_map *map)
{
	struct tract_sweep_plan *plan = &map->plan;
	bool more = false;

	tract_purge_map_count_locked(map);
	tract_purge_look_for_children(map);
	if (wants_sweep(map))
		more = step(map);
	else
		plan_visit(plan);
	WRITE_ONCE(plan->urgent,
		   plan->period && (map->progress.sweep.active ||
				    READ_ONCE(map->progress.left)));
	return more;
}

static bool visit(struct tract_bound_map *map)
{
	bool more = false, gone;

	if (time_before(jiffies, READ_ONCE(map->plan.next_visit)))
		return false;
	if (!tract_purge_map_lock(map))
		return false;
	/* exec or exit, with a child that still maps the reservation. */
	gone = !atomic_read(&map->res->owner->mm->mm_users);
	if (!gone)
		more = visit_locked(map);
	tract_purge_map_unlock(map);
	if (gone)
		tract_purge_map_reap(map);
	return more;
}

/* Each map once.  True if there is more to do at once. */
static bool go_round(struct agenda *agenda)
{
	struct tract_bound_map *map;
	bool more = false;
	u64 id = 0;

	*agenda = (struct agenda){};
	while ((map = tract_purge_map_get_next(&id))) {
		more |= visit(map);
		agenda_add(agenda, &map->plan);
		tract_purge_map_put(map);
		id++;
		cond_resched();
	}
	return more;
}

static unsigned long delay_until(unsigned long date)
{
	unsigned long now = jiffies;

	return time_after(date, now) ? date - now : 0;
}

static void sweep(struct work_struct *work)
{
	struct agenda agenda;

	/* What either timer, or a new map, wants done is done now. */
	cancel_delayed_work(&tract_sweep_lazy);
	while (go_round(&agenda))
		;
	if (!agenda.any)
		return;
	/* If it is queued by now, for a new map, it will be at once: leave it. */
	queue_delayed_work(tract_sweep_wq, &tract_sweep_lazy,
			   delay_until(agenda.lazy));
	mod_delayed_work(tract_sweep_wq, &tract_sweep_sure,
			 delay_until(agenda.sure));
}

/* There is a new map, with dates that the timers do not know. */
void tract_sweep_start(void)
{
	mod_delayed_work(tract_sweep_wq, &tract_sweep_lazy, 0);
}

int tract_sweep_init(void)
{
	/* Ordered: the two never run at the same time. */
	tract_sweep_wq = alloc_ordered_workqueue("tract", 0);
	return tract_sweep_wq ? 0 : -ENOMEM;
}

/* There are no maps any more, but a sweep may still be about to find that out. */
void tract_sweep_exit(void)
{
	cancel_delayed_work_sync(&tract_sweep_lazy);
	cancel_delayed_work_sync(&tract_sweep_sure);
	destroy_workqueue(tract_sweep_wq);
}
