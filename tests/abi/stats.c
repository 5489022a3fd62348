// SPDX-License-Identifier: MIT
/*
 * STATS: every counter after a known sequence, for a reservation, a process
 * and the system.  Who may ask about whom is in permissions.c.
 */
#include "observe.h"

#define LENGTH (4 * MIB)
#define CHECK_FIELD(st, field, want) CHECK_EQ((st).field, want, #field)

static void reservation_fields(void)
{
	static const unsigned int flags[] = { 0, TRACT_RESERVE_NODUMP,
					      TRACT_RESERVE_NOHUGE,
					      TRACT_RESERVE_NODUMP |
						      TRACT_RESERVE_NOHUGE };
	struct tract_stats st;

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		for (int named = 0; named < 2; named++) {
			struct t_res res = t_reserve(LENGTH, flags[i]);

			CHECK_ERR(t_stats(TRACT_SCOPE_RESERVATION,
					  named ? getpid() : 0, res.id, &st),
				  0, "STATS of a reservation");
			CHECK_FIELD(st, out_id, res.id);
			CHECK_FIELD(st, out_address, (uintptr_t)res.addr);
			CHECK_FIELD(st, out_pid, getpid());
			CHECK_FIELD(st, out_reserve_flags, flags[i]);
			CHECK_FIELD(st, out_reservations, 1);
			CHECK_FIELD(st, out_reserved_bytes, LENGTH);
			CHECK_FIELD(st, out_populated_bytes, 0);
			CHECK_FIELD(st, out_decommitted_bytes, 0);
			CHECK_FIELD(st, out_operations, 0);
			CHECK_FIELD(st, out_refused_zaps, 0);
			CHECK_FIELD(st, out_map_count, t_map_count(0));
			CHECK_FIELD(
				st, out_map_max,
				t_read_number("/proc/sys/vm/max_map_count"));
			t_unmap(&res);
		}
}

static void process_fields(void)
{
	struct tract_stats st;
	struct t_res a, b;

	CHECK_ERR(t_stats(TRACT_SCOPE_PROCESS, 0, 0, &st), 0, "no reservation");
	CHECK_FIELD(st, out_reservations, 0);
	CHECK_FIELD(st, out_reserved_bytes, 0);
	CHECK_FIELD(st, out_operations, 0);
	CHECK_FIELD(st, out_map_count, t_map_count(0));
	a = t_reserve(LENGTH, TRACT_RESERVE_NODUMP);
	b = t_reserve(PAGE, TRACT_RESERVE_NODUMP);
	for (int named = 0; named < 2; named++) {
		CHECK_ERR(t_stats(TRACT_SCOPE_PROCESS, named ? getpid() : 0, 0,
				  &st),
			  0, "STATS of the process");
		CHECK_FIELD(st, out_id, 0);
		CHECK_FIELD(st, out_address, 0);
		CHECK_FIELD(st, out_pid, getpid());
		CHECK_FIELD(st, out_reserve_flags, 0);
		CHECK_FIELD(st, out_reservations, 2);
		CHECK_FIELD(st, out_reserved_bytes, LENGTH + PAGE);
		CHECK_FIELD(st, out_map_count, t_map_count(0));
	}
	t_unmap(&a);
	t_unmap(&b);
}

static void system_fields(void)
{
	struct tract_stats was = t_system_stats(), st;
	struct t_res a = t_reserve(LENGTH, 0), b = t_reserve(2 * LENGTH, 0);

	t_decommit(&a, 0, PAGE);
	t_populate(&b, 0, 3 * PAGE);
	st = t_system_stats();
	CHECK_FIELD(st, out_id, 0);
	CHECK_FIELD(st, out_address, 0);
	CHECK_FIELD(st, out_pid, 0);
	CHECK_FIELD(st, out_reserve_flags, 0);
	CHECK_FIELD(st, out_reservations, was.out_reservations + 2);
	CHECK_FIELD(st, out_reserved_bytes,
		    was.out_reserved_bytes + 3 * LENGTH);
	CHECK_FIELD(st, out_decommitted_bytes,
		    was.out_decommitted_bytes + PAGE);
	CHECK_FIELD(st, out_populated_bytes,
		    was.out_populated_bytes + 3 * PAGE);
	CHECK_FIELD(st, out_operations, was.out_operations + 2);
	CHECK_FIELD(st, out_map_count, 0);
	t_unmap(&a);
	t_unmap(&b);
	/* What exists goes down again, what happened does not. */
	st = t_system_stats();
	CHECK_FIELD(st, out_reservations, was.out_reservations);
	CHECK_FIELD(st, out_reserved_bytes, was.out_reserved_bytes);
	CHECK_FIELD(st, out_decommitted_bytes,
		    was.out_decommitted_bytes + PAGE);
	CHECK_FIELD(st, out_operations, was.out_operations + 2);
}

/* Each scope after the same sequence, to the byte. */
static void exact_counts(void)
{
	struct tract_stats st, sys = t_system_stats();
	struct t_res a = t_reserve(LENGTH, 0), b = t_reserve(LENGTH, 0);
	struct tract_op ops[6];
	struct tract_batch result;

	ops[0] = t_make_op(TRACT_OP_DECOMMIT, a.id, 0, 3 * PAGE);
	ops[1] = t_make_op(TRACT_OP_DECOMMIT, a.id, 3 * PAGE, 2 * PAGE);
	ops[2] = t_make_op(TRACT_OP_POPULATE, a.id, MIB, 7 * PAGE);
	ops[3] = t_make_op(TRACT_OP_POPULATE, b.id, 0, 11 * PAGE);
	ops[4] = t_make_op(TRACT_OP_DECOMMIT, b.id, MIB, 13 * PAGE);
	ops[5] = t_make_op(TRACT_OP_DECOMMIT, b.id, MIB, 13 * PAGE);
	for (int i = 0; i < 3; i++) {
		CHECK_ERR(t_batch(ops, 6, &result), 0, "BATCH");
		CHECK_EQ(result.out_failed, 0, "failed");
	}
	CHECK_ERR(t_stats(TRACT_SCOPE_RESERVATION, 0, a.id, &st), 0, "a");
	CHECK_FIELD(st, out_decommitted_bytes, 3 * 5 * PAGE);
	CHECK_FIELD(st, out_populated_bytes, 3 * 7 * PAGE);
	CHECK_FIELD(st, out_operations, 3 * 3);
	CHECK_ERR(t_stats(TRACT_SCOPE_RESERVATION, 0, b.id, &st), 0, "b");
	CHECK_FIELD(st, out_decommitted_bytes, 3 * 26 * PAGE);
	CHECK_FIELD(st, out_populated_bytes, 3 * 11 * PAGE);
	CHECK_FIELD(st, out_operations, 3 * 3);
	st = t_process_stats();
	CHECK_FIELD(st, out_decommitted_bytes, 3 * 31 * PAGE);
	CHECK_FIELD(st, out_populated_bytes, 3 * 18 * PAGE);
	CHECK_FIELD(st, out_operations, 3 * 6);
	CHECK_FIELD(st, out_refused_zaps, 0);
	/* A batch that is refused is no operation. */
	ops[3].length = 1;
	CHECK_ERR(t_batch(ops, 6, &result), -EINVAL, "BATCH");
	CHECK_FIELD(t_process_stats(), out_operations, 3 * 6);
	/* One of two goes: the process still remembers it. */
	t_unmap(&a);
	st = t_process_stats();
	CHECK_FIELD(st, out_reservations, 1);
	CHECK_FIELD(st, out_reserved_bytes, LENGTH);
	CHECK_FIELD(st, out_decommitted_bytes, 3 * 31 * PAGE);
	CHECK_FIELD(st, out_populated_bytes, 3 * 18 * PAGE);
	CHECK_FIELD(st, out_operations, 3 * 6);
	t_unmap(&b);
	st = t_system_stats();
	CHECK_FIELD(st, out_decommitted_bytes,
		    sys.out_decommitted_bytes + 3 * 31 * PAGE);
	CHECK_FIELD(st, out_populated_bytes,
		    sys.out_populated_bytes + 3 * 18 * PAGE);
	CHECK_FIELD(st, out_operations, sys.out_operations + 3 * 6);
}

/* Operations that failed were carried out; their bytes were not. */
static void failed_operations(void)
{
	struct t_res res = t_reserve(LENGTH, 0);
	struct tract_stats st;

	munmap(res.addr, MIB);
	CHECK_ERR(t_populate(&res, 0, MIB), -ENOENT, "POPULATE of a hole");
	CHECK_ERR(t_stats(TRACT_SCOPE_RESERVATION, 0, res.id, &st), 0, "STATS");
	CHECK_FIELD(st, out_operations, 1);
	CHECK_FIELD(st, out_populated_bytes, 0);
	/* Its length is what was reserved, not what is left of it. */
	CHECK_FIELD(st, out_reserved_bytes, LENGTH);
	CHECK_FIELD(st, out_address, (uintptr_t)res.addr);
	t_unmap(&res);
}

static void map_count(void)
{
	struct t_res res = t_reserve(LENGTH, 0);
	char *area = mmap(NULL, 256 * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	__u64 was = t_process_stats().out_map_count;
	struct t_gate gate = t_make_gate();
	struct tract_stats st;
	int pid;

	for (int i = 1; i <= 100; i++)
		mprotect(area + (2 * i - 1) * PAGE, PAGE, PROT_NONE);
	CHECK_EQ(t_process_stats().out_map_count, was + 200, "split");
	CHECK_EQ(t_process_stats().out_map_count, t_map_count(0), "maps");
	CHECK_ERR(t_stats(TRACT_SCOPE_RESERVATION, 0, res.id, &st), 0, "STATS");
	CHECK_EQ(st.out_map_count, was + 200, "map_count of its owner");
	/* Another process's, from outside. */
	pid = t_fork();
	if (!pid) {
		t_pass_gate(&gate);
		_exit(0);
	}
	munmap(area, 256 * PAGE);
	CHECK_ERR(t_stats(TRACT_SCOPE_PROCESS, pid, 0, &st), 0, "the child");
	CHECK_EQ(st.out_map_count, t_map_count(pid), "the child's map_count");
	CHECK_EQ(st.out_pid, pid, "the child's pid");
	CHECK(st.out_map_count > t_process_stats().out_map_count + 100,
	      "the child's map_count %llu is its own", st.out_map_count);
	t_open_gate(&gate);
	WAIT_OK(pid);
	t_unmap(&res);
}

static void map_max_child(void)
{
	struct tract_stats st = t_process_stats();

	CHECK_FIELD(st, out_map_max,
		    t_read_number("/proc/sys/vm/max_map_count"));
	/* Nowhere to look: an empty root. */
	if (mkdir("/tmp/tract-empty", 0755) && errno != EEXIST)
		t_die("mkdir: %s", strerror(errno));
	if (chroot("/tmp/tract-empty") || chdir("/"))
		t_die("chroot: %s", strerror(errno));
	CHECK_FIELD(t_process_stats(), out_map_max, 0);
	CHECK_FIELD(t_process_stats(), out_map_count, st.out_map_count);
}

static void map_max(void)
{
	long long was = t_read_number("/proc/sys/vm/max_map_count");

	CHECK_FIELD(t_system_stats(), out_map_max, was);
	t_write_number("/proc/sys/vm/max_map_count", 12345);
	CHECK_FIELD(t_process_stats(), out_map_max, 12345);
	CHECK_FIELD(t_system_stats(), out_map_max, 12345);
	t_write_number("/proc/sys/vm/max_map_count", was);
	IN_CHILD(map_max_child);
}

/* Processes without memory, or whose memory is gone, have counters of 0. */
static void no_memory(void)
{
	struct t_gate gate = t_make_gate();
	struct tract_stats st;
	int pid = t_fork();

	if (!pid) {
		t_reserve(LENGTH, 0);
		t_open_gate(&gate);
		_exit(0);
	}
	t_pass_gate(&gate);
	waitid(P_PID, pid, NULL, WEXITED | WNOWAIT);
	CHECK_ERR(t_stats(TRACT_SCOPE_PROCESS, pid, 0, &st), 0, "a zombie");
	CHECK_FIELD(st, out_reservations, 0);
	CHECK_FIELD(st, out_reserved_bytes, 0);
	CHECK_FIELD(st, out_map_count, 0);
	waitpid(pid, NULL, 0);
	CHECK_ERR(t_stats(TRACT_SCOPE_PROCESS, pid, 0, &st), -ESRCH,
		  "one that was waited for");
	/* kthreadd, in the initial pid namespace. */
	CHECK_ERR(t_stats(TRACT_SCOPE_PROCESS, 2, 0, &st), 0, "a kthread");
	CHECK_FIELD(st, out_reservations, 0);
	CHECK_FIELD(st, out_map_count, 0);
}

struct shared {
	__u64 ids[64];
};

/* NEXT gives all of one process, of all, in order, once each. */
static void listing(void)
{
	enum {
		CHILDREN = 3,
		EACH = 4
	};
	struct shared *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct t_gate up = t_make_gate(), down = t_make_gate();
	struct t_res own = t_reserve(LENGTH, 0);
	struct tract_stats st;
	pid_t pids[CHILDREN];
	__u64 id = 0;
	int count = 0;

	for (int i = 0; i < CHILDREN; i++) {
		pids[i] = t_fork();
		if (!pids[i]) {
			for (int j = 0; j < EACH; j++)
				shared->ids[i * EACH + j] =
					t_reserve((i + 1) * MIB, 0).id;
			t_open_gate(&up);
			t_pass_gate(&down);
			_exit(0);
		}
	}
	for (int i = 0; i < CHILDREN; i++)
		t_pass_gate(&up);
	for (int i = 0; i < CHILDREN; i++) {
		id = 0;
		for (int j = 0; j < EACH; j++) {
			CHECK_ERR(t_stats_flags(TRACT_STATS_NEXT,
						TRACT_SCOPE_RESERVATION,
						pids[i], id, &st),
				  0, "child %d, number %d", i, j);
			CHECK_EQ(st.out_id, shared->ids[i * EACH + j], "id");
			CHECK_EQ(st.out_pid, pids[i], "pid");
			CHECK_EQ(st.out_reserved_bytes, (i + 1) * MIB, "bytes");
			id = st.out_id;
		}
		CHECK_ERR(t_stats_flags(TRACT_STATS_NEXT,
					TRACT_SCOPE_RESERVATION, pids[i], id,
					&st),
			  -ENOENT, "child %d, after the last", i);
		CHECK_ERR(t_stats(TRACT_SCOPE_RESERVATION, pids[i],
				  shared->ids[i * EACH], &st),
			  0, "child %d, by id", i);
		CHECK_ERR(t_stats(TRACT_SCOPE_RESERVATION, 0,
				  shared->ids[i * EACH], &st),
			  -ENOENT, "child %d's id, asked of the caller", i);
		CHECK_ERR(t_stats(TRACT_SCOPE_PROCESS, pids[i], 0, &st), 0,
			  "child %d", i);
		CHECK_EQ(st.out_reservations, EACH, "child's reservations");
		CHECK_EQ(st.out_reserved_bytes, EACH * (i + 1) * MIB, "bytes");
	}
	CHECK_ERR(t_stats_flags(TRACT_STATS_NEXT, TRACT_SCOPE_RESERVATION, 0, 0,
				&st),
		  0, "own");
	CHECK_EQ(st.out_id, own.id, "own id");
	for (id = 0; !t_stats_flags(TRACT_STATS_NEXT, TRACT_SCOPE_RESERVATION,
				    -1, id, &st);
	     id = st.out_id) {
		bool known = st.out_id == own.id && st.out_pid == getpid();

		CHECK(st.out_id > id, "%llu after %llu", st.out_id, id);
		for (int i = 0; i < CHILDREN * EACH; i++)
			known |= st.out_id == shared->ids[i] &&
				 st.out_pid == pids[i / EACH];
		CHECK(known, "unknown id %llu of pid %d", st.out_id,
		      st.out_pid);
		count++;
	}
	CHECK_EQ(count, CHILDREN * EACH + 1, "listed for all");
	for (int i = 0; i < CHILDREN; i++)
		t_open_gate(&down);
	for (int i = 0; i < CHILDREN; i++)
		WAIT_OK(pids[i]);
	t_unmap(&own);
	munmap(shared, PAGE);
}

static struct t_res outer;

/* Seen from a pid namespace of its own. */
static void inner(void)
{
	struct t_res own = t_reserve(LENGTH, 0);
	struct tract_stats st;
	bool seen = false, saw_outer = false;
	__u64 id = 0;

	CHECK_EQ(getpid(), 1, "pid in the namespace");
	CHECK_EQ(t_process_stats().out_pid, 1, "own pid");
	CHECK_ERR(t_stats(TRACT_SCOPE_PROCESS, 1, 0, &st), 0, "pid 1 here");
	CHECK_EQ(st.out_reservations, 1, "own reservations by pid 1");
	while (!t_stats_flags(TRACT_STATS_NEXT, TRACT_SCOPE_RESERVATION, -1, id,
			      &st)) {
		id = st.out_id;
		if (id == own.id) {
			seen = true;
			CHECK_EQ(st.out_pid, 1, "own pid");
		} else {
			saw_outer |= id == outer.id;
			CHECK_EQ(st.out_pid, 0, "pid from outside");
		}
	}
	CHECK(seen, "own reservation not listed");
	CHECK(saw_outer, "reservation from outside not listed for root");
}

static void pid_namespace(void)
{
	int pid = t_fork();

	if (!pid) {
		if (unshare(CLONE_NEWPID))
			t_die("unshare: %s", strerror(errno));
		outer = t_reserve(LENGTH, 0);
		IN_CHILD(inner);
		_exit(0);
	}
	WAIT_OK(pid);
}

int main(void)
{
	t_begin("stats", 60);
	t_fd();
	if (geteuid() || access("/proc/sys/vm/max_map_count", W_OK))
		t_skip_all("cannot write sysctls");
	RUN(reservation_fields);
	RUN(process_fields);
	RUN(system_fields);
	RUN(exact_counts);
	RUN(failed_operations);
	RUN(map_count);
	RUN(map_max);
	RUN(no_memory);
	RUN(listing);
	if (access("/proc/self/ns/pid", F_OK))
		SKIP(pid_namespace, "no pid namespaces in this kernel");
	else
		RUN(pid_namespace);
	return t_end();
}
