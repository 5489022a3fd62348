// SPDX-License-Identifier: MIT
/* The index of free runs against a plain array. */
#include "runs.h"

#include "suite.h"

#define RUNS 400

static struct span spans[RUNS];
static bool present[RUNS];

/* The best fit, by looking at all. */
static size_t best_units(size_t units)
{
	size_t best = SIZE_MAX;

	for (int i = 0; i < RUNS; i++) {
		if (present[i] && spans[i].units >= units &&
		    spans[i].units < best)
			best = spans[i].units;
	}
	return best;
}

static size_t random_units(void)
{
	return 1 + random_below(1ull << (1 + random_below(24)));
}

START_TEST(finds_what_a_search_of_all_finds)
{
	struct runs runs = { 0 };
	size_t total = 0;

	for (int i = 0; i < RUNS; i++) {
		list_init(&spans[i].node);
		present[i] = false;
	}
	for (int step = 0; step < 20000; step++) {
		int i = (int)random_below(RUNS);
		size_t units = random_units();
		struct span *found;
		size_t best;

		if (present[i]) {
			tract__runs_remove(&runs, &spans[i]);
			total -= spans[i].units;
		} else {
			spans[i].units = (uint32_t)random_units();
			tract__runs_insert(&runs, &spans[i]);
			total += spans[i].units;
		}
		present[i] = !present[i];
		must(runs.units == total);
		best = best_units(units);
		found = tract__runs_find(&runs, units);
		if (best == SIZE_MAX) {
			must(!found);
			continue;
		}
		must(found);
		must(present[found - spans]);
		must(found->units >= units);
		/* Exact below 64 units; within its eighth of a doubling above. */
		if (found->units < RUNS_EXACT)
			must(found->units == best);
		else
			must(found->units <= best + best / 4);
	}
}
END_TEST

START_TEST(the_largest_run_there_can_be)
{
	struct runs runs = { 0 };

	spans[0].units = UINT32_MAX;
	list_init(&spans[0].node);
	tract__runs_insert(&runs, &spans[0]);
	must(tract__runs_find(&runs, 1) == &spans[0]);
	must(tract__runs_find(&runs, UINT32_MAX) == &spans[0]);
	tract__runs_remove(&runs, &spans[0]);
	ck_assert_ptr_null(tract__runs_find(&runs, 1));
}
END_TEST

SUITE_MAIN("runs", finds_what_a_search_of_all_finds,
	   the_largest_run_there_can_be)
