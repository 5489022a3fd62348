// SPDX-License-Identifier: MIT
/*
 * Memory that another thread frees comes back within two seconds, although the
 * thread that allocated it does nothing more and the one that freed it ends,
 * sleeps, or never allocated at all.  One malloc and free a second, by any one
 * thread, is all that is asked of the program.  Without any, that is asked only
 * with TRACT_TEST_NO_CALLS=1: of a kernel that takes back what is offered to it.
 */
#include "tap.h"

#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>

#define OBJECTS 400000
#define BOUND_KIB (12 << 10)
#define SETTLE_SECONDS 2

static long start_rss; /* KiB */

static void *object[OBJECTS];
static sem_t freed, go_home;

static void allocate(uint64_t *state)
{
	size_t size;
	int i;

	for (i = 0; i < OBJECTS; i++) {
		/* 0.4 % are of 20 to 220 KB. */
		size = i % 250 == 7 ? 20000 + tap_random(state) % 200000 :
				      16 + tap_random(state) % 1009;
		object[i] = malloc(size);
		memset(object[i], i, size);
	}
}

static void *free_all(void *sleeps)
{
	int i;

	for (i = 0; i < OBJECTS; i++)
		free(object[i]);
	sem_post(&freed);
	if (sleeps)
		sem_wait(&go_home);
	return NULL;
}

/* In another order than allocated, so that spans empty all at the end. */
static void *free_strided(void *sleeps)
{
	int i, k;

	for (k = 0; k < 1000; k++)
		for (i = k; i < OBJECTS; i += 1000)
			free(object[i]);
	sem_post(&freed);
	if (sleeps)
		sem_wait(&go_home);
	return NULL;
}

static void *allocate_thread(void *arg)
{
	allocate(arg);
	sem_post(&freed);
	sem_wait(&go_home);
	return NULL;
}

/* In an emulator dropping the pages alone takes longer. */
static int settle_seconds(void)
{
	return SETTLE_SECONDS * tap_env("TRACT_TEST_SLOWNESS", 1);
}

/* One pair a second, by the calling thread. */
static void *settle(void *arg)
{
	for (int i = 0; i < settle_seconds(); i++) {
		process_sleep(1);
		free(malloc(100));
		if (tap_rss() - start_rss < BOUND_KIB)
			break;
	}
	return arg;
}

/* By one that comes for that alone; it was never seen before. */
static void settle_elsewhere(void)
{
	pthread_t t;

	if (!pthread_create(&t, NULL, settle, NULL))
		pthread_join(t, NULL);
}

static void *free_and_settle(void *arg)
{
	for (int i = 0; i < OBJECTS; i++)
		free(object[i]);
	return settle(arg);
}

static void verdict(long before, long full, const char *what)
{
	long above = tap_rss() - before;

	if (tap_is_tract())
		tap_ok(above < BOUND_KIB && full - before > 100 << 10,
		       "%s: RSS %ld KiB above start, was %ld; bound %d", what,
		       above, full - before, BOUND_KIB);
	else
		tap_skip("%s: RSS %ld KiB above start, was %ld", what, above,
			 full - before);
}

int main(int argc, char **argv)
{
	uint64_t state;
	long before, full;
	pthread_t t;

	tap_start(argc, argv, 120);
	state = tap_seed;
	sem_init(&freed, 0, 0);
	sem_init(&go_home, 0, 0);
	free(malloc(100));
	memset(object, 0xff, sizeof(object));
	start_rss = before = tap_rss();

	allocate(&state);
	full = tap_rss();
	pthread_create(&t, NULL, free_all, NULL);
	pthread_join(t, NULL);
	sem_wait(&freed);
	settle(NULL);
	verdict(before, full, "freed by a thread that ended");

	allocate(&state);
	full = tap_rss();
	pthread_create(&t, NULL, free_all, &freed);
	sem_wait(&freed);
	settle(NULL);
	verdict(before, full, "freed by a thread that sleeps");
	sem_post(&go_home);
	pthread_join(t, NULL);

	allocate(&state);
	full = tap_rss();
	pthread_create(&t, NULL, free_strided, &freed);
	sem_wait(&freed);
	settle(NULL);
	verdict(before, full, "freed in strides by a thread that sleeps");
	sem_post(&go_home);
	pthread_join(t, NULL);

	allocate(&state);
	full = tap_rss();
	pthread_create(&t, NULL, free_all, &freed);
	sem_wait(&freed);
	settle_elsewhere();
	verdict(before, full,
		"freed by a thread that sleeps, settled by a third");
	sem_post(&go_home);
	pthread_join(t, NULL);

	allocate(&state);
	full = tap_rss();
	pthread_create(&t, NULL, free_and_settle, NULL);
	pthread_join(t, NULL);
	verdict(before, full, "freed and settled by a thread, main idle");

	allocate(&state);
	full = tap_rss();
	pthread_create(&t, NULL, free_all, &freed);
	sem_wait(&freed);
	process_sleep(SETTLE_SECONDS);
	if (tap_env("TRACT_TEST_NO_CALLS", 0))
		verdict(before, full,
			"freed by a thread that sleeps, no calls");
	else
		tap_note("no calls: RSS %ld KiB above start, was %ld",
			 tap_rss() - before, full - before);
	sem_post(&go_home);
	pthread_join(t, NULL);

	pthread_create(&t, NULL, allocate_thread, &state);
	sem_wait(&freed);
	full = tap_rss();
	free_all(NULL);
	sem_wait(&freed);
	settle(NULL);
	verdict(before, full, "allocated by a thread that sleeps");
	sem_post(&go_home);
	pthread_join(t, NULL);
	return tap_done();
}
