/* SPDX-License-Identifier: MIT */
/* Where a bin gets its blocks from: its span, its heap, the orphans, the arena. */
#ifndef TRACT_REFILL_H
#define TRACT_REFILL_H

#include "heap.h"

/* Free blocks for which a word of a bitmap is worth going to. */
#define WORD_LEAST 28

/*
 * Takes a block of the bin's current span, and points the bin at the word that it
 * is from; NULL: the span has none.  By the heap's thread alone, lock or not: the
 * words and the bin are its own.
 */
void *tract__refill_take(struct heap *heap, struct bin *bin);

/*
 * Points the bin at the next word of its current span worth going to.  False: there is
 * none, or it is not by words that blocks are taken.  By the heap's thread alone.
 */
bool tract__refill_next(struct bin *bin);

/*
 * @bits are free in the word of the bin, and blocks are taken from there next: reports one
 * that another thread has freed as well, when the owner's free was pending.
 */
void tract__refill_check(const struct bin *bin, uint64_t bits);

/* Refills the bin and takes a block.  NULL: no memory.  Heap locked. */
void *tract__refill(struct heap *heap, unsigned int class);

/*
 * Sees to the pages of fresh_span, of which no block but the first is out.  By the
 * heap's thread, not locked: nobody else need wait for the kernel.
 */
void tract__refill_prepare(struct heap *heap);

/*
 * What a thread leaves behind is often one other's to free, which adopts each span with
 * its first block: the rest are frees of its own.
 *
 * The thread of @heap frees in a span of the orphans, and is its owner from now on, unless
 * that is another's by now, or one that threads past their end allocate from.  @all: and
 * of what else was left at the same time, as far as it is found at once.
 */
bool tract__refill_adopt(struct heap *heap, struct span *span, bool all);

/* The bin has no current span any more.  Heap locked. */
void tract__refill_drop_current(struct heap *heap, struct bin *bin);

#endif
