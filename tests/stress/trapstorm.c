// SPDX-License-Identifier: MIT
/*
 * Faults against changes of state.  Threads touch a few pages without a pause,
 * while others set guards, decommit and take it all back.  Once a GUARD or
 * DECOMMIT has returned nothing may be there, not even by a fault that was under
 * way, until the thread that set it takes it back; and what is put back reads as
 * zero or as something that was written since.
 *
 * What a write maps around it (kmod/trap_around.c) it maps only while the process
 * is on one processor.  So that it does, and yet meets changes, those who touch
 * share a processor, and those who change share another with a stranger.  And so
 * that it maps much, the pages lie apart, each between guards that stay.
 *
 *   trapstorm [SECONDS]
 */
#include <pthread.h>

#include "observe.h"
#include "touch.h"

#define PAGES 8
#define APART 16 /* pages from one to the next */
#define TOUCHERS 3
#define LENGTH (2 * MIB)

static struct t_res res;
static volatile bool stop;
static bool apart;	  /* touchers on one processor, changers on another */
static unsigned int step; /* from one page of the game to the next */
static unsigned long rounds, touches, caught, filled;

static char *page(unsigned int i)
{
	return res.addr + i * step * PAGE;
}

/* As t_resident(), which is for one thread: of pages of the game. */
static unsigned int resident(unsigned int first, unsigned int count)
{
	unsigned char vec[PAGES * APART];
	unsigned int n = 0;

	if (mincore(page(first), count * step * PAGE, vec))
		t_die("mincore: %s", strerror(errno));
	for (unsigned int i = 0; i < count; i++)
		n += vec[i * step] & 1;
	return n;
}

/* The guards that stay: every second page of those between. */
static unsigned int resident_guards(void)
{
	unsigned char vec[PAGES * APART];
	unsigned int n = 0;

	if (mincore(res.addr, PAGES * step * PAGE, vec))
		t_die("mincore: %s", strerror(errno));
	for (unsigned int i = 1; step > 1 && i < PAGES * step; i += 2)
		n += vec[i] & 1;
	return n;
}

static void *toucher(void *arg)
{
	uint64_t seed = (uintptr_t)arg + 77;
	unsigned long n = 0, traps = 0, more = 0;

	while (!stop) {
		char *at;

		seed = t_mix(seed);
		at = page(seed % PAGES) + (seed >> 20) % PAGE;
		if (seed & 1 << 10) {
			unsigned int before = resident(0, PAGES);

			traps += !!t_touch_write(at, 1).signal;
			more += resident(0, PAGES) > before + 1;
			CHECK_EQ(resident_guards(), 0, "guards there");
		} else
			traps += !!t_touch_read(at).signal;
		n++;
	}
	__atomic_add_fetch(&touches, n, __ATOMIC_RELAXED);
	__atomic_add_fetch(&filled, more, __ATOMIC_RELAXED);
	__atomic_add_fetch(&caught, traps, __ATOMIC_RELAXED);
	return NULL;
}

/* On pages of the game, one range if they lie beside each other. */
static int op(unsigned int code, unsigned int first, unsigned int count)
{
	struct tract_op ops[PAGES];
	int err;

	if (step == 1)
		return t_op(code, res.id, first * PAGE, count * PAGE);
	for (unsigned int i = 0; i < count; i++)
		ops[i] = t_make_op(code, res.id, (first + i) * step * PAGE,
				   PAGE);
	err = t_batch(ops, count, NULL);
	for (unsigned int i = 0; i < count && !err; i++)
		err = ops[i].out_result;
	return err;
}

/* Each changer has pages of its own. */
static void *changer(void *arg)
{
	unsigned int first = (uintptr_t)arg * PAGES / 2;
	uint64_t seed = (uintptr_t)arg;

	while (!stop) {
		bool guard;

		seed = t_mix(seed);
		guard = seed & 1;
		/* Let some faults begin. */
		for (unsigned int i = 0; apart && i < seed >> 61; i++)
			sched_yield();
		for (unsigned int i = 0; i < seed >> 50; i++)
			__asm__ volatile("" ::: "memory");
		CHECK_ERR(op(guard ? TRACT_OP_GUARD : TRACT_OP_DECOMMIT, first,
			     PAGES / 2),
			  0, "%s", guard ? "GUARD" : "DECOMMIT");
		for (unsigned int i = 0; i < 4; i++) {
			CHECK_EQ(resident(first, PAGES / 2), 0,
				 "resident after it, look %u", i);
			CHECK_EQ(t_touch_read(page(first + i)).signal, SIGSEGV,
				 "signal, look %u", i);
			sched_yield();
		}
		CHECK_ERR(op(guard ? TRACT_OP_UNGUARD : TRACT_OP_COMMIT, first,
			     PAGES / 2),
			  0, "back");
		for (unsigned int i = 0; i < PAGES / 2 * 8; i++) {
			char *at = page(first + i / 8) + i % 8 * 512;

			CHECK(*at == 0 || *at == 1, "%#x at %p", *at, at);
		}
		__atomic_add_fetch(&rounds, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Forks meanwhile, each with states that no longer change. */
static void one_fork(void)
{
	bool traps[PAGES];
	pid_t pid = t_fork();
	int status;

	if (pid) {
		waitpid(pid, &status, 0);
		CHECK(!status, "child: status %#x", status);
		return;
	}
	for (int turn = 0; turn < 20; turn++)
		for (int i = 0; i < PAGES; i++) {
			bool is = t_touch_write(page(i), 1).signal;

			if (turn && is != traps[i])
				_exit(1);
			traps[i] = is;
		}
	_exit(0);
}

/* Which processors threads made from now on may use: this one, or all. */
static void keep_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (cpu < 0 || i == cpu)
			CPU_SET(i, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		t_die("sched_setaffinity: %s", strerror(errno));
}

/* A process of its own that now and then leaves its processor to others. */
static pid_t make_stranger(int cpu)
{
	pid_t pid = t_fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	keep_to(cpu);
	for (unsigned int i = 1;; i++)
		if (!(i & 0xfff))
			sched_yield();
}

static void storm(int seconds)
{
	pthread_t touchers[TOUCHERS], changers[2];
	time_t end = time(NULL) + seconds;
	bool fork_too = !apart && t_feature(TRACT_FEATURE_SHARED_ZAP);
	pid_t stranger = apart ? make_stranger(1) : 0;

	rounds = touches = caught = 0;
	stop = false;
	res = t_reserve(LENGTH, TRACT_RESERVE_TRAP);
	for (unsigned int i = 1; step > 1 && i < PAGES * step; i += 2)
		CHECK_ERR(t_op(TRACT_OP_GUARD, res.id, i * PAGE, PAGE), 0,
			  "GUARD");
	keep_to(apart ? 0 : -1);
	for (uintptr_t i = 0; i < TOUCHERS; i++)
		if (pthread_create(&touchers[i], NULL, toucher, (void *)i))
			t_die("pthread_create");
	keep_to(apart ? 1 : -1);
	for (uintptr_t i = 0; i < 2; i++)
		if (pthread_create(&changers[i], NULL, changer, (void *)i))
			t_die("pthread_create");
	while (time(NULL) < end) {
		/* Where a child makes operations fail they would only fail. */
		if (fork_too)
			one_fork();
		usleep(20000);
	}
	stop = true;
	for (int i = 0; i < TOUCHERS; i++)
		pthread_join(touchers[i], NULL);
	for (int i = 0; i < 2; i++)
		pthread_join(changers[i], NULL);
	keep_to(-1);
	if (stranger) {
		kill(stranger, SIGKILL);
		waitpid(stranger, NULL, 0);
	}
	t_note("%lu rounds, %lu touches, %lu of them caught, %lu filled",
	       rounds, touches, caught, filled);
	CHECK(rounds > 10 && caught > 10, "the storm never rose");
	t_unmap(&res);
}

static int seconds = 10;

static void faults_and_changes(void)
{
	apart = false;
	step = 1;
	storm(seconds);
}

static void faults_and_changes_apart(void)
{
	apart = true;
	step = 1;
	storm(seconds);
}

static void faults_and_changes_far_apart(void)
{
	apart = true;
	step = APART;
	storm(seconds);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		seconds = atoi(argv[1]);
	t_begin("trapstorm", seconds * 9 + 60);
	t_fd();
	if (!t_feature(TRACT_FEATURE_TRAP))
		t_skip_all("no trapped reservations here");
	t_touch_begin();
	RUN(faults_and_changes);
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		SKIP(faults_and_changes_apart, "one processor");
		SKIP(faults_and_changes_far_apart, "one processor");
	} else {
		RUN(faults_and_changes_apart);
		RUN(faults_and_changes_far_apart);
	}
	return t_end();
}
