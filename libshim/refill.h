/* SPDX-License-Identifier: MIT */
/* Where a bin gets its blocks from: its span, its heap, the orphans, the arena. */
#ifndef TRACT_REFILL_H
#define TRACT_REFILL_H

#include "heap.h"

/*
 * Points the bin at the next word of its current span that has a free block;
 * false: none has.  By the heap's thread alone, lock or not: the words and the
 * bin are its own.
 */
bool tract__refill_next_word(struct bin *bin);

/* Refills the bin and takes a block.  NULL: no memory.  Heap locked. */
void *tract__refill(struct heap *heap, unsigned int class);

/* The bin has no current span any more.  Heap locked. */
void tract__refill_drop_current(struct heap *heap, struct bin *bin);

#endif
