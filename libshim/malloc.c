// SPDX-License-Identifier: MIT
#include "malloc.h"

#include <errno.h>
#include <string.h>

#include "arena.h"
#include "deferred.h"
#include "fast.h"
#include "free.h"
#include "hardened.h"
#include "heap.h"
#include "init.h"
#include "large.h"
#include "options.h"
#include "pagemap.h"
#include "purge.h"
#include "refill.h"
#include "remote.h"
#include "report.h"
#include "tick.h"

/* Alignment that every block has. */
#define ALIGN_MIN ((size_t)16)

static cold void *fail(void)
{
	errno = ENOMEM;
	return NULL;
}

/* All that is kept for later is given up. */
static void collect(void)
{
	if (tract__options.hardened)
		tract__hardened_drain();
	tract__heap_collect();
}

/*
 * Memory is short: what the heap keeps for later is given up, which may set a
 * whole reservation free.
 */
static cold void *malloc_large_again(size_t size, size_t align,
				     size_t *zero_from)
{
	void *p;

	collect();
	p = tract__large_alloc(size, align, false, zero_from);
	return p ? p : fail();
}

static noinline void *malloc_large(size_t size, size_t align, bool spare,
				   size_t *zero_from)
{
	void *p;

	/* Before the first small block there may be a large one. */
	tract__init();
	if (size > PTRDIFF_MAX - align)
		return fail();
	p = tract__large_alloc(size, align, spare, zero_from);
	return likely(p) ? p : malloc_large_again(size, align, zero_from);
}

static cold void *malloc_class_again(unsigned int class)
{
	void *p;

	collect();
	p = tract__heap_alloc_slow(class);
	return p ? p : fail();
}

static noinline void *malloc_slow_class(unsigned int class)
{
	void *p = tract__heap_alloc_slow(class);

	return likely(p) ? p : malloc_class_again(class);
}

/* Of a thread that has a heap, with each word. */
static inline void come_by_at_times(struct heap *heap)
{
	if (unlikely(!--heap->words_left))
		tract__tick_come_by(heap);
}

/*
 * What is free in the bin's word is ready from now on.  Both fields are read as they were
 * written, one by one: together they could not be had before the cache has them.
 */
static inline void get_ready(ready_of_thread *ready, const struct bin *bin)
{
	ready->bits = read_once(bin->word);
	ready->base = read_once(&bin->word_base);
	ready->word = read_once(&bin->word);
	ready->block_size = bin->block_size;
}

static noinline void *malloc_refill(unsigned int class)
{
	void *p = malloc_slow_class(class);
	struct heap *heap = tract__thread_heap;

	get_ready(ready_of(class), &heap->bins[class]);
	if (likely(heap != &tract__empty_heap))
		come_by_at_times(heap);
	return p;
}

/*
 * First what was freed in the same word meanwhile, if it is worth it: each time it is
 * less, in the end one block for each time here.
 */
noinline void *tract__malloc_slow(size_t size)
{
	unsigned int class = size_class_of(size);
	ready_of_thread *ready = ready_of(class);
	struct heap *heap = tract__thread_heap;
	struct bin *bin = &heap->bins[class];
	uint64_t bits;
	void *p;

	pending_carry_out(&heap->pending);
	bits = ready->word ? read_once(ready->word) : 0;
	if (bit_count(bits) >= WORD_LEAST) {
		tract__refill_check(bin, bits);
	} else {
		if (unlikely(!tract__refill_next(bin)))
			return malloc_refill(class);
		get_ready(ready, bin);
		bits = ready->bits;
	}
	p = ready_take(ready, bits);
	come_by_at_times(heap);
	return p;
}

static inline void *malloc_from_bin(unsigned int class)
{
	struct heap *heap = tract__thread_heap;
	struct bin *bin = &heap->bins[class];
	uint64_t word = read_once(bin->word);
	void *p = tract__deferred_take(heap, class);

	if (p)
		return p;
	if (unlikely(!word))
		return malloc_slow_class(class);
	return bin_take(bin, word);
}

/* More than SMALL_MAX. */
static noinline void *malloc_run(size_t size)
{
	unsigned int class;
	size_t zero_from;

	if (size <= MEDIUM_MAX && !tract__options.hardened) {
		class = tract__size_class_beyond(size);
		if (class < CLASS_COUNT)
			return malloc_from_bin(class);
	}
	return malloc_large(size, ALIGN_MIN, false, &zero_from);
}

noinline void *tract__malloc_beyond(size_t size)
{
	if (likely(size <= SMALL_MAX))
		return malloc_from_bin(size_class_of_medium(size));
	return malloc_run(size);
}

void *tract__malloc(size_t size)
{
	return fast_malloc(size);
}

/*
 * No block of @span starts at @p.  Where it lay in a region that was given back
 * since, and its headers serve another now, that says nothing: the map decides.
 */
void tract__free_misfit(struct span *span, void *p)
{
	struct span *other = pagemap_find(p);

	if (other == span)
		tract__report_corruption("invalid free", p);
	tract__free_now(other, p);
}

/* The bits say that it is free, or that it is behind the last block of @span. */
void tract__free_refused(const struct span *span, const void *p)
{
	bool is_block = span_index(span, p) < span->block_count;

	tract__report_corruption(is_block ? "double free" : "invalid free", p);
}

void tract__free_now(struct span *span, void *p)
{
	struct heap *heap = tract__thread_heap;
	/* The map knows of which region it is. */
	uintptr_t owner = read_once(&span->owner) &
			  ~OWNER_GENERATION(GENERATION_MAX);

	if (owner == (uintptr_t)heap)
		fast_free_own(heap, span, p);
	else if (owner == ((uintptr_t)heap | OWNER_DEFERS))
		tract__deferred_free(heap, span, p);
	else if (span->kind == SPAN_SMALL)
		tract__free_small_slow(span, p);
	else if (span->kind == SPAN_LARGE)
		tract__large_free(span, p);
	else
		tract__report_corruption("invalid free", p);
}

noinline void tract__free_by_pagemap(void *p)
{
	struct span *span = pagemap_find(p);

	if (!p)
		return;
	if (unlikely(tract__options.hardened))
		tract__hardened_free(span, p);
	else
		tract__free_now(span, p);
}

static noinline void free_not_gathered(void *p, struct span *span)
{
	struct heap *heap = tract__thread_heap;

	if (heap_defers(heap, span))
		tract__deferred_free(heap, span, p);
	else if (span_owner(span) &&
		 (uintptr_t)p - (uintptr_t)span->base < UNIT_SIZE)
		tract__free_small_slow(span, p);
	else
		tract__free_by_pagemap(p);
}

/*
 * What another makes and the caller consumes is gathered here.  All else is called as the
 * last thing, so that nothing is saved on the stack for it.
 */
noinline void tract__free_not_own(void *p, struct span *span, struct heap *heap)
{
	uint64_t index = span_index(span, p);
	struct batch *batch;

	/*
	 * A number below block_count says that a block of that span begins there,
	 * whichever unit's header it is: but for the first of a small span that is
	 * there now none has blocks.
	 */
	if (unlikely(index >= span->block_count)) {
		free_not_gathered(p, span);
		return;
	}
	batch = batch_of(heap, span);
	if (unlikely(!remote_can_gather(batch, span, index))) {
		free_not_gathered(p, span);
		return;
	}
	if (unlikely(remote_gather(batch, index)))
		tract__remote_tell(heap, span->class);
}

void tract__free(void *p)
{
	fast_free(p);
}

void *tract__calloc(size_t count, size_t size)
{
	size_t total, zero_from;
	void *p;

	if (unlikely(__builtin_mul_overflow(count, size, &total)))
		return fail();
	if (likely(total <= SMALL_MAX)) {
		p = tract__malloc(total);
		return likely(p) ? memset(p, 0, total) : NULL;
	}
	p = malloc_large(total, ALIGN_MIN, false, &zero_from);
	if (p && zero_from)
		memset(p, 0, zero_from < total ? zero_from : total);
	return p;
}

void *tract__memalign(size_t align, size_t size)
{
	unsigned int class;
	size_t zero_from;

	if (align <= ALIGN_MIN)
		return tract__malloc(size);
	if (align <= SMALL_MAX && size <= SMALL_MAX - align + 1) {
		class = size_class_aligned(align_up(size ? size : 1, align),
					   align);
		return tract__malloc(tract__class_size[class]);
	}
	/* The first byte of a run is aligned to more than any small block. */
	return malloc_large(size > SMALL_MAX ? size : SMALL_MAX + 1, align,
			    false, &zero_from);
}

/*
 * The size of a small block of the caller's own, by the arithmetic of free(); 0: it
 * is another's, or large, or none.
 */
static inline size_t own_small_size(const void *p)
{
	struct heap *heap = tract__thread_heap;
	uintptr_t offset = (uintptr_t)p - heap->region_base;
	const struct span *span;
	uint64_t index;

	if (unlikely(offset >= heap->region_length))
		return 0;
	pending_carry_out(&heap->pending);
	span = heap_span(heap, offset);
	if (unlikely(!heap_owns(heap, span) && !heap_defers(heap, span)))
		return 0;
	index = span_index(span, p);
	if (unlikely(index >= span->block_count || span_is_freed(span, index) ||
		     heap_has_deferred(heap, p)))
		return 0;
	return span->block_size;
}

static noinline size_t usable_any(const void *p)
{
	struct span *span = pagemap_find(p);

	if (span->kind == SPAN_SMALL && tract__free_would_be_valid(span, p))
		return span->block_size;
	if (large_is_block(span, p))
		return tract__large_usable(span);
	return 0;
}

/* Programs that count what they hold ask at each malloc() and free(). */
size_t tract__usable_size(const void *p)
{
	size_t usable = own_small_size(p);

	return likely(usable) ? usable : usable_any(p);
}

/* @usable and @size may be anything; the smaller is copied. */
static void *move_block(void *p, size_t usable, size_t size)
{
	size_t zero_from;
	void *to;

	if (size > SMALL_MAX)
		to = malloc_large(size, ALIGN_MIN, size > usable, &zero_from);
	else
		to = tract__malloc(size);
	if (!to)
		return NULL;
	memcpy(to, p, usable < size ? usable : size);
	tract__free(p);
	return to;
}

/* Half empty is let pass: moving costs more than it saves. */
static inline void *realloc_small(void *p, size_t usable, size_t size)
{
	if (size <= usable && size >= usable / 2)
		return p;
	return move_block(p, usable, size);
}

/* What is not a small block of the caller's own. */
static noinline void *realloc_any(void *p, size_t size)
{
	struct span *span;
	size_t usable;

	if (!p)
		return tract__malloc(size);
	/* As the C library does, and programs expect. */
	if (!size) {
		tract__free(p);
		return NULL;
	}
	span = pagemap_find(p);
	usable = usable_any(p);
	if (unlikely(!usable))
		tract__report_corruption("invalid realloc", p);
	if (span->kind == SPAN_SMALL)
		return realloc_small(p, usable, size);
	if (size > SMALL_MAX / 2 && tract__large_resize(span, size))
		return p;
	return move_block(p, usable, size);
}

void *tract__realloc(void *p, size_t size)
{
	size_t usable = own_small_size(p);

	if (unlikely(!usable || !size))
		return realloc_any(p, size);
	return realloc_small(p, usable, size);
}

bool tract__trim(void)
{
	collect();
	return tract__purge_all();
}
