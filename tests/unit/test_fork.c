// SPDX-License-Identifier: MIT
/*
 * What a forked child makes of heaps whose threads were in the middle of something:
 * the state that the fork may come upon is made by hand.
 */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap.h"
#include "malloc.h"
#include "pagemap.h"
#include "stats.h"
#include "suite.h"

#define SIZE 200

static void *kept, *freed;
static pthread_barrier_t barrier;

static void *allocate_and_wait(void *arg)
{
	(void)arg;
	kept = tract__malloc(SIZE);
	freed = tract__malloc(SIZE);
	tract__free(freed);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	tract__free(kept);
	return NULL;
}

static size_t live_blocks(void)
{
	struct tract_heap_stats now;

	tract__stats_get(&now);
	return now.live_blocks;
}

/* The exit status of a child that frees what the thread has. */
static int in_child(size_t before)
{
	if (tract__usable_size(kept) < SIZE || tract__usable_size(freed))
		return 1;
	tract__free(kept);
	return live_blocks() != before;
}

/* The bit goes from one word to the other, and for a moment is in both. */
START_TEST(a_bit_that_is_collected_is_no_double_free)
{
	struct block_bits *word;
	pthread_t thread;
	size_t before;
	int status;
	pid_t pid;

	/* What this thread has of its own is had before it counts. */
	tract__free(tract__malloc(SIZE));
	before = live_blocks();
	pthread_barrier_init(&barrier, NULL, 2);
	ck_assert(!pthread_create(&thread, NULL, allocate_and_wait, NULL));
	pthread_barrier_wait(&barrier);
	word = span_bits(pagemap_find(freed),
			 span_index(pagemap_find(freed), freed));
	word->remote |= word->free & -word->free;
	pid = fork();
	if (!pid)
		_exit(in_child(before));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	word->remote = 0;
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
}
END_TEST

SUITE_MAIN("fork", a_bit_that_is_collected_is_no_double_free)
