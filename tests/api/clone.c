// SPDX-License-Identifier: MIT
/*
 * A child made by a bare clone(), past all fork handlers, while parent and child
 * both allocate, free and give memory back: neither may change a byte of the
 * other's.  One thread, for no allocator's locks survive more.
 */
#include "tap.h"

#include <malloc.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define BLOCKS 400
#define CHILDREN 8

static unsigned char *block[BLOCKS];
static size_t size_of[BLOCKS];

static void fill(int i, uint64_t *state)
{
	/* Enough large ones that whole units come free. */
	size_of[i] = 1 + tap_random(state) % (i % 4 ? 2000 : 400000);
	block[i] = malloc(size_of[i]);
	memset(block[i], i ^ size_of[i], size_of[i]);
}

static int wrong_bytes(int i)
{
	unsigned char want = i ^ size_of[i];
	int wrong = 0;

	for (size_t k = 0; k < size_of[i]; k++)
		wrong += block[i][k] != want;
	return wrong;
}

/* Replaces blocks, gives memory back, and looks at every byte it has. */
static int live(uint64_t seed, int rounds)
{
	uint64_t state = tap_mix(seed);
	int i, wrong = 0;

	while (rounds--) {
		for (i = 0; i < BLOCKS; i++) {
			wrong += wrong_bytes(i);
			if (tap_random(&state) % 2) {
				free(block[i]);
				fill(i, &state);
			}
		}
		malloc_trim(0);
	}
	for (i = 0; i < BLOCKS; i++)
		wrong += wrong_bytes(i);
	return wrong;
}

static pid_t bare_clone(void)
{
	return syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0ul);
}

static int grandchild(uint64_t seed)
{
	int status = 1;
	pid_t pid = bare_clone();

	if (!pid)
		_exit(live(seed, 2) ? 1 : 0);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	return status != 0;
}

int main(int argc, char **argv)
{
	int i, status, wrong = 0, children_wrong = 0;
	uint64_t state;

	tap_start(argc, argv, 60);
	state = tap_mix(tap_seed);
	for (i = 0; i < BLOCKS; i++)
		fill(i, &state);
	for (i = 0; i < CHILDREN; i++) {
		pid_t pid = bare_clone();

		if (!pid) {
			tap_alarm(60);
			_exit(live(tap_seed + i, 3) || grandchild(i) ||
					      live(tap_seed - i, 2) ?
				      1 :
				      0);
		}
		wrong += live(tap_seed * 31 + i, 3);
		status = 1;
		if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
			children_wrong++;
	}
	tap_ok(!wrong, "the parent's bytes: %d wrong", wrong);
	tap_ok(!children_wrong, "%d children's bytes: %d children wrong",
	       CHILDREN, children_wrong);
	for (i = 0; i < BLOCKS; i++)
		free(block[i]);
	return tap_done();
}
