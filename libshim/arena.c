// SPDX-License-Identifier: MIT
#include "arena.h"

#include "backend.h"
#include "meta.h"
#include "pagemap.h"
#include "region.h"

struct arena tract__arena;

static void init(void)
{
	tract__runs_init(&tract__arena.dirty);
	tract__runs_init(&tract__arena.clean);
	list_init(&tract__arena.age);
	tract__arena.initialised = true;
}

static void count_taken(size_t units)
{
	size_t again = units < tract__arena.flow.given ?
			       units :
			       tract__arena.flow.given;

	tract__arena.flow.given -= again;
	tract__arena.flow.retaken[0] += again;
}

static struct span *find(size_t units)
{
	struct span *span = tract__runs_find(&tract__arena.dirty, units);

	return span ? span : tract__runs_find(&tract__arena.clean, units);
}

struct span *tract__arena_alloc(size_t units, size_t spare, size_t align,
				enum span_kind kind)
{
	size_t slack = align > UNIT_SIZE ? align / UNIT_SIZE - 1 : 0;
	struct span *span;
	size_t skip;
	bool dirty;

	if (units + slack > UINT32_MAX)
		return NULL;
	lock_acquire(&tract__arena.lock);
	if (unlikely(!tract__arena.initialised))
		init();
	span = spare ? tract__runs_find(&tract__arena.clean,
					units + slack + spare) :
		       NULL;
	if (span)
		units += spare;
	else
		span = find(units + slack);
	if (!span && (!tract__region_add(units + slack) ||
		      (tract__region_release_free() &&
		       !tract__region_add(units + slack))))
		span = find(units + slack);
	if (span) {
		dirty = span->kind == SPAN_DIRTY;
		tract__region_take(span);
		skip = slack ? (align_up((uintptr_t)span->base, align) -
				(uintptr_t)span->base) /
				       UNIT_SIZE :
			       0;
		span = tract__region_carve(span, skip, units, dirty);
		span->kind = (uint8_t)kind;
		tract__arena.used_units += units;
		count_taken(units);
		tract__arena.allocated++;
	}
	lock_release(&tract__arena.lock);
	return span;
}

void tract__arena_free(struct span *span)
{
	size_t units = span->units;

	lock_acquire(&tract__arena.lock);
	if (span->kind == SPAN_SMALL)
		tract__meta_free_bits(span->free_bits, 2 * span->words);
	tract__pagemap_set(span->base, span->kind == SPAN_SMALL ? units : 1,
			   NULL);
	span->kind = SPAN_NONE;
	tract__arena.used_units -= units;
	tract__arena.flow.given += units;
	tract__arena.freed++;
	tract__region_give_back(region_of(span), index_of(span), units,
				span->dirty_units);
	lock_release(&tract__arena.lock);
}

bool tract__arena_grow(struct span *span, size_t units)
{
	struct region *region = region_of(span);
	struct span *after;
	size_t extra;
	bool dirty;

	if (units <= span->units)
		return true;
	lock_acquire(&tract__arena.lock);
	after = span + span->units;
	extra = units - span->units;
	if (index_of(span) + units > region->units ||
	    (after->kind != SPAN_DIRTY && after->kind != SPAN_CLEAN) ||
	    after->units < extra) {
		lock_release(&tract__arena.lock);
		return false;
	}
	dirty = after->kind == SPAN_DIRTY;
	tract__region_take(after);
	tract__region_carve(after, 0, extra, dirty);
	/* One mark serves for all: what is before a dirty part counts as such. */
	if (dirty)
		span->dirty_units = (uint32_t)units;
	span->units = (uint32_t)units;
	tract__arena.used_units += extra;
	count_taken(extra);
	lock_release(&tract__arena.lock);
	return true;
}

void tract__arena_shrink(struct span *span, size_t units)
{
	size_t extra = span->units - units;
	size_t dirty;

	if (!extra)
		return;
	lock_acquire(&tract__arena.lock);
	dirty = span->dirty_units > units ? span->dirty_units - units : 0;
	span->units = (uint32_t)units;
	if (span->dirty_units > units)
		span->dirty_units = (uint32_t)units;
	tract__arena.used_units -= extra;
	tract__arena.flow.given += extra;
	tract__region_give_back(region_of(span), index_of(span) + units, extra,
				dirty);
	lock_release(&tract__arena.lock);
}

bool tract__arena_alloc_bits(struct span *span, unsigned int words)
{
	uint64_t *bits;

	lock_acquire(&tract__arena.lock);
	bits = tract__meta_alloc_bits(2 * words);
	lock_release(&tract__arena.lock);
	if (!bits)
		return false;
	span->words = (uint16_t)words;
	span->free_bits = bits;
	span->remote_bits = bits + words;
	return true;
}

void *tract__arena_alloc_meta(size_t size)
{
	void *p;

	lock_acquire(&tract__arena.lock);
	p = tract__meta_alloc(size);
	lock_release(&tract__arena.lock);
	return p;
}

static size_t count_reservations(void)
{
	size_t n = 0;

	for (unsigned int r = 0; r < tract__arena.region_count; r++)
		n += tract__arena.regions[r].units > 0;
	return n;
}

void tract__arena_stats(struct arena_stats *stats)
{
	lock_acquire(&tract__arena.lock);
	*stats = (struct arena_stats){
		.reservations = count_reservations(),
		.reserved_bytes = tract__arena.reserved_units * UNIT_SIZE,
		.span_bytes = tract__arena.used_units * UNIT_SIZE,
		.dirty_bytes = tract__arena.dirty.units * UNIT_SIZE,
		.metadata_bytes = tract__meta_mapped(),
		.purged_bytes = tract__arena.purged_units * UNIT_SIZE,
		.purges = tract__arena.purges,
		.runs_allocated = tract__arena.allocated,
		.runs_freed = tract__arena.freed,
	};
	lock_release(&tract__arena.lock);
}

void tract__arena_visit(void (*visit)(struct span *span, void *arg), void *arg)
{
	lock_acquire(&tract__arena.lock);
	for (unsigned int r = 0; r < tract__arena.region_count; r++) {
		struct region *region = &tract__arena.regions[r];
		size_t i = 0;

		while (i < region->units) {
			struct span *span = &region->spans[i];

			if (span->kind == SPAN_SMALL ||
			    span->kind == SPAN_LARGE)
				visit(span, arg);
			/* A run that is being purged has no kind: by the unit. */
			i += span->kind == SPAN_NONE ? 1 : span->units;
		}
	}
	lock_release(&tract__arena.lock);
}

void tract__arena_fork_prepare(void)
{
	lock_acquire(&tract__arena.lock);
	tract__backend_fork_prepare();
}

void tract__arena_fork_parent(void)
{
	tract__backend_fork_parent();
	lock_release(&tract__arena.lock);
}

void tract__arena_fork_child(void)
{
	tract__backend_fork_child();
	lock_reset(&tract__arena.lock);
}
