/* SPDX-License-Identifier: MIT */
/*
 * Frees of small blocks by threads that do not own the span.
 *
 * The freer gathers them in its own heap, for each span by words of its bitmap,
 * and tells the span of a word at a time.
 */
#ifndef TRACT_REMOTE_H
#define TRACT_REMOTE_H

#include "heap.h"

/* Frees gathered for one word before its span is told. */
#define BATCH_FREES 32

/*
 * Blocks that remote frees may have taken from a span's count without its owner,
 * who counts at the same time without a fence, having seen it: a few threads'
 * batches.
 */
#define REMOTE_CROSSING (4 * BATCH_FREES)

/* Frees the block @p of @span, which another heap owns. */
void tract__remote_free(struct span *span, const void *p);

/*
 * Has some thread gathered block @index of @span?  Exact when that free came
 * before this call in the order of the program.
 */
bool tract__remote_is_gathered(const struct span *span, uint64_t index);

/* Tells all spans what @heap has gathered.  By its thread; no lock held. */
void tract__remote_flush(struct heap *heap);

/* The same for one class. */
void tract__remote_tell(struct heap *heap, unsigned int class);

/*
 * Adds the blocks that the threads have gathered, by class, to @blocks: freed,
 * though their spans' bits do not say so.  Exact while the threads are at rest.
 */
void tract__remote_count(size_t blocks[CLASS_COUNT]);

#endif
