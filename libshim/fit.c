// SPDX-License-Identifier: MIT
/*
 * The best fit among the dirty runs; or the longest dirty run that together with
 * the clean one behind it is long enough; or the best fit among the clean.
 *
 * Huge pages: a run that fits more closely is there first, and of a longer one
 * the end is cut off where that is not whole 2 MiB anyway.
 */
#include "fit.h"

#include "quick.h"

/* Runs that are put aside because they are just being purged, in one search. */
#define BUSY_MAX 4

/* Dirty runs that are looked at for what is behind them. */
#define JOIN_MAX 8

struct request {
	size_t units;
	size_t slack; /* units more that a run needs to hold an aligned one */
	size_t align; /* bytes */
};

static size_t cut_from(const struct span *run, const struct request *request)
{
	size_t start = index_of(run);
	size_t end = start + run->units;

	if (request->slack)
		return start + (align_up((uintptr_t)run->base, request->align) -
				(uintptr_t)run->base) /
				       UNIT_SIZE;
	if (start % HUGE_UNITS == 0 && end % HUGE_UNITS >= request->units)
		return end - request->units;
	return start;
}

/* Takes [@from, @from + @units) of the free runs that start with @run. */
static struct span *take(struct span *run, size_t from, size_t units)
{
	struct taken taken;
	struct span *span;

	if (!tract__purge_map_take(&region_of(run)->map, from, units, &taken))
		return NULL;
	span = tract__region_cut(run, from, units);
	span->dirty_units = (uint32_t)taken.end;
	return span;
}

static bool starts_purged(const struct span *run)
{
	return tract__purge_map_purged(&region_of(run)->map, index_of(run), 1);
}

/* What is purged at the start of a dirty run becomes clean; was there any? */
static bool shed_purged(struct span *run)
{
	struct region *region = region_of(run);
	size_t index = index_of(run);
	size_t units = run->units;
	size_t gone = tract__purge_map_purged(&region->map, index, units);

	if (!gone)
		return false;
	tract__region_take(run);
	if (gone < units)
		tract__region_insert(region, index + gone, units - gone,
				     SPAN_DIRTY);
	tract__region_insert(region, index, gone, SPAN_CLEAN);
	return true;
}

/* Past runs that have been purged, or are just being. */
static cold struct span *search_dirty(struct free_runs *runs,
				      const struct request *request, bool *busy)
{
	struct span *put_aside[BUSY_MAX];
	unsigned int count = 0;
	struct span *span = NULL;
	struct span *run;

	while (count < BUSY_MAX &&
	       (run = tract__runs_find(&runs->dirty,
				       request->units + request->slack))) {
		if (shed_purged(run))
			continue;
		span = take(run, cut_from(run, request), request->units);
		if (span)
			break;
		tract__region_take(run);
		put_aside[count++] = run;
		*busy = true;
	}
	while (count) {
		run = put_aside[--count];
		tract__region_insert(region_of(run), index_of(run), run->units,
				     SPAN_DIRTY);
	}
	return span;
}

static struct span *from_dirty(struct free_runs *runs,
			       const struct request *request, bool *busy)
{
	size_t length = request->units + request->slack;
	struct span *run = tract__runs_find(&runs->dirty, length);
	struct span *span = NULL;

	/*
	 * Short runs that wait for their like may make a longer one together;
	 * a run that is cut round them leaves holes.
	 */
	if ((!run || run->units != length) && length > QUICK_UNITS &&
	    runs == &tract__arena.free[POOL_HEAP] && tract__quick_flush())
		run = tract__runs_find(&runs->dirty, length);
	if (!run)
		return NULL;
	if (likely(!starts_purged(run)))
		span = take(run, cut_from(run, request), request->units);
	return likely(span) ? span : search_dirty(runs, request, busy);
}

static struct span *from_joint(struct free_runs *runs, size_t units, bool *busy)
{
	struct span *run = NULL;

	for (int i = 0; i < JOIN_MAX; i++) {
		struct span *after, *span;

		run = tract__runs_next_shorter(&runs->dirty, run);
		if (!run)
			return NULL;
		after = run_at(region_of(run), index_of(run) + run->units);
		if (!after || after->kind != SPAN_CLEAN ||
		    run->units + after->units < units)
			continue;
		span = take(run, index_of(run), units);
		if (span)
			return span;
		*busy = true;
	}
	return NULL;
}

static struct span *from_clean(struct free_runs *runs,
			       const struct request *request)
{
	struct span *run =
		tract__runs_find(&runs->clean, request->units + request->slack);

	/* Nobody else touches what is purged or was never used. */
	return run ? take(run, cut_from(run, request), request->units) : NULL;
}

struct span *tract__fit(enum pool pool, size_t units, size_t spare,
			size_t align, bool *busy)
{
	struct free_runs *runs = &tract__arena.free[pool];
	struct request request = {
		.units = units + spare,
		.slack = align > UNIT_SIZE ? align / UNIT_SIZE - 1 : 0,
		.align = align,
	};
	struct span *span;

	if (spare) {
		span = from_dirty(runs, &request, busy);
		if (!span)
			span = from_clean(runs, &request);
		if (span)
			return span;
		request.units = units;
	}
	span = from_dirty(runs, &request, busy);
	/* A single unit may wait for another of the other kind. */
	if (!span && pool == POOL_HEAP && tract__quick_flush())
		span = from_dirty(runs, &request, busy);
	if (!span && !request.slack)
		span = from_joint(runs, units, busy);
	return span ? span : from_clean(runs, &request);
}

bool tract__fit_grow(struct span *span, size_t units)
{
	struct region *region = region_of(span);
	size_t from = index_of(span) + span->units;
	size_t end = index_of(span) + units;
	struct taken taken;
	struct span *run;

	for (size_t at = from; at < end; at += run->units) {
		run = run_at(region, at);
		if (!run)
			return false;
	}
	if (!tract__purge_map_take(&region->map, from, end - from, &taken))
		return false;
	tract__region_cut(&region->spans[from], from, end - from);
	/* One mark serves for all: what is before a dirty part counts as such. */
	if (taken.end)
		span->dirty_units = (uint32_t)(span->units + taken.end);
	span->units = (uint32_t)units;
	return true;
}

/* Splits a dirty run, taken, by what is purged; was anything? */
static bool settle_run(struct region *region, size_t index, size_t units)
{
	bool any = false;
	size_t n;

	for (; units; index += n, units -= n) {
		n = tract__purge_map_purged(&region->map, index, units);
		if (n) {
			tract__region_insert(region, index, n, SPAN_CLEAN);
			any = true;
			continue;
		}
		do
			n++;
		while (n < units &&
		       !tract__purge_map_purged(&region->map, index + n, 1));
		tract__region_insert(region, index, n, SPAN_DIRTY);
	}
	return any;
}

static bool settle_region(struct region *region)
{
	bool any = false;
	size_t step;

	for (size_t i = 0; i < region->units; i += step) {
		struct span *span = &region->spans[i];
		size_t units = span->units;
		struct span *after;

		step = span->kind == SPAN_NONE ? 1 : units;
		if (span->kind != SPAN_DIRTY)
			continue;
		/* What is clean there may become part of what we make clean. */
		after = run_at(region, i + units);
		if (after && after->kind == SPAN_CLEAN)
			step += after->units;
		tract__region_take(span);
		any |= settle_run(region, i, units);
	}
	return any;
}

bool tract__fit_settle(void)
{
	bool any = tract__quick_flush();

	for (unsigned int r = 0; r < tract__arena.region_count; r++)
		any |= settle_region(&tract__arena.regions[r]);
	return any;
}
