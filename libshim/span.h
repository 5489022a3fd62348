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
 *           Written by everybody, atomically.  And set for ever is the bit behind the
 *           last block, if its word has one: so the pointer to what is left over at
 *           the end of the span is refused as a freed block's would be.
 *
 * A block is allocated when neither bit is set (and it is not the one that its owner's
 * thread has freed last, see pending.h and deferred.h): the allocated bit of which
 * double and invalid frees are caught.  When the owner collects, it sets the
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

/*
 * Tag on span.owner: there may be remote frees to collect; of a current span, its owner is
 * to come by at its next free, see tick.c.
 */
#define OWNER_TOUCHED ((uintptr_t)1)
/* The owner defers its frees of it: see deferred.h. */
#define OWNER_DEFERS ((uintptr_t)2)
/*
 * Above the address: of how many regions before this one the headers were.  A heap may
 * look for a span by arithmetic in a region that was given back, and whose headers
 * serve another place now: none there is its own as far as that number goes.
 */
#define OWNER_GENERATION(generation) ((uintptr_t)(generation) << 48)
#define GENERATION_MAX 0xffff
#define OWNER_TAGS                                                             \
	(OWNER_TOUCHED | OWNER_DEFERS | OWNER_GENERATION(GENERATION_MAX))

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
	uint64_t reciprocal; /* 2^64 by block_size, rounded up */
	uintptr_t owner;     /* struct heap, OWNER_TAGS; 0 if not small */
	struct tally *tally;
	uint32_t unit_reciprocal; /* 2^32 by block_size, rounded up */
	uint32_t block_count;
	uint32_t block_size;
	uint32_t units; /* of the run */
	uint16_t words; /* of each bitmap */
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
	uint16_t round; /* current: so many words are gone over; orphan: whose, by number */
	uint8_t least; /* current: those with so many free blocks */
	bool holds;    /* small: there are held bits behind the tally */
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

	return (struct heap *)(owner & ~OWNER_TAGS);
}

static inline void span_set_block_size(struct span *span, uint32_t size)
{
	span->block_size = size;
	span->reciprocal = UINT64_MAX / size + 1;
	span->unit_reciprocal = UINT32_MAX / size + 1;
}

/*
 * Which block starts at @p?  A number of block_count or more: none does.
 *
 * Times the reciprocal an offset is the quotient, in the upper half of the product.
 * The lower half is less than the reciprocal if and only if the division is exact:
 * what the reciprocal was rounded up by adds up to less than that, as long as the
 * offset is less than 2^32, and of any other the quotient is too large.  So interior
 * pointers, the tail of the span and nonsense are told by two comparisons.
 */
static inline uint64_t span_index(const struct span *span, const void *p)
{
	uint64_t offset = (uintptr_t)p - (uintptr_t)span->base;
	unsigned __int128 product =
		(unsigned __int128)offset * span->reciprocal;

	if ((uint64_t)product >= span->reciprocal)
		return UINT64_MAX;
	return (uint64_t)(product >> 64);
}

/*
 * The same with half the bits, for blocks of up to 32 KiB and an offset in the span's
 * first unit.  False: no block starts there, nor would one behind the last.
 */
static inline bool unit_index(const struct span *span, uint64_t offset,
			      uint32_t *index)
{
	uint32_t reciprocal = span->unit_reciprocal;
	uint64_t product = offset * reciprocal;

	*index = (uint32_t)(product >> 32);
	return (uint32_t)product < reciprocal;
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
	size_t offset = index / 4 & -sizeof(struct block_bits);

	return (struct block_bits *)((char *)tally->bits + offset);
}

/* The same of a span's. */
static inline struct block_bits *span_bits(const struct span *span,
					   uint64_t index)
{
	return tally_bits(span_tally(span), index);
}

/*
 * Frees block @index, of which nothing is to be checked any more.  By the owner.
 * Release: who sees the count (and may retire the span for it) sees the bit as well.
 * The span may be somebody else's after this.  True: its countdown has ended.
 */
static inline bool span_free_block(struct span *span, uint64_t index)
{
	struct tally *tally = span_tally(span);
	uint64_t *word = &tally_bits(tally, index)->free;

	write_once(word, bit_set(read_once(word), index));
	return count_down(&tally->countdown);
}

/* Word @i of the remote bits, without that behind the last block. */
static inline uint64_t span_remote(const struct span *span, unsigned int i)
{
	uint64_t bits =
		__atomic_load_n(&span->tally->bits[i].remote, __ATOMIC_ACQUIRE);

	if (i == span->block_count / 64)
		bits &= ~(1ull << span->block_count % 64);
	return bits;
}

/* Is block @index free, or freed by a thread that is not the owner? */
static inline bool span_is_freed(const struct span *span, uint64_t index)
{
	const struct block_bits *bits = span_bits(span, index);

	return bit_is_set(read_once(&bits->free) | read_once(&bits->remote),
			  index);
}

#endif
