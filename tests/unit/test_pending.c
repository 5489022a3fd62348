// SPDX-License-Identifier: MIT
/* The free whose bit its thread has not set yet: for everybody else it has been made. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "elsewhere.h"
#include "heap.h"
#include "malloc.h"
#include "pagemap.h"
#include "span_state.h"
#include "stats.h"
#include "suite.h"
#include "tick.h"

#define SIZE 200    /* of a class of which malloc() has some ready */
#define ANOTHER 600 /* of another such class */
#define BLOCKS 1000 /* in several spans */
#define MANY 300    /* in one */
#define UPWARDS 5   /* frees to one word, the last ones gathered */

static bool is_pending(const void *p)
{
	return pending_block(&tract__thread_heap->pending) == p;
}

/* A block of the class whose free is pending; not the first, which looks at the clock. */
static void *freed_block(size_t size)
{
	void *p;

	for (int i = 0; i < 100; i++) {
		p = tract__malloc(size);
		tract__free(p);
		if (is_pending(p))
			return p;
	}
	ck_abort_msg("no free is pending");
	return NULL;
}

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

/* Blocks of several spans, in the order in which they were had. */
static void *blocks[BLOCKS + 1];

/* Of one that is not current: from which to which. */
static struct span *fill(size_t *from, size_t *to)
{
	struct span *span;

	for (size_t i = 0; i < BLOCKS; i++)
		blocks[i] = tract__malloc(SIZE);
	*from = 0;
	while (pagemap_find(blocks[*from]) == pagemap_find(blocks[0]))
		++*from;
	span = pagemap_find(blocks[*from]);
	*to = *from;
	while (pagemap_find(blocks[*to]) == span)
		++*to;
	must(span->state != SPAN_CURRENT);
	return span;
}

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

/* @run in a child finds the misuse, whose message goes nowhere. */
static void check_caught(void (*run)(void *arg), void *arg)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		close(STDERR_FILENO);
		run(arg);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void twice_in_a_row(void *arg)
{
	(void)arg;
	tract__free(freed_block(SIZE));
}

static void twice_with_another_between(void *arg)
{
	void *keep = tract__malloc(ANOTHER), *p = freed_block(SIZE);

	(void)arg;
	tract__free(keep);
	tract__free(p);
}

static void resized(void *arg)
{
	(void)arg;
	tract__realloc(freed_block(SIZE), 2 * SIZE);
}

/* The tag is what a span has that its thread looks at anew. */
static void twice_in_a_tagged_span(void *arg)
{
	void *p = freed_block(SIZE);

	(void)arg;
	__atomic_fetch_or(&pagemap_find(p)->owner, OWNER_TOUCHED,
			  __ATOMIC_SEQ_CST);
	tract__free(p);
}

START_TEST(its_own_thread_that_frees_it_again_is_caught)
{
	check_caught(twice_in_a_row, NULL);
	check_caught(twice_with_another_between, NULL);
	check_caught(twice_in_a_tagged_span, NULL);
	check_caught(resized, NULL);
}
END_TEST

static void then_exit(void)
{
	exit(0);
}

static void then_trim(void)
{
	tract__trim();
}

static void then_allocate(void)
{
	for (int i = 0; i < BLOCKS; i++)
		must(tract__malloc(SIZE));
}

static void then_free(void)
{
	void *p = tract__malloc(ANOTHER);

	tract__free(p);
	then_allocate();
}

static void freed_by_another(void *arg)
{
	void (*then)(void) = *(void (**)(void))arg;
	void *p = freed_block(SIZE);

	elsewhere(free_it, p);
	then();
}

/* Many of one word are gathered by who frees them. */
static void gathered_by_another(void *arg)
{
	void (*then)(void) = *(void (**)(void))arg;
	void *p[10];

	for (int i = 0; i < 8; i++)
		p[i] = tract__malloc(SIZE);
	p[8] = freed_block(SIZE);
	p[9] = NULL;
	elsewhere(free_all, p);
	then();
}

/* So much is free in its span that nothing is collected before it is handed out. */
static void freed_by_another_among_many(void *arg)
{
	void *p[MANY];

	(void)arg;
	for (int i = 0; i < MANY; i++)
		p[i] = tract__malloc(SIZE);
	ck_assert(pagemap_find(p[0]) == pagemap_find(p[MANY - 1]));
	for (int i = MANY; i-- > 0;)
		tract__free(p[i]);
	must(is_pending(p[0]));
	elsewhere(free_it, p[0]);
	for (int i = 0; i < MANY; i++)
		must(tract__malloc(SIZE));
}

/* At the latest before it is handed out, and at the end of the program. */
START_TEST(another_thread_that_frees_it_too_is_caught)
{
	void (*then[])(void) = { then_exit, then_trim, then_allocate,
				 then_free };

	for (size_t i = 0; i < ARRAY_SIZE(then); i++) {
		check_caught(freed_by_another, &then[i]);
		check_caught(gathered_by_another, &then[i]);
	}
	check_caught(freed_by_another_among_many, NULL);
}
END_TEST

/* By another thread, and all other blocks of its span, which is not current. */
static void freed_again_with_the_rest(void *arg)
{
	size_t from, to;

	(void)arg;
	fill(&from, &to);
	blocks[to] = NULL;
	tract__free(blocks[from]);
	must(is_pending(blocks[from]));
	elsewhere(free_all, &blocks[from]);
}

/* And all other blocks but one: so many frees are counted as there were blocks. */
static void freed_again_with_the_rest_but_one(void *arg)
{
	size_t from, to;

	(void)arg;
	fill(&from, &to);
	tract__free(blocks[from]);
	must(is_pending(blocks[from]));
	elsewhere(free_it, blocks[from]);
	tract__free(blocks[0]);
	blocks[to - 1] = NULL;
	elsewhere(free_all, &blocks[from + 1]);
}

/* And so many others that its owner is to collect them. */
static void freed_again_and_collected(void *arg)
{
	size_t from, to;
	struct span *span;

	(void)arg;
	span = fill(&from, &to);
	blocks[to - 1] = NULL;
	tract__free(blocks[from]);
	must(is_pending(blocks[from]));
	elsewhere(free_all, &blocks[from]);
	must(!list_empty(&span->ready));
	tract__tick_come_by(tract__thread_heap);
}

/* Before the span goes. */
START_TEST(no_span_goes_for_a_block_freed_twice)
{
	check_caught(freed_again_with_the_rest, NULL);
	check_caught(freed_again_with_the_rest_but_one, NULL);
	check_caught(freed_again_and_collected, NULL);
}
END_TEST

/* A thread that gathers frees, and goes on with them when it is told. */
struct gatherer {
	pthread_barrier_t barrier;
	pthread_t thread;
	void *first[UPWARDS + 1]; /* up to NULL */
	void *then;
};

static void *gather(void *arg)
{
	struct gatherer *gatherer = arg;

	free_all(gatherer->first);
	pthread_barrier_wait(&gatherer->barrier);
	pthread_barrier_wait(&gatherer->barrier);
	tract__free(gatherer->then);
	pthread_barrier_wait(&gatherer->barrier);
	pthread_barrier_wait(&gatherer->barrier);
	return NULL;
}

/* Some blocks of one word are this thread's, the first of them gathered. */
static void begin_gathering(struct gatherer *gatherer)
{
	for (int i = 0; i < UPWARDS; i++)
		gatherer->first[i] = tract__malloc(SIZE);
	gatherer->first[UPWARDS] = NULL;
	pthread_barrier_init(&gatherer->barrier, NULL, 2);
}

static void start_gathering(struct gatherer *gatherer, void *then)
{
	gatherer->then = then;
	must(!pthread_create(&gatherer->thread, NULL, gather, gatherer));
	pthread_barrier_wait(&gatherer->barrier);
}

static void go_on_gathering(struct gatherer *gatherer)
{
	pthread_barrier_wait(&gatherer->barrier);
	pthread_barrier_wait(&gatherer->barrier);
}

/* The block is handed out again, unless that is prevented; and then told as freed. */
static void reuse(struct gatherer *gatherer)
{
	tract__trim();
	for (int i = 0; i < BLOCKS; i++)
		if (tract__malloc(SIZE) == gatherer->then)
			break;
	pthread_barrier_wait(&gatherer->barrier);
	pthread_join(gatherer->thread, NULL);
}

/* It was pending when the other's batch began. */
static void gathered_by_one_who_stays(void *arg)
{
	struct gatherer gatherer;

	(void)arg;
	begin_gathering(&gatherer);
	start_gathering(&gatherer, freed_block(SIZE));
	go_on_gathering(&gatherer);
	reuse(&gatherer);
}

/* It is freed while the batch is open, by the owner or a third; at most one of them. */
static void gathered_after_another_freed_it(void *arg)
{
	struct gatherer gatherer;
	const bool *by_owner = arg;
	void *p;

	begin_gathering(&gatherer);
	p = tract__malloc(SIZE);
	start_gathering(&gatherer, p);
	must(pagemap_find(p)->gatherer);
	if (*by_owner)
		tract__free(p);
	else
		elsewhere(free_it, p);
	go_on_gathering(&gatherer);
	reuse(&gatherer);
}

static void gathered_twice(void *arg)
{
	struct gatherer gatherer;

	(void)arg;
	begin_gathering(&gatherer);
	start_gathering(&gatherer, gatherer.first[UPWARDS - 1]);
	go_on_gathering(&gatherer);
	_exit(0);
}

START_TEST(a_gatherer_that_frees_it_too_is_caught)
{
	bool by_owner[] = { false, true };

	check_caught(gathered_twice, NULL);
	check_caught(gathered_by_one_who_stays, NULL);
	check_caught(gathered_after_another_freed_it, &by_owner[0]);
	check_caught(gathered_after_another_freed_it, &by_owner[1]);
}
END_TEST

/* What was free when the batch began is given to the gatherer later, and rightly freed. */
START_TEST(a_gatherer_frees_what_was_handed_out_meanwhile)
{
	struct tract_heap_stats start, end;
	struct gatherer gatherer;
	void *p;

	tract__free(tract__malloc(SIZE));
	tract__stats_get(&start);
	begin_gathering(&gatherer);
	start_gathering(&gatherer, NULL);
	p = tract__malloc(SIZE);
	must(pagemap_find(p)->gatherer);
	gatherer.then = p;
	go_on_gathering(&gatherer);
	ck_assert_uint_eq(tract__usable_size(p), 0);
	pthread_barrier_wait(&gatherer.barrier);
	pthread_join(gatherer.thread, NULL);
	tract__stats_get(&end);
	ck_assert_uint_eq(end.live_blocks, start.live_blocks);
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

struct sleeper {
	pthread_barrier_t barrier;
	void *p;
};

static void *free_and_sleep(void *arg)
{
	struct sleeper *with = arg;

	with->p = freed_block(SIZE);
	pthread_barrier_wait(&with->barrier);
	for (;;)
		pause();
	return NULL;
}

static void freed_beside_a_sleeper(void *arg)
{
	struct sleeper with;
	pthread_t thread;

	(void)arg;
	pthread_barrier_init(&with.barrier, NULL, 2);
	must(!pthread_create(&thread, NULL, free_and_sleep, &with));
	pthread_barrier_wait(&with.barrier);
	tract__free(with.p);
	exit(0);
}

START_TEST(the_end_of_the_program_catches_it_too)
{
	check_caught(freed_beside_a_sleeper, NULL);
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
	   its_own_thread_that_frees_it_again_is_caught,
	   another_thread_that_frees_it_too_is_caught,
	   no_span_goes_for_a_block_freed_twice,
	   a_live_block_is_never_taken_for_the_one_pending,
	   a_gatherer_that_frees_it_too_is_caught,
	   a_gatherer_frees_what_was_handed_out_meanwhile,
	   the_end_of_the_program_catches_it_too)
