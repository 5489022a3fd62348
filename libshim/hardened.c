// SPDX-License-Identifier: MIT
#include "hardened.h"

#include <string.h>

#include "free.h"
#include "malloc.h"
#include "options.h"
#include "pagemap.h"
#include "report.h"
#include "sys.h"
#include "tick.h"

/*
 * Frees of small blocks, and of others, until a block leaves the quarantine: of
 * the ones it holds 4 MiB at the most, of the others 8.
 */
#define SMALL_SIZE 1024
#define SMALL_SLOTS 4096
#define OTHER_SLOTS 256
#define SLOTS (SMALL_SLOTS + OTHER_SLOTS)

/* A block that no other pushes out stays for half a decay, or this if it is more. */
#define HOLD_MIN_MS 100
/* Frees look at the time so often, since few of them get to where others do. */
#define TICK_MS 16

/* Zeroing up to here costs less than faulting the pages in again. */
#define WIPE_UNITS_MAX 4

/* 0, or a block's address, and above it when it came, in STAMP_MS. */
#define STAMP_SHIFT ADDRESS_BITS
#define STAMP_MS 16
#define NEWER_MS 1024
static uint64_t quarantine[SLOTS] far_bss;

/* Blocks that have come so far; the next goes where the oldest is. */
static uint32_t small_count cacheline_aligned;
static uint32_t other_count cacheline_aligned;

/* xorshift64*: fast and well spread, not secret to whoever sees addresses. */
static uint64_t next_random(struct heap *heap)
{
	uint64_t x = heap->random;

	while (unlikely(!x))
		x = tract__sys_random();
	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	heap->random = x;
	return x * 0x2545f4914f6cdd1d;
}

static unsigned int random_bit(uint64_t word, uint32_t random)
{
	uint32_t skip = (uint32_t)((uint64_t)random * bit_count(word) >> 32);

	while (skip--)
		word &= word - 1;
	return (unsigned int)bit_lowest(word);
}

void *tract__hardened_take(struct heap *heap, struct span *span)
{
	uint64_t random;
	unsigned int at;

	if (!span)
		return NULL;
	random = next_random(heap);
	at = (unsigned int)((random >> 32) * span->words >> 32);
	for (unsigned int i = 0; i < span->words; i++) {
		uint64_t *free_word = &span->tally->bits[at].free;
		uint64_t word = read_once(free_word);

		if (word) {
			unsigned int bit = random_bit(word, (uint32_t)random);

			write_once(free_word, word & ~(1ull << bit));
			return span->base +
			       (at * 64ul + bit) * span->block_size;
		}
		at = at + 1 < span->words ? at + 1 : 0;
	}
	return NULL;
}

static uint64_t stamp_at(uint32_t ms)
{
	return (uint64_t)(ms / STAMP_MS) << STAMP_SHIFT;
}

static void *block_of(uint64_t held)
{
	return (void *)(held & ((1ull << STAMP_SHIFT) - 1));
}

/* It may have come after @now: another thread's look at the clock is newer. */
static bool is_due(uint64_t held, uint32_t now, uint32_t hold)
{
	uint64_t came = held - (uintptr_t)block_of(held);
	uint64_t steps = (stamp_at(now + NEWER_MS) - came) >> STAMP_SHIFT;

	return steps * STAMP_MS >= hold + NEWER_MS;
}

static uint64_t *next_slot(const struct span *span)
{
	if (span->block_size <= SMALL_SIZE)
		return &quarantine[__atomic_fetch_add(&small_count, 1,
						      __ATOMIC_RELAXED) %
				   SMALL_SLOTS];
	return &quarantine[SMALL_SLOTS + __atomic_fetch_add(&other_count, 1,
							    __ATOMIC_RELAXED) %
						 OTHER_SLOTS];
}

bool tract__hardened_holds(const struct span *span, uint64_t index)
{
	const uint64_t *held = span_held_bits(span);

	return held && __atomic_load_n(&held[index / 64], __ATOMIC_ACQUIRE) >>
				       index % 64 &
			       1;
}

/* @length is a multiple of 16. */
static bool is_zero(const void *p, size_t length)
{
	const uint64_t *word = p, *end = word + length / 8;
	uint64_t any = 0;

	for (; word < end; word += 2)
		any |= word[0] | word[1];
	return !any;
}

/* A block that has left the quarantine is free from now on. */
static void release(void *p)
{
	struct span *span = pagemap_find(p);
	uint64_t index = span_index(span, p);

	if (unlikely(!is_zero(p, span->block_size)))
		tract__report_corruption("write after free", p);
	/* First: the span, and its bits, may be gone after. */
	__atomic_fetch_and(&span_held_bits(span)[index / 64],
			   ~(1ull << index % 64), __ATOMIC_RELEASE);
	tract__free_now(span, p);
}

static void tick_at_times(uint32_t now)
{
	static uint32_t ticked_at;

	if (now - read_once(&ticked_at) < TICK_MS)
		return;
	write_once(&ticked_at, now);
	tract__tick();
}

static cold void misused(const struct span *span, const void *p)
{
	bool is_block = span_index(span, p) < span->block_count;

	tract__report_corruption(is_block ? "double free" : "invalid free", p);
}

/* Of two threads that free one block at the same time one finds it held. */
static bool hold(struct span *span, void *p)
{
	uint64_t index = span_index(span, p);
	uint64_t bit = 1ull << index % 64;

	return !(__atomic_fetch_or(&span_held_bits(span)[index / 64], bit,
				   __ATOMIC_ACQ_REL) &
		 bit);
}

static void free_small(struct span *span, void *p)
{
	uint32_t now = tract__sys_now_ms();
	uint64_t held;

	if (unlikely(!tract__free_would_be_valid(span, p)))
		misused(span, p);
	if (likely(span_held_bits(span)) && unlikely(!hold(span, p)))
		misused(span, p);
	memset(p, 0, span->block_size);
	if (unlikely(!span_held_bits(span))) {
		tract__free_now(span, p);
		return;
	}
	/* Release: who takes it out sees the zeros. */
	held = __atomic_exchange_n(next_slot(span),
				   (uintptr_t)p | stamp_at(now),
				   __ATOMIC_ACQ_REL);
	if (held)
		release(block_of(held));
	tick_at_times(now);
}

void tract__hardened_free(struct span *span, void *p)
{
	if (span->kind == SPAN_SMALL)
		free_small(span, p);
	else
		tract__free_now(span, p);
}

/* All leave, or those that have been there for @hold ms. */
static void sweep(bool all, uint32_t now, uint32_t hold)
{
	for (unsigned int i = 0; i < SLOTS; i++) {
		uint64_t held = read_once(&quarantine[i]);

		if (held && (all || is_due(held, now, hold)) &&
		    __atomic_compare_exchange_n(&quarantine[i], &held, 0, false,
						__ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED))
			release(block_of(held));
	}
}

void tract__hardened_tick(uint32_t now)
{
	static uint32_t swept_at;
	int decay = tract__options.decay_ms;
	uint32_t hold = decay / 2 > HOLD_MIN_MS ? (uint32_t)decay / 2 :
						  HOLD_MIN_MS;
	uint32_t last = read_once(&swept_at);

	/* The time first: what is released comes here again. */
	if (decay != DECAY_NEVER && now - last >= hold / 2 &&
	    __atomic_compare_exchange_n(&swept_at, &last, now, false,
					__ATOMIC_RELAXED, __ATOMIC_RELAXED))
		sweep(false, now, hold);
}

void tract__hardened_drain(void)
{
	sweep(true, 0, 0);
}

void tract__hardened_count(size_t blocks[CLASS_COUNT])
{
	for (unsigned int i = 0; i < SLOTS; i++) {
		const struct span *span =
			pagemap_find(block_of(read_once(&quarantine[i])));

		/* It may have left meanwhile, and its span may be gone. */
		if (span->kind == SPAN_SMALL)
			blocks[span->class]++;
	}
}

/* What was never written stays without memory: reading does not cost any. */
static void wipe_pages(char *start, size_t length)
{
	for (char *page = start; page < start + length; page += PAGE)
		if (!is_zero(page, PAGE))
			memset(page, 0, PAGE);
}

void tract__hardened_wipe(struct span *span, size_t from)
{
	char *start = span->base + from * UNIT_SIZE;
	size_t length;

	if (span->dirty_units <= from)
		return;
	length = (span->dirty_units - from) * UNIT_SIZE;
	if (span->dirty_units - from <= WIPE_UNITS_MAX)
		memset(start, 0, length);
	else if (!tract__sys_discard(start, length))
		span->dirty_units = (uint32_t)from;
	else
		wipe_pages(start, length);
}
