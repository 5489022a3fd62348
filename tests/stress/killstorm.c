// SPDX-License-Identifier: MIT
/*
 * Processes with reservations, killed at any moment of their lives: in RESERVE,
 * in a batch, between fork and exit.  In the end nothing of them is left.
 *
 *   killstorm [seconds [seed]]
 */
#include "observe.h"

#define CROWD 8
#define REFCNT "/sys/module/tract/refcnt"

static double seconds = 10;
static uint64_t first_seed;

/* Lives until it is killed. */
static void victim(uint64_t seed)
{
	struct t_rand rnd = { seed };
	struct t_res res[8] = { 0 };
	struct tract_op ops[64];

	for (;;) {
		struct t_res *r = &res[t_below(&rnd, 8)];
		size_t pages = 1 + t_below(&rnd, 512);

		if (!r->addr) {
			if (t_reserve_raw(pages * PAGE, 0, t_below(&rnd, 4), r))
				continue;
		}
		pages = r->length / PAGE;
		switch (t_below(&rnd, 6)) {
		case 0:
			t_unmap(r);
			r->addr = NULL;
			break;
		case 1:
			for (size_t i = 0; i < pages; i++)
				r->addr[i * PAGE] = 1;
			break;
		case 2:
			t_populate(r, 0, r->length);
			break;
		case 3:
		case 4:
			for (int i = 0; i < 64; i++)
				ops[i] = t_make_op(1 + (i & 1), r->id,
						   t_below(&rnd, pages) * PAGE,
						   PAGE);
			t_batch(ops, 64, NULL);
			break;
		case 5:
			/* A grandchild that outlives or not. */
			if (t_below(&rnd, 4))
				break;
			if (!fork()) {
				r->addr[0] = 2;
				t_sleep_us(t_below(&rnd, 5000));
				_exit(0);
			}
			break;
		}
	}
}

static void storm(void)
{
	struct tract_stats was = t_system_stats(), is;
	struct t_rand rnd = { first_seed };
	double end = t_now() + seconds;
	pid_t crowd[CROWD] = { 0 };
	unsigned long killed = 0, most = 0;

	while (t_now() < end) {
		pid_t *one = &crowd[t_below(&rnd, CROWD)];
		uint64_t seed = t_random(&rnd);

		if (*one) {
			kill(*one, SIGKILL);
			killed++;
		}
		/* Those and grandchildren that came back to us. */
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		*one = t_fork();
		if (!*one)
			victim(seed);
		t_sleep_us(t_below(&rnd, 20000));
		is = t_system_stats();
		if (is.out_reservations > most)
			most = is.out_reservations;
	}
	for (int i = 0; i < CROWD; i++)
		if (crowd[i])
			kill(crowd[i], SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	is = t_system_stats();
	CHECK_EQ(is.out_reservations, was.out_reservations, "left over");
	CHECK_EQ(is.out_reserved_bytes, was.out_reserved_bytes, "bytes left");
	CHECK(most > was.out_reservations, "there never was a reservation");
	CHECK(is.out_operations > was.out_operations, "no operation was done");
	t_note("%lu killed, %lu reservations at most, %llu operations", killed,
	       most, is.out_operations - was.out_operations);
}

/* Nothing holds the module any more: it could be unloaded. */
static void unheld(void)
{
	close(t_device);
	t_device = -1;
	CHECK_EQ(t_read_number(REFCNT), 0, "references to the module");
}

int main(int argc, char **argv)
{
	if (argc > 1)
		seconds = atof(argv[1]);
	t_begin("killstorm", seconds + 60);
	first_seed = t_seed(argc > 2 ? argv[2] : NULL);
	t_fd();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	RUN(storm);
	if (access(REFCNT, R_OK))
		SKIP(unheld, "the kernel does not show " REFCNT);
	else
		RUN(unheld);
	return t_end();
}
