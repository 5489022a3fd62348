// SPDX-License-Identifier: GPL-2.0-only
/*
 * The states of units: every change from every byte, and finding runs in every
 * arrangement of a few units, against a loop that looks at one at a time.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>

#include "../../kmod/unit.h"

#define COUNT 40

static void unit_sets_hold_states_only(struct kunit *test)
{
	int state;

	for (state = 0; state < 256; state++) {
		KUNIT_EXPECT_EQ(test, tract_unit_is_in(state, TRACT_UNITS_AGED),
				state == TRACT_UNIT_AGED);
		KUNIT_EXPECT_EQ(test,
				tract_unit_is_in(state, TRACT_UNITS_OFFERED),
				state == TRACT_UNIT_VOLATILE ||
					state == TRACT_UNIT_AGED);
	}
}

static void unit_changes_only_what_it_should(struct kunit *test)
{
	int state;

	for (state = 0; state < 256; state++) {
		const bool is_aged = state == TRACT_UNIT_AGED;
		const bool is_volatile = state == TRACT_UNIT_VOLATILE;
		u8 unit = state;

		KUNIT_EXPECT_EQ(test, tract_unit_age(&unit), is_volatile);
		KUNIT_EXPECT_EQ(test, unit,
				is_volatile ? TRACT_UNIT_AGED : state);
		unit = state;
		KUNIT_EXPECT_EQ(test, tract_unit_claim(&unit, TRACT_UNITS_AGED),
				is_aged);
		KUNIT_EXPECT_EQ(test, unit,
				is_aged ? TRACT_UNIT_PURGING : state);
		unit = state;
		KUNIT_EXPECT_EQ(test,
				tract_unit_claim(&unit, TRACT_UNITS_OFFERED),
				is_aged || is_volatile);
		/* No set makes it claim what nobody offered. */
		unit = state;
		KUNIT_EXPECT_EQ(test, tract_unit_claim(&unit, ~0U),
				is_aged || is_volatile);
	}
}

static void unit_words_tell_offers(struct kunit *test)
{
	int place, state;

	for (place = 0; place < 8; place++)
		for (state = 0; state < 256; state++) {
			u64 word = 0x0403000304ff0080ULL;

			word &= ~(0xffULL << place * 8);
			word |= (u64)state << place * 8;
			KUNIT_EXPECT_EQ(test, tract_unit_word_offers(word),
					state == TRACT_UNIT_VOLATILE ||
						state == TRACT_UNIT_AGED);
		}
}

static u64 find_slowly(const u8 *units, u64 at, u64 end, unsigned int set)
{
	while (at < end && !(units[at] <= 4 && set & 1U << units[at]))
		at++;
	return at;
}

static void unit_find_is_as_a_plain_loop(struct kunit *test)
{
	u8 *units = kunit_kzalloc(test, COUNT, GFP_KERNEL);
	int round, i;

	KUNIT_ASSERT_NOT_NULL(test, units);
	for (round = 0; round < 2000; round++) {
		u64 at = get_random_u32() % COUNT, end;

		end = at + get_random_u32() % (COUNT - at + 1);
		/* Sparse, or full of them, or of bytes that are no state. */
		for (i = 0; i < COUNT; i++)
			units[i] = get_random_u32() % (round % 3 ? 6 : 256);
		if (round % 2)
			memset(units + 8, round % 5 == 3 ? 0 : round % 5, 16);
		KUNIT_EXPECT_EQ(test,
				tract_unit_find(units, at, end,
						TRACT_UNITS_OFFERED),
				find_slowly(units, at, end,
					    TRACT_UNITS_OFFERED));
		KUNIT_EXPECT_EQ(test,
				tract_unit_find(units, at, end,
						TRACT_UNITS_AGED),
				find_slowly(units, at, end, TRACT_UNITS_AGED));
	}
}

static void unit_run_ends_at_what_is_not_offered(struct kunit *test)
{
	u8 units[8];
	int code;

	/* Every arrangement of five states in six units. */
	for (code = 0; code < 15625; code++) {
		u64 end, expected = 1;
		int i, rest = code;

		for (i = 0; i < 8; i++, rest /= 5)
			units[i] = i < 6 ? rest % 5 : TRACT_UNIT_AGED;
		while (expected < 6 &&
		       tract_unit_is_in(units[expected], TRACT_UNITS_OFFERED))
			expected++;
		end = tract_unit_claim_run(units, 1, 6, TRACT_UNITS_OFFERED);
		KUNIT_ASSERT_EQ(test, end, expected);
		for (i = 1; i < end; i++)
			KUNIT_ASSERT_EQ(test, units[i], TRACT_UNIT_PURGING);
		KUNIT_ASSERT_EQ(test, units[0], code % 5);
		KUNIT_ASSERT_EQ(test, units[6], TRACT_UNIT_AGED);
		tract_unit_release_run(units, 1, end);
		for (i = 1; i < end; i++)
			KUNIT_ASSERT_EQ(test, units[i], TRACT_UNIT_PURGED);
		KUNIT_ASSERT_EQ(test, units[0], code % 5);
	}
}

static void unit_whole_needs_all(struct kunit *test)
{
	u8 units[4];
	int code;

	for (code = 0; code < 625; code++) {
		bool all = true, any = false;
		int i, rest = code;

		for (i = 0; i < 4; i++, rest /= 5) {
			units[i] = rest % 5;
			any |= units[i] == TRACT_UNIT_AGED;
			all &= units[i] == TRACT_UNIT_AGED ||
			       units[i] == TRACT_UNIT_PURGED;
		}
		KUNIT_EXPECT_EQ(test,
				tract_unit_is_whole(units, 0, 4,
						    TRACT_UNITS_AGED),
				all && any);
	}
}

static struct kunit_case unit_cases[] = {
	KUNIT_CASE(unit_sets_hold_states_only),
	KUNIT_CASE(unit_changes_only_what_it_should),
	KUNIT_CASE(unit_words_tell_offers),
	KUNIT_CASE(unit_find_is_as_a_plain_loop),
	KUNIT_CASE(unit_run_ends_at_what_is_not_offered),
	KUNIT_CASE(unit_whole_needs_all),
	{}
};

static struct kunit_suite unit_suite = {
	.name = "tract_unit",
	.test_cases = unit_cases,
};

kunit_test_suites(&unit_suite);

MODULE_DESCRIPTION("KUnit suite of tract's units");
MODULE_LICENSE("GPL");
