// SPDX-License-Identifier: MIT
/*
 * Descriptors belong to the program.  It closes all of them whenever it likes,
 * puts files of its own at every number, and goes on allocating: the results
 * are right and no file of its is touched.
 */
#include "tap.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define FILES 16
#define NUMBERS 1024
#define CONTENTS 8192

static struct stat identity[FILES];

/* 500 MB in turnover, sizes from small to large, every block verified. */
static bool churn(uint64_t *state)
{
	enum {
		LIVE = 100
	};
	unsigned char *p[LIVE] = { NULL };
	size_t size[LIVE] = { 0 }, total = 0, k, i;
	bool good = true;

	while (total < 500u << 20) {
		k = tap_random(state) % LIVE;
		for (i = 0; i < size[k]; i += 4096)
			good &= p[k][i] == (unsigned char)k;
		free(p[k]);
		size[k] = tap_random_size(state, 8 << 20);
		p[k] = malloc(size[k]);
		if (!p[k])
			return false;
		for (i = 0; i < size[k]; i += 4096)
			p[k][i] = k;
		total += size[k];
	}
	for (k = 0; k < LIVE; k++)
		free(p[k]);
	/* So that memory is given back while the descriptors are strange. */
	process_sleep(0.3);
	free(malloc(100));
	return good;
}

static unsigned int own_files(void)
{
	unsigned char text[CONTENTS];
	int fd[FILES], i, n;

	for (i = 0; i < FILES; i++) {
		fd[i] = open("/tmp", O_TMPFILE | O_RDWR, 0600);
		memset(text, 'a' + i, sizeof(text));
		if (fd[i] < 0 ||
		    write(fd[i], text, sizeof(text)) != sizeof(text) ||
		    fstat(fd[i], &identity[i]))
			return 0;
		/* Out of the way of the numbers that are filled next. */
		fd[i] = fcntl(fd[i], F_DUPFD, NUMBERS - FILES);
		if (fd[i] < 0)
			return 0;
	}
	for (n = 3; n < NUMBERS - FILES; n++)
		if (dup2(fd[n % FILES], n) != n)
			return 0;
	return NUMBERS - FILES;
}

/* How many numbers no longer hold what was put there; -1: contents changed. */
static int disturbed(unsigned int numbers)
{
	unsigned char text[CONTENTS + 1];
	unsigned int n, k;
	struct stat now;
	int bad = 0;

	for (n = 3; n < numbers; n++) {
		struct stat *was = &identity[n % FILES];

		if (fstat(n, &now) || now.st_ino != was->st_ino ||
		    now.st_dev != was->st_dev) {
			bad++;
			continue;
		}
		if (now.st_size != CONTENTS ||
		    lseek(n, 0, SEEK_CUR) != CONTENTS)
			return -1;
	}
	for (n = 3; n < 3 + FILES && !bad; n++) {
		if (pread(n, text, sizeof(text), 0) != CONTENTS)
			return -1;
		for (k = 0; k < CONTENTS; k++)
			if (text[k] != 'a' + n % FILES)
				return -1;
	}
	return bad;
}

static void close_all(void)
{
	int n;

	if (close_range(3, ~0U, 0))
		for (n = 3; n < NUMBERS; n++)
			close(n);
}

int main(int argc, char **argv)
{
	struct rlimit limit = { NUMBERS, NUMBERS };
	int round, fd, bad, status = 0;
	unsigned int numbers;
	uint64_t state;
	bool good;
	pid_t pid;

	tap_start(argc, argv, 170);
	state = tap_seed;
	setrlimit(RLIMIT_NOFILE, &limit);

	tap_ok(churn(&state), "500 MB with descriptors untouched");
	for (round = 0, good = true; round < 3; round++) {
		close_all();
		good &= churn(&state);
	}
	tap_ok(good, "500 MB, 3 times, after closing all descriptors");

	close_all();
	fd = open("/dev/null", O_RDONLY);
	tap_ok(fd == 3, "the program's next descriptor is the lowest, 3: %d",
	       fd);

	close_all();
	numbers = own_files();
	if (!numbers) {
		tap_skip("no temporary files: %s", strerror(errno));
		return tap_done();
	}
	for (round = 0, good = true, bad = 0; round < 3 && !bad; round++) {
		good &= churn(&state);
		bad = disturbed(numbers);
	}
	tap_ok(good, "500 MB, 3 times, with own files at 3 to %u", numbers);
	tap_ok(!bad, "its files are where they were, unchanged: %d", bad);

	pid = fork();
	if (!pid) {
		tap_alarm(100);
		good = churn(&state) && !disturbed(numbers);
		close_all();
		good &= churn(&state) && own_files() && churn(&state);
		_exit(!good || disturbed(numbers));
	}
	waitpid(pid, &status, 0);
	tap_ok(!status, "the same in a forked child: status %#x", status);
	good = churn(&state);
	bad = disturbed(numbers);
	tap_ok(good && !bad, "and afterwards in the parent: %d", bad);
	return tap_done();
}
