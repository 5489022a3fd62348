// SPDX-License-Identifier: MIT
/*
 * Memory goes back after a delay, and no thread of ours watches the clock: the
 * program's own threads do in passing.  Refills and retired spans are occasions
 * enough for busy ones.  A thread that takes and returns the same few blocks comes by
 * when it has used up a few words of them: its pace adapts to once every few dozen ms.
 * The current spans of a slow thread are tagged, so that it comes by at its next free;
 * and so are, while there is memory to give back, a thread's own whenever it comes by,
 * and everybody's every half decay.
 */
#include "tick.h"

#include "hardened.h"
#include "options.h"
#include "purge.h"
#include "refill.h"
#include "remote.h"
#include "span_state.h"

/* Times in ms. */
#define PACE_SLOWER_MS 8
#define PACE_FASTER_MS 64

/* Heap locked, or the caller's own. */
static void tag_currents(struct heap *heap)
{
	for (unsigned int class = 0; class < CLASS_COUNT; class ++) {
		struct span *span = heap->bins[class].span;

		if (span)
			span_touch(span);
	}
}

/* A heap that is busy is passed over: its thread comes by itself. */
static void tag_heap(struct heap *heap, void *arg)
{
	(void)arg;
	if (!lock_try(&heap->lock))
		return;
	tag_currents(heap);
	lock_release(&heap->lock);
}

void tract__tick(void)
{
	static uint32_t all_tagged_at;
	struct heap *heap = tract__thread_heap;
	uint32_t last, now;

	if (unlikely(tract__options.hardened))
		tract__hardened_tick(tract__sys_now_ms());
	if (!purge_needs_tick())
		return;
	now = tract__sys_now_ms();
	if (!tract__purge_tick(now))
		return;
	last = read_once(&all_tagged_at);
	if (now - last > (uint32_t)tract__options.decay_ms / 2 &&
	    __atomic_compare_exchange_n(&all_tagged_at, &last, now, false,
					__ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		tract__heap_visit(tag_heap, NULL);
	} else if (heap != &tract__empty_heap && heap->tagged_at != now) {
		heap->tagged_at = now;
		tag_currents(heap);
	}
}

static void find_pace(struct heap *heap)
{
	uint32_t now = tract__sys_now_ms();
	uint32_t elapsed = now - heap->paced_at;

	if (elapsed > PACE_FASTER_MS)
		heap->pace = 1;
	else if (elapsed < PACE_SLOWER_MS && heap->pace < PACE_MAX)
		heap->pace *= 2;
	heap->paced_at = now;
	if (elapsed)
		tract__tick();
}

static noinline void settle_ready(struct heap *heap)
{
	pending_carry_out(&heap->pending);
	lock_acquire(&heap->lock);
	tract__span_settle_ready(heap);
	lock_release(&heap->lock);
}

uint32_t tract__tick_come_by(struct heap *heap)
{
	/* Or their owners would have no fast frees, for a few of ours. */
	tract__remote_flush(heap);
	if (unlikely(!list_seems_empty(&heap->ready)))
		settle_ready(heap);
	find_pace(heap);
	heap->words_left = (uint16_t)(heap->pace / WORD_LEAST + 1);
	/* Before a word is used up much time may pass. */
	if (heap->pace < WORD_LEAST)
		tag_currents(heap);
	return heap->pace;
}
