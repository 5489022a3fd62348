/* SPDX-License-Identifier: MIT */
/*
 * Blocks above SMALL_MAX: a run of units each.
 *
 * They start at a multiple of UNIT_SIZE and end in untouched address space:
 * growing takes what follows while that is free, and a block that had to move
 * gets as much again as spare room, so a block that grows step by step is copied
 * a logarithmic number of times, if ever.
 */
#ifndef TRACT_LARGE_H
#define TRACT_LARGE_H

#include "span.h"

/*
 * @size bytes at a multiple of @align, a power of two.  With @spare, room to
 * grow.  The first *@zero_from bytes may hold old contents; all after them are
 * zero.  NULL: no memory.
 */
void *tract__large_alloc(size_t size, size_t align, bool spare,
			 size_t *zero_from);

/* The same at a multiple of UNIT_SIZE, in memory that does not go for its age. */
void *tract__large_alloc_cache(size_t size);

/* @p lies in @span, of kind LARGE.  Aborts if it is not its block. */
void tract__large_free(struct span *span, void *p);

/*
 * Offers [@p, @p + @size), or takes it back: see tract_offer() and
 * tract_reclaim().  What these return, or a negative errno.
 */
int tract__large_offer(void *p, size_t size);
int tract__large_reclaim(void *p, size_t size);

/* Makes the block @size bytes long where it is; false: it must move. */
bool tract__large_resize(struct span *span, size_t size);

/* Bytes that may be used: to the end of the last page asked for. */
size_t tract__large_usable(const struct span *span);

/* Is @p the start of this live block? */
static inline bool large_is_block(const struct span *span, const void *p)
{
	return span->kind == SPAN_LARGE && span->base == p &&
	       read_once(&span->live);
}

#endif
