// SPDX-License-Identifier: MIT
/*
 * What goes when memory is short, without being short of it: the kernel is told
 * to shrink its caches, or, where it has that, this one cache by so many pages.
 * Aged units go before others and whole huge pages before both, what is in use
 * stays, and of memory cgroups only the one that is asked for its memory.
 */
#include "observe.h"
#include "offer.h"

#include <glob.h>

#define HUGE (2 * MIB)
#define UNIT (64 * KIB)
#define IN_HUGE (HUGE / UNIT)
#define LENGTH (8 * HUGE)
#define GROUP "/sys/fs/cgroup/tract-purge-pressure"

static char scan_file[128];

static ino_t inode_of(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		t_die("%s: %s", path, strerror(errno));
	return st.st_ino;
}

/* Have the shrinker purge so many units of the maps of a cgroup. */
static void shrink(const char *group, __u64 units)
{
	char line[64];

	snprintf(line, sizeof(line), "%lu 0 %llu\n", inode_of(group),
		 units * (UNIT / PAGE));
	CHECK_ERR(t_write_file(scan_file, line), 0, "%s", scan_file);
}

static void drop_caches(void)
{
	CHECK_ERR(t_write_file("/proc/sys/vm/drop_caches", "2"), 0,
		  "drop_caches");
}

/* As the module would have done by now; the process may write what it likes. */
static void offer_aged(const struct t_map *map, __u64 unit)
{
	t_offer(map, unit);
	t_move(map, unit, TRACT_UNIT_VOLATILE, TRACT_UNIT_AGED);
}

static __u64 count_all(const struct t_map *map, __u8 state)
{
	return t_count(map, 0, map->units, state);
}

static void at_once(unsigned int flags)
{
	struct t_res res = t_reserve(LENGTH, flags);
	struct t_map map = t_bind(&res, UNIT, TRACT_DECAY_NEVER);
	struct tract_stats st;
	__u64 offered = 0;

	t_fill(res.addr, LENGTH, 41);
	for (__u64 u = 0; u < map.units; u++)
		if (u % 8 != 5) {
			offered++;
			if (u & 1)
				t_offer(&map, u);
			else
				offer_aged(&map, u);
		}
	drop_caches();
	CHECK_EQ(count_all(&map, TRACT_UNIT_PURGED), offered, "purged");
	for (__u64 u = 0; u < map.units; u++)
		if (u % 8 != 5)
			CHECK_EQ(t_nonzero(t_unit(&map, u), UNIT), -1,
				 "unit %llu, not zero at", u);
		else
			CHECK_EQ(t_wrong(t_unit(&map, u), UNIT,
					 41 + u * UNIT / 8),
				 -1, "unit %llu, in use, lost at", u);
	CHECK_ERR(t_stats(TRACT_SCOPE_RESERVATION, 0, res.id, &st), 0, "STATS");
	CHECK_EQ(st.out_purged_pressure_bytes, offered * UNIT, "by pressure");
	CHECK_EQ(st.out_purged_age_bytes, 0, "by age");
	CHECK_EQ(map.header->purged, offered, "header's purged");
	t_unmap(&res);
	t_unmap_map(&map);
}

static void plain(void)
{
	at_once(0);
}

static void trapped(void)
{
	at_once(TRACT_RESERVE_TRAP);
}

static void aged_first(void)
{
	struct t_res res = t_reserve(LENGTH, TRACT_RESERVE_NOHUGE);
	struct t_map map = t_bind(&res, UNIT, TRACT_DECAY_NEVER);

	t_fill(res.addr, LENGTH, 42);
	/* One in two, so that no huge page could go as a whole. */
	for (__u64 u = 0; u < map.units; u += 2)
		if (u < map.units / 2)
			t_offer(&map, u);
		else
			offer_aged(&map, u);
	shrink("/sys/fs/cgroup", map.units / 4);
	CHECK_EQ(t_count(&map, map.units / 2, map.units / 2, TRACT_UNIT_PURGED),
		 map.units / 4, "aged ones purged");
	CHECK_EQ(count_all(&map, TRACT_UNIT_VOLATILE), map.units / 4,
		 "others left");
	shrink("/sys/fs/cgroup", map.units / 4);
	CHECK_EQ(count_all(&map, TRACT_UNIT_PURGED), map.units / 2, "purged");
	for (__u64 u = 1; u < map.units; u += 2)
		CHECK_EQ(t_wrong(t_unit(&map, u), UNIT, 42 + u * UNIT / 8), -1,
			 "unit %llu, in use, lost at", u);
	t_unmap(&res);
	t_unmap_map(&map);
}

/* Behind lone units, in place and in age: two huge pages that can go whole. */
static void whole_first(void)
{
	struct t_res res = t_reserve(LENGTH, 0);
	struct t_map map = t_bind(&res, UNIT, TRACT_DECAY_NEVER);

	t_fill(res.addr, LENGTH, 43);
	for (__u64 u = 0; u < 4 * IN_HUGE; u += 2)
		t_offer(&map, u);
	for (__u64 u = 5 * IN_HUGE; u < 7 * IN_HUGE; u++)
		t_offer(&map, u);
	shrink("/sys/fs/cgroup", 2 * IN_HUGE);
	CHECK_EQ(t_count(&map, 5 * IN_HUGE, 2 * IN_HUGE, TRACT_UNIT_PURGED),
		 2 * IN_HUGE, "purged of the whole ones");
	CHECK_EQ(t_count(&map, 0, 4 * IN_HUGE, TRACT_UNIT_PURGED), 0,
		 "purged of the others");
	CHECK_EQ(t_resident(t_unit(&map, 5 * IN_HUGE), 2 * HUGE), 0, "pages");
	CHECK_EQ(t_wrong(res.addr, 5 * HUGE, 43), -1, "lost at");
	t_unmap(&res);
	t_unmap_map(&map);
}

/* One process in the cgroup, one in the root: each is asked for its own. */
static void own_cgroup(void)
{
	struct t_res res = t_reserve(HUGE, 0);
	struct t_map map = t_bind(&res, UNIT, TRACT_DECAY_NEVER);
	struct t_gate ready = t_make_gate(), done = t_make_gate();
	int pid;

	t_write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if (mkdir(GROUP, 0755) && errno != EEXIST)
		t_die(GROUP ": %s", strerror(errno));
	/* A child that shares the pages would be in the way. */
	madvise(res.addr, HUGE, MADV_DONTFORK);
	pid = t_fork();
	if (!pid) {
		t_write_number(GROUP "/cgroup.procs", getpid());
		res = t_reserve(HUGE, 0);
		map = t_bind(&res, UNIT, TRACT_DECAY_NEVER);
		t_offer(&map, 3);
		t_offer(&map, 9);
		t_open_gate(&ready);
		t_pass_gate(&done);
		CHECK_EQ(count_all(&map, TRACT_UNIT_PURGED), 2, "of the child");
		_exit(0);
	}
	t_pass_gate(&ready);
	t_offer(&map, 3);
	shrink(GROUP, map.units);
	CHECK_EQ(count_all(&map, TRACT_UNIT_VOLATILE), 1, "of the parent");
	t_open_gate(&done);
	WAIT_OK(pid);
	shrink("/sys/fs/cgroup", map.units);
	CHECK_EQ(count_all(&map, TRACT_UNIT_PURGED), 1, "of the parent, asked");
	rmdir(GROUP);
	t_unmap(&res);
	t_unmap_map(&map);
}

static bool find_shrinker(void)
{
	glob_t found = { 0 };
	bool good;

	good = !glob("/sys/kernel/debug/shrinker/tract-*", 0, NULL, &found);
	if (good)
		snprintf(scan_file, sizeof(scan_file), "%s/scan",
			 found.gl_pathv[0]);
	globfree(&found);
	return good;
}

int main(void)
{
	t_begin("purge_pressure", 60);
	t_fd();
	if (!t_feature(TRACT_FEATURE_PURGE_MAP))
		t_skip_all("the module has no purge maps");
	if (geteuid())
		t_skip_all("not root");
	RUN(plain);
	RUN(trapped);
	if (find_shrinker()) {
		RUN(aged_first);
		RUN(whole_first);
		RUN(own_cgroup);
	} else {
		SKIP(aged_first, "no CONFIG_SHRINKER_DEBUG");
		SKIP(whole_first, "no CONFIG_SHRINKER_DEBUG");
		SKIP(own_cgroup, "no CONFIG_SHRINKER_DEBUG");
	}
	return t_end();
}
