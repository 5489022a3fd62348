// SPDX-License-Identifier: MIT
/*
 * What a write to a page of a trapped reservation maps around it: zero pages, and
 * only where nothing else is and the states say that something may be.
 */
#include <pthread.h>

#include "observe.h"
#include "touch.h"

/* Pages: about a page written alone, from a multiple of it, and beside others. */
#define WINDOW 4
#define WIDE 16
#define TABLE 512 /* under one page table */
#define LENGTH (2 * TABLE * PAGE)

/* A reservation in which the first page table is there, the window at 0 empty. */
static struct t_res make(void)
{
	struct t_res res = t_reserve(LENGTH, TRACT_RESERVE_TRAP);

	if ((uintptr_t)res.addr % (TABLE * PAGE))
		t_die("not at the start of a page table");
	res.addr[MIB] = 1;
	return res;
}

static char *page(const struct t_res *res, unsigned int i)
{
	return res->addr + i * PAGE;
}

static int op(const struct t_res *res, unsigned int code, unsigned int first,
	      unsigned int count)
{
	return t_op(code, res->id, first * PAGE, count * PAGE);
}

/* The pages of the first @count that are mapped, a bit for each. */
static unsigned long mapped(const struct t_res *res, unsigned int count)
{
	unsigned long mask = 0;

	for (unsigned int i = 0; i < count; i++)
		mask |= (unsigned long)t_resident(page(res, i), PAGE) << i;
	return mask;
}

static long rss(const struct t_res *res)
{
	struct t_vma vma;

	if (!t_find_vma(res->addr, &vma))
		t_die("no VMA");
	return vma.rss;
}

static void around(void)
{
	struct t_res res = make();

	CHECK_EQ(mapped(&res, 2 * WIDE), 0, "at first");
	*page(&res, WINDOW + 3) = 5;
	CHECK_EQ(mapped(&res, 2 * WIDE), 0xf0, "after a write");
	CHECK_EQ(rss(&res), 2 * PAGE, "Rss");
	for (unsigned int i = WINDOW; i < 2 * WINDOW; i++) {
		CHECK_EQ(*page(&res, i), i == WINDOW + 3 ? 5 : 0, "page %u", i);
		CHECK_EQ(page(&res, i)[PAGE - 1], 0, "the end of page %u", i);
	}
	CHECK_EQ(rss(&res), 2 * PAGE, "Rss after reading");
	for (unsigned int i = WINDOW; i < 2 * WINDOW; i++)
		*page(&res, i) = i;
	CHECK_EQ(rss(&res), (WINDOW + 1) * PAGE, "Rss after writing");
	for (unsigned int i = WINDOW; i < 2 * WINDOW; i++)
		CHECK_EQ(*page(&res, i), i, "written page %u", i);
	/* To read maps what is read. */
	CHECK_EQ(*(volatile char *)page(&res, 0), 0, "read");
	CHECK_EQ(mapped(&res, 2 * WIDE), 0xf1, "after a read");
	/* As far from others as they may be to matter, and as far as they reach. */
	*page(&res, 2 * WINDOW - 1 + WIDE) = 1;
	CHECK_EQ(mapped(&res, 64), 0xffffffffffffff, "beside others");
	CHECK_EQ(rss(&res), (WINDOW + 2) * PAGE, "Rss");
	*page(&res, 60) = 1;
	CHECK_EQ(mapped(&res, 64), 0xf0ffffffffffffff, "away from others");
	CHECK_EQ(rss(&res), (WINDOW + 3) * PAGE, "Rss");
	t_unmap(&res);
}

/* Write to every @step-th page of the first table: how many were not mapped? */
static unsigned int copies(const struct t_res *res, unsigned int step,
			   bool down)
{
	unsigned int last = (TABLE - 1) / step, n = 0;

	for (unsigned int i = 0; i <= last; i++) {
		char *at = page(res, (down ? last - i : i) * step);

		n += !t_resident(at, PAGE);
		*at = 1;
	}
	return n;
}

/* The more is written the more is mapped, to the end of the page table. */
static void grows(void)
{
	static const unsigned int steps[] = { 1, 2, 3, 4, 7, 16 };
	struct t_res res = make();

	*page(&res, 2 * TABLE - 1) = 1;
	for (unsigned int i = 0; i < 2 * ARRAY_SIZE(steps); i++) {
		unsigned int step = steps[i / 2], n;

		CHECK_ERR(op(&res, TRACT_OP_DISCARD, 0, TABLE), 0, "DISCARD");
		n = copies(&res, step, i & 1);
		CHECK(n <= TABLE / WIDE / 4, "1 in %u: %u not mapped", step, n);
		CHECK(t_resident(page(&res, 0), TABLE * PAGE) > TABLE - WIDE,
		      "1 in %u: not all mapped", step);
		CHECK_EQ(t_resident(page(&res, TABLE), TABLE * PAGE), 1,
			 "1 in %u: beyond", step);
	}
	/* A page here and there costs no more than alone. */
	CHECK_ERR(op(&res, TRACT_OP_DISCARD, 0, TABLE), 0, "DISCARD");
	copies(&res, WIDE + 1, false);
	CHECK(t_resident(page(&res, 0), TABLE * PAGE) <=
		      (TABLE / WIDE) * WINDOW,
	      "far apart: mapped");
	t_unmap(&res);
}

/*
 * States that change every few pages, in all of the reservation: 0 for pages that
 * may be there.
 */
static void set_runs(const struct t_res *res, uint64_t *seed, char *barred)
{
	static const unsigned int codes[] = { TRACT_OP_GUARD,
					      TRACT_OP_DECOMMIT };
	unsigned int i = 0, n;

	memset(barred, 0, 2 * TABLE);
	while (i < 2 * TABLE - 8) {
		*seed = t_mix(*seed);
		i += *seed % 4;
		n = 1 + (*seed >> 8) % 4;
		for (unsigned int k = 0; k < ARRAY_SIZE(codes); k++)
			if ((*seed >> 16) % 3 != k)
				CHECK_ERR(op(res, codes[k], i, n), 0, "set");
		memset(barred + i, 1, n);
		i += n;
	}
}

/* Is nothing there where nothing may be?  The number of pages that are there. */
static unsigned int count_allowed(const struct t_res *res, const char *barred)
{
	unsigned char vec[2 * TABLE];
	unsigned int n = 0, wrong = 0;

	if (mincore(res->addr, LENGTH, vec))
		t_die("mincore: %s", strerror(errno));
	for (unsigned int i = 0; i < 2 * TABLE; i++) {
		n += vec[i] & 1;
		wrong += vec[i] & barred[i];
	}
	CHECK_EQ(wrong, 0, "guards and uncommitted pages that are there");
	return n;
}

/* Write to pages that may be there, in any order or, at last, to all. */
static void write_between(const struct t_res *res, uint64_t *seed,
			  const char *barred)
{
	unsigned int before = 1, after, filled = 0, allowed = 0, i;

	for (unsigned int turn = 0; turn < 3 * TABLE; turn++) {
		*seed = t_mix(*seed);
		i = turn < TABLE ? *seed % (2 * TABLE) : turn - TABLE;
		allowed += turn >= TABLE && !barred[i];
		if (barred[i])
			continue;
		CHECK(!t_touch_write(page(res, i), 1).signal, "page %u", i);
		after = count_allowed(res, barred);
		filled += after > before + 1;
		before = after;
	}
	CHECK_EQ(before, allowed, "pages there");
	CHECK(filled > 3, "filled %u times", filled);
}

/* Whatever is mapped, it is never a guard nor uncommitted. */
static void runs(void)
{
	char barred[2 * TABLE];
	struct t_res res = make();
	uint64_t seed = 3;

	for (unsigned int turn = 0; turn < 10; turn++) {
		set_runs(&res, &seed, barred);
		CHECK_ERR(op(&res, TRACT_OP_DISCARD, 0, 2 * TABLE), 0,
			  "DISCARD");
		write_between(&res, &seed, barred);
		for (unsigned int i = 0; i < 2 * TABLE; i++)
			CHECK_EQ(t_touch_read(page(&res, i)).signal,
				 barred[i] ? SIGSEGV : 0, "page %u", i);
		CHECK_ERR(op(&res, TRACT_OP_UNGUARD, 0, 2 * TABLE), 0,
			  "UNGUARD");
		CHECK_ERR(op(&res, TRACT_OP_COMMIT, 0, 2 * TABLE), 0, "COMMIT");
	}
	t_unmap(&res);
}

/* Every way to have states in eight pages, and a write to each page of them. */
static void states(void)
{
	enum {
		N = 8
	};
	struct t_res res = make();

	/* What is written before it then lies beside a page written. */
	*page(&res, N) = 1;
	for (unsigned int set = 0; set < 256; set++) {
		unsigned int at = set % N;
		bool write = !(set >> at & 1);

		for (unsigned int i = 0; i < N; i++)
			if (set >> i & 1)
				op(&res,
				   i & 1 ? TRACT_OP_GUARD : TRACT_OP_DECOMMIT,
				   i, 1);
		if (write)
			CHECK(!t_touch_write(page(&res, at), 7).signal,
			      "set %#x: signal", set);
		CHECK(!(mapped(&res, N) & set), "set %#x: mapped %#lx", set,
		      mapped(&res, N));
		if (write)
			CHECK_EQ(mapped(&res, N), ~set & 0xff,
				 "set %#x: mapped", set);
		for (unsigned int i = 0; i < N; i++) {
			bool traps = t_touch_read(page(&res, i)).signal;

			CHECK_EQ(traps, set >> i & 1, "set %#x: page %u", set,
				 i);
			if (!traps)
				CHECK_EQ(*page(&res, i),
					 write && i == at ? 7 : 0,
					 "set %#x: page %u", set, i);
		}
		CHECK_ERR(op(&res, TRACT_OP_DISCARD, 0, N), 0, "DISCARD");
		CHECK_ERR(op(&res, TRACT_OP_UNGUARD, 0, N), 0, "UNGUARD");
		CHECK_ERR(op(&res, TRACT_OP_COMMIT, 0, N), 0, "COMMIT");
		CHECK_EQ(mapped(&res, N), 0, "DISCARD left");
	}
	t_unmap(&res);
}

/* What was put there beside another page goes with everything else. */
static void taken_away(void)
{
	struct t_res res = make();

	*page(&res, 3) = 1;
	*page(&res, 4) = 1;
	CHECK_EQ(mapped(&res, 8), 0xff, "mapped");
	CHECK_ERR(op(&res, TRACT_OP_GUARD, 0, 2), 0, "GUARD");
	CHECK_ERR(op(&res, TRACT_OP_DECOMMIT, 6, 2), 0, "DECOMMIT");
	CHECK_EQ(mapped(&res, 8), 0x3c, "mapped");
	for (unsigned int i = 0; i < 8; i++)
		CHECK_EQ(t_touch_write(page(&res, i), 2).signal,
			 i < 2 || i > 5 ? SIGSEGV : 0, "page %u", i);
	CHECK_ERR(op(&res, TRACT_OP_UNGUARD, 0, 2), 0, "UNGUARD");
	CHECK_ERR(op(&res, TRACT_OP_COMMIT, 6, 2), 0, "COMMIT");
	CHECK_EQ(mapped(&res, 8), 0x3c, "mapped");
	CHECK_EQ(*page(&res, 1), 0, "was a guard");
	CHECK_EQ(*page(&res, 6), 0, "was uncommitted");
	CHECK_EQ(*page(&res, 3), 2, "beside them");
	CHECK(!madvise(res.addr, 8 * PAGE, MADV_DONTNEED), "DONTNEED");
	CHECK_EQ(mapped(&res, 8), 0, "DONTNEED left");
	t_unmap(&res);
}

/* Nothing is put beyond the VMA, and nothing in the place of what is there. */
static void bounds(void)
{
	struct t_res res = make();
	char *other;

	/* A hole, somebody else's memory, a split, contents. */
	munmap(page(&res, 0), PAGE);
	other = mmap(page(&res, 1), PAGE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(other == page(&res, 1), "mmap");
	CHECK(!mprotect(page(&res, 6), 2 * PAGE, PROT_READ), "mprotect");
	*page(&res, 5) = 5;
	CHECK_EQ(t_resident(page(&res, 2), 4 * PAGE), 2, "ours");
	*page(&res, 3) = 3;
	CHECK_ERR(op(&res, TRACT_OP_DISCARD, 4, 1), 0, "DISCARD");
	*page(&res, 4) = 4;
	CHECK_EQ(t_resident(page(&res, 0), PAGE), -ENOMEM, "the hole");
	CHECK_EQ(t_resident(other, PAGE), 0, "the stranger");
	CHECK_EQ(t_resident(page(&res, 2), 4 * PAGE), 4, "ours");
	CHECK_EQ(t_resident(page(&res, 6), 2 * PAGE), 0, "split off");
	CHECK_ERR(op(&res, TRACT_OP_DISCARD, 3, 1), 0, "DISCARD");
	*page(&res, 2) = 2;
	*page(&res, 3) = 3;
	CHECK_EQ(*page(&res, 2), 2, "contents");
	CHECK_EQ(*page(&res, 5), 5, "contents");
	/* Where what is mapped may not be written. */
	CHECK(!mprotect(page(&res, 2), 4 * PAGE, PROT_READ), "mprotect");
	CHECK_EQ(t_touch_write(page(&res, 4), 1).code, SEGV_ACCERR, "code");
	CHECK_EQ(*page(&res, 4), 4, "read");
	t_unmap(&res);
}

/* Children have what they inherited, and their own states. */
static void forked(void)
{
	struct t_res res = make();
	int status;
	pid_t pid;

	*page(&res, 0) = 1;
	CHECK_ERR(op(&res, TRACT_OP_GUARD, 9, 1), 0, "GUARD");
	pid = t_fork();
	if (!pid) {
		CHECK_EQ(mapped(&res, WIDE), 0xf, "the child's");
		*page(&res, 2) = 2;
		*page(&res, 10) = 4;
		CHECK_EQ(mapped(&res, WIDE), 0xfdff, "the child's");
		CHECK_EQ(t_touch_read(page(&res, 9)).signal, SIGSEGV,
			 "the child's guard");
		CHECK_EQ(*page(&res, 1), 0, "the child's");
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		t_die("waitpid");
	CHECK(!status, "status %#x", status);
	CHECK_EQ(*page(&res, 2), 0, "the parent's");
	CHECK_EQ(mapped(&res, WIDE), 0xf, "the parent's");
	t_unmap(&res);
}

static void *spin(void *arg)
{
	while (!__atomic_load_n((bool *)arg, __ATOMIC_RELAXED))
		;
	return NULL;
}

static void pin(pthread_t thread, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (pthread_setaffinity_np(thread, sizeof(set), &set))
		t_die("pthread_setaffinity_np");
}

/* Interrupts by which processors told others to forget a translation. */
static long shootdowns(void)
{
	static char line[16 * KIB];
	FILE *f = fopen("/proc/interrupts", "re");
	long sum = 0, n;
	char *at, *end;

	if (!f)
		t_die("interrupts: %s", strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		at = line + strspn(line, " ");
		if (strncmp(at, "TLB:", 4))
			continue;
		for (at += 4; n = strtol(at, &end, 10), end != at; at = end)
			sum += n;
	}
	fclose(f);
	return sum;
}

/* Writing interrupts nobody: see kmod/trap_around.c. */
static void other_processors(void)
{
	const unsigned int windows = LENGTH / PAGE / WINDOW;
	struct t_res res = t_reserve(LENGTH, TRACT_RESERVE_TRAP);
	unsigned int filled = 0;
	bool stop = false;
	pthread_t thread;
	long before;

	pin(pthread_self(), 0);
	if (pthread_create(&thread, NULL, spin, &stop))
		t_die("pthread_create");
	pin(thread, 1);
	usleep(50000);
	before = shootdowns();
	for (unsigned int i = 0; i < windows; i++) {
		*page(&res, i * WINDOW) = 1;
		filled += t_resident(page(&res, i * WINDOW), WINDOW * PAGE) > 1;
		*page(&res, i * WINDOW + 2) = 1;
	}
	t_note("%u of %u windows filled, %ld shootdowns", filled, windows,
	       shootdowns() - before);
	CHECK(filled < windows / 4, "%u of %u windows", filled, windows);
	CHECK(shootdowns() - before < windows / 2, "%ld shootdowns",
	      shootdowns() - before);
	stop = true;
	pthread_join(thread, NULL);
	/* Alone again, though that may be a moment after the join. */
	for (unsigned int turn = 0; turn < 100; turn++) {
		usleep(turn * 1000);
		CHECK(!madvise(res.addr, LENGTH, MADV_DONTNEED), "DONTNEED");
		/* Which, since 6.14, takes an empty page table too. */
		res.addr[MIB] = 1;
		*page(&res, WINDOW) = 1;
		if (mapped(&res, WIDE) != 0x10)
			break;
	}
	CHECK_EQ(mapped(&res, WIDE), 0xf0, "with one thread");
	t_unmap(&res);
}

int main(void)
{
	t_begin("traparound", 60);
	t_fd();
	if (!t_feature(TRACT_FEATURE_TRAP))
		t_skip_all("no trapped reservations here");
	t_touch_begin();
	RUN(around);
	RUN(grows);
	RUN(runs);
	RUN(states);
	RUN(taken_away);
	RUN(bounds);
	RUN(forked);
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(other_processors, "one processor");
	else
		RUN(other_processors);
	return t_end();
}
