// SPDX-License-Identifier: MIT
/* The free that a thread has deferred: for everybody else it has been made. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "elsewhere.h"
#include "heap.h"
#include "malloc.h"
#include "pagemap.h"
#include "stats.h"
#include "suite.h"

#define SIZE 2000    /* of a class of which malloc() has nothing ready */
#define SPAN 32	     /* blocks in a span of it */
#define BLOCKS 100   /* in three of them, and some in another */
#define ANOTHER 4000 /* of another such class */

static bool is_deferred(const void *p)
{
	return heap_has_deferred(tract__thread_heap, p);
}

/* A block of which the free is deferred; not that with which the pace is found. */
static void *deferred_block(void)
{
	void *p;

	for (int i = 0; i < 100; i++) {
		p = tract__malloc(SIZE);
		tract__free(p);
		if (is_deferred(p))
			return p;
	}
	ck_abort_msg("no free is deferred");
	return NULL;
}

/* Has what is deferred carried out. */
static void free_another(void)
{
	tract__free(tract__malloc(ANOTHER));
}

START_TEST(it_counts_as_free_for_all_threads)
{
	void *keep = tract__malloc(SIZE), *p;
	size_t live = live_of(keep);

	p = deferred_block();
	ck_assert_uint_eq(live_of(keep), live);
	ck_assert_uint_eq((size_t)elsewhere(live_there, keep), live);
	ck_assert_uint_eq(tract__usable_size(p), 0);
	tract__free(keep);
	ck_assert_uint_eq(live_of(p), live - 1);
}
END_TEST

START_TEST(it_is_made_by_what_comes_next)
{
	void *p = deferred_block(), *q;

	free_another();
	ck_assert(!is_deferred(p));
	q = deferred_block();
	tract__trim();
	ck_assert(!is_deferred(q));
}
END_TEST

/* The block, not its neighbour, and allocated for everybody who looks. */
START_TEST(it_is_called_off_by_a_malloc_of_its_class)
{
	void *keep = tract__malloc(SIZE), *other = tract__malloc(ANOTHER);
	void *p, *another;
	size_t live = live_of(keep);

	p = deferred_block();
	another = tract__malloc(ANOTHER);
	ck_assert(is_deferred(p));
	ck_assert_ptr_eq(tract__malloc(SIZE), p);
	ck_assert(!is_deferred(p));
	ck_assert_uint_eq(live_of(keep), live + 1);
	ck_assert_uint_eq((size_t)elsewhere(live_there, keep), live + 1);
	ck_assert_uint_ge(tract__usable_size(p), SIZE);
	ck_assert_ptr_ne(tract__malloc(SIZE), p);
	tract__free(p);
	ck_assert_uint_eq(live_of(keep), live + 1);
	tract__free(keep);
	tract__free(other);
	tract__free(another);
}
END_TEST

/* Twice by its own thread, and by another while its owner takes it. */
static void check_taken_twice(bool crossing)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		void **deferred = &tract__thread_heap->deferred;
		void *p = deferred_block();

		close(STDERR_FILENO);
		if (crossing) {
			*deferred = NULL;
			elsewhere(free_it, p);
			*deferred = p;
			tract__malloc(SIZE);
		} else {
			tract__malloc(SIZE);
			tract__free(p);
			tract__free(p);
		}
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

START_TEST(what_is_called_off_is_checked)
{
	check_taken_twice(false);
	check_taken_twice(true);
}
END_TEST

/* With nobody freeing anything after it. */
START_TEST(the_last_block_of_a_span_takes_it_along)
{
	struct tract_heap_stats before, after;
	void *p[BLOCKS];

	for (int i = 0; i < BLOCKS; i++)
		p[i] = tract__malloc(SIZE);
	tract__stats_get(&before);
	/* The second span is whole, and no more current. */
	for (int i = SPAN; i < 2 * SPAN; i++)
		tract__free(p[i]);
	tract__stats_get(&after);
	ck_assert_uint_ge(after.spans_freed, before.spans_freed + 1);
	for (int i = 0; i < BLOCKS; i++)
		if (i < SPAN || i >= 2 * SPAN)
			tract__free(p[i]);
}
END_TEST

/*
 * Some of the second of three spans of @p, which has room then and is no more current:
 * the first that is not freed.  The free before it is deferred.
 */
static int free_some(void *p[BLOCKS])
{
	int i;

	for (i = 0; i < BLOCKS; i++)
		p[i] = tract__malloc(SIZE);
	for (i = SPAN; i < SPAN + 10 || !is_deferred(p[i - 1]); i++)
		tract__free(p[i]);
	ck_assert_int_lt(i, 2 * SPAN);
	ck_assert(pagemap_find(p[i - 1]) == pagemap_find(p[i]));
	ck_assert_int_eq(pagemap_find(p[i])->state, SPAN_PARTIAL);
	return i;
}

/* All of a span but what is deferred is freed by another: its owner finds it. */
START_TEST(a_span_that_others_emptied_goes_when_its_owner_comes_by)
{
	struct tract_heap_stats before, after;
	void *p[BLOCKS + 1];
	int i = free_some(p);

	tract__stats_get(&before);
	p[BLOCKS] = p[2 * SPAN];
	p[2 * SPAN] = NULL;
	elsewhere(free_all, p + i);
	p[2 * SPAN] = p[BLOCKS];
	p[BLOCKS] = NULL;
	ck_assert(is_deferred(p[i - 1]));
	/* Not only of such classes. */
	tract__free(tract__malloc(SIZE / 4));
	tract__stats_get(&after);
	ck_assert_uint_eq(after.spans_freed, before.spans_freed + 1);
	free_all(p + 2 * SPAN);
	p[SPAN] = NULL;
	free_all(p);
}
END_TEST

/* And what is deferred as well, without a look at what its owner has: it counts. */
START_TEST(a_span_that_others_emptied_too_far_is_caught)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		void *p[BLOCKS + 1];
		int i = free_some(p);

		close(STDERR_FILENO);
		p[2 * SPAN] = NULL;
		elsewhere(free_all, p + i - 1);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
END_TEST

static void *defer_and_wait(void *arg)
{
	pthread_barrier_t *barrier = arg;

	deferred_block();
	pthread_barrier_wait(barrier);
	pthread_barrier_wait(barrier);
	return NULL;
}

START_TEST(a_forked_child_has_it_made_for_threads_it_lacks)
{
	void *keep = tract__malloc(SIZE);
	size_t live = live_of(keep);
	pthread_barrier_t barrier;
	pthread_t thread;
	int status;
	pid_t pid;

	pthread_barrier_init(&barrier, NULL, 2);
	ck_assert(!pthread_create(&thread, NULL, defer_and_wait, &barrier));
	pthread_barrier_wait(&barrier);
	pid = fork();
	if (!pid)
		_exit(live_of(keep) != live);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	tract__free(keep);
}
END_TEST

/* Of the heap of this thread, as if it were another's. */
static void forked_without_it(void)
{
	tract__thread_heap = &tract__empty_heap;
	tract__heap_fork_prepare();
	tract__heap_fork_child();
}

/* Its thread was caught between carrying out and forgetting. */
START_TEST(a_forked_child_does_not_free_twice_what_was_carried_out)
{
	void *keep = tract__malloc(SIZE), *p = deferred_block();
	size_t live = live_of(keep);
	int status;
	pid_t pid = fork();

	if (!pid) {
		free_another();
		tract__thread_heap->deferred = p;
		forked_without_it();
		_exit(live_of(keep) != live);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	tract__free(keep);
}
END_TEST

/*
 * Carried out, and not yet overwritten: the span has gone, another heap has one in
 * its place, and the block is out again.
 */
START_TEST(a_forked_child_frees_nothing_in_the_span_of_another)
{
	void *keep = tract__malloc(SIZE), *p = deferred_block();
	struct span *span = pagemap_find(p);
	int status;
	pid_t pid = fork();

	if (!pid) {
		span->owner = (uintptr_t)&tract__orphans | OWNER_DEFERS;
		forked_without_it();
		_exit(span_is_freed(span, span_index(span, p)));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	tract__free(keep);
}
END_TEST

/* Of a block that the owner has freed last; it is the owner who finds it out. */
enum when {
	AT_ONCE,
	AT_ITS_NEXT,
	AT_EXIT
};

static void check_twice(enum when when, bool more)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		void *p, *others[8];

		for (int i = 0; i < 8; i++)
			others[i] = tract__malloc(SIZE);
		p = deferred_block();
		if (when == AT_ONCE)
			free_another();
		close(STDERR_FILENO);
		/* So many of one word are gathered by who frees them. */
		for (int i = 0; more && i < 8; i++)
			elsewhere(free_it, others[i]);
		elsewhere(free_it, p);
		if (when == AT_ITS_NEXT)
			free_another();
		if (when == AT_EXIT)
			exit(0);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

START_TEST(another_thread_that_frees_it_too_is_caught)
{
	check_twice(AT_ONCE, false);
	check_twice(AT_ITS_NEXT, false);
	check_twice(AT_EXIT, false);
	check_twice(AT_ONCE, true);
	check_twice(AT_ITS_NEXT, true);
	check_twice(AT_EXIT, true);
}
END_TEST

static void *defer_and_sleep(void *arg)
{
	struct {
		pthread_barrier_t barrier;
		void *p;
	} *with = arg;

	with->p = deferred_block();
	pthread_barrier_wait(&with->barrier);
	for (;;)
		pause();
	return NULL;
}

/* Its owner sleeps, while the program ends. */
START_TEST(the_end_of_the_program_catches_it_too)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct {
			pthread_barrier_t barrier;
			void *p;
		} with;
		pthread_t thread;

		close(STDERR_FILENO);
		pthread_barrier_init(&with.barrier, NULL, 2);
		if (pthread_create(&thread, NULL, defer_and_sleep, &with))
			_exit(1);
		pthread_barrier_wait(&with.barrier);
		tract__free(with.p);
		exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
END_TEST

START_TEST(another_thread_that_gathers_it_is_caught)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		void *p[10];

		for (int i = 0; i < 8; i++)
			p[i] = tract__malloc(SIZE);
		p[8] = deferred_block();
		p[9] = NULL;
		close(STDERR_FILENO);
		elsewhere(free_all, p);
		free_another();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
END_TEST

/* Both at one time: the owner has not looked, the other has not seen. */
START_TEST(a_free_that_crosses_it_is_caught)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		void **deferred = &tract__thread_heap->deferred;
		void *p = deferred_block();

		close(STDERR_FILENO);
		*deferred = NULL;
		elsewhere(free_it, p);
		*deferred = p;
		free_another();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}
END_TEST

SUITE_MAIN("deferred", it_counts_as_free_for_all_threads,
	   it_is_made_by_what_comes_next,
	   it_is_called_off_by_a_malloc_of_its_class,
	   what_is_called_off_is_checked,
	   the_last_block_of_a_span_takes_it_along,
	   a_span_that_others_emptied_goes_when_its_owner_comes_by,
	   a_span_that_others_emptied_too_far_is_caught,
	   a_forked_child_has_it_made_for_threads_it_lacks,
	   a_forked_child_does_not_free_twice_what_was_carried_out,
	   a_forked_child_frees_nothing_in_the_span_of_another,
	   another_thread_that_frees_it_too_is_caught,
	   the_end_of_the_program_catches_it_too,
	   another_thread_that_gathers_it_is_caught,
	   a_free_that_crosses_it_is_caught)
