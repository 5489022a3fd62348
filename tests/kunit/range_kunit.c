// SPDX-License-Identifier: GPL-2.0-only
/*
 * The arithmetic of ranges as the kernel's compiler makes it, with the kernel's
 * grain and the edges of 64 bits.  tests/unit/test_range.c tries all small
 * ranges against a model.
 *
 * The plan is eight tests.
 */
#include <kunit/test.h>
#include <linux/limits.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sizes.h>

/* The source itself: the module exports nothing that could be called. */
#include "../../kmod/range.c"

#define LIMIT SZ_1G

static int check(u64 offset, u64 length, u64 limit)
{
	const struct tract_range range = { offset, length };

	return tract_range_check(&range, limit, PAGE_SIZE);
}

static void range_accepts_parts(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, check(0, LIMIT, LIMIT), 0);
	KUNIT_EXPECT_EQ(test, check(0, PAGE_SIZE, LIMIT), 0);
	KUNIT_EXPECT_EQ(test, check(LIMIT - PAGE_SIZE, PAGE_SIZE, LIMIT), 0);
	KUNIT_EXPECT_EQ(test, check(PAGE_SIZE, LIMIT - PAGE_SIZE, LIMIT), 0);
}

static void range_refuses_unaligned_and_empty(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, check(0, 0, LIMIT), -EINVAL);
	KUNIT_EXPECT_EQ(test, check(PAGE_SIZE, 0, LIMIT), -EINVAL);
	KUNIT_EXPECT_EQ(test, check(1, PAGE_SIZE, LIMIT), -EINVAL);
	KUNIT_EXPECT_EQ(test, check(PAGE_SIZE - 1, PAGE_SIZE, LIMIT), -EINVAL);
	KUNIT_EXPECT_EQ(test, check(0, PAGE_SIZE + 1, LIMIT), -EINVAL);
	KUNIT_EXPECT_EQ(test, check(0, PAGE_SIZE / 2, LIMIT), -EINVAL);
}

static void range_refuses_outside(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, check(0, LIMIT + PAGE_SIZE, LIMIT), -EINVAL);
	KUNIT_EXPECT_EQ(test, check(LIMIT, PAGE_SIZE, LIMIT), -EINVAL);
	KUNIT_EXPECT_EQ(test, check(PAGE_SIZE, LIMIT, LIMIT), -EINVAL);
}

static void range_refuses_overflow(struct kunit *test)
{
	const u64 last = U64_MAX - PAGE_SIZE + 1;

	KUNIT_EXPECT_EQ(test, check(last, PAGE_SIZE, LIMIT), -EINVAL);
	KUNIT_EXPECT_EQ(test, check(PAGE_SIZE, last, LIMIT), -EINVAL);
	KUNIT_EXPECT_EQ(test, check(last, last, LIMIT), -EINVAL);
	KUNIT_EXPECT_EQ(test, check(1ULL << 63, 1ULL << 63, LIMIT), -EINVAL);
	KUNIT_EXPECT_EQ(test, check(1ULL << 63, 1ULL << 63, last), -EINVAL);
	KUNIT_EXPECT_EQ(test, check(0, last, last), 0);
}

static void align_is_power_of_two_in_bounds(struct kunit *test)
{
	int bit;

	for (bit = 0; bit < 64; bit++) {
		const u64 align = 1ULL << bit;
		const bool good = align >= SZ_2M && align <= SZ_1G;

		KUNIT_EXPECT_EQ(test,
				tract_range_check_align(align, SZ_2M, SZ_1G),
				good ? 0 : -EINVAL);
	}
	KUNIT_EXPECT_EQ(test, tract_range_check_align(0, SZ_2M, SZ_1G),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, tract_range_check_align(3 * SZ_2M, SZ_2M, SZ_1G),
			-EINVAL);
	KUNIT_EXPECT_EQ(test, tract_range_align_up(0, SZ_2M), 0ULL);
	KUNIT_EXPECT_EQ(test, tract_range_align_up(1, SZ_2M), (u64)SZ_2M);
	KUNIT_EXPECT_EQ(test, tract_range_align_up(SZ_2M, SZ_2M), (u64)SZ_2M);
}

static void merge_joins_neighbours_only(struct kunit *test)
{
	struct tract_range range = { SZ_1M, SZ_1M };
	const struct tract_range after = { SZ_2M, SZ_64K };
	const struct tract_range before = { SZ_1M - SZ_64K, SZ_64K };
	const struct tract_range inside = { SZ_1M, PAGE_SIZE };
	const struct tract_range far = { SZ_4M, PAGE_SIZE };

	KUNIT_EXPECT_TRUE(test, tract_range_merge(&range, &after));
	KUNIT_EXPECT_TRUE(test, tract_range_merge(&range, &before));
	KUNIT_EXPECT_FALSE(test, tract_range_merge(&range, &inside));
	KUNIT_EXPECT_FALSE(test, tract_range_merge(&range, &far));
	KUNIT_EXPECT_EQ(test, range.offset, (u64)SZ_1M - SZ_64K);
	KUNIT_EXPECT_EQ(test, range.length, (u64)SZ_1M + 2 * SZ_64K);
}

static void pieces_end_at_their_size(struct kunit *test)
{
	const struct tract_range range = { SZ_1M, 3 * (u64)SZ_2M };
	const u64 expected[] = { SZ_1M, SZ_2M, SZ_2M, SZ_1M, 0 };
	u64 done = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(expected); i++) {
		const u64 piece = tract_range_piece(&range, done, SZ_2M);

		KUNIT_EXPECT_EQ(test, piece, expected[i]);
		done += piece;
	}
	KUNIT_EXPECT_EQ(test, done, range.length);
}

static void done_means_the_whole_part(struct kunit *test)
{
	const struct tract_range range = { SZ_1M, SZ_1M };
	const struct tract_range first = { SZ_1M, SZ_64K };
	const struct tract_range last = { SZ_2M - SZ_64K, SZ_64K };

	KUNIT_EXPECT_FALSE(test, tract_range_done(&range, 0, &first));
	KUNIT_EXPECT_FALSE(test, tract_range_done(&range, SZ_64K - PAGE_SIZE,
						  &first));
	KUNIT_EXPECT_TRUE(test, tract_range_done(&range, SZ_64K, &first));
	KUNIT_EXPECT_FALSE(test, tract_range_done(&range, SZ_1M - PAGE_SIZE,
						  &last));
	KUNIT_EXPECT_TRUE(test, tract_range_done(&range, SZ_1M, &last));
}

static struct kunit_case range_cases[] = {
	KUNIT_CASE(range_accepts_parts),
	KUNIT_CASE(range_refuses_unaligned_and_empty),
	KUNIT_CASE(range_refuses_outside),
	KUNIT_CASE(range_refuses_overflow),
	KUNIT_CASE(align_is_power_of_two_in_bounds),
	KUNIT_CASE(merge_joins_neighbours_only),
	KUNIT_CASE(pieces_end_at_their_size),
	KUNIT_CASE(done_means_the_whole_part),
	{}
};

static struct kunit_suite range_suite = {
	.name = "tract_range",
	.test_cases = range_cases,
};

kunit_test_suites(&range_suite);

MODULE_DESCRIPTION("KUnit suites of tract");
MODULE_LICENSE("GPL");
