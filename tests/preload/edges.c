// SPDX-License-Identifier: MIT
/*
 * One thing at a time: errors, dump flags, what a program does past the preload,
 * and that taking pieces out of a mapping costs no mappings.
 */
#include "preload.h"

#include <stdio.h>
#include <sys/wait.h>

#define RW (PROT_READ | PROT_WRITE)
#define PROT_SEM 8
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static char *map(size_t pages)
{
	return mmap(NULL, pages * PAGE, RW, ANON | MAP_NORESERVE, -1, 0);
}

/* What smaps says as @name of the mapping that has @p in it; "": nothing. */
static const char *mapping_field(const void *p, const char *name)
{
	static char line[512];
	FILE *smaps = fopen("/proc/self/smaps", "r");
	unsigned long start, end;
	bool here = false, found = false;

	while (!found && fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start <= (unsigned long)p &&
			       (unsigned long)p < end;
		else
			found = here && !strncmp(line, name, strlen(name));
	}
	fclose(smaps);
	return found ? line + strlen(name) : "";
}

/* Is @flag among the VmFlags of the mapping that has @p in it? */
static bool has_flag(const void *p, const char *flag)
{
	return strstr(mapping_field(p, "VmFlags:"), flag);
}

static bool fails(long ret, int error)
{
	return ret == -1 && errno == error;
}

static void test_errors(void)
{
	char *p = map(512);

	tap_ok(fails(munmap(p + 1, PAGE), EINVAL) &&
		       fails(munmap(p, 0), EINVAL) &&
		       fails(munmap(p, SIZE_MAX - PAGE), EINVAL),
	       "munmap of nonsense");
	tap_ok(fails(mprotect(p + 1, PAGE, RW), EINVAL) &&
		       fails(mprotect(p, PAGE, 0x1000000), EINVAL) &&
		       !mprotect(p, 0, RW),
	       "mprotect of nonsense");
	tap_ok(fails(madvise(p + 1, PAGE, MADV_DONTNEED), EINVAL) &&
		       fails(madvise(p, PAGE, 9999), EINVAL) &&
		       !madvise(p, 0, MADV_DONTNEED),
	       "madvise of nonsense");
	tap_ok(fails((long)mremap(p, PAGE, 0, 0), EINVAL) &&
		       fails((long)mremap(p + 1, PAGE, PAGE, 0), EINVAL) &&
		       fails((long)mremap(p, PAGE, PAGE, 64), EINVAL),
	       "mremap of nonsense");
	tap_ok(fails((long)mmap(NULL, 0, RW, ANON, -1, 0), EINVAL) &&
		       fails((long)mmap(NULL, SIZE_MAX, RW, ANON, -1, 0),
			     ENOMEM) &&
		       fails((long)mmap(NULL, (size_t)1 << 47, RW,
					ANON | MAP_NORESERVE, -1, 0),
			     ENOMEM) &&
		       fails((long)mmap(p + 1, PAGE, RW, ANON | MAP_FIXED, -1,
					0),
			     EINVAL) &&
		       fails((long)mmap(NULL, PAGE, RW, MAP_PRIVATE, -1, 0),
			     EBADF),
	       "mmap of nonsense");
	p[0] = 7;
	tap_ok(!posix_madvise(p, PAGE, POSIX_MADV_DONTNEED) && p[0] == 7,
	       "posix_madvise loses nothing");
	errno = 0;
	tap_ok(posix_madvise(p, PAGE, 77) == EINVAL && !errno,
	       "and returns its errors");
	munmap(p, 512 * PAGE);
}

static void test_dump(void)
{
	char *p = map(600);
	bool flag;

	memset(p, 1, 600 * PAGE);
	madvise(p + 100 * PAGE, PAGE, MADV_DONTDUMP);
	tap_ok(has_flag(p + 100 * PAGE, " dd") == !trapped &&
		       !has_flag(p, " dd"),
	       "a live page is left out of dumps");
	madvise(p + 100 * PAGE, PAGE, MADV_DODUMP);
	tap_ok(!has_flag(p + 100 * PAGE, " dd"), "and put in again");
	madvise(p + 200 * PAGE, 20 * PAGE, MADV_DONTNEED);
	madvise(p + 204 * PAGE, 4 * PAGE, MADV_DONTDUMP);
	flag = has_flag(p + 204 * PAGE, " dd");
	tap_ok(flag == !preloaded, "a page given up needs no flag");
	madvise(p + 204 * PAGE, 4 * PAGE, MADV_DONTDUMP);
	tap_ok(has_flag(p + 204 * PAGE, " dd") == !trapped,
	       "asked again, it gets one");
	madvise(p + 300 * PAGE, 4 * PAGE, MADV_DONTNEED);
	p[301 * PAGE] = 1;
	madvise(p + 300 * PAGE, 4 * PAGE, MADV_DONTDUMP);
	tap_ok(has_flag(p + 301 * PAGE, " dd") == !trapped,
	       "one that was written since does");
	madvise(p + 400 * PAGE, 4 * PAGE, MADV_DONTNEED);
	madvise(p + 402 * PAGE, 4 * PAGE, MADV_DONTDUMP);
	tap_ok(has_flag(p + 405 * PAGE, " dd") == !trapped,
	       "and one beside it");
	munmap(p, 600 * PAGE);
}

/* Each advice, and after it each other, on a page for itself. */
static unsigned int refused_advice(char *p, const int *advices, size_t count)
{
	unsigned int refused = 0;

	for (size_t i = 0; i < count * count; i++, p += 2 * PAGE) {
		int first = advices[i / count], second = advices[i % count];

		if (!madvise(p, PAGE, first) && !madvise(p, PAGE, second))
			continue;
		tap_note("advice %d, then %d: %s", first, second,
			 strerror(errno));
		refused++;
	}
	return refused;
}

/*
 * Advice in any order, in a child too, and on what its parent had left out of dumps:
 * what the kernel takes on any memory it takes on this.
 */
static void test_advice(void)
{
	static const int all[] = {
		MADV_NORMAL,   MADV_RANDOM,   MADV_SEQUENTIAL, MADV_WILLNEED,
		MADV_DONTNEED, MADV_FREE,     MADV_DOFORK,     MADV_KEEPONFORK,
		MADV_DODUMP,   MADV_DONTDUMP, MADV_HUGEPAGE,   MADV_NOHUGEPAGE,
		MADV_COLD,     MADV_PAGEOUT,  MADV_MERGEABLE,
	};
	int advices[ARRAY_SIZE(all)], status = -1;
	size_t count = 0, pages;
	/* Small, and charged: none of ours. */
	char *p = mmap(NULL, PAGE, RW, ANON, -1, 0);
	pid_t child;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (!madvise(p, PAGE, all[i]))
			advices[count++] = all[i];
	munmap(p, PAGE);
	pages = count * count * 2;
	p = map(3 * pages);
	memset(p, 1, 3 * pages * PAGE);
	for (size_t i = 0; i < pages; i += 2)
		madvise(p + (2 * pages + i) * PAGE, PAGE, MADV_DONTDUMP);
	tap_ok(!refused_advice(p, advices, count), "%zu kinds of advice",
	       count);
	child = fork();
	if (!child)
		_exit(refused_advice(p + pages * PAGE, advices, count) ||
		      refused_advice(p + 2 * pages * PAGE, advices, count));
	waitpid(child, &status, 0);
	tap_ok(!status, "and in a child");
	munmap(p, 3 * pages * PAGE);
}

/* What is done by system calls of the program's own. */
static void test_past(void)
{
	char *p = map(64), *file;
	int fd = memfd_create("past", MFD_CLOEXEC);

	if (ftruncate(fd, 4 * PAGE) || pwrite(fd, "x", 1, 0) != 1)
		tap_note("memfd: %s", strerror(errno));
	memset(p, 1, 64 * PAGE);
	syscall(SYS_mprotect, p + 8 * PAGE, PAGE, PROT_NONE);
	tap_ok(!mprotect(p + 8 * PAGE, PAGE, RW) && peek(p + 8 * PAGE) == 1,
	       "a protection set past us is changed");
	syscall(SYS_munmap, p + 16 * PAGE, 4 * PAGE);
	file = (char *)syscall(SYS_mmap, p + 16 * PAGE, 4 * PAGE, PROT_READ,
			       MAP_SHARED | MAP_FIXED, fd, 0);
	tap_ok(file == p + 16 * PAGE && *file == 'x', "a file past us");
	tap_ok(!munmap(file, 4 * PAGE) && peek(file) == FAULT,
	       "is unmapped as it should be");
	syscall(SYS_munmap, p + 32 * PAGE, 4 * PAGE);
	syscall(SYS_mmap, p + 32 * PAGE, 4 * PAGE, PROT_READ,
		MAP_SHARED | MAP_FIXED, fd, 0);
	file = mmap(p + 32 * PAGE, 4 * PAGE, RW, ANON | MAP_FIXED, -1, 0);
	tap_ok(file == p + 32 * PAGE && *file == 0 && poke(file, 9) &&
		       *file == 9,
	       "and mapped over");
	syscall(SYS_munmap, p + 40 * PAGE, 4 * PAGE);
	tap_ok(trapped || fails(madvise(p + 40 * PAGE, 4 * PAGE, MADV_DONTNEED),
				ENOMEM),
	       "a gap made past us is seen by madvise");
	tap_ok(fails(mprotect(p + 40 * PAGE, 4 * PAGE, PROT_READ), ENOMEM),
	       "and by mprotect");
	tap_ok(!munmap(p + 40 * PAGE, 4 * PAGE), "unmapping it is no error");
	syscall(SYS_munmap, p, 64 * PAGE);
	file = mmap(p, 4 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	tap_ok(file == p && !madvise(file, 4 * PAGE, MADV_DONTNEED) &&
		       *file == 'x' && !munmap(file, 4 * PAGE) &&
		       peek(file) == FAULT,
	       "all of it unmapped past us, a file takes its place");
	close(fd);
	p = map(64);
	munmap(p + 8 * PAGE, 4 * PAGE);
	syscall(SYS_munmap, p, 64 * PAGE);
	file = map(4);
	tap_ok(file != MAP_FAILED && poke(file, 1) && poke(p = map(64), 1),
	       "a hole unmapped past us is not used again");
	munmap(file, 4 * PAGE);
	munmap(p, 64 * PAGE);
}

static void test_holes(void)
{
	size_t pages = 4096, i, bad = 0;
	char *p = map(pages), *q;
	long before, after;

	memset(p, 1, pages * PAGE);
	before = process_vmas();
	for (i = 1; i < pages; i += 4)
		bad += munmap(p + i * PAGE, 2 * PAGE) != 0;
	after = process_vmas();
	tap_ok(!bad, "%zu pieces unmapped, %zu errors", pages / 4, bad);
	if (preloaded)
		tap_ok(after <= before + 2, "mappings %ld, before %ld", after,
		       before);
	else
		tap_ok(after >= before + 1000, "mappings %ld, before %ld",
		       after, before);
	for (i = 0; i < pages; i++)
		bad += i % 4 == 1 || i % 4 == 2 ?
			       holes_fault && peek(p + i * PAGE) != FAULT :
			       p[i * PAGE] != 1;
	tap_ok(!bad, "what remains is there, what is gone faults");
	/* A stray write, where it is not noticed, is no one else's. */
	if (!holes_fault)
		poke(p + PAGE, 5);
	q = map(2);
	tap_ok(!preloaded || trapped || (q > p && q < p + pages * PAGE),
	       "the next mapping takes a hole");
	tap_ok(!q[0] && !q[2 * PAGE - 1] && poke(q, 1), "which is zero");
	munmap(q, 2 * PAGE);
	munmap(p, pages * PAGE);
	tap_ok(peek(p) == FAULT && peek(p + 2000 * PAGE) == FAULT &&
		       process_vmas() <= before + 2,
	       "unmapped whole, nothing stays: %ld", process_vmas());
}

static void test_guards(void)
{
	size_t pages = 4096, i, bad = 0;
	char *p = map(pages);
	long before = process_vmas(), after;

	memset(p + 2048 * PAGE, 1, 1024 * PAGE);
	for (i = 0; i < pages; i += 4)
		bad += mprotect(p + i * PAGE, PAGE, PROT_NONE) != 0;
	after = process_vmas();
	tap_ok(!bad, "%zu guards, %zu errors", pages / 4, bad);
	if (preloaded && holes_fault)
		tap_ok(after <= before + 2 + 1024 / 4 * 2,
		       "mappings %ld, before %ld: only pages with contents",
		       after, before);
	else
		tap_ok(after > before + 1500, "mappings %ld, before %ld", after,
		       before);
	for (i = 0; i < pages; i += 4)
		bad += peek(p + i * PAGE) != FAULT ||
		       peek(p + (i + 1) * PAGE) == FAULT;
	tap_ok(!bad, "each faults, and its neighbour does not");
	for (i = 0; i < pages; i += 4)
		bad += mprotect(p + i * PAGE, PAGE, RW) != 0 ||
		       peek(p + i * PAGE) != (i >= 2048 && i < 3072);
	tap_ok(!bad, "taken away, contents are what they were");
	/* Reservations do not grow together again where they were split. */
	tap_ok(process_vmas() <= before + 2 + (trapped ? 1024 / 4 * 2 : 0),
	       "mappings %ld", process_vmas());
	munmap(p, pages * PAGE);
}

/*
 * What is written after MADV_FREE stays, though the kernel is not told of it;
 * what is not is old or zero, whenever it is looked at.
 */
static void test_free(void)
{
	size_t pages = 1024, gone = 0, lost = 0, wrong = 0;
	char *p = map(pages);

	memset(p, 1, pages * PAGE);
	tap_ok(!madvise(p, pages * PAGE, MADV_FREE), "MADV_FREE");
	for (size_t i = 0; i < pages; i += 2)
		p[i * PAGE] = 2;
	/* Has the kernel free at once what it may. */
	madvise(p, pages * PAGE, MADV_PAGEOUT);
	process_sleep(1.5);
	for (size_t i = 0; i < pages; i++) {
		gone += !p[i * PAGE];
		lost += i % 2 == 0 && p[i * PAGE] != 2;
		wrong += (p[i * PAGE] && p[i * PAGE] != 2 - (char)(i % 2)) ||
			 (p[i * PAGE + 1] && p[i * PAGE + 1] != 1);
	}
	tap_ok(!lost && !wrong, "%zu pages written since lost, %zu wrong", lost,
	       wrong);
	tap_ok(gone >= (trapped ? pages / 2 : 0), "of %zu others %zu are gone",
	       pages / 2, gone);
	munmap(p, pages * PAGE);
}

/* Pages that were read, or lie beside what was written, have no contents. */
static void test_guards_beside(void)
{
	size_t pages = 4096, i, bad = 0;
	char *p = map(pages);
	long before = process_vmas(), after;

	for (i = 0; i < pages; i += 8) {
		p[i * PAGE] = 1;
		bad += peek(p + (i + 3) * PAGE) != 0;
	}
	for (i = 0; i < pages; i += 8)
		bad += mprotect(p + (i + 1) * PAGE, PAGE, PROT_NONE) ||
		       mprotect(p + (i + 3) * PAGE, PAGE, PROT_NONE);
	after = process_vmas();
	if (preloaded && holes_fault)
		tap_ok(after <= before + 2,
		       "mappings %ld, before %ld, beside pages written", after,
		       before);
	else
		tap_ok(after > before + 1000, "mappings %ld, before %ld", after,
		       before);
	for (i = 0; i < pages; i += 8)
		bad += peek(p + i * PAGE) != 1 ||
		       peek(p + (i + 1) * PAGE) != FAULT ||
		       peek(p + (i + 2) * PAGE) != 0 ||
		       peek(p + (i + 3) * PAGE) != FAULT;
	tap_ok(!bad, "each faults, and what was written is there");
	munmap(p, pages * PAGE);
}

/* madvise() that is EAGAIN, again and again, as allocators repeat it. */
static int repeat(void *p, size_t length, int advice)
{
	int tries = 0;

	while (madvise(p, length, advice) && errno == EAGAIN && tries < 1000)
		tries++;
	return tries;
}

/* What was unmapped is free, for memory without access as for any other. */
static void test_hint(void)
{
	char *p = map(512), *gap = p + 100 * PAGE, *q;

	memset(p, 1, 512 * PAGE);
	munmap(gap, 64 * PAGE);
	q = mmap(gap, 64 * PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
	tap_ok(q == gap && peek(q) == FAULT, "at its hint %p, without access",
	       (void *)gap);
	tap_ok(!mprotect(q, 64 * PAGE, RW) && !*q && !q[64 * PAGE - 1],
	       "and then zero");
	munmap(p, 512 * PAGE);
}

/* A protection with a bit, or a key, that the preload does not keep. */
static void test_special(void)
{
	char *p = map(512), *q = p + 100 * PAGE;
	int key = pkey_alloc(0, 0);

	mprotect(q, PAGE, PROT_NONE);
	tap_ok(!pkey_mprotect(q, PAGE, RW, -1) && poke(q, 1),
	       "pkey_mprotect without a key");
	mprotect(q, PAGE, PROT_NONE);
	tap_ok(!mprotect(q, PAGE, RW | PROT_SEM) && poke(q, 1),
	       "mprotect with a bit more");
	mprotect(q, PAGE, PROT_NONE);
	if (key < 0) {
		tap_skip("no protection keys");
	} else {
		tap_ok(!pkey_mprotect(q, PAGE, RW, key) && poke(q, 1),
		       "pkey_mprotect with a key");
		pkey_set(key, PKEY_DISABLE_WRITE);
		tap_ok(!poke(q, 1), "which protects");
		munmap(q, PAGE);
		mmap(q, PAGE, RW, ANON | MAP_NORESERVE, -1, 0);
		tap_ok(poke(q, 1), "until it is unmapped");
	}
	munmap(p, 512 * PAGE);
}

/* A mapping that is refused takes nothing away of what is at its place. */
static void test_refused(void)
{
	static const int code = PROT_READ | PROT_EXEC;
	char *p = map(512);

	memset(p, 3, 512 * PAGE);
	if (!refuse(SYS_mmap, &code, 1, EACCES)) {
		tap_skip("no seccomp filters");
		return;
	}
	tap_ok(fails((long)mmap(p, 64 * PAGE, code, ANON | MAP_FIXED, -1, 0),
		     EACCES) &&
		       *p == 3,
	       "code that is refused");
	tap_ok(!atoi(mapping_field(p, "LazyFree:")),
	       "nor will the kernel, when memory is short: %d kB",
	       atoi(mapping_field(p, "LazyFree:")));
	munmap(p, 512 * PAGE);
}

/*
 * Memory without access is moved although it cannot be read meanwhile; at the worst
 * the answer is an error.
 */
static void test_unreadable(void)
{
	static const int read = PROT_READ;
	char *p = map(64), *q;

	memset(p, 4, 64 * PAGE);
	mprotect(p, 64 * PAGE, PROT_NONE);
	if (!refuse(SYS_mprotect, &read, 1, ENOMEM)) {
		tap_skip("no seccomp filters");
		return;
	}
	q = mremap(p, 64 * PAGE, 128 * PAGE, MREMAP_MAYMOVE);
	tap_ok(q != MAP_FAILED || errno == ENOMEM, "mremap: %p", (void *)q);
	if (q == MAP_FAILED)
		q = p;
	tap_ok(!mprotect(q, 64 * PAGE, RW) && *q == 4 && q[64 * PAGE - 1] == 4,
	       "and nothing is lost");
	munmap(q, 64 * PAGE);
}

/* The map is full: madvise() says so for ever, and callers never end. */
static void test_storm(void)
{
	static const int advices[] = { MADV_DODUMP, MADV_DONTNEED, MADV_FREE };
	/* Small, and charged: none of ours. */
	char *p = mmap(NULL, PAGE, RW, ANON, -1, 0), *q = map(8192);
	double start;
	int tries = 0;

	for (size_t i = 1; i < 8192; i += 2)
		munmap(q + i * PAGE, PAGE);
	if (!refuse(SYS_madvise, advices, ARRAY_SIZE(advices), EAGAIN)) {
		tap_skip("no seccomp filters");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(advices); i++) {
		start = process_now();
		tries = repeat(p, PAGE, advices[i]);
		if (!preloaded)
			tap_ok(tries == 1000, "advice %d: repeated for ever",
			       advices[i]);
		else
			tap_ok(!tries && errno == ENOMEM &&
				       process_now() - start < 2,
			       "advice %d: ENOMEM after %d tries", advices[i],
			       tries);
	}
	if (!preloaded)
		return;
	tap_ok(!madvise(q, PAGE, MADV_DODUMP),
	       "where it is ours the kernel is not asked");
	tap_ok(trapped ? !madvise(q, PAGE, MADV_DONTNEED) :
			 fails(madvise(q, PAGE, MADV_DONTNEED), ENOMEM),
	       "nor where the module is");
	/* One pause, and not one for each of the pieces. */
	start = process_now();
	tries = repeat(q, 8192 * PAGE, MADV_DONTNEED);
	tap_ok(!tries && errno == ENOMEM && process_now() - start < 2,
	       "4096 pieces in %.3f s", process_now() - start);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv, 60);
	preload_start();
	test_errors();
	test_dump();
	test_advice();
	test_past();
	test_holes();
	test_guards();
	test_free();
	test_guards_beside();
	test_hint();
	test_special();
	test_refused();
	test_unreadable();
	test_storm();
	return tap_done();
}
