// SPDX-License-Identifier: MIT
/*
 * Islands: a reservation within reach of an address, the nearest there is, or an
 * answer that says there is none.  And memory that is executable.
 */
#include <pthread.h>

#include "observe.h"

#define NEAR TRACT_RESERVE_NEAR
#define EXEC TRACT_RESERVE_EXEC
#define NONE (-EADDRNOTAVAIL)

/* An area of the test's own, in which it says what is free. */
struct area {
	char *base;
	size_t length;
};

static struct area make_area(size_t length)
{
	char *base = mmap(NULL, length, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		t_die("mmap: %s", strerror(errno));
	return (struct area){ base, length };
}

static int reserve_near(const void *near, __u64 reach, size_t length,
			__u64 align, unsigned int flags, struct t_res *res)
{
	struct tract_reserve arg = {
		.size = sizeof(arg),
		.flags = flags | NEAR,
		.length = length,
		.align = align,
		.near = (uintptr_t)near,
		.reach = reach,
	};
	int err = t_ioctl(TRACT_IOC_RESERVE, &arg);

	*res = (struct t_res){ 0 };
	if (!err)
		*res = (struct t_res){ (char *)(uintptr_t)arg.out_address,
				       length, arg.out_id };
	return err;
}

static bool within(const struct t_res *res, const char *near, __u64 reach)
{
	uintptr_t low = (uintptr_t)near > reach ? (uintptr_t)near - reach : 0;
	uintptr_t high = (uintptr_t)near + reach;

	return (uintptr_t)res->addr >= low &&
	       (uintptr_t)res->addr + res->length <= high;
}

/* Around code, as a JIT compiler wants it. */
static void around_code(void)
{
	static const __u64 reaches[] = { 16 * MIB, 128 * MIB, GIB, 2 * GIB };
	const char *near = (const char *)(uintptr_t)&around_code;

	for (size_t i = 0; i < ARRAY_SIZE(reaches); i++) {
		long maps = t_map_count(0);
		struct t_res res;

		if (!CHECK_ERR(reserve_near(near, reaches[i], MIB, 0, 0, &res),
			       0, "reach %#llx", reaches[i]))
			continue;
		CHECK(within(&res, near, reaches[i]), "%p is not near %p",
		      res.addr, near);
		CHECK_EQ(t_map_count(0), maps + 1, "VMAs");
		t_fill(res.addr, res.length, 1);
		CHECK_EQ(t_wrong(res.addr, res.length, 1), -1, "lost at");
		t_unmap(&res);
	}
}

/* With one hole in the area that is the place; with two the nearer. */
static void nearest(void)
{
	struct area area = make_area(64 * MIB);
	char *mid = area.base + 32 * MIB;
	struct t_res res;

	CHECK_ERR(reserve_near(mid, 16 * MIB, PAGE, 0, 0, &res), NONE, "full");
	munmap(mid + 4 * MIB, 4 * PAGE);
	if (CHECK_ERR(reserve_near(mid, 16 * MIB, PAGE, 0, 0, &res), 0,
		      "a hole above")) {
		CHECK(res.addr == mid + 4 * MIB, "%p", res.addr);
		t_unmap(&res);
	}
	CHECK_ERR(reserve_near(mid, 16 * MIB, 5 * PAGE, 0, 0, &res), NONE,
		  "too small");
	munmap(mid - 2 * MIB, 4 * PAGE);
	if (CHECK_ERR(reserve_near(mid, 16 * MIB, PAGE, 0, 0, &res), 0,
		      "a nearer hole below")) {
		CHECK(res.addr == mid - 2 * MIB + 3 * PAGE, "%p", res.addr);
		t_unmap(&res);
	}
	if (CHECK_ERR(reserve_near(mid, 16 * MIB, 4 * PAGE, 0, 0, &res), 0,
		      "all of it")) {
		CHECK(res.addr == mid - 2 * MIB, "%p", res.addr);
		/* Taken: the other. */
		struct t_res other;

		CHECK_ERR(reserve_near(mid, 16 * MIB, PAGE, 0, 0, &other), 0,
			  "the farther");
		CHECK(other.addr == mid + 4 * MIB, "%p", other.addr);
		t_unmap(&other);
		t_unmap(&res);
	}
	/* The edge of what can be reached is exact. */
	CHECK_ERR(reserve_near(mid, 2 * MIB - PAGE, PAGE, 0, 0, &res), 0,
		  "a byte's reach");
	t_unmap(&res);
	CHECK_ERR(reserve_near(mid, 2 * MIB - 4 * PAGE, PAGE, 0, 0, &res), NONE,
		  "a page short");
	CHECK_ERR(reserve_near(mid, 2 * MIB - 1, 4 * PAGE, 0, 0, &res), NONE,
		  "a byte short");
	CHECK_ERR(reserve_near(mid, 2 * MIB, 4 * PAGE, 0, 0, &res), 0,
		  "just so");
	t_unmap(&res);
	munmap(area.base, area.length);
}

/* @near in the midst of the only hole, and a reach that needs both sides. */
static void across(void)
{
	struct area area = make_area(64 * MIB);
	char *mid = area.base + 32 * MIB;
	struct t_res res;

	munmap(mid - 2 * PAGE, 4 * PAGE);
	if (CHECK_ERR(reserve_near(mid, 2 * PAGE, 4 * PAGE, 0, 0, &res), 0,
		      "four pages")) {
		CHECK(res.addr == mid - 2 * PAGE, "%p", res.addr);
		t_unmap(&res);
	}
	CHECK_ERR(reserve_near(mid, 2 * PAGE - 1, 4 * PAGE, 0, 0, &res), NONE,
		  "a byte short");
	CHECK_ERR(reserve_near(mid, 2 * PAGE, 5 * PAGE, 0, 0, &res), NONE,
		  "more than can be");
	munmap(area.base, area.length);
}

/* The heap has its room to grow into, as long as there is anything else. */
static void beside_the_heap(void)
{
	char *heap = sbrk(0), *room = heap + GIB;
	struct t_res res;

	if (CHECK_ERR(reserve_near(heap + MIB, 4 * GIB, MIB, 0, 0, &res), 0,
		      "near the heap")) {
		CHECK(res.addr + MIB <= heap || res.addr >= room,
		      "%p, the heap is at %p", res.addr, heap);
		CHECK(sbrk(64 * MIB) == heap, "no heap: %s", strerror(errno));
		sbrk(-64 * MIB);
		t_unmap(&res);
	}
	if (CHECK_ERR(
		    reserve_near(heap + 512 * MIB, 256 * MIB, MIB, 0, 0, &res),
		    0, "nowhere else")) {
		CHECK(res.addr >= heap && res.addr < room, "%p", res.addr);
		t_unmap(&res);
	}
}

/*
 * Gaps that are large enough but hold no multiple of the alignment.  @mid is
 * @phase MiB above a multiple of 8 MiB: which of the gaps hold such a multiple
 * must not depend on where the kernel put the area.
 */
static void aligned_at(size_t phase)
{
	struct area area = make_area(64 * MIB);
	char *mid = (char *)(((uintptr_t)area.base + 32 * MIB) & -(8 * MIB)) +
		    phase * MIB;
	char *whole = phase == 0 ? mid - 8 * MIB :
		      phase == 5 ? mid + 3 * MIB :
				   NULL;
	struct t_res res;

	munmap(mid + MIB + PAGE, MIB - PAGE); /* above: none */
	munmap(mid + 3 * MIB - PAGE, MIB);    /* farther: one MiB in it */
	munmap(mid - 4 * MIB + PAGE, MIB - 2 * PAGE); /* below: none */
	munmap(mid - 8 * MIB, MIB);
	if (CHECK_ERR(reserve_near(mid, 16 * MIB, MIB / 2, MIB, 0, &res), 0,
		      "aligned to 1 MiB, phase %zu", phase)) {
		CHECK(res.addr == mid + 3 * MIB, "%p", res.addr);
		t_unmap(&res);
	}
	if (CHECK_ERR(reserve_near(mid, 16 * MIB, MIB, MIB, 0, &res), 0,
		      "1 MiB, aligned, phase %zu", phase)) {
		CHECK(res.addr == mid - 8 * MIB, "%p", res.addr);
		t_unmap(&res);
	}
	if (CHECK_ERR(reserve_near(mid, 16 * MIB, MIB / 2, 4 * PAGE, 0, &res),
		      0, "aligned to 16 KiB, phase %zu", phase)) {
		CHECK(res.addr == mid + MIB + 4 * PAGE, "%p", res.addr);
		t_unmap(&res);
	}
	CHECK_ERR(reserve_near(mid, 16 * MIB, PAGE, 8 * MIB, 0, &res),
		  whole ? 0 : NONE, "8 MiB, phase %zu", phase);
	CHECK(res.addr == whole, "%p, not %p", res.addr, whole);
	if (res.addr)
		t_unmap(&res);
	munmap(area.base, area.length);
}

static void aligned(void)
{
	for (size_t phase = 0; phase < 8; phase++)
		aligned_at(phase);
}

/* However little is free: islands until there are none, none outside. */
static void fill_up(void)
{
	struct area area = make_area(16 * MIB);
	char *mid = area.base + 8 * MIB;
	static struct t_res res[128];
	unsigned int n = 0;

	for (size_t at = MIB; at < 15 * MIB; at += 2 * MIB)
		munmap(area.base + at, 16 * PAGE);
	while (n < ARRAY_SIZE(res) &&
	       !reserve_near(mid, 8 * MIB, 2 * PAGE, 0, 0, &res[n])) {
		CHECK(within(&res[n], mid, 8 * MIB), "%p", res[n].addr);
		n++;
	}
	CHECK_EQ(n, 7 * 8, "islands");
	while (n--)
		t_unmap(&res[n]);
	munmap(area.base, area.length);
}

static void ends_of_the_world(void)
{
	struct t_res res;

	/* Saturating, not wrapping. */
	CHECK_ERR(reserve_near((void *)0x10000, GIB, MIB, 0, 0, &res), 0,
		  "at the bottom");
	CHECK((uintptr_t)res.addr >= 0x10000, "%p", res.addr);
	t_unmap(&res);
	CHECK_ERR(reserve_near(NULL, GIB, MIB, 0, 0, &res), 0, "near 0");
	CHECK(within(&res, NULL, GIB), "%p", res.addr);
	t_unmap(&res);
	CHECK_ERR(reserve_near((void *)-1, PAGE, PAGE, 0, 0, &res), NONE,
		  "at the top");
	CHECK_ERR(reserve_near((void *)-1, -1, PAGE, 0, 0, &res), 0,
		  "at the top, with a long arm");
	t_unmap(&res);
	CHECK_ERR(reserve_near(NULL, -1, PAGE, 0, 0, &res), 0, "anywhere");
	t_unmap(&res);
	CHECK_ERR(reserve_near(NULL, PAGE, PAGE, 0, 0, &res), NONE,
		  "below mmap_min_addr");
	CHECK_ERR(reserve_near((void *)0x7fff00001234, GIB, PAGE, 0, 0, &res),
		  0, "an odd address");
	t_unmap(&res);
}

static void bad_input(void)
{
	static const struct {
		unsigned int flags;
		__u64 length, align, near, reach;
		int err;
	} bad[] = {
		{ NEAR, PAGE, 0, 0, 0, -EINVAL },
		{ NEAR, PAGE, 0, MIB, 0, -EINVAL },
		{ 0, PAGE, 0, MIB, 0, -EINVAL },
		{ 0, PAGE, 0, 0, MIB, -EINVAL },
		{ EXEC, PAGE, 0, MIB, MIB, -EINVAL },
		{ NEAR, 0, 0, GIB, GIB, -EINVAL },
		{ NEAR, PAGE + 1, 0, GIB, GIB, -EINVAL },
		{ NEAR, PAGE, PAGE / 2, GIB, GIB, -EINVAL },
		{ NEAR, PAGE, 3 * PAGE, GIB, GIB, -EINVAL },
		{ NEAR, PAGE, 2 * GIB, GIB, GIB, -EINVAL },
		{ 0, PAGE, PAGE, 0, 0, -EINVAL },
		{ NEAR, 2 * GIB, 0, 64 * GIB, GIB - 1, NONE },
		{ 1u << 5, PAGE, 0, 0, 0, -EOPNOTSUPP },
		{ 1u << 31, PAGE, 0, 0, 0, -EOPNOTSUPP },
	};
	long maps = t_map_count(0);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct tract_reserve arg = {
			.size = sizeof(arg),
			.flags = bad[i].flags,
			.length = bad[i].length,
			.align = bad[i].align,
			.near = bad[i].near,
			.reach = bad[i].reach,
		};

		CHECK_ERR(t_ioctl(TRACT_IOC_RESERVE, &arg), bad[i].err,
			  "case %zu", i);
	}
	CHECK_EQ(t_map_count(0), maps, "VMAs");
}

/* The first version of the structure: no near, no reach. */
static void old_size(void)
{
	struct tract_reserve arg = { .size = 40, .length = PAGE };

	arg.near = arg.reach = -1;
	CHECK_ERR(t_ioctl(TRACT_IOC_RESERVE, &arg), 0, "40 bytes");
	CHECK_EQ(arg.near, -1, "near written");
	munmap((void *)(uintptr_t)arg.out_address, PAGE);
	arg.flags = NEAR;
	CHECK_ERR(t_ioctl(TRACT_IOC_RESERVE, &arg), -EINVAL,
		  "40 bytes with NEAR");
}

static int run_code(char *at)
{
	/* mov $42, %eax; ret.  On other machines only the flags are tested. */
	static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
	int (*fn)(void);

	memcpy(at, code, sizeof(code));
	memcpy(&fn, &at, sizeof(fn));
#ifdef __x86_64__
	return fn();
#else
	return 42;
#endif
}

static void executable(void)
{
	static const unsigned int kinds[] = { 0, TRACT_RESERVE_TRAP,
					      TRACT_RESERVE_NOHUGE };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct t_res res;
		struct t_vma vma;
		int err = t_reserve_raw(2 * MIB, 0, EXEC | kinds[i], &res);

		if (err == -EACCES || err == -EPERM) {
			CHECK(1, "not allowed here");
			t_note("no executable memory here: %s", strerror(-err));
			return;
		}
		if (!CHECK_ERR(err, 0, "RESERVE, EXEC, %#x", kinds[i]))
			continue;
		CHECK(t_find_vma(res.addr, &vma), "no VMA");
		CHECK(!strcmp(vma.perms, "rwxp"), "expected rwxp, found %s",
		      vma.perms);
		CHECK_EQ(run_code(res.addr), 42, "the code");
		CHECK_ERR(t_decommit(&res, 0, PAGE), 0, "DECOMMIT");
		t_unmap(&res);
		/* Without the flag it may still be made executable. */
		res = t_reserve(2 * MIB, kinds[i]);
		CHECK(t_find_vma(res.addr, &vma), "no VMA");
		CHECK(!strcmp(vma.perms, "rw-p"), "expected rw-p, found %s",
		      vma.perms);
		CHECK(!mprotect(res.addr, PAGE,
				PROT_READ | PROT_WRITE | PROT_EXEC),
		      "mprotect: %s", strerror(errno));
		CHECK_EQ(run_code(res.addr), 42, "the code");
		t_unmap(&res);
	}
}

/* Others map and unmap all the time: an island is always found, at once. */
static volatile bool stop;

static void *mapper(void *arg)
{
	(void)arg;
	while (!stop) {
		void *p = mmap(NULL, 16 * PAGE, PROT_READ,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		munmap(p, 16 * PAGE);
	}
	return NULL;
}

static void races(void)
{
	char *near =
		mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t threads[2];
	struct t_res res;

	for (int i = 0; i < 2; i++)
		if (pthread_create(&threads[i], NULL, mapper, NULL))
			t_die("pthread_create");
	for (int i = 0; i < 500; i++) {
		if (!CHECK_ERR(
			    reserve_near(near, 64 * MIB, 8 * PAGE, 0, 0, &res),
			    0, "turn %d", i))
			break;
		CHECK(within(&res, near, 64 * MIB), "%p", res.addr);
		t_unmap(&res);
	}
	stop = true;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	munmap(near, PAGE);
}

int main(void)
{
	t_begin("island", 60);
	t_fd();
	if (!t_feature(TRACT_FEATURE_ISLAND))
		t_skip_all("no islands here");
	RUN(around_code);
	RUN(nearest);
	RUN(across);
	RUN(beside_the_heap);
	RUN(aligned);
	RUN(fill_up);
	RUN(ends_of_the_world);
	RUN(bad_input);
	RUN(old_size);
	RUN(executable);
	RUN(races);
	return t_end();
}
