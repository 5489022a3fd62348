// SPDX-License-Identifier: MIT
#include "purge_map.h"

#define unit_load(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define unit_store(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define unit_exchange(p, old, new)                                             \
	__atomic_compare_exchange_n(p, old, new, false, __ATOMIC_ACQ_REL,      \
				    __ATOMIC_ACQUIRE)
/* The process's side has one writer at a time. */
#define counter_add(p, n) __atomic_store_n(p, *(p) + (n), __ATOMIC_RELEASE)

static bool is_offered(uint8_t state)
{
	return state == TRACT_UNIT_VOLATILE || state == TRACT_UNIT_AGED;
}

void tract__purge_map_offer(struct purge_map *map, size_t first, size_t units)
{
	size_t offered = 0;

	for (uint8_t *p = map->state + first; units; units--, p++) {
		uint8_t state = unit_load(p);

		/* Offered before, by the program: its claimer may be at work. */
		if (state != TRACT_UNIT_LIVE && state != UNIT_LOST)
			continue;
		unit_store(p, TRACT_UNIT_VOLATILE);
		offered++;
	}
	/* After the states: a sweep that sees no change of it may pass. */
	if (offered)
		counter_add(&map->header->offered, offered);
}

/* The state the unit was in; it is @to now, unless it was not offered. */
static uint8_t take_unit(uint8_t *p, uint8_t to)
{
	uint8_t state = unit_load(p);

	/* From VOLATILE to AGED to PURGING: at most two more rounds. */
	while (is_offered(state) && !unit_exchange(p, &state, to))
		;
	return state;
}

/* A sweep may have seen them as in use: it is told to look again. */
static void put_back(struct purge_map *map, size_t first, size_t units,
		     size_t intact)
{
	if (!intact)
		return;
	for (uint8_t *p = map->state + first; units; units--, p++) {
		if (unit_load(p) == UNIT_HELD)
			unit_store(p, TRACT_UNIT_VOLATILE);
	}
	counter_add(&map->header->reused, intact);
	counter_add(&map->header->offered, intact);
}

/* By now all is LIVE, HELD or PURGED: the process's alone. */
static void keep(uint8_t *p, size_t units)
{
	for (; units; units--, p++)
		if (unit_load(p) != TRACT_UNIT_LIVE)
			unit_store(p, TRACT_UNIT_LIVE);
}

static bool take_one(struct purge_map *map, uint8_t *p, struct taken *taken)
{
	uint8_t state = take_unit(p, TRACT_UNIT_LIVE);

	*taken = (struct taken){ 0 };
	if (likely(is_offered(state))) {
		taken->intact = taken->end = 1;
		counter_add(&map->header->reused, 1);
		return true;
	}
	if (state == TRACT_UNIT_PURGED) {
		taken->gone = 1;
		unit_store(p, TRACT_UNIT_LIVE);
	}
	return state != TRACT_UNIT_PURGING;
}

bool tract__purge_map_take(struct purge_map *map, size_t first, size_t units,
			   struct taken *taken)
{
	uint8_t *p = map->state + first;

	if (units == 1)
		return take_one(map, p, taken);
	*taken = (struct taken){ 0 };
	for (size_t i = 0; i < units; i++) {
		uint8_t state = take_unit(p + i, UNIT_HELD);

		if (state == TRACT_UNIT_PURGING) {
			put_back(map, first, i, taken->intact);
			return false;
		}
		if (is_offered(state)) {
			taken->intact++;
			taken->end = i + 1;
		}
		taken->gone += state == TRACT_UNIT_PURGED;
	}
	if (taken->intact + taken->gone)
		keep(p, units);
	if (taken->intact)
		counter_add(&map->header->reused, taken->intact);
	return true;
}

size_t tract__purge_map_purged(const struct purge_map *map, size_t first,
			       size_t units)
{
	size_t n = 0;

	while (n < units &&
	       unit_load(map->state + first + n) == TRACT_UNIT_PURGED)
		n++;
	return n;
}

size_t tract__purge_map_count(const struct purge_map *map, size_t first,
			      size_t units)
{
	size_t n = 0;

	for (size_t i = first; i < first + units; i++)
		n += is_offered(unit_load(map->state + i));
	return n;
}

/* Where from @at on something is offered: mostly nothing is, by the word. */
static size_t skip_words(const struct purge_map *map, size_t at, size_t end)
{
	while (at % sizeof(uint64_t) == 0 && at + sizeof(uint64_t) <= end) {
		uint64_t word = read_once((uint64_t *)(map->state + at));

		if (word && word != TRACT_UNIT_PURGED * (~0ull / 0xff))
			break;
		at += sizeof(uint64_t);
	}
	return at;
}

void tract__purge_map_age(struct purge_map *map, size_t end)
{
	for (size_t at = 0; (at = skip_words(map, at, end)) < end; at++) {
		uint8_t state = TRACT_UNIT_VOLATILE;

		/* If it is taken meanwhile that is as well. */
		if (unit_load(map->state + at) == state)
			unit_exchange(map->state + at, &state, TRACT_UNIT_AGED);
	}
}

static bool is_wanted(uint8_t state, struct claim want)
{
	return state == TRACT_UNIT_AGED ||
	       (want.young && state == TRACT_UNIT_VOLATILE);
}

static bool claim_unit(uint8_t *p, struct claim want)
{
	uint8_t state = unit_load(p);

	while (is_wanted(state, want))
		if (unit_exchange(p, &state, TRACT_UNIT_PURGING))
			return true;
	return false;
}

static bool whole_is_wanted(const struct purge_map *map, size_t at, size_t end,
			    struct claim want)
{
	if (at % HUGE_UNITS || end - at < HUGE_UNITS)
		return false;
	for (size_t i = 0; i < HUGE_UNITS; i++)
		if (!is_wanted(unit_load(map->state + at + i), want))
			return false;
	return true;
}

/* As far as it goes: what is taken by others while we look is not ours. */
static size_t claim_run(struct purge_map *map, size_t at, size_t max,
			struct claim want)
{
	size_t n = 0;

	while (n < max && claim_unit(map->state + at + n, want))
		n++;
	return n;
}

size_t tract__purge_map_claim(struct purge_map *map, size_t *at, size_t end,
			      size_t max, struct claim want, size_t *first)
{
	size_t i = *at;
	size_t n = 0;

	while (!n && (i = skip_words(map, i, end)) < end) {
		*first = i;
		if (!want.whole) {
			n = claim_run(map, i, end - i < max ? end - i : max,
				      want);
			i += n ? n : 1;
			continue;
		}
		while (n < max && whole_is_wanted(map, i, end, want)) {
			size_t more = claim_run(map, i, HUGE_UNITS, want);

			n += more;
			i += HUGE_UNITS;
			if (more < HUGE_UNITS)
				break;
		}
		if (!n)
			i = (i / HUGE_UNITS + 1) * HUGE_UNITS;
	}
	*at = i < end ? i : end;
	return n;
}

void tract__purge_map_finish(struct purge_map *map, size_t first, size_t units)
{
	for (size_t i = first; i < first + units; i++)
		unit_store(map->state + i, TRACT_UNIT_PURGED);
}

void tract__purge_map_unclaim(struct purge_map *map, size_t first, size_t units)
{
	for (size_t i = first; i < first + units; i++)
		unit_store(map->state + i, TRACT_UNIT_VOLATILE);
	counter_add(&map->header->reused, units);
	counter_add(&map->header->offered, units);
}

void tract__purge_map_forget(struct purge_map *map, size_t first, size_t units,
			     uint8_t to)
{
	for (size_t i = first; i < first + units; i++)
		if (map->state[i] != TRACT_UNIT_LIVE)
			map->state[i] = to;
}

void tract__purge_map_restart(struct purge_map *map, size_t offered)
{
	*map->header = (struct tract_purge_header){ .offered = offered };
}
