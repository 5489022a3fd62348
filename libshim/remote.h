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
#include "report.h"

/* Frees gathered for one word before its span is told: a word, if it was full. */
#define BATCH_FREES 64

/*
 * Blocks that remote frees may have taken from a span's count without its owner,
 * who counts at the same time without a fence, having seen it: a few threads'
 * batches.
 */
#define REMOTE_CROSSING (4 * BATCH_FREES)

/*
 * Has some thread gathered block @index of @span?  Exact when that free came
 * before this call in the order of the program.
 */
bool tract__remote_is_gathered(const struct span *span, uint64_t index);

/* The caller has freed a block of @span: who gathers there is to look, before it goes on. */
void tract__remote_warn(const struct span *span);

/* Tells all spans what @heap has gathered.  By its thread; no lock held. */
void tract__remote_flush(struct heap *heap);

/* The same for one class. */
void tract__remote_tell(struct heap *heap, unsigned int class);

/* Frees the block @p of @span, which another heap owns. */
void tract__remote_free(struct span *span, void *p);

/* The compiler would have it in three parts, in as many registers. */
static inline struct batch *batch_of(struct heap *heap, const struct span *span)
{
	struct batch *batch = &heap->batches[span->class];

	__asm__("" : "+r"(batch));
	return batch;
}

/*
 * The short way through that: are blocks of the word of block @index, which is less than
 * block_count, being gathered already, and is it surely allocated?
 *
 * Frees of a span that the caller has adopted since go the same way, until the batch is
 * told.
 *
 * The word is on a line that its owner writes with each malloc() there.  So it is not
 * looked at while nobody can have freed the block but by a call that would have told.
 */
static inline bool remote_can_gather(const struct batch *batch,
				     const struct span *span, uint64_t index)
{
	uint64_t bits = read_once(&batch->bits);

	/* While it has bits, its span cannot go, nor the word be another's. */
	return bits && batch->at == span_bits(span, index) &&
	       !caught(bit_is_set(bits | read_once(&batch->look_at), index));
}

/* Gathers a block that can be.  True: the batch is to be told. */
static inline bool remote_gather(struct batch *batch, uint64_t index)
{
	write_once(&batch->bits, bit_set(read_once(&batch->bits), index));
	return !--batch->left;
}

/*
 * Adds the blocks that the threads have gathered, deferred or pending, by class, to @blocks: freed,
 * though their spans' bits do not say so.  Exact while the threads are at rest.
 */
void tract__remote_count(size_t blocks[CLASS_COUNT]);

#endif
