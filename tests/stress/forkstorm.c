// SPDX-License-Identifier: MIT
/*
 * The proof of "a zap never reaches another mm": one thread drops the whole
 * reservation over and over while another forks children that at once write
 * all over their copy, the ranges being dropped included.  A child that loses
 * one byte fails the test.
 *
 *   forkstorm [seconds [seed]]
 */
#include <pthread.h>

#include "observe.h"

#define SMALL (2 * MIB)
/* More than a DECOMMIT does at once, so that forks come in between. */
#define AT_ONCE (32 * MIB)
#define LARGE (80 * MIB)
#define OPS 32
#define WORDS 64
#define CHILDREN 4

static struct t_res res;
static unsigned int pages;
static volatile bool over;
static unsigned long dropped, refused, turns;

/* Half of the children come from fork(), half from the naked system call. */
static int make_child(bool raw)
{
	int pid = raw ? (int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : fork();

	if (pid < 0)
		t_die("fork: %s", strerror(errno));
	return pid;
}

/* The n-th word a child writes: on a page of its own, anywhere. */
static uint64_t *word_of(unsigned int n, uint64_t seed)
{
	unsigned int page = (seed + n * (pages / WORDS)) % pages;

	return (uint64_t *)(res.addr + page * PAGE) + (seed >> 32) % 512;
}

static void child(uint64_t seed)
{
	struct t_rand rnd = { t_mix(seed) };
	double end = t_now() + t_below(&rnd, 2000) / 1e6;
	unsigned int rounds = 0;

	/* Backwards at times: to be early where the drop comes late. */
	for (unsigned int i = 0; i < WORDS; i++) {
		unsigned int n = seed & 1 ? i : WORDS - 1 - i;

		*word_of(n, seed) = t_mix(seed + n) | 1;
	}
	do {
		for (unsigned int n = 0; n < WORDS; n++) {
			uint64_t found = *word_of(n, seed);

			if (found == (t_mix(seed + n) | 1))
				continue;
			CHECK(false,
			      "child %d of seed %#llx lost word %u in round %u: "
			      "found %#llx, expected %#llx",
			      getpid(), (unsigned long long)seed, n, rounds,
			      (unsigned long long)found,
			      (unsigned long long)(t_mix(seed + n) | 1));
			_exit(1);
		}
		rounds++;
		t_sleep_us(t_below(&rnd, 300));
	} while (t_now() < end);
	_exit(0);
}

/* Drops all of it, in one operation or in many; whoever is being forked. */
static void *dropper(void *arg)
{
	struct t_rand rnd = { *(uint64_t *)arg };

	while (!over) {
		struct tract_op ops[OPS];
		unsigned int count = t_below(&rnd, 2) ? 1 : OPS;
		size_t piece = res.length / count;
		bool wait = false;

		for (unsigned int page = 0; page < pages; page++)
			res.addr[page * PAGE] = 1;
		/* Gaps of a page keep the operations from being merged. */
		for (unsigned int i = 0; i < count; i++)
			ops[i] = t_make_op(TRACT_OP_DECOMMIT, res.id, i * piece,
					   count == 1 ? piece : piece - PAGE);
		if (!CHECK_ERR(t_batch(ops, count, NULL), 0, "BATCH"))
			break;
		for (unsigned int i = 0; i < count; i++) {
			char *at = res.addr + ops[i].offset;
			bool ok = ops[i].out_result == 0;
			size_t gone = 0, j;

			if (!ok && ops[i].out_result != -EBUSY)
				CHECK_ERR(ops[i].out_result, -EBUSY, "result");
			while (gone < ops[i].length && !at[gone])
				gone += PAGE;
			/* Refused: in whole pieces, from the start, not all. */
			for (j = gone; j < ops[i].length && at[j];)
				j += PAGE;
			CHECK(ok ? gone >= ops[i].length :
				   gone < ops[i].length && gone % AT_ONCE == 0,
			      "%s: %#zx of %#llx are dropped",
			      ok ? "done" : "refused", gone, ops[i].length);
			CHECK(j >= ops[i].length,
			      "refused: %#zx of %#llx, but %#zx is dropped",
			      gone, ops[i].length, j);
			dropped += ok;
			refused += !ok;
			wait |= !ok;
		}
		turns++;
		/* Refused: let the child come to its end. */
		if (wait)
			t_sleep_us(100);
	}
	return NULL;
}

static void storm(size_t length, unsigned int flags, double time, uint64_t seed)
{
	struct t_rand rnd = { seed };
	unsigned long forks = 0, lost = 0;
	double end = t_now() + time;
	uint64_t other = t_random(&rnd);
	pthread_t thread;
	int alive = 0;

	over = false;
	dropped = refused = turns = 0;
	res = t_reserve(length, flags);
	pages = length / PAGE;
	if (pthread_create(&thread, NULL, dropper, &other))
		t_die("pthread_create");
	while (t_now() < end && !lost) {
		int most = 1 + t_below(&rnd, CHILDREN), status;

		/* Mostly one alone, so that drops succeed between them. */
		if (t_below(&rnd, 8))
			most = 1;
		for (; alive < most; alive++, forks++) {
			uint64_t own = t_random(&rnd);

			if (!make_child(forks & 1))
				child(own);
		}
		while (alive) {
			if (waitpid(-1, &status, 0) < 0)
				break;
			lost += status != 0;
			alive--;
		}
		t_sleep_us(t_below(&rnd, 400));
	}
	over = true;
	pthread_join(thread, NULL);
	CHECK_EQ(lost, 0, "children that lost a byte, of %lu", forks);
	/* On a kernel with all its checks few are made, but some. */
	CHECK(forks > 0, "only %lu forks", forks);
	CHECK(dropped > 0, "only %lu drops succeeded", dropped);
	t_note("%lu forks; %lu turns, %lu operations done, %lu refused", forks,
	       turns, dropped, refused);
	t_unmap(&res);
}

static double seconds = 20;
static uint64_t first_seed;

static void small_pages(void)
{
	storm(SMALL, TRACT_RESERVE_NOHUGE, seconds * 0.4, first_seed);
}

static void plain(void)
{
	storm(SMALL, 0, seconds * 0.3, t_mix(first_seed));
}

static void large(void)
{
	storm(LARGE, TRACT_RESERVE_NOHUGE, seconds * 0.3, t_mix(~first_seed));
}

int main(int argc, char **argv)
{
	if (argc > 1)
		seconds = atof(argv[1]);
	t_begin("forkstorm", seconds + 60);
	first_seed = t_seed(argc > 2 ? argv[2] : NULL);
	t_fd();
	t_write_file("/sys/kernel/mm/transparent_hugepage/enabled", "always");
	RUN(small_pages);
	RUN(plain);
	RUN(large);
	return t_end();
}
