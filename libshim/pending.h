/* SPDX-License-Identifier: MIT */
/*
 * Of blocks of up to 1 KiB the bit of the one that a thread freed last, into a current
 * span of its own, is set by its next such free.
 *
 * Where a free stores follows from the header of the block's span, which takes some
 * twenty cycles.  Until a processor knows that, it may hold back what the program loads
 * next, and each of those cycles is one of the program's.  Of the free before it has
 * been known for long.
 *
 * The checks are made at once; what waits is the bit, and with it nothing else: the
 * frees into current spans are not counted.  Its span is current until it is set: a
 * thread sets it before it looks at bits in order to decide something, and before one of
 * its spans ends to be current.  Others count it as free, but do not take what they find
 * here for an answer about one block: word and bit may be of two.  And to a free this line
 * is too dear: it goes to and fro enough.  If another thread frees the same block there
 * will be both bits, and the owner finds them before it hands the block out.
 */
#ifndef TRACT_PENDING_H
#define TRACT_PENDING_H

#include "bitops.h"
#include "span.h"

/* Written by the thread alone. */
struct pending {
	uint64_t *word; /* of a current span's free bits, or @none */
	uint64_t bit;	/* 0: nothing is pending */
	uint64_t none;	/* the word that belongs to no span: has no bit */
};

/*
 * A fork comes between any two stores, and the child carries out what it finds of other
 * threads': never the bit of one word in another.
 */
static inline void pending_set_bit(struct pending *pending)
{
	set_bits(pending->word, pending->bit);
	write_once(&pending->bit, 0);
}

/* After pending_set_bit(): another takes its place. */
static inline void pending_put(struct pending *pending, uint64_t *word,
			       uint64_t bit)
{
	write_once(&pending->word, word);
	__atomic_store_n(&pending->bit, bit, __ATOMIC_RELEASE);
}

/*
 * Sets the bit, and forgets the word, which may become another thread's.  The heap of those
 * that have none is not written to.
 */
static inline void pending_carry_out(struct pending *pending)
{
	if (pending->word == &pending->none)
		return;
	pending_set_bit(pending);
	write_once(&pending->word, &pending->none);
}

struct heap;

/*
 * The block whose bit the thread of @heap is to set, or NULL.  While that thread runs it may
 * be another one.
 */
const void *tract__pending_block(const struct heap *heap);

#endif
