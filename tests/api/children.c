// SPDX-License-Identifier: MIT
/*
 * Children, made by fork() and by a bare clone(), of a process whose freed memory
 * is purged all the time: what a child finds zero is zero, what it finds in use is
 * as it was, and so in the parent.  And memory goes back while a child shares it.
 *
 * Started anew with a decay of 10 ms.
 */
#include "tap.h"

#include <sys/syscall.h>
#include <sys/wait.h>

#define UNIT 65536
#define KEPT 24
#define ROUNDS 60

struct kept {
	unsigned char *p;
	size_t size;
	unsigned char mark;
};

static struct kept kept[KEPT];

static bool all_are(const unsigned char *p, size_t size, int value)
{
	/* A byte in each page, and the last, are enough. */
	for (size_t i = 0; i < size; i += 4096)
		if (p[i] != value)
			return false;
	return p[size - 1] == value;
}

static void fill(struct kept *k, uint64_t *state)
{
	k->size = UNIT + tap_random(state) % (24 * UNIT);
	k->mark = 1 + tap_random(state) % 255;
	k->p = malloc(k->size);
	memset(k->p, k->mark, k->size);
}

/* Frees some, takes zeroed memory of other lengths, fills what is missing. */
static int exchange(uint64_t *state)
{
	unsigned char *zeroed[KEPT];
	int i, wrong = 0;

	for (i = 0; i < KEPT; i++) {
		wrong += !all_are(kept[i].p, kept[i].size, kept[i].mark);
		zeroed[i] = NULL;
		if (tap_random(state) % 2)
			continue;
		free(kept[i].p);
		kept[i].p = NULL;
	}
	for (i = 0; i < KEPT / 2; i++) {
		size_t size = UNIT + tap_random(state) % (16 * UNIT);

		zeroed[i] = calloc(1, size);
		wrong += !all_are(zeroed[i], size, 0);
		memset(zeroed[i], 0xee, size);
	}
	for (i = 0; i < KEPT; i++) {
		free(zeroed[i]);
		if (!kept[i].p)
			fill(&kept[i], state);
	}
	return wrong;
}

static pid_t make_child(bool bare)
{
	return bare ? syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0ul) :
		      fork();
}

static void be_child(uint64_t state)
{
	int wrong = 0;

	tap_alarm(60);
	for (int i = 0; i < 3; i++) {
		wrong += exchange(&state);
		process_sleep(0.001 * (tap_random(&state) % 15));
	}
	_exit(wrong != 0);
}

static void storm(bool bare, const char *what)
{
	uint64_t state = tap_mix(tap_seed);
	int wrong = 0, children_wrong = 0, running = 0, status, i;

	for (i = 0; i < KEPT; i++)
		fill(&kept[i], &state);
	for (i = 0; i < ROUNDS; i++) {
		pid_t pid;

		wrong += exchange(&state);
		process_sleep(0.001 * (tap_random(&state) % 25));
		pid = make_child(bare);
		if (!pid)
			be_child(tap_seed + i);
		children_wrong += pid < 0;
		running += pid > 0;
		wrong += exchange(&state);
		while (running > 2 && wait(&status) > 0) {
			running--;
			children_wrong += status != 0;
		}
	}
	while (wait(&status) > 0)
		children_wrong += status != 0;
	tap_ok(!wrong, "%s: %d blocks of the parent wrong", what, wrong);
	tap_ok(!children_wrong, "%s: %d of %d children wrong", what,
	       children_wrong, ROUNDS);
	for (i = 0; i < KEPT; i++)
		free(kept[i].p);
}

#define LARGE_KIB (200 << 10)

/* KiB that are left, above @before, of what is freed now. */
static long left_of_large(long before, bool idle)
{
	unsigned char *p = malloc((size_t)LARGE_KIB << 10);
	double until = process_now() + 4 * tap_env("TRACT_TEST_SLOWNESS", 1);
	long left;

	memset(p, 1, (size_t)LARGE_KIB << 10);
	free(p);
	do {
		process_sleep(0.1);
		if (!idle)
			free(malloc(UNIT));
		left = tap_rss() - before;
	} while (left > LARGE_KIB / 8 && process_now() < until);
	return left;
}

static void shared(void)
{
	long before = tap_rss(), left;
	pid_t pid = fork();

	if (!pid) {
		pause();
		_exit(0);
	}
	left = left_of_large(before, false);
	tap_ok(left <= LARGE_KIB / 8,
	       "beside a child that shares the heap: %ld KiB of %d are left",
	       left, LARGE_KIB);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	left = left_of_large(before, tap_is_module());
	tap_ok(left <= LARGE_KIB / 8,
	       "when it is gone: %ld KiB of %d are left%s", left, LARGE_KIB,
	       tap_is_module() ? ", without a call" : "");
}

int main(int argc, char **argv)
{
	const char *options = getenv("TRACT_OPTIONS");
	char with_decay[256];

	if (!options || !strstr(options, "decay_ms")) {
		snprintf(with_decay, sizeof(with_decay), "%s%sdecay_ms=10",
			 options ? options : "", options ? "," : "");
		setenv("TRACT_OPTIONS", with_decay, 1);
		execv("/proc/self/exe", argv);
		return 1;
	}
	tap_start(argc, argv, 120);
	storm(false, "fork");
	storm(true, "clone");
	if (tap_is_tract())
		shared();
	return tap_done();
}
