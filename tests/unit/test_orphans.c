// SPDX-License-Identifier: MIT
/* Spans of threads that have ended: who has them next. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "elsewhere.h"
#include "heap.h"
#include "malloc.h"
#include "pagemap.h"
#include "refill.h"
#include "region.h"
#include "stats.h"
#include "suite.h"

#define BLOCKS 20
#define SMALL 1000  /* of a ready class */
#define LARGER 2000 /* of one of which frees are deferred */

struct left {
	size_t size;
	void *block[BLOCKS];
	struct span *span;
};

static void *allocate(void *arg)
{
	struct left *left = arg;

	for (int i = 0; i < BLOCKS; i++)
		left->block[i] = tract__malloc(left->size);
	return NULL;
}

/* Blocks of one span, which a thread that has ended left. */
static struct left leave(size_t size)
{
	struct left left = { .size = size };

	elsewhere(allocate, &left);
	left.span = pagemap_find(left.block[0]);
	for (int i = 0; i < BLOCKS; i++)
		ck_assert_ptr_eq(pagemap_find(left.block[i]), left.span);
	ck_assert_ptr_eq(span_owner(left.span), &tract__orphans);
	return left;
}

static void check_adopted(size_t size)
{
	struct tract_heap_stats start, end;
	struct left left;

	tract__free(tract__malloc(size));
	tract__stats_get(&start);
	left = leave(size);
	tract__free(left.block[0]);
	ck_assert_ptr_eq(span_owner(left.span), tract__thread_heap);
	ck_assert_uint_eq(tract__usable_size(left.block[0]), 0);
	for (int i = 1; i < BLOCKS; i++) {
		ck_assert_uint_ge(tract__usable_size(left.block[i]), size);
		tract__free(left.block[i]);
		ck_assert_uint_eq(left.span->tally->remote_freed, 0);
	}
	tract__free(tract__malloc(SMALL / 2));
	tract__trim();
	ck_assert_ptr_null(span_owner(left.span));
	tract__stats_get(&end);
	ck_assert_uint_eq(end.live_blocks, start.live_blocks);
}

START_TEST(who_frees_in_a_span_without_a_thread_is_its_owner)
{
	check_adopted(SMALL);
	check_adopted(LARGER);
}
END_TEST

static void *free_first(void *arg)
{
	const struct left *left = arg;

	tract__free(left->block[0]);
	return span_owner(left->span);
}

/* Of two threads the first has it; the other's frees are remote ones. */
START_TEST(it_is_adopted_once)
{
	struct left left = leave(SMALL);

	tract__free(left.block[1]);
	ck_assert_ptr_eq(elsewhere(free_first, &left), tract__thread_heap);
	ck_assert_uint_eq(left.span->tally->remote_freed, 1);
	for (int i = 2; i < BLOCKS; i++)
		tract__free(left.block[i]);
}
END_TEST

/* A thread that has no heap yet, and one that had allocated itself. */
START_TEST(a_thread_that_only_frees_gives_back_all)
{
	struct tract_heap_stats start, end;
	struct left left;
	void *another;

	tract__stats_get(&start);
	another = tract__malloc(SMALL / 2);
	left = leave(SMALL);
	elsewhere(free_first, &left);
	ck_assert_ptr_eq(span_owner(left.span), &tract__orphans);
	for (int i = 1; i < BLOCKS; i++)
		tract__free(left.block[i]);
	/* The last of them is made with the next. */
	tract__free(another);
	tract__stats_get(&end);
	ck_assert_uint_eq(end.live_blocks, start.live_blocks);
	ck_assert_ptr_null(span_owner(left.span));
}
END_TEST

/* What one thread left, spans of two classes, and another before it. */
struct estate {
	struct left part[3];
	bool heir_allocates; /* before it frees */
};

static void *leave_two(void *arg)
{
	struct estate *estate = arg;

	allocate(&estate->part[0]);
	return allocate(&estate->part[1]);
}

/* How many of them are its own then. */
static void *free_one(void *arg)
{
	struct estate *estate = arg;
	uintptr_t owned = 0;

	if (estate->heir_allocates)
		tract__free(tract__malloc(SMALL / 2));
	tract__free(estate->part[0].block[0]);
	for (int i = 0; i < 3; i++)
		owned += span_owner(estate->part[i].span) == tract__thread_heap;
	return (void *)owned;
}

static uintptr_t inherited(bool heir_allocates)
{
	struct estate estate = {
		.part = { { .size = SMALL },
			  { .size = LARGER },
			  leave(SMALL / 4) },
		.heir_allocates = heir_allocates,
	};
	uintptr_t owned;

	elsewhere(leave_two, &estate);
	for (int i = 0; i < 2; i++)
		estate.part[i].span = pagemap_find(estate.part[i].block[0]);
	owned = (uintptr_t)elsewhere(free_one, &estate);
	for (int i = 1; i < 3 * BLOCKS; i++)
		tract__free(estate.part[i / BLOCKS].block[i % BLOCKS]);
	return owned;
}

/* So a server's next thread allocates where the last one did, and is in the cache. */
START_TEST(a_thread_that_frees_first_goes_on_with_all_that_was_left)
{
	ck_assert_uint_eq(inherited(false), 2);
	ck_assert_uint_eq(inherited(true), 1);
}
END_TEST

static void check_caught(bool by_heir)
{
	struct left left = leave(SMALL);
	int status;
	pid_t pid = fork();

	if (!pid) {
		close(STDERR_FILENO);
		tract__free(left.block[by_heir ? 0 : 1]);
		elsewhere(free_first, &left);
		tract__trim();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (by_heir)
		ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	else
		ck_assert_int_eq(status, 0);
	for (int i = 0; i < BLOCKS; i++)
		tract__free(left.block[i]);
}

START_TEST(what_the_heir_has_freed_nobody_frees_again)
{
	check_caught(true);
	check_caught(false);
}
END_TEST

static void *allocate_one(void *arg)
{
	const struct left *left = arg;
	void *p = tract__malloc(left->size);
	bool from_there = pagemap_find(p) == left->span;

	tract__free(p);
	return from_there ? left->span : NULL;
}

START_TEST(its_room_is_for_who_allocates_next)
{
	struct left left = leave(SMALL);

	ck_assert_ptr_eq(elsewhere(allocate_one, &left), left.span);
	for (int i = 0; i < BLOCKS; i++)
		tract__free(left.block[i]);
}
END_TEST

SUITE_MAIN("orphans", who_frees_in_a_span_without_a_thread_is_its_owner,
	   it_is_adopted_once, a_thread_that_only_frees_gives_back_all,
	   a_thread_that_frees_first_goes_on_with_all_that_was_left,
	   what_the_heir_has_freed_nobody_frees_again,
	   its_room_is_for_who_allocates_next)
