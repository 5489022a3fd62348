// SPDX-License-Identifier: MIT
/*
 * Taking units back in the very moment in which they are purged: all are offered
 * and aged, and when the module says that a sweep has begun they are taken from
 * the last to the first, against the order in which it claims them.  Who gets a
 * unit has it: intact if it was offered, zero if it was purged, and it stays so.
 *
 * In a plain reservation, and in a trapped one, whose faults are the module's.
 *
 *   purgerace [seconds]
 */
#include "offer.h"

#define UNIT (16 * KIB)
#define LENGTH (2 * MIB)
#define UNITS (LENGTH / UNIT)

static double seconds = 10;
static struct t_map map;
static unsigned long rounds, intact, purged, met;

static volatile uint64_t *word(__u64 u, size_t page)
{
	return (volatile uint64_t *)(t_unit(&map, u) + page * PAGE + 8 * u);
}

static void write_unit(__u64 u, uint64_t value)
{
	for (size_t page = 0; page < UNIT / PAGE; page++)
		*word(u, page) = value;
}

static bool is_unit(__u64 u, uint64_t value)
{
	for (size_t page = 0; page < UNIT / PAGE; page++)
		if (*word(u, page) != value)
			return false;
	return true;
}

/* Have the unit, whoever is at it: what it was, or LIVE after too long. */
static __u8 take_at_once(__u64 u)
{
	double end = 0;
	__u8 was;

	while ((was = t_take(&map, u)) == TRACT_UNIT_LIVE) {
		if (!end)
			met++;
		if (end && t_now() > end)
			return was;
		end = end ? end : t_now() + 20;
	}
	return was;
}

static void take_all(uint64_t value)
{
	static bool zero[UNITS];

	for (__u64 u = UNITS; u-- > 0;) {
		__u8 was = take_at_once(u);

		if (!CHECK(was != TRACT_UNIT_LIVE, "unit %llu stays PURGING",
			   u))
			return;
		zero[u] = was == TRACT_UNIT_PURGED;
		CHECK(is_unit(u, zero[u] ? 0 : value),
		      "unit %llu, taken from %d, has %#llx", u, was,
		      (unsigned long long)*word(u, 0));
		write_unit(u, ~value);
	}
	/* Nobody comes after that. */
	t_sleep_us(2000);
	for (__u64 u = 0; u < UNITS; u++) {
		CHECK(is_unit(u, ~value), "live unit %llu lost", u);
		CHECK_EQ(t_unit_state(&map, u), TRACT_UNIT_LIVE, "unit %llu",
			 u);
		purged += zero[u];
		intact += !zero[u];
	}
}

static void one_round(void)
{
	uint64_t value = t_mix(rounds) | 1;
	double end = t_now() + 20;
	__u64 sweeps;

	for (__u64 u = 0; u < UNITS; u++)
		write_unit(u, value);
	for (__u64 u = 0; u < UNITS; u++)
		t_offer(&map, u);
	while (t_unit_state(&map, UNITS - 1) == TRACT_UNIT_VOLATILE)
		if (t_now() > end)
			t_die("no sweep comes");
	sweeps = __atomic_load_n(&map.header->sweeps, __ATOMIC_RELAXED);
	/* It may be over already, if this task did not run for a while. */
	while (__atomic_load_n(&map.header->sweeps, __ATOMIC_RELAXED) ==
		       sweeps &&
	       t_unit_state(&map, UNITS - 1) == TRACT_UNIT_AGED)
		if (t_now() > end)
			t_die("no second sweep comes");
	take_all(value);
	rounds++;
}

static void race(unsigned int flags)
{
	struct t_res res = t_reserve(LENGTH, flags);
	double end = t_now() + seconds / 2;

	rounds = intact = purged = met = 0;
	map = t_bind(&res, UNIT, 10);
	while (t_now() < end && !t_state->failed)
		one_round();
	t_note("%lu rounds: %lu units intact, %lu purged, %lu met PURGING",
	       rounds, intact, purged, met);
	/* On a slow machine the module may always be the first, but not alone. */
	CHECK(purged && (intact || met), "it was no race");
	t_unmap(&res);
	t_unmap_map(&map);
}

static void plain(void)
{
	race(TRACT_RESERVE_NOHUGE);
}

static void trapped(void)
{
	race(TRACT_RESERVE_TRAP);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		seconds = atof(argv[1]);
	t_begin("purgerace", seconds + 60);
	t_fd();
	RUN(plain);
	RUN(trapped);
	return t_end();
}
