// SPDX-License-Identifier: MIT
/*
 * Trapped reservations: what each operation does to a page in each state, what a
 * touch of it does, and that none of it costs a VMA.
 */
#include <sys/uio.h>

#include "observe.h"
#include "touch.h"

#define DECOMMIT TRACT_OP_DECOMMIT
#define POPULATE TRACT_OP_POPULATE
#define COMMIT TRACT_OP_COMMIT
#define GUARD TRACT_OP_GUARD
#define UNGUARD TRACT_OP_UNGUARD
#define NODUMP TRACT_OP_NODUMP
#define DODUMP TRACT_OP_DODUMP
#define DISCARD TRACT_OP_DISCARD

#define TRAP TRACT_RESERVE_TRAP
#define STATES_MAX "/sys/module/tract/parameters/states_max"

static int op(const struct t_res *res, unsigned int code, __u64 offset,
	      __u64 length)
{
	return t_op(code, res->id, offset, length);
}

/* A signal at that address and no other; to read as to write. */
#define CHECK_TRAPS(at, what, ...)                                             \
	do {                                                                   \
		for (int write_ = 0; write_ < 2; write_++) {                   \
			struct t_fault fault_ = write_ ?                       \
							t_touch_write(at, 1) : \
							t_touch_read(at);      \
			CHECK(fault_.signal == SIGSEGV &&                      \
				      fault_.code == SEGV_MAPERR &&            \
				      fault_.address == (void *)(at),          \
			      what ", %s: signal %d, code %d, at %p not %p",   \
			      ##__VA_ARGS__, write_ ? "write" : "read",        \
			      fault_.signal, fault_.code, fault_.address,      \
			      (void *)(at));                                   \
		}                                                              \
	} while (0)

#define CHECK_READS(at, value, what, ...)                                      \
	do {                                                                   \
		struct t_fault fault_ = t_touch_read(at);                      \
		if (CHECK(!fault_.signal, what ": signal %d", ##__VA_ARGS__,   \
			  fault_.signal))                                      \
			CHECK_EQ(*(volatile char *)(at), value, what,          \
				 ##__VA_ARGS__);                               \
	} while (0)

/* The three bits of a page and what is in it: the table of the header. */
struct model {
	bool uncommitted, guard, nodump;
	char byte;
};

static void model_op(struct model *page, unsigned int code)
{
	switch (code) {
	case DECOMMIT:
		page->uncommitted = true;
		break;
	case COMMIT:
		page->uncommitted = false;
		break;
	case GUARD:
		page->guard = true;
		break;
	case UNGUARD:
		page->guard = false;
		break;
	case NODUMP:
		page->nodump = true;
		break;
	case DODUMP:
		page->nodump = false;
		break;
	}
	if (code == DECOMMIT || code == GUARD || code == DISCARD)
		page->byte = 0;
}

static bool model_traps(const struct model *page)
{
	return page->uncommitted || page->guard;
}

static void check_page(char *at, const struct model *page, const char *what)
{
	if (model_traps(page)) {
		CHECK_TRAPS(at, "%s: page %d%d%d", what, page->uncommitted,
			    page->guard, page->nodump);
		CHECK_EQ(t_resident(at, PAGE), 0, "%s: resident", what);
		return;
	}
	CHECK_READS(at, page->byte, "%s: page %d%d%d", what, page->uncommitted,
		    page->guard, page->nodump);
}

static void fresh(void)
{
	struct t_res res = t_reserve(4 * MIB, TRAP);
	struct t_vma vma;

	CHECK_EQ(t_nonzero(res.addr, res.length), -1, "not zero at");
	CHECK(t_find_vma(res.addr, &vma), "no VMA");
	CHECK_EQ(vma.rss, 0, "Rss of memory that was only read");
	t_fill(res.addr, res.length, 7);
	CHECK_EQ(t_wrong(res.addr, res.length, 7), -1, "lost at");
	CHECK(t_find_vma(res.addr, &vma), "no VMA");
	CHECK_EQ(vma.rss, res.length, "Rss");
	CHECK_EQ(vma.end - vma.start, res.length, "length");
	CHECK_EQ((uintptr_t)res.addr % (2 * MIB), 0, "alignment");
	CHECK_EQ(t_vma_flag(&vma, "nh"), 1, "nh in VmFlags%s", vma.flags);
	t_unmap(&res);
}

/* Every operation on a page in every state, touched before or not. */
static void table(void)
{
	static const unsigned int codes[] = { DECOMMIT, COMMIT, GUARD,	UNGUARD,
					      NODUMP,	DODUMP, DISCARD };
	struct t_res res = t_reserve(4 * MIB, TRAP);
	long maps = t_map_count(0);

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		for (int state = 0; state < 16; state++) {
			char *at = res.addr + (i * 16 + state) * 2 * PAGE;
			size_t offset = at - res.addr;
			struct model page = { .byte = 0 };
			char what[32];

			snprintf(what, sizeof(what), "op %u on %d", codes[i],
				 state);
			if (state & 8)
				page.byte = *at = 5;
			for (int bit = 0; bit < 3; bit++) {
				static const unsigned int set[] = { DECOMMIT,
								    GUARD,
								    NODUMP };

				if (!(state & 1 << bit))
					continue;
				CHECK_ERR(op(&res, set[bit], offset, PAGE), 0,
					  "%s: set", what);
				model_op(&page, set[bit]);
			}
			CHECK_ERR(op(&res, codes[i], offset, PAGE), 0, "%s",
				  what);
			model_op(&page, codes[i]);
			check_page(at, &page, what);
			/* And all the way back. */
			CHECK_ERR(op(&res, COMMIT, offset, PAGE), 0, "%s",
				  what);
			model_op(&page, COMMIT);
			check_page(at, &page, what);
			CHECK_ERR(op(&res, UNGUARD, offset, PAGE), 0, "%s",
				  what);
			model_op(&page, UNGUARD);
			check_page(at, &page, what);
			CHECK(!t_touch_write(at, 6).signal, "%s: write", what);
			/* The page beside it was never meant. */
			CHECK_READS(at + PAGE, 0, "%s: its neighbour", what);
		}
	CHECK_EQ(t_map_count(0), maps, "VMAs");
	t_unmap(&res);
}

/* Random operations on ranges, against the model. */
static void ranges(void)
{
	enum {
		PAGES = 48
	};
	struct t_res res = t_reserve(4 * MIB, TRAP);
	struct model model[PAGES] = { 0 };
	__u64 seed = 1;
	long maps = t_map_count(0);

	for (int turn = 0; turn < 600; turn++) {
		unsigned int code, first, count;

		seed = t_mix(seed);
		code = 1 + seed % 8;
		first = (seed >> 8) % PAGES;
		count = 1 + (seed >> 16) % (PAGES - first);
		if (code == POPULATE)
			continue;
		if (!CHECK_ERR(op(&res, code, first * PAGE, count * PAGE), 0,
			       "turn %d: op %u", turn, code))
			break;
		for (unsigned int i = first; i < first + count; i++)
			model_op(&model[i], code);
		for (unsigned int i = 0; i < PAGES; i++) {
			check_page(res.addr + i * PAGE, &model[i], "ranges");
			if (model_traps(&model[i]) || (seed >> i) & 1)
				continue;
			model[i].byte = turn;
			res.addr[i * PAGE] = turn;
		}
	}
	CHECK_READS(res.addr + PAGES * PAGE, 0, "behind");
	CHECK_EQ(t_map_count(0), maps, "VMAs");
	t_unmap(&res);
}

static void mixed_batch(void)
{
	struct t_res a = t_reserve(2 * MIB, TRAP), b = t_reserve(2 * MIB, 0);
	struct tract_op ops[] = {
		t_make_op(DECOMMIT, a.id, 0, a.length),
		t_make_op(COMMIT, a.id, 4 * PAGE, 8 * PAGE),
		t_make_op(GUARD, a.id, 4 * PAGE, PAGE),
		t_make_op(NODUMP, a.id, 5 * PAGE, PAGE),
		t_make_op(POPULATE, a.id, 5 * PAGE, 7 * PAGE),
		t_make_op(DISCARD, b.id, PAGE, PAGE),
		t_make_op(GUARD, a.id, 11 * PAGE, PAGE),
		t_make_op(POPULATE, a.id, 10 * PAGE, 2 * PAGE),
	};
	struct tract_batch result;

	t_fill(b.addr, b.length, 3);
	CHECK_ERR(t_batch(ops, ARRAY_SIZE(ops), &result), 0, "BATCH");
	CHECK_EQ(result.out_completed, ARRAY_SIZE(ops), "completed");
	CHECK_EQ(result.out_failed, 1, "failed: the last");
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
		CHECK_ERR(ops[i].out_result,
			  i == ARRAY_SIZE(ops) - 1 ? -EFAULT : 0, "op %zu", i);
	CHECK_TRAPS(a.addr + 3 * PAGE, "uncommitted");
	CHECK_TRAPS(a.addr + 4 * PAGE, "guard");
	CHECK_EQ(t_resident(a.addr + 5 * PAGE, 6 * PAGE), 6, "resident");
	CHECK_TRAPS(a.addr + 11 * PAGE, "guard over populated");
	CHECK_TRAPS(a.addr + 12 * PAGE, "uncommitted");
	CHECK_TRAPS(a.addr + a.length - PAGE, "uncommitted");
	CHECK_EQ(t_nonzero(b.addr + PAGE, PAGE), -1, "DISCARD on plain");
	CHECK_EQ(t_wrong(b.addr + 2 * PAGE, PAGE, 3 + 2 * PAGE / 8), -1,
		 "behind it");
	t_unmap(&a);
	t_unmap(&b);
}

/* What the kernel does on the process's behalf meets the same traps. */
static void kernel_access(void)
{
	static const unsigned int codes[] = { GUARD, DECOMMIT };
	char buf[64] = "x";
	int fd[2];

	if (pipe(fd))
		t_die("pipe: %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		struct t_res res = t_reserve(2 * MIB, TRAP);
		struct iovec local = { buf, 8 }, remote = { res.addr, 8 };

		res.addr[0] = 1;
		CHECK_ERR(op(&res, codes[i], 0, PAGE), 0, "op");
		CHECK(write(fd[1], res.addr, 8) < 0 && errno == EFAULT,
		      "write() from it: %s", strerror(errno));
		CHECK(write(fd[1], buf, 8) == 8, "write()");
		CHECK(read(fd[0], res.addr, 8) < 0 && errno == EFAULT,
		      "read() into it: %s", strerror(errno));
		CHECK(read(fd[0], res.addr + PAGE, 8) == 8, "read() beside");
		CHECK(process_vm_readv(getpid(), &local, 1, &remote, 1, 0) < 0,
		      "process_vm_readv()");
		CHECK(process_vm_writev(getpid(), &local, 1, &remote, 1, 0) < 0,
		      "process_vm_writev()");
		CHECK_ERR(op(&res, POPULATE, 0, PAGE), -EFAULT, "POPULATE");
		CHECK_ERR(op(&res, POPULATE, PAGE, 2 * PAGE), 0,
			  "POPULATE beside");
		CHECK(madvise(res.addr, PAGE, 23 /* MADV_POPULATE_WRITE */),
		      "MADV_POPULATE_WRITE");
		t_unmap(&res);
	}
	close(fd[0]);
	close(fd[1]);
}

/* madvise() drops pages and leaves states alone. */
static void dontneed(void)
{
	struct t_res res = t_reserve(2 * MIB, TRAP);

	memset(res.addr, 1, res.length);
	CHECK_ERR(op(&res, GUARD, PAGE, PAGE), 0, "GUARD");
	CHECK_ERR(op(&res, DECOMMIT, 2 * PAGE, PAGE), 0, "DECOMMIT");
	CHECK(!madvise(res.addr, 8 * PAGE, MADV_DONTNEED), "MADV_DONTNEED");
	CHECK_READS(res.addr, 0, "dropped");
	CHECK_TRAPS(res.addr + PAGE, "guard");
	CHECK_TRAPS(res.addr + 2 * PAGE, "uncommitted");
	CHECK_READS(res.addr + 3 * PAGE, 0, "dropped");
	CHECK_READS(res.addr + 8 * PAGE, 1, "behind");
	t_unmap(&res);
}

/* States belong to the file's offsets, wherever and however they are mapped. */
static void protected(void)
{
	struct t_res res = t_reserve(4 * MIB, TRAP);
	struct t_fault fault;

	t_fill(res.addr, res.length, 9);
	CHECK_ERR(op(&res, GUARD, MIB, PAGE), 0, "GUARD");
	CHECK_ERR(op(&res, DECOMMIT, MIB + 2 * PAGE, PAGE), 0, "DECOMMIT");
	/* Split in the midst. */
	CHECK(!mprotect(res.addr + MIB, 8 * PAGE, PROT_READ), "mprotect");
	fault = t_touch_read(res.addr + MIB + 2 * PAGE);
	CHECK(fault.signal == SIGSEGV && fault.code == SEGV_MAPERR,
	      "split off: uncommitted, read: signal %d, code %d", fault.signal,
	      fault.code);
	fault = t_touch_read(res.addr + MIB);
	CHECK(fault.signal == SIGSEGV && fault.code == SEGV_MAPERR,
	      "split off: guard, read: signal %d, code %d", fault.signal,
	      fault.code);
	fault = t_touch_write(res.addr + MIB + PAGE, 1);
	CHECK(fault.signal == SIGSEGV && fault.code == SEGV_ACCERR,
	      "split off: read-only, write: signal %d, code %d", fault.signal,
	      fault.code);
	CHECK_ERR(op(&res, GUARD, MIB + 4 * PAGE, PAGE), 0, "GUARD");
	fault = t_touch_read(res.addr + MIB + 4 * PAGE);
	CHECK(fault.signal == SIGSEGV && fault.code == SEGV_MAPERR,
	      "set while split off: signal %d, code %d", fault.signal,
	      fault.code);
	CHECK(!mprotect(res.addr + MIB, 8 * PAGE, PROT_READ | PROT_WRITE),
	      "mprotect");
	CHECK_TRAPS(res.addr + MIB, "joined again: guard");
	CHECK_TRAPS(res.addr + MIB + 2 * PAGE, "joined again: uncommitted");
	CHECK_TRAPS(res.addr + MIB + 4 * PAGE, "joined again: new guard");
	CHECK_EQ(t_wrong(res.addr + MIB + PAGE, PAGE, 9 + (MIB + PAGE) / 8), -1,
		 "beside: lost at");
	t_unmap(&res);
}

static void moved(void)
{
	struct t_res res = t_reserve(4 * MIB, TRAP);
	char *there = mmap(NULL, 4 * MIB, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	t_fill(res.addr, res.length, 9);
	CHECK_ERR(op(&res, GUARD, MIB, PAGE), 0, "GUARD");
	there = mremap(res.addr, res.length, res.length,
		       MREMAP_MAYMOVE | MREMAP_FIXED, there);
	if (!CHECK(there != MAP_FAILED, "mremap: %s", strerror(errno)))
		return;
	CHECK_TRAPS(there + MIB, "moved: guard");
	CHECK_EQ(t_wrong(there, MIB, 9), -1, "moved: lost at");
	CHECK_ERR(op(&res, UNGUARD, MIB, PAGE), 0, "UNGUARD");
	CHECK_READS(there + MIB, 0, "moved: no guard");
	CHECK_ERR(op(&res, GUARD, 2 * MIB, PAGE), 0, "GUARD");
	CHECK_TRAPS(there + 2 * MIB, "moved: new guard");
	/* A hole, and something else in it. */
	munmap(there + 3 * MIB, MIB);
	CHECK_ERR(op(&res, GUARD, 3 * MIB - PAGE, 2 * PAGE), 0,
		  "GUARD into a hole");
	CHECK_TRAPS(there + 3 * MIB - PAGE, "before the hole");
	CHECK(mremap(there, 3 * MIB, 4 * MIB, 0) == MAP_FAILED, "it grew");
	munmap(there, 3 * MIB);
	CHECK_ERR(op(&res, GUARD, 0, PAGE), -ENOENT, "gone");
}

/* A state costs no VMA, however many there are, and a long range no time. */
static void scale(void)
{
	struct t_res res = t_reserve(1024 * GIB, TRAP);
	long maps = t_map_count(0);
	static struct tract_op ops[TRACT_BATCH_MAX];

	CHECK_ERR(op(&res, DECOMMIT, 0, res.length), 0, "DECOMMIT of 1 TiB");
	CHECK_TRAPS(res.addr, "first");
	CHECK_TRAPS(res.addr + 777 * GIB, "in the midst");
	CHECK_TRAPS(res.addr + res.length - PAGE, "last");
	CHECK_ERR(op(&res, COMMIT, 777 * GIB, PAGE), 0, "COMMIT of a page");
	CHECK(!t_touch_write(res.addr + 777 * GIB, 1).signal, "write");
	CHECK_TRAPS(res.addr + 777 * GIB + PAGE, "behind it");
	CHECK_TRAPS(res.addr + 777 * GIB - PAGE, "before it");
	CHECK_ERR(op(&res, COMMIT, 0, res.length), 0, "COMMIT of 1 TiB");
	for (unsigned int turn = 0; turn < 20; turn++) {
		for (unsigned int i = 0; i < TRACT_BATCH_MAX; i++)
			ops[i] = t_make_op(
				GUARD, res.id,
				(turn * TRACT_BATCH_MAX + i) * 2 * PAGE, PAGE);
		CHECK_ERR(t_batch(ops, TRACT_BATCH_MAX, NULL), 0, "guards");
	}
	for (unsigned int i = 0; i < 20 * TRACT_BATCH_MAX; i += 101) {
		CHECK_TRAPS(res.addr + i * 2 * PAGE, "guard %u", i);
		CHECK_READS(res.addr + (i * 2 + 1) * PAGE, 0, "beside %u", i);
	}
	CHECK_EQ(t_map_count(0), maps, "VMAs of 20480 guards");
	CHECK_ERR(op(&res, UNGUARD, 0, MIB * 1024), 0, "UNGUARD of all");
	CHECK_READS(res.addr, 0, "first");
	t_unmap(&res);
}

static void ranges_limit(void)
{
	struct t_res res = t_reserve(2 * MIB, TRAP);
	struct t_res other = t_reserve(2 * MIB, TRAP);
	char was[32];

	if (geteuid() || t_read_file(STATES_MAX, was, sizeof(was)) <= 0 ||
	    t_write_file(STATES_MAX, "4")) {
		CHECK(1, "skipped");
		t_note("cannot write " STATES_MAX);
		return;
	}
	for (int i = 0; i < 3; i++)
		CHECK_ERR(op(&res, GUARD, 2 * i * PAGE, PAGE), 0, "GUARD %d",
			  i);
	CHECK_ERR(op(&other, NODUMP, 0, PAGE), 0, "the fourth range");
	t_fill(other.addr + 8 * PAGE, PAGE, 4);
	CHECK_ERR(op(&other, GUARD, 8 * PAGE, PAGE), -ENOSPC, "the fifth");
	CHECK_EQ(t_wrong(other.addr + 8 * PAGE, PAGE, 4), -1,
		 "refused, lost at");
	CHECK_ERR(op(&res, GUARD, PAGE, PAGE), 0, "one that joins two");
	CHECK_ERR(op(&other, GUARD, 8 * PAGE, PAGE), 0, "then it fits");
	CHECK_ERR(op(&res, UNGUARD, PAGE, PAGE), -ENOSPC, "one that parts");
	CHECK_TRAPS(res.addr + PAGE, "still a guard");
	t_unmap(&other);
	CHECK_ERR(op(&res, UNGUARD, PAGE, PAGE), 0, "after munmap()");
	CHECK_READS(res.addr + PAGE, 0, "no guard");
	t_write_file(STATES_MAX, was);
	t_unmap(&res);
}

static void bad_input(void)
{
	static const unsigned int codes[] = { DECOMMIT, COMMIT, GUARD,	UNGUARD,
					      NODUMP,	DODUMP, DISCARD };
	static const struct {
		__u64 offset, length;
	} bad[] = {
		{ 0, 0 },	   { 1, PAGE },		  { 0, PAGE + 1 },
		{ 2 * MIB, PAGE }, { 0, 2 * MIB + PAGE }, { -PAGE, PAGE },
		{ PAGE, -PAGE },   { -PAGE, 2 * PAGE },
	};
	struct t_res res = t_reserve(2 * MIB, TRAP), plain;
	__u64 known = t_info().out_op_mask;

	plain = t_reserve(2 * MIB, 0);
	t_fill(res.addr, res.length, 1);
	t_fill(plain.addr, plain.length, 2);
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		unsigned int code = codes[i];

		CHECK(known & 1ULL << code, "op %u is not in out_op_mask",
		      code);
		for (size_t k = 0; k < ARRAY_SIZE(bad); k++)
			CHECK_ERR(op(&res, code, bad[k].offset, bad[k].length),
				  -EINVAL, "op %u of %#llx at %#llx", code,
				  bad[k].length, bad[k].offset);
		CHECK_ERR(t_op(code, res.id + 1000, 0, PAGE), -ENOENT,
			  "op %u of no reservation", code);
		CHECK_ERR(t_op(code, 0, 0, PAGE), -ENOENT, "op %u of id 0",
			  code);
		if (code == DECOMMIT || code == DISCARD)
			continue;
		CHECK_ERR(op(&plain, code, 0, PAGE), -EINVAL,
			  "op %u of a plain reservation", code);
	}
	CHECK_ERR(op(&res, 9, 0, PAGE), -EOPNOTSUPP, "op 9");
	CHECK_ERR(op(&res, 0, 0, PAGE), -EOPNOTSUPP, "op 0");
	CHECK_EQ(t_wrong(res.addr, res.length, 1), -1, "lost at");
	CHECK_EQ(t_wrong(plain.addr, plain.length, 2), -1, "plain: lost at");
	t_unmap(&res);
	t_unmap(&plain);
}

static void wait_for(pid_t pid, const char *what)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		t_die("waitpid: %s", strerror(errno));
	CHECK(WIFEXITED(status) && !WEXITSTATUS(status), "%s: status %#x", what,
	      status);
}

static void check_inherited(const struct t_res *res, const char *who)
{
	CHECK_TRAPS(res->addr, "%s: guard", who);
	CHECK_TRAPS(res->addr + 2 * PAGE, "%s: uncommitted", who);
	CHECK_READS(res->addr + PAGE, 1, "%s: committed", who);
	CHECK_READS(res->addr + 4 * PAGE, 0, "%s: untouched", who);
	CHECK_ERR(op(res, UNGUARD, 0, PAGE), -ENOENT, "%s: UNGUARD", who);
	CHECK_ERR(op(res, GUARD, PAGE, PAGE), -ENOENT, "%s: GUARD", who);
}

/* The owner changes everything the child was given. */
static void owner_moves_on(const struct t_res *res)
{
	int shared = t_feature(TRACT_FEATURE_SHARED_ZAP) ? 0 : -EBUSY;

	CHECK_ERR(op(res, UNGUARD, 0, PAGE), 0, "owner's UNGUARD");
	CHECK_ERR(op(res, COMMIT, 2 * PAGE, PAGE), 0, "owner's COMMIT");
	CHECK_READS(res->addr, 0, "owner: no guard");
	CHECK_READS(res->addr + 2 * PAGE, 0, "owner: committed");
	CHECK_ERR(op(res, GUARD, PAGE, PAGE), shared, "owner's GUARD");
	CHECK_ERR(op(res, DECOMMIT, 4 * PAGE, PAGE), shared,
		  "owner's DECOMMIT");
	if (shared) {
		CHECK_READS(res->addr + PAGE, 1, "owner: refused GUARD");
		CHECK_READS(res->addr + 4 * PAGE, 0, "owner: refused DECOMMIT");
	} else {
		CHECK_TRAPS(res->addr + PAGE, "owner: GUARD");
		CHECK_TRAPS(res->addr + 4 * PAGE, "owner: DECOMMIT");
	}
}

static void forked(void)
{
	struct t_res res = t_reserve(4 * MIB, TRAP);
	struct t_gate up = t_make_gate(), down = t_make_gate();
	pid_t child, grandchild;

	memset(res.addr, 1, 4 * PAGE);
	CHECK_ERR(op(&res, GUARD, 0, PAGE), 0, "GUARD");
	CHECK_ERR(op(&res, DECOMMIT, 2 * PAGE, PAGE), 0, "DECOMMIT");
	child = t_fork();
	if (!child) {
		check_inherited(&res, "child");
		t_open_gate(&up);
		t_pass_gate(&down);
		check_inherited(&res, "child, later");
		/* Split, so that there are more VMAs with its states. */
		CHECK(!mprotect(res.addr + 8 * PAGE, PAGE, PROT_READ),
		      "mprotect");
		CHECK(!madvise(res.addr, 8 * PAGE, MADV_DONTNEED), "DONTNEED");
		CHECK_TRAPS(res.addr, "child: guard after DONTNEED");
		CHECK_READS(res.addr + PAGE, 0, "child: after DONTNEED");
		res.addr[PAGE] = 1;
		grandchild = t_fork();
		if (!grandchild) {
			munmap(res.addr + 9 * PAGE, PAGE);
			check_inherited(&res, "grandchild");
			_exit(0);
		}
		wait_for(grandchild, "grandchild");
		check_inherited(&res, "child, at last");
		_exit(0);
	}
	t_pass_gate(&up);
	owner_moves_on(&res);
	t_open_gate(&down);
	wait_for(child, "child");
	/* Alone again. */
	CHECK_ERR(op(&res, GUARD, 3 * PAGE, PAGE), 0, "GUARD");
	CHECK_TRAPS(res.addr + 3 * PAGE, "guard");
	CHECK_READS(res.addr + 2 * PAGE, 0, "owner: committed");
	t_unmap(&res);
}

int main(void)
{
	t_begin("trap", 120);
	t_fd();
	if (!t_feature(TRACT_FEATURE_TRAP)) {
		struct t_res res;

		CHECK_ERR(t_reserve_raw(2 * MIB, 0, TRAP, &res), -EOPNOTSUPP,
			  "RESERVE");
		t_skip_all("no trapped reservations here");
	}
	t_touch_begin();
	RUN(fresh);
	RUN(table);
	RUN(ranges);
	RUN(mixed_batch);
	RUN(kernel_access);
	RUN(dontneed);
	RUN(protected);
	RUN(moved);
	RUN(scale);
	RUN(ranges_limit);
	RUN(bad_input);
	RUN(forked);
	return t_end();
}
