// SPDX-License-Identifier: MIT
/* vfork and exec, posix_spawn, system and popen, from threads that allocate. */
#include "tap.h"

#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define ROUNDS 20

extern char **environ;
static atomic_bool stop;

static void *busy(void *arg)
{
	uint64_t state = tap_mix(tap_seed ^ (uintptr_t)arg);
	unsigned char *p[64] = { NULL };
	size_t k;

	while (!atomic_load(&stop)) {
		k = tap_random(&state) % 64;
		free(p[k]);
		p[k] = malloc(tap_random_size(&state, 100000));
		p[k][0] = 1;
	}
	for (k = 0; k < 64; k++)
		free(p[k]);
	return NULL;
}

static bool success(pid_t pid)
{
	int status = -1;

	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

int main(int argc, char **argv)
{
	static char *const sh[] = { "sh", "-c", "exec true", NULL };
	static char *const no[] = { "no", NULL };
	int i, good[5] = { 0 };
	pthread_t t[4];
	char text[64];
	FILE *pipe;
	pid_t pid;

	tap_start(argc, argv, 120);
	for (i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, busy, (void *)(uintptr_t)(i + 1));
	for (i = 0; i < ROUNDS; i++) {
		pid = vfork();
		if (!pid) {
			execv("/bin/sh", sh);
			_exit(1);
		}
		good[0] += success(pid);

		/* A vfork whose exec fails comes back to the same memory. */
		pid = vfork();
		if (!pid) {
			execv("/nonexistent", no);
			_exit(0);
		}
		good[1] += success(pid);

		if (!posix_spawn(&pid, "/bin/sh", NULL, NULL, sh, environ))
			good[2] += success(pid);

		good[3] += system("exit 0") == 0;

		pipe = popen("echo forty-two", "r");
		if (pipe && fgets(text, sizeof(text), pipe) &&
		    !strcmp(text, "forty-two\n") && !pclose(pipe))
			good[4]++;
	}
	atomic_store(&stop, true);
	for (i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	tap_ok(good[0] == ROUNDS, "vfork, exec: %d of %d", good[0], ROUNDS);
	tap_ok(good[1] == ROUNDS, "vfork, failing exec: %d of %d", good[1],
	       ROUNDS);
	tap_ok(good[2] == ROUNDS, "posix_spawn: %d of %d", good[2], ROUNDS);
	tap_ok(good[3] == ROUNDS, "system: %d of %d", good[3], ROUNDS);
	tap_ok(good[4] == ROUNDS, "popen: %d of %d", good[4], ROUNDS);
	return tap_done();
}
