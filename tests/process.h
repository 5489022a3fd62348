/* SPDX-License-Identifier: MIT */
/*
 * The clock, and what the kernel says of this process.  No malloc: these are
 * called while it is tested and measured.
 */
#ifndef TESTS_PROCESS_H
#define TESTS_PROCESS_H

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static inline double process_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

static inline void process_sleep(double seconds)
{
	struct timespec left = { (time_t)seconds,
				 (seconds - (time_t)seconds) * 1e9 };

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

/* A "Name:   123 kB" line of /proc/self/status, in KiB; -1 if there is none. */
static inline long process_status(const char *name)
{
	char text[8192], *line;
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return -1;
	text[n] = 0;
	line = strstr(text, name);
	return line ? strtol(line + strlen(name), NULL, 10) : -1;
}

static inline long process_vmas(void)
{
	char text[4096];
	long lines = 0;
	ssize_t n, i;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	while ((n = read(fd, text, sizeof(text))) > 0)
		for (i = 0; i < n; i++)
			lines += text[i] == '\n';
	close(fd);
	return lines;
}

#endif
