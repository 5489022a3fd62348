// SPDX-License-Identifier: MIT
#include "region.h"

#include <errno.h>

#include "meta.h"
#include "pagemap.h"
#include "sys.h"

/* The first reservation; each later one is as large as all before. */
#define REGION_FIRST ((size_t)1 << 30)
#define REGION_ALIGN ((size_t)2 << 20)

/*
 * Metadata that a region may come to need besides its headers: bitmaps, of at
 * most 1 KiB a unit (two bits for each block of 16 bytes), and a leaf or two of
 * the page map.  Set aside with the region, or a process that has used up its
 * address space would have memory and no way to hand it out.
 */
#define META_PER_UNIT ((size_t)1024)
#define META_PER_REGION (2 * sizeof(struct pagemap_leaf) + 65536)

static void mark_ends(struct span *span, size_t units, enum span_kind kind)
{
	span->kind = (uint8_t)kind;
	span->units = (uint32_t)units;
	span[units - 1].kind = (uint8_t)kind;
	span[units - 1].units = (uint32_t)units;
}

void tract__region_take(struct span *span)
{
	if (span->kind == SPAN_DIRTY)
		list_remove(&span->age);
	tract__runs_remove(runs_of(span->kind), span);
	span[span->units - 1].kind = SPAN_NONE;
	span->kind = SPAN_NONE;
}

/* The free run of @kind that ends before @index, and the one that starts there. */
static struct span *run_before(struct region *region, size_t index,
			       enum span_kind kind)
{
	struct span *last = &region->spans[index] - 1;

	return index && last->kind == kind ? last + 1 - last->units : NULL;
}

static struct span *run_at(struct region *region, size_t index,
			   enum span_kind kind)
{
	return index < region->units && region->spans[index].kind == kind ?
		       &region->spans[index] :
		       NULL;
}

/*
 * Where @span, dirty, stands in the order of age, once @other (which may be
 * NULL) is out of the list.
 */
static struct list *place_of(struct span *span, struct span *other)
{
	struct list *place = span->age.prev;

	return other && place == &other->age ? other->age.prev : place;
}

void tract__region_insert(struct region *region, size_t index, size_t units,
			  enum span_kind kind, uint32_t freed_at)
{
	struct span *before = run_before(region, index, kind);
	struct span *after = run_at(region, index + units, kind);
	struct list *place = tract__arena.age.prev;
	struct span *span = &region->spans[index];

	if (kind == SPAN_DIRTY) {
		if (before && (int32_t)(before->freed_at - freed_at) <= 0) {
			freed_at = before->freed_at;
			place = place_of(before, after);
		}
		if (after && (int32_t)(after->freed_at - freed_at) < 0) {
			freed_at = after->freed_at;
			place = place_of(after, before);
		}
		/* Younger neighbours than the run, at the end of the list. */
		if (before && place == &before->age)
			place = place_of(before, after);
		if (after && place == &after->age)
			place = place_of(after, before);
	}
	if (before) {
		tract__region_take(before);
		units += before->units;
		span = before;
	}
	if (after) {
		tract__region_take(after);
		units += after->units;
	}
	span->base = region->reservation.base +
		     (size_t)(span - region->spans) * UNIT_SIZE;
	span->region = (uint32_t)(region - tract__arena.regions);
	span->freed_at = freed_at;
	mark_ends(span, units, kind);
	tract__runs_insert(runs_of(kind), span);
	if (kind == SPAN_DIRTY)
		list_insert(&span->age, place);
}

/* Address space for @units or more, as much as can be had with decency. */
static int reserve(struct reservation *reservation, size_t units, bool huge)
{
	size_t needed = align_up(units * UNIT_SIZE, REGION_ALIGN);
	size_t wanted = tract__arena.reserved_units * UNIT_SIZE;

	if (wanted < REGION_FIRST)
		wanted = REGION_FIRST;
	/*
	 * Where a limit forbids that much (RLIMIT_AS, strict overcommit) an
	 * eighth is asked for, and so on: the rest of the program needs address
	 * space too.  At most three retries.
	 */
	for (int tries = 0;; tries++) {
		if (wanted < needed || tries == 3)
			wanted = needed;
		if (!tract__backend_reserve(reservation, wanted, huge))
			return 0;
		if (wanted == needed)
			return -ENOMEM;
		wanted = align_up(wanted / 8, REGION_ALIGN);
	}
}

/* A slot of the table for @units, with headers. */
static struct region *region_slot(size_t units)
{
	struct region *region;

	for (unsigned int i = 0; i < tract__arena.region_count; i++) {
		region = &tract__arena.regions[i];
		if (!region->units && region->spans_max >= units)
			return region;
	}
	if (tract__arena.region_count == REGIONS_MAX)
		return NULL;
	region = &tract__arena.regions[tract__arena.region_count];
	region->spans = tract__meta_alloc(units * sizeof(struct span));
	if (!region->spans)
		return NULL;
	region->spans_max = units;
	tract__arena.region_count++;
	return region;
}

int tract__region_add(size_t units)
{
	struct reservation reservation;
	struct region *region;

	/*
	 * The first goes without huge pages: a small program should not pay
	 * 2 MiB for its first block.
	 */
	if (reserve(&reservation, units, tract__arena.region_count > 0))
		return -ENOMEM;
	units = reservation.length / UNIT_SIZE;
	if (tract__meta_reserve(units * (sizeof(struct span) + META_PER_UNIT) +
				META_PER_REGION) ||
	    tract__pagemap_add_leaves(reservation.base, reservation.length))
		goto undo;
	region = region_slot(units);
	if (!region)
		goto undo;
	region->reservation = reservation;
	region->units = units;
	tract__arena.reserved_units += units;
	tract__region_insert(region, 0, units, SPAN_CLEAN, 0);
	return 0;
undo:
	tract__backend_release(&reservation);
	return -ENOMEM;
}

static bool region_is_free(const struct region *region)
{
	size_t i = 0;

	while (i < region->units) {
		const struct span *span = &region->spans[i];

		if (span->kind != SPAN_DIRTY && span->kind != SPAN_CLEAN)
			return false;
		i += span->units;
	}
	return region->units > 0;
}

bool tract__region_release_free(void)
{
	bool any = false;

	for (unsigned int r = 0; r < tract__arena.region_count; r++) {
		struct region *region = &tract__arena.regions[r];
		size_t next;

		if (!region_is_free(region))
			continue;
		for (size_t i = 0; i < region->units; i = next) {
			next = i + region->spans[i].units;
			tract__region_take(&region->spans[i]);
		}
		tract__backend_release(&region->reservation);
		tract__arena.reserved_units -= region->units;
		region->units = 0;
		any = true;
	}
	return any;
}

void tract__region_give_back(struct region *region, size_t from, size_t units,
			     size_t dirty)
{
	if (dirty > units)
		dirty = units;
	if (dirty)
		tract__region_insert(region, from, dirty, SPAN_DIRTY,
				     tract__sys_now_ms());
	if (units > dirty)
		tract__region_insert(region, from + dirty, units - dirty,
				     SPAN_CLEAN, 0);
}

struct span *tract__region_carve(struct span *span, size_t skip, size_t units,
				 bool dirty)
{
	struct region *region = region_of(span);
	size_t index = index_of(span);
	size_t all = span->units;
	enum span_kind kind = dirty ? SPAN_DIRTY : SPAN_CLEAN;
	uint32_t freed_at = span->freed_at;
	struct span *cut = span + skip;

	if (skip)
		tract__region_insert(region, index, skip, kind, freed_at);
	if (all > skip + units)
		tract__region_insert(region, index + skip + units,
				     all - skip - units, kind, freed_at);
	cut->base = region->reservation.base + (index + skip) * UNIT_SIZE;
	cut->region = (uint32_t)(region - tract__arena.regions);
	cut->units = (uint32_t)units;
	cut->dirty_units = dirty ? (uint32_t)units : 0;
	return cut;
}
