// SPDX-License-Identifier: MIT
#include "refill.h"

#include "arena.h"
#include "growth.h"
#include "hardened.h"
#include "options.h"
#include "pagemap.h"
#include "region.h"
#include "report.h"
#include "span_state.h"
#include "sys.h"

/*
 * A span is used from its start, and its pages are touched as far as need be.
 * What was in use before is gone over again and again, in rounds; a round in
 * which less than one in WIDEN_FRACTION of it was free adds another word to it.
 * (Always the lowest free block would touch least, and go to a refill for each
 * block; without the rounds all of every span is touched sooner or later.)
 *
 * When all but one in NARROW_FRACTION is free, half is gone over from then on:
 * what is allocated next is in the cache more likely.
 */
#define WIDEN_FRACTION 2
#define NARROW_FRACTION 4

/*
 * A span that is gone over whole, and of which less than one in GIVE_UP_FRACTION
 * is free, is left for another: else a class whose blocks just fill a span would
 * go over all of its words for a few blocks each time.  It waits with the full
 * ones, until enough has come free.
 */
#define GIVE_UP_FRACTION 16

/* A round that is not full goes to no other words; in a full one there may be none. */
_Static_assert(WORD_LEAST <= 64 / WIDEN_FRACTION,
	       "or there may be no such word");

static cold void freed_twice(const struct bin *bin, uint64_t bits)
{
	tract__report_corruption("double free",
				 bin->word_base +
					 bit_lowest(bits) * bin->block_size);
}

void tract__refill_check(const struct bin *bin, uint64_t bits)
{
	bits &= read_once(
		&container_of(bin->word, struct block_bits, free)->remote);
	if (caught(bits))
		freed_twice(bin, bits);
}

static bool point_at(struct bin *bin, unsigned int i, unsigned int least)
{
	struct span *span = bin->span;
	uint64_t *word = &span->tally->bits[i].free;
	uint64_t bits = read_once(word);

	if (bit_count(bits) < least)
		return false;
	bin->word = word;
	bin->word_base = span->base + (size_t)i * 64 * span->block_size;
	tract__refill_check(bin, bits);
	return true;
}

/* Points the bin at a word of the round worth going to, of @from or behind. */
static bool find_word(struct bin *bin, unsigned int from)
{
	const struct span *span = bin->span;

	for (unsigned int i = from; i < span->round; i++)
		if (point_at(bin, i, span->least))
			return true;
	return false;
}

/* How much is free in the words that are gone over, and which is worth going to first. */
static unsigned int survey(const struct span *span, unsigned int *first)
{
	unsigned int free_blocks = 0;

	*first = span->round;
	for (unsigned int i = span->round; i-- > 0;) {
		unsigned int n =
			bit_count(read_once(&span->tally->bits[i].free));

		free_blocks += n;
		if (n >= WORD_LEAST)
			*first = i;
	}
	return free_blocks;
}

static bool is_full(const struct span *span, unsigned int free_blocks)
{
	return free_blocks * WIDEN_FRACTION <= span->round * 64u;
}

/* Another word with free blocks, of those that were in use before first. */
static bool widen(struct bin *bin)
{
	struct span *span = bin->span;

	while (span->round < span->fresh)
		if (point_at(bin, span->round++, WORD_LEAST))
			return true;
	if (span->fresh == span->words)
		return false;
	span->round = ++span->fresh;
	return point_at(bin, span->fresh - 1u, 1);
}

static bool begin_round(struct bin *bin)
{
	struct span *span = bin->span;
	unsigned int first, free_blocks = survey(span, &first);

	if (is_full(span, free_blocks) && tract__span_collect_current(span))
		free_blocks = survey(span, &first);
	span->least = WORD_LEAST;
	if (is_full(span, free_blocks)) {
		if (widen(bin))
			return true;
		if (free_blocks * GIVE_UP_FRACTION < span->block_count)
			return false;
		span->least = 1;
		first = 0;
	}
	if ((span->round * 64u - free_blocks) * NARROW_FRACTION <
	    span->round * 64u)
		span->round = (uint16_t)((span->round + 1) / 2);
	return find_word(bin, first);
}

/* Which word of its span's bitmap the bin points at. */
static unsigned int word_number(const struct bin *bin)
{
	return (unsigned int)(container_of(bin->word, struct block_bits, free) -
			      bin->span->tally->bits);
}

static bool next_word(struct bin *bin)
{
	return bin->span &&
	       (find_word(bin, word_number(bin) + 1) || begin_round(bin));
}

bool tract__refill_next(struct bin *bin)
{
	return !unlikely(tract__options.hardened) && next_word(bin);
}

void *tract__refill_take(struct heap *heap, struct bin *bin)
{
	if (unlikely(tract__options.hardened))
		return tract__hardened_take(heap, bin->span);
	return next_word(bin) ? bin_pop(bin) : NULL;
}

/* From a current span that has just been collected. */
static void *take_anew(struct heap *heap, struct bin *bin)
{
	if (unlikely(tract__options.hardened))
		return tract__hardened_take(heap, bin->span);
	return begin_round(bin) ? bin_pop(bin) : NULL;
}

/*
 * A heap's thread has looked through its current span already, without the lock:
 * there may be remote frees since.  Who takes from the orphans has not.
 */
static void *take_from_current(struct heap *heap, struct bin *bin)
{
	if (!bin->span || (!tract__span_collect_current(bin->span) &&
			   heap != &tract__orphans))
		return NULL;
	return take_anew(heap, bin);
}

void tract__refill_drop_current(struct heap *heap, struct bin *bin)
{
	struct span *span = bin->span;

	if (!span)
		return;
	bin->span = NULL;
	bin->word = &tract__no_blocks;
	if (heap == tract__thread_heap)
		ready_forget(span->class);
	tract__span_settle(heap, span);
}

static struct span *adopt(struct heap *heap, unsigned int class)
{
	struct span *span = NULL;

	/* A look without the lock: mostly there is nothing. */
	if (heap == &tract__orphans || !orphans_exist() ||
	    (list_seems_empty(&tract__orphans.partial[class]) &&
	     list_seems_empty(&tract__orphans.ready)))
		return NULL;
	lock_acquire(&tract__orphans.lock);
	tract__span_settle_ready(&tract__orphans);
	if (!list_empty(&tract__orphans.partial[class])) {
		span = container_of(tract__orphans.partial[class].prev,
				    struct span, node);
		list_remove(&span->node);
		list_remove(&span->ready);
		tract__span_set_owner(span, heap);
	}
	lock_release(&tract__orphans.lock);
	return span;
}

/* What was left at one time is mostly together in each list, the newest first. */
#define ESTATE_LOOKS 16

static void inherit_list(struct heap *heap, struct list *orphans,
			 uint16_t left_at)
{
	struct list *n = orphans->next;

	for (int i = 0; i < ESTATE_LOOKS && n != orphans; i++) {
		struct span *span = container_of(n, struct span, node);

		n = n->next;
		if (span->round == left_at) {
			tract__span_set_owner(span, heap);
			tract__span_settle(heap, span);
		}
	}
}

/* Both heaps locked. */
static void inherit(struct heap *heap, uint16_t left_at)
{
	for (unsigned int class = 0; class < CLASS_COUNT; class ++)
		inherit_list(heap, &tract__orphans.partial[class], left_at);
	inherit_list(heap, &tract__orphans.full, left_at);
}

bool tract__refill_adopt(struct heap *heap, struct span *span, bool all)
{
	uint16_t left_at;
	bool adopted;

	lock_acquire(&heap->lock);
	lock_acquire(&tract__orphans.lock);
	adopted = span_owner(span) == &tract__orphans &&
		  span->state != SPAN_CURRENT;
	if (adopted) {
		left_at = span->round;
		tract__span_set_owner(span, heap);
		tract__span_settle(heap, span);
		if (all)
			inherit(heap, left_at);
	}
	lock_release(&tract__orphans.lock);
	lock_release(&heap->lock);
	return adopted;
}

/*
 * A class that has taken this many new spans in a row, and so filled them, will
 * fill the next: its pages are had in one call instead of a fault each.  What
 * that touches in vain is at most a part in GROWN_SPANS of what the class has.
 */
#define GROWN_SPANS 16

void tract__refill_prepare(struct heap *heap)
{
	struct span *span = heap->fresh_span;
	uint8_t *grown = &heap->grown[span->class];

	heap->fresh_span = NULL;
	if (*grown < GROWN_SPANS)
		(*grown)++;
	else if (!span->dirty_units)
		tract__sys_populate(span->base, span->units * UNIT_SIZE);
}

/* Frees of what malloc() has none ready of are deferred. */
static uintptr_t owner_tags(const struct span *span)
{
	return (span->class < READY_CLASSES ? 0 : OWNER_DEFERS) |
	       OWNER_GENERATION(region_of(span)->generation);
}

static struct span *new_span(struct heap *heap, unsigned int class)
{
	unsigned int size = tract__class_size[class];
	size_t units = size_class_units(class);
	uint32_t blocks = (uint32_t)(units * UNIT_SIZE / size);
	unsigned int words = (blocks + 63) / 64;
	struct span *span = tract__arena_alloc_small(units, words, class);

	if (!span)
		return NULL;
	span_set_block_size(span, size);
	span->class = (uint8_t) class;
	span->block_count = blocks;
	span->fresh = 0;
	span->round = 0;
	span->spared = 0;
	write_once(&span->tally->remote_freed, 0);
	write_once(&span->gatherer, NULL);
	for (unsigned int i = 0; i < words; i++) {
		write_once(&span->tally->bits[i].free, ~0ull);
		write_once(&span->tally->bits[i].remote, 0);
		if (unlikely(span_held_bits(span)))
			write_once(&span_held_bits(span)[i], 0);
	}
	/* Beyond the last block nothing is free, ever. */
	if (blocks % 64) {
		struct block_bits *last = &span->tally->bits[words - 1];

		write_once(&last->free, (1ull << blocks % 64) - 1);
		write_once(&last->remote, 1ull << blocks % 64);
	}
	list_init(&span->node);
	list_init(&span->ready);
	__atomic_store_n(&span->owner, (uintptr_t)heap | owner_tags(span),
			 __ATOMIC_RELEASE);
	tract__pagemap_set(span->base, units, span);
	return span;
}

void *tract__refill(struct heap *heap, unsigned int class)
{
	struct bin *bin = &heap->bins[class];
	void *p = take_from_current(heap, bin);
	struct span *span;

	if (p)
		return p;
	tract__refill_drop_current(heap, bin);
	tract__span_settle_ready(heap);
	if (!list_empty(&heap->partial[class])) {
		span = container_of(heap->partial[class].next, struct span,
				    node);
		if (heap->grown[class])
			heap->grown[class] = 1; /* more than none */
	} else {
		span = adopt(heap, class);
		if (!span) {
			tract__growth_prepare(heap, size_class_units(class));
			span = new_span(heap, class);
			if (!span)
				return NULL;
			heap->fresh_span = span;
		}
	}
	tract__span_make_current(span);
	tract__heap_set_region(heap, span);
	bin->span = span;
	return take_anew(heap, bin);
}
