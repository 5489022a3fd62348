// SPDX-License-Identifier: MIT
#include "refill.h"

#include "arena.h"
#include "pagemap.h"
#include "span_state.h"

/* Points the bin at the first word with a free block, from @from on, round. */
static bool find_word(struct bin *bin, unsigned int from)
{
	struct span *span = bin->span;

	for (unsigned int n = 0; n < span->words; n++) {
		unsigned int i = from + n < span->words ?
					 from + n :
					 from + n - span->words;

		if (read_once(&span->free_bits[i])) {
			bin->word = &span->free_bits[i];
			bin->word_base =
				span->base + (size_t)i * 64 * span->block_size;
			return true;
		}
	}
	return false;
}

/*
 * Where to begin in a span: elsewhere in each, or the parts of spans that are in
 * use would lie in the same sets of the caches.
 */
static unsigned int first_word(const struct span *span)
{
	return (unsigned int)((uintptr_t)span->base / UNIT_SIZE * 5 %
			      span->words);
}

bool tract__refill_next_word(struct bin *bin)
{
	return bin->span &&
	       find_word(bin, (unsigned int)(bin->word - bin->span->free_bits));
}

static bool refill_from_current(struct bin *bin)
{
	if (tract__refill_next_word(bin))
		return true;
	if (!bin->span)
		return false;
	tract__span_collect(bin->span);
	return find_word(bin, 0);
}

void tract__refill_drop_current(struct heap *heap, struct bin *bin)
{
	struct span *span = bin->span;

	if (!span)
		return;
	bin->span = NULL;
	bin->word = &tract__no_blocks;
	tract__span_settle(heap, span);
}

static struct span *adopt(struct heap *heap, unsigned int class)
{
	struct span *span = NULL;

	/* A look without the lock: mostly there is nothing. */
	if (heap == &tract__orphans ||
	    (list_seems_empty(&tract__orphans.partial[class]) &&
	     list_seems_empty(&tract__orphans.ready)))
		return NULL;
	lock_acquire(&tract__orphans.lock);
	tract__span_settle_ready(&tract__orphans);
	if (!list_empty(&tract__orphans.partial[class])) {
		span = container_of(tract__orphans.partial[class].next,
				    struct span, node);
		list_remove(&span->node);
		list_remove(&span->ready);
		tract__span_set_owner(span, heap);
	}
	lock_release(&tract__orphans.lock);
	return span;
}

static struct span *new_span(struct heap *heap, unsigned int class)
{
	unsigned int size = tract__class_size[class];
	size_t units = size_class_units(class);
	uint32_t blocks = (uint32_t)(units * UNIT_SIZE / size);
	unsigned int words = (blocks + 63) / 64;
	struct span *span = tract__arena_alloc(units, 0, 0, SPAN_SMALL);

	if (!span)
		return NULL;
	if (!tract__arena_alloc_bits(span, words)) {
		span->kind = SPAN_LARGE; /* has no bitmaps to give back */
		tract__arena_free(span);
		return NULL;
	}
	span->shift = (uint8_t)__builtin_ctz(size);
	span->inverse = odd_inverse(size >> span->shift);
	span->class = (uint8_t) class;
	span->block_size = size;
	span->block_count = blocks;
	write_once(&span->remote_freed, 0);
	write_once(&span->gatherer, NULL);
	for (unsigned int i = 0; i < words; i++) {
		write_once(&span->free_bits[i], ~0ull);
		write_once(&span->remote_bits[i], 0);
	}
	/* Beyond the last block nothing is free, ever. */
	if (blocks % 64)
		write_once(&span->free_bits[words - 1],
			   (1ull << blocks % 64) - 1);
	list_init(&span->node);
	list_init(&span->ready);
	__atomic_store_n(&span->owner, (uintptr_t)heap, __ATOMIC_RELEASE);
	tract__pagemap_set(span->base, units, span);
	return span;
}

void *tract__refill(struct heap *heap, unsigned int class)
{
	struct bin *bin = &heap->bins[class];
	struct span *span;

	if (refill_from_current(bin))
		return bin_pop(bin);
	tract__refill_drop_current(heap, bin);
	tract__span_settle_ready(heap);
	if (!list_empty(&heap->partial[class])) {
		span = container_of(heap->partial[class].next, struct span,
				    node);
	} else {
		span = adopt(heap, class);
		if (!span)
			span = new_span(heap, class);
		if (!span)
			return NULL;
	}
	/* The first free finds the pace. */
	tract__span_make_current(span, 1);
	tract__heap_set_region(heap, span);
	bin->span = span;
	find_word(bin, first_word(span));
	return bin_pop(bin);
}
