// SPDX-License-Identifier: MIT
/*
 * What becomes of a bound map when the map, the reservation or the process goes,
 * in any order: the pins are given back, and nothing but the owner's own offered
 * units is ever touched.
 *
 * How many pages the module has pinned is seen from the limit that it charges,
 * and in /proc/vmstat from what was pinned and unpinned.
 */
#include "observe.h"
#include "offer.h"

#define LENGTH (4 * MIB)
#define UNIT (64 * KIB)

static bool shared_zap;
/* What was pinned at the start, by others. */
static long before;

/*
 * Pages pinned and not yet unpinned, by anybody.  Each processor counts for itself
 * and adds to what the file says once a second: it is asked to do so before.
 */
static long pinned(void)
{
	static char buf[32768];
	long acquired = -1, released = -1;
	char *at;

	t_write_file("/proc/sys/vm/stat_refresh", "1");
	if (t_read_file("/proc/vmstat", buf, sizeof(buf)) < 0)
		t_die("vmstat");
	at = strstr(buf, "nr_foll_pin_acquired ");
	if (at)
		acquired = atol(at + 21);
	at = strstr(buf, "nr_foll_pin_released ");
	if (at)
		released = atol(at + 21);
	return acquired - released;
}

static bool comes_to(long want, double seconds)
{
	double end = t_now() + seconds;
	long found;

	while ((found = pinned()) != want && t_now() < end)
		t_sleep_us(20000);
	return CHECK_EQ(found, want, "pinned pages");
}

static void check_purges(const struct t_map *map, const char *when)
{
	t_fill(map->res.addr, LENGTH, 3);
	t_offer(map, 5);
	CHECK(t_wait_state(map, 5, 1, TRACT_UNIT_PURGED, 5) >= 0,
	      "%s: not purged", when);
	CHECK_EQ(t_nonzero(t_unit(map, 5), UNIT), -1, "%s: not zero", when);
	CHECK_EQ(t_wrong(map->res.addr, 5 * UNIT, 3), -1, "%s: lost", when);
	CHECK_EQ(t_take(map, 5), TRACT_UNIT_PURGED, "%s", when);
}

/* Offers that must have no effect, for a few sweeps. */
static void check_dead(const struct t_map *map, const char *when)
{
	t_fill(map->res.addr, LENGTH, 4);
	for (__u64 u = 0; u < map->units; u++)
		t_offer(map, u);
	t_sleep_us(300000);
	CHECK_EQ(t_count(map, 0, map->units, TRACT_UNIT_VOLATILE), map->units,
		 "%s: states touched", when);
	CHECK_EQ(t_wrong(map->res.addr, LENGTH, 4), -1, "%s: lost at", when);
	for (__u64 u = 0; u < map->units; u++)
		t_take(map, u);
}

static void bind_unbind(void)
{
	struct t_res res = t_reserve(LENGTH, 0);
	struct t_map map = t_bind(&res, UNIT, 20), other;

	CHECK_EQ(comes_to(before + 2, 5), true, "bound");
	check_purges(&map, "bound");
	CHECK_ERR(t_unbind(&res), 0, "UNBIND");
	CHECK_ERR(t_unbind(&res), -ENOENT, "UNBIND twice");
	comes_to(before, 5);
	check_dead(&map, "unbound");
	CHECK_ERR(t_bind_raw(&res, map.header, map.length, UNIT, 20), 0,
		  "the same again");
	check_purges(&map, "bound again");
	/* Another in its place: the first is dead from then on. */
	other = t_bind(&res, UNIT, 20);
	check_dead(&map, "replaced");
	check_purges(&other, "the other");
	comes_to(before + 2, 5);
	/* One that fails changes nothing. */
	CHECK_ERR(t_bind_raw(&res, map.header, map.length + PAGE, UNIT, 20),
		  -EINVAL, "too long");
	check_purges(&other, "the other, still");
	t_unmap(&res);
	comes_to(before, 5);
	t_unmap_map(&map);
	t_unmap_map(&other);
}

/* Another unit size: the map's meaning changes with the call, not before. */
static void rebind_other_unit(void)
{
	struct t_res res = t_reserve(LENGTH, 0);
	struct t_map map = t_bind(&res, UNIT, 20);

	check_purges(&map, "64 KiB");
	CHECK_ERR(t_bind_raw(&res, map.header, map.length, 2 * UNIT, 20), 0,
		  "the same memory with another unit");
	map.unit = 2 * UNIT;
	map.units /= 2;
	t_fill(res.addr, LENGTH, 6);
	t_offer(&map, 3);
	CHECK(t_wait_state(&map, 3, 1, TRACT_UNIT_PURGED, 5) >= 0, "purged");
	CHECK_EQ(t_nonzero(t_unit(&map, 3), 2 * UNIT), -1, "not zero");
	CHECK_EQ(t_wrong(res.addr, 6 * UNIT, 6), -1, "lost before");
	CHECK_EQ(t_wrong(t_unit(&map, 4), LENGTH - 8 * UNIT, 6 + UNIT), -1,
		 "lost behind");
	t_unmap(&res);
	t_unmap_map(&map);
}

/* The map's memory goes, or something else comes to its place. */
static void map_memory_goes(void)
{
	struct t_res res = t_reserve(LENGTH, 0);
	struct t_map map = t_bind(&res, UNIT, 20);
	char *at = (char *)map.header;

	check_purges(&map, "at first");
	/* The page that the module has stays, the new one means nothing. */
	if (mmap(at, map.length, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != at)
		t_die("MAP_FIXED");
	check_dead(&map, "overwritten");
	CHECK_EQ(map.header->sweeps, 0, "the new page was written to");
	t_unmap_map(&map);
	comes_to(before + 2, 5);
	CHECK_ERR(t_unbind(&res), 0, "UNBIND without memory");
	comes_to(before, 5);

	map = t_bind(&res, UNIT, 20);
	at = mremap(map.header, map.length, map.length,
		    MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	if (at == MAP_FAILED)
		t_die("mremap: %s", strerror(errno));
	/* The page moved; what is at the old place is another. */
	check_dead(&map, "the old place");
	munmap(map.header, map.length);
	map.header = (void *)at;
	map.states = (__u8 *)at + PAGE;
	check_purges(&map, "the new place");
	/* Read-only for the process is not for the module. */
	t_offer(&map, 1);
	mprotect(map.header, map.length, PROT_READ);
	CHECK(t_wait_state(&map, 1, 1, TRACT_UNIT_PURGED, 5) >= 0,
	      "read-only map");
	mprotect(map.header, map.length, PROT_READ | PROT_WRITE);
	madvise(map.header, map.length, MADV_DONTNEED);
	check_dead(&map, "dropped");
	t_unmap(&res);
	comes_to(before, 5);
	t_unmap_map(&map);
}

/* Parts of the reservation go, or move: the rest is purged where it is. */
static void reservation_changes(void)
{
	struct t_res res = t_reserve(LENGTH, TRACT_RESERVE_NOHUGE);
	struct t_map map = t_bind(&res, UNIT, 20);
	char *moved, *stranger;

	t_fill(res.addr, LENGTH, 8);
	/* A stranger's memory in the middle. */
	stranger = mmap(t_unit(&map, 8), 8 * UNIT, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	t_fill(stranger, 8 * UNIT, 88);
	munmap(t_unit(&map, 20), 4 * UNIT);
	mprotect(t_unit(&map, 30), 4 * UNIT, PROT_READ);
	moved = t_anonymous(8 * UNIT);
	if (mremap(t_unit(&map, 40), 8 * UNIT, 8 * UNIT,
		   MREMAP_MAYMOVE | MREMAP_FIXED, moved) != moved)
		t_die("mremap: %s", strerror(errno));
	for (__u64 u = 4; u < 44; u++)
		t_offer(&map, u);
	CHECK(t_wait_state(&map, 4, 40, TRACT_UNIT_PURGED, 5) >= 0, "purged");
	CHECK_EQ(t_wrong(stranger, 8 * UNIT, 88), -1, "stranger lost at");
	CHECK_EQ(t_wrong(res.addr, 4 * UNIT, 8), -1, "live lost at");
	CHECK_EQ(t_nonzero(t_unit(&map, 4), 4 * UNIT), -1, "not zero");
	CHECK_EQ(t_nonzero(t_unit(&map, 30), 4 * UNIT), -1, "read-only part");
	CHECK_EQ(t_nonzero(moved, 4 * UNIT), -1, "moved part, not zero");
	CHECK_EQ(t_wrong(moved + 4 * UNIT, 4 * UNIT, 8 + 44 * UNIT / 8), -1,
		 "moved part, live, lost at");
	munmap(moved, 8 * UNIT);
	t_unmap(&res);
	t_unmap_map(&map);
}

static void bind_and_exit(void)
{
	struct t_res res = t_reserve(LENGTH, 0);
	struct t_map map = t_bind(&res, UNIT, 10);

	for (__u64 u = 0; u < map.units; u++)
		t_offer(&map, u);
	CHECK(map.units, "units");
}

static void process_ends(void)
{
	int pid;

	IN_CHILD(bind_and_exit);
	comes_to(before, 5);
	/* By exec, and by a signal. */
	pid = t_fork();
	if (!pid) {
		bind_and_exit();
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	WAIT_OK(pid);
	comes_to(before, 5);
	for (int i = 0; i < 20; i++) {
		pid = t_fork();
		if (!pid) {
			bind_and_exit();
			for (;;)
				pause();
		}
		t_sleep_us(i * 2000);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	comes_to(before, 10);
}

/*
 * The owner is gone, its child still maps the reservation: the owner's pins go,
 * the child's memory stays.
 */
static void orphan(bool by_exec)
{
	struct t_gate up = t_make_gate(), down = t_make_gate();
	int pid = t_fork(), grandchild;

	if (!pid) {
		struct t_res res = t_reserve(LENGTH, 0);
		struct t_map map = t_bind(&res, UNIT, 10);

		t_fill(res.addr, LENGTH, 12);
		grandchild = fork();
		if (!grandchild) {
			t_open_gate(&up);
			t_pass_gate(&down);
			CHECK_EQ(t_wrong(res.addr, LENGTH, 12), -1,
				 "the child lost at");
			/* Its copy of the array is an array. */
			memset(map.states, TRACT_UNIT_AGED, map.units);
			t_sleep_us(200000);
			CHECK_EQ(t_wrong(res.addr, LENGTH, 12), -1,
				 "the child lost at");
			CHECK_EQ(t_count(&map, 0, map.units, TRACT_UNIT_AGED),
				 map.units, "its copy was written to");
			t_open_gate(&up);
			_exit(0);
		}
		for (__u64 u = 0; u < map.units; u++)
			t_offer(&map, u);
		if (by_exec)
			execl("/bin/true", "true", NULL);
		_exit(0);
	}
	WAIT_OK(pid);
	t_pass_gate(&up);
	comes_to(before, 15);
	t_open_gate(&down);
	t_pass_gate(&up);
	for (int i = 0; i < 2; i++) {
		close(up.fd[i]);
		close(down.fd[i]);
	}
}

static void orphan_of_exit(void)
{
	orphan(false);
}

static void orphan_of_exec(void)
{
	orphan(true);
}

/* While a child is there: its bytes stay, the owner's go where that is possible. */
static void child_in_the_way(void)
{
	struct t_res res = t_reserve(LENGTH, 0);
	struct t_map map = t_bind(&res, UNIT, 20);
	struct t_gate up = t_make_gate(), down = t_make_gate();
	struct tract_stats st;
	int pid;

	t_fill(res.addr, LENGTH, 14);
	pid = t_fork();
	if (!pid) {
		t_open_gate(&up);
		t_pass_gate(&down);
		CHECK_EQ(t_wrong(res.addr, LENGTH, 14), -1, "child lost at");
		_exit(0);
	}
	t_pass_gate(&up);
	for (__u64 u = 0; u < 16; u++)
		t_offer(&map, u);
	if (shared_zap) {
		CHECK(t_wait_state(&map, 0, 16, TRACT_UNIT_PURGED, 5) >= 0,
		      "not purged beside a child");
		CHECK_EQ(map.header->flags, 0, "flags");
	} else {
		CHECK(t_wait_state(&map, 0, 16, TRACT_UNIT_AGED, 5) >= 0,
		      "not aged beside a child");
		t_sleep_us(700000);
		CHECK_EQ(map.header->flags, TRACT_PURGE_SHARED, "flags");
		CHECK_EQ(t_count(&map, 0, 16, TRACT_UNIT_AGED), 16, "left");
		CHECK_EQ(t_wrong(res.addr, LENGTH, 14), -1, "owner lost at");
		/* The process may do it itself. */
		CHECK(t_move(&map, 0, TRACT_UNIT_AGED, TRACT_UNIT_PURGING),
		      "claim");
		madvise(t_unit(&map, 0), UNIT, MADV_DONTNEED);
		t_sleep_us(100000);
		CHECK_EQ(t_unit_state(&map, 0), TRACT_UNIT_PURGING,
			 "who claims a unit has it");
		__atomic_store_n(&map.states[0], TRACT_UNIT_PURGED,
				 __ATOMIC_RELEASE);
		CHECK_EQ(t_take(&map, 1), TRACT_UNIT_AGED, "taken back");
		CHECK_EQ(t_wrong(t_unit(&map, 1), UNIT, 14 + UNIT / 8), -1,
			 "intact");
		t_offer(&map, 1);
	}
	CHECK_ERR(t_stats(TRACT_SCOPE_RESERVATION, 0, res.id, &st), 0, "STATS");
	CHECK_EQ(st.out_skipped_sweeps > 0, !shared_zap, "skipped sweeps");
	t_open_gate(&down);
	WAIT_OK(pid);
	CHECK(t_wait_state(&map, 0, 16, TRACT_UNIT_PURGED, 10) >= 0,
	      "not purged after the child");
	t_sleep_us(50000);
	CHECK_EQ(map.header->flags, 0, "flags after the child");
	CHECK_EQ(t_nonzero(res.addr, 16 * UNIT), -1, "not zero");
	CHECK_EQ(t_wrong(t_unit(&map, 16), LENGTH - 16 * UNIT,
			 14 + 16 * UNIT / 8),
		 -1, "live lost at");
	t_unmap(&res);
	t_unmap_map(&map);
}

int main(void)
{
	t_begin("purge_life", 120);
	t_fd();
	if (!t_feature(TRACT_FEATURE_PURGE_MAP))
		t_skip_all("the module has no purge maps");
	if (geteuid() || pinned() < 0)
		t_skip_all("cannot see what is pinned");
	shared_zap = t_feature(TRACT_FEATURE_SHARED_ZAP);
	before = pinned();
	RUN(bind_unbind);
	RUN(rebind_other_unit);
	RUN(map_memory_goes);
	RUN(reservation_changes);
	RUN(process_ends);
	RUN(orphan_of_exit);
	RUN(orphan_of_exec);
	RUN(child_in_the_way);
	return t_end();
}
