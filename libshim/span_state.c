// SPDX-License-Identifier: MIT
#include "span_state.h"

#include "arena.h"
#include "growth.h"
#include "report.h"

/* Full spans are offered for allocation again when this part of them is free. */
#define PARTIAL_FRACTION 8

/* Blocks out, remote frees that are not collected included. */
static uint32_t count_used(const struct span *span)
{
	uint32_t n = (uint32_t)span->block_count;

	for (unsigned int i = 0; i < span->words; i++)
		n -= bit_count(read_once(&span->tally->bits[i].free));
	return n;
}

/* Moves remote bits to free bits. */
static uint32_t collect_bits(struct span *span)
{
	uint32_t collected = 0;

	for (unsigned int i = 0; i < span->words; i++) {
		struct block_bits *word = &span->tally->bits[i];
		uint64_t bits = span_remote(span, i);
		uint64_t free_word = read_once(&word->free);

		if (!bits)
			continue;
		if (unlikely(bits & free_word)) {
			uint64_t index = i * 64 + (unsigned int)__builtin_ctzll(
							  bits & free_word);

			tract__report_corruption(
				"double free",
				span->base + index * span->block_size);
		}
		write_once(&word->free, free_word | bits);
		__atomic_fetch_and(&word->remote, ~bits, __ATOMIC_RELEASE);
		collected += bit_count(bits);
	}
	if (collected)
		__atomic_fetch_sub(&span->tally->remote_freed, collected,
				   __ATOMIC_SEQ_CST);
	return collected;
}

/*
 * Before collecting.  A remote free that sets its bit after the tag is gone
 * sets the tag again; while frees are being gathered it stays.
 */
static void untouch(struct span *span)
{
	__atomic_fetch_and(&span->owner, ~OWNER_TOUCHED, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&span->gatherer, __ATOMIC_SEQ_CST))
		__atomic_fetch_or(&span->owner, OWNER_TOUCHED,
				  __ATOMIC_SEQ_CST);
}

uint32_t tract__span_collect_current(struct span *span)
{
	if (!__atomic_load_n(&span->tally->remote_freed, __ATOMIC_SEQ_CST))
		return 0;
	return collect_bits(span);
}

uint32_t tract__span_collect(struct span *span)
{
	if (span_is_touched(span))
		untouch(span);
	return tract__span_collect_current(span);
}

/* The tag survives: remote frees do not wait for a lock to set it. */
void tract__span_set_owner(struct span *span, struct heap *heap)
{
	uintptr_t old = read_once(&span->owner);

	while (!__atomic_compare_exchange_n(
		&span->owner, &old, (uintptr_t)heap | (old & OWNER_TAGS), false,
		__ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
}

static void set_used(struct span *span, uint32_t base, uint32_t countdown)
{
	write_once(&span->tally->used_base, base);
	write_once(&span->tally->countdown, countdown);
}

/*
 * The owner looks again when half is freed: as long as others have freed less than the
 * other half, they need not tag the span.
 */
static void set_partial(struct heap *heap, struct span *span, uint32_t used)
{
	write_once(&span->state, SPAN_PARTIAL);
	set_used(span, 0, used);
	list_remove(&span->node);
	list_insert(&span->node, &heap->partial[span->class]);
}

/*
 * @used: blocks out.  At least one in PARTIAL_FRACTION has to come free before
 * the span is worth a refill; the countdown is what is missing of that.
 */
static void set_full_or_partial(struct heap *heap, struct span *span,
				uint32_t used)
{
	uint32_t enough = (uint32_t)span->block_count / PARTIAL_FRACTION;
	uint32_t free_now = (uint32_t)span->block_count - used;

	if (!enough)
		enough = 1;
	if (free_now >= enough) {
		set_partial(heap, span, used);
		return;
	}
	write_once(&span->state, SPAN_FULL);
	set_used(span, used - (enough - free_now), enough - free_now);
	list_remove(&span->node);
	list_insert(&span->node, &heap->full);
}

void tract__span_retire(struct span *span)
{
	list_remove(&span->node);
	list_remove(&span->ready);
	__atomic_store_n(&span->owner, 0, __ATOMIC_SEQ_CST);
	span->dirty_units = span->units;
	if (unlikely(span->spared))
		tract__growth_unspare(span);
	tract__arena_free(span);
}

/* Others may have freed blocks since the counts were made. */
static bool retire_empty(struct span *span)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (span_looks_empty(span)) {
		tract__span_retire(span);
		return true;
	}
	/* They may have seen the old counts. */
	if (span_may_empty_unseen(span))
		span_touch(span);
	return false;
}

/*
 * Remote frees leave a current span untagged, and are collected when it ends.
 * The fence pairs with the adding to remote_freed in add_freed(), remote.c: who
 * adds after what is collected next finds the span full, and takes care.
 */
static void end_current(struct span *span)
{
	write_once(&span->state, SPAN_FULL);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

bool tract__span_settle(struct heap *heap, struct span *span)
{
	list_remove(&span->ready);
	if (span->state == SPAN_CURRENT)
		end_current(span);
	tract__span_collect(span);
	set_full_or_partial(heap, span, count_used(span));
	return retire_empty(span);
}

void tract__span_settle_nodes(struct heap *heap, struct list *list)
{
	struct list *next;

	/* A span goes to the front of its list: nothing is met twice. */
	for (struct list *n = list->next; n != list; n = next) {
		next = n->next;
		tract__span_settle(heap, container_of(n, struct span, node));
	}
}

void tract__span_settle_ready(struct heap *heap)
{
	while (!list_empty(&heap->ready)) {
		struct span *span =
			container_of(heap->ready.next, struct span, ready);

		list_remove(&span->ready);
		tract__span_settle(heap, span);
	}
}

void tract__span_make_current(struct span *span)
{
	list_remove(&span->node);
	list_remove(&span->ready);
	write_once(&span->state, SPAN_CURRENT);
	span->round = span->fresh;
	if (unlikely(span->spared))
		tract__growth_reuse(span);
	set_used(span, USED_BIAS, 1);
	span_touch(span);
	tract__span_collect_current(span);
}
