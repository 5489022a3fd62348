/* SPDX-License-Identifier: MIT */
/*
 * Memory for the allocator's own data: zeroed, never given back to the system,
 * so that a stale look at metadata reads metadata.
 *
 * All calls are serialised by the arena's lock.
 */
#ifndef TRACT_META_H
#define TRACT_META_H

#include "common.h"

struct tally;

/*
 * Sees to it that the next @size bytes can be had whatever happens to address
 * space meanwhile.  -ENOMEM.
 */
int tract__meta_reserve(size_t size);

/* @size bytes on a cache line of their own, zero.  NULL: no memory. */
void *tract__meta_alloc(size_t size);

/* @size bytes, a multiple of a page, at a page's start.  NULL: no memory. */
void *tract__meta_alloc_pages(size_t size);

/*
 * A tally for bitmaps of @words words, with held bits or without, on cache lines
 * of its own, contents undefined.  NULL: no memory.
 */
struct tally *tract__meta_alloc_tally(unsigned int words, bool holds);
void tract__meta_free_tally(struct tally *tally, unsigned int words,
			    bool holds);

/* Bytes of address space taken, for statistics. */
size_t tract__meta_mapped(void);

#endif
