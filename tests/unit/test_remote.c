// SPDX-License-Identifier: MIT
/*
 * Frees by other threads: nothing is lost, whoever frees last, in whatever order
 * threads end.  Runs under the thread sanitizer as well.
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "heap.h"
#include "malloc.h"
#include "pagemap.h"
#include "purge.h"
#include "refill.h"
#include "region.h"
#include "size_class.h"
#include "span_state.h"
#include "stats.h"
#include "suite.h"

#define ROUNDS 400

#define THREADS 4
#define SLOTS 2000

/* Blocks in flight: any thread puts, any thread takes and frees. */
static void *slots[SLOTS];

static uint64_t local_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void *new_block(uint64_t *state)
{
	size_t size = 1 + local_random(state) % 700;
	uint32_t *p;

	if (local_random(state) % 500 == 0)
		size = 20000 + local_random(state) % 200000;
	size = size < 8 ? 8 : size;
	p = tract__malloc(size);
	if (!p)
		abort();
	/* Size and its complement: what is freed is what was allocated. */
	p[0] = (uint32_t)size;
	p[1] = ~(uint32_t)size;
	return p;
}

static void end_block(void *block)
{
	uint32_t *p = block;

	if (!p)
		return;
	if (p[1] != ~p[0] || tract__usable_size(p) < p[0]) {
		fprintf(stderr, "block %p: %u, %u\n", block, p[0], p[1]);
		abort();
	}
	p[0] = 0;
	p[1] = 0;
	tract__free(p);
}

static void *exchange(void *arg)
{
	uint64_t state = (uintptr_t)arg * 2654435761u + 1;

	for (int i = 0; i < ROUNDS * 250; i++) {
		void **slot = &slots[local_random(&state) % SLOTS];
		void *mine = local_random(&state) % 3 ? new_block(&state) :
							NULL;

		end_block(__atomic_exchange_n(slot, mine, __ATOMIC_ACQ_REL));
	}
	return NULL;
}

static void run_threads(void *(*start)(void *), int count)
{
	pthread_t threads[16];

	for (int i = 0; i < count; i++)
		ck_assert(!pthread_create(&threads[i], NULL, start,
					  (void *)(uintptr_t)(i + 1)));
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}

static void free_slots(void)
{
	for (int i = 0; i < SLOTS; i++)
		end_block(
			__atomic_exchange_n(&slots[i], NULL, __ATOMIC_ACQUIRE));
}

/* All spans are gone but those the caller's heap keeps current. */
static void check_nothing_left(const struct tract_heap_stats *start)
{
	struct tract_heap_stats now;

	tract__stats_get(&now);
	ck_assert_uint_eq(now.live_blocks, start->live_blocks);
	ck_assert_uint_eq(now.live_bytes, start->live_bytes);
	tract__trim();
	tract__stats_get(&now);
	ck_assert_uint_eq(now.span_bytes, start->span_bytes);
	ck_assert_uint_eq(now.dirty_bytes, 0);
}

static struct tract_heap_stats start_stats(void)
{
	struct tract_heap_stats stats;

	tract__free(tract__malloc(1));
	tract__trim();
	tract__stats_get(&stats);
	return stats;
}

START_TEST(threads_exchange_blocks)
{
	struct tract_heap_stats start = start_stats();

	run_threads(exchange, THREADS);
	free_slots();
	check_nothing_left(&start);
}
END_TEST

static void *fill_slots(void *arg)
{
	uint64_t state = (uintptr_t)arg * 77 + 5;

	for (int i = 0; i < SLOTS; i++)
		end_block(__atomic_exchange_n(&slots[i], new_block(&state),
					      __ATOMIC_ACQ_REL));
	return NULL;
}

static void *empty_slots(void *arg)
{
	(void)arg;
	free_slots();
	return NULL;
}

START_TEST(blocks_outlive_their_thread_and_a_thread_that_only_frees_frees_all)
{
	struct tract_heap_stats start = start_stats();

	for (int i = 0; i < ROUNDS / 10; i++) {
		run_threads(fill_slots, 1);
		run_threads(empty_slots, 2);
	}
	check_nothing_left(&start);
}
END_TEST

/* The owner sleeps in join; another frees all it has. */
START_TEST(spans_of_a_sleeping_owner_go_back)
{
	struct tract_heap_stats start = start_stats();
	struct tract_heap_stats now;

	for (int i = 0; i < ROUNDS / 10; i++) {
		fill_slots((void *)1);
		run_threads(empty_slots, 1);
		tract__stats_get(&now);
		ck_assert_uint_eq(now.live_blocks, start.live_blocks);
		/* What remains: one current span a class at the most. */
		ck_assert_uint_le(now.span_bytes,
				  start.span_bytes + CLASS_COUNT * 4 * 65536);
	}
	check_nothing_left(&start);
}
END_TEST

static void *fill_and_free_half(void *arg)
{
	uint64_t state = (uintptr_t)arg * 13 + 1;
	void *own[300];

	for (int i = 0; i < 300; i++)
		own[i] = new_block(&state);
	for (int i = 0; i < 300; i++) {
		void **slot = &slots[local_random(&state) % SLOTS];

		end_block(__atomic_exchange_n(slot, own[i], __ATOMIC_ACQ_REL));
	}
	return NULL;
}

START_TEST(many_short_threads)
{
	struct tract_heap_stats start = start_stats();
	struct tract_heap_stats middle, end;

	for (int i = 0; i < ROUNDS / 4; i++)
		run_threads(fill_and_free_half, THREADS);
	tract__stats_get(&middle);
	for (int i = 0; i < ROUNDS / 4; i++)
		run_threads(fill_and_free_half, THREADS);
	tract__stats_get(&end);
	/*
	 * Live memory is the same in kind, so must be what holds it; but more
	 * threads may have been at work at a time, each with a span a class.
	 */
	ck_assert_uint_le(end.span_bytes,
			  middle.span_bytes + THREADS *
						      (size_class_of(700) + 1) *
						      UNIT_SIZE);
	ck_assert_uint_eq(end.reservations, middle.reservations);
	free_slots();
	check_nothing_left(&start);
}
END_TEST

/* The last block of a span goes by its owner and by another at one time. */
static void *last_block[2];
static int turn;

static void *free_last(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS * 10; i++) {
		while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != 2 * i + 1)
			sched_yield();
		tract__free(last_block[1]);
		__atomic_store_n(&turn, 2 * i + 2, __ATOMIC_RELEASE);
	}
	return NULL;
}

START_TEST(both_free_the_last_blocks_of_a_span)
{
	struct tract_heap_stats start = start_stats();
	pthread_t thread;
	void *filler[24];

	ck_assert(!pthread_create(&thread, NULL, free_last, NULL));
	for (int i = 0; i < ROUNDS * 10; i++) {
		/* Eight blocks a span: two of one, then others are current. */
		for (int k = 0; k < 24; k++)
			filler[k] = tract__malloc(8000);
		last_block[0] = filler[8];
		last_block[1] = filler[9];
		for (int k = 0; k < 24; k++)
			if (k != 8 && k != 9)
				tract__free(filler[k]);
		__atomic_store_n(&turn, 2 * i + 1, __ATOMIC_RELEASE);
		tract__free(last_block[0]);
		while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != 2 * i + 2)
			sched_yield();
	}
	pthread_join(thread, NULL);
	check_nothing_left(&start);
}
END_TEST

/*
 * What is gathered keeps its span's owner from the fast path: it must not lie
 * about while the gatherer goes on with blocks of its own.
 */
#define LENT 40
#define LENT_SIZE 1000

/* Of frees upwards in a row to one word the last of so many is gathered. */
#define IN_A_ROW 4

static void *lent[LENT];

/* Of a thread that has lent what it was to, until it is told to end. */
static void *stay(void)
{
	__atomic_store_n(&turn, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != 2)
		sched_yield();
	return NULL;
}

static void *lend(void *arg)
{
	(void)arg;
	for (int i = 0; i < LENT; i++)
		lent[i] = tract__malloc(LENT_SIZE);
	return stay();
}

static pthread_t begin_lender(void *(*start)(void *))
{
	pthread_t lender;

	turn = 0;
	ck_assert(!pthread_create(&lender, NULL, start, NULL));
	while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != 1)
		sched_yield();
	return lender;
}

static struct span *gather_from(pthread_t *lender)
{
	struct span *span;

	*lender = begin_lender(lend);
	span = pagemap_find(lent[0]);
	for (int i = 0; i < IN_A_ROW; i++) {
		ck_assert_ptr_null(span->gatherer);
		tract__free(lent[i]);
	}
	ck_assert_ptr_eq(span->gatherer, tract__thread_heap);
	return span;
}

static void end_lender(pthread_t lender)
{
	__atomic_store_n(&turn, 2, __ATOMIC_RELEASE);
	pthread_join(lender, NULL);
}

static void free_lent(int from)
{
	for (int i = from; i < LENT; i++)
		tract__free(lent[i]);
}

START_TEST(what_is_gathered_is_told_while_the_gatherer_is_busy_elsewhere)
{
	struct tract_heap_stats start = start_stats();
	pthread_t lender;
	struct span *span = gather_from(&lender);

	for (int i = 0; i < 2 * PACE_MAX; i++)
		tract__free(tract__malloc(LENT_SIZE / 2));
	ck_assert_ptr_null(span->gatherer);
	end_lender(lender);
	free_lent(IN_A_ROW);
	check_nothing_left(&start);
}
END_TEST

/* Of a class that has two words of blocks in a span. */
#define WORDS_SIZE 500
#define WORDS_BLOCKS 120

static void *in_words[WORDS_BLOCKS];

static void *lend_words(void *arg)
{
	(void)arg;
	for (int i = 0; i < WORDS_BLOCKS; i++)
		in_words[i] = tract__malloc(WORDS_SIZE);
	return stay();
}

/* The gatherer goes on with the word, and is told when it frees in another one. */
START_TEST(an_adopted_span_is_told_what_its_new_owner_had_gathered)
{
	struct tract_heap_stats start = start_stats();
	pthread_t lender = begin_lender(lend_words);
	struct heap *heap = tract__thread_heap;
	struct span *span = pagemap_find(in_words[0]);

	ck_assert_ptr_eq(pagemap_find(in_words[WORDS_BLOCKS - 1]), span);
	for (int i = 0; i < IN_A_ROW; i++)
		tract__free(in_words[i]);
	ck_assert_ptr_eq(span->gatherer, heap);
	end_lender(lender);
	ck_assert(tract__refill_adopt(heap, span, false));
	tract__free(in_words[IN_A_ROW]);
	ck_assert_ptr_eq(span->gatherer, heap);
	tract__free(in_words[WORDS_BLOCKS - 1]);
	ck_assert_ptr_null(span->gatherer);
	ck_assert(heap_owns(heap, span));
	for (int i = IN_A_ROW + 1; i < WORDS_BLOCKS - 1; i++)
		tract__free(in_words[i]);
	check_nothing_left(&start);
}
END_TEST

/* A class with few blocks has them in few words: not all who free there consume. */
START_TEST(frees_that_do_not_go_upwards_are_not_gathered)
{
	struct tract_heap_stats start = start_stats();
	pthread_t lender = begin_lender(lend);
	struct span *span = pagemap_find(lent[0]);

	for (int i = 2 * IN_A_ROW; i-- > 0;) {
		tract__free(lent[i]);
		ck_assert_ptr_null(span->gatherer);
	}
	end_lender(lender);
	free_lent(2 * IN_A_ROW);
	check_nothing_left(&start);
}
END_TEST

/* Blocks of the caller's, those of a span that is not current among them. */
static void *kept[3 * 64];

/* The first of these; so many are one after the other. */
static void **keep_a_span(void)
{
	size_t i = 0;

	for (size_t k = 0; k < ARRAY_SIZE(kept); k++)
		kept[k] = tract__malloc(LENT_SIZE);
	while (pagemap_find(kept[i]) == pagemap_find(kept[0]))
		i++;
	return &kept[i];
}

struct frees {
	void **blocks;
	size_t from, to;
};

/* Downwards, so that they are told one by one. */
static void *free_downwards(void *arg)
{
	const struct frees *frees = arg;

	for (size_t i = frees->to; i-- > frees->from;) {
		tract__free(frees->blocks[i]);
		frees->blocks[i] = NULL;
	}
	return NULL;
}

static void free_by_another(void **blocks, size_t from, size_t to)
{
	struct frees frees = { blocks, from, to };
	pthread_t thread;

	ck_assert(!pthread_create(&thread, NULL, free_downwards, &frees));
	pthread_join(thread, NULL);
}

/* Frees the rest of @n blocks of @span, which goes with the last, and that with the next. */
static void free_until_it_goes(const struct span *span, void **blocks, size_t n)
{
	void *another = tract__malloc(LENT_SIZE / 2);

	for (size_t i = 0; i < n; i++) {
		if (!blocks[i])
			continue;
		ck_assert_ptr_eq(span_owner(span), tract__thread_heap);
		tract__free(blocks[i]);
		blocks[i] = NULL;
	}
	tract__free(another);
	ck_assert_ptr_null(span_owner(span));
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		tract__free(kept[i]);
}

/* Whatever part of a span another frees, in whatever state of it. */
START_TEST(the_owner_finds_its_last_block_whatever_others_freed)
{
	struct tract_heap_stats start = start_stats();
	size_t n = UNIT_SIZE / 1024;

	for (size_t freed = 0; freed < n; freed++) {
		void **blocks = keep_a_span();
		const struct span *span = pagemap_find(blocks[0]);

		ck_assert_uint_eq(span->block_count, n);
		ck_assert_ptr_eq(pagemap_find(blocks[n - 1]), span);
		/* Some while it is full, some while there is room. */
		free_by_another(blocks, n - freed / 2, n);
		free_downwards(&(struct frees){ blocks, 0, (n - freed) / 2 });
		free_by_another(blocks, n - freed, n - freed / 2);
		free_until_it_goes(span, blocks, n);
		check_nothing_left(&start);
	}
}
END_TEST

START_TEST(a_span_is_tagged_when_its_owner_could_empty_it_unseen)
{
	struct tract_heap_stats start = start_stats();
	void **blocks = keep_a_span();
	const struct span *span = pagemap_find(blocks[0]);
	size_t n = span->block_count, base = span->tally->used_base;

	ck_assert_uint_eq(span->state, SPAN_FULL);
	ck_assert_uint_eq(base + span->tally->countdown, n);
	free_by_another(blocks, n - base + 1, n);
	ck_assert(!span_is_touched(span));
	free_by_another(blocks, n - base, n - base + 1);
	ck_assert(span_is_touched(span));
	free_until_it_goes(span, blocks, n);
	check_nothing_left(&start);
}
END_TEST

/*
 * A block of a span of several units lies where another span was before, blocks of
 * whose class are being gathered: from one that got that span's tally.
 */
#define BEFORE 32		  /* spans of a unit */
#define WIDE_SIZE ((size_t)98304) /* a block and a half to a unit */
#define WIDE 20

static void *narrow[BEFORE * 64];

static void fill_narrow(void)
{
	for (size_t i = 0; i < BEFORE * 64; i++)
		narrow[i] = tract__malloc(LENT_SIZE);
}

static void *lend_narrow(void *arg)
{
	(void)arg;
	fill_narrow();
	return stay();
}

static void free_narrow(void)
{
	for (size_t i = 0; i < BEFORE * 64; i++)
		tract__free(narrow[i]);
}

/* The first of those that lie in a span with @tally. */
static size_t find_narrow(const struct tally *tally)
{
	size_t i = 0;

	while (i < BEFORE * 64 && pagemap_find(narrow[i])->tally != tally)
		i++;
	return i;
}

static struct span *header_at(const char *p)
{
	struct region *region = region_of(pagemap_find(p));

	return &region->spans[(p - region->reservation.base) / UNIT_SIZE];
}

/* Of another thread that sleeps, while its gatherer looks at no clock. */
START_TEST(a_span_goes_with_the_last_of_its_blocks_that_is_gathered)
{
	struct tract_heap_stats start = start_stats();
	pthread_t lender = begin_lender(lend_narrow);
	size_t from = 0, to;
	struct span *span;

	while (pagemap_find(narrow[from]) == pagemap_find(narrow[0]))
		from++;
	span = pagemap_find(narrow[from]);
	to = from + span->block_count;
	ck_assert_ptr_eq(pagemap_find(narrow[to - 1]), span);
	for (size_t i = from; i < to - 1; i++)
		tract__free(narrow[i]);
	ck_assert_ptr_eq(span->gatherer, tract__thread_heap);
	tract__free(narrow[to - 1]);
	ck_assert_ptr_null(span->gatherer);
	ck_assert_ptr_null(span_owner(span));
	for (size_t i = from; i < to; i++)
		narrow[i] = NULL;
	end_lender(lender);
	free_narrow();
	check_nothing_left(&start);
}
END_TEST

START_TEST(a_free_within_a_span_is_not_taken_for_one_in_what_was_there_before)
{
	struct tract_heap_stats start = start_stats();
	unsigned int gathered = 0;
	char *wide[WIDE];
	pthread_t lender;

	fill_narrow();
	free_narrow();
	tract__heap_collect();
	tract__purge_all();
	for (int i = 0; i < WIDE; i++)
		wide[i] = tract__malloc(WIDE_SIZE);
	lender = begin_lender(lend_narrow);
	for (int i = 0; i < WIDE; i++) {
		size_t at = find_narrow(header_at(wide[i])->tally);

		for (size_t k = at; at < BEFORE * 64 && k < at + IN_A_ROW;
		     k++) {
			tract__free(narrow[k]);
			narrow[k] = NULL;
		}
		gathered += tract__thread_heap->batches_open[0] != 0;
		tract__free(wide[i]);
		ck_assert_uint_eq(tract__usable_size(wide[i]), 0);
	}
	ck_assert_uint_gt(gathered, 0);
	for (size_t i = 0; i < BEFORE * 64; i++)
		must(!narrow[i] || tract__usable_size(narrow[i]) >= LENT_SIZE);
	free_narrow();
	end_lender(lender);
	check_nothing_left(&start);
}
END_TEST

SUITE_MAIN("remote", threads_exchange_blocks,
	   blocks_outlive_their_thread_and_a_thread_that_only_frees_frees_all,
	   spans_of_a_sleeping_owner_go_back, many_short_threads,
	   both_free_the_last_blocks_of_a_span,
	   what_is_gathered_is_told_while_the_gatherer_is_busy_elsewhere,
	   an_adopted_span_is_told_what_its_new_owner_had_gathered,
	   frees_that_do_not_go_upwards_are_not_gathered,
	   the_owner_finds_its_last_block_whatever_others_freed,
	   a_span_is_tagged_when_its_owner_could_empty_it_unseen,
	   a_span_goes_with_the_last_of_its_blocks_that_is_gathered,
	   a_free_within_a_span_is_not_taken_for_one_in_what_was_there_before)
