// SPDX-License-Identifier: MIT
#include "growth.h"

#include "arena.h"
#include "refill.h"
#include "region.h"
#include "span_state.h"

/*
 * A look in vain doubles the units that the heap may take before the next, up to
 * this: its price is soon small against that of so many pages.
 */
#define STEP_MAX 32

/* A hole that is shorter is not worth its part of a system call. */
#define HOLE_MIN ((size_t)8192)

/* Calls to drop pages in one look, the heap locked: some milliseconds. */
#define CALLS_MAX 64

/* Blocks that have pages, as far as is known. */
static uint64_t touched(const struct span *span)
{
	return span->dirty_units ? span->block_count : span->fresh * 64ull;
}

/* Wholly free, and worth to be another's. */
static bool is_idle(struct span *span)
{
	uint64_t blocks = span->block_count;

	if (touched(span) < blocks / 2)
		return false;
	tract__span_collect_current(span);
	for (unsigned int i = 0; i < span->words; i++, blocks -= 64) {
		uint64_t all = blocks < 64 ? (1ull << blocks) - 1 : ~0ull;

		if (read_once(&span->tally->bits[i].free) != all)
			return false;
	}
	return true;
}

static bool give_up_idle(struct heap *heap)
{
	bool any = false;

	for (unsigned int class = 0; class < CLASS_COUNT; class ++) {
		struct bin *bin = &heap->bins[class];

		if (!bin->span || !is_idle(bin->span))
			continue;
		tract__refill_drop_current(heap, bin);
		any = true;
	}
	return any;
}

/* Pages to be dropped of spans that are in use. */
struct holes {
	struct decommit ranges[DECOMMIT_BATCH];
	unsigned int count;
	unsigned int calls;
	size_t pages;
};

static void drop(struct holes *holes)
{
	if (!holes->count)
		return;
	tract__backend_decommit(holes->ranges, holes->count);
	holes->count = 0;
	holes->calls++;
}

/* Bytes [@from, @to) of a span hold nothing; the pages that go. */
static size_t add(struct holes *holes, const struct span *span, size_t from,
		  size_t to)
{
	const struct reservation *reservation = &region_of(span)->reservation;

	from = align_up(from, PAGE);
	to &= ~(PAGE - 1);
	if (from + HOLE_MIN > to)
		return 0;
	if (holes->count == DECOMMIT_BATCH)
		drop(holes);
	holes->ranges[holes->count++] = (struct decommit){
		.reservation = reservation,
		.offset = (size_t)(span->base - reservation->base) + from,
		.length = to - from,
	};
	holes->pages += (to - from) / PAGE;
	return (to - from) / PAGE;
}

/* The first block from @index on that is free, or is not; block_count: none. */
static uint64_t next_block(const struct span *span, uint64_t index, bool free)
{
	while (index < span->block_count) {
		uint64_t word = read_once(&span_bits(span, index)->free);

		word = (free ? word : ~word) >> index % 64;
		if (word) {
			index += bit_lowest(word);
			break;
		}
		index = (index | 63) + 1;
	}
	return index < span->block_count ? index : span->block_count;
}

static size_t add_free_pages(struct holes *holes, const struct span *span)
{
	size_t pages = 0;
	uint64_t from, to;

	for (uint64_t at = 0; at < span->block_count; at = to) {
		from = next_block(span, at, true);
		to = next_block(span, from, false);
		pages += add(holes, span, from * span->block_size,
			     to * span->block_size);
	}
	return pages;
}

static bool is_sparse(const struct span *span)
{
	uint32_t free_blocks = 0;

	for (unsigned int i = 0; i < span->words; i++)
		free_blocks += bit_count(read_once(&span->tally->bits[i].free));
	return free_blocks >= span->block_count / 4 * 3;
}

static void count_spared(struct span *span, size_t pages)
{
	__atomic_fetch_add(&tract__arena.spared_pages, pages - span->spared,
			   __ATOMIC_RELAXED);
	span->spared = (uint16_t)pages;
}

void tract__growth_unspare(struct span *span)
{
	count_spared(span, 0);
}

void tract__growth_reuse(struct span *span)
{
	count_spared(span, 0);
	tract__arena_note_growth();
}

/*
 * As much as the program has grown by: what is dropped earlier than it need be may be
 * wanted back meanwhile.
 */
static bool is_enough(const struct holes *holes)
{
	return holes->calls >= CALLS_MAX ||
	       holes->pages >=
		       UNIT_PAGES * read_once(&tract__arena.growth_step);
}

/*
 * Nobody allocates from a partial span while its heap is locked: what is free
 * stays so.  Those that have waited longest come first.
 */
static void look_through(struct holes *holes, struct list *partial)
{
	for (struct list *n = partial->prev; n != partial; n = n->prev) {
		struct span *span = container_of(n, struct span, node);

		if (is_enough(holes))
			return;
		if (!span->spared && is_sparse(span))
			count_spared(span, add_free_pages(holes, span));
	}
}

static void drop_free_pages(struct heap *heap)
{
	struct holes holes = { .count = 0 };

	/* Large blocks leave large holes. */
	for (unsigned int class = CLASS_COUNT; class --;)
		look_through(&holes, &heap->partial[class]);
	drop(&holes);
}

/* Has the program grown since it was last looked where this heap has holes? */
static bool has_grown(struct heap *heap)
{
	uint32_t growths = read_once(&tract__arena.growths);

	if (likely(heap->growths == growths))
		return false;
	heap->growths = growths;
	return true;
}

static cold void after_growth(struct heap *heap)
{
	drop_free_pages(heap);
	if (heap == &tract__orphans || !orphans_exist())
		return;
	lock_acquire(&tract__orphans.lock);
	if (has_grown(&tract__orphans))
		drop_free_pages(&tract__orphans);
	lock_release(&tract__orphans.lock);
}

void tract__growth_prepare(struct heap *heap, size_t units)
{
	if (unlikely(has_grown(heap)))
		after_growth(heap);
	if (heap->growth_left > units) {
		heap->growth_left -= (uint32_t)units;
		return;
	}
	if (give_up_idle(heap))
		heap->growth_step = 0;
	else if (heap->growth_step < STEP_MAX)
		heap->growth_step = heap->growth_step * 2 + 1;
	heap->growth_left = heap->growth_step;
}

void tract__growth_prepare_own(size_t units)
{
	struct heap *heap = tract__thread_heap;

	if (heap == &tract__empty_heap)
		return;
	if (heap->growth_left > units) {
		heap->growth_left -= (uint32_t)units;
		return;
	}
	pending_carry_out(&heap->pending);
	lock_acquire(&heap->lock);
	tract__growth_prepare(heap, units);
	lock_release(&heap->lock);
}
