// SPDX-License-Identifier: MIT
/* The free whose bit its thread has not set yet: for everybody else it has been made. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "elsewhere.h"
#include "freed.h"
#include "heap.h"
#include "malloc.h"
#include "pagemap.h"
#include "span_state.h"
#include "stats.h"
#include "suite.h"

START_TEST(it_counts_as_free_for_all_threads)
{
	void *keep = tract__malloc(SIZE), *p;
	size_t live = live_of(keep);

	p = freed_block(SIZE);
	ck_assert_uint_eq(live_of(keep), live);
	ck_assert_uint_eq((size_t)elsewhere(live_there, keep), live);
	ck_assert(is_pending(p));
	ck_assert_uint_eq(tract__usable_size(p), 0);
	ck_assert(!is_pending(p));
	tract__free(keep);
	ck_assert_uint_eq(live_of(p), live - 1);
}
END_TEST

/* Its word and no other. */
START_TEST(its_bit_is_set_by_what_comes_next)
{
	void *keep, *p;
	struct span *span;
	uint64_t index;

	freed_block(ANOTHER);
	keep = tract__malloc(ANOTHER);
	p = freed_block(SIZE);
	span = pagemap_find(p);
	index = span_index(span, p);
	ck_assert(!span_is_freed(span, index));
	tract__free(keep);
	ck_assert(span_is_freed(span, index));
	ck_assert(is_pending(keep));
	tract__trim();
	ck_assert_ptr_null(pending_block(&tract__thread_heap->pending));
	ck_assert_ptr_eq(tract__thread_heap->pending.word,
			 &tract__thread_heap->pending.no_word);
}
END_TEST

/* With nothing freed after it; the span was current. */
START_TEST(the_last_block_of_a_span_takes_it_along)
{
	struct tract_heap_stats before, after;
	void *p = freed_block(SIZE);
	struct span *span = pagemap_find(p);

	ck_assert_int_eq(span->state, SPAN_CURRENT);
	tract__stats_get(&before);
	tract__trim();
	tract__stats_get(&after);
	ck_assert_ptr_null(span_owner(span));
	ck_assert_uint_eq(after.live_blocks, before.live_blocks);
}
END_TEST

static void free_the_others(size_t from, size_t to)
{
	for (size_t i = 0; i < BLOCKS; i++)
		if (i < from || i >= to)
			tract__free(blocks[i]);
}

/* The free that is pending keeps it, and is the last. */
START_TEST(another_span_goes_with_what_comes_next)
{
	struct tract_heap_stats start, end;
	size_t from, to;
	struct span *span;

	tract__free(tract__malloc(SIZE));
	tract__stats_get(&start);
	span = fill(&from, &to);
	for (size_t i = from; i < to; i++) {
		ck_assert_uint_eq(span_out(span), to - i + (i > from));
		tract__free(blocks[i]);
		ck_assert(is_pending(blocks[i]));
	}
	ck_assert_ptr_eq(span_owner(span), tract__thread_heap);
	tract__free(blocks[0]);
	ck_assert_ptr_null(span_owner(span));
	blocks[0] = NULL;
	free_the_others(from, to);
	tract__stats_get(&end);
	ck_assert_uint_eq(end.live_blocks, start.live_blocks);
}
END_TEST

START_TEST(another_span_that_others_empty_goes_with_what_comes_next)
{
	struct tract_heap_stats start, end;
	size_t from, to;
	struct span *span;
	void *keep;

	tract__free(tract__malloc(SIZE));
	tract__stats_get(&start);
	keep = tract__malloc(ANOTHER);
	span = fill(&from, &to);
	tract__free(blocks[to - 1]);
	ck_assert(is_pending(blocks[to - 1]));
	blocks[to - 1] = NULL;
	elsewhere(free_all, &blocks[from]);
	ck_assert_ptr_eq(span_owner(span), tract__thread_heap);
	for (int i = 0; i < 2 * PACE_MAX && span_owner(span); i++)
		tract__free(tract__malloc(ANOTHER));
	ck_assert_ptr_null(span_owner(span));
	tract__free(keep);
	free_the_others(from, to);
	tract__stats_get(&end);
	ck_assert_uint_eq(end.live_blocks, start.live_blocks);
}
END_TEST

/* Each block is handed out again, none twice: the one pending when spans change too. */
START_TEST(none_is_lost_or_handed_out_twice)
{
	struct tract_heap_stats start, end;

	tract__stats_get(&start);
	for (int i = 0; i < 200000; i++) {
		unsigned int k = (unsigned int)random_below(BLOCKS);
		uintptr_t *p = blocks[k];

		if (p) {
			must(p[0] == (uintptr_t)p && p[1] == k);
			tract__free(p);
		}
		p = tract__malloc(random_below(10) ? SIZE : ANOTHER);
		p[0] = (uintptr_t)p;
		p[1] = k;
		blocks[k] = p;
	}
	for (int i = 0; i < BLOCKS; i++)
		tract__free(blocks[i]);
	tract__stats_get(&end);
	ck_assert_uint_eq(end.live_blocks, start.live_blocks);
	tract__trim();
	tract__stats_get(&end);
	ck_assert_uint_eq(end.live_blocks, start.live_blocks);
}
END_TEST

static void *free_last(void *arg)
{
	void **p = arg;

	*p = freed_block(SIZE);
	return NULL;
}

/* And its word is not touched when the heap serves another thread. */
START_TEST(a_thread_that_ends_leaves_nothing_pending)
{
	void *keep = tract__malloc(SIZE), *p;
	size_t live = live_of(keep);

	for (int i = 0; i < 20; i++) {
		elsewhere(free_last, &p);
		ck_assert_uint_eq(live_of(keep), live);
	}
	tract__free(keep);
}
END_TEST

static void *free_and_wait(void *arg)
{
	pthread_barrier_t *barrier = arg;

	freed_block(SIZE);
	pthread_barrier_wait(barrier);
	pthread_barrier_wait(barrier);
	return NULL;
}

static void check_child(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

START_TEST(a_forked_child_has_it_made_for_threads_it_lacks)
{
	void *keep = tract__malloc(SIZE);
	size_t live = live_of(keep);
	pthread_barrier_t barrier;
	pthread_t thread;
	pid_t pid;

	pthread_barrier_init(&barrier, NULL, 2);
	ck_assert(!pthread_create(&thread, NULL, free_and_wait, &barrier));
	pthread_barrier_wait(&barrier);
	pid = fork();
	if (!pid)
		_exit(live_of(keep) != live);
	check_child(pid);
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	tract__free(keep);
}
END_TEST

/* Its thread was caught with the next block's word, and not its bit yet. */
START_TEST(a_forked_child_frees_nothing_by_halves)
{
	void *keep = tract__malloc(SIZE), *other[64];
	size_t live, others;
	struct span *span;
	pid_t pid;

	for (int i = 0; i < 64; i++)
		other[i] = tract__malloc(ANOTHER);
	live = live_of(keep);
	others = live_of(other[0]);
	span = pagemap_find(other[0]);
	pid = fork();

	if (!pid) {
		struct pending *pending = &tract__thread_heap->pending;

		freed_block(SIZE);
		must(!pending_make(pending));
		pending->bit = 0;
		pending->word = &span_bits(span, 0)->free;
		tract__thread_heap = &tract__empty_heap;
		tract__heap_fork_prepare();
		tract__heap_fork_child();
		_exit(live_of(keep) != live || live_of(other[0]) != others);
	}
	check_child(pid);
	tract__free(keep);
	for (int i = 0; i < 64; i++)
		tract__free(other[i]);
}
END_TEST

/* Its thread was caught with nothing but pointers. */
START_TEST(without_a_bit_nothing_is_made)
{
	uint64_t word = 5;
	uint32_t countdown = 7;
	struct pending pending;

	pending_forget(&pending);
	pending.word = &word;
	pending.countdown = &countdown;
	pending_carry_out(&pending);
	ck_assert_uint_eq(word, 5);
	ck_assert_uint_eq(countdown, 7);
	ck_assert_ptr_eq(pending.word, &pending.no_word);
}
END_TEST

/* It was made, and its span another's at once, who has handed the block out. */
START_TEST(a_forked_child_does_not_make_it_twice)
{
	void *keep = tract__malloc(SIZE);
	size_t live = live_of(keep);
	pid_t pid = fork();

	if (!pid) {
		void *p = freed_block(SIZE);
		struct span *span = pagemap_find(p);
		uint64_t index = span_index(span, p);

		must(!pending_make(&tract__thread_heap->pending));
		tract__span_set_owner(span, &tract__orphans);
		span_bits(span, index)->free &= ~(1ull << index % 64);
		tract__thread_heap = &tract__empty_heap;
		tract__heap_fork_prepare();
		tract__heap_fork_child();
		_exit(live_of(keep) != live + 1);
	}
	check_child(pid);
	tract__free(keep);
}
END_TEST

#define ASKED 50000000

/* Blocks of one span, and its owner, whose pending word and bit change for ever. */
struct changing {
	pthread_barrier_t barrier;
	void *block[2 * 64];
	bool stop;
};

/* Frees of two blocks, of different words and bits, that are free already. */
static void *change(void *arg)
{
	struct changing *with = arg;
	struct pending *pending = &tract__thread_heap->pending;
	uint32_t *none = &pending->no_countdown;
	struct block_bits *bits;

	for (int i = 0; i < 2 * 64; i++)
		with->block[i] = tract__malloc(SIZE);
	tract__free(with->block[0]);
	tract__free(with->block[64 + 1]);
	tract__free(tract__malloc(ANOTHER));
	bits = pagemap_find(with->block[0])->tally->bits;
	pthread_barrier_wait(&with->barrier);
	while (!read_once(&with->stop)) {
		pending_make(pending);
		pending_put(pending, &bits[0].free, 1, none, with->block[0]);
		pending_make(pending);
		pending_put(pending, &bits[1].free, 2, none, with->block[65]);
	}
	pending_carry_out(pending);
	return NULL;
}

/* What is read of two moments is no block's: realloc() called one freed that was not. */
START_TEST(a_live_block_is_never_taken_for_the_one_pending)
{
	struct changing with = { .stop = false };
	pthread_t thread;

	pthread_barrier_init(&with.barrier, NULL, 2);
	ck_assert(!pthread_create(&thread, NULL, change, &with));
	pthread_barrier_wait(&with.barrier);
	for (int i = 0; i < ASKED; i++)
		must(tract__usable_size(with.block[i % 2 ? 1 : 64]) >= SIZE);
	write_once(&with.stop, true);
	pthread_join(thread, NULL);
	for (int i = 1; i < 2 * 64; i++)
		if (i != 64 + 1)
			tract__free(with.block[i]);
}
END_TEST

SUITE_MAIN("pending", it_counts_as_free_for_all_threads,
	   its_bit_is_set_by_what_comes_next,
	   the_last_block_of_a_span_takes_it_along,
	   another_span_goes_with_what_comes_next,
	   another_span_that_others_empty_goes_with_what_comes_next,
	   none_is_lost_or_handed_out_twice,
	   a_thread_that_ends_leaves_nothing_pending,
	   a_forked_child_has_it_made_for_threads_it_lacks,
	   a_forked_child_frees_nothing_by_halves,
	   without_a_bit_nothing_is_made, a_forked_child_does_not_make_it_twice,
	   a_live_block_is_never_taken_for_the_one_pending)
