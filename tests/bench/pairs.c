// SPDX-License-Identifier: MIT
/*
 * Nothing but malloc() and free(), for counting instructions: run under
 * callgrind with two numbers of rounds, the difference is theirs alone.
 *
 *   pairs PATTERN ROUNDS
 *
 *   lifo    one block of 64 bytes, freed at once
 *   batch   64 blocks of mixed small sizes, then all freed
 *   window  the oldest of 512 blocks of mixed small sizes is replaced
 *   remote  64 blocks allocated by one thread, freed by another
 *   calloc  zeroed blocks of 64 bytes
 *   realloc a block that alternates between 100 and 110 bytes
 *   none    the loop of lifo, with a function that does nothing
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 64
#define WINDOW 512

static void *(*volatile do_malloc)(size_t) = malloc;
static void *(*volatile do_calloc)(size_t, size_t) = calloc;
static void *(*volatile do_realloc)(void *, size_t) = realloc;
static void (*volatile do_free)(void *) = free;

static void *block[WINDOW];
static sem_t full, empty;

static void *no_malloc(size_t size)
{
	return (void *)size;
}

static void no_free(void *p)
{
	(void)p;
}

static size_t small(unsigned long n)
{
	return 16 + n * 40 % 240;
}

static void lifo(unsigned long rounds)
{
	for (unsigned long n = 0; n < rounds; n++)
		do_free(do_malloc(64));
}

static void batch(unsigned long rounds)
{
	for (unsigned long n = 0; n < rounds; n += BATCH) {
		for (int i = 0; i < BATCH; i++)
			block[i] = do_malloc(small(i));
		for (int i = 0; i < BATCH; i++)
			do_free(block[i]);
	}
}

static void window(unsigned long rounds)
{
	for (unsigned long n = 0; n < rounds; n++) {
		do_free(block[n % WINDOW]);
		block[n % WINDOW] = do_malloc(small(n));
	}
}

static void *free_batches(void *arg)
{
	for (unsigned long left = *(unsigned long *)arg; left; left--) {
		sem_wait(&full);
		for (int i = 0; i < BATCH; i++)
			do_free(block[i]);
		sem_post(&empty);
	}
	return NULL;
}

static void remote(unsigned long rounds)
{
	unsigned long batches = rounds / BATCH;
	pthread_t thread;

	sem_init(&full, 0, 0);
	sem_init(&empty, 0, 0);
	if (pthread_create(&thread, NULL, free_batches, &batches))
		exit(1);
	for (unsigned long n = 0; n < rounds / BATCH; n++) {
		for (int i = 0; i < BATCH; i++)
			block[i] = do_malloc(small(i));
		sem_post(&full);
		sem_wait(&empty);
	}
	pthread_join(thread, NULL);
}

static void callocs(unsigned long rounds)
{
	for (unsigned long n = 0; n < rounds; n++)
		do_free(do_calloc(1, 64));
}

static void reallocs(unsigned long rounds)
{
	void *p = do_malloc(100);

	for (unsigned long n = 0; n < rounds; n++)
		p = do_realloc(p, n % 2 ? 100 : 110);
	do_free(p);
}

static void none(unsigned long rounds)
{
	do_malloc = no_malloc;
	do_free = no_free;
	lifo(rounds);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(unsigned long rounds);
	} patterns[] = {
		{ "lifo", lifo },      { "batch", batch },
		{ "window", window },  { "remote", remote },
		{ "calloc", callocs }, { "realloc", reallocs },
		{ "none", none },
	};
	unsigned int i;

	for (i = 0; argc == 3 && i < sizeof(patterns) / sizeof(*patterns); i++)
		if (!strcmp(argv[1], patterns[i].name)) {
			patterns[i].run(strtoul(argv[2], NULL, 0));
			return 0;
		}
	fprintf(stderr, "usage: pairs PATTERN ROUNDS\n");
	return 2;
}
