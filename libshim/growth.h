/* SPDX-License-Identifier: MIT */
/*
 * What a heap keeps in vain is given up while the program grows: its peak is what
 * it is charged with.
 *
 * - Each class keeps a span to allocate from, though the program may be done with
 *   that size.  Every so many units that a heap takes, wholly free ones go back.
 * - A few old blocks keep a span whose other pages nobody needs.  When the program
 *   is larger than ever by a part of its size, those pages are dropped.
 */
#ifndef TRACT_GROWTH_H
#define TRACT_GROWTH_H

#include "heap.h"

/*
 * @units are about to be allocated.  @heap is locked, and the caller's own or the
 * orphans'.
 */
void tract__growth_prepare(struct heap *heap, size_t units);

/* The same for the caller's heap, not locked. */
void tract__growth_prepare_own(size_t units);

/*
 * A span in use of which pages were dropped is given up, or about to be allocated
 * from, and to have them again; its heap is locked.
 */
void tract__growth_unspare(struct span *span);
void tract__growth_reuse(struct span *span);

#endif
