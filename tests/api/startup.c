// SPDX-License-Identifier: MIT
/*
 * What the preloaded library costs a program that does next to nothing: memory,
 * threads, descriptors.  The program is this one, run with and without
 * LD_PRELOAD.
 */
#include "tap.h"

#include <sys/wait.h>

struct cost {
	long rss, threads, descriptors, mappings;
	double seconds;
};

static int trivial(void)
{
	struct cost cost = { 0 };
	int n;

	for (n = 0; n < 100; n++)
		free(malloc(n * 10));
	cost.rss = process_status("\nVmRSS:");
	cost.threads = process_status("\nThreads:");
	cost.mappings = process_vmas();
	for (n = 0; n < 65536; n++)
		cost.descriptors += fcntl(n, F_GETFD) >= 0;
	return write(STDOUT_FILENO, &cost, sizeof(cost)) != sizeof(cost);
}

/* The least of several runs: what else the machine does only adds. */
static bool measure(const char *preload, struct cost *least)
{
	struct cost cost;
	int pipes[2], i, status;
	double start;
	pid_t pid;

	for (i = 0; i < 20; i++) {
		if (pipe2(pipes, O_CLOEXEC))
			return false;
		start = process_now();
		pid = fork();
		if (!pid) {
			dup2(pipes[1], STDOUT_FILENO);
			if (preload)
				setenv("LD_PRELOAD", preload, 1);
			else
				unsetenv("LD_PRELOAD");
			execl("/proc/self/exe", "startup", "trivial", NULL);
			_exit(9);
		}
		close(pipes[1]);
		if (read(pipes[0], &cost, sizeof(cost)) != sizeof(cost))
			return false;
		waitpid(pid, &status, 0);
		cost.seconds = process_now() - start;
		close(pipes[0]);
		if (status)
			return false;
		if (!i) {
			*least = cost;
			continue;
		}
		if (cost.rss < least->rss)
			least->rss = cost.rss;
		if (cost.seconds < least->seconds)
			least->seconds = cost.seconds;
	}
	return true;
}

int main(int argc, char **argv)
{
	const char *preload = getenv("LD_PRELOAD");
	struct cost with, without;

	if (argc == 2 && !strcmp(argv[1], "trivial"))
		return trivial();
	tap_start(argc, argv, 60);
	if (!preload || !*preload)
		tap_skip_all("nothing is preloaded");
	if (!tap_ok(measure(NULL, &without) && measure(preload, &with),
		    "the program runs with and without the library"))
		return tap_done();
	tap_note("without: RSS %ld KiB, %ld mappings, %.1f ms", without.rss,
		 without.mappings, without.seconds * 1e3);
	tap_note("with:    RSS %ld KiB, %ld mappings, %.1f ms", with.rss,
		 with.mappings, with.seconds * 1e3);
	tap_ok(with.threads == 1, "no thread was started: %ld", with.threads);
	tap_ok(with.descriptors <= without.descriptors + 1,
	       "at most one more descriptor: %ld, %ld without",
	       with.descriptors, without.descriptors);
	if (tap_is_tract())
		tap_ok(with.rss - without.rss <= 2048,
		       "at most 2048 KiB more: %ld", with.rss - without.rss);
	else
		tap_skip("start-up costs %ld KiB", with.rss - without.rss);
	return tap_done();
}
