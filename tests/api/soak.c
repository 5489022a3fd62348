// SPDX-License-Identifier: MIT
/*
 * A soak: threads of random length that start others in their place, random
 * sizes, blocks freed by others than allocated them, forks in between whose
 * children check and free what they inherited; every payload checked, and
 * nothing lost at the end.
 *
 *   soak [SEED [SECONDS]]     8 seconds unless said; 1200 for an acceptance
 */
#include "tap.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/wait.h>

#include "soak.h"
#include "tract.h"

enum {
	THREADS = 6,
	MORE_SECONDS = 30,
	/* Forks a second, in the mean, of a thread that forks. */
	FORK_EVERY = 40000,
};

static atomic_bool ending;
static atomic_ulong lives, forks, children_failed;
static atomic_int running;
static pthread_attr_t detached;

/* All that a child finds is whole, and may be freed by it, and used anew. */
static int child(uint64_t state)
{
	tap_alarm(60);
	for (int i = 0; i < SOAK_SLOTS; i++) {
		void *p = atomic_load(&soak_slot[i]);

		if (p && !soak_check(p))
			return 1;
	}
	for (int i = 0; i < 3000; i++)
		soak_step(&state);
	if (state & 1)
		soak_free_all();
	return soak_broken != 0;
}

static void do_fork(uint64_t state)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid)
		_exit(child(state));
	forks++;
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
		children_failed++;
		fprintf(stderr, "# soak: child %d: status %#x\n", pid, status);
	}
}

static void *life(void *arg)
{
	uint64_t state = (uintptr_t)arg;
	uint64_t steps = 200 + soak_random(&state) % 100000;
	bool forking = soak_random(&state) % 4 == 0;
	pthread_t next;

	lives++;
	for (uint64_t i = 0; i < steps && !ending; i++) {
		soak_step(&state);
		if (forking && soak_random(&state) % FORK_EVERY == 0)
			do_fork(soak_random(&state));
		if (soak_random(&state) % 200000 == 0)
			malloc_trim(0);
	}
	/* The next one starts before this one is gone. */
	if (ending || pthread_create(&next, &detached, life,
				     (void *)(uintptr_t)soak_random(&state)))
		running--;
	return NULL;
}

static size_t live_bytes(void)
{
	void (*stats)(struct tract_heap_stats *, size_t) =
		(void (*)(struct tract_heap_stats *, size_t))dlsym(
			RTLD_DEFAULT, "tract_heap_stats");
	struct tract_heap_stats now;

	/* The C library counts what it caches as in use. */
	if (!stats)
		return 0;
	stats(&now, sizeof(now));
	return now.live_bytes;
}

static bool is_enough(void)
{
	return lives > THREADS && forks > 1 && soak_steps > 10000;
}

/*
 * A line a minute; the largest RSS since the first.  A machine that is slow, or
 * busy with other things, has more time.
 */
static long watch(double seconds)
{
	double begin = process_now(), end = begin + seconds, report = 60;
	long most = 0, rss;

	while (process_now() < end ||
	       (!is_enough() && process_now() < end + MORE_SECONDS)) {
		process_sleep(0.2);
		rss = tap_rss();
		most = rss > most ? rss : most;
		if (process_now() - begin < report)
			continue;
		report += 60;
		tap_note(
			"%.0f s: %lu steps, %lu threads, %lu forks, RSS %ld KiB",
			process_now() - begin, soak_steps, lives, forks, rss);
	}
	return most;
}

int main(int argc, char **argv)
{
	unsigned int seconds = argc > 2 ? strtoul(argv[2], NULL, 0) : 8;
	size_t live;
	long most;

	tap_start(argc, argv, seconds + MORE_SECONDS + 20);
	soak = (struct soak_family){ malloc, calloc, realloc, aligned_alloc,
				     free };
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	live = live_bytes();
	running = THREADS;
	for (int i = 0; i < THREADS; i++) {
		pthread_t thread;

		if (pthread_create(&thread, &detached, life,
				   (void *)(uintptr_t)soak_mix(tap_seed + i)))
			return 1;
	}
	most = watch(seconds);
	ending = true;
	while (running)
		process_sleep(0.01);
	/* Of the last ones' ends nothing more is told than that. */
	process_sleep(0.2);
	soak_free_all();
	tap_note("%lu steps, %lu threads, %lu forks, RSS at most %ld KiB",
		 soak_steps, lives, forks, most);
	tap_ok(!soak_broken, "every payload is whole: %lu are not",
	       soak_broken);
	tap_ok(!soak_refused, "memory was to be had: %lu times not",
	       soak_refused);
	tap_ok(!children_failed, "%lu children found all whole: %lu did not",
	       forks, children_failed);
	tap_ok(is_enough(), "there were threads, forks and steps enough");
	/* Thread stacks that the C library keeps hold something of theirs. */
	tap_ok(live_bytes() < live + (64 << 10),
	       "nothing is lost: %zu bytes live at first, %zu at last", live,
	       live_bytes());
	malloc_trim(0);
	tap_ok(most < 256 << 10, "RSS stayed bounded: %ld KiB at most", most);
	return tap_done();
}
