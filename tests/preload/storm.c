// SPDX-License-Identifier: MIT
/*
 * Threads that map, unmap, protect and give up memory at once, interrupted by
 * signals whose handler does the same, while children are forked that do so
 * too: every byte is its owner's, and nothing hangs.
 */
#include "preload.h"

#include <pthread.h>
#include <sched.h>
#include <sys/time.h>
#include <sys/wait.h>

#define THREADS 4
#define SLOTS 24
#define RW (PROT_READ | PROT_WRITE)

struct slot {
	char *p;
	size_t pages;
	unsigned char stamp;
};

static unsigned long wrong, done, moves, refused;
static int stop;

static bool check(const struct slot *s)
{
	for (size_t i = 0; i < s->pages; i++)
		if ((unsigned char)s->p[i * PAGE] != s->stamp)
			return false;
	return true;
}

static void fill(struct slot *s, unsigned char stamp)
{
	for (size_t i = 0; i < s->pages; i++)
		s->p[i * PAGE] = stamp;
	s->stamp = stamp;
}

static bool is_zero(const struct slot *s)
{
	for (size_t i = 0; i < s->pages; i++)
		if (s->p[i * PAGE])
			return false;
	return true;
}

/* One change of one mapping; is all as it should be? */
static bool step(struct slot *s, uint64_t *state)
{
	size_t n;
	void *p;

	if (!s->p) {
		s->pages = 1 + tap_random(state) % 300;
		s->p = mmap(NULL, s->pages * PAGE, RW,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (s->p == MAP_FAILED || !is_zero(s))
			return false;
		fill(s, 1 + tap_random(state) % 250);
		return true;
	}
	if (!check(s))
		return false;
	switch (tap_random(state) % 6) {
	case 0:
		p = s->p;
		s->p = NULL;
		return !munmap(p, s->pages * PAGE);
	case 1:
		n = s->pages / 2;
		s->pages -= n;
		return !n || !munmap(s->p + s->pages * PAGE, n * PAGE);
	case 2:
		if (madvise(s->p, s->pages * PAGE, MADV_DONTNEED) ||
		    madvise(s->p, s->pages * PAGE, MADV_DONTDUMP) ||
		    !is_zero(s) || madvise(s->p, s->pages * PAGE, MADV_DODUMP))
			return false;
		fill(s, 1 + tap_random(state) % 250);
		return true;
	case 3:
		return !mprotect(s->p, PAGE, PROT_NONE) &&
		       !mprotect(s->p, PAGE, RW) && check(s);
	case 4:
		p = mmap(s->p, s->pages * PAGE, RW,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
				 MAP_FIXED,
			 -1, 0);
		if (p != s->p || !is_zero(s))
			return false;
		fill(s, 1 + tap_random(state) % 250);
		return true;
	default:
		n = s->pages + tap_random(state) % 20;
		p = mremap(s->p, s->pages * PAGE, n * PAGE, MREMAP_MAYMOVE);
		__atomic_fetch_add(&moves, 1, __ATOMIC_RELAXED);
		/* It may have become several mappings. */
		if (p == MAP_FAILED) {
			__atomic_fetch_add(&refused, 1, __ATOMIC_RELAXED);
			return errno == EFAULT;
		}
		s->p = p;
		if (!check(s))
			return false;
		s->pages = n;
		fill(s, s->stamp);
		return true;
	}
}

static void *work(void *arg)
{
	uint64_t state = tap_seed * 1000 + (uintptr_t)arg;
	struct slot slots[SLOTS] = { 0 };

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		if (!step(&slots[tap_random(&state) % SLOTS], &state))
			__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&done, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void handler(int sig)
{
	int saved = errno;
	char *p = mmap(NULL, 8 * PAGE, RW,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	(void)sig;
	if (p == MAP_FAILED || p[0] || p[7 * PAGE])
		__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
	memset(p, 3, 8 * PAGE);
	if (munmap(p + 2 * PAGE, 2 * PAGE) || munmap(p, 2 * PAGE) ||
	    munmap(p + 4 * PAGE, 4 * PAGE))
		__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
	errno = saved;
}

static void child(uint64_t state)
{
	struct slot slots[SLOTS] = { 0 };

	for (int i = 0; i < 300; i++)
		if (!step(&slots[tap_random(&state) % SLOTS], &state))
			_exit(1);
	_exit(0);
}

int main(int argc, char **argv)
{
	struct itimerval timer = { { 0, 1000 }, { 0, 1000 } };
	double seconds = tap_env("TRACT_TEST_SECONDS", 10), start;
	struct slot kept = { .pages = 400 };
	int children = 0, bad = 0, status;
	pthread_t threads[THREADS];

	tap_start(argc, argv, 100);
	preload_start();
	kept.p = mmap(NULL, kept.pages * PAGE, RW,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	fill(&kept, 42);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, work, (void *)i);
	signal(SIGPROF, handler);
	setitimer(ITIMER_PROF, &timer, NULL);
	for (start = process_now(); process_now() - start < seconds;) {
		/* With the C library's handlers, and without any. */
		pid_t pid = children % 2 ? fork() :
					   (pid_t)syscall(SYS_clone, SIGCHLD, 0,
							  0, 0, 0);

		if (!pid) {
			tap_alarm(20);
			if (!check(&kept))
				_exit(2);
			child(tap_seed + children);
		}
		if (waitpid(pid, &status, 0) != pid || status) {
			tap_note("child %d: status %#x", children, status);
			bad++;
		}
		children++;
	}
	stop = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	setitimer(ITIMER_PROF, &(struct itimerval){ 0 }, NULL);
	tap_ok(!wrong, "%lu changes by %d threads, %lu wrong", done, THREADS,
	       wrong);
	tap_ok(refused <= moves / 8, "%lu of %lu mremap calls refused", refused,
	       moves);
	tap_ok(!bad && children > 1, "%d children, %d wrong", children, bad);
	tap_ok(check(&kept), "what the parent kept is unchanged");
	return tap_done();
}
