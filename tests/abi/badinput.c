// SPDX-License-Identifier: MIT
/*
 * Every field of every structure with every kind of wrong value: the
 * documented errno, and nothing changed: counters, map, contents of a
 * reservation and of the mappings beside it.
 */
#include "observe.h"

#define LENGTH (4 * MIB)
#define NEVER_GIVEN 0x7000000000000000ULL

static struct t_res canary;
static char *neighbour;
static __u64 stale_id, foreign_id;
static pid_t foreign_pid;
static struct t_snap before;

static void setup(void)
{
	struct t_gate ready = t_make_gate();
	__u64 *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct t_res gone = t_reserve(2 * MIB, 0);

	stale_id = gone.id;
	t_unmap(&gone);
	foreign_pid = t_fork();
	if (!foreign_pid) {
		*shared = t_reserve(LENGTH, 0).id;
		t_open_gate(&ready);
		for (;;)
			pause();
	}
	t_pass_gate(&ready);
	foreign_id = *shared;
	munmap(shared, PAGE);
	canary = t_reserve(LENGTH, TRACT_RESERVE_NOHUGE);
	t_fill(canary.addr, LENGTH, 11);
	neighbour =
		mmap(canary.addr + LENGTH, 16 * PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (neighbour == MAP_FAILED)
		neighbour = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	t_fill(neighbour, 16 * PAGE, 12);
	before = t_snapshot();
}

static void check_nothing(const char *what)
{
	CHECK_UNCHANGED(&before, "%s", what);
	CHECK_EQ(t_wrong(canary.addr, LENGTH, 11), -1,
		 "%s: reservation lost a byte at", what);
	CHECK_EQ(t_wrong(neighbour, 16 * PAGE, 12), -1,
		 "%s: neighbour lost a byte at", what);
}

static void unknown_numbers(void)
{
	/* Large enough for any structure, with a valid size in front. */
	__u64 buf[64] = { sizeof(struct tract_info) };

	for (unsigned int nr = 5; nr < 256; nr++)
		CHECK_ERR(t_ioctl(_IO(TRACT_IOC_TYPE, nr), buf), -ENOTTY,
			  "number %#x", nr);
	for (unsigned int nr = 0; nr < 5; nr++) {
		const unsigned long odd[] = {
			_IO(TRACT_IOC_TYPE - 1, nr),
			_IO(TRACT_IOC_TYPE + 1, nr),
			_IOR(TRACT_IOC_TYPE, nr, struct tract_info),
			_IOW(TRACT_IOC_TYPE, nr, struct tract_info),
			_IOWR(TRACT_IOC_TYPE, nr, struct tract_info),
			_IO(TRACT_IOC_TYPE, nr) | 1U << 31,
			_IO(TRACT_IOC_TYPE, nr) | 1U << 16,
		};

		for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
			CHECK_ERR(t_ioctl(odd[i], buf), -ENOTTY, "number %#lx",
				  odd[i]);
	}
	/* ENOTTY comes before any look at the argument. */
	CHECK_ERR(t_ioctl(_IO(TRACT_IOC_TYPE, 200), NULL), -ENOTTY,
		  "unknown number with NULL");
	check_nothing("unknown numbers");
}

static void info_flags(void)
{
	for (int bit = 0; bit < 32; bit++) {
		struct tract_info info = { .size = sizeof(info),
					   .flags = 1U << bit };

		CHECK_ERR(t_ioctl(TRACT_IOC_INFO, &info), -EOPNOTSUPP,
			  "INFO with flag bit %d", bit);
	}
	check_nothing("INFO");
}

static void reserve_flags(void)
{
	for (int bit = 0; bit < 32; bit++) {
		struct t_res res;

		if (t_info().out_reserve_flags & 1ULL << bit)
			continue;
		CHECK_ERR(t_reserve_raw(2 * MIB, 0, 1U << bit, &res),
			  -EOPNOTSUPP, "RESERVE with flag bit %d", bit);
		CHECK_ERR(t_reserve_raw(2 * MIB, 0,
					1U << bit | TRACT_RESERVE_NODUMP, &res),
			  -EOPNOTSUPP, "RESERVE with NODUMP and bit %d", bit);
	}
	CHECK_EQ(t_info().out_reserve_flags & ~(__u64)TRACT_RESERVE_TRAP,
		 TRACT_RESERVE_NODUMP | TRACT_RESERVE_NOHUGE |
			 TRACT_RESERVE_NEAR | TRACT_RESERVE_EXEC,
		 "known flags of RESERVE");
	check_nothing("RESERVE flags");
}

static void reserve_lengths(void)
{
	__u64 max = t_info().out_bytes_max;
	const struct {
		__u64 length;
		int want;
	} rows[] = {
		{ 0, -EINVAL },
		{ 1, -EINVAL },
		{ PAGE - 1, -EINVAL },
		{ PAGE + 1, -EINVAL },
		{ 2 * MIB - 1, -EINVAL },
		{ 2 * MIB + 8, -EINVAL },
		{ 1ULL << 63 | 1, -EINVAL },
		{ UINT64_MAX, -EINVAL },
		{ UINT64_MAX - 4094, -EINVAL },
		{ max - LENGTH + PAGE, -ENOSPC },
		{ max, -ENOSPC },
		{ max + PAGE, -ENOSPC },
		{ 1ULL << 63, -ENOSPC },
		{ (1ULL << 63) - PAGE, -ENOSPC },
		{ -PAGE, -ENOSPC },
		{ -2 * MIB, -ENOSPC },
		{ -(__u64)LENGTH, -ENOSPC },
		{ -(__u64)LENGTH - PAGE, -ENOSPC },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct t_res res;
		int err = t_reserve_raw(rows[i].length, 0, 0, &res);

		CHECK_ERR(err, rows[i].want, "RESERVE of %#llx bytes",
			  rows[i].length);
		if (!err)
			t_unmap(&res);
	}
	check_nothing("RESERVE lengths");
}

static void reserve_alignments(void)
{
	struct tract_info info = t_info();
	const __u64 bad[] = {
		1,
		2,
		3,
		PAGE,
		64 * KIB,
		info.out_align_min / 2,
		info.out_align_min - 1,
		info.out_align_min + 1,
		info.out_align_min + PAGE,
		info.out_align_min * 3,
		info.out_align_max - 1,
		info.out_align_max + 1,
		info.out_align_max - PAGE,
		info.out_align_max * 2,
		info.out_align_max | info.out_align_min,
		1ULL << 47,
		1ULL << 63,
		UINT64_MAX,
		-(__u64)info.out_align_min,
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct t_res res;
		int err = t_reserve_raw(2 * MIB, bad[i], 0, &res);

		CHECK_ERR(err, -EINVAL, "RESERVE aligned to %#llx", bad[i]);
		if (!err)
			t_unmap(&res);
	}
	check_nothing("RESERVE alignments");
}

static int batch(__u32 flags, const void *ops, __u32 count, __u32 reserved)
{
	struct tract_batch arg = {
		.size = sizeof(arg),
		.flags = flags,
		.ops = (uintptr_t)ops,
		.count = count,
		.reserved = reserved,
	};

	return t_ioctl(TRACT_IOC_BATCH, &arg);
}

static void batch_fields(void)
{
	static struct tract_op ops[TRACT_BATCH_MAX + 1];
	const __u32 counts[] = { 0,	   TRACT_BATCH_MAX + 1,
				 4096,	   1U << 27,
				 1U << 31, UINT_MAX };

	CHECK_EQ(t_info().out_batch_max, TRACT_BATCH_MAX, "batch_max");
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
		ops[i] = t_make_op(TRACT_OP_DECOMMIT, canary.id, 0, LENGTH);
	for (int bit = 0; bit < 32; bit++) {
		CHECK_ERR(batch(1U << bit, ops, 1, 0), -EOPNOTSUPP,
			  "BATCH with flag bit %d", bit);
		CHECK_ERR(batch(0, ops, 1, 1U << bit), -EINVAL,
			  "BATCH with reserved bit %d", bit);
	}
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		CHECK_ERR(batch(0, ops, counts[i], 0), -EINVAL,
			  "BATCH of %u operations", counts[i]);
	check_nothing("BATCH fields");
}

static void batch_pointers(void)
{
	size_t size = sizeof(struct tract_op);
	char *area = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct tract_op *at;
	const uintptr_t wild[] = { 0,
				   8,
				   0x7fffffffe000,
				   0x7ffffffff000,
				   0x800000000000,
				   0xffff888000000000,
				   0xffffffff81000000,
				   UINTPTR_MAX - 31,
				   UINTPTR_MAX };

	mprotect(area + 2 * PAGE, PAGE, PROT_NONE);
	for (size_t i = 0; i < ARRAY_SIZE(wild); i++)
		CHECK_ERR(batch(0, (void *)wild[i], 1024, 0), -EFAULT,
			  "BATCH with ops at %#lx", (unsigned long)wild[i]);
	/* Ends in the middle, or between, or at the page behind which nothing. */
	for (unsigned int readable = 0; readable < 2 * size; readable += 4) {
		struct tract_op two[2] = {
			t_make_op(TRACT_OP_DECOMMIT, canary.id, 0, PAGE),
			t_make_op(TRACT_OP_DECOMMIT, canary.id, 0, PAGE),
		};

		at = (void *)(area + 2 * PAGE - readable);
		memcpy(at, two, readable);
		CHECK_ERR(batch(0, at, 2, 0), -EFAULT,
			  "BATCH of 2 with %u readable bytes", readable);
	}
	/* Whole array read-only, then only its second half. */
	at = (void *)(area + PAGE - 4 * size);
	for (int i = 0; i < 8; i++)
		at[i] = t_make_op(TRACT_OP_DECOMMIT, canary.id, i * 8 * PAGE,
				  PAGE);
	mprotect(area + PAGE, PAGE, PROT_READ);
	CHECK_ERR(batch(0, at, 8, 0), -EFAULT, "BATCH half read-only");
	CHECK_ERR(batch(0, at + 4, 4, 0), -EFAULT, "BATCH read-only");
	mprotect(area, PAGE, PROT_READ);
	CHECK_ERR(batch(0, at, 4, 0), -EFAULT, "BATCH read-only, one page");
	munmap(area, 3 * PAGE);
	check_nothing("BATCH pointers");
}

struct bad_op {
	const char *what;
	struct tract_op op;
	int want;
};

/* The malformed one first, in the middle, last; the others well formed. */
static void try_op(const struct bad_op *bad)
{
	static const unsigned int places[] = { 0, 3, 6 };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct tract_op ops[7];
		struct tract_batch result;

		for (int j = 0; j < 7; j++)
			ops[j] = t_make_op(TRACT_OP_DECOMMIT, canary.id,
					   j * 16 * PAGE, 8 * PAGE);
		ops[places[i]] = bad->op;
		CHECK_ERR(t_batch(ops, 7, &result), bad->want, "%s at place %u",
			  bad->what, places[i]);
		CHECK_ERR(ops[places[i]].out_result, bad->want,
			  "result of %s at place %u", bad->what, places[i]);
		CHECK_EQ(result.out_completed, 0, "completed with %s",
			 bad->what);
	}
}

#define OP(c, i, o, l)                                                         \
	{                                                                      \
		.op = (c), .out_result = OP_POISON, .id = (i), .offset = (o),  \
		.length = (l)                                                  \
	}

static void bad_ops(void)
{
	const __u32 codes[] = { 0,     9,	 10,	       64,
				0x101, 1U << 31, 1U << 31 | 1, UINT_MAX };
	const __u64 ids[] = { 0,
			      stale_id,
			      foreign_id,
			      NEVER_GIVEN,
			      canary.id | 1ULL << 32,
			      canary.id | 1ULL << 63,
			      UINT64_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		struct bad_op bad = { "an unknown operation",
				      OP(codes[i], canary.id, 0, PAGE),
				      -EOPNOTSUPP };

		if (codes[i] < 64)
			CHECK_EQ(t_info().out_op_mask >> codes[i] & 1, 0,
				 "bit %u of op_mask", codes[i]);
		try_op(&bad);
	}
	CHECK_EQ(t_info().out_op_mask & ~0xf8ULL,
		 1 << TRACT_OP_DECOMMIT | 1 << TRACT_OP_POPULATE |
			 1 << TRACT_OP_DISCARD,
		 "op_mask");
	CHECK_EQ(t_info().out_op_mask & 0xf8,
		 t_feature(TRACT_FEATURE_TRAP) ? 0xf8 : 0,
		 "op_mask, the operations of trapped reservations");
	for (unsigned int code = 1; code <= 2; code++)
		for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
			char what[64];
			struct bad_op bad = { what, OP(code, ids[i], 0, PAGE),
					      -ENOENT };

			snprintf(what, sizeof(what), "op %u with id %#llx",
				 code, ids[i]);
			try_op(&bad);
		}
	check_nothing("codes and ids");
}

static void bad_ranges(void)
{
	const __u64 ranges[][2] = {
		{ 0, 0 },
		{ PAGE, 0 },
		{ LENGTH, 0 },
		{ 0, 1 },
		{ 0, PAGE - 1 },
		{ 0, PAGE + 1 },
		{ 1, PAGE },
		{ PAGE - 1, PAGE },
		{ 512, PAGE - 512 },
		{ LENGTH, PAGE },
		{ LENGTH + PAGE, PAGE },
		{ 0, LENGTH + PAGE },
		{ LENGTH - PAGE, 2 * PAGE },
		{ PAGE, LENGTH },
		{ 1ULL << 63, PAGE },
		{ 0, 1ULL << 63 },
		{ 1ULL << 63, 1ULL << 63 },
		{ -PAGE, PAGE },
		{ -PAGE, 2 * PAGE },
		{ PAGE, -PAGE },
		{ 2 * PAGE, -PAGE },
		{ 0, -PAGE },
		{ LENGTH, -LENGTH },
		{ -LENGTH, LENGTH },
		{ -LENGTH, 2 * LENGTH },
		{ UINT64_MAX, PAGE },
		{ 0, UINT64_MAX },
		{ (uintptr_t)canary.addr, PAGE },
		{ 1ULL << 32, PAGE },
		{ 0, 1ULL << 32 },
		{ 1ULL << 44, PAGE },
		{ 0, 1ULL << 44 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ranges) * 2; i++) {
		char what[80];
		struct bad_op bad = { what,
				      OP(1 + i % 2, canary.id, ranges[i / 2][0],
					 ranges[i / 2][1]),
				      -EINVAL };

		snprintf(what, sizeof(what), "op %u of %#llx bytes at %#llx",
			 bad.op.op, bad.op.length, bad.op.offset);
		try_op(&bad);
	}
	check_nothing("ranges");
}

static void stats_fields(void)
{
	const struct {
		unsigned int flags, scope;
		int pid;
		__u64 id;
		int want;
	} rows[] = {
		{ 2, TRACT_SCOPE_PROCESS, 0, 0, -EOPNOTSUPP },
		{ 1U << 31, TRACT_SCOPE_PROCESS, 0, 0, -EOPNOTSUPP },
		{ 3, TRACT_SCOPE_RESERVATION, 0, 0, -EOPNOTSUPP },
		{ 0, 0, 0, 0, -EINVAL },
		{ 0, 4, 0, 0, -EINVAL },
		{ 0, 1U << 31, 0, 0, -EINVAL },
		{ 0, UINT_MAX, 0, 0, -EINVAL },
		{ TRACT_STATS_NEXT, 0, 0, 0, -EINVAL },
		{ TRACT_STATS_NEXT, TRACT_SCOPE_PROCESS, 0, 0, -EINVAL },
		{ TRACT_STATS_NEXT, TRACT_SCOPE_SYSTEM, 0, 0, -EINVAL },
		{ 0, TRACT_SCOPE_PROCESS, -1, 0, -EINVAL },
		{ 0, TRACT_SCOPE_RESERVATION, -1, canary.id, -EINVAL },
		{ 0, TRACT_SCOPE_SYSTEM, -1, 0, -EINVAL },
		{ 0, TRACT_SCOPE_SYSTEM, 1, 0, -EINVAL },
		{ 0, TRACT_SCOPE_SYSTEM, getpid(), 0, -EINVAL },
		{ 0, TRACT_SCOPE_SYSTEM, 0, 1, -EINVAL },
		{ 0, TRACT_SCOPE_SYSTEM, 0, canary.id, -EINVAL },
		{ 0, TRACT_SCOPE_PROCESS, 0, 1, -EINVAL },
		{ 0, TRACT_SCOPE_PROCESS, 0, canary.id, -EINVAL },
		{ 0, TRACT_SCOPE_PROCESS, getpid(), 1ULL << 63, -EINVAL },
		{ 0, TRACT_SCOPE_PROCESS, INT_MAX, 0, -ESRCH },
		{ 0, TRACT_SCOPE_PROCESS, 1 << 22 | 1, 0, -ESRCH },
		{ 0, TRACT_SCOPE_RESERVATION, INT_MAX, canary.id, -ESRCH },
		{ 1, TRACT_SCOPE_RESERVATION, INT_MAX, 0, -ESRCH },
		{ 0, TRACT_SCOPE_RESERVATION, 0, 0, -ENOENT },
		{ 0, TRACT_SCOPE_RESERVATION, 0, stale_id, -ENOENT },
		{ 0, TRACT_SCOPE_RESERVATION, 0, NEVER_GIVEN, -ENOENT },
		{ 0, TRACT_SCOPE_RESERVATION, 0, UINT64_MAX, -ENOENT },
		{ 0, TRACT_SCOPE_RESERVATION, 0, foreign_id, -ENOENT },
		{ 0, TRACT_SCOPE_RESERVATION, foreign_pid, canary.id, -ENOENT },
		{ 0, TRACT_SCOPE_RESERVATION, foreign_pid, stale_id, -ENOENT },
		{ 1, TRACT_SCOPE_RESERVATION, 0, UINT64_MAX, -ENOENT },
		{ 1, TRACT_SCOPE_RESERVATION, -1, UINT64_MAX, -ENOENT },
		{ 1, TRACT_SCOPE_RESERVATION, 0, canary.id, -ENOENT },
	};
	struct tract_stats st;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		CHECK_ERR(t_stats_flags(rows[i].flags, rows[i].scope,
					rows[i].pid, rows[i].id, &st),
			  rows[i].want,
			  "STATS flags %#x scope %#x pid %d id %#llx",
			  rows[i].flags, rows[i].scope, rows[i].pid,
			  rows[i].id);
	/* Below -1 there is no process either; which errno is left open. */
	for (int pid = -2; pid > INT_MIN / 8; pid *= 7) {
		int err = t_stats(TRACT_SCOPE_PROCESS, pid, 0, &st);

		CHECK(err == -ESRCH || err == -EINVAL, "STATS of pid %d is %d",
		      pid, err);
	}
	check_nothing("STATS");
}

int main(void)
{
	int pid;

	t_begin("badinput", 60);
	t_fd();
	setup();
	pid = foreign_pid;
	RUN(unknown_numbers);
	RUN(info_flags);
	RUN(reserve_flags);
	RUN(reserve_lengths);
	RUN(reserve_alignments);
	RUN(batch_fields);
	RUN(batch_pointers);
	RUN(bad_ops);
	RUN(bad_ranges);
	RUN(stats_fields);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return t_end();
}
