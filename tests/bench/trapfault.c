// SPDX-License-Identifier: MIT
/*
 * What a page costs that passes through the module, and a stack with a guard.
 * For a virtual machine with virtual time (scripts/vm --icount), where a
 * nanosecond is an instruction.
 *
 *   trapfault [faults|ops|stacks] [COUNT]
 *
 * faults: nanoseconds a page to write to it for the first time, to drop it then,
 * and to read it for the first time: in private anonymous memory without huge
 * pages, in a plain and in a trapped reservation, in these with one page in 2, 4,
 * 16 and 64 touched, and in a trapped one with a guard after every page.
 *
 * ops: nanoseconds an operation on a page, one a call and 1024 a call.
 *
 * stacks: COUNT coroutine stacks of 64 KiB that live at once, each with a guard
 * page and two pages touched; nanoseconds to make (set the guard), touch, and
 * free (drop what was touched, take the guard away) each of them, by the module,
 * by mprotect(), by MADV_GUARD_INSTALL, and by a mapping for each.
 */
#include "observe.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

#define APART 64 /* pages, of those that have nothing to do with each other */
#define STACK (64 * KIB)
#define FREE_LENGTH (STACK - PAGE)

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static char *map(size_t length)
{
	char *at = mmap(NULL, length, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		t_die("mmap: %s", strerror(errno));
	madvise(at, length, MADV_NOHUGEPAGE);
	return at;
}

static double touch_pages(volatile char *at, size_t count, size_t step,
			  bool write)
{
	double start = now_ns();

	for (size_t i = 0; i < count; i++) {
		if (write)
			at[i * step] = 1;
		else
			(void)at[i * step];
	}
	return (now_ns() - start) / count;
}

static double drop_pages(char *at, size_t count, size_t step)
{
	double start = now_ns();

	if (madvise(at, count * step, MADV_DONTNEED))
		t_die("MADV_DONTNEED: %s", strerror(errno));
	return (now_ns() - start) / count;
}

/* Twice: the first turn makes the page tables, the second is what counts. */
static void fault_line(const char *name, char *at, size_t count, size_t step)
{
	double ns[2], dropped;

	for (int write = 0; write < 2; write++) {
		touch_pages(at, count, step, true);
		drop_pages(at, count, step);
		ns[write] = touch_pages(at, count, step, write);
		dropped = drop_pages(at, count, step);
	}
	t_print("%-28s %8.0f %8.0f %8.0f\n", name, ns[1], dropped, ns[0]);
}

/* Every page, and pages ever further apart. */
static void fault_lines(const char *name, char *at, size_t count)
{
	static const size_t steps[] = { 1, 2, 4, 16, APART };
	char line[64];

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		snprintf(line, sizeof(line), "%s, 1 page in %zu", name,
			 steps[i]);
		fault_line(i ? line : name, at, count, steps[i] * PAGE);
	}
}

static void faults(size_t count)
{
	const size_t length = APART * count * PAGE;
	struct t_res res;
	char *at = map(length);

	t_print("%-28s %8s %8s %8s\n", "ns a page", "write", "drop", "read");
	touch_pages(at, count, PAGE, true);
	fault_lines("anonymous", at, count);
	munmap(at, length);
	res = t_reserve(length, TRACT_RESERVE_NOHUGE);
	fault_line("plain", res.addr, count, PAGE);
	t_unmap(&res);
	res = t_reserve(length, TRACT_RESERVE_TRAP);
	fault_lines("trapped", res.addr, count);
	for (size_t i = 0; i < count; i++)
		if (t_op(TRACT_OP_GUARD, res.id, (2 * i + 1) * PAGE, PAGE))
			t_die("GUARD");
	fault_line("trapped, guards between", res.addr, count, 2 * PAGE);
	t_unmap(&res);
}

/* Nanoseconds of one operation on a page, in a batch of its own, or of many. */
static void op_line(const char *name, const struct t_res *res,
		    unsigned int code, size_t count)
{
	static struct tract_op ops[TRACT_BATCH_MAX];
	double start = now_ns(), one, many;

	for (size_t i = 0; i < count; i++)
		if (t_op(code, res->id, 16 * i * PAGE, PAGE))
			t_die("%s", name);
	one = (now_ns() - start) / count;
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
		ops[i] = t_make_op(code, res->id, (16 * i + 8) * PAGE, PAGE);
	start = now_ns();
	if (t_batch(ops, ARRAY_SIZE(ops), NULL))
		t_die("%s", name);
	many = (now_ns() - start) / ARRAY_SIZE(ops);
	t_print("%-28s %8.0f %8.0f\n", name, one, many);
}

static void operations(size_t count)
{
	struct t_res res = t_reserve(16 * (count + TRACT_BATCH_MAX) * PAGE,
				     TRACT_RESERVE_TRAP);

	t_print("%-28s %8s %8s\n", "ns an operation", "single", "of 1024");
	op_line("COMMIT, nothing to do", &res, TRACT_OP_COMMIT, count);
	op_line("DISCARD", &res, TRACT_OP_DISCARD, count);
	op_line("NODUMP", &res, TRACT_OP_NODUMP, count);
	op_line("DODUMP", &res, TRACT_OP_DODUMP, count);
	op_line("GUARD", &res, TRACT_OP_GUARD, count);
	op_line("UNGUARD", &res, TRACT_OP_UNGUARD, count);
	t_unmap(&res);
}

/* A way to have stacks: each verb returns 0 or -errno. */
struct way {
	const char *name;
	int (*begin)(size_t count);
	int (*make)(size_t i);
	int (*drop)(size_t i);
	void (*end)(size_t count);
};

static char *base;
static char **mapped;
static struct t_res pool;

static char *stack_at(size_t i)
{
	return mapped ? mapped[i] : base + i * STACK;
}

static int area_begin(size_t count)
{
	base = map(count * STACK);
	return 0;
}

static void area_end(size_t count)
{
	munmap(base, count * STACK);
}

static int check(int ret)
{
	return ret ? -errno : 0;
}

static int protect_make(size_t i)
{
	return check(mprotect(stack_at(i), PAGE, PROT_NONE));
}

static int protect_drop(size_t i)
{
	int err =
		check(madvise(stack_at(i) + PAGE, FREE_LENGTH, MADV_DONTNEED));

	return err ? err :
		     check(mprotect(stack_at(i), PAGE, PROT_READ | PROT_WRITE));
}

static int guard_make(size_t i)
{
	return check(madvise(stack_at(i), PAGE, MADV_GUARD_INSTALL));
}

static int guard_drop(size_t i)
{
	int err =
		check(madvise(stack_at(i) + PAGE, FREE_LENGTH, MADV_DONTNEED));

	return err ? err : check(madvise(stack_at(i), PAGE, MADV_GUARD_REMOVE));
}

static int mapping_begin(size_t count)
{
	mapped = (char **)map(count * sizeof(*mapped));
	return 0;
}

static int mapping_make(size_t i)
{
	mapped[i] = mmap(
		NULL, STACK, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (mapped[i] == MAP_FAILED)
		return -errno;
	return check(mprotect(mapped[i], PAGE, PROT_NONE));
}

static int mapping_drop(size_t i)
{
	return check(munmap(mapped[i], STACK));
}

static void mapping_end(size_t count)
{
	munmap(mapped, count * sizeof(*mapped));
	mapped = NULL;
}

static int tract_begin(size_t count)
{
	int err = t_reserve_raw(count * STACK, 0, TRACT_RESERVE_TRAP, &pool);

	base = pool.addr;
	return err;
}

static int tract_make(size_t i)
{
	return t_op(TRACT_OP_GUARD, pool.id, i * STACK, PAGE);
}

static int tract_drop(size_t i)
{
	struct tract_op ops[] = {
		t_make_op(TRACT_OP_DISCARD, pool.id, i * STACK + PAGE,
			  FREE_LENGTH),
		t_make_op(TRACT_OP_UNGUARD, pool.id, i * STACK, PAGE),
	};
	int err = t_batch(ops, 2, NULL);

	return err		 ? err :
	       ops[0].out_result ? ops[0].out_result :
				   ops[1].out_result;
}

static void tract_end(size_t count)
{
	(void)count;
	t_unmap(&pool);
}

static const struct way ways[] = {
	{ "tract", tract_begin, tract_make, tract_drop, tract_end },
	{ "mprotect", area_begin, protect_make, protect_drop, area_end },
	{ "MADV_GUARD_INSTALL", area_begin, guard_make, guard_drop, area_end },
	{ "a mapping each", mapping_begin, mapping_make, mapping_drop,
	  mapping_end },
};

/* Kilobytes that the kernel uses for itself, page tables aside. */
static long kernel_kib(void)
{
	static char text[16 * KIB];
	const char *at;

	t_read_file("/proc/meminfo", text, sizeof(text));
	at = strstr(text, "SUnreclaim:");
	return at ? atol(at + strlen("SUnreclaim:")) : 0;
}

static void run_way(const struct way *way, size_t count)
{
	double made, touched, dropped, start;
	long maps = t_map_count(0), kib = kernel_kib();
	int err = way->begin(count);
	size_t n = 0;

	if (err) {
		t_print("%-20s not here: %s\n", way->name, strerror(-err));
		return;
	}
	start = now_ns();
	while (n < count && !(err = way->make(n)))
		n++;
	made = now_ns() - start;
	start = now_ns();
	for (size_t i = 0; i < n; i++) {
		volatile char *top = stack_at(i) + STACK;

		top[-8] = 1;
		top[-(long)PAGE - 8] = 1;
	}
	touched = now_ns() - start;
	maps = t_map_count(0) - maps;
	kib = kernel_kib() - kib;
	start = now_ns();
	for (size_t i = 0; i < n; i++)
		if (way->drop(i))
			t_die("%s: drop", way->name);
	dropped = now_ns() - start;
	way->end(count);
	if (!n) {
		t_print("%-20s not here: %s\n", way->name, strerror(-err));
		return;
	}
	t_print("%-20s %7zu %-7s %7ld %9ld %8.0f %8.0f %8.0f %8.0f\n",
		way->name, n, err ? strerrorname_np(-err) : "", maps, kib,
		made / n, touched / n, dropped / n,
		(made + touched + dropped) / n);
}

static void stacks(size_t count)
{
	t_print("%-20s %7s %-7s %7s %9s %8s %8s %8s %8s\n", "", "stacks",
		"then", "VMAs", "slab KiB", "make ns", "touch ns", "free ns",
		"all ns");
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		run_way(&ways[i], count);
}

int main(int argc, char **argv)
{
	bool only_faults = argc > 1 && !strcmp(argv[1], "faults");
	bool only_stacks = argc > 1 && !strcmp(argv[1], "stacks");
	bool only_ops = argc > 1 && !strcmp(argv[1], "ops");
	size_t count = argc > 2 ? strtoul(argv[2], NULL, 0) : 0;

	t_begin("trapfault", 3000);
	t_fd();
	if (!t_feature(TRACT_FEATURE_TRAP))
		t_skip_all("no trapped reservations here");
	if (!only_stacks && !only_ops)
		faults(count ? count : 10000);
	if (!only_faults && !only_stacks)
		operations(count ? count : 10000);
	if (!only_faults && !only_ops)
		stacks(count ? count : 100000);
	return 0;
}
