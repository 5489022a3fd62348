// SPDX-License-Identifier: MIT
/*
 * What a write to a page of a trapped reservation maps around it: zero pages, and
 * only where nothing else is and the states say that something may be.
 */
#include <pthread.h>

#include "touch.h"

#define WINDOW 8 /* pages, from a multiple of it */
#define LENGTH (4 * MIB)

/* A reservation in which the first page table is there, the window at 0 empty. */
static struct t_res make(void)
{
	struct t_res res = t_reserve(LENGTH, TRACT_RESERVE_TRAP);

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

	CHECK_EQ(mapped(&res, 3 * WINDOW), 0, "at first");
	*page(&res, WINDOW + 3) = 5;
	CHECK_EQ(mapped(&res, 3 * WINDOW), 0xff00, "after a write");
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
	CHECK_EQ(mapped(&res, 3 * WINDOW), 0xff01, "after a read");
	t_unmap(&res);
}

/* Every way to have states in a window, and a write to each page of it. */
static void states(void)
{
	struct t_res res = make();

	for (unsigned int set = 0; set < 256; set++) {
		unsigned int at = set % WINDOW;
		bool write = !(set >> at & 1);

		for (unsigned int i = 0; i < WINDOW; i++)
			if (set >> i & 1)
				op(&res,
				   i & 1 ? TRACT_OP_GUARD : TRACT_OP_DECOMMIT,
				   i, 1);
		if (write)
			CHECK(!t_touch_write(page(&res, at), 7).signal,
			      "set %#x: signal", set);
		CHECK(!(mapped(&res, WINDOW) & set), "set %#x: mapped %#lx",
		      set, mapped(&res, WINDOW));
		if (write && !(set >> (at ^ 1) & 1))
			CHECK(mapped(&res, WINDOW) >> (at ^ 1) & 1,
			      "set %#x: not beside it", set);
		for (unsigned int i = 0; i < WINDOW; i++) {
			bool traps = t_touch_read(page(&res, i)).signal;

			CHECK_EQ(traps, set >> i & 1, "set %#x: page %u", set,
				 i);
			if (!traps)
				CHECK_EQ(*page(&res, i),
					 write && i == at ? 7 : 0,
					 "set %#x: page %u", set, i);
		}
		CHECK_ERR(op(&res, TRACT_OP_DISCARD, 0, WINDOW), 0, "DISCARD");
		CHECK_ERR(op(&res, TRACT_OP_UNGUARD, 0, WINDOW), 0, "UNGUARD");
		CHECK_ERR(op(&res, TRACT_OP_COMMIT, 0, WINDOW), 0, "COMMIT");
		CHECK_EQ(mapped(&res, WINDOW), 0, "DISCARD left");
	}
	t_unmap(&res);
}

/* What was put there beside another page goes with everything else. */
static void taken_away(void)
{
	struct t_res res = make();

	*page(&res, 3) = 1;
	CHECK_EQ(mapped(&res, WINDOW), 0xff, "mapped");
	CHECK_ERR(op(&res, TRACT_OP_GUARD, 0, 2), 0, "GUARD");
	CHECK_ERR(op(&res, TRACT_OP_DECOMMIT, 6, 2), 0, "DECOMMIT");
	CHECK_EQ(mapped(&res, WINDOW), 0x3c, "mapped");
	for (unsigned int i = 0; i < WINDOW; i++)
		CHECK_EQ(t_touch_write(page(&res, i), 2).signal,
			 i < 2 || i > 5 ? SIGSEGV : 0, "page %u", i);
	CHECK_ERR(op(&res, TRACT_OP_UNGUARD, 0, 2), 0, "UNGUARD");
	CHECK_ERR(op(&res, TRACT_OP_COMMIT, 6, 2), 0, "COMMIT");
	CHECK_EQ(mapped(&res, WINDOW), 0x3c, "mapped");
	CHECK_EQ(*page(&res, 1), 0, "was a guard");
	CHECK_EQ(*page(&res, 6), 0, "was uncommitted");
	CHECK_EQ(*page(&res, 3), 2, "beside them");
	CHECK(!madvise(res.addr, WINDOW * PAGE, MADV_DONTNEED), "DONTNEED");
	CHECK_EQ(mapped(&res, WINDOW), 0, "DONTNEED left");
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
	CHECK_EQ(*page(&res, 4), 0, "read");
	t_unmap(&res);
}

/* Children have what they inherited, and their own states. */
static void forked(void)
{
	struct t_res res = make();
	int status;
	pid_t pid;

	*page(&res, 0) = 1;
	CHECK_ERR(op(&res, TRACT_OP_GUARD, WINDOW + 1, 1), 0, "GUARD");
	pid = t_fork();
	if (!pid) {
		CHECK_EQ(mapped(&res, WINDOW), 0xff, "the child's");
		*page(&res, 2) = 2;
		*page(&res, WINDOW + 4) = 4;
		CHECK_EQ(mapped(&res, 2 * WINDOW), 0xfcff, "the child's");
		CHECK_EQ(t_touch_read(page(&res, WINDOW + 1)).signal, SIGSEGV,
			 "the child's guard");
		CHECK_EQ(*page(&res, 1), 0, "the child's");
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		t_die("waitpid");
	CHECK(!status, "status %#x", status);
	CHECK_EQ(*page(&res, 2), 0, "the parent's");
	CHECK_EQ(mapped(&res, 2 * WINDOW), 0xff, "the parent's");
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
	static char text[64 * KIB];
	const char *at;
	char *end;
	long sum = 0, n;

	t_read_file("/proc/interrupts", text, sizeof(text));
	at = strstr(text, " TLB:");
	for (at = at ? at + 5 : ""; n = strtol(at, &end, 10), end != at;
	     at = end)
		sum += n;
	return sum;
}

/* Writing interrupts nobody: see tract_trap_window(). */
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
		*page(&res, i * WINDOW + 1) = 1;
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
		*page(&res, WINDOW) = 1;
		if (mapped(&res, 3 * WINDOW) != 0x100)
			break;
	}
	CHECK_EQ(mapped(&res, 3 * WINDOW), 0xff00, "with one thread");
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
