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
 * share a processor, and those who change share another with a stranger.
 *
 *   trapstorm [SECONDS]
 */
#include <pthread.h>

#include "observe.h"
#include "touch.h"

#define PAGES 8
#define TOUCHERS 3
#define LENGTH (2 * MIB)

static struct t_res res;
static volatile bool stop;
static bool apart; /* touchers on one processor, changers on another */
static unsigned long rounds, touches, caught, filled;

/* As t_resident(), which is for one thread. */
static unsigned int resident(char *at, unsigned int pages)
{
	unsigned char vec[PAGES];
	unsigned int count = 0;

	if (mincore(at, pages * PAGE, vec))
		t_die("mincore: %s", strerror(errno));
	for (unsigned int i = 0; i < pages; i++)
		count += vec[i] & 1;
	return count;
}

static void *toucher(void *arg)
{
	uint64_t seed = (uintptr_t)arg + 77;
	unsigned long n = 0, traps = 0, more = 0;

	while (!stop) {
		char *at;

		seed = t_mix(seed);
		at = res.addr + seed % PAGES * PAGE + (seed >> 20) % PAGE;
		if (seed & 1 << 10) {
			bool empty = !resident(res.addr, PAGES);

			traps += !!t_touch_write(at, 1).signal;
			more += empty && resident(res.addr, PAGES) > 1;
		} else
			traps += !!t_touch_read(at).signal;
		n++;
	}
	__atomic_add_fetch(&touches, n, __ATOMIC_RELAXED);
	__atomic_add_fetch(&filled, more, __ATOMIC_RELAXED);
	__atomic_add_fetch(&caught, traps, __ATOMIC_RELAXED);
	return NULL;
}

static int op(unsigned int code, size_t offset, size_t length)
{
	return t_op(code, res.id, offset, length);
}

/* Each changer has pages of its own. */
static void *changer(void *arg)
{
	size_t first = (uintptr_t)arg * PAGES / 2, length = PAGES / 2 * PAGE;
	char *base = res.addr + first * PAGE;
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
		CHECK_ERR(op(guard ? TRACT_OP_GUARD : TRACT_OP_DECOMMIT,
			     first * PAGE, length),
			  0, "%s", guard ? "GUARD" : "DECOMMIT");
		for (unsigned int i = 0; i < 4; i++) {
			CHECK_EQ(resident(base, PAGES / 2), 0,
				 "resident after it, look %u", i);
			CHECK_EQ(t_touch_read(base + i * PAGE).signal, SIGSEGV,
				 "signal, look %u", i);
			sched_yield();
		}
		CHECK_ERR(op(guard ? TRACT_OP_UNGUARD : TRACT_OP_COMMIT,
			     first * PAGE, length),
			  0, "back");
		for (size_t i = 0; i < length; i += 512)
			CHECK(base[i] == 0 || base[i] == 1, "%#x at %zu",
			      base[i], i);
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
			bool is = t_touch_write(res.addr + i * PAGE, 1).signal;

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
	storm(seconds);
}

static void faults_and_changes_apart(void)
{
	apart = true;
	storm(seconds);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		seconds = atoi(argv[1]);
	t_begin("trapstorm", seconds * 6 + 60);
	t_fd();
	if (!t_feature(TRACT_FEATURE_TRAP))
		t_skip_all("no trapped reservations here");
	t_touch_begin();
	RUN(faults_and_changes);
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(faults_and_changes_apart, "one processor");
	else
		RUN(faults_and_changes_apart);
	return t_end();
}
