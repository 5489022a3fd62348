// SPDX-License-Identifier: MIT
/* The preload's tables of pages and holes against plain arrays. */
#include "holes.h"
#include "maps.h"
#include "pages.h"
#include "store.h"

#include "suite.h"

#include <string.h>

/* A window over borders of every level: 3 GiB, told of in grains of 1 MiB. */
#define BASE (((uintptr_t)0x7f31 << 30) - GRAIN)
#define GRAIN ((uintptr_t)1 << 20)
#define GRAINS 3072

/* Starts of ranges: each grain has pages, its first and some within. */
static uintptr_t random_addr(uintptr_t base, size_t grains)
{
	uintptr_t addr = base + random_below(grains) * GRAIN;

	return random_below(2) ? addr : addr + random_below(256) * PAGE_SIZE;
}

static uint8_t states[GRAINS * 256];

static void check_run(uintptr_t from, uintptr_t to)
{
	size_t i = (from - BASE) / PAGE_SIZE;
	size_t end = (to - BASE) / PAGE_SIZE, at = i;
	uint8_t state;
	uintptr_t found = tract__pages_run(from, to, &state);

	while (at < end && states[at] == states[i])
		at++;
	must(state == states[i]);
	must(found == BASE + at * PAGE_SIZE);
	must(tract__pages_get(from) == states[i]);
}

START_TEST(pages_are_what_was_set)
{
	for (int step = 0; step < 1500; step++) {
		uintptr_t from = random_addr(BASE, GRAINS);
		uintptr_t to = random_addr(BASE, GRAINS);
		uint8_t state = page_state(random_below(5), random_below(8));

		if (random_below(2))
			to = from + random_below(600) * PAGE_SIZE;
		if (to > BASE + GRAINS * GRAIN)
			to = BASE + GRAINS * GRAIN;
		if (from >= to)
			continue;
		must(!tract__pages_prepare(from, to));
		tract__pages_set(from, to, state);
		memset(states + (from - BASE) / PAGE_SIZE, state,
		       (to - from) / PAGE_SIZE);
		for (int i = 0; i < 20; i++) {
			from = random_addr(BASE, GRAINS);
			to = random_addr(BASE, GRAINS);
			if (from < to)
				check_run(from, to);
		}
	}
	must(!tract__pages_any(PAGES_END, PAGES_END + GRAIN));
	must(tract__pages_get(~(uintptr_t)0) == PAGE_FOREIGN);
	must(tract__pages_prepare(PAGES_END - GRAIN, PAGES_END + GRAIN));
}
END_TEST

#define HOLES 4096
#define KIND HOLES_TRAPPED

static bool hole[HOLES + 2];

static uintptr_t hole_addr(size_t i)
{
	return 0x10000000 + i * PAGE_SIZE;
}

/* The first run of @pages pages that is long enough; 0: none. */
static size_t first_fit(size_t pages)
{
	size_t have = 0;

	for (size_t i = 1; i <= HOLES; i++) {
		size_t end = i;

		if (!hole[i] || hole[i - 1])
			continue;
		while (hole[end])
			end++;
		have = end - i;
		if (have >= pages)
			return i;
	}
	return 0;
}

static void check_find(size_t i)
{
	uintptr_t from, to;
	size_t low = i, high = i;

	must(tract__holes_find(KIND, hole_addr(i) + 5, &from, &to) == hole[i]);
	if (!hole[i])
		return;
	while (hole[low - 1])
		low--;
	while (hole[high])
		high++;
	must(from == hole_addr(low) && to == hole_addr(high));
}

START_TEST(holes_are_what_an_array_says)
{
	uintptr_t from, to, got;
	size_t left = 0;

	for (int step = 0; step < 60000; step++) {
		size_t i = 1 + random_below(HOLES), n = 1 + random_below(24);

		if (i + n > HOLES)
			n = HOLES - i + 1;
		switch (random_below(3)) {
		case 0:
			tract__holes_insert(KIND, hole_addr(i),
					    hole_addr(i + n));
			memset(hole + i, true, n);
			break;
		case 1:
			tract__holes_remove(hole_addr(i), hole_addr(i + n));
			memset(hole + i, false, n);
			break;
		default:
			i = first_fit(n);
			got = tract__holes_take(KIND, n * PAGE_SIZE);
			must(got == (i ? hole_addr(i) : 0));
			memset(hole + i, false, i ? n : 0);
		}
		check_find(1 + random_below(HOLES));
	}
	for (size_t i = 1; i <= HOLES; i++)
		left += hole[i];
	while (tract__holes_take_first(KIND, &from, &to))
		left -= (to - from) / PAGE_SIZE;
	must(left == 0);
}
END_TEST

static uintptr_t near(uintptr_t to, size_t reach, size_t size)
{
	static const char *const map[] = {
		"00400000-00500000 r-xp 00000000 fe:00 1 /bin/x",
		"00510000-00600000 rw-p 00000000 00:00 0 [heap]",
		"7f0000000000-7f0000100000 r-xp 00000000 fe:00 2 /lib/y",
		"7f0000110000-7f0000200000 rw-p 00000000 00:00 0 ",
		"not a line of a map",
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]",
	};
	struct maps_search search = { to, reach, size, 0, 0, 0 };

	tract__maps_search_start(&search);
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		tract__maps_search_line(&search, map[i]);
	tract__maps_search_end(&search);
	return search.best;
}

START_TEST(the_nearest_gap_is_found)
{
	/* Between the two, where it fits; else beside them, near side first. */
	must(near(0x7f00000a0000, 1 << 30, 0x10000) == 0x7f0000100000);
	must(near(0x7f0000050000, 1 << 30, 0x11000) == 0x7efffffef000);
	must(near(0x7f0000150000, 1 << 30, 0x11000) == 0x7f0000200000);
	/* An address that is free itself, and one below all. */
	must(near(0x600000000, 1 << 30, 0x10000) == 0x600000000);
	must(near(0x10000, 1 << 20, 0x10000) == 0x10000);
	must(near(0, 1 << 20, 0x10000) == 0x10000);
	/* Every byte within reach, and not one more. */
	must(near(0x7f0000050000, 0x51000, 0x1000) == 0x7efffffff000);
	must(!near(0x7f0000050000, 0x50fff, 0x1000));
	must(!near(0x7f0000080000, 0x80ffe, 0x1000));
	must(near(0x7f0000080000, 0x80fff, 0x1000) == 0x7f0000100000);
	/* Nothing of the kernel's part of the map. */
	must(near(0x7ffffffff000, 1 << 30, 0x10000) == 0x7ffffffef000);
	/* The heap has room to grow. */
	must(near(0x580000, 1 << 28, 0x10000) == 0x500000);
	must(!near(0x580000, 0x800000, 0x400000));
}
END_TEST

START_TEST(a_line_of_the_map_is_read)
{
	struct maps_line line;

	must(tract__maps_parse("7f0000000000-7f0000100000 r-xp 0000a000 fe:1f "
			       "1234567890123 /lib/y 99",
			       &line));
	must(line.start == 0x7f0000000000 && line.end == 0x7f0000100000);
	must(line.inode == 1234567890123);
	must(tract__maps_parse("00510000-00600000 rw-p 00000000 00:00 0 ",
			       &line));
	must(line.start == 0x510000 && line.end == 0x600000 && !line.inode);
	must(!tract__maps_parse("", &line));
	must(!tract__maps_parse("510000", &line));
	must(!tract__maps_parse("510000-600000", &line));
	must(!tract__maps_parse("510000-600000 rw-p 0 00:00", &line));
}
END_TEST

/* None of what was left, which a fork may have caught half taken. */
START_TEST(a_child_begins_its_store_anew)
{
	char *p = tract__store_alloc(64), *q;

	ck_assert_ptr_nonnull(p);
	tract__store_restart();
	memset(p + 64, 1, 64);
	q = tract__store_alloc(64);
	ck_assert_ptr_nonnull(q);
	must(q != p + 64 && !q[0] && !q[63]);
}
END_TEST

SUITE_MAIN("vm tables", a_child_begins_its_store_anew, pages_are_what_was_set,
	   holes_are_what_an_array_says, the_nearest_gap_is_found,
	   a_line_of_the_map_is_read)
