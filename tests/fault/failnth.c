// SPDX-License-Identifier: MIT
/*
 * Every allocation and every copy that a call makes is made to fail, one after
 * the other, by /proc/self/fail-nth: n = 1, 2, ... until a run goes through
 * without a failure.  Each failure has a documented errno, and leaves counters,
 * map and contents as they were; no page of the failed call stays behind.
 */
#include "observe.h"
#include "offer.h"
#include "touch.h"

#define LENGTH (2 * MIB)
#define NTH_MAX 400

static int nth_fd;
static struct t_res canary;

/* The next calls of this thread; the n-th chance to fail is taken. */
static void arm(unsigned int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", n);

	if (pwrite(nth_fd, text, len, 0) != len)
		t_die("fail-nth: %s", strerror(errno));
}

/*
 * True when the failure was injected into the calls since arm().  If it was not
 * it is still to come, perhaps into the reading here.
 */
static bool disarm(void)
{
	char text[16] = "";
	bool injected = pread(nth_fd, text, sizeof(text) - 1, 0) > 0 &&
			strtol(text, NULL, 10) == 0;

	for (int i = 0; pwrite(nth_fd, "0", 1, 0) != 1; i++)
		if (i == 10)
			t_die("fail-nth: %s", strerror(errno));
	return injected;
}

static bool is_one_of(int err, const int *list)
{
	for (; *list; list++)
		if (err == *list)
			return true;
	return false;
}

static void report(const char *name, unsigned int places, unsigned int failed)
{
	t_note("%s: %u places to fail, %u of them fail the call", name, places,
	       failed);
	CHECK(places > 0, "%s: nothing was ever injected", name);
	CHECK(places < NTH_MAX - 1, "%s: no end after %u places", name, places);
}

static void check_canary(const char *name, unsigned int n)
{
	CHECK_EQ(t_wrong(canary.addr, canary.length, 71), -1,
		 "%s, %u: canary lost at", name, n);
}

static void open_device(void)
{
	static const int listed[] = { -ENOMEM, -ENFILE, -EMFILE, 0 };
	unsigned int n, failed = 0;

	for (n = 1; n < NTH_MAX; n++) {
		bool injected;
		int fd, err;

		arm(n);
		fd = open(TRACT_DEVICE, O_RDWR | O_CLOEXEC);
		err = fd < 0 ? -errno : 0;
		injected = disarm();
		if (fd >= 0)
			close(fd);
		if (err) {
			failed++;
			CHECK(is_one_of(err, listed) || err == -EFAULT,
			      "open, %u: %s", n, t_errno_name(err));
		}
		if (!injected) {
			CHECK_ERR(err, 0, "open without a failure");
			break;
		}
	}
	report("open", n - 1, failed);
}

static void info(void)
{
	unsigned int n, failed = 0;

	for (n = 1; n < NTH_MAX; n++) {
		struct tract_info arg = { .size = sizeof(arg) };
		bool injected;
		int err;

		arm(n);
		err = t_ioctl(TRACT_IOC_INFO, &arg);
		injected = disarm();
		failed += err != 0;
		CHECK(!err || (injected && err == -EFAULT), "INFO, %u: %s", n,
		      t_errno_name(err));
		if (!err)
			CHECK_EQ(arg.out_abi_version, TRACT_ABI_VERSION,
				 "INFO, %u", n);
		if (!injected)
			break;
	}
	report("INFO", n - 1, failed);
}

static void stats(void)
{
	static const unsigned int scopes[] = { TRACT_SCOPE_RESERVATION,
					       TRACT_SCOPE_PROCESS,
					       TRACT_SCOPE_SYSTEM };
	struct t_snap before = t_snapshot();

	for (size_t i = 0; i < ARRAY_SIZE(scopes); i++) {
		unsigned int n, failed = 0;

		for (n = 1; n < NTH_MAX; n++) {
			struct tract_stats st;
			bool injected;
			int err;

			arm(n);
			err = t_stats(scopes[i], 0,
				      scopes[i] == TRACT_SCOPE_RESERVATION ?
					      canary.id :
					      0,
				      &st);
			injected = disarm();
			failed += err != 0;
			CHECK(!err || (injected && err == -EFAULT),
			      "STATS of scope %u, %u: %s", scopes[i], n,
			      t_errno_name(err));
			CHECK_UNCHANGED(&before, "STATS, %u", n);
			if (!injected)
				break;
		}
		report("STATS", n - 1, failed);
	}
}

/* A reservation got over a failure: then it is whole. */
static void use_and_unmap(const struct t_res *res, unsigned int n,
			  struct t_snap *before)
{
	t_fill(res->addr, LENGTH, n);
	CHECK_ERR(t_op(TRACT_OP_DISCARD, res->id, 0, PAGE), 0,
		  "RESERVE, %u: DISCARD", n);
	CHECK_EQ(t_nonzero(res->addr, PAGE), -1, "RESERVE, %u", n);
	t_unmap(res);
	before->process.out_operations++;
	before->process.out_decommitted_bytes += PAGE;
	before->system.out_operations++;
	before->system.out_decommitted_bytes += PAGE;
}

static void unmap(const struct t_res *res, unsigned int n,
		  struct t_snap *before)
{
	(void)n;
	(void)before;
	t_unmap(res);
}

/* @undo undoes what has worked, and notes the counters that it changes. */
static void sweep_reserve(const char *name, __u64 align, unsigned int flags,
			  void (*undo)(const struct t_res *res, unsigned int n,
				       struct t_snap *before))
{
	static const int listed[] = { -ENOMEM, -EFAULT, 0 };
	unsigned int n, failed = 0;

	for (n = 1; n < NTH_MAX; n++) {
		struct t_snap before = t_snapshot();
		struct t_res res;
		bool injected;
		int err;

		arm(n);
		err = t_reserve_raw(LENGTH, align, flags, &res);
		injected = disarm();
		failed += err != 0;
		if (err)
			CHECK(injected && is_one_of(err, listed), "%s, %u: %s",
			      name, n, t_errno_name(err));
		else
			undo(&res, n, &before);
		CHECK_UNCHANGED(&before, "%s, %u", name, n);
		check_canary(name, n);
		if (!injected)
			break;
	}
	report(name, n - 1, failed);
}

static void reserve(void)
{
	static const unsigned int flags[] = {
		0,
		TRACT_RESERVE_NOHUGE | TRACT_RESERVE_NODUMP,
		TRACT_RESERVE_TRAP,
	};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		sweep_reserve("RESERVE", GIB, flags[i], use_and_unmap);
}

/* The first of a process makes more than later ones do. */
static void first_reserve_child(void)
{
	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (nth_fd < 0)
		t_die("fail-nth: %s", strerror(errno));
	sweep_reserve("first RESERVE", 0, 0, unmap);
}

static void first_reserve(void)
{
	IN_CHILD(first_reserve_child);
}

/*
 * A batch of both.  Refused as a whole: nothing was done.  Else each operation
 * has its own result, and what it says is so.
 */
static void batch(void)
{
	struct t_res res = t_reserve(LENGTH, TRACT_RESERVE_NOHUGE);
	unsigned int n, failed = 0, operations_failed = 0;

	for (n = 1; n < NTH_MAX; n++) {
		struct tract_op ops[3];
		struct tract_batch result;
		struct t_snap before;
		bool injected;
		int err;

		madvise(res.addr, LENGTH, MADV_DONTNEED);
		t_fill(res.addr, 64 * PAGE, n);
		before = t_snapshot();
		ops[0] = t_make_op(TRACT_OP_DECOMMIT, res.id, 0, 16 * PAGE);
		ops[1] = t_make_op(TRACT_OP_POPULATE, res.id, 256 * PAGE,
				   16 * PAGE);
		ops[2] = t_make_op(TRACT_OP_DECOMMIT, res.id, 32 * PAGE,
				   16 * PAGE);
		arm(n);
		err = t_batch(ops, 3, &result);
		injected = disarm();
		if (err) {
			failed++;
			CHECK(injected && (err == -ENOMEM || err == -EFAULT),
			      "BATCH, %u: %s", n, t_errno_name(err));
			CHECK_EQ(t_wrong(res.addr, 64 * PAGE, n), -1,
				 "BATCH, %u, %s: dropped at", n,
				 t_errno_name(err));
			CHECK_EQ(t_resident(res.addr + 256 * PAGE, 16 * PAGE),
				 0, "BATCH, %u, %s: populated", n,
				 t_errno_name(err));
			CHECK_UNCHANGED(&before, "BATCH, %u", n);
		} else {
			CHECK_EQ(result.out_completed, 3, "BATCH, %u", n);
			CHECK_ERR(ops[0].out_result, 0, "DECOMMIT, %u", n);
			CHECK_ERR(ops[2].out_result, 0, "DECOMMIT, %u", n);
			CHECK_EQ(t_nonzero(res.addr, 16 * PAGE), -1,
				 "BATCH, %u: not dropped at", n);
			CHECK_EQ(t_wrong(res.addr + 16 * PAGE, 16 * PAGE,
					 n + 16 * PAGE / 8),
				 -1, "BATCH, %u: lost at", n);
			CHECK_EQ(t_nonzero(res.addr + 32 * PAGE, 16 * PAGE), -1,
				 "BATCH, %u: not dropped at", n);
			if (ops[1].out_result) {
				operations_failed++;
				CHECK_ERR(ops[1].out_result, -ENOMEM,
					  "POPULATE, %u", n);
				CHECK(injected, "POPULATE, %u, by itself", n);
			} else {
				CHECK_EQ(t_resident(res.addr + 256 * PAGE,
						    16 * PAGE),
					 16, "BATCH, %u: populated", n);
			}
			CHECK_EQ(result.out_failed, ops[1].out_result != 0,
				 "BATCH, %u: failed", n);
		}
		check_canary("BATCH", n);
		if (!injected)
			break;
	}
	report("BATCH", n - 1, failed);
	t_note("BATCH: %u places fail one operation only", operations_failed);
	t_unmap(&res);
}

/*
 * Binding, the first time and in place of another: it succeeds, or the errno is
 * listed, what was bound stays bound, and no byte of the new map is written.
 */
static void purge_map(void)
{
	static const int listed[] = { -ENOMEM, -EFAULT, 0 };
	struct t_res res = t_reserve(LENGTH, 0);
	const size_t length = t_map_length(&res, 64 * KIB);

	for (int rebind = 0; rebind < 2; rebind++) {
		unsigned int n, failed = 0;

		for (n = 1; n < NTH_MAX; n++) {
			/* Not yet there: faulting it in may fail as well. */
			void *memory = t_anonymous(length);
			struct t_map old = { 0 };
			struct t_snap before;
			bool injected;
			int err;

			if (rebind)
				old = t_bind(&res, 64 * KIB, TRACT_DECAY_NEVER);
			before = t_snapshot();
			arm(n);
			err = t_bind_raw(&res, memory, length, 64 * KIB,
					 TRACT_DECAY_NEVER);
			injected = disarm();
			failed += err != 0;
			CHECK(!err || (injected && is_one_of(err, listed)),
			      "PURGE_MAP, %u: %s", n, t_errno_name(err));
			CHECK_UNCHANGED(&before, "PURGE_MAP, %u", n);
			CHECK_EQ(t_nonzero(memory, length), -1,
				 "PURGE_MAP, %u: map written", n);
			CHECK_ERR(t_unbind(&res), rebind || !err ? 0 : -ENOENT,
				  "PURGE_MAP, %u: UNBIND", n);
			if (rebind)
				t_unmap_map(&old);
			munmap(memory, length);
			check_canary("PURGE_MAP", n);
			if (!injected)
				break;
		}
		report("PURGE_MAP", n - 1, failed);
	}
}

/* Every other page a guard, so that there is a tree to change. */
static void make_fence(const struct t_res *res, unsigned int guards)
{
	if (t_op(TRACT_OP_UNGUARD, res->id, 0, LENGTH) ||
	    t_op(TRACT_OP_COMMIT, res->id, 0, LENGTH))
		t_die("clear");
	t_fill(res->addr, LENGTH, 5);
	for (unsigned int i = 0; i < guards; i++)
		if (t_op(TRACT_OP_GUARD, res->id, (2 * i + 1) * PAGE, PAGE))
			t_die("GUARD");
}

static bool has_trap(const struct t_res *res, unsigned int page)
{
	return t_touch_read(res->addr + page * PAGE).signal;
}

/*
 * Changes of state, as a batch: refused whole, or each by itself; what was
 * refused has changed nothing.
 */
static void trap_batch(void)
{
	struct t_res res = t_reserve(LENGTH, TRACT_RESERVE_TRAP);
	unsigned int n, failed = 0, operations_failed = 0;

	for (n = 1; n < NTH_MAX; n++) {
		struct tract_op ops[5];
		bool injected;
		int err;

		make_fence(&res, 200);
		ops[0] = t_make_op(TRACT_OP_GUARD, res.id, 410 * PAGE, PAGE);
		ops[1] = t_make_op(TRACT_OP_UNGUARD, res.id, 101 * PAGE, PAGE);
		ops[2] = t_make_op(TRACT_OP_DECOMMIT, res.id, 420 * PAGE, PAGE);
		ops[3] = t_make_op(TRACT_OP_NODUMP, res.id, 430 * PAGE, PAGE);
		ops[4] = t_make_op(TRACT_OP_GUARD, res.id, 200 * PAGE,
				   50 * PAGE);
		arm(n);
		err = t_batch(ops, ARRAY_SIZE(ops), NULL);
		injected = disarm();
		if (err) {
			failed++;
			CHECK(injected && (err == -ENOMEM || err == -EFAULT),
			      "BATCH, %u: %s", n, t_errno_name(err));
		}
		for (size_t i = 0; i < ARRAY_SIZE(ops) && !err; i++) {
			operations_failed += ops[i].out_result != 0;
			CHECK(!ops[i].out_result ||
				      (injected &&
				       ops[i].out_result == -ENOMEM),
			      "op %zu, %u: %s", i, n,
			      t_errno_name(ops[i].out_result));
		}
#define DONE(i) (!err && !ops[i].out_result)
		CHECK_EQ(has_trap(&res, 410), DONE(0), "GUARD, %u", n);
		CHECK_EQ(has_trap(&res, 101), !DONE(1), "UNGUARD, %u", n);
		CHECK_EQ(has_trap(&res, 420), DONE(2), "DECOMMIT, %u", n);
		CHECK_EQ(has_trap(&res, 200), DONE(4), "long GUARD, %u", n);
		CHECK_EQ(has_trap(&res, 248), DONE(4), "long GUARD, %u", n);
		if (!DONE(0))
			CHECK_EQ(t_wrong(res.addr + 410 * PAGE, PAGE,
					 5 + 410 * PAGE / 8),
				 -1, "refused, dropped at");
#undef DONE
		CHECK_EQ(has_trap(&res, 99), true, "a guard that was");
		CHECK_EQ(has_trap(&res, 250), false, "behind");
		check_canary("changes", n);
		if (!injected)
			break;
	}
	report("changes", n - 1, failed + operations_failed);
	t_note("changes: %u places fail one operation only", operations_failed);
	t_unmap(&res);
}

/* The owner's first change after a fork copies all states. */
static void trap_forked(void)
{
	struct t_res res = t_reserve(LENGTH, TRACT_RESERVE_TRAP);
	unsigned int n, failed = 0;

	make_fence(&res, 40);
	for (n = 1; n < NTH_MAX; n++) {
		struct t_gate gate = t_make_gate();
		pid_t pid = t_fork();
		bool injected;
		int err;

		if (!pid) {
			t_pass_gate(&gate);
			CHECK(has_trap(&res, 1), "child: guard");
			CHECK(!has_trap(&res, 2), "child: no guard");
			CHECK(has_trap(&res, 79), "child: last guard");
			_exit(0);
		}
		arm(n);
		err = t_op(TRACT_OP_UNGUARD, res.id, PAGE, PAGE);
		injected = disarm();
		failed += err != 0;
		CHECK(!err || (injected && (err == -ENOMEM || err == -EFAULT)),
		      "UNGUARD, %u: %s", n, t_errno_name(err));
		CHECK_EQ(has_trap(&res, 1), err != 0, "owner, %u", n);
		CHECK_EQ(has_trap(&res, 79), true, "owner, %u", n);
		t_open_gate(&gate);
		waitpid(pid, NULL, 0);
		close(gate.fd[0]);
		close(gate.fd[1]);
		if (!err && t_op(TRACT_OP_GUARD, res.id, PAGE, PAGE))
			t_die("GUARD");
		if (!injected)
			break;
	}
	report("change after fork", n - 1, failed);
	t_unmap(&res);
}

/* A knob of debugfs, if this kernel has it. */
static void knob(const char *dir, const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/%s/%s", dir, name);
	if (t_write_file(path, value))
		t_note("no %s", path);
}

int main(void)
{
	t_begin("failnth", 170);
	t_fd();
	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (nth_fd < 0)
		t_skip_all("this kernel has no /proc/self/fail-nth");
	/* Any allocation may fail, those that could wait included. */
	knob("failslab", "ignore-gfp-wait", "N");
	knob("fail_page_alloc", "ignore-gfp-wait", "N");
	knob("fail_page_alloc", "ignore-gfp-highmem", "N");
	knob("fail_page_alloc", "min-order", "0");
	knob("failslab", "verbose", "0");
	knob("fail_page_alloc", "verbose", "0");
	knob("fail_usercopy", "verbose", "0");
	canary = t_reserve(LENGTH, 0);
	t_fill(canary.addr, LENGTH, 71);
	RUN(open_device);
	RUN(info);
	RUN(stats);
	RUN(first_reserve);
	RUN(reserve);
	RUN(batch);
	RUN(purge_map);
	if (t_feature(TRACT_FEATURE_TRAP)) {
		t_touch_begin();
		RUN(trap_batch);
		RUN(trap_forked);
	}
	t_unmap(&canary);
	CHECK_EQ(t_process_stats().out_reservations, 0, "left over");
	return t_end();
}
