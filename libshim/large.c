// SPDX-License-Identifier: MIT
/*
 * In the header of a large block live is 1 while the block lives: the
 * thread that takes it to 0 is the one that frees.
 */
#include "large.h"

#include <errno.h>

#include "../include/tract.h"
#include "arena.h"
#include "growth.h"
#include "guard.h"
#include "hardened.h"
#include "options.h"
#include "pagemap.h"
#include "purge.h"
#include "report.h"
#include "sys.h"
#include "tick.h"

/*
 * Requests from here on are held against the memory of the machine: address
 * space is had for nothing, and a program that asks for more than there is
 * should hear of it now, as it would without us.
 */
#define SIZE_CHECKED ((size_t)1 << 30)

static size_t units_of(size_t size)
{
	return (size + UNIT_SIZE - 1) / UNIT_SIZE;
}

static bool exceeds_machine(size_t size)
{
	return size >= SIZE_CHECKED && size > tract__sys_memory_total();
}

static void set_size(struct span *span, size_t size)
{
	size_t units = units_of(size);

	write_once(&span->size, size);
	if (span->dirty_units < units)
		span->dirty_units = (uint32_t)units;
}

/* Of the run: in hardened mode with the guard's page behind the block. */
static size_t run_units(size_t size)
{
	if (unlikely(tract__options.hardened))
		return units_of(align_up(size, PAGE) + PAGE);
	return units_of(size);
}

/*
 * A thread that has freed a block of the span that was here before may be looking
 * at it still: what such a look reads is written in one piece.
 */
static void *make_block(struct span *span, size_t size)
{
	write_once(&span->owner, 0);
	span->block_count = 0;
	write_once(&span->state, GUARD_NONE);
	set_size(span, size);
	__atomic_store_n(&span->live, 1, __ATOMIC_RELEASE);
	tract__pagemap_set(span->base, 1, span);
	return span->base;
}

void *tract__large_alloc(size_t size, size_t align, bool spare,
			 size_t *zero_from)
{
	size_t units = run_units(size);
	struct span *span;

	if (exceeds_machine(size))
		return NULL;
	tract__growth_prepare_own(units);
	span = tract__arena_alloc(units, spare ? units : 0, align);
	if (!span)
		return NULL;
	*zero_from = span->dirty_units * UNIT_SIZE;
	make_block(span, size);
	if (unlikely(tract__options.hardened))
		tract__guard_set(span);
	return span->base;
}

void *tract__large_alloc_cache(size_t size)
{
	size_t units = units_of(size);
	struct span *span;

	if (!units || exceeds_machine(size))
		return NULL;
	span = tract__arena_alloc_cache(units);
	if (!span)
		return NULL;
	/* Pointers into it will be looked up. */
	tract__pagemap_set(span->base, units, span);
	return make_block(span, size);
}

/* A run with a guard that stays must never be used again: false. */
static bool retire_hardened(struct span *span)
{
	if (!tract__guard_clear(span))
		return false;
	tract__hardened_wipe(span, 0);
	return true;
}

void tract__large_free(struct span *span, void *p)
{
	if (unlikely(span->base != p ||
		     !__atomic_exchange_n(&span->live, 0, __ATOMIC_ACQ_REL)))
		tract__report_corruption("invalid free", p);
	if (unlikely(tract__options.hardened) && !retire_hardened(span))
		return;
	if (unlikely(tract__arena_is_cache(span))) {
		tract__arena_offer(span, 0, span->dirty_units);
		tract__arena_purge(span);
	}
	tract__arena_free(span);
	if (purge_needs_tick())
		tract__tick();
}

/* The units of a large block that [@p, @p + @size) stands for. */
static struct span *find_units(const void *p, size_t size, size_t *first,
			       size_t *units)
{
	struct span *span;
	size_t offset;

	if ((uintptr_t)p % UNIT_SIZE || !size)
		return NULL;
	span = pagemap_find(p);
	if (span->kind == SPAN_LARGE)
		*first = (size_t)((char *)p - span->base) / UNIT_SIZE;
	else
		span = tract__arena_find(p, first);
	if (!span || !large_is_block(span, span->base))
		return NULL;
	offset = *first * UNIT_SIZE;
	/* The last unit of a block may not be whole. */
	if (offset >= span->size ||
	    size > align_up(span->size, PAGE) - offset ||
	    (size % UNIT_SIZE && size < span->size - offset))
		return NULL;
	*units = units_of(size);
	return span;
}

int tract__large_offer(void *p, size_t size)
{
	size_t first, units;
	struct span *span = find_units(p, size, &first, &units);

	if (!span)
		return -EINVAL;
	tract__arena_offer(span, first, units);
	return 0;
}

int tract__large_reclaim(void *p, size_t size)
{
	size_t first, units, purged;
	struct span *span = find_units(p, size, &first, &units);
	int ret;

	if (!span)
		return -EINVAL;
	ret = tract__arena_reclaim(span, first, units, &purged);
	if (ret)
		return ret;
	if (!purged)
		return TRACT_INTACT;
	return purged < units ? TRACT_PARTLY : TRACT_PURGED;
}

bool tract__large_resize(struct span *span, size_t size)
{
	bool guard_moves = tract__options.hardened &&
			   align_up(size, PAGE) != tract__large_usable(span);
	size_t units = run_units(size);

	if (size > span->size &&
	    (exceeds_machine(size) || !tract__arena_grow(span, units)))
		return false;
	if (unlikely(guard_moves) && !tract__guard_clear(span))
		return false;
	if (size <= span->size && units < span->units) {
		if (unlikely(tract__options.hardened))
			tract__hardened_wipe(span, units);
		tract__arena_shrink(span, units);
	}
	set_size(span, size);
	if (unlikely(guard_moves))
		tract__guard_set(span);
	return true;
}

size_t tract__large_usable(const struct span *span)
{
	return align_up(read_once(&span->size), PAGE);
}
