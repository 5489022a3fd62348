// SPDX-License-Identifier: MIT
/*
 * fork() while eight threads allocate.  The child has locks, lists and counters
 * as the fork found them: it must be able to allocate, free its parent's
 * blocks, fork again, start threads, and end through exit() or _exit().
 */
#include "tap.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define THREADS 8
#define ITERATIONS 200
#define INHERITED 300

static atomic_bool stop;
static atomic_ulong busy_broken, busy_rounds;

static bool play(uint64_t *state, int rounds)
{
	enum {
		LIVE = 64
	};
	unsigned char *p[LIVE] = { NULL };
	size_t size[LIVE] = { 0 }, k;
	bool good = true;

	while (rounds-- && !atomic_load_explicit(&stop, memory_order_relaxed)) {
		k = tap_random(state) % LIVE;
		if (p[k]) {
			good &= p[k][0] == (unsigned char)k &&
				p[k][size[k] - 1] == (unsigned char)k;
			free(p[k]);
		}
		size[k] = tap_random_size(state, rounds % 50 ? 2000 : 300000);
		p[k] = malloc(size[k]);
		if (!p[k])
			return false;
		p[k][0] = p[k][size[k] - 1] = k;
	}
	for (k = 0; k < LIVE; k++)
		free(p[k]);
	return good;
}

static void *busy(void *arg)
{
	uint64_t state = tap_mix(tap_seed ^ (uintptr_t)arg);

	while (!atomic_load(&stop)) {
		busy_broken += !play(&state, 500);
		busy_rounds++;
	}
	return NULL;
}

static void *child_thread(void *arg)
{
	uint64_t state = (uintptr_t)arg;

	return (void *)(uintptr_t)play(&state, 200);
}

static struct {
	unsigned char *p;
	size_t size;
} inherited[INHERITED];

static void inherit(uint64_t *state)
{
	int i;

	for (i = 0; i < INHERITED; i++) {
		inherited[i].size =
			tap_random_size(state, i % 30 ? 5000 : 500000);
		inherited[i].p = malloc(inherited[i].size);
		memset(inherited[i].p, i, inherited[i].size);
	}
}

static bool inheritance_intact(bool then_free)
{
	size_t k;
	int i;

	for (i = 0; i < INHERITED; i++) {
		for (k = 0; k < inherited[i].size; k++)
			if (inherited[i].p[k] != (unsigned char)i)
				return false;
		if (then_free)
			free(inherited[i].p);
	}
	return true;
}

/* Waits for a child that must end with status 0; says how it did not. */
static bool ended_well(pid_t pid, const char *who)
{
	int status = 0;

	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		tap_note("%s: fork or wait failed: %s", who, strerror(errno));
		return false;
	}
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return true;
	tap_note("%s ended with %s %d", who,
		 WIFSIGNALED(status) ? "signal" : "status",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return false;
}

/* Status 2: contents, 3: allocation, 4: the grandchild, 5: a thread. */
static int child(uint64_t state, int round)
{
	pthread_t t;
	void *good = NULL;
	pid_t pid;

	tap_alarm(60);
	if (!inheritance_intact(round & 1))
		return 2;
	if (!play(&state, 300))
		return 3;
	if (round % 4 == 0) {
		pid = fork();
		if (!pid) {
			tap_alarm(60);
			/* Not freed by the child: the grandchild does it. */
			if (!inheritance_intact(true) || !play(&state, 200))
				_exit(2);
			_exit(0);
		}
		if (!ended_well(pid, "grandchild"))
			return 4;
		if (!inheritance_intact(false))
			return 2;
	}
	if (round % 8 == 1) {
		if (pthread_create(&t, NULL, child_thread, (void *)9ul) ||
		    pthread_join(t, &good) || !good)
			return 5;
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int i, failed = 0, done;
	uint64_t state;
	pthread_t t[THREADS];
	long rss = 0;

	tap_start(argc, argv, 240);
	state = tap_seed;
	inherit(&state);
	for (i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, busy, (void *)(uintptr_t)(i + 1));
	for (done = 0; done < ITERATIONS && failed < 5; done++) {
		uint64_t seed = tap_random(&state);
		pid_t pid = fork();

		if (!pid) {
			int status = child(seed, done);

			if (done & 1)
				exit(status);
			_exit(status);
		}
		failed += !ended_well(pid, done & 1 ? "child (exit)" :
						      "child (_exit)");
		/* The parent's memory is untouched by what the child freed. */
		if (!inheritance_intact(false)) {
			tap_note("round %u: the child changed its parent",
				 done);
			failed++;
			break;
		}
		if (done == 20)
			rss = tap_rss();
	}
	atomic_store(&stop, true);
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	tap_ok(!failed && done == ITERATIONS,
	       "%u forks of %d amid %d allocating threads: %u failed", done,
	       ITERATIONS, THREADS, failed);
	tap_ok(!busy_broken && busy_rounds > 100,
	       "the parent's threads went on, %lu rounds: %lu broken",
	       busy_rounds, busy_broken);
	tap_ok(tap_rss() < rss * 2 + (64 << 10),
	       "the parent did not grow: RSS %ld, then %ld KiB", rss,
	       tap_rss());
	tap_ok(inheritance_intact(true), "the parent's blocks are intact");
	return tap_done();
}
