// SPDX-License-Identifier: MIT
/*
 * Code within reach: mappings that miss their hint lie near whoever asked, as
 * long as there is room, and can be run; and with the module nobody reads the
 * map to find that room.
 */
#include "preload.h"
#include "squeeze.h"

#include <sys/wait.h>

#define RW (PROT_READ | PROT_WRITE)
#define RWX (RW | PROT_EXEC)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define MIB ((size_t)1 << 20)
#define AREA (64 * 1024)
#define NEAR (128 * MIB)
#define FAR (1024 * MIB)

/* Code of this program; the page that it is in is taken. */
static uintptr_t here(void)
{
	return (uintptr_t)&here & -PAGE;
}

static bool within(const void *p, size_t length, size_t reach)
{
	uintptr_t start = (uintptr_t)p, end = start + length;

	return p != MAP_FAILED && start + reach >= here() &&
	       end <= here() + reach + PAGE;
}

static void *ask(size_t length, int prot)
{
	return mmap((void *)here(), length, prot, ANON, -1, 0);
}

static int run(char *at)
{
#ifdef __x86_64__
	static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
	int (*fn)(void);

	memcpy(at, code, sizeof(code));
	mprotect(at, AREA, PROT_READ | PROT_EXEC);
	memcpy(&fn, &at, sizeof(fn));
	return fn();
#else
	mprotect(at, AREA, PROT_READ | PROT_EXEC);
	return 42;
#endif
}

static void test_executable(void)
{
	char *p = ask(AREA, RWX), *q = ask(AREA, RWX);

	tap_ok(p != MAP_FAILED && run(p) == 42, "executable: %p", (void *)p);
	if (preloaded)
		tap_ok(within(p, AREA, NEAR) && within(q, AREA, NEAR) && p != q,
		       "it is near, and so is the next: %p", (void *)q);
	munmap(p, AREA);
	munmap(q, AREA);
}

/* As compilers do it: what is out of reach is given back. */
static char *probe(void)
{
	char *p = NULL;

	for (int i = 0; i < 2; i++) {
		p = ask(AREA, RW);
		if (within(p, AREA, NEAR) || i)
			break;
		munmap(p, AREA);
	}
	return p;
}

/* Asks until it gets @p again, with whatever the preload has kept of it. */
static char *ask_again(const char *p)
{
	char *q = ask(AREA, RWX);

	for (int i = 0; preloaded && q != p && i < 2048; i++)
		q = ask(AREA, RWX);
	return q;
}

/* Gives @p back, which is not what was asked for last: nothing is learned. */
static char *exchange(char *p)
{
	ask(AREA, RWX);
	munmap(p, AREA);
	return ask_again(p);
}

/* Nothing of what a program has made of a place stays there. */
static void test_reused(void)
{
	char *p = ask(AREA, RWX), *q, *file;
	int fd = memfd_create("near", MFD_CLOEXEC), status = -1;
	pid_t pid;

	/* Code that is mapped twice. */
	file = fd < 0 || ftruncate(fd, AREA) ?
		       MAP_FAILED :
		       mmap(NULL, AREA, RW, MAP_SHARED, fd, 0);
	if (file == MAP_FAILED ||
	    mmap(p, AREA, RW, MAP_SHARED | MAP_FIXED, fd, 0) != p) {
		tap_skip("no file in memory");
		return;
	}
	*p = 7;
	q = exchange(p);
	tap_ok(!preloaded || q == p, "the place of a file again: %p",
	       (void *)q);
	tap_ok(!*q, "without its contents: %d", *q);
	*q = 9;
	tap_ok(*file == 7, "and writes do not go to it: %d", *file);
	mlock(q, AREA);
	*q = 8;
	q = exchange(q);
	tap_ok(!*q, "the place of locked memory is zero: %d", *q);
	madvise(q, AREA, MADV_WIPEONFORK);
	q = exchange(q);
	*q = 5;
	pid = fork();
	if (!pid)
		_exit(*q);
	waitpid(pid, &status, 0);
	tap_ok(WIFEXITED(status) && WEXITSTATUS(status) == 5,
	       "and of what a child would not have had: %#x", status);
}

/* The map grows together again where code was: it is memory like any other. */
static void test_probing(void)
{
	char *all[64];
	size_t n = sizeof(all) / sizeof(*all), far = 0, dirty = 0, wrong = 0;
	long before = process_vmas(), after;

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < n; i++) {
			all[i] = probe();
			far += !within(all[i], AREA, NEAR);
			dirty += *all[i] != 0;
			wrong += run(all[i]) != 42;
		}
		for (size_t i = 0; i < n; i++)
			munmap(all[i], AREA);
	}
	after = process_vmas();
	tap_ok(!dirty && !wrong, "%zu areas of code, twice: zero, and run", n);
	if (!preloaded)
		return;
	tap_ok(!far, "%zu of them out of reach", far);
	tap_ok(after <= before + 2, "mappings %ld, before %ld", after, before);
}

/* Takes all that is free within @reach. */
static void squeeze(size_t reach)
{
	static uintptr_t at[SQUEEZE_RANGES], to[SQUEEZE_RANGES];
	uintptr_t low = here() > reach + 16 * PAGE ? here() - reach : 16 * PAGE;
	size_t n = squeeze_free(low, here() + reach + PAGE, at, to);

	for (size_t i = 0; i < n; i++)
		squeeze_fill(at[i], to[i]);
}

/* Where there is little room it is found; where there is none, so it is. */
static void test_squeezed(void)
{
	char *gap = (char *)here() - 600 * MIB, *p;

	squeeze(FAR);
	syscall(SYS_munmap, gap, 4 * MIB);
	errno = 0;
	/* After what there is of islands. */
	do
		p = ask(3 * MIB, RWX);
	while (within(p, 3 * MIB, NEAR));
	tap_ok(p != MAP_FAILED && run(p) == 42, "a gap far away: %p",
	       (void *)p);
	tap_ok(!preloaded || (p >= gap && p <= gap + MIB), "is found, at %p",
	       (void *)gap);
	tap_ok(!errno, "without an error: %d", errno);
	gap = (char *)here() - 100 * MIB;
	syscall(SYS_munmap, gap, 4 * MIB);
	p = ask(3 * MIB, RWX);
	tap_ok(!preloaded || (p >= gap && p <= gap + MIB),
	       "of two the one within reach: %p", (void *)p);
	p = ask(3 * MIB, RWX);
	tap_ok(p != MAP_FAILED && run(p) == 42 && !within(p, 3 * MIB, FAR),
	       "there is no more: %p", (void *)p);
}

/* In what is left nobody can look at the map. */
static void test_unseen(void)
{
	char *p = NULL;
	size_t near = 0;

	/* Room for more than one island. */
	syscall(SYS_munmap, here() - 64 * MIB, 48 * MIB);
	if (!refuse(SYS_openat, NULL, 0, EACCES)) {
		tap_skip("no seccomp filters");
		return;
	}
	for (int i = 0; i < 3; i++) {
		p = ask(12 * MIB, RWX);
		near += within(p, 12 * MIB, NEAR);
		tap_ok(p != MAP_FAILED && run(p) == 42, "without a map: %p",
		       (void *)p);
	}
	if (trapped)
		tap_ok(near == 3, "the kernel finds room: %zu of 3 near", near);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv, 60);
	preload_start();
	test_executable();
	test_probing();
	test_reused();
	/* The squeeze is for good, and so is the filter. */
	test_squeezed();
	test_unseen();
	return tap_done();
}
