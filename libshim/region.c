// SPDX-License-Identifier: MIT
#include "region.h"

#include <errno.h>
#include <string.h>

#include "meta.h"
#include "pagemap.h"
#include "quick.h"
#include "sys.h"

/* The first reservation; each later one is as large as all before. */
#define REGION_FIRST ((size_t)1 << 30)
#define REGION_ALIGN ((size_t)2 << 20)

/*
 * Metadata that a region may come to need besides its headers: bitmaps, of at
 * most 1 KiB a unit (two bits for each block of 16 bytes; in hardened mode three,
 * and 2 KiB), and a leaf or two of the page map.  Set aside with the region, or a
 * process that has used up its address space would have memory and no way to hand
 * it out.
 */
#define META_PER_UNIT ((size_t)1024 << tract__options.hardened)
#define META_PER_REGION (2 * sizeof(struct pagemap_leaf) + 65536)

static void mark_ends(struct span *run, size_t units, enum span_kind kind)
{
	struct span *last = run + units - 1;

	last->kind = (uint8_t)kind;
	last->units = (uint32_t)units;
	run->kind = (uint8_t)kind;
	run->units = (uint32_t)units;
}

static void unmark_ends(struct span *run)
{
	run[run->units - 1].kind = SPAN_NONE;
	run->kind = SPAN_NONE;
}

static void set_place(struct region *region, struct span *span)
{
	span->base = region->reservation.base +
		     (size_t)(span - region->spans) * UNIT_SIZE;
	span->region = (uint32_t)(region - tract__arena.regions);
}

void tract__region_take(struct span *run)
{
	tract__runs_remove(runs_of(region_of(run), run->kind), run);
	unmark_ends(run);
}

/* A free run that is longer or shorter than it was, at either end. */
static void replace(struct region *region, struct span *old, struct span *run,
		    size_t units, enum span_kind kind)
{
	unmark_ends(old);
	tract__runs_replace(runs_of(region, kind), old, run, units);
	set_place(region, run);
	mark_ends(run, units, kind);
}

void tract__region_insert(struct region *region, size_t index, size_t units,
			  enum span_kind kind)
{
	struct span *run = &region->spans[index];
	struct span *after = run + units;
	struct span *before = NULL;

	if (index && run[-1].kind == kind)
		before = run - run[-1].units;
	if (after < region->spans + region->units && after->kind == kind)
		units += after->units;
	else
		after = NULL;
	if (before) {
		if (after)
			tract__region_take(after);
		replace(region, before, before, before->units + units, kind);
	} else if (after) {
		replace(region, after, run, units, kind);
	} else {
		set_place(region, run);
		mark_ends(run, units, kind);
		tract__runs_insert(runs_of(region, kind), run);
	}
}

/* As much as all before. */
static size_t wish(void)
{
	size_t all = tract__arena.reserved_units * UNIT_SIZE;

	return all > REGION_FIRST ? all : REGION_FIRST;
}

/* Address space for @units or more, as much as can be had with decency. */
static int reserve(struct reservation *reservation, size_t units, size_t wanted,
		   unsigned int flags)
{
	size_t needed = align_up(units * UNIT_SIZE, REGION_ALIGN);

	/*
	 * Where a limit forbids that much (RLIMIT_AS, strict overcommit) an
	 * eighth is asked for, and so on: the rest of the program needs address
	 * space too.  At most three retries.
	 */
	for (int tries = 0;; tries++) {
		if (wanted < needed || tries == 3)
			wanted = needed;
		if (!tract__backend_reserve(reservation, wanted, flags))
			return 0;
		if (wanted == needed)
			return -ENOMEM;
		wanted = align_up(wanted / 8, REGION_ALIGN);
	}
}

/* Pages of a map for @units. */
static size_t map_length(size_t units)
{
	return PAGE + align_up(units, PAGE);
}

static int alloc_map(struct purge_map *map, size_t units)
{
	char *p = tract__meta_alloc_pages(map_length(units));

	if (!p)
		return -ENOMEM;
	map->header = (struct tract_purge_header *)p;
	map->state = (uint8_t *)p + PAGE;
	return 0;
}

/* A slot of the table for @units, with headers and a map. */
static struct region *region_slot(size_t units)
{
	struct region *region;

	for (unsigned int i = 0; i < tract__arena.region_count; i++) {
		region = &tract__arena.regions[i];
		if (!region->units && region->units_max >= units &&
		    region->generation < GENERATION_MAX)
			return region;
	}
	if (tract__arena.region_count == REGIONS_MAX)
		return NULL;
	region = &tract__arena.regions[tract__arena.region_count];
	region->spans = tract__meta_alloc(units * sizeof(struct span));
	if (!region->spans || alloc_map(&region->map, units))
		return NULL;
	region->units_max = units;
	/* Who looks at the maps without the lock finds one. */
	__atomic_store_n(&tract__arena.region_count,
			 tract__arena.region_count + 1, __ATOMIC_RELEASE);
	return region;
}

static void bind_map(struct region *region)
{
	int decay = region->pool == POOL_CACHE ? DECAY_NEVER :
						 tract__options.decay_ms;

	region->bound = !tract__backend_bind(&region->reservation,
					     region->map.header,
					     map_length(region->units), decay);
}

/*
 * What is left of the address space to the rest of the program, thread stacks
 * for one, where there is not enough for our wishes.
 */
#define ROOM_LEFT ((size_t)1 << 20)

static bool leaves_room(void)
{
	void *p = tract__sys_map(ROOM_LEFT);

	if (p)
		tract__sys_unmap(p, ROOM_LEFT);
	return p;
}

int tract__region_add(enum pool pool, size_t units)
{
	size_t wished = wish();
	bool huge = tract__arena.region_count > 0;
	bool guarded = pool == POOL_HEAP && tract__options.hardened;
	struct reservation reservation;
	struct region *region;

	/*
	 * The first goes without huge pages: a small program should not pay
	 * 2 MiB for its first block.
	 */
	if (reserve(&reservation, units, wished,
		    (huge ? RESERVE_HUGE : 0) |
			    (guarded ? RESERVE_TRAPPED : 0)))
		return -ENOMEM;
	units = reservation.length / UNIT_SIZE;
	if (tract__meta_reserve(units * (sizeof(struct span) + META_PER_UNIT) +
				map_length(units) + META_PER_REGION) ||
	    tract__pagemap_add_leaves(reservation.base, reservation.length))
		goto undo;
	region = region_slot(units);
	if (!region)
		goto undo;
	if (reservation.length < wished && !leaves_room())
		goto undo;
	region->reservation = reservation;
	region->pool = pool;
	region->huge = huge;
	write_once(&region->units, units);
	tract__arena.reserved_units += units;
	tract__arena.process = tract__backend_process();
	bind_map(region);
	tract__region_insert(region, 0, units, SPAN_CLEAN);
	return 0;
undo:
	tract__backend_release(&reservation);
	return -ENOMEM;
}

static bool region_is_free(const struct region *region)
{
	size_t i = 0;

	while (i < region->units) {
		if (!is_free_run(&region->spans[i]))
			return false;
		i += region->spans[i].units;
	}
	return region->units > 0;
}

/*
 * The map can serve another reservation only if the module has let go of it, and
 * once nothing is offered nobody is at work in this one, or will be.
 */
static bool release(struct region *region)
{
	struct taken taken;
	size_t next;

	if (region->bound && tract__backend_unbind(&region->reservation))
		return false;
	region->bound = false;
	if (!tract__purge_map_take(&region->map, 0, region->units, &taken))
		return false;
	for (size_t i = 0; i < region->units; i = next) {
		next = i + region->spans[i].units;
		tract__region_take(&region->spans[i]);
	}
	tract__backend_release(&region->reservation);
	tract__arena.reserved_units -= region->units;
	tract__arena.purged_before +=
		region->purged + region->map.header->purged;
	tract__purge_map_restart(&region->map, 0);
	region->purged = 0;
	region->offered_end = 0;
	region->generation++;
	region->units = 0;
	return true;
}

bool tract__region_release_free(void)
{
	bool any = false;

	tract__quick_flush();
	for (unsigned int r = 0; r < tract__arena.region_count; r++)
		if (region_is_free(&tract__arena.regions[r]))
			any |= release(&tract__arena.regions[r]);
	return any;
}

void tract__region_give_back(struct region *region, size_t from, size_t units,
			     size_t dirty)
{
	if (dirty > units)
		dirty = units;
	if (dirty) {
		region_offer(region, from, dirty);
		tract__region_insert(region, from, dirty, SPAN_DIRTY);
	}
	if (units > dirty)
		tract__region_insert(region, from + dirty, units - dirty,
				     SPAN_CLEAN);
}

/* Cuts off one end of a free run; the other does not merge with anything. */
static void cut_one(struct region *region, struct span *run, size_t from,
		    size_t units)
{
	size_t at = index_of(run);
	size_t rest = run->units - units;

	if (!rest)
		tract__region_take(run);
	else
		replace(region, run, at == from ? run + units : run, rest,
			run->kind);
}

/* Cuts a piece out of the middle, or more than one run. */
static void cut_many(struct region *region, size_t at, size_t from, size_t end)
{
	for (size_t next; at < end; at = next) {
		enum span_kind kind = region->spans[at].kind;

		next = at + region->spans[at].units;
		tract__region_take(&region->spans[at]);
		if (at < from)
			tract__region_insert(region, at, from - at, kind);
		if (next > end)
			tract__region_insert(region, end, next - end, kind);
	}
}

struct span *tract__region_cut(struct span *run, size_t from, size_t units)
{
	struct region *region = region_of(run);
	struct span *cut = &region->spans[from];
	size_t at = index_of(run);

	if ((at == from && run->units >= units) ||
	    at + run->units == from + units)
		cut_one(region, run, from, units);
	else
		cut_many(region, at, from, from + units);
	set_place(region, cut);
	cut->units = (uint32_t)units;
	return cut;
}

void tract__region_forget(struct region *region)
{
	size_t step;

	for (size_t i = 0; i < region->units; i += step) {
		const struct span *span = &region->spans[i];

		step = span->kind == SPAN_NONE ? 1 : span->units;
		if (span->kind == SPAN_DIRTY || span->kind == SPAN_NONE)
			tract__purge_map_forget(&region->map, i, step,
						TRACT_UNIT_VOLATILE);
		else if (span->kind == SPAN_LARGE)
			tract__purge_map_forget(&region->map, i, step,
						UNIT_LOST);
	}
	tract__arena.purged_before +=
		region->purged + region->map.header->purged;
	tract__purge_map_restart(
		&region->map,
		tract__purge_map_count(&region->map, 0, region->offered_end));
	region->purged = 0;
	region->bound = false;
	write_once(&tract__purge_awake, tract__options.decay_ms != DECAY_NEVER);
}

void tract__region_discard_lost(struct region *region, size_t first,
				size_t units)
{
	for (size_t i = first; i < first + units; i++) {
		char *unit = region->reservation.base + i * UNIT_SIZE;

		if (likely(region->map.state[i] != UNIT_LOST))
			continue;
		if (tract__sys_discard(unit, UNIT_SIZE))
			memset(unit, 0, UNIT_SIZE);
		region->map.state[i] = TRACT_UNIT_PURGED;
	}
}
