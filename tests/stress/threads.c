// SPDX-License-Identifier: MIT
/*
 * Threads that do everything at random, each with a model of what its memory
 * holds: a part of a reservation that all share, and one of its own that it
 * unmaps, moves, makes anew.  Children are forked, look at their copy, and
 * exit or are killed.  After every step the memory is as the model says.
 *
 *   threads [seconds [seed [threads]]]
 */
#include <pthread.h>

#include "observe.h"

#define PART_PAGES 64
#define PART (PART_PAGES * PAGE)
#define THREADS_MAX 16
#define OPS 16

struct worker {
	pthread_t thread;
	struct t_rand rnd;
	unsigned int number;
	/* Its part of the shared reservation: seed of each page, 0 is zero. */
	char *base;
	size_t offset;
	uint64_t model[PART_PAGES];
	unsigned long steps, dropped, refused, forks, reserves;
};

static struct worker workers[THREADS_MAX];
static struct t_res shared;
static unsigned int threads = 6;
static volatile bool over;

/* Four words a page are enough to see whose it is. */
static const unsigned int places[] = { 0, 100, 313, 511 };

static void put_page(char *page, uint64_t seed)
{
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		((uint64_t *)page)[places[i]] = t_mix(seed + i);
}

static bool page_is(const char *page, uint64_t seed)
{
	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (((const volatile uint64_t *)page)[places[i]] !=
		    (seed ? t_mix(seed + i) : 0))
			return false;
	return true;
}

static bool check_pages(const struct worker *w, unsigned int first,
			unsigned int count, const char *who)
{
	for (unsigned int i = first; i < first + count; i++) {
		const char *page = w->base + i * PAGE;

		if (page_is(page, w->model[i]))
			continue;
		CHECK(false,
		      "%s, thread %u, step %lu: page %u: expected seed %#llx, "
		      "found %#llx in its first word",
		      who, w->number, w->steps, i,
		      (unsigned long long)w->model[i],
		      *(const unsigned long long *)page);
		over = true;
		return false;
	}
	return true;
}

static void pick(struct worker *w, unsigned int *first, unsigned int *count)
{
	*first = t_below(&w->rnd, PART_PAGES);
	*count = 1 + t_below(&w->rnd, t_below(&w->rnd, 4) ? 8 : PART_PAGES);
	if (*count > PART_PAGES - *first)
		*count = PART_PAGES - *first;
}

static void step_write(struct worker *w)
{
	unsigned int first, count;

	pick(w, &first, &count);
	for (unsigned int i = first; i < first + count; i++) {
		w->model[i] = t_random(&w->rnd) | 1;
		put_page(w->base + i * PAGE, w->model[i]);
	}
}

static void step_batch(struct worker *w)
{
	unsigned int count = 1 + t_below(&w->rnd, OPS);
	unsigned int first[OPS], pages[OPS];
	struct tract_batch result;
	struct tract_op ops[OPS];

	for (unsigned int i = 0; i < count; i++) {
		pick(w, &first[i], &pages[i]);
		ops[i] = t_make_op(t_below(&w->rnd, 4) ? TRACT_OP_DECOMMIT :
							 TRACT_OP_POPULATE,
				   shared.id, w->offset + first[i] * PAGE,
				   pages[i] * PAGE);
	}
	if (!CHECK_ERR(t_batch(ops, count, &result), 0, "BATCH"))
		return;
	CHECK_EQ(result.out_completed, count, "completed");
	for (unsigned int i = 0; i < count; i++) {
		if (ops[i].op == TRACT_OP_POPULATE) {
			CHECK_ERR(ops[i].out_result, 0, "POPULATE");
			continue;
		}
		if (ops[i].out_result == -EBUSY) {
			w->refused++;
			continue;
		}
		CHECK_ERR(ops[i].out_result, 0, "DECOMMIT");
		memset(w->model + first[i], 0, pages[i] * sizeof(*w->model));
		w->dropped++;
	}
}

static void step_advise(struct worker *w)
{
	unsigned int first, count;

	pick(w, &first, &count);
	madvise(w->base + first * PAGE, count * PAGE, MADV_DONTNEED);
	memset(w->model + first, 0, count * sizeof(*w->model));
}

/* A child looks at the part of the thread that forked it: that one is still. */
static void step_fork(struct worker *w)
{
	long pause_us = t_below(&w->rnd, 3000);
	int how = t_below(&w->rnd, 3), status;
	pid_t pid = t_below(&w->rnd, 2) ?
			    fork() :
			    (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);

	if (pid < 0)
		return;
	w->forks++;
	if (!pid) {
		if (!check_pages(w, 0, PART_PAGES, "child, at birth"))
			_exit(1);
		step_write(w);
		t_sleep_us(pause_us);
		if (!check_pages(w, 0, PART_PAGES, "child, later"))
			_exit(1);
		if (how == 1)
			munmap(shared.addr, shared.length);
		if (how == 2)
			pause();
		_exit(0);
	}
	/* The parent goes on: its writes are not the child's. */
	for (int i = 0; i < 3; i++) {
		step_batch(w);
		step_write(w);
	}
	if (how == 2) {
		t_sleep_us(pause_us);
		kill(pid, SIGKILL);
	}
	waitpid(pid, &status, 0);
	if (how == 2 ? !WIFSIGNALED(status) && status : status) {
		CHECK_EQ(status, 0, "status of a child, way %d", how);
		over = true;
	}
}

/* A reservation from birth to death, with some of it moved or unmapped. */
static void step_own(struct worker *w)
{
	static const unsigned int flags[] = { 0, TRACT_RESERVE_NOHUGE,
					      TRACT_RESERVE_NODUMP };
	size_t pages = 16 + t_below(&w->rnd, 200);
	size_t cut = t_below(&w->rnd, pages / 2) & ~1UL;
	uint64_t seed = t_random(&w->rnd);
	struct t_res res;
	int err = t_reserve_raw(pages * PAGE, 0, flags[t_below(&w->rnd, 3)],
				&res);

	if (!CHECK_ERR(err, 0, "RESERVE"))
		return;
	w->reserves++;
	for (size_t i = 0; i < pages; i++)
		put_page(res.addr + i * PAGE, seed + i);
	if (cut)
		munmap(res.addr, cut * PAGE);
	err = t_decommit(&res, cut * PAGE / 2,
			 (pages - cut / 2) * PAGE / 2 & -PAGE);
	CHECK(err == 0 || err == -EBUSY, "DECOMMIT of its own is %d", err);
	for (size_t i = cut; i < pages; i++) {
		size_t first = cut / 2;
		size_t last = first + (pages - cut / 2) / 2;
		bool gone = !err && i >= first && i < last;

		if (!page_is(res.addr + i * PAGE, gone ? 0 : seed + i))
			CHECK(false, "own page %zu of %zu, cut %zu, result %d",
			      i, pages, cut, err);
	}
	if (cut)
		err = t_populate(&res, 0, pages * PAGE);
	if (cut)
		CHECK_ERR(err, -ENOENT, "POPULATE over the cut");
	/* Anywhere else, by moving it, before it goes. */
	if (t_below(&w->rnd, 2)) {
		size_t length = (pages - cut) * PAGE;
		char *there = mmap(NULL, length, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		there = mremap(res.addr + cut * PAGE, length, length,
			       MREMAP_MAYMOVE | MREMAP_FIXED, there);
		if (CHECK(there != MAP_FAILED, "mremap: %s", strerror(errno)))
			res.addr = there - cut * PAGE;
	}
	munmap(res.addr + cut * PAGE, (pages - cut) * PAGE);
	err = t_decommit(&res, 0, PAGE);
	/* A child may be keeping it; then it is still there. */
	CHECK(err == -ENOENT || err == 0 || err == -EBUSY,
	      "DECOMMIT of what is gone is %d", err);
}

static void step_stats(struct worker *w)
{
	struct tract_stats st = t_process_stats();

	CHECK(st.out_reservations >= 1, "%llu reservations",
	      st.out_reservations);
	if (t_below(&w->rnd, 2))
		t_system_stats();
}

static void *work(void *arg)
{
	struct worker *w = arg;

	while (!over) {
		unsigned int first, count;
		uint64_t dice = t_below(&w->rnd, 100);

		if (dice < 40)
			step_write(w);
		else if (dice < 80)
			step_batch(w);
		else if (dice < 88)
			step_advise(w);
		else if (dice < 94)
			step_own(w);
		else if (dice < 97)
			step_stats(w);
		else
			step_fork(w);
		pick(w, &first, &count);
		check_pages(w, first, count, "parent");
		w->steps++;
	}
	check_pages(w, 0, PART_PAGES, "parent, at the end");
	return NULL;
}

static double seconds = 10;
static uint64_t first_seed;

static void storm(unsigned int flags)
{
	struct worker sum = { 0 };

	over = false;
	memset(workers, 0, sizeof(workers));
	shared = t_reserve(threads * PART, flags);
	for (unsigned int i = 0; i < threads; i++) {
		workers[i].number = i;
		workers[i].rnd.state = t_mix(first_seed + i + flags * 100);
		workers[i].base = shared.addr + i * PART;
		workers[i].offset = i * PART;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			t_die("pthread_create");
	}
	for (double end = t_now() + seconds / 2; t_now() < end && !over;)
		t_sleep_us(50000);
	over = true;
	for (unsigned int i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		sum.steps += workers[i].steps;
		sum.dropped += workers[i].dropped;
		sum.refused += workers[i].refused;
		sum.forks += workers[i].forks;
		sum.reserves += workers[i].reserves;
	}
	t_note("%lu steps, %lu forks, %lu reservations, %lu drops, %lu refused",
	       sum.steps, sum.forks, sum.reserves, sum.dropped, sum.refused);
	CHECK(sum.dropped > 0, "no drop succeeded");
	CHECK(sum.forks > 0, "no fork was made");
	CHECK(sum.reserves > 0, "no reservation was made");
	t_unmap(&shared);
	CHECK_EQ(t_process_stats().out_reservations, 0, "left over");
}

static void small_pages(void)
{
	storm(TRACT_RESERVE_NOHUGE);
}

static void plain(void)
{
	storm(0);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		seconds = atof(argv[1]);
	if (argc > 3)
		threads = atoi(argv[3]);
	if (threads < 1 || threads > THREADS_MAX)
		t_die("1 to %d threads", THREADS_MAX);
	t_begin("threads", seconds + 60);
	first_seed = t_seed(argc > 2 ? argv[2] : NULL);
	t_fd();
	t_write_file("/sys/kernel/mm/transparent_hugepage/enabled", "always");
	RUN(small_pages);
	RUN(plain);
	return t_end();
}
