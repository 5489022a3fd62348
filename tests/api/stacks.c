// SPDX-License-Identifier: MIT
/*
 * Stack pools: guards fault, stacks do not overlap, come back, are trimmed, and
 * cost no mappings; threads and forked children.
 */
#include "tap.h"

#include <pthread.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "../include/tract.h"

#define PAGE ((size_t)4096)
#define SIZE (8 * PAGE)
#define STACKS 20000
#define THREADS 4

static struct tract_stack_pool *(*pool_create)(size_t size, size_t guard);
static void (*pool_destroy)(struct tract_stack_pool *pool);
static void (*pool_trim)(struct tract_stack_pool *pool);
static void *(*stack_alloc)(struct tract_stack_pool *pool);
static void (*stack_free)(struct tract_stack_pool *pool, void *stack);

static struct tract_stack_pool *pool;
static char *stacks[STACKS];
static sigjmp_buf fault;

static void on_fault(int sig)
{
	siglongjmp(fault, sig);
}

static bool faults(const char *p)
{
	if (sigsetjmp(fault, 1))
		return true;
	*(volatile char *)p = 1;
	return false;
}

static bool find(void)
{
	*(void **)&pool_create = dlsym(RTLD_DEFAULT, "tract_stack_pool_create");
	*(void **)&pool_destroy =
		dlsym(RTLD_DEFAULT, "tract_stack_pool_destroy");
	*(void **)&pool_trim = dlsym(RTLD_DEFAULT, "tract_stack_pool_trim");
	*(void **)&stack_alloc = dlsym(RTLD_DEFAULT, "tract_stack_alloc");
	*(void **)&stack_free = dlsym(RTLD_DEFAULT, "tract_stack_free");
	return pool_create;
}

/* How many can be had without a map of their own each. */
static size_t markers(void)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const char *(*backend)(void);
	bool have = !madvise(page, PAGE, 102);

	*(void **)&backend = dlsym(RTLD_DEFAULT, "tract_backend");
	have = have || !strcmp(backend(), "module");

	munmap(page, PAGE);
	return have;
}

static void test_many(void)
{
	long before = process_vmas(), full, rss = tap_rss();
	size_t i, bad = 0;

	for (i = 0; i < STACKS; i++) {
		stacks[i] = stack_alloc(pool);
		if (!stacks[i])
			break;
		memset(stacks[i] + SIZE - 64, (int)i, 64);
		stacks[i][0] = (char)i;
	}
	tap_ok(i == STACKS, "%zu stacks", i);
	full = process_vmas();
	if (markers())
		tap_ok(full <= before + 20, "mappings %ld, before %ld", full,
		       before);
	else
		tap_skip("guards are mappings here: %ld, before %ld", full,
			 before);
	for (size_t k = 0; k < i; k++) {
		bad += stacks[k][0] != (char)k ||
		       stacks[k][SIZE - 1] != (char)k;
		if (k % 97 == 0)
			bad += !faults(stacks[k] - 1) ||
			       !faults(stacks[k] - PAGE) || faults(stacks[k]);
	}
	tap_ok(!bad, "contents and guards, %zu wrong", bad);
	for (size_t k = 0; k < i; k++)
		stack_free(pool, stacks[k]);
	pool_trim(pool);
	tap_ok(tap_rss() <= rss + 4096, "RSS %ld kB, before %ld", tap_rss(),
	       rss);
}

static void test_reuse(void)
{
	char *a = stack_alloc(pool), *b = stack_alloc(pool), *c;

	stack_free(pool, a);
	stack_free(pool, b);
	c = stack_alloc(pool);
	tap_ok(c == b, "the last one returned is taken first");
	stack_free(pool, c);
	pool_trim(pool);
	c = stack_alloc(pool);
	tap_ok(c[0] == 0 && c[SIZE - 1] == 0 && faults(c - 1),
	       "trimmed it is zero, and has its guard");
	stack_free(pool, c);
}

/* Returned stacks do not pile up beyond those in use. */
static void test_bound(void)
{
	long rss = tap_rss(), after;

	for (int i = 0; i < STACKS; i++) {
		stacks[i] = stack_alloc(pool);
		stacks[i][0] = 1;
	}
	for (int i = 0; i < STACKS; i++)
		stack_free(pool, stacks[i]);
	after = tap_rss();
	tap_ok(after - rss < STACKS * 4 / 10,
	       "all returned, nothing trimmed: %ld kB kept of %d", after - rss,
	       STACKS * 4);
}

static void *churn(void *arg)
{
	uint64_t state = tap_seed + (uintptr_t)arg;
	char *mine[64] = { NULL };
	unsigned long bad = 0;

	for (int i = 0; i < 40000; i++) {
		int k = tap_random(&state) % 64;

		if (mine[k]) {
			bad += mine[k][8] != (char)k ||
			       *(uintptr_t *)mine[k] != (uintptr_t)arg;
			stack_free(pool, mine[k]);
			mine[k] = NULL;
			continue;
		}
		mine[k] = stack_alloc(pool);
		*(uintptr_t *)mine[k] = (uintptr_t)arg;
		mine[k][8] = (char)k;
	}
	for (int k = 0; k < 64; k++)
		stack_free(pool, mine[k]);
	return (void *)bad;
}

static void test_threads(void)
{
	pthread_t threads[THREADS];
	unsigned long bad = 0;
	void *result;

	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, churn, (void *)i);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &result);
		bad += (unsigned long)result;
	}
	tap_ok(!bad, "%d threads, %lu stacks mixed up", THREADS, bad);
}

static void *forks(void *arg)
{
	for (int i = 0; i < 30; i++) {
		pid_t child = fork();
		int status = 1;

		if (!child) {
			char *a = stack_alloc(pool), *b;

			a[0] = 1;
			for (int k = 0; k < 300; k++) {
				b = stack_alloc(pool);
				b[0] = 1;
				if (!faults(b - 1))
					_exit(2);
			}
			stack_free(pool, a);
			pool_trim(pool);
			_exit(0);
		}
		waitpid(child, &status, 0);
		if (status)
			return (void *)(long)status;
	}
	return arg;
}

static void test_fork(void)
{
	char *kept = stack_alloc(pool);
	pthread_t busy;
	void *result;

	kept[0] = 77;
	pthread_create(&busy, NULL, churn, (void *)9);
	result = forks(NULL);
	tap_ok(!result, "children of a busy parent: status %ld", (long)result);
	pthread_join(busy, &result);
	tap_ok(!result && kept[0] == 77, "and the parent: %ld wrong",
	       (long)result);
	stack_free(pool, kept);
}

static int death(void (*misuse)(void))
{
	pid_t child = fork();
	int status;

	if (!child) {
		close(STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		misuse();
		_exit(0);
	}
	waitpid(child, &status, 0);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void free_twice(void)
{
	void *p = stack_alloc(pool);

	stack_free(pool, p);
	stack_free(pool, p);
}

static void free_inside(void)
{
	stack_free(pool, (char *)stack_alloc(pool) + PAGE);
}

static void free_other(void)
{
	static char other[2 * PAGE];

	stack_free(pool, other);
}

int main(int argc, char **argv)
{
	unsigned char page;
	void *last;

	tap_start(argc, argv, 55);
	if (!find())
		tap_skip_all("no stack pools");
	signal(SIGSEGV, on_fault);
	tap_ok(!pool_create(0, 0) && errno == EINVAL, "no stacks of nothing");
	tap_ok(!pool_create(TRACT_STACK_MAX + 1, 0) && errno == EINVAL,
	       "nor beyond the largest");
	pool = pool_create(SIZE - 100, 1);
	test_many();
	test_reuse();
	test_bound();
	test_threads();
	test_fork();
	tap_ok(death(free_twice) == SIGABRT, "a double free ends the program");
	tap_ok(death(free_inside) == SIGABRT, "so does one inside");
	tap_ok(death(free_other) == SIGABRT, "and one of something else");
	stack_free(pool, NULL);
	last = stack_alloc(pool);
	pool_destroy(pool);
	tap_ok(mincore(last, PAGE, &page) && errno == ENOMEM,
	       "destroyed, it is unmapped");
	return tap_done();
}
