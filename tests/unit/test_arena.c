// SPDX-License-Identifier: MIT
/* Runs against a model: who has which units, and what they must read as. */
#include "arena.h"

#include <string.h>
#include <unistd.h>

#include "options.h"
#include "purge.h"
#include "suite.h"
#include "sys.h"

#define RUNS 200

struct held {
	struct span *span;
	unsigned char mark;
};

static struct held held[RUNS];

/* A byte at the start of each unit is enough to tell whose it is. */
static void mark_units(struct held *h, size_t from)
{
	for (size_t i = from; i < h->span->units; i++)
		h->span->base[i * UNIT_SIZE] = (char)h->mark;
	if (h->span->dirty_units < h->span->units)
		h->span->dirty_units = h->span->units;
}

static void check_units(const struct held *h, size_t units)
{
	for (size_t i = 0; i < units; i++)
		ck_assert_uint_eq((unsigned char)h->span->base[i * UNIT_SIZE],
				  h->mark);
}

static void check_clean(const struct span *span)
{
	for (size_t i = span->dirty_units; i < span->units; i++) {
		const char *unit = span->base + i * UNIT_SIZE;

		ck_assert_int_eq(unit[0], 0);
		ck_assert_int_eq(unit[UNIT_SIZE - 1], 0);
	}
}

static void take_run(struct held *h)
{
	size_t units = 1 + random_below(random_below(10) ? 8 : 300);
	size_t align = UNIT_SIZE << (random_below(4) ? 0 : random_below(6));
	size_t spare = random_below(3) ? 0 : units;

	h->span = tract__arena_alloc(units, spare, align, SPAN_LARGE);
	ck_assert_ptr_nonnull(h->span);
	ck_assert_uint_ge(h->span->units, units);
	ck_assert_uint_le(h->span->units, units + spare);
	ck_assert_uint_eq((uintptr_t)h->span->base % align, 0);
	check_clean(h->span);
	h->mark = (unsigned char)(1 + random_below(255));
	mark_units(h, 0);
}

static void resize_run(struct held *h)
{
	size_t units = h->span->units;
	size_t to = 1 + random_below(2 * units);

	if (to < units) {
		tract__arena_shrink(h->span, to);
		ck_assert_uint_eq(h->span->units, to);
		check_units(h, to);
	} else if (tract__arena_grow(h->span, to)) {
		ck_assert_uint_eq(h->span->units, to);
		check_units(h, units);
		check_clean(h->span);
		mark_units(h, units);
	} else {
		ck_assert_uint_eq(h->span->units, units);
	}
}

static size_t held_units(void)
{
	size_t units = 0;

	for (int i = 0; i < RUNS; i++)
		units += held[i].span ? held[i].span->units : 0;
	return units;
}

static void count_run(struct span *span, void *arg)
{
	*(size_t *)arg += span->units;
}

static void random_steps(int steps)
{
	for (int step = 0; step < steps; step++) {
		struct held *h = &held[random_below(RUNS)];
		uint64_t what = random_below(10);

		if (!h->span) {
			take_run(h);
		} else if (what < 3) {
			resize_run(h);
		} else {
			check_units(h, h->span->units);
			tract__arena_free(h->span);
			h->span = NULL;
		}
		if (step % 64 == 0)
			tract__purge_tick(tract__sys_now_ms());
		if (step % 1000 == 999)
			tract__purge_all();
	}
}

START_TEST(runs_never_overlap_and_clean_ones_are_zero)
{
	struct arena_stats stats;
	size_t visited = 0;

	random_steps(20000);
	tract__arena_stats(&stats);
	ck_assert_uint_eq(stats.span_bytes, held_units() * UNIT_SIZE);
	tract__arena_visit(count_run, &visited);
	ck_assert_uint_eq(visited, held_units());

	for (int i = 0; i < RUNS; i++) {
		if (held[i].span)
			tract__arena_free(held[i].span);
		held[i].span = NULL;
	}
	tract__purge_all();
	tract__arena_stats(&stats);
	ck_assert_uint_eq(stats.span_bytes, 0);
	ck_assert_uint_eq(stats.dirty_bytes, 0);
	ck_assert_uint_eq(stats.runs_allocated, stats.runs_freed);
	ck_assert_uint_gt(stats.purged_bytes, 0);
}
END_TEST

/* What was free in pieces is whole again: the largest run fits. */
START_TEST(neighbours_merge_whatever_the_order)
{
	struct span *runs[64];
	struct span *whole;
	struct arena_stats before, after;

	whole = tract__arena_alloc(8192, 0, 0, SPAN_LARGE);
	ck_assert_ptr_nonnull(whole);
	tract__arena_free(whole);
	tract__arena_stats(&before);
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 64; i++) {
			runs[i] = tract__arena_alloc(1 + random_below(128), 0,
						     0, SPAN_LARGE);
			runs[i]->dirty_units =
				(uint32_t)random_below(runs[i]->units + 1);
		}
		for (int i = 63; i >= 0; i--) {
			int j = (int)random_below((uint64_t)i + 1);
			struct span *span = runs[j];

			runs[j] = runs[i];
			tract__arena_free(span);
		}
		tract__purge_all();
		whole = tract__arena_alloc(16384, 0, 0, SPAN_LARGE);
		ck_assert_ptr_nonnull(whole);
		tract__arena_free(whole);
	}
	tract__arena_stats(&after);
	ck_assert_uint_eq(after.reservations, before.reservations);
}
END_TEST

START_TEST(dirty_memory_goes_after_its_decay_and_not_before)
{
	struct arena_stats stats;
	struct span *span;

	tract__purge_all();
	tract__options.decay_ms = 100;
	span = tract__arena_alloc(16, 0, 0, SPAN_LARGE);
	memset(span->base, 1, 16 * UNIT_SIZE);
	span->dirty_units = 16;
	tract__arena_free(span);
	tract__purge_tick(tract__sys_now_ms());
	tract__arena_stats(&stats);
	ck_assert_uint_eq(stats.dirty_bytes, 16 * UNIT_SIZE);
	usleep(150000);
	tract__purge_tick(tract__sys_now_ms());
	tract__arena_stats(&stats);
	ck_assert_uint_eq(stats.dirty_bytes, 0);
	tract__options.decay_ms = DECAY_DEFAULT;
}
END_TEST

START_TEST(a_request_beyond_any_address_space_fails)
{
	ck_assert_ptr_null(
		tract__arena_alloc((size_t)1 << 40, 0, 0, SPAN_LARGE));
	ck_assert_ptr_null(
		tract__arena_alloc((size_t)1 << 31, 0, 0, SPAN_LARGE));
}
END_TEST

SUITE_MAIN("arena", runs_never_overlap_and_clean_ones_are_zero,
	   neighbours_merge_whatever_the_order,
	   dirty_memory_goes_after_its_decay_and_not_before,
	   a_request_beyond_any_address_space_fails)
