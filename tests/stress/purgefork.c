// SPDX-License-Identifier: MIT
/*
 * A parent with live offers forks children that read, write, offer and exit in
 * any order, while sweeps come as often as they can: every child's and the
 * parent's data is right, and what was offered goes in the end.
 *
 *   purgefork [children [seconds [seed]]]     1000 children, or as many as the
 *                                             seconds allow; and a fifth of
 *                                             that in a trapped reservation
 */
#include <pthread.h>

#include "offer.h"

#define UNIT (64 * KIB)
#define LENGTH (8 * MIB)
#define UNITS (LENGTH / UNIT)
#define AT_ONCE 16

static unsigned int children = 1000;
static double seconds = 100;
static struct t_map map;
static uint64_t seeds[UNITS];
/* Held by the worker for a turn, and over fork(): a child finds no half turn. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static volatile bool over;
static unsigned long intact, purged, shared;

/* Every unit is live and filled, or offered as it was filled. */
static void work(struct t_rand *rnd)
{
	__u64 u = t_below(rnd, UNITS);
	__u8 was = t_unit_state(&map, u);

	if (was == TRACT_UNIT_LIVE) {
		CHECK_EQ(t_wrong(t_unit(&map, u), UNIT, seeds[u]), -1,
			 "parent's live unit %llu lost at", u);
		t_offer(&map, u);
		return;
	}
	was = t_take(&map, u);
	if (was == TRACT_UNIT_LIVE)
		return;
	if (was == TRACT_UNIT_PURGED) {
		purged++;
		CHECK_EQ(t_nonzero(t_unit(&map, u), UNIT), -1,
			 "parent's purged unit %llu is not zero at", u);
	} else {
		intact++;
		CHECK_EQ(t_wrong(t_unit(&map, u), UNIT, seeds[u]), -1,
			 "parent's unit %llu is not intact at", u);
	}
	t_fill(t_unit(&map, u), UNIT, seeds[u] = t_random(rnd) | 1);
	shared += map.header->flags == TRACT_PURGE_SHARED;
}

static void *worker(void *arg)
{
	struct t_rand rnd = { *(uint64_t *)arg };

	while (!over && !t_state->failed) {
		pthread_mutex_lock(&turn);
		for (int i = 0; i < 8; i++)
			work(&rnd);
		pthread_mutex_unlock(&turn);
		t_sleep_us(200);
	}
	return NULL;
}

/* What was live at the fork is there; what was offered is there, or zero. */
static void child_reads(const __u8 *states, bool *own)
{
	for (__u64 u = 0; u < UNITS; u++) {
		char *at = t_unit(&map, u);

		if (own[u] || states[u] == TRACT_UNIT_LIVE)
			CHECK_EQ(t_wrong(at, UNIT, seeds[u]), -1,
				 "child's unit %llu lost at", u);
		else
			for (size_t page = 0; page < UNIT; page += PAGE)
				CHECK(*(uint64_t *)(at + page) == 0 ||
					      t_wrong(at + page, PAGE,
						      seeds[u] + page / 8) < 0,
				      "child's unit %llu is neither", u);
	}
}

static void child(uint64_t seed)
{
	struct t_rand rnd = { seed };
	static __u8 states[UNITS];
	static bool own[UNITS];
	struct t_res res = { 0 };
	struct t_map mine;

	/* The copy that the module does not look at, as it was at the fork. */
	memcpy(states, map.states, UNITS);
	for (int i = t_below(&rnd, 6); i > 0; i--) {
		switch (t_below(&rnd, 5)) {
		case 0:
			child_reads(states, own);
			break;
		case 1:
			for (int n = 0; n < 8; n++) {
				__u64 u = t_below(&rnd, UNITS);

				t_fill(t_unit(&map, u), UNIT,
				       seeds[u] = t_random(&rnd) | 1);
				own[u] = true;
			}
			break;
		case 2:
			/* Offers in the copy mean nothing. */
			for (__u64 u = 0; u < UNITS; u++)
				t_offer(&map, u);
			break;
		case 3:
			if (res.addr)
				break;
			res = t_reserve(MIB, 0);
			mine = t_bind(&res, UNIT, 10);
			t_fill(res.addr, MIB, seed);
			t_offer(&mine, 3);
			break;
		default:
			t_sleep_us(t_below(&rnd, 20000));
		}
	}
	child_reads(states, own);
	if (res.addr)
		CHECK_EQ(t_wrong(res.addr, 3 * UNIT, seed), -1,
			 "child's own lost at");
	_exit(0);
}

static unsigned int fork_them(struct t_rand *rnd, double end)
{
	unsigned int made = 0, alive = 0;

	while (made < children && t_now() < end && !t_state->failed) {
		uint64_t seed = t_random(rnd);
		int pid;

		pthread_mutex_lock(&turn);
		pid = t_fork();
		if (!pid)
			child(seed);
		pthread_mutex_unlock(&turn);
		made++;
		alive++;
		while (alive && (alive >= AT_ONCE || !t_below(rnd, 3))) {
			int status = -1;

			pid = wait(&status);
			CHECK_EQ(status, 0, "child %d", pid);
			alive--;
		}
		/* At times none is left, and the sweeps have their way. */
		if (!t_below(rnd, 50)) {
			while (alive) {
				WAIT_OK(-1);
				alive--;
			}
			t_sleep_us(50000);
		}
	}
	for (; alive; alive--)
		WAIT_OK(-1);
	return made;
}

static uint64_t first_seed;

static void storm(unsigned int flags)
{
	struct t_rand rnd = { first_seed };
	struct t_res res = t_reserve(LENGTH, flags);
	uint64_t seed = t_random(&rnd);
	unsigned int made;
	pthread_t thread;

	over = false;
	intact = purged = shared = 0;
	map = t_bind(&res, UNIT, 10);
	for (__u64 u = 0; u < UNITS; u++)
		t_fill(t_unit(&map, u), UNIT, seeds[u] = t_random(&rnd) | 1);
	if (pthread_create(&thread, NULL, worker, &seed))
		t_die("pthread_create");
	made = fork_them(&rnd, t_now() + seconds);
	over = true;
	pthread_join(thread, NULL);
	t_note("%u children; the parent found %lu intact, %lu purged; %lu turns while shared",
	       made, intact, purged, shared);
	CHECK(made > 0 && intact > 0, "nothing happened");
	/* Without children everything that is offered goes. */
	for (__u64 u = 0; u < UNITS; u++)
		if (t_unit_state(&map, u) == TRACT_UNIT_LIVE)
			t_offer(&map, u);
	CHECK(t_wait_state(&map, 0, UNITS, TRACT_UNIT_PURGED, 10) >= 0,
	      "%llu units are left",
	      UNITS - t_count(&map, 0, UNITS, TRACT_UNIT_PURGED));
	CHECK_EQ(t_nonzero(res.addr, LENGTH), -1, "not zero at");
	t_unmap(&res);
	t_unmap_map(&map);
}

static void plain(void)
{
	storm(0);
}

static void trapped(void)
{
	children = children / 5 + 1;
	seconds /= 5;
	storm(TRACT_RESERVE_TRAP);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		children = atoi(argv[1]);
	if (argc > 2)
		seconds = atof(argv[2]);
	t_begin("purgefork", seconds * 1.2 + 60);
	first_seed = t_seed(argc > 3 ? argv[3] : NULL);
	t_fd();
	RUN(plain);
	RUN(trapped);
	return t_end();
}
