// SPDX-License-Identifier: MIT
/*
 * Runs a command and says what it and the processes it waited for have used.
 * A program of its own, and small: what calls exec() counts in the peak RSS of
 * what it starts.
 *
 *   launch [--preload=LIBRARY] [--times=N] --to=FILE COMMAND [ARGUMENT]...
 *
 *   --preload  for the command alone
 *   --times    runs it N times, one after the other, until one fails
 *   --to       where one JSON line goes: wall and CPU time in seconds of all,
 *              the largest peak RSS in KiB
 *
 * Ends with the command's status, 128 and the signal's number if one killed it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"

struct used {
	double cpu;
	long peak_rss;
};

static double seconds(struct timeval t)
{
	return t.tv_sec + t.tv_usec * 1e-6;
}

static void start(char **command, const char *preload)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (preload ? setenv("LD_PRELOAD", preload, 1) :
		      unsetenv("LD_PRELOAD")) {
		perror("launch: environment");
		_exit(127);
	}
	execvp(command[0], command);
	fprintf(stderr, "launch: %s: %s\n", command[0], strerror(errno));
	_exit(127);
}

/* Once; the status that a shell would say. */
static int run(char **command, const char *preload, struct used *used)
{
	struct rusage usage;
	int status;
	pid_t pid = fork();

	if (pid < 0) {
		perror("launch: fork");
		exit(127);
	}
	if (!pid)
		start(command, preload);
	while (wait4(pid, &status, 0, &usage) < 0)
		if (errno != EINTR) {
			perror("launch: wait4");
			exit(127);
		}
	used->cpu += seconds(usage.ru_utime) + seconds(usage.ru_stime);
	if (usage.ru_maxrss > used->peak_rss)
		used->peak_rss = usage.ru_maxrss;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
				     WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	const char *preload = NULL, *to = NULL;
	struct used used = { 0 };
	unsigned long times = 1;
	int i, status = 0;
	double begin;
	FILE *file;

	for (i = 1; i < argc && !strncmp(argv[i], "--", 2); i++) {
		if (!strncmp(argv[i], "--preload=", 10))
			preload = argv[i] + 10;
		else if (!strncmp(argv[i], "--times=", 8))
			times = strtoul(argv[i] + 8, NULL, 0);
		else if (!strncmp(argv[i], "--to=", 5))
			to = argv[i] + 5;
		else
			break;
	}
	if (i == argc || !to || !times) {
		fprintf(stderr, "usage: launch [--preload=LIBRARY] [--times=N] "
				"--to=FILE COMMAND [ARGUMENT]...\n");
		return 127;
	}
	begin = process_now();
	for (unsigned long n = 0; n < times && !status; n++)
		status = run(argv + i, preload, &used);
	file = fopen(to, "w");
	if (!file ||
	    fprintf(file,
		    "{\"wall\": %.6f, \"cpu\": %.6f, \"peak_rss\": %ld}\n",
		    process_now() - begin, used.cpu, used.peak_rss) < 0 ||
	    fclose(file)) {
		perror(to);
		return 127;
	}
	return status;
}
