// SPDX-License-Identifier: MIT
/*
 * Owner and child: a child inherits bytes, never the reservation; no operation
 * of the owner ever reaches a child's bytes; and the reservation lives until
 * the last mapping of it, in whichever process, is gone.
 */
#include "observe.h"

#define LENGTH (4 * MIB)

static unsigned int kind;
static bool shared_zap;

/* What a DECOMMIT answers while a child maps the reservation. */
static int want_shared(void)
{
	return shared_zap ? 0 : -EBUSY;
}

struct family {
	struct t_res res;
	struct t_gate up, down;
	pid_t child;
};

static void meet(struct family *f)
{
	f->res = t_reserve(LENGTH, kind);
	t_fill(f->res.addr, LENGTH, 51);
	f->up = t_make_gate();
	f->down = t_make_gate();
}

static void part(struct family *f)
{
	for (int i = 0; i < 2; i++) {
		close(f->up.fd[i]);
		close(f->down.fd[i]);
	}
	t_unmap(&f->res);
}

/* The owner's DECOMMIT while shared: right answer, right bytes, right count. */
static void decommit_shared(const struct family *f)
{
	struct tract_stats was = t_process_stats(), is;

	CHECK_ERR(t_decommit(&f->res, MIB, MIB), want_shared(),
		  "owner's DECOMMIT while a child maps it");
	CHECK_EQ(t_wrong(f->res.addr, MIB, 51), -1, "owner lost before at");
	CHECK_EQ(t_wrong(f->res.addr + 2 * MIB, 2 * MIB, 51 + 2 * MIB / 8), -1,
		 "owner lost behind at");
	if (shared_zap)
		CHECK_EQ(t_nonzero(f->res.addr + MIB, MIB), -1, "not zero at");
	else
		CHECK_EQ(t_wrong(f->res.addr + MIB, MIB, 51 + MIB / 8), -1,
			 "owner lost although refused at");
	is = t_process_stats();
	CHECK_EQ(is.out_refused_zaps - was.out_refused_zaps, !shared_zap,
		 "refused zaps");
	CHECK_EQ(is.out_decommitted_bytes - was.out_decommitted_bytes,
		 shared_zap ? MIB : 0, "decommitted bytes");
	/* Populating is no one's loss. */
	CHECK_ERR(t_populate(&f->res, 0, LENGTH), 0, "POPULATE while shared");
	/* What INFO's text recommends instead. */
	CHECK(!madvise(f->res.addr + MIB, MIB, MADV_DONTNEED), "madvise");
	CHECK_EQ(t_nonzero(f->res.addr + MIB, MIB), -1, "DONTNEED");
	t_fill(f->res.addr + MIB, MIB, 51 + MIB / 8);
}

static void decommit_alone(const struct family *f, const char *when)
{
	CHECK_ERR(t_decommit(&f->res, MIB, MIB), 0, "DECOMMIT, %s", when);
	CHECK_EQ(t_nonzero(f->res.addr + MIB, MIB), -1, "not zero, %s", when);
	t_fill(f->res.addr + MIB, MIB, 51 + MIB / 8);
}

static void child_until_exit(void)
{
	struct family f;

	meet(&f);
	f.child = t_fork();
	if (!f.child) {
		struct tract_stats st = t_process_stats();
		struct tract_op ops[2] = {
			t_make_op(TRACT_OP_DECOMMIT, f.res.id, 0, PAGE),
			t_make_op(TRACT_OP_POPULATE, f.res.id, 0, PAGE),
		};
		struct tract_batch result;
		struct t_res own;

		CHECK_EQ(st.out_reservations, 0, "child's reservations");
		CHECK_ERR(t_batch(ops, 2, &result), -ENOENT, "child's BATCH");
		CHECK_EQ(result.out_completed, 0, "completed");
		CHECK_ERR(t_populate(&f.res, 0, PAGE), -ENOENT,
			  "child's POPULATE");
		CHECK_ERR(t_decommit(&f.res, 0, LENGTH), -ENOENT,
			  "child's DECOMMIT");
		CHECK_EQ(t_wrong(f.res.addr, LENGTH, 51), -1,
			 "child lost at birth at");
		/* Its own works, also while it inherits the other. */
		own = t_reserve(LENGTH, kind);
		CHECK(own.id != f.res.id, "id given twice");
		t_fill(own.addr, LENGTH, 52);
		CHECK_ERR(t_decommit(&own, 0, MIB), 0, "child's own");
		CHECK_EQ(t_nonzero(own.addr, MIB), -1, "not zero at");
		CHECK_EQ(t_process_stats().out_reservations, 1, "own");
		t_open_gate(&f.up);
		t_pass_gate(&f.down);
		CHECK_EQ(t_wrong(f.res.addr, LENGTH, 51), -1,
			 "child lost after the owner's DECOMMIT at");
		/* And what the child writes stays the child's. */
		t_fill(f.res.addr, LENGTH, 53);
		t_open_gate(&f.up);
		t_pass_gate(&f.down);
		CHECK_EQ(t_wrong(f.res.addr, LENGTH, 53), -1,
			 "child lost its own writing at");
		_exit(0);
	}
	t_pass_gate(&f.up);
	decommit_shared(&f);
	t_open_gate(&f.down);
	t_pass_gate(&f.up);
	decommit_shared(&f);
	t_open_gate(&f.down);
	WAIT_OK(f.child);
	CHECK_EQ(t_wrong(f.res.addr, LENGTH, 51), -1, "owner lost at");
	decommit_alone(&f, "after the child's exit");
	part(&f);
}

static void child_until_munmap(void)
{
	struct family f;

	meet(&f);
	f.child = t_fork();
	if (!f.child) {
		munmap(f.res.addr + 3 * MIB, MIB);
		t_open_gate(&f.up);
		t_pass_gate(&f.down);
		CHECK_EQ(t_wrong(f.res.addr, 3 * MIB, 51), -1, "child lost at");
		munmap(f.res.addr, LENGTH);
		t_open_gate(&f.up);
		t_pass_gate(&f.down);
		_exit(0);
	}
	t_pass_gate(&f.up);
	decommit_shared(&f);
	t_open_gate(&f.down);
	t_pass_gate(&f.up);
	decommit_alone(&f, "after the child's munmap()");
	t_open_gate(&f.down);
	WAIT_OK(f.child);
	part(&f);
}

static void child_until_exec(void)
{
	struct family f;

	meet(&f);
	f.child = t_fork();
	if (!f.child) {
		t_pass_gate(&f.down);
		/* Sleeps until its standard input, the gate, is closed. */
		dup2(f.down.fd[0], 0);
		dup2(f.up.fd[1], 1);
		execl("/bin/sh", "sh", "-c", "printf x; read x; exit 0", NULL);
		_exit(1);
	}
	decommit_shared(&f);
	t_open_gate(&f.down);
	t_pass_gate(&f.up);
	decommit_alone(&f, "after the child's exec()");
	if (write(f.down.fd[1], "\n", 1) != 1)
		t_die("gate");
	WAIT_OK(f.child);
	part(&f);
}

/* The child moves what it inherited: it is no less the child's. */
static void child_moves(void)
{
	struct family f;

	meet(&f);
	f.child = t_fork();
	if (!f.child) {
		char *there = mmap(NULL, LENGTH, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		there = mremap(f.res.addr, LENGTH, LENGTH,
			       MREMAP_MAYMOVE | MREMAP_FIXED, there);
		CHECK_EQ(t_wrong(there, LENGTH, 51), -1, "moved: lost at");
		mprotect(there + MIB, MIB, PROT_NONE);
		t_open_gate(&f.up);
		t_pass_gate(&f.down);
		mprotect(there + MIB, MIB, PROT_READ);
		CHECK_EQ(t_wrong(there, LENGTH, 51), -1, "child lost at");
		_exit(0);
	}
	t_pass_gate(&f.up);
	decommit_shared(&f);
	t_open_gate(&f.down);
	WAIT_OK(f.child);
	decommit_alone(&f, "after the child's exit");
	part(&f);
}

/* A grandchild counts, also when the child between is gone. */
static void grandchildren(void)
{
	struct family f;

	meet(&f);
	f.child = t_fork();
	if (!f.child) {
		if (!fork()) {
			CHECK_ERR(t_decommit(&f.res, 0, PAGE), -ENOENT,
				  "grandchild's DECOMMIT");
			t_open_gate(&f.up);
			t_pass_gate(&f.down);
			CHECK_EQ(t_wrong(f.res.addr, LENGTH, 51), -1,
				 "grandchild lost at");
			_exit(0);
		}
		_exit(0);
	}
	WAIT_OK(f.child);
	t_pass_gate(&f.up);
	decommit_shared(&f);
	t_open_gate(&f.down);
	WAIT_OK(-1);
	decommit_alone(&f, "after the grandchild's exit");
	part(&f);
}

static void many_children(void)
{
	enum {
		N = 8
	};
	struct family f;
	pid_t children[N];

	meet(&f);
	for (int i = 0; i < N; i++) {
		children[i] = t_fork();
		if (!children[i]) {
			t_fill(f.res.addr + MIB, MIB, 100 + i);
			t_open_gate(&f.up);
			t_pass_gate(&f.down);
			CHECK_EQ(t_wrong(f.res.addr + MIB, MIB, 100 + i), -1,
				 "child %d lost at", i);
			CHECK_EQ(t_wrong(f.res.addr, MIB, 51), -1,
				 "child %d lost at", i);
			_exit(0);
		}
	}
	for (int i = 0; i < N; i++)
		t_pass_gate(&f.up);
	decommit_shared(&f);
	/* One after the other: refused until the last has gone. */
	for (int i = 0; i < N; i++) {
		decommit_shared(&f);
		t_open_gate(&f.down);
		WAIT_OK(-1);
	}
	decommit_alone(&f, "after all children's exit");
	part(&f);
}

/* A child that was told not to inherit the range does not map it. */
static void dontfork(void)
{
	struct family f;

	meet(&f);
	madvise(f.res.addr, LENGTH, MADV_DONTFORK);
	f.child = t_fork();
	if (!f.child) {
		t_pass_gate(&f.down);
		_exit(0);
	}
	decommit_alone(&f, "with MADV_DONTFORK");
	t_open_gate(&f.down);
	WAIT_OK(f.child);
	part(&f);
}

/* One batch of several operations while shared: each has its own refusal. */
static void batch_shared(void)
{
	struct tract_op ops[4];
	struct tract_batch result;
	struct tract_stats was, is;
	struct t_res young;
	struct family f;

	meet(&f);
	f.child = t_fork();
	if (!f.child) {
		t_pass_gate(&f.down);
		CHECK_EQ(t_wrong(f.res.addr, LENGTH, 51), -1, "child lost at");
		_exit(0);
	}
	/* Made after the fork, so no child of ours maps it. */
	young = t_reserve(LENGTH, kind);
	t_fill(young.addr, LENGTH, 54);
	was = t_process_stats();
	ops[0] = t_make_op(TRACT_OP_DECOMMIT, f.res.id, 0, PAGE);
	ops[1] = t_make_op(TRACT_OP_DECOMMIT, young.id, 0, MIB);
	ops[2] = t_make_op(TRACT_OP_POPULATE, f.res.id, MIB, MIB);
	ops[3] = t_make_op(TRACT_OP_DECOMMIT, f.res.id, 8 * PAGE, PAGE);
	CHECK_ERR(t_batch(ops, 4, &result), 0, "BATCH");
	CHECK_EQ(result.out_completed, 4, "completed");
	CHECK_EQ(result.out_failed, shared_zap ? 0 : 2, "failed");
	CHECK_ERR(ops[0].out_result, want_shared(), "shared");
	CHECK_ERR(ops[1].out_result, 0, "not shared");
	CHECK_ERR(ops[2].out_result, 0, "POPULATE");
	CHECK_ERR(ops[3].out_result, want_shared(), "shared");
	is = t_process_stats();
	CHECK_EQ(is.out_refused_zaps - was.out_refused_zaps, shared_zap ? 0 : 2,
		 "refused zaps");
	CHECK_EQ(t_nonzero(young.addr, MIB), -1, "young not zero at");
	CHECK_EQ(t_wrong(f.res.addr + PAGE, LENGTH - 2 * MIB, 51 + PAGE / 8) >=
			 0,
		 shared_zap, "owner's bytes behind the first page");
	t_open_gate(&f.down);
	WAIT_OK(f.child);
	t_unmap(&young);
	part(&f);
}

/* The owner unmaps, the child still maps: the id goes with the child. */
static void kept_by_child(void)
{
	struct tract_stats was = t_system_stats(), is, st;
	struct family f;

	meet(&f);
	f.child = t_fork();
	if (!f.child) {
		t_open_gate(&f.up);
		t_pass_gate(&f.down);
		CHECK_EQ(t_wrong(f.res.addr, LENGTH, 51), -1, "child lost at");
		t_fill(f.res.addr, LENGTH, 55);
		_exit(0);
	}
	t_pass_gate(&f.up);
	t_unmap(&f.res);
	is = t_system_stats();
	CHECK_EQ(is.out_reservations, was.out_reservations + 1,
		 "reservations of the system, kept by the child");
	CHECK_EQ(is.out_reserved_bytes, was.out_reserved_bytes + LENGTH,
		 "bytes of the system, kept by the child");
	CHECK_ERR(t_stats(TRACT_SCOPE_RESERVATION, 0, f.res.id, &st), 0,
		  "STATS of what the child keeps");
	CHECK_EQ(st.out_id, f.res.id, "its id");
	CHECK_ERR(t_decommit(&f.res, 0, PAGE), want_shared(),
		  "DECOMMIT of what only the child maps");
	CHECK_ERR(t_populate(&f.res, 0, PAGE), -ENOENT,
		  "POPULATE of what only the child maps");
	t_open_gate(&f.down);
	WAIT_OK(f.child);
	is = t_system_stats();
	CHECK_EQ(is.out_reservations, was.out_reservations, "gone");
	CHECK_EQ(is.out_reserved_bytes, was.out_reserved_bytes, "bytes gone");
	CHECK_ERR(t_stats(TRACT_SCOPE_RESERVATION, 0, f.res.id, &st), -ENOENT,
		  "STATS when the child is gone");
	CHECK_ERR(t_decommit(&f.res, 0, PAGE), -ENOENT,
		  "DECOMMIT when the child is gone");
	for (int i = 0; i < 2; i++) {
		close(f.up.fd[i]);
		close(f.down.fd[i]);
	}
}

/* The owner is gone altogether; its child keeps the memory, not the name. */
static void orphan(void)
{
	struct tract_stats was = t_system_stats(), is, st;
	struct t_gate up = t_make_gate(), down = t_make_gate();
	__u64 last = 0;
	int owner = t_fork(), found = 0;

	if (!owner) {
		struct t_res res = t_reserve(LENGTH, kind);

		t_fill(res.addr, LENGTH, 56);
		if (!fork()) {
			t_open_gate(&up);
			t_pass_gate(&down);
			CHECK_EQ(t_wrong(res.addr, LENGTH, 56), -1,
				 "orphan lost at");
			CHECK_ERR(t_decommit(&res, 0, PAGE), -ENOENT,
				  "orphan's DECOMMIT");
			_exit(0);
		}
		_exit(0);
	}
	WAIT_OK(owner);
	t_pass_gate(&up);
	is = t_system_stats();
	CHECK_EQ(is.out_reservations, was.out_reservations + 1, "kept");
	while (!t_stats_flags(TRACT_STATS_NEXT, TRACT_SCOPE_RESERVATION, -1,
			      last, &st)) {
		CHECK(st.out_id > last, "NEXT goes back");
		last = st.out_id;
		if (st.out_pid)
			continue;
		found++;
		CHECK_EQ(st.out_reserved_bytes, LENGTH, "orphan's length");
		CHECK_EQ(st.out_map_count, 0, "map_count of a gone owner");
	}
	CHECK_EQ(found, 1, "reservations listed without an owner");
	t_open_gate(&down);
	WAIT_OK(-1);
	is = t_system_stats();
	CHECK_EQ(is.out_reservations, was.out_reservations, "gone");
	for (int i = 0; i < 2; i++) {
		close(up.fd[i]);
		close(down.fd[i]);
	}
}

static struct t_res vforked;

static int in_same_mm(void *arg)
{
	(void)arg;
	CHECK_ERR(t_decommit(&vforked, MIB, MIB), 0, "DECOMMIT with CLONE_VM");
	CHECK_ERR(t_populate(&vforked, 0, MIB), 0, "POPULATE with CLONE_VM");
	CHECK_EQ(t_process_stats().out_reservations, 1, "reservations");
	return 0;
}

/* Another process with the same mm is the same owner. */
static void same_mm(void)
{
	static const int flags[] = { CLONE_VM | SIGCHLD,
				     CLONE_VM | CLONE_VFORK | SIGCHLD };
	static char stack[64 * KIB] __attribute__((aligned(16)));

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		int pid;

		vforked = t_reserve(LENGTH, kind);
		t_fill(vforked.addr, LENGTH, 57);
		pid = clone(in_same_mm, stack + sizeof(stack), flags[i], NULL);
		WAIT_OK(pid);
		CHECK_EQ(t_nonzero(vforked.addr + MIB, MIB), -1, "dropped");
		CHECK_EQ(t_wrong(vforked.addr, MIB, 57), -1, "lost at");
		CHECK_ERR(t_decommit(&vforked, 0, MIB), 0, "owner's own");
		t_unmap(&vforked);
	}
}

int main(void)
{
	static const unsigned int kinds[] = { TRACT_RESERVE_NOHUGE, 0 };

	t_begin("fork", 90);
	t_fd();
	/* Grandchildren come back to be waited for. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	shared_zap = t_feature(TRACT_FEATURE_SHARED_ZAP);
	t_note("DECOMMIT while shared is %s",
	       shared_zap ? "carried out on the owner alone" : "refused");
	t_write_file("/sys/kernel/mm/transparent_hugepage/enabled", "always");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		kind = kinds[i];
		t_note("%s", kind ? "NOHUGE" : "plain");
		RUN(child_until_exit);
		RUN(child_until_munmap);
		RUN(child_until_exec);
		RUN(child_moves);
		RUN(grandchildren);
		RUN(many_children);
		RUN(dontfork);
		RUN(batch_shared);
		RUN(kept_by_child);
		RUN(orphan);
		RUN(same_mm);
	}
	return t_end();
}
