// SPDX-License-Identifier: MIT
/*
 * TRACT_OPTIONS=hardened=1: the page behind a large block faults, wherever the
 * block ends; no guard is left behind in memory that is used again, by a child
 * neither; and where they split the map their number is bounded.
 */
#include "hardened.h"
#include "refuse.h"

#include <malloc.h>
#include <setjmp.h>
#include <sys/wait.h>

/* As in libshim/guard.h; each splits the map in two more. */
#define MAPPED_MAX 4096
#define MANY 6000
#define BLOCKS 100

static void *(*volatile do_malloc)(size_t) = malloc;
static void *(*volatile do_realloc)(void *, size_t) = realloc;
static void *(*volatile do_calloc)(size_t, size_t) = calloc;
static void *(*volatile do_memalign)(size_t, size_t) = memalign;
static void (*volatile do_free)(void *) = free;

static sigjmp_buf back;
static void *volatile fault_address;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	fault_address = info->si_addr;
	siglongjmp(back, 1);
}

/* Is there a fault, and right there? */
static bool faults(volatile char *p)
{
	fault_address = NULL;
	if (!sigsetjmp(back, 1))
		*p = 1;
	return fault_address == p;
}

/* The last byte may be written, the next not. */
static bool is_guarded(char *p)
{
	size_t usable = malloc_usable_size(p);

	return !faults(p + usable - 1) && faults(p + usable);
}

static void test_blocks(void)
{
	static const size_t sizes[] = { 32769,	 40000,		61440,
					61441,	 65536,		100000,
					1 << 20, (1 << 20) + 1, 5000000,
					64 << 20 };
	int made = 0, zeroed = 0, aligned = 0, count = 0;

	for (; count < 10; count++) {
		char *p = do_malloc(sizes[count]);
		char *q = do_calloc(1, sizes[count]);
		char *r = do_memalign(1 << 20, sizes[count]);

		made += is_guarded(p);
		zeroed += is_guarded(q);
		aligned += is_guarded(r);
		do_free(p);
		do_free(q);
		do_free(r);
	}
	tap_ok(made == count, "malloc: %d of %d have a guard", made, count);
	tap_ok(zeroed == count, "calloc: %d of %d", zeroed, count);
	tap_ok(aligned == count, "memalign: %d of %d", aligned, count);
}

/* Up and down, in small steps and large, in place or not. */
static void test_resizing(uint64_t *state)
{
	size_t size = 100000, wrong = 0, bare = 0, n;
	char *p = memset(do_malloc(size), 7, size);

	for (int i = 0; i < 2000; i++) {
		n = 33000 + tap_random(state) % (i % 20 ? 300000 : 4000000);
		p = do_realloc(p, n);
		for (size_t k = 0; k < size && k < n; k += 997)
			wrong += p[k] != 7;
		memset(p, 7, n);
		size = n;
		bare += !is_guarded(p);
		p[size - 1] = 7;
	}
	do_free(p);
	tap_ok(!wrong, "resized 2000 times: %zu bytes wrong", wrong);
	tap_ok(!bare, "%zu times without a guard", bare);
}

/* All of every block is written: a guard left behind would be met. */
static size_t churn(char *p[BLOCKS], int rounds, uint64_t *state)
{
	size_t bad = 0, i;

	for (int round = 0; round < rounds; round++) {
		i = tap_random(state) % BLOCKS;
		do_free(p[i]);
		p[i] = do_malloc(1 + tap_random(state) % 500000);
		for (size_t k = 0; k < malloc_usable_size(p[i]); k += 4096)
			bad += faults(p[i] + k);
	}
	for (i = 0; i < BLOCKS; i++) {
		do_free(p[i]);
		p[i] = NULL;
	}
	return bad;
}

static void test_reuse(uint64_t *state)
{
	static char *p[BLOCKS];
	size_t bad = churn(p, 5000, state);

	tap_ok(!bad, "memory used again: %zu pages fault", bad);
}

static size_t count_guarded(char *const p[BLOCKS])
{
	size_t n = 0;

	for (int i = 0; i < BLOCKS; i++)
		n += is_guarded(p[i]);
	return n;
}

/* A child has the guards, uses their memory again, and takes none from its parent. */
static void test_inherited(uint64_t *state)
{
	static char *p[BLOCKS];
	int status = -1;
	size_t kept;
	pid_t child;

	for (int i = 0; i < BLOCKS; i++)
		p[i] = do_malloc(40000 + tap_random(state) % 500000);
	child = fork();
	if (!child) {
		if (count_guarded(p) != BLOCKS)
			_exit(1);
		_exit(churn(p, 2000, state) ? 2 : 0);
	}
	waitpid(child, &status, 0);
	kept = count_guarded(p);
	for (int i = 0; i < BLOCKS; i++)
		do_free(p[i]);
	tap_ok(WIFEXITED(status) && WEXITSTATUS(status) != 1,
	       "a child has the guards of its parent's blocks");
	tap_ok(status == 0, "in memory that it uses again no page faults");
	tap_ok(kept == BLOCKS, "its parent keeps %zu of %d", kept, BLOCKS);
}

/* @splitting: each costs mappings. */
static void test_many(bool splitting)
{
	static char *p[MANY];
	long before, full, after;
	int guarded = 0;

	malloc_trim(0);
	before = process_vmas();
	for (int round = 0; round < 2; round++) {
		guarded = 0;
		for (int i = 0; i < MANY; i++)
			p[i] = do_malloc(40000);
		for (int i = 0; i < MANY; i++)
			guarded += is_guarded(p[i]);
		full = process_vmas();
		for (int i = 0; i < MANY; i++)
			do_free(p[i]);
	}
	after = process_vmas();
	tap_note("%d of %d have a guard; %ld mappings, with them %ld, then %ld",
		 guarded, MANY, before, full, after);
	tap_ok(guarded == (splitting ? MAPPED_MAX : MANY),
	       "%d of %d blocks have a guard, twice", guarded, MANY);
	tap_ok(full - before < (splitting ? 2 * MAPPED_MAX + 20 : 20),
	       "%ld mappings more", full - before);
	tap_ok(after - before < 20, "%ld are left", after - before);
}

static const char *backend(void)
{
	const char *(*get)(void) =
		(const char *(*)(void))dlsym(RTLD_DEFAULT, "tract_backend");

	return get();
}

static bool has_markers(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool has = !syscall(SYS_madvise, page, 4096, MADV_GUARD_INSTALL);

	munmap(page, 4096);
	return has;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = on_fault,
				    .sa_flags = SA_SIGINFO };
	bool again = getenv("TRACT_TEST_NO_MARKERS");
	uint64_t state;
	bool trapped, markers;

	if (again && !refuse_guards())
		tap_skip_all("no seccomp filters");
	hardened_start(argc, argv, 120);
	state = tap_seed;
	sigaction(SIGSEGV, &action, NULL);
	free(do_malloc(1)); /* now the library has its memory */
	trapped = !strcmp(backend(), "module");
	markers = !trapped && has_markers();
	/* The plan is that of the last run. */
	tap_count = (int)tap_env("TRACT_TEST_COUNT", 0);
	tap_failures = (int)tap_env("TRACT_TEST_FAILURES", 0);
	tap_note("the kernel has %smarkers", markers ? "" : "no ");
	test_blocks();
	test_resizing(&state);
	test_reuse(&state);
	test_inherited(&state);
	test_many(!trapped && !markers);
	if (markers) {
		char text[16];

		snprintf(text, sizeof(text), "%d", tap_count);
		setenv("TRACT_TEST_COUNT", text, 1);
		snprintf(text, sizeof(text), "%d", tap_failures);
		setenv("TRACT_TEST_FAILURES", text, 1);
		setenv("TRACT_TEST_NO_MARKERS", "1", 1);
		execv("/proc/self/exe", argv);
		tap_ok(false, "exec: %s", strerror(errno));
	}
	return tap_done();
}
