// SPDX-License-Identifier: MIT
/*
 * Random sequences of mmap(), munmap(), mremap(), mprotect() and madvise() on a
 * window of pages, held against a model of what Linux says of them: results,
 * errors, contents, and where a touch faults.
 *
 * It is run without the preload too, so that the model is Linux's and not ours.
 */
#include "preload.h"

#include <setjmp.h>
#include <sys/wait.h>

#define PAGES 384
#define MARGIN ((size_t)4 << 20)
#define ANY 0xff

enum view {
	UNMAPPED,
	NONE,
	READABLE,
	WRITABLE
};

static struct page {
	unsigned char view;
	unsigned char stamp; /* the first byte; ANY: old or zero (MADV_FREE) */
	unsigned char other; /* with ANY: what it was */
} model[PAGES];

static char *window;
static uint64_t rng;
static unsigned long steps;
static bool bad;
static bool tracing;
/* Can MADV_DONTFORK be undone?  Not in reservations, on some kernels. */
static bool has_dofork;

static void complain(const char *what, size_t page, long found)
{
	if (!bad)
		tap_note("step %lu: %s, page %zu, found %ld (view %d, %d/%d)",
			 steps, what, page, found, model[page].view,
			 model[page].stamp, model[page].other);
	bad = true;
}

static unsigned int roll(unsigned int n)
{
	return tap_random(&rng) % n;
}

static int prot_of(enum view view)
{
	return view == NONE	? PROT_NONE :
	       view == READABLE ? PROT_READ :
				  PROT_READ | PROT_WRITE;
}

static enum view random_view(void)
{
	unsigned int n = roll(6);

	return n < 3 ? WRITABLE : n < 5 ? NONE : READABLE;
}

/* Reads, and where that is allowed writes, the way a program would. */
static void look(size_t i)
{
	struct page *page = &model[i];
	char *p = window + i * PAGE;
	int byte = peek(p);
	bool wrote;

	if (page->view == UNMAPPED) {
		if (byte != FAULT && holes_fault)
			complain("unmapped page can be read", i, byte);
		else if (byte == FAULT && fault_code != SEGV_MAPERR)
			complain("unmapped page, wrong code", i, fault_code);
		return;
	}
	if (page->view == NONE) {
		if (byte != FAULT)
			complain("protected page can be read", i, byte);
		return;
	}
	if (byte == FAULT) {
		complain("mapped page faults", i, fault_code);
		return;
	}
	if (page->stamp == ANY ? byte && byte != page->other :
				 byte != page->stamp)
		complain("wrong contents", i, byte);
	if (page->view == READABLE && roll(4))
		return;
	wrote = poke(p, byte);
	if (wrote != (page->view == WRITABLE))
		complain("writing is allowed, or not", i, wrote);
	if (wrote && page->stamp == ANY) {
		page->stamp = byte;
	}
}

static void look_all(void)
{
	for (size_t i = 0; i < PAGES && !bad; i++)
		look(i);
}

static void set(size_t i, enum view view, unsigned char stamp)
{
	model[i] = (struct page){ view, stamp, 0 };
}

static bool all(size_t from, size_t n, bool mapped)
{
	for (size_t i = from; i < from + n; i++)
		if ((model[i].view != UNMAPPED) != mapped)
			return false;
	return true;
}

static bool uniform(size_t from, size_t n)
{
	for (size_t i = from; i < from + n; i++)
		if (model[i].view != model[from].view)
			return false;
	return true;
}

static void expect(const char *what, size_t at, long ret, int error)
{
	int found = ret == -1 ? errno : 0;

	if (found != error)
		complain(what, at, found);
}

static void step_write(size_t from, size_t n)
{
	for (size_t i = from; i < from + n; i++) {
		unsigned char stamp = 1 + roll(200);

		if (model[i].view != WRITABLE)
			continue;
		if (!poke(window + i * PAGE, stamp))
			complain("cannot be written", i, fault_code);
		set(i, WRITABLE, stamp);
	}
}

static void step_munmap(size_t from, size_t n)
{
	expect("munmap", from, munmap(window + from * PAGE, n * PAGE), 0);
	for (size_t i = from; i < from + n; i++)
		set(i, UNMAPPED, 0);
}

static void step_mprotect(size_t from, size_t n)
{
	enum view view = random_view();
	int ret = mprotect(window + from * PAGE, n * PAGE, prot_of(view));
	size_t i = from;

	expect("mprotect", from, ret, all(from, n, true) ? 0 : ENOMEM);
	for (; i < from + n && model[i].view != UNMAPPED; i++)
		model[i].view = view;
}

static void step_madvise(size_t from, size_t n)
{
	static const int advices[] = { MADV_DONTNEED, MADV_DONTNEED,
				       MADV_FREE,     MADV_DODUMP,
				       MADV_DONTDUMP, MADV_WILLNEED,
				       MADV_DOFORK,   MADV_DONTFORK };
	int advice = advices[roll(has_dofork ? 8 : 7)];
	int ret = madvise(window + from * PAGE, n * PAGE, advice);

	expect("madvise", from, ret, all(from, n, true) ? 0 : ENOMEM);
	/* A child of ours looks at the whole window. */
	if (advice == MADV_DONTFORK)
		madvise(window + from * PAGE, n * PAGE, MADV_DOFORK);
	for (size_t i = from; i < from + n; i++) {
		struct page *page = &model[i];

		if (page->view == UNMAPPED)
			continue;
		if (advice == MADV_DONTNEED) {
			page->stamp = 0;
		} else if (advice == MADV_FREE && page->stamp != ANY) {
			page->other = page->stamp;
			page->stamp = ANY;
		}
	}
}

static void step_fixed(size_t from, size_t n)
{
	enum view view = random_view();
	bool careful = !roll(3);
	int flags = MAP_PRIVATE | MAP_ANONYMOUS |
		    (careful ? MAP_FIXED_NOREPLACE : MAP_FIXED) |
		    (roll(2) ? MAP_NORESERVE : 0);
	void *p = mmap(window + from * PAGE, n * PAGE, prot_of(view), flags, -1,
		       0);

	if (careful && !all(from, n, false)) {
		expect("MAP_FIXED_NOREPLACE", from, (long)p, EEXIST);
		return;
	}
	if (p != window + from * PAGE) {
		complain("MAP_FIXED", from, errno);
		return;
	}
	for (size_t i = from; i < from + n; i++)
		set(i, view, 0);
}

/* A file in the middle of it all: never ours. */
static void step_file(size_t from, size_t n)
{
	int fd = memfd_create("model", MFD_CLOEXEC);
	unsigned char stamp = 1 + roll(200);
	void *p;

	if (ftruncate(fd, n * PAGE))
		complain("ftruncate", from, errno);
	for (size_t i = 0; i < n; i++)
		if (pwrite(fd, &stamp, 1, i * PAGE) != 1)
			complain("pwrite", from, errno);
	/* Shared, so that MADV_DONTNEED loses nothing: nothing to model. */
	p = mmap(window + from * PAGE, n * PAGE, PROT_READ,
		 MAP_SHARED | MAP_FIXED, fd, 0);
	if (p != window + from * PAGE)
		complain("mmap of a file", from, errno);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)window[(from + i) * PAGE] != stamp)
			complain("contents of a file", from + i, 0);
	close(fd);
	step_munmap(from, n);
}

/* What the kernel chooses may lie in the window, where nothing is mapped. */
static void step_mmap(size_t from, size_t n)
{
	char *hint = roll(2) ? window + from * PAGE : NULL;
	char *p = mmap(hint, n * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t at;

	if (p == MAP_FAILED) {
		complain("mmap", from, errno);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (peek(p + i * PAGE))
			complain("new memory is not zero", from, p[i * PAGE]);
	if (p < window || p >= window + PAGES * PAGE) {
		if (hint && all(from, n, false))
			complain("free hint not taken", from, 0);
		munmap(p, n * PAGE);
		return;
	}
	at = (p - window) / PAGE;
	if (at + n > PAGES || !all(at, n, false)) {
		complain("mmap over what is mapped", at, n);
		return;
	}
	for (size_t i = at; i < at + n; i++)
		set(i, WRITABLE, 0);
}

static void step_shrink(size_t from, size_t n)
{
	size_t keep = 1 + roll(n);
	void *p = mremap(window + from * PAGE, n * PAGE, keep * PAGE, 0);

	/* Over several mappings kernels differ: asked only within one. */
	if (model[from].view == UNMAPPED) {
		expect("mremap of nothing", from, (long)p, EFAULT);
		return;
	}
	if (p != window + from * PAGE) {
		complain("mremap to shrink", from, errno);
		return;
	}
	for (size_t i = from + keep; i < from + n; i++)
		set(i, UNMAPPED, 0);
}

/* Moves to another place of the window, or out of it and away. */
static void step_move(size_t from, size_t n)
{
	size_t to = roll(PAGES - n), grown = n + roll(8);
	bool fixed = roll(2);
	struct page old[PAGES];
	char *p;

	if (!all(from, n, true) || !uniform(from, n))
		return;
	if (fixed && ((to + n > from && from + n > to) || to + n > PAGES))
		return;
	memcpy(old, model + from, n * sizeof(*old));
	p = fixed ? mremap(window + from * PAGE, n * PAGE, n * PAGE,
			   MREMAP_MAYMOVE | MREMAP_FIXED, window + to * PAGE) :
		    mremap(window + from * PAGE, n * PAGE, grown * PAGE,
			   MREMAP_MAYMOVE);
	if (p == MAP_FAILED) {
		/* The window may consist of several mappings there. */
		if (errno != EFAULT)
			complain("mremap", from, errno);
		/* The target is unmapped before the source is looked at. */
		if (fixed)
			step_munmap(to, n);
		return;
	}
	for (size_t i = from; i < from + n; i++)
		set(i, UNMAPPED, 0);
	if (!fixed) {
		for (size_t i = 0; i < grown; i++) {
			int byte = peek(p + i * PAGE);

			if (old[0].view == NONE ? byte != FAULT :
			    i >= n		? byte != 0 :
			    old[i].stamp == ANY ? byte && byte != old[i].other :
						  byte != old[i].stamp)
				complain("moved contents", from + i % n, byte);
		}
		munmap(p, grown * PAGE);
		for (size_t i = 0; i < grown; i++)
			if (p + i * PAGE >= window &&
			    p + i * PAGE < window + PAGES * PAGE)
				set((p - window) / PAGE + i, UNMAPPED, 0);
		return;
	}
	memcpy(model + to, old, n * sizeof(*old));
}

/* System calls see the same as the program does. */
static void step_kernel(size_t from, size_t n)
{
	int fds[2];
	char byte;

	(void)n;
	if (pipe(fds))
		return;
	if (write(fds[1], window + from * PAGE, 1) == 1) {
		if (model[from].view == NONE ||
		    (model[from].view == UNMAPPED && holes_fault))
			complain("write(2) reads it", from, 0);
		if (read(fds[0], &byte, 1) != 1)
			complain("read", from, errno);
	} else if (errno != EFAULT || model[from].view >= READABLE) {
		complain("write(2)", from, errno);
	}
	close(fds[0]);
	close(fds[1]);
}

static void step(void);

static void step_fork(size_t from, size_t n)
{
	pid_t child;
	int status;

	(void)from;
	(void)n;
	if (roll(8))
		return;
	child = fork();
	if (!child) {
		for (int i = 0; i < 20 && !bad; i++)
			step();
		look_all();
		_exit(bad);
	}
	if (waitpid(child, &status, 0) != child || status)
		complain("in a child", 0, status);
}

static void step(void)
{
	static void (*const kinds[])(size_t from, size_t n) = {
		step_write,    step_write,   step_write,   step_munmap,
		step_munmap,   step_fixed,   step_fixed,   step_mprotect,
		step_mprotect, step_madvise, step_madvise, step_mmap,
		step_mmap,     step_shrink,  step_move,	   step_kernel,
		step_file,     step_fork,
	};
	size_t from = roll(PAGES), n = 1 + roll(roll(4) ? 8 : 100);
	unsigned int kind;

	if (n > PAGES - from)
		n = PAGES - from;
	steps++;
	kind = roll(ARRAY_SIZE(kinds));
	if (tracing)
		tap_note("%d: step %lu: kind %u, pages %zu to %zu", getpid(),
			 steps, kind, from, from + n - 1);
	kinds[kind](from, n);
}

static bool can_dofork(void)
{
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	bool can = !madvise(p, PAGE, MADV_DONTFORK) &&
		   !madvise(p, PAGE, MADV_DOFORK);

	munmap(p, PAGE);
	return can || !trapped;
}

int main(int argc, char **argv)
{
	unsigned long until = tap_env("TRACT_TEST_STEPS", 20000);
	unsigned long rounds = 8;
	char *base;

	tap_start(argc, argv, 100);
	preload_start();
	/* Beside what is trapped there is what took the place of some of it. */
	holes_fault = !preloaded || markers;
	has_dofork = can_dofork();
	tracing = tap_env("TRACT_TEST_TRACE", 0);
	rng = tap_seed;
	for (unsigned long round = 0; round < rounds && !bad; round++) {
		base = mmap(NULL, PAGES * PAGE + 2 * MARGIN,
			    PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS |
				    (round % 2 ? MAP_NORESERVE : 0),
			    -1, 0);
		window = base + MARGIN;
		for (size_t i = 0; i < PAGES; i++)
			set(i, WRITABLE, 0);
		while (steps < until * (round + 1) / rounds && !bad) {
			step();
			if (steps % 64 == 0)
				look_all();
		}
		tap_ok(!bad, "round %lu: %lu steps", round, steps);
		munmap(base, PAGES * PAGE + 2 * MARGIN);
	}
	return tap_done();
}
