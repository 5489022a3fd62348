/* SPDX-License-Identifier: MIT */
/*
 * A thread's heap of small blocks.
 *
 * A small span is attached to one heap, its owner.  In each size class the heap
 * has one current span, from which alone it allocates; partial spans, with room,
 * wait in a list; full ones in another.  Allocating from the current span and
 * freeing into any span of one's own takes no lock and no atomic instruction.
 *
 * Everything else (refill, change of a span's state, retiring an empty span,
 * lists) happens under the heap's lock, which any thread may take: so whoever
 * frees the last block of a span that is not current retires it, though the
 * owner sleeps or is gone.  Only bitmaps' free words and the countdown belong
 * to the owning thread, lock or not.
 *
 * Lock order: a thread's heap, the orphan heap, the arena, the backend.  No
 * thread waits for a heap's lock while it holds another's.
 */
#ifndef TRACT_HEAP_H
#define TRACT_HEAP_H

#include "bitops.h"
#include "lock.h"
#include "pending.h"
#include "ready.h"
#include "size_class.h"
#include "span.h"

struct bin {
	/* A word of the current span's free bits, and its first block. */
	uint64_t *word;
	char *word_base;
	struct span *span; /* NULL: none, word is that of no span */
	uint64_t block_size;
};

/*
 * Blocks of one word of a span's bitmap that the heap's thread has freed and the
 * span does not know of yet; bits 0: none.  See remote.c.
 */
struct batch {
	uint64_t bits;
	/*
	 * What was free in the word when its thread looked there last, and so is to be
	 * looked at again before it is gathered: all, if somebody freed there since.
	 */
	uint64_t look_at;
	struct block_bits *at; /* the word */
	struct span *span;     /* whose it is, while there are bits */
	uint32_t number;       /* another one for each word */
	uint16_t left;	       /* frees until the span must be told */
	uint8_t row;	       /* frees upwards in a row that were told */
	uint8_t last;	       /* the last of them, modulo 64 */
};

struct heap {
	/*
	 * The region of which a free finds the span by arithmetic: one of those
	 * that the heap has spans in.
	 */
	uintptr_t region_base;
	size_t region_length;
	struct span *region_spans;
	uintptr_t region_owner; /* owner word of the heap's own there, without tags */
	struct pending pending; /* a free of the thread's: see there */
	void *deferred;		/* a freed block, or NULL: see deferred.h */
	struct bin bins[CLASS_COUNT];
	struct batch batches[CLASS_COUNT];
	uint64_t batches_open[(CLASS_COUNT + 63) / 64]; /* those with bits */
	uint32_t batches_begun;
	uint8_t grown[CLASS_COUNT]; /* new spans in a row, see refill.c */
	uint64_t random;	    /* hardened mode; 0: to be seeded */

	struct lock lock; /* all below, and the spans' state and lists */
	struct list partial[CLASS_COUNT];
	struct list full;
	struct list ready; /* full spans that others made room in */
	struct list node;  /* of all heaps, or of the unused */
	uint32_t growths;  /* the arena's when sparse spans were looked for */
	struct span *fresh_span; /* see tract__refill_prepare() */
	/* Units that it may still grow by, and in one go: see growth.c. */
	uint32_t growth_left;
	uint32_t growth_step;
	/* Of the thread alone, times in ms: see tick.c. */
	uint32_t pace; /* blocks taken, or freed into a current span, between two looks */
	uint32_t paced_at;
	uint32_t tagged_at;
	uint16_t words_left; /* to be got ready until the next look */
};

extern __thread struct heap *tract__thread_heap;

/* The heap of threads that have none yet: every bin is empty. */
extern struct heap tract__empty_heap;

/*
 * Spans of threads that are gone.  No thread frees here on the fast path; any
 * may adopt a span.  Threads past their own end allocate from it, locked.
 */
extern struct heap tract__orphans;
extern bool tract__orphans_exist; /* it has been brought up */

static inline bool orphans_exist(void)
{
	return __atomic_load_n(&tract__orphans_exist, __ATOMIC_ACQUIRE);
}

/* The word of a bin that has no span. */
extern uint64_t tract__no_blocks;

/* The most blocks between two looks at the clock. */
#define PACE_MAX 512

/*
 * The calling thread's heap, made now if need be.  NULL: the thread has none any
 * more, or there is no memory.
 */
struct heap *tract__heap_get(void);

/*
 * Refills the bin of @class and takes a block, making the thread's heap if it
 * has none.  NULL: no memory.
 */
void *tract__heap_alloc_slow(unsigned int class);

/* Shows every heap of a thread, unless the list of them is in use. */
void tract__heap_visit(void (*visit)(struct heap *heap, void *arg), void *arg);

/* The heap frees by arithmetic in the region of @span from now on; or never. */
void tract__heap_set_region(struct heap *heap, const struct span *span);

/* Collects what others freed in the caller's heap, and retires empty spans. */
void tract__heap_collect(void);

/*
 * The option hardened has been read: what the calling thread did before then has
 * left no short way past the slow paths.
 */
void tract__heap_harden(void);

void tract__heap_fork_prepare(void);
void tract__heap_fork_parent(void);
void tract__heap_fork_child(void);

static inline bool heap_has_deferred(const struct heap *heap, const void *p)
{
	return read_once(&heap->deferred) == p;
}

/* Of an offset in the heap's region: the header of its unit. */
static inline struct span *heap_span(const struct heap *heap, uintptr_t offset)
{
	return heap->region_spans + offset / UNIT_SIZE;
}

/*
 * Is @heap the owner of the span, found by arithmetic, and is that untouched, and are
 * frees of it not deferred?
 */
static inline bool heap_owns(const struct heap *heap, const struct span *span)
{
	return word_equals(&span->owner, heap->region_owner);
}

/* The same, but are they deferred? */
static inline bool heap_defers(const struct heap *heap, const struct span *span)
{
	return word_equals(&span->owner, heap->region_owner | OWNER_DEFERS);
}

/* Takes a block of @word, which is the bin's and not 0. */
static inline void *bin_take(struct bin *bin, uint64_t word)
{
	write_once(bin->word, word & (word - 1));
	return bin->word_base + bit_lowest(word) * bin->block_size;
}

/* A block, or NULL when the bin's word is used up. */
static inline void *bin_pop(struct bin *bin)
{
	uint64_t word = read_once(bin->word);

	return word ? bin_take(bin, word) : NULL;
}

#endif
