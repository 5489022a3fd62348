/* SPDX-License-Identifier: MIT */
/*
 * TRACT_OPTIONS=hardened=1: small blocks at random places, freed memory that is
 * zero and does not come back at once, guards behind large blocks (guard.h).
 *
 * Only slow paths know of it.  No bin ever points at a word, and no heap frees by
 * arithmetic, so every call of malloc() and free() comes to one.
 *
 * A small block that is freed is zeroed and goes into the quarantine, a ring for
 * the whole process: it leaves when that has come round, by age, or when all is
 * given back.  Only then does its span hear of it: until then its bits say that
 * it is allocated, but for the held bit, which says that it is not.  When it
 * leaves it must still be zero, else somebody has written to it.
 *
 * There are no locks in it.  A thread that ends leaves nothing behind, and fork()
 * can at worst lose a block to the child that another thread had in its hands
 * between the ring and the span.
 */
#ifndef TRACT_HARDENED_H
#define TRACT_HARDENED_H

#include "heap.h"

/*
 * A block of @span, which is @heap's current one or NULL, each of its free ones
 * about as likely.  NULL: it has none.  By the heap's thread, or locked.
 */
void *tract__hardened_take(struct heap *heap, struct span *span);

/* free() of @p, not NULL, whose span is @span, of any kind. */
void tract__hardened_free(struct span *span, void *p);

/* Is block @index of the small span @span freed and in the quarantine? */
bool tract__hardened_holds(const struct span *span, uint64_t index);

/* What has been in the quarantine for longer than a decay leaves it.  No lock. */
void tract__hardened_tick(uint32_t now);

/* All that is in the quarantine leaves it.  No lock held. */
void tract__hardened_drain(void);

/* Adds the blocks in the quarantine, by class, to @blocks. */
void tract__hardened_count(size_t blocks[CLASS_COUNT]);

/*
 * The units from @from on of the large block @span, which has no guard, read as
 * zero from now on; dirty_units says what is left to be zeroed by others.
 */
void tract__hardened_wipe(struct span *span, size_t from);

#endif
