/* SPDX-License-Identifier: MIT */
/*
 * Of blocks of more than 1 KiB the free that a thread made last, of a block of its own,
 * is carried out by its next one.  A malloc() between them calls it off, if the block is
 * of its class, and takes the block: it is in the cache, and neither bit nor count has
 * been written.  Spans of such blocks have few, and so few frees between two of their
 * states, each of which costs a lock and lists: half of those changes are spared.
 *
 * The checks are made at once; what waits is the bit and the count.  A thread carries
 * out what it has deferred before it looks at bits of such classes; others that look
 * at bits look for the block here.  Only another one's free does not.  If that frees the
 * same block its remote bit says so: when the free is carried out or called off, when
 * the span seems empty, at the end of the program.  Till then the block stays out.
 *
 * The free that ends a countdown is not deferred; so spans change their state and go
 * without delay.  What a sleeping thread can hold by it is one span, all else of which
 * others have freed.
 *
 * The spans are told by a tag on their owner word, so that free() of the others knows
 * nothing of this.
 */
#ifndef TRACT_DEFERRED_H
#define TRACT_DEFERRED_H

#include "heap.h"

/* Carries out what the thread of @heap, the caller, has freed last, deferred or pending. */
void tract__deferred_carry_out(struct heap *heap);

/* Frees @p of @span, which the calling thread owns, untouched, and defers. */
void tract__deferred_free(struct heap *heap, struct span *span, void *p);

/* The block that the calling thread has deferred, its again; or NULL: none of @class. */
void *tract__deferred_take(struct heap *heap, unsigned int class);

/* Reports what the thread of @heap has freed last, if another has freed it as well. */
void tract__deferred_check(struct heap *heap, void *arg);

/*
 * In a forked child, of another thread's heap: what was being carried out just then, or
 * is not to be freed for any other reason, is neither deferred nor pending any more.
 */
void tract__deferred_forget_torn(struct heap *heap);

/* A block of @span whose free is deferred or pending, and which counts as out; or NULL. */
const void *tract__deferred_in(const struct span *span);

#endif
