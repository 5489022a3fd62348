// SPDX-License-Identifier: MIT
/*
 * Before main and after it.  The first constructor, TLS destructors of both
 * kinds, atexit handlers and the destructor allocate, free and check.  What
 * runs after main reports through the exit status of a forked child.
 */
#include "tap.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

/* What the early constructor allocated; freed at the very end. */
static unsigned char *early[64];
static bool early_good;

/* Bits set in the child as each late stage has done its work right. */
enum {
	ATEXIT = 1,
	DESTRUCTOR = 2,
	LATE_KEY = 4
};
static int late_stage, late_pipe[2] = { -1, -1 };

static atomic_int key_runs, cxa_runs, key_bad;
static pthread_key_t key;

static bool exercise(unsigned int seed)
{
	unsigned char *p[50];
	bool good = true;
	int i;

	for (i = 0; i < 50; i++) {
		size_t size = tap_mix(seed + i) % (i % 10 ? 500 : 100000) + 1;

		p[i] = i & 1 ? malloc(size) : calloc(1, size);
		if (!p[i])
			return false;
		good &= (i & 1) || (!p[i][0] && !p[i][size - 1]);
		p[i][0] = p[i][size - 1] = i;
		p[i] = realloc(p[i], size * 2);
		good &= p[i] && p[i][0] == i;
	}
	for (i = 0; i < 50; i++)
		free(p[i]);
	return good;
}

__attribute__((constructor(101))) static void first(void)
{
	int i;

	early_good = exercise(1);
	for (i = 0; i < 64; i++) {
		early[i] = malloc(i * 100 + 1);
		early_good &= early[i] != NULL;
		early[i][0] = early[i][i * 100] = i;
	}
}

static bool early_intact(void)
{
	int i;

	for (i = 0; i < 64; i++)
		if (early[i][0] != i || early[i][i * 100] != i)
			return false;
	return early_good;
}

/* Runs in the child after exit handlers and destructors of libraries we use. */
__attribute__((destructor(101))) static void last(void)
{
	int i;

	if (late_pipe[1] < 0)
		return;
	if (early_intact() && exercise(3)) {
		for (i = 0; i < 64; i++)
			free(early[i]);
		late_stage |= DESTRUCTOR;
	}
	if (write(late_pipe[1], &late_stage, sizeof(late_stage)) < 0)
		_exit(9);
}

static void at_exit(void)
{
	if (late_pipe[1] >= 0 && exercise(2))
		late_stage |= ATEXIT;
}

/*
 * Sets its key anew until the last round, so that it also runs after every
 * other key's destructor, the allocator's own included.
 */
static void key_destructor(void *value)
{
	uintptr_t round = *(uintptr_t *)value;
	uintptr_t *next;

	free(value);
	key_bad += !exercise(round + 10);
	key_runs++;
	if (round < 3) {
		next = malloc(sizeof(*next));
		*next = round + 1;
		pthread_setspecific(key, next);
	}
	if (late_pipe[1] >= 0)
		late_stage |= LATE_KEY;
}

static void cxa_destructor(void *value)
{
	free(value);
	key_bad += !exercise(20);
	cxa_runs++;
}

extern int __cxa_thread_atexit_impl(void (*)(void *), void *, void *);
extern void *__dso_handle;

static void *thread(void *arg)
{
	uintptr_t *value = malloc(sizeof(*value));

	*value = 0;
	pthread_setspecific(key, value);
	__cxa_thread_atexit_impl(cxa_destructor, malloc(100), &__dso_handle);
	if (arg)
		key_bad += !exercise((uintptr_t)arg);
	return NULL;
}

/* A thread whose first allocation happens in its TLS destructor. */
static void *quiet_thread(void *arg)
{
	pthread_setspecific(key, arg);
	return NULL;
}

static void tls_destructors(void)
{
	pthread_t t[8];
	int i, round;

	for (round = 0; round < 50; round++) {
		for (i = 0; i < 8; i++)
			pthread_create(&t[i], NULL, thread,
				       (void *)(uintptr_t)i);
		for (i = 0; i < 8; i++)
			pthread_join(t[i], NULL);
	}
	tap_ok(key_runs == 1600 && cxa_runs == 400 && !key_bad,
	       "TLS destructors allocate and free: %d of 1600 by key, %d of "
	       "400 by __cxa_thread_atexit_impl, %d bad",
	       key_runs, cxa_runs, key_bad);
	key_runs = 0;
	for (round = 0; round < 100; round++) {
		uintptr_t *value = malloc(sizeof(*value));

		*value = 3;
		pthread_create(&t[0], NULL, quiet_thread, value);
		pthread_join(t[0], NULL);
	}
	tap_ok(key_runs == 100 && !key_bad,
	       "threads that first allocate in a TLS destructor: %d of 100",
	       key_runs);
}

static void *detached(void *arg)
{
	while (exercise((uintptr_t)arg))
		;
	return NULL;
}

/* exit() while other threads still allocate. */
static void after_main(int way, int expected, const char *how)
{
	int stage = -1, status = -1, i;
	pthread_t t;
	pid_t pid;

	if (pipe(late_pipe))
		return;
	pid = fork();
	if (!pid) {
		tap_alarm(30);
		for (i = 0; i < 3; i++)
			pthread_create(&t, NULL, detached, (void *)5ul);
		process_sleep(0.01);
		if (way) {
			uintptr_t *value = malloc(sizeof(*value));

			*value = 3;
			pthread_setspecific(key, value);
			pthread_exit(NULL); /* never the last: they run on */
		}
		exit(0);
	}
	close(late_pipe[1]);
	late_pipe[1] = -1;
	if (way) {
		/* The main thread is gone; the others must live on. */
		process_sleep(0.2);
		kill(pid, SIGTERM);
		waitpid(pid, &status, 0);
		tap_ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM,
		       "%s: %s %d", how,
		       WIFSIGNALED(status) ? "signal" : "status",
		       WIFSIGNALED(status) ? WTERMSIG(status) :
					     WEXITSTATUS(status));
	} else {
		if (read(late_pipe[0], &stage, sizeof(stage)) < 0)
			stage = -2;
		waitpid(pid, &status, 0);
		tap_ok(stage == expected && status == 0,
		       "%s: stages %d, expected %d; status %#x", how, stage,
		       expected, status);
	}
	close(late_pipe[0]);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv, 120);
	tap_ok(early_intact(), "a constructor of priority 101 allocates");
	if (pthread_key_create(&key, key_destructor) || atexit(at_exit))
		return 1;
	tls_destructors();
	after_main(0, ATEXIT | DESTRUCTOR,
		   "atexit and destructor(101), threads still allocating");
	after_main(1, 0, "pthread_exit from main, threads go on");
	tap_ok(exercise(30) && early_intact(), "and here nothing changed");
	return tap_done();
}
