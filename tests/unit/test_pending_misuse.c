// SPDX-License-Identifier: MIT
/* A block whose free is pending is freed again: it is caught, and no span goes for it. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "elsewhere.h"
#include "freed.h"
#include "heap.h"
#include "malloc.h"
#include "pagemap.h"
#include "stats.h"
#include "suite.h"
#include "tick.h"

#define MANY 300  /* in one */
#define UPWARDS 5 /* frees to one word, the last ones gathered */

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

SUITE_MAIN("pending misuse", its_own_thread_that_frees_it_again_is_caught,
	   another_thread_that_frees_it_too_is_caught,
	   no_span_goes_for_a_block_freed_twice,
	   a_gatherer_that_frees_it_too_is_caught,
	   a_gatherer_frees_what_was_handed_out_meanwhile,
	   the_end_of_the_program_catches_it_too)
