// SPDX-License-Identifier: MIT
/*
 * One thread's view of the purge map; tests/model has the others'.  A claimer
 * that comes and goes between two steps is played by writes to the map.
 */
#include "purge_map.h"

#include <string.h>

#include "suite.h"

#define UNITS 256

static uint8_t state[UNITS] __attribute__((aligned(8)));
static struct tract_purge_header header;
static struct purge_map map = { &header, state };

static void set_all(uint8_t value)
{
	memset(state, value, sizeof(state));
	header = (struct tract_purge_header){ 0 };
}

static size_t units_in(uint8_t value)
{
	size_t n = 0;

	for (int i = 0; i < UNITS; i++)
		n += state[i] == value;
	return n;
}

START_TEST(what_is_offered_is_taken_back_intact)
{
	struct taken taken;

	set_all(TRACT_UNIT_LIVE);
	tract__purge_map_offer(&map, 10, 20);
	must(units_in(TRACT_UNIT_VOLATILE) == 20 && header.offered == 20);
	tract__purge_map_offer(&map, 5, 10);
	must(units_in(TRACT_UNIT_VOLATILE) == 25 && header.offered == 25);
	tract__purge_map_age(&map, 20);
	must(units_in(TRACT_UNIT_AGED) == 15);
	must(tract__purge_map_count(&map, 0, UNITS) == 25);
	must(tract__purge_map_take(&map, 5, 25, &taken));
	must(taken.intact == 25 && taken.end == 25 && !taken.gone);
	must(header.reused == 25);
	must(units_in(TRACT_UNIT_LIVE) == UNITS);
}
END_TEST

START_TEST(a_unit_being_purged_makes_all_of_the_run_stay_as_it_was)
{
	static uint8_t before[UNITS];
	struct taken taken;

	for (int round = 0; round < 10000; round++) {
		size_t first = random_below(UNITS - 8);
		size_t units = 2 + random_below(UNITS - first - 2);
		uint64_t offered;

		for (int i = 0; i < UNITS; i++)
			state[i] = (uint8_t)random_below(5);
		state[first + random_below(units)] = TRACT_UNIT_PURGING;
		header = (struct tract_purge_header){ 0 };
		memcpy(before, state, sizeof(state));
		must(!tract__purge_map_take(&map, first, units, &taken));
		for (int i = 0; i < UNITS; i++) {
			/* Its age may be lost: it has been looked at. */
			if (before[i] == TRACT_UNIT_AGED &&
			    state[i] == TRACT_UNIT_VOLATILE)
				continue;
			must(state[i] == before[i]);
		}
		/* A sweep that saw it otherwise looks again. */
		offered = header.offered;
		must(offered == header.reused && offered == taken.intact);
	}
}
END_TEST

START_TEST(what_was_purged_is_counted_apart)
{
	struct taken taken;

	set_all(TRACT_UNIT_LIVE);
	tract__purge_map_offer(&map, 0, 8);
	state[3] = state[7] = TRACT_UNIT_PURGED;
	must(tract__purge_map_purged(&map, 0, 8) == 0);
	must(tract__purge_map_purged(&map, 3, 5) == 1);
	must(tract__purge_map_take(&map, 0, 12, &taken));
	must(taken.intact == 6 && taken.end == 7 && taken.gone == 2);
	must(units_in(TRACT_UNIT_LIVE) == UNITS);
	state[9] = TRACT_UNIT_PURGED;
	must(tract__purge_map_take(&map, 9, 1, &taken));
	must(!taken.intact && !taken.end && taken.gone == 1);
	must(state[9] == TRACT_UNIT_LIVE);
}
END_TEST

/* All that a claimer finds with one want, in order. */
static size_t claim_all(struct claim want, size_t end, size_t max,
			void (*check)(size_t first, size_t units))
{
	size_t at = 0, all = 0, first, n;

	while ((n = tract__purge_map_claim(&map, &at, end, max, want,
					   &first))) {
		must(n <= max && first + n <= at && at <= end);
		for (size_t i = first; i < first + n; i++)
			must(state[i] == TRACT_UNIT_PURGING);
		if (check)
			check(first, n);
		all += n;
	}
	return all;
}

static void check_whole(size_t first, size_t units)
{
	must(first % HUGE_UNITS == 0 && units % HUGE_UNITS == 0);
}

START_TEST(claims_find_all_that_is_wanted_and_nothing_else)
{
	for (int round = 0; round < 2000; round++) {
		struct claim want = { .young = random_below(2) };
		size_t end = 1 + random_below(UNITS);
		size_t wanted = 0;

		for (int i = 0; i < UNITS; i++)
			state[i] = random_below(3) ? (uint8_t)random_below(3) :
						     TRACT_UNIT_PURGED;
		for (size_t i = 0; i < end; i++)
			wanted +=
				state[i] == TRACT_UNIT_AGED ||
				(want.young && state[i] == TRACT_UNIT_VOLATILE);
		must(claim_all(want, end, 1 + random_below(40), NULL) ==
		     wanted);
		must(units_in(TRACT_UNIT_PURGING) == wanted);
	}
}
END_TEST

START_TEST(whole_claims_leave_huge_pages_that_are_in_use_in_part)
{
	struct claim want = { .young = true, .whole = true };

	set_all(TRACT_UNIT_VOLATILE);
	state[40] = TRACT_UNIT_LIVE;
	must(claim_all(want, UNITS, UNITS, check_whole) == UNITS - HUGE_UNITS);
	must(units_in(TRACT_UNIT_VOLATILE) == HUGE_UNITS - 1);

	set_all(TRACT_UNIT_AGED);
	state[200] = TRACT_UNIT_VOLATILE;
	want.young = false;
	must(claim_all(want, UNITS - 1, UNITS, check_whole) ==
	     UNITS - 2 * HUGE_UNITS);
}
END_TEST

START_TEST(a_child_knows_nothing_of_what_was_offered)
{
	set_all(TRACT_UNIT_LIVE);
	for (int i = 0; i < 10; i++)
		state[i] = (uint8_t)(i % 5);
	tract__purge_map_forget(&map, 0, 10, TRACT_UNIT_VOLATILE);
	must(units_in(TRACT_UNIT_VOLATILE) == 8);
	tract__purge_map_restart(&map, 8);
	must(header.offered == 8 && !header.reused && !header.purged);

	/* Given back by a child: it is no longer of the program. */
	memset(state, UNIT_LOST, 4);
	tract__purge_map_offer(&map, 0, 4);
	must(units_in(UNIT_LOST) == 0 && header.offered == 12);
}
END_TEST

SUITE_MAIN("purge_map", what_is_offered_is_taken_back_intact,
	   a_unit_being_purged_makes_all_of_the_run_stay_as_it_was,
	   what_was_purged_is_counted_apart,
	   claims_find_all_that_is_wanted_and_nothing_else,
	   whole_claims_leave_huge_pages_that_are_in_use_in_part,
	   a_child_knows_nothing_of_what_was_offered)
