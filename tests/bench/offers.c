// SPDX-License-Identifier: MIT
/*
 * What it costs to give a unit of 64 KiB up and to use it again, and what
 * purging does to mmap_lock.
 *
 *   offers MODE [COUNT]
 *
 *   offer      a store, then a compare-exchange, in a purge map
 *   dontneed   madvise(MADV_DONTNEED)
 *   dump       MADV_DONTNEED and MADV_DONTDUMP, then MADV_DODUMP
 *   free       madvise(MADV_FREE)
 *   purge      as offer, but nothing is taken back before all is purged
 *   purge-nohuge  the same in a reservation without huge pages
 *
 * Each page of a unit is written to when it is used.  One line of JSON; system
 * calls and acquisitions of mmap_lock are counted with the kernel's tracepoints
 * (root, tracefs), nanoseconds are instructions under scripts/vm --icount.
 */
#include "observe.h"
#include "offer.h"

#define UNIT (64 * KIB)
#define LENGTH (64 * MIB)
#define UNITS (LENGTH / UNIT)
#define TRACING "/sys/kernel/tracing/instances/tract-offers"
#define CALLS TRACING "/events/raw_syscalls/sys_enter"
#define LOCKS TRACING "/events/mmap_lock/mmap_lock_acquire_returned"

static char *base;
static struct t_map map;
static bool is_dump, is_free;

static void touch(__u64 u)
{
	for (size_t at = 0; at < UNIT; at += PAGE)
		((volatile char *)base)[u * UNIT + at] = 1;
}

static void advise(__u64 u, int advice)
{
	if (madvise(base + u * UNIT, UNIT, advice))
		t_die("madvise(%d): %s", advice, strerror(errno));
}

static void give_up(__u64 u)
{
	if (map.units) {
		t_offer(&map, u);
	} else if (is_free) {
		advise(u, MADV_FREE);
	} else {
		advise(u, MADV_DONTNEED);
		if (is_dump)
			advise(u, MADV_DONTDUMP);
	}
}

static void use_again(__u64 u)
{
	if (map.units) {
		if (t_take(&map, u) == TRACT_UNIT_LIVE)
			t_die("a unit was not to be had");
	} else if (is_dump) {
		advise(u, MADV_DODUMP);
	}
	touch(u);
}

static void trace_start(void)
{
	rmdir(TRACING);
	if (mkdir(TRACING, 0700))
		t_die(TRACING ": %s", strerror(errno));
	if (t_write_file(CALLS "/trigger", "hist:keys=common_pid") ||
	    t_write_file(LOCKS "/trigger", "hist:keys=common_pid,mm,write"))
		t_die("cannot count in " TRACING);
}

static long number_after(const char *line, const char *name, int radix)
{
	const char *at = strstr(line, name);

	if (!at)
		return -1;
	return strtoul(at + strlen(name), NULL, radix);
}

struct traced {
	long calls;
	long own[2];	/* mmap_lock for reading and writing, by this thread */
	long others[2]; /* by all others, of this mm */
};

/*
 * The caller has taken mmap_lock of its own mm for writing at least once, by
 * which the mm is known.
 */
static struct traced trace_read(void)
{
	static char text[1 << 16];
	struct traced found = { 0 };
	long pid = getpid(), mm = 0;
	char *line, *rest;

	t_read_file(CALLS "/hist", text, sizeof(text));
	for (line = strtok_r(text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest))
		if (*line == '{' &&
		    number_after(line, "common_pid:", 10) == pid)
			found.calls = number_after(line, "hitcount:", 10);
	for (int pass = 0; pass < 2; pass++) {
		t_read_file(LOCKS "/hist", text, sizeof(text));
		for (line = strtok_r(text, "\n", &rest); line;
		     line = strtok_r(NULL, "\n", &rest)) {
			bool own = number_after(line, "common_pid:", 10) == pid;
			long write = number_after(line, "write:", 10) & 1;
			long hits = number_after(line, "hitcount:", 10);

			if (*line != '{')
				continue;
			if (!pass && own && write)
				mm = number_after(line, " mm:", 10);
			if (pass && number_after(line, " mm:", 10) == mm)
				*(own ? &found.own[write] :
					&found.others[write]) += hits;
		}
	}
	if (!mm)
		t_die("this process's mm is not in the trace");
	return found;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "offer";
	unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 0) : 100000;
	const bool is_purge = !strncmp(mode, "purge", 5);
	struct traced first, before, after;
	double start, seconds;

	t_begin("offers", 3000);
	is_dump = !strcmp(mode, "dump");
	is_free = !strcmp(mode, "free");
	if (is_purge || !strcmp(mode, "offer")) {
		struct t_res res =
			t_reserve(LENGTH, strcmp(mode, "purge-nohuge") ?
						  0 :
						  TRACT_RESERVE_NOHUGE);

		map = t_bind(&res, UNIT, is_purge ? 200 : TRACT_DECAY_NEVER);
		base = res.addr;
	} else {
		/* Huge pages as little as the pieces let them be. */
		base = t_anonymous(LENGTH);
	}
	/* What the first time costs is another matter. */
	for (__u64 u = 0; u < UNITS; u++) {
		touch(u);
		give_up(u);
		use_again(u);
	}
	trace_start();
	t_unmap(&(struct t_res){ .addr = t_anonymous(PAGE), .length = PAGE });
	/* The clock's pages as well. */
	t_now();
	/* Twice, to know what the reading itself costs. */
	first = trace_read();
	before = trace_read();
	start = t_now();
	if (is_purge) {
		for (__u64 u = 0; u < UNITS; u++)
			t_offer(&map, u);
		if (t_wait_state(&map, 0, UNITS, TRACT_UNIT_PURGED, 60) < 0)
			t_die("not purged");
		count = UNITS;
	} else {
		for (unsigned long i = 0; i < count; i++) {
			give_up(i * 7 % UNITS);
			use_again(i * 7 % UNITS);
		}
	}
	seconds = t_now() - start;
	after = trace_read();
	rmdir(TRACING);
	if (is_purge && t_nonzero(base, LENGTH) != -1)
		t_die("purged, but not zero");
	t_print("{\"mode\":\"%s\",\"units\":%lu,\"calls\":%ld,\"write_locks\":%ld,"
		"\"read_locks\":%ld,\"write_locks_others\":%ld,"
		"\"read_locks_others\":%ld,\"ns_per_unit\":%.1f}\n",
		mode, count, after.calls - 2 * before.calls + first.calls,
		after.own[1] - 2 * before.own[1] + first.own[1],
		after.own[0] - 2 * before.own[0] + first.own[0],
		after.others[1] - before.others[1],
		after.others[0] - before.others[0], seconds * 1e9 / count);
	return 0;
}
