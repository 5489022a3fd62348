// SPDX-License-Identifier: MIT
#include "arena.h"

#include <errno.h>

#include "backend.h"
#include "fit.h"
#include "meta.h"
#include "options.h"
#include "pagemap.h"
#include "quick.h"
#include "region.h"
#include "sys.h"

struct arena tract__arena far_bss;

/*
 * A child that was made without our fork handler finds out here, before it
 * believes its copies of the maps.
 */
static cold void forget_maps(void)
{
	for (unsigned int r = 0; r < tract__arena.region_count; r++)
		if (tract__arena.regions[r].bound)
			tract__region_forget(&tract__arena.regions[r]);
	tract__arena.process = tract__backend_process();
}

static void arena_lock(void)
{
	lock_acquire(&tract__arena.lock);
	if (unlikely(backend_is_forked(tract__arena.process)))
		forget_maps();
}

static void arena_unlock(void)
{
	lock_release(&tract__arena.lock);
}

static void count_taken(size_t units)
{
	size_t again = units < tract__arena.flow.given ?
			       units :
			       tract__arena.flow.given;

	tract__arena.flow.given -= again;
	again = tract__arena.flow.deepest - tract__arena.flow.given;
	if (again > tract__arena.flow.retaken[0])
		tract__arena.flow.retaken[0] = again;
	tract__arena.used_units += units;
}

static void count_given(size_t units)
{
	tract__arena.flow.given += units;
	if (tract__arena.flow.deepest < tract__arena.flow.given)
		tract__arena.flow.deepest = tract__arena.flow.given;
	tract__arena.used_units -= units;
}

/*
 * Units that the program may grow by however small it is, and the part of what it
 * has, before it is looked what could be given up instead.  Only growth beyond all
 * that was before counts: there are few such looks in a program's life.
 */
#define GROWTH_MIN 16
#define GROWTH_FRACTION 16

/* Units that have pages, or nearly so. */
static size_t resident_units(void)
{
	size_t spared = read_once(&tract__arena.spared_pages) / UNIT_PAGES;
	size_t units = tract__arena.used_units;

	for (unsigned int r = 0; r < tract__arena.region_count; r++)
		units += region_intact(&tract__arena.regions[r]);
	return units > spared ? units - spared : 0;
}

/*
 * Small spans that take new memory while old is free do so for want of pages that
 * they have already, elsewhere: as much of what is free goes.  Large blocks need
 * runs of a length, and will want the free ones back.
 */
static void note_growth(enum span_kind kind)
{
	size_t units = resident_units();
	size_t step = GROWTH_MIN + units / GROWTH_FRACTION;

	if (likely(units <= tract__arena.most_units))
		return;
	tract__arena.most_units = units + step;
	write_once(&tract__arena.growth_step, step);
	if (kind == SPAN_SMALL)
		tract__purge_owe(step);
	write_once(&tract__arena.growths, tract__arena.growths + 1);
}

void tract__arena_note_growth(void)
{
	arena_lock();
	note_growth(SPAN_SMALL);
	arena_unlock();
}

/* There is no run for that many units: address space is had, or found again. */
static cold struct span *make_room(enum pool pool, size_t units, size_t align,
				   bool *busy)
{
	size_t more = units + (align > UNIT_SIZE ? align / UNIT_SIZE - 1 : 0);
	struct span *span = NULL;

	if (tract__fit_settle())
		span = tract__fit(pool, units, 0, align, busy);
	if (!span &&
	    (!tract__region_add(pool, more) ||
	     (tract__region_release_free() && !tract__region_add(pool, more))))
		span = tract__fit(pool, units, 0, align, busy);
	return span;
}

/*
 * Memory that is just being purged is waited for only when there is no other, and
 * not for long at a time: another purge may have begun by then.  In all a reclaim
 * waits for half a second, an allocation for a tenth of that.
 */
#define BUSY_TRIES 256
#define BUSY_PAUSE_MAX_US 2000

static void arena_pause(int tries)
{
	long us = 50l << (tries < 6 ? tries : 6);

	arena_unlock();
	tract__sys_sleep_us(us < BUSY_PAUSE_MAX_US ? us : BUSY_PAUSE_MAX_US);
	arena_lock();
}

static struct span *alloc(enum pool pool, size_t units, size_t spare,
			  size_t align)
{
	for (int tries = 0;; tries++) {
		bool busy = false;
		struct span *span =
			tract__fit(pool, units, spare, align, &busy);

		if (likely(span))
			return span;
		span = make_room(pool, units, align, &busy);
		/* Each try asks for address space again: not so many. */
		if (span || !busy || tries == BUSY_TRIES / 8)
			return span;
		arena_pause(tries);
	}
}

/* Locked.  @class is that of a small span's blocks, of a large block 0. */
static struct span *alloc_run(enum pool pool, size_t units, size_t spare,
			      size_t align, enum span_kind kind,
			      unsigned int class)
{
	struct span *span = NULL;

	if (quick_keeps(units) && pool == POOL_HEAP && !spare &&
	    align <= UNIT_SIZE)
		span = tract__quick_alloc(units, kind, class);
	if (!span)
		span = alloc(pool, units, spare, align);
	if (likely(span)) {
		span->kind = (uint8_t)kind;
		count_taken(span->units);
		if (span->dirty_units < span->units)
			note_growth(kind);
		tract__arena.allocated++;
	}
	return span;
}

static struct span *alloc_large(enum pool pool, size_t units, size_t spare,
				size_t align)
{
	struct span *span;

	if (units + align / UNIT_SIZE > UINT32_MAX)
		return NULL;
	arena_lock();
	span = alloc_run(pool, units, spare, align, SPAN_LARGE, 0);
	arena_unlock();
	return span;
}

struct span *tract__arena_alloc(size_t units, size_t spare, size_t align)
{
	return alloc_large(POOL_HEAP, units, spare, align);
}

struct span *tract__arena_alloc_cache(size_t units)
{
	return alloc_large(POOL_CACHE, units, 0, 0);
}

struct span *tract__arena_alloc_small(size_t units, unsigned int words,
				      unsigned int class)
{
	bool holds = tract__options.hardened;
	struct span *span = NULL;
	struct tally *tally;

	arena_lock();
	tally = tract__meta_alloc_tally(words, holds);
	if (tally) {
		span = alloc_run(POOL_HEAP, units, 0, 0, SPAN_SMALL, class);
		if (unlikely(!span))
			tract__meta_free_tally(tally, words, holds);
	}
	if (likely(span)) {
		span->words = (uint16_t)words;
		span->holds = holds;
		write_once(&span->tally, tally);
	}
	arena_unlock();
	return span;
}

void tract__arena_free(struct span *span)
{
	struct region *region = region_of(span);
	enum span_kind kind = span->kind;
	size_t units = span->units;

	arena_lock();
	if (kind == SPAN_SMALL) {
		/*
		 * The unit may come to lie within another span, and this header be
		 * asked by a free there, see tract__free_not_own().
		 */
		span->block_count = 0;
		tract__meta_free_tally(span->tally, span->words, span->holds);
	}
	/* Of a large block elsewhere only the first unit was entered. */
	tract__pagemap_set(
		span->base,
		kind == SPAN_SMALL || region->pool == POOL_CACHE ? units : 1,
		NULL);
	span->kind = SPAN_NONE;
	count_given(units);
	tract__arena.freed++;
	if (quick_keeps(units) && span->dirty_units == units &&
	    region->pool == POOL_HEAP) {
		region_offer(region, index_of(span), units);
		tract__quick_free(span, kind);
	} else {
		tract__region_give_back(region, index_of(span), units,
					span->dirty_units);
	}
	arena_unlock();
}

bool tract__arena_grow(struct span *span, size_t units)
{
	size_t extra = units - span->units;
	bool grown;

	if (units <= span->units)
		return true;
	arena_lock();
	grown = tract__fit_grow(span, units);
	if (grown)
		count_taken(extra);
	arena_unlock();
	return grown;
}

void tract__arena_shrink(struct span *span, size_t units)
{
	size_t extra = span->units - units;
	size_t dirty;

	if (!extra)
		return;
	arena_lock();
	dirty = span->dirty_units > units ? span->dirty_units - units : 0;
	span->units = (uint32_t)units;
	if (span->dirty_units > units)
		span->dirty_units = (uint32_t)units;
	count_given(extra);
	tract__pagemap_set(span->base + units * UNIT_SIZE,
			   region_of(span)->pool == POOL_CACHE ? extra : 0,
			   NULL);
	tract__region_give_back(region_of(span), index_of(span) + units, extra,
				dirty);
	arena_unlock();
}

/* The headers inside a run have no kind. */
struct span *tract__arena_find(const void *p, size_t *unit)
{
	struct span *span = NULL;

	arena_lock();
	for (unsigned int r = 0; r < tract__arena.region_count && !span; r++) {
		struct region *region = &tract__arena.regions[r];
		size_t offset =
			(size_t)((const char *)p - region->reservation.base);

		if (!region->units || offset >= region->reservation.length)
			continue;
		span = &region->spans[offset / UNIT_SIZE];
		for (*unit = 0; span > region->spans && !span->kind; ++*unit)
			span--;
	}
	arena_unlock();
	return span && span->kind == SPAN_LARGE && *unit < span->units ? span :
									 NULL;
}

void tract__arena_offer(struct span *span, size_t first, size_t units)
{
	arena_lock();
	region_offer(region_of(span), index_of(span) + first, units);
	arena_unlock();
}

int tract__arena_reclaim(struct span *span, size_t first, size_t units,
			 size_t *purged)
{
	struct region *region = region_of(span);
	struct taken taken;
	bool done;

	first += index_of(span);
	arena_lock();
	tract__region_discard_lost(region, first, units);
	done = tract__purge_map_take(&region->map, first, units, &taken);
	for (int tries = 0; !done && tries < BUSY_TRIES; tries++) {
		arena_pause(tries);
		done = tract__purge_map_take(&region->map, first, units,
					     &taken);
	}
	arena_unlock();
	*purged = taken.gone;
	return done ? 0 : -EAGAIN;
}

void tract__arena_purge(struct span *span)
{
	tract__purge_range(region_of(span), index_of(span), span->units);
}

bool tract__arena_is_cache(const struct span *span)
{
	return region_of(span)->pool == POOL_CACHE;
}

void *tract__arena_alloc_meta(size_t size)
{
	void *p;

	lock_acquire(&tract__arena.lock);
	/* What needs this needs blocks next: one mapping has room for all of it. */
	if (!tract__arena.region_count)
		tract__region_add(POOL_HEAP, 1);
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

/* Bytes in free runs that are not given back. */
static size_t count_dirty(const struct region *region)
{
	size_t dirty = 0;
	size_t step;

	for (size_t i = 0; i < region->units; i += step) {
		const struct span *span = &region->spans[i];

		step = span->kind == SPAN_NONE ? 1 : span->units;
		if (span->kind == SPAN_DIRTY || span->kind == SPAN_NONE)
			dirty += tract__purge_map_count(&region->map, i, step);
	}
	return dirty * UNIT_SIZE;
}

void tract__arena_stats(struct arena_stats *stats)
{
	uint64_t purged = 0;

	arena_lock();
	*stats = (struct arena_stats){
		.reservations = count_reservations(),
		.reserved_bytes = tract__arena.reserved_units * UNIT_SIZE,
		.span_bytes = tract__arena.used_units * UNIT_SIZE,
		.metadata_bytes = tract__meta_mapped(),
		.purges = tract__arena.purges,
		.runs_allocated = tract__arena.allocated,
		.runs_freed = tract__arena.freed,
	};
	purged = tract__arena.purged_before;
	for (unsigned int r = 0; r < tract__arena.region_count; r++) {
		const struct region *region = &tract__arena.regions[r];

		stats->dirty_bytes += count_dirty(region);
		purged +=
			region->purged + read_once(&region->map.header->purged);
	}
	stats->purged_bytes = purged * UNIT_SIZE;
	arena_unlock();
}

void tract__arena_visit(void (*visit)(struct span *span, void *arg), void *arg)
{
	arena_lock();
	for (unsigned int r = 0; r < tract__arena.region_count; r++) {
		struct region *region = &tract__arena.regions[r];
		size_t i = 0;

		while (i < region->units) {
			struct span *span = &region->spans[i];

			if (span->kind != SPAN_NONE && !is_free_run(span))
				visit(span, arg);
			i += span->kind == SPAN_NONE ? 1 : span->units;
		}
	}
	arena_unlock();
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
	forget_maps();
	lock_reset(&tract__arena.lock);
}
