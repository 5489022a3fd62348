/* SPDX-License-Identifier: MIT */
/*
 * A span: a run of units with one purpose, described out of band.
 *
 * Blocks of a small span have no headers and no links in them; what is free is
 * said by bitmaps beside the span header, so a free block's memory means
 * nothing, may be purged at will, and cannot be used to forge metadata.
 *
 *   free    1: the block may be handed out.  Written by the owner alone (the
 *           thread of the heap that the span is attached to), with plain
 *           stores; others only look.
 *   remote  1: freed by a thread that is not the owner, not yet collected.
 *           Written by everybody, atomically.
 *
 * A block is allocated when neither bit is set (and its owner's thread has not
 * freed it as the last one, see deferred.h): the allocated bit of which double and
 * invalid frees are caught.  When the owner collects, it sets the
 * free bit first and clears the remote bit after, so that at no moment a free
 * block looks allocated.
 */
#ifndef TRACT_SPAN_H
#define TRACT_SPAN_H

#include "bitops.h"
#include "common.h"

struct heap;

enum span_kind {
	SPAN_NONE = 0, /* part of no run, or inside one */
	SPAN_DIRTY,    /* first and last unit of a free run with old contents */
	SPAN_CLEAN,    /* the same, all of it reads as zero */
	SPAN_SMALL,
	SPAN_LARGE,
};

/* Where a small span stands in its heap; changes under the heap's lock. */
enum span_state {
	SPAN_CURRENT, /* the thread allocates from it */
	SPAN_PARTIAL, /* in the class's list, enough is free */
	SPAN_FULL,    /* little or nothing is free */
};

/* Tag on span.owner: there may be remote frees to collect. */
#define OWNER_TOUCHED ((uintptr_t)1)

/* Added to the count of live blocks of a span that must not look empty. */
#define USED_BIAS (1u << 30)

/* A word of each of the bitmaps, side by side: a free looks at both. */
struct block_bits {
	uint64_t free;
	uint64_t remote;
};

/*
 * What frees write, on cache lines of its own: of the header, which every free
 * reads, each processor keeps its copy.  Stays readable when the span is gone.
 */
struct tally {
	/*
	 * Frees by the owner until it looks at the span again.  The blocks it has
	 * out (remote frees not yet collected included) are countdown +
	 * used_base; meaningless, and biased, while the span is current.
	 */
	uint32_t countdown;
	uint32_t used_base;
	uint32_t remote_freed; /* remote bits set, but for frees under way */
	uint32_t unused;
	struct block_bits bits[];
};

struct span {
	/* First cache line: what frees read. */
	char *base;
	uint64_t inverse; /* of the odd part of block_size, modulo 2^64 */
	uintptr_t owner;  /* struct heap, OWNER_TOUCHED; 0 if not small */
	struct tally *tally;
	uint64_t block_count;
	uint32_t block_size;
	uint32_t units; /* of the run */
	uint16_t words; /* of each bitmap */
	uint8_t shift;	/* block_size is odd part << shift */
	uint8_t class;
	uint8_t kind;
	uint8_t state;	/* small: enum span_state; large: enum guard_state */
	uint16_t fresh; /* no block of this word or those behind was ever out */
	uint32_t region; /* index of the region it lies in */
	uint32_t live;	 /* large: 1 while the block lives */

	/* Second: lists, and what few need. */
	struct list node;  /* heap: partial or full; arena: free runs */
	struct list ready; /* heap: full spans to collect */
	union {
		size_t size; /* large block: bytes asked for */
		/* small: who has frees of it that it does not know of yet */
		struct heap *gatherer;
	};
	uint32_t dirty_units; /* leading units that may not read as zero */
	uint16_t spared;      /* small: pages that were dropped while in use */
	uint16_t round;	      /* current: so many words are gone over */
	uint8_t least;	      /* current: those with so many free blocks */
	bool holds;	      /* small: there are held bits behind the tally */
} __attribute__((aligned(64)));

_Static_assert(offsetof(struct span, node) == 64,
	       "a free must need one cache line of the header");
_Static_assert(sizeof(struct span) == 128, "a span header is two lines");

/*
 * 1: freed, but kept back from its span, see hardened.h.  Written by everybody,
 * atomically.  NULL outside of hardened mode, and of spans older than it.
 */
static inline uint64_t *span_held_bits(const struct span *span)
{
	return span->holds ? (uint64_t *)&span->tally->bits[span->words] : NULL;
}

static inline struct heap *span_owner(const struct span *span)
{
	uintptr_t owner = __atomic_load_n(&span->owner, __ATOMIC_ACQUIRE);

	return (struct heap *)(owner & ~OWNER_TOUCHED);
}

/*
 * Which block starts at @p?  A number of block_count or more: none does.
 *
 * The offset times the inverse of the odd part, rotated by the power of two, is
 * the quotient if the division is exact and more than any quotient if not, for
 * every 64-bit offset: one comparison answers for interior pointers, for the
 * tail of the span and for nonsense alike.
 */
static inline uint64_t span_index(const struct span *span, const void *p)
{
	uint64_t q = (uint64_t)((uintptr_t)p - (uintptr_t)span->base) *
		     span->inverse;
	unsigned int shift = span->shift;

	/* The compiler knows a rotation when it sees one. */
	return q >> shift | q << (-shift & 63);
}

/* The offset from the span's start of which span_index() made @index. */
static inline uint64_t span_offset(const struct span *span, uint64_t index)
{
	unsigned int shift = span->shift;

	return (index << shift | index >> (-shift & 63)) *
	       (span->block_size >> shift);
}

/* Inverse of an odd number modulo 2^64; each step doubles the correct bits. */
static inline uint64_t odd_inverse(uint64_t odd)
{
	uint64_t x = odd * 3 ^ 2;

	for (int i = 0; i < 4; i++)
		x *= 2 - odd * x;
	return x;
}

/*
 * Blocks the owner has out; biased while current.  Acquire pairs with the
 * release of the owner's free: who sees the span empty sees its last bit.
 */
static inline uint32_t tally_used(const struct tally *tally)
{
	return read_once(&tally->used_base) +
	       __atomic_load_n(&tally->countdown, __ATOMIC_ACQUIRE);
}

/* Of a header that may be another span's meanwhile: some tally in any case. */
static inline struct tally *span_tally(const struct span *span)
{
	return read_once(&span->tally);
}

/*
 * The words of the bitmaps in which block @index has its bits.  Left to itself the
 * compiler adds to the quotient instead of to the address.
 */
static inline struct block_bits *tally_bits(struct tally *tally, uint64_t index)
{
	size_t offset = index / 64 * sizeof(struct block_bits);

	__asm__("" : "+r"(offset));
	return (struct block_bits *)((char *)tally->bits + offset);
}

/* The same of a span's. */
static inline struct block_bits *span_bits(const struct span *span,
					   uint64_t index)
{
	return tally_bits(span_tally(span), index);
}

/* Is block @index free, or freed by a thread that is not the owner? */
static inline bool span_is_freed(const struct span *span, uint64_t index)
{
	const struct block_bits *bits = span_bits(span, index);

	return bit_is_set(read_once(&bits->free) | read_once(&bits->remote),
			  index);
}

#endif
