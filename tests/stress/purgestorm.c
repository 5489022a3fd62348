// SPDX-License-Identifier: MIT
/*
 * Processes that use their purge maps as they should, checking every byte, beside
 * threads that write garbage into maps and headers of other reservations of the
 * same processes, bind, unbind, unmap and move them, and change their pages'
 * states; all are killed at any moment.  Sweeps come as often as they can.
 * Reservations are of every kind, trapped ones among them.
 *
 *   purgestorm [seconds [seed]]
 */
#include <pthread.h>

#include "offer.h"

#define UNIT (16 * KIB)
#define LENGTH (4 * MIB)
#define UNITS (LENGTH / UNIT)
#define CROWD 3

static double seconds = 10;
static uint64_t first_seed;

/* What went on, of all processes. */
static struct counts {
	unsigned long intact, purged, busy, mischief, killed;
} * counts;

static unsigned int any_flags(struct t_rand *rnd)
{
	return t_below(rnd, 2 * TRACT_RESERVE_TRAP);
}

static void count(unsigned long *of)
{
	__atomic_fetch_add(of, 1, __ATOMIC_RELAXED);
}

/* Takes, checks, fills and offers units, and keeps some for long. */
static void honest_turn(struct t_map *map, uint64_t *seeds, struct t_rand *rnd)
{
	__u64 u = t_below(rnd, UNITS);
	__u8 was = t_unit_state(map, u);
	char *at = t_unit(map, u);

	if (was == TRACT_UNIT_LIVE) {
		if (seeds[u])
			CHECK_EQ(t_wrong(at, UNIT, seeds[u]), -1,
				 "live unit %llu lost at", u);
		else
			t_fill(at, UNIT, seeds[u] = t_random(rnd) | 1);
		if (t_below(rnd, 4))
			t_offer(map, u);
		return;
	}
	was = t_take(map, u);
	if (was == TRACT_UNIT_LIVE) {
		count(&counts->busy);
		return;
	}
	if (was == TRACT_UNIT_PURGED) {
		count(&counts->purged);
		CHECK_EQ(t_nonzero(at, UNIT), -1, "unit %llu: not zero at", u);
	} else {
		count(&counts->intact);
		CHECK_EQ(t_wrong(at, UNIT, seeds[u]), -1,
			 "unit %llu: not intact at", u);
	}
	t_fill(at, UNIT, seeds[u] = t_random(rnd) | 1);
}

/*
 * The honest have all their memory before the others begin: those leave holes,
 * and write to places that they had given back.
 */
static pthread_barrier_t settled;

static void *honest(void *arg)
{
	struct t_rand rnd = { *(uint64_t *)arg };
	struct t_res res = t_reserve(LENGTH, any_flags(&rnd));
	struct t_map map = t_bind(&res, UNIT, 10);
	static __thread uint64_t seeds[UNITS];

	pthread_barrier_wait(&settled);
	while (!t_state->failed)
		honest_turn(&map, seeds, &rnd);
	return NULL;
}

/* Whatever there is to do wrong with a reservation of one's own. */
static void mischief(struct t_map *map, struct t_rand *rnd)
{
	char *at;

	count(&counts->mischief);
	switch (t_below(rnd, 14)) {
	case 0:
		t_unbind(&map->res);
		break;
	case 1:
		madvise(map->header, map->length, MADV_DONTNEED);
		break;
	case 2:
		at = t_anonymous(map->length);
		mremap(map->header, map->length, map->length,
		       MREMAP_MAYMOVE | MREMAP_FIXED, at);
		map->header = (void *)at;
		map->states = (__u8 *)at + PAGE;
		break;
	case 3:
		munmap(t_unit(map, t_below(rnd, UNITS)), UNIT);
		break;
	case 4:
		t_unmap(&map->res);
		map->res = t_reserve(LENGTH, any_flags(rnd));
		break;
	case 5:
		t_decommit(&map->res, 0, LENGTH);
		break;
	case 6:
		at = t_unit(map, t_below(rnd, UNITS - 8));
		mprotect(at, 8 * UNIT,
			 t_below(rnd, 2) ? PROT_READ : PROT_READ | PROT_WRITE);
		break;
	case 7:
		at = t_anonymous(8 * UNIT);
		mremap(t_unit(map, t_below(rnd, UNITS - 8)), 8 * UNIT, 8 * UNIT,
		       MREMAP_MAYMOVE | MREMAP_FIXED, at);
		munmap(at, 8 * UNIT);
		break;
	case 8:
	case 9:
		/* Of a plain reservation most are refused. */
		t_op(TRACT_OP_COMMIT + t_below(rnd, 6), map->res.id,
		     t_below(rnd, UNITS - 8) * UNIT, 8 * UNIT);
		break;
	default:
		t_bind_raw(&map->res, map->header, map->length, UNIT, 10);
	}
}

static struct t_map spoiled;

/* Bytes of any value, faster than any sweep. */
static void *scribbler(void *arg)
{
	struct t_rand rnd = { *(uint64_t *)arg };

	pthread_barrier_wait(&settled);
	for (;;) {
		struct t_map map = spoiled;
		volatile __u8 *byte = (__u8 *)map.header;

		for (int i = 0; i < 1000; i++) {
			uint64_t r = t_random(&rnd);

			/* Mostly states, at times the header, or any byte. */
			if (r & 7)
				byte[PAGE + (r >> 8) % UNITS] = (r >> 3) % 5;
			else
				byte[(r >> 8) % map.length] = r >> 24;
		}
	}
	return NULL;
}

static void *mischief_maker(void *arg)
{
	struct t_rand rnd = { *(uint64_t *)arg };

	pthread_barrier_wait(&settled);
	for (;;) {
		mischief(&spoiled, &rnd);
		for (int i = 0; i < 4; i++)
			/* May be gone, or read-only: that is its own business. */
			if (t_populate(&spoiled.res,
				       t_below(&rnd, UNITS) * UNIT, UNIT))
				break;
		t_sleep_us(t_below(&rnd, 2000));
	}
	return NULL;
}

/* The memory of the map may be gone for a moment: then it comes again. */
static void on_segv(int sig, siginfo_t *info, void *context)
{
	void *page = (void *)((uintptr_t)info->si_addr & ~(PAGE - 1));

	(void)sig;
	(void)context;
	mmap(page, PAGE, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
}

static void process(uint64_t seed)
{
	void *(*const roles[])(void *) = { honest, honest, scribbler,
					   mischief_maker };
	struct sigaction action = { .sa_flags = SA_SIGINFO,
				    .sa_sigaction = on_segv };
	uint64_t seeds[ARRAY_SIZE(roles)];
	pthread_t threads[ARRAY_SIZE(roles)];
	struct t_res res = t_reserve(LENGTH, 0);

	sigaction(SIGSEGV, &action, NULL);
	pthread_barrier_init(&settled, NULL, ARRAY_SIZE(roles));
	spoiled = t_bind(&res, UNIT, 10);
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		seeds[i] = t_mix(seed + i);
		if (pthread_create(&threads[i], NULL, roles[i], &seeds[i]))
			t_die("pthread_create");
	}
	pthread_join(threads[0], NULL);
	_exit(1);
}

static void storm(void)
{
	struct t_rand rnd = { first_seed };
	double end = t_now() + seconds;
	struct t_res res = t_reserve(LENGTH, 0);
	struct t_map map = t_bind(&res, UNIT, 10);
	static uint64_t seeds[UNITS];
	int pids[CROWD] = { 0 };

	/* Not for the children: they would keep the units from being purged. */
	madvise(res.addr, LENGTH, MADV_DONTFORK);
	while (t_now() < end && !t_state->failed) {
		double next = t_now() + t_below(&rnd, 300000) / 1e6;
		int *pid = &pids[t_below(&rnd, CROWD)];

		if (*pid) {
			kill(*pid, SIGKILL);
			waitpid(*pid, NULL, 0);
			count(&counts->killed);
		}
		*pid = t_fork();
		if (!*pid)
			process(t_random(&rnd));
		while (t_now() < next)
			honest_turn(&map, seeds, &rnd);
	}
	for (int i = 0; i < CROWD; i++)
		if (pids[i]) {
			kill(pids[i], SIGKILL);
			waitpid(pids[i], NULL, 0);
		}
	t_note("%lu intact, %lu purged, %lu busy, %lu mischief, %lu killed",
	       counts->intact, counts->purged, counts->busy, counts->mischief,
	       counts->killed);
	CHECK(counts->intact > 0, "no unit was ever found intact");
	CHECK(counts->purged > 0, "no unit was ever found purged");
	t_unmap(&res);
	t_unmap_map(&map);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		seconds = atof(argv[1]);
	t_begin("purgestorm", seconds + 60);
	first_seed = t_seed(argc > 2 ? argv[2] : NULL);
	t_fd();
	counts = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	RUN(storm);
	return t_end();
}
