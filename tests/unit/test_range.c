// SPDX-License-Identifier: MIT
/*
 * The module's arithmetic of ranges against models, for every small range, and
 * for the edges of 64 bits.  The model is a bitmap where there is one.
 */
#include "range.h"
#include "../../kmod/range.c"

#include "suite.h"

#define SPACE 12u

/* Bits offset to offset + length - 1. */
static uint64_t bits(const struct tract_range *range)
{
	return ((1ull << range->length) - 1) << range->offset;
}

START_TEST(check_accepts_exactly_the_parts)
{
	for (unsigned int grain = 1; grain <= 4; grain *= 2)
		for (unsigned int limit = 0; limit <= SPACE; limit += grain)
			for (unsigned int o = 0; o <= 2 * SPACE; o++)
				for (unsigned int l = 0; l <= 2 * SPACE; l++) {
					const struct tract_range r = { o, l };
					const bool good = o % grain == 0 &&
							  l % grain == 0 &&
							  l > 0 &&
							  o + l <= limit;

					ck_assert_msg(
						tract_range_check(&r, limit,
								  grain) ==
							(good ? 0 : -EINVAL),
						"%u+%u of %u, grain %u", o, l,
						limit, grain);
				}
}
END_TEST

START_TEST(check_survives_the_edges_of_64_bits)
{
	const uint64_t page = 4096, last = -page;
	const uint64_t values[] = { 0,		 page,
				    last - page, last,
				    1ull << 63,	 (1ull << 63) - page,
				    1ull << 62,	 (1ull << 63) + page };
	const size_t n = sizeof(values) / sizeof(values[0]);

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
			for (size_t k = 0; k < n; k++) {
				const struct tract_range r = { values[i],
							       values[j] };
				const unsigned __int128 end =
					(unsigned __int128)values[i] +
					values[j];
				const bool good = values[j] && end <= values[k];

				ck_assert_int_eq(
					tract_range_check(&r, values[k], page),
					good ? 0 : -EINVAL);
			}
}
END_TEST

START_TEST(align_is_a_power_of_two_in_bounds)
{
	for (uint64_t align = 0; align <= 256; align++) {
		const bool good = __builtin_popcountll(align) == 1 &&
				  align >= 4 && align <= 64;

		ck_assert_int_eq(tract_range_check_align(align, 4, 64),
				 good ? 0 : -EINVAL);
	}
	ck_assert_int_eq(tract_range_check_align(1ull << 63, 4, 64), -EINVAL);
}
END_TEST

START_TEST(align_up_is_the_next_multiple)
{
	for (uint64_t align = 1; align <= 64; align *= 2)
		for (uint64_t value = 0; value <= 256; value++) {
			uint64_t expected = value;

			while (expected % align)
				expected++;
			ck_assert_uint_eq(tract_range_align_up(value, align),
					  expected);
		}
}
END_TEST

static void check_merge(struct tract_range a, const struct tract_range *b)
{
	const struct tract_range before = a;
	const bool neighbours = a.offset + a.length == b->offset ||
				b->offset + b->length == a.offset;

	ck_assert_int_eq(tract_range_merge(&a, b), neighbours);
	if (neighbours)
		ck_assert_uint_eq(bits(&a), bits(&before) | bits(b));
	else
		ck_assert(a.offset == before.offset &&
			  a.length == before.length);
}

START_TEST(merge_joins_exactly_the_neighbours)
{
	for (unsigned int ao = 0; ao < SPACE; ao++)
		for (unsigned int al = 1; ao + al <= SPACE; al++)
			for (unsigned int bo = 0; bo < SPACE; bo++)
				for (unsigned int bl = 1; bo + bl <= SPACE;
				     bl++) {
					const struct tract_range a = { ao, al };
					const struct tract_range b = { bo, bl };

					check_merge(a, &b);
				}
}
END_TEST

START_TEST(pieces_cover_the_range_and_end_at_their_size)
{
	for (uint64_t size = 1; size <= 16; size *= 2)
		for (uint64_t o = 0; o < 2 * SPACE; o++)
			for (uint64_t l = 1; l <= 3 * SPACE; l++) {
				const struct tract_range r = { o, l };
				uint64_t done = 0, piece, n = 0;

				while ((piece = tract_range_piece(&r, done,
								  size))) {
					ck_assert_uint_le(piece, size);
					n++;
					done += piece;
					ck_assert_uint_le(done, l);
					ck_assert(done == l ||
						  (o + done) % size == 0);
				}
				ck_assert_uint_eq(done, l);
				ck_assert(l > size || n == 1);
			}
}
END_TEST

START_TEST(done_parts_are_those_behind_us)
{
	for (unsigned int done = 0; done <= SPACE; done++)
		for (unsigned int o = 0; o < SPACE; o++)
			for (unsigned int l = 1; o + l <= SPACE; l++) {
				const struct tract_range whole = { 5, SPACE };
				const struct tract_range part = { 5 + o, l };
				const struct tract_range past = { 5, done };

				ck_assert_int_eq(
					tract_range_done(&whole, done, &part),
					!(bits(&part) & ~bits(&past)));
			}
}
END_TEST

SUITE_MAIN("range", check_accepts_exactly_the_parts,
	   check_survives_the_edges_of_64_bits,
	   align_is_a_power_of_two_in_bounds, align_up_is_the_next_multiple,
	   merge_joins_exactly_the_neighbours,
	   pieces_cover_the_range_and_end_at_their_size,
	   done_parts_are_those_behind_us)
