// SPDX-License-Identifier: GPL-2.0-only
/*
 * States of pages against a model of one byte a page, and the number of ranges
 * against what the model comes to.
 *
 * The plan is seven tests.
 */
#include <kunit/test.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>

/* The source itself: the module exports nothing that could be called. */
#include "../../kmod/page_state.c"

#define PAGES 96

static struct tract_page_state *make(struct kunit *test)
{
	struct tract_page_state *state = tract_page_state_create();

	KUNIT_ASSERT_NOT_NULL(test, state);
	return state;
}

static int change(struct tract_page_state *state, enum tract_page_bit bit,
		  bool set, unsigned long first, unsigned long last)
{
	struct tract_page_change change = {
		.bit = bit,
		.set = set,
		.pages = { first, last },
	};

	tract_page_state_plan(state, &change);
	return tract_page_state_apply(state, &change, GFP_KERNEL);
}

static bool has_guard(struct tract_page_state *state, unsigned long page)
{
	return tract_page_state_test(state, TRACT_PAGE_GUARD, page);
}

static void page_state_is_clear_at_first(struct kunit *test)
{
	struct tract_page_state *state = make(test);
	DECLARE_BITMAP(map, PAGES) = {};
	struct tract_page_range range;
	int bit;

	for (bit = 0; bit < TRACT_PAGE_BITS; bit++) {
		KUNIT_EXPECT_FALSE(test, tract_page_state_test(state, bit, 0));
		KUNIT_EXPECT_FALSE(test,
				   tract_page_state_test(state, bit, 1UL << 52));
		KUNIT_EXPECT_FALSE(test, tract_page_state_next(state, bit, 0,
							       &range));
		range = (struct tract_page_range){ 3, 3 + PAGES - 1 };
		tract_page_state_mark(state, bit, &range, map);
		KUNIT_EXPECT_TRUE(test, bitmap_empty(map, PAGES));
	}
	KUNIT_EXPECT_EQ(test, state->ranges, 0);
	KUNIT_EXPECT_EQ(test, change(state, TRACT_PAGE_GUARD, false, 0, 9), 0);
	KUNIT_EXPECT_EQ(test, state->ranges, 0);
	tract_page_state_put(state);
}

static void page_state_joins_neighbours(struct kunit *test)
{
	struct tract_page_state *state = make(test);
	struct tract_page_range range;

	KUNIT_EXPECT_EQ(test, change(state, TRACT_PAGE_GUARD, true, 4, 5), 0);
	KUNIT_EXPECT_EQ(test, change(state, TRACT_PAGE_GUARD, true, 8, 9), 0);
	KUNIT_EXPECT_EQ(test, state->ranges, 2);
	KUNIT_EXPECT_EQ(test, change(state, TRACT_PAGE_GUARD, true, 6, 7), 0);
	KUNIT_EXPECT_EQ(test, state->ranges, 1);
	KUNIT_EXPECT_TRUE(test, tract_page_state_next(state, TRACT_PAGE_GUARD,
						      0, &range));
	KUNIT_EXPECT_EQ(test, range.first, 4);
	KUNIT_EXPECT_EQ(test, range.last, 9);
	/* What is set already stays one. */
	KUNIT_EXPECT_EQ(test, change(state, TRACT_PAGE_GUARD, true, 5, 6), 0);
	KUNIT_EXPECT_EQ(test, state->ranges, 1);
	KUNIT_EXPECT_EQ(test, change(state, TRACT_PAGE_GUARD, true, 0, 3), 0);
	KUNIT_EXPECT_EQ(test, state->ranges, 1);
	KUNIT_EXPECT_TRUE(test, has_guard(state, 0));
	KUNIT_EXPECT_FALSE(test, has_guard(state, 10));
	tract_page_state_put(state);
}

static void page_state_parts_ranges(struct kunit *test)
{
	struct tract_page_state *state = make(test);

	KUNIT_EXPECT_EQ(test, change(state, TRACT_PAGE_NODUMP, true, 0, 99), 0);
	KUNIT_EXPECT_EQ(test, change(state, TRACT_PAGE_NODUMP, false, 50, 50),
			0);
	KUNIT_EXPECT_EQ(test, state->ranges, 2);
	KUNIT_EXPECT_EQ(test, change(state, TRACT_PAGE_NODUMP, false, 0, 0), 0);
	KUNIT_EXPECT_EQ(test, state->ranges, 2);
	KUNIT_EXPECT_EQ(test, change(state, TRACT_PAGE_NODUMP, false, 1, 49),
			0);
	KUNIT_EXPECT_EQ(test, state->ranges, 1);
	KUNIT_EXPECT_EQ(test, change(state, TRACT_PAGE_NODUMP, false, 0, 200),
			0);
	KUNIT_EXPECT_EQ(test, state->ranges, 0);
	tract_page_state_put(state);
}

static void page_state_reaches_far(struct kunit *test)
{
	struct tract_page_state *state = make(test);
	const unsigned long end = 1UL << 36; /* of 256 TiB in pages */

	KUNIT_EXPECT_EQ(test, change(state, TRACT_PAGE_UNCOMMITTED, true, 0,
				     end - 1),
			0);
	KUNIT_EXPECT_EQ(test, state->ranges, 1);
	KUNIT_EXPECT_TRUE(test,
			  tract_page_state_test(state, TRACT_PAGE_UNCOMMITTED,
						end - 1));
	KUNIT_EXPECT_FALSE(test,
			   tract_page_state_test(state, TRACT_PAGE_UNCOMMITTED,
						 end));
	tract_page_state_put(state);
}

/* The model. */
static unsigned long model_ranges(const u8 *model)
{
	unsigned long n = 0;
	int bit, i;

	for (bit = 0; bit < TRACT_PAGE_BITS; bit++)
		for (i = 0; i < PAGES; i++)
			if ((model[i] >> bit & 1) &&
			    (!i || !(model[i - 1] >> bit & 1)))
				n++;
	return n;
}

/* Marks are set as in the model, and nothing else is: here not beyond @count. */
static bool marks_equal_model(struct tract_page_state *state, const u8 *model,
			      enum tract_page_bit bit, int first, int count)
{
	const struct tract_page_range range = { first, first + count - 1 };
	DECLARE_BITMAP(map, PAGES + 1) = {};
	int i;

	tract_page_state_mark(state, bit, &range, map);
	for (i = 0; i < count; i++)
		if (test_bit(i, map) != (model[first + i] >> bit & 1))
			return false;
	return find_next_bit(map, PAGES + 1, count) == PAGES + 1;
}

/* The marks are looked at from page @from on: all starts have their turns. */
static bool equals_model(struct tract_page_state *state, const u8 *model,
			 int from)
{
	int bit, i;

	for (bit = 0; bit < TRACT_PAGE_BITS; bit++) {
		for (i = 0; i < PAGES; i++)
			if (tract_page_state_test(state, bit, i) !=
			    (model[i] >> bit & 1))
				return false;
		if (!marks_equal_model(state, model, bit, from, 1) ||
		    !marks_equal_model(state, model, bit, from, PAGES - from))
			return false;
	}
	return state->ranges == model_ranges(model);
}

static void random_change(struct kunit *test, struct tract_page_state *state,
			  struct rnd_state *rnd, u8 *model)
{
	enum tract_page_bit bit = prandom_u32_state(rnd) % TRACT_PAGE_BITS;
	unsigned int first = prandom_u32_state(rnd) % PAGES;
	unsigned int count = 1 + prandom_u32_state(rnd) % 12;
	unsigned int last = min(first + count, PAGES) - 1;
	bool set = prandom_u32_state(rnd) & 1;
	unsigned int i;

	KUNIT_EXPECT_EQ(test, change(state, bit, set, first, last), 0);
	for (i = first; i <= last; i++)
		model[i] = set ? model[i] | 1 << bit : model[i] & ~(1 << bit);
}

static void page_state_follows_the_model(struct kunit *test)
{
	struct tract_page_state *state = make(test);
	u8 model[PAGES] = {};
	struct rnd_state rnd;
	int i;

	prandom_seed_state(&rnd, 1);
	for (i = 0; i < 5000; i++) {
		random_change(test, state, &rnd, model);
		if (!equals_model(state, model, i % PAGES)) {
			KUNIT_FAIL(test, "differs after change %d", i);
			break;
		}
	}
	tract_page_state_put(state);
}

static void page_state_copies_are_apart(struct kunit *test)
{
	struct tract_page_state *state = make(test), *copy;
	u8 model[PAGES] = {}, old[PAGES];
	struct rnd_state rnd;
	int i;

	prandom_seed_state(&rnd, 2);
	for (i = 0; i < 200; i++)
		random_change(test, state, &rnd, model);
	memcpy(old, model, sizeof(old));
	copy = tract_page_state_copy(state);
	KUNIT_ASSERT_NOT_NULL(test, copy);
	for (i = 0; i < 200; i++)
		random_change(test, state, &rnd, model);
	KUNIT_EXPECT_TRUE(test, equals_model(copy, old, 0));
	KUNIT_EXPECT_TRUE(test, equals_model(state, model, 0));
	tract_page_state_put(state);
	KUNIT_EXPECT_TRUE(test, equals_model(copy, old, 0));
	tract_page_state_put(copy);
}

/* Many ranges, and one change that takes a whole subtree of them away. */
static void page_state_covers_subtrees(struct kunit *test)
{
	struct tract_page_state *state = make(test);
	unsigned long n;
	int turn;

	for (turn = 0; turn < 3; turn++) {
		for (n = 0; n < 20000; n++)
			if (change(state, TRACT_PAGE_GUARD, true, n * 3, n * 3))
				KUNIT_FAIL(test, "range %lu", n);
		KUNIT_EXPECT_EQ(test, state->ranges, 20000);
		KUNIT_EXPECT_EQ(test, change(state, TRACT_PAGE_GUARD, turn & 1,
					     100, 59000),
				0);
		KUNIT_EXPECT_TRUE(test, has_guard(state, 99));
		KUNIT_EXPECT_EQ(test, has_guard(state, 102), turn & 1);
		KUNIT_EXPECT_EQ(test, change(state, TRACT_PAGE_GUARD, false, 0,
					     100000),
				0);
		KUNIT_EXPECT_EQ(test, state->ranges, 0);
	}
	tract_page_state_put(state);
	/* Its nodes are freed by RCU; the module may be gone then. */
	rcu_barrier();
}

static struct kunit_case page_state_cases[] = {
	KUNIT_CASE(page_state_is_clear_at_first),
	KUNIT_CASE(page_state_joins_neighbours),
	KUNIT_CASE(page_state_parts_ranges),
	KUNIT_CASE(page_state_reaches_far),
	KUNIT_CASE(page_state_follows_the_model),
	KUNIT_CASE(page_state_copies_are_apart),
	KUNIT_CASE(page_state_covers_subtrees),
	{}
};

static struct kunit_suite page_state_suite = {
	.name = "tract_page_state",
	.test_cases = page_state_cases,
};

kunit_test_suites(&page_state_suite);
