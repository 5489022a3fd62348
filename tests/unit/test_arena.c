// SPDX-License-Identifier: MIT
/* Runs against a model: who has which units, and what they must read as. */
#include "arena.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "purge.h"
#include "region.h"
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

	h->span = tract__arena_alloc(units, spare, align);
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

	whole = tract__arena_alloc(8192, 0, 0);
	ck_assert_ptr_nonnull(whole);
	tract__arena_free(whole);
	tract__arena_stats(&before);
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 64; i++) {
			runs[i] =
				tract__arena_alloc(1 + random_below(128), 0, 0);
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
		whole = tract__arena_alloc(16384, 0, 0);
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
	span = tract__arena_alloc(16, 0, 0);
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

/* A run with contents, given back. */
static void free_with_contents(struct span *span)
{
	memset(span->base, 7, span->units * UNIT_SIZE);
	span->dirty_units = span->units;
	tract__arena_free(span);
}

static uint8_t *state_of(const struct span *span, size_t unit)
{
	return &region_of(span)->map.state[index_of(span) + unit];
}

START_TEST(intact_memory_is_taken_before_purged_and_purged_before_fresh)
{
	struct span *a, *b, *c, *span;

	tract__purge_all();
	a = tract__arena_alloc(64, 0, 0);
	b = tract__arena_alloc(64, 0, 0);
	c = tract__arena_alloc(64, 0, 0);
	free_with_contents(a);
	tract__purge_all();
	must(*state_of(a, 0) == TRACT_UNIT_PURGED);
	free_with_contents(c);
	span = tract__arena_alloc(64, 0, 0);
	must(span == c && span->dirty_units == 64);
	must(*state_of(span, 0) == TRACT_UNIT_LIVE && span->base[0] == 7);
	span = tract__arena_alloc(64, 0, 0);
	must(span == a && span->dirty_units == 0 && !span->base[0]);
	must(*state_of(span, 63) == TRACT_UNIT_LIVE);
	tract__arena_free(a);
	tract__arena_free(b);
	tract__arena_free(c);
}
END_TEST

/* As if the module, or another thread, were in the middle of a purge. */
START_TEST(a_run_being_purged_is_passed_over)
{
	struct span *small, *large, *other;
	struct span *runs[2];

	tract__purge_all();
	small = tract__arena_alloc(1, 0, 0);
	large = tract__arena_alloc(100, 0, 0);
	other = tract__arena_alloc(1, 0, 0);
	free_with_contents(small);
	free_with_contents(large);
	*state_of(small, 0) = TRACT_UNIT_PURGING;
	*state_of(large, 99) = TRACT_UNIT_PURGING;
	runs[0] = tract__arena_alloc(1, 0, 0);
	runs[1] = tract__arena_alloc(100, 0, 0);
	must(runs[0] && runs[0] != small);
	must(runs[1] && runs[1] != large);
	must(*state_of(small, 0) == TRACT_UNIT_PURGING);
	must(*state_of(large, 0) == TRACT_UNIT_VOLATILE);
	must(!tract__arena_grow(other, 2) || other + 1 != small);
	*state_of(small, 0) = TRACT_UNIT_VOLATILE;
	*state_of(large, 99) = TRACT_UNIT_VOLATILE;
	tract__arena_free(runs[0]);
	tract__arena_free(runs[1]);
	tract__arena_free(other);
}
END_TEST

START_TEST(a_dirty_run_and_the_clean_one_behind_it_serve_together)
{
	struct span *span, *joint;

	tract__purge_all();
	span = tract__arena_alloc(1000, 0, 0);
	tract__arena_shrink(span, 500);
	free_with_contents(span);
	joint = tract__arena_alloc(800, 0, 0);
	must(joint == span && joint->dirty_units == 500);
	must(joint->base[499 * UNIT_SIZE] == 7);
	must(!joint->base[500 * UNIT_SIZE]);
	tract__arena_free(joint);
}
END_TEST

START_TEST(whole_huge_pages_go_before_parts_of_one)
{
	struct span *whole, *live, *span;

	whole = tract__arena_alloc(1024, 0, HUGE_UNITS * UNIT_SIZE);
	tract__arena_free(whole);
	live = tract__arena_alloc(8, 0, HUGE_UNITS * UNIT_SIZE);
	must(live == whole);
	span = tract__arena_alloc(1016, 0, 0);
	must(span == live + 8);
	free_with_contents(span);
	/* More than may stay goes, but the page that is in use in part is left. */
	tract__purge_tick(tract__sys_now_ms());
	must(*state_of(span, 0) == TRACT_UNIT_VOLATILE ||
	     *state_of(span, 0) == TRACT_UNIT_AGED);
	must(*state_of(span, HUGE_UNITS - 8) == TRACT_UNIT_PURGED);
	tract__arena_free(live);
}
END_TEST

START_TEST(offers_of_a_run_in_use_are_its_own)
{
	struct span *span;
	size_t unit, purged;

	span = tract__arena_alloc(20, 0, 0);
	memset(span->base, 5, 20 * UNIT_SIZE);
	span->dirty_units = 20;
	must(tract__arena_find(span->base + 7 * UNIT_SIZE + 1, &unit) == span);
	must(unit == 7);
	tract__arena_offer(span, 4, 8);
	must(!tract__arena_reclaim(span, 4, 4, &purged) && !purged);
	tract__purge_all();
	must(!tract__arena_reclaim(span, 0, 20, &purged) && purged == 4);
	for (size_t i = 0; i < 20; i++)
		must(span->base[i * UNIT_SIZE] == (i < 8 || i >= 12 ? 5 : 0));

	/* It does not end: nothing changes. */
	tract__arena_offer(span, 0, 2);
	*state_of(span, 1) = TRACT_UNIT_PURGING;
	must(tract__arena_reclaim(span, 0, 3, &purged) == -EAGAIN);
	must(*state_of(span, 0) == TRACT_UNIT_VOLATILE);
	must(*state_of(span, 2) == TRACT_UNIT_LIVE);
	*state_of(span, 1) = TRACT_UNIT_VOLATILE;
	tract__arena_free(span);
	must(!tract__arena_find(span->base, &unit));
}
END_TEST

/* What fork() does to a map that the module keeps. */
START_TEST(a_child_takes_nothing_for_zero_that_was_offered)
{
	struct span *span, *offered;
	size_t purged;

	tract__purge_all();
	span = tract__arena_alloc(50, 0, 0);
	offered = tract__arena_alloc(50, 0, 0);
	free_with_contents(span);
	tract__arena_offer(offered, 0, 50);
	memset(offered->base, 9, UNIT_SIZE);
	*state_of(span, 0) = TRACT_UNIT_PURGED;
	*state_of(span, 1) = TRACT_UNIT_PURGING;
	tract__region_forget(region_of(span));
	must(!region_of(span)->bound);
	must(tract__arena_alloc(50, 0, 0) == span);
	must(span->dirty_units == 50);
	must(!tract__arena_reclaim(offered, 0, 50, &purged) && purged == 50);
	must(!offered->base[0]);
	tract__arena_free(span);
	tract__arena_free(offered);
}
END_TEST

static struct span *take_small(unsigned int class)
{
	struct span *span = tract__arena_alloc_small(1, 64, class);

	ck_assert_ptr_nonnull(span);
	span->class = (uint8_t) class;
	span->dirty_units = 1;
	return span;
}

/* A unit is written to as far as its class needs, and no other need go so far. */
START_TEST(a_unit_goes_back_to_the_class_that_had_it)
{
	struct span *of[4];

	for (unsigned int class = 0; class < 4; class ++)
		of[class] = take_small(class);
	for (unsigned int class = 0; class < 4; class ++)
		tract__arena_free(of[class]);
	ck_assert_ptr_eq(take_small(1), of[1]);
	ck_assert_ptr_eq(take_small(9), of[3]); /* the last */
	ck_assert_ptr_eq(take_small(0), of[0]);
	ck_assert_ptr_eq(take_small(3), of[2]);
}
END_TEST

/* More of them than are remembered: the older ones are merged, none is lost. */
START_TEST(units_of_many_classes_are_all_there_again)
{
	static struct span *units[1000];
	struct arena_stats before, after;

	tract__arena_stats(&before);
	for (int round = 0; round < 50; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(units); i++)
			units[i] = take_small((unsigned int)random_below(50));
		for (size_t i = ARRAY_SIZE(units); i-- > 0;) {
			size_t k = random_below(i + 1);

			tract__arena_free(units[k]);
			units[k] = units[i];
		}
	}
	tract__arena_stats(&after);
	ck_assert_uint_eq(after.span_bytes, before.span_bytes);
	ck_assert_uint_le(after.dirty_bytes,
			  before.dirty_bytes + ARRAY_SIZE(units) * UNIT_SIZE);
}
END_TEST

START_TEST(a_request_beyond_any_address_space_fails)
{
	ck_assert_ptr_null(tract__arena_alloc((size_t)1 << 40, 0, 0));
	ck_assert_ptr_null(tract__arena_alloc((size_t)1 << 31, 0, 0));
}
END_TEST

SUITE_MAIN("arena", runs_never_overlap_and_clean_ones_are_zero,
	   neighbours_merge_whatever_the_order,
	   dirty_memory_goes_after_its_decay_and_not_before,
	   intact_memory_is_taken_before_purged_and_purged_before_fresh,
	   a_run_being_purged_is_passed_over,
	   a_dirty_run_and_the_clean_one_behind_it_serve_together,
	   whole_huge_pages_go_before_parts_of_one,
	   offers_of_a_run_in_use_are_its_own,
	   a_child_takes_nothing_for_zero_that_was_offered,
	   a_unit_goes_back_to_the_class_that_had_it,
	   units_of_many_classes_are_all_there_again,
	   a_request_beyond_any_address_space_fails)
