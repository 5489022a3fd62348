// SPDX-License-Identifier: MIT
/*
 * What only the module can do: a process that freed all it had, and then lets no
 * thread run, is small again a decay later; and freeing and reusing memory makes
 * no system call at all.
 *
 * Each is another program's, started by exec(), so that it has reservations of
 * its own and nobody shares them; it is watched from here.
 */
#include "tap.h"

#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define FREED_BYTES ((size_t)400 << 20)
#define BLOCK_BYTES 1000
#define BLOCKS (FREED_BYTES / BLOCK_BYTES)
#define ABOVE_START_KIB (12 << 10)
#define DECAY_MS 1000
#define REUSES 200000

static long figure(pid_t pid, const char *file, const char *name)
{
	char path[64], text[4096];
	ssize_t n;
	char *at;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	f = fopen(path, "r");
	if (!f)
		return -1;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n > 0 ? n : 0] = 0;
	at = strstr(text, name);
	return at ? strtol(at + strlen(name), NULL, 10) : -1;
}

/* How often threads of the process have gone to sleep or were put to it. */
static long switches(pid_t pid)
{
	char path[64];
	struct dirent *entry;
	long sum = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "task/%.20s/status",
			 entry->d_name);
		sum += figure(pid, path, "\nvoluntary_ctxt_switches:");
		sum += figure(pid, path, "\nnonvoluntary_ctxt_switches:");
	}
	if (dir)
		closedir(dir);
	return sum;
}

static void *free_blocks(void *blocks)
{
	void **block = blocks;

	for (size_t i = 0; i < BLOCKS; i++)
		free(block[i]);
	return NULL;
}

static void tell(long number)
{
	if (write(STDOUT_FILENO, &number, sizeof(number)) != sizeof(number))
		_exit(9);
}

static int be_idle(void)
{
	static void *block[BLOCKS];
	pthread_t thread;

	free(malloc(100));
	memset(block, 0xff, sizeof(block));
	tell(tap_rss());
	for (size_t i = 0; i < BLOCKS; i++) {
		block[i] = malloc(BLOCK_BYTES);
		memset(block[i], 1, BLOCK_BYTES);
	}
	tell(tap_rss());
	pthread_create(&thread, NULL, free_blocks, block);
	pthread_join(thread, NULL);
	tell(0);
	pause();
	return 0;
}

/* The next system call but write() and exit_group() is the last. */
static void forbid_calls(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = { 5, filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		_exit(8);
}

/* Spans of blocks, and large blocks of several lengths, come and go. */
static void reuse(unsigned long rounds)
{
	static void *small[200], *large[8];
	uint64_t state = 1;
	size_t i;

	while (rounds--) {
		for (i = 0; i < 200; i++)
			small[i] = malloc(2000);
		for (i = 0; i < 200; i++)
			free(small[i]);
		i = tap_random(&state) % 8;
		free(large[i]);
		large[i] = malloc(50000 + (tap_random(&state) & 0xfffff));
	}
	for (i = 0; i < 8; i++) {
		free(large[i]);
		large[i] = NULL;
	}
}

static int be_steady(void)
{
	reuse(REUSES / 100);
	forbid_calls();
	reuse(REUSES / 10);
	tell(REUSES);
	_exit(0);
}

static pid_t start(const char *what, int *from)
{
	int ends[2];
	pid_t pid;

	if (pipe(ends))
		return -1;
	pid = fork();
	if (!pid) {
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		execl("/proc/self/exe", "idle", what, NULL);
		_exit(7);
	}
	close(ends[1]);
	*from = ends[0];
	return pid;
}

static long hear(int from)
{
	long number = -1;

	return read(from, &number, sizeof(number)) == sizeof(number) ? number :
								       -1;
}

static void idle(void)
{
	long start_kib, full, rss, before, after;
	double freed, slow = tap_env("TRACT_TEST_SLOWNESS", 1);
	int from;
	pid_t pid = start("be-idle", &from);

	start_kib = hear(from);
	full = hear(from);
	hear(from);
	freed = process_now();
	/* It is on its way to sleep. */
	process_sleep(0.1 * slow);
	before = switches(pid);
	do {
		process_sleep(0.05);
		rss = figure(pid, "status", "\nVmRSS:");
	} while (rss - start_kib >= ABOVE_START_KIB &&
		 process_now() - freed < DECAY_MS / 1000. + slow);
	freed = process_now() - freed;
	after = switches(pid);
	tap_ok(start_kib > 0 && full - start_kib > (long)(FREED_BYTES >> 10) &&
		       rss - start_kib < ABOVE_START_KIB,
	       "%.2f s after %ld KiB were freed %ld are left; bound %d in "
	       "%.0f s",
	       freed, full - start_kib, rss - start_kib, ABOVE_START_KIB,
	       DECAY_MS / 1000. + slow);
	tap_ok(before > 0 && before == after,
	       "and no thread has run: %ld switches before and %ld after",
	       before, after);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(from);
}

static void steady(void)
{
	int status = -1, from;
	pid_t pid = start("be-steady", &from);
	long done = hear(from);

	waitpid(pid, &status, 0);
	tap_ok(done == REUSES && !status,
	       "reuse of spans and large blocks without a system call: %#x",
	       status);
	close(from);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "be-idle"))
		return be_idle();
	if (argc > 1 && !strcmp(argv[1], "be-steady"))
		return be_steady();
	tap_start(argc, argv, 60);
	if (!tap_is_module())
		tap_skip_all("the module's alone");
	idle();
	steady();
	return tap_done();
}
