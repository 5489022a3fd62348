// SPDX-License-Identifier: MIT
/*
 * RESERVE when something has run out: its own limits (-ENOSPC), RLIMIT_AS, the
 * commit limit, room in the map (-ENOMEM); each time exactly undone.  Writes
 * sysctls, so it is for a virtual machine.
 */
#include "observe.h"

#define OVERCOMMIT "/proc/sys/vm/overcommit_memory"
#define OVERCOMMIT_KB "/proc/sys/vm/overcommit_kbytes"
#define MAX_MAPS "/proc/sys/vm/max_map_count"

/* Change a sysctl for the length of one point. */
static long long swap_sysctl(const char *path, long long value)
{
	long long was = t_read_number(path);

	if (t_write_number(path, value))
		t_die("cannot write %s", path);
	return was;
}

static void count_limit_child(void)
{
	__u64 max = t_info().out_reservations_max;
	struct t_res first, res = { 0 };
	struct tract_stats st;
	struct t_snap before;
	int err = 0;

	if (t_reserve_raw(PAGE, 0, 0, &first))
		t_die("no first reservation");
	for (__u64 i = 1; i < max; i++) {
		err = t_reserve_raw(PAGE, 0, TRACT_RESERVE_NOHUGE, &res);
		if (!CHECK_ERR(err, 0, "reservation %llu of %llu", i + 1, max))
			return;
	}
	before = t_snapshot();
	for (int i = 0; i < 3; i++)
		CHECK_ERR(t_reserve_raw(PAGE, 0, 0, &first), -ENOSPC,
			  "reservation %llu", max + 1);
	CHECK_UNCHANGED(&before, "one too many");
	st = t_process_stats();
	CHECK_EQ(st.out_reservations, max, "reservations");
	/* The limit is of those that exist: one goes, one may come. */
	t_unmap(&res);
	CHECK_ERR(t_reserve_raw(PAGE, 0, 0, &res), 0, "after one went");
	CHECK_ERR(t_reserve_raw(PAGE, 0, 0, &first), -ENOSPC, "and then");
}

static void count_limit(void)
{
	struct tract_stats before = t_system_stats(), after;

	IN_CHILD(count_limit_child);
	after = t_system_stats();
	CHECK_EQ(after.out_reservations, before.out_reservations,
		 "reservations after the child");
	CHECK_EQ(after.out_reserved_bytes, before.out_reserved_bytes,
		 "reserved bytes after the child");
}

/* A child's limit is its own. */
static void count_limit_per_process(void)
{
	struct t_res res = t_reserve(2 * MIB, 0);

	IN_CHILD(count_limit_child);
	t_unmap(&res);
}

static void bytes_limit_child(void)
{
	__u64 max = t_info().out_bytes_max, left = max, piece = max / 2;
	struct t_res last = { 0 }, res;
	struct t_snap before;

	/* Halves, so that a limit near the address space's end is reached. */
	while (left >= 2 * MIB) {
		piece = left / 2 & -(2 * MIB);
		if (piece < 2 * MIB)
			piece = left & -PAGE;
		if (!CHECK_ERR(t_reserve_raw(piece, 0, TRACT_RESERVE_NOHUGE,
					     &last),
			       0, "%llu with %llu of %llu left", piece, left,
			       max))
			return;
		left -= piece;
	}
	before = t_snapshot();
	CHECK_ERR(t_reserve_raw((left & -PAGE) + PAGE, 0, 0, &res), -ENOSPC,
		  "a page too many");
	CHECK_UNCHANGED(&before, "a page too many");
	if (left >= PAGE)
		CHECK_ERR(t_reserve_raw(left & -PAGE, 0, 0, &res), 0,
			  "the exact rest");
	CHECK_EQ(t_process_stats().out_reserved_bytes, max & -PAGE,
		 "reserved bytes");
	CHECK_ERR(t_reserve_raw(PAGE, 0, 0, &res), -ENOSPC, "when full");
	t_unmap(&last);
	CHECK_ERR(t_reserve_raw(last.length, 0, 0, &res), 0,
		  "after a piece went");
	CHECK_ERR(t_reserve_raw(PAGE, 0, 0, &res), -ENOSPC, "full again");
}

static void bytes_limit(void)
{
	IN_CHILD(bytes_limit_child);
}

static void rlimit_as_child(void)
{
	struct rlimit limit;
	struct t_snap before;
	struct t_res res;
	long long size;

	t_snapshot();
	size = t_field("/proc/self/status", "VmSize");
	limit.rlim_cur = limit.rlim_max = size + 8 * MIB;
	if (setrlimit(RLIMIT_AS, &limit))
		t_die("RLIMIT_AS: %s", strerror(errno));
	before = t_snapshot();
	CHECK_ERR(t_reserve_raw(8 * MIB + PAGE, 0, 0, &res), -ENOMEM,
		  "a page over RLIMIT_AS");
	CHECK_ERR(t_reserve_raw(64 * GIB, GIB, 0, &res), -ENOMEM,
		  "far over RLIMIT_AS");
	CHECK_UNCHANGED(&before, "over RLIMIT_AS");
	CHECK_EQ(t_field("/proc/self/status", "VmSize"), size, "VmSize");
	/* A generous alignment costs address space only while searching. */
	if (CHECK_ERR(t_reserve_raw(8 * MIB, GIB, 0, &res), 0,
		      "just under RLIMIT_AS, aligned to 1 GiB")) {
		CHECK_EQ(t_field("/proc/self/status", "VmSize"), size + 8 * MIB,
			 "VmSize with it");
		t_unmap(&res);
	}
	CHECK_ERR(t_reserve_raw(8 * MIB, 0, 0, &res), 0, "once more");
	CHECK_ERR(t_reserve_raw(PAGE, 0, 0, &res), -ENOMEM, "when full");
}

static void rlimit_as(void)
{
	IN_CHILD(rlimit_as_child);
}

/* Committed_AS, once it has come to rest. */
static long long committed(void)
{
	long long was = -1, is = 0;

	for (int i = 0; i < 50 && was != is; i++) {
		was = is;
		t_sleep_us(2000);
		is = t_field("/proc/meminfo", "Committed_AS");
	}
	return is;
}

static void not_charged(void)
{
	long long was = swap_sysctl(OVERCOMMIT, 0), free_before = committed();
	struct t_res res = t_reserve(64 * GIB, 0);

	CHECK(committed() - free_before < (long long)GIB,
	      "64 GiB under overcommit 0 are charged: %lld", committed());
	t_unmap(&res);
	t_write_number(OVERCOMMIT, 1);
	res = t_reserve(64 * GIB, 0);
	CHECK(committed() - free_before < (long long)GIB,
	      "64 GiB under overcommit 1 are charged: %lld", committed());
	t_unmap(&res);
	t_write_number(OVERCOMMIT, was);
}

static void commit_limit(void)
{
	long long kb = t_read_number(OVERCOMMIT_KB);
	long long mode = t_read_number(OVERCOMMIT), rest;
	struct t_snap before;
	struct t_res res;

	/* Room for what runs and for 64 MiB, and an admin's reserve. */
	t_write_number(OVERCOMMIT_KB, (committed() + 512 * MIB) / KIB);
	if (t_write_number(OVERCOMMIT, 2))
		t_die("no overcommit 2");
	before = t_snapshot();
	rest = committed();
	for (int i = 0; i < 4; i++)
		CHECK_ERR(t_reserve_raw(4 * GIB << i, GIB, 0, &res), -ENOMEM,
			  "%lu GiB under overcommit 2", 4UL << i);
	CHECK_UNCHANGED(&before, "over the commit limit");
	CHECK_EQ(committed(), rest, "Committed_AS after the refusals");
	/* Exactly undone also many times over. */
	for (int i = 0; i < 200; i++)
		t_reserve_raw(4 * GIB, 0, 0, &res);
	CHECK_EQ(committed(), rest, "Committed_AS after 200 refusals");
	if (CHECK_ERR(t_reserve_raw(64 * MIB, 0, 0, &res), 0,
		      "64 MiB under overcommit 2")) {
		CHECK_EQ(committed(), rest + 64 * MIB, "Committed_AS with it");
		memset(res.addr, 1, MIB);
		CHECK_ERR(t_decommit(&res, 0, res.length), 0, "DECOMMIT");
		CHECK_EQ(committed(), rest + 64 * MIB,
			 "Committed_AS after DECOMMIT");
		munmap(res.addr, 16 * MIB);
		CHECK_EQ(committed(), rest + 48 * MIB,
			 "Committed_AS after a part went");
		munmap(res.addr, 64 * MIB);
		CHECK_EQ(committed(), rest, "Committed_AS after the rest went");
	}
	t_write_number(OVERCOMMIT, mode);
	if (kb > 0)
		t_write_number(OVERCOMMIT_KB, kb);
	else
		t_write_number("/proc/sys/vm/overcommit_ratio", 50);
}

static void map_limit_child(void)
{
	long long max = swap_sysctl(MAX_MAPS, 200);
	char *area = mmap(NULL, 1024 * PAGE, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct t_snap before;
	struct t_res res;
	int err;

	/* Every other page readable, until the map is full. */
	for (int i = 0; i < 1024; i += 2)
		if (mprotect(area + i * PAGE, PAGE, PROT_READ))
			break;
	/* The last step of two VMAs may leave room for one. */
	while (mmap(NULL, PAGE, t_map_count(0) & 1 ? PROT_READ : PROT_EXEC,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
		;
	before = t_snapshot();
	CHECK_EQ(before.process.out_map_max, 200, "map_max");
	CHECK_EQ(before.process.out_map_count, before.maps, "map_count");
	err = t_reserve_raw(2 * MIB, 0, 0, &res);
	CHECK_ERR(err, -ENOMEM, "RESERVE with %ld VMAs of 200", before.maps);
	err = t_reserve_raw(2 * MIB, GIB, 0, &res);
	CHECK_ERR(err, -ENOMEM, "RESERVE, aligned, with a full map");
	CHECK_UNCHANGED(&before, "with a full map");
	t_write_number(MAX_MAPS, max);
	CHECK_ERR(t_reserve_raw(2 * MIB, GIB, 0, &res), 0, "with room again");
}

static void map_limit(void)
{
	long long max = t_read_number(MAX_MAPS);

	IN_CHILD(map_limit_child);
	t_write_number(MAX_MAPS, max);
}

/* A full map takes nothing from what exists: batches go on. */
static void full_map_child(void)
{
	struct t_res res = t_reserve(4 * MIB, TRACT_RESERVE_NOHUGE);
	long long max = swap_sysctl(MAX_MAPS, 1);

	t_fill(res.addr, res.length, 1);
	for (size_t at = PAGE; at < res.length; at += 2 * PAGE)
		CHECK_ERR(t_decommit(&res, at, PAGE), 0, "at %zu", at);
	for (size_t at = PAGE; at < res.length; at += 2 * PAGE)
		CHECK_EQ(t_nonzero(res.addr + at, PAGE), -1, "at %zu", at);
	CHECK_ERR(t_populate(&res, 0, res.length), 0, "POPULATE");
	t_write_number(MAX_MAPS, max);
}

static void full_map(void)
{
	long long max = t_read_number(MAX_MAPS);

	IN_CHILD(full_map_child);
	t_write_number(MAX_MAPS, max);
}

int main(void)
{
	t_begin("limits", 90);
	t_fd();
	if (geteuid() || access(MAX_MAPS, W_OK))
		t_skip_all("cannot write sysctls");
	RUN(count_limit);
	RUN(count_limit_per_process);
	RUN(bytes_limit);
	RUN(rlimit_as);
	RUN(not_charged);
	RUN(commit_limit);
	RUN(map_limit);
	RUN(full_map);
	return t_end();
}
