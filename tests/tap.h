/* SPDX-License-Identifier: MIT */
/*
 * TAP output, a watchdog and a seed for the tests of tests/api.
 *
 * Everything here avoids malloc: the helpers are used while the allocator under
 * test is being measured, broken or starved.  Exit codes: 0 all passed, 1 some
 * failed, 77 skipped as a whole.
 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

static int tap_count;
static int tap_failures;
static uint64_t tap_seed;
static char tap_buffer[1 << 16];

static inline void tap_say(const char *prefix, const char *fmt, va_list ap)
{
	char line[1024];
	int n = snprintf(line, sizeof(line), "%s", prefix);

	vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	fputs(line, stdout);
	fputc('\n', stdout);
	fflush(stdout);
}

__attribute__((format(printf, 1, 2))) static inline void
tap_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	tap_say("# ", fmt, ap);
	va_end(ap);
}

/* One line of the plan; the text says what was expected and what was found. */
__attribute__((format(printf, 2, 3))) static inline bool
tap_ok(bool good, const char *fmt, ...)
{
	char prefix[32];
	va_list ap;

	snprintf(prefix, sizeof(prefix), "%sok %d - ", good ? "" : "not ",
		 ++tap_count);
	tap_failures += !good;
	va_start(ap, fmt);
	tap_say(prefix, fmt, ap);
	va_end(ap);
	return good;
}

__attribute__((format(printf, 1, 2))) static inline void
tap_skip(const char *fmt, ...)
{
	char prefix[32];
	va_list ap;

	snprintf(prefix, sizeof(prefix), "ok %d # SKIP ", ++tap_count);
	va_start(ap, fmt);
	tap_say(prefix, fmt, ap);
	va_end(ap);
}

__attribute__((noreturn)) static inline void tap_skip_all(const char *reason)
{
	printf("1..0 # SKIP %s\n", reason);
	fflush(stdout);
	exit(77);
}

static inline int tap_done(void)
{
	printf("1..%d\n", tap_count);
	if (tap_failures)
		printf("# %d of %d failed, seed %llu\n", tap_failures,
		       tap_count, (unsigned long long)tap_seed);
	fflush(stdout);
	return tap_failures ? 1 : 0;
}

static inline void tap_write(const char *text)
{
	ssize_t n = write(STDOUT_FILENO, text, strlen(text));

	(void)n;
}

static inline void tap_timeout(int sig)
{
	(void)sig;
	tap_write("not ok - timeout: the test did not end in time\n");
	_exit(1);
}

static inline uint64_t tap_env(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* A forked child inherits no alarm: it sets its own. */
static inline void tap_alarm(unsigned int seconds)
{
	signal(SIGALRM, tap_timeout);
	alarm(seconds * tap_env("TRACT_TEST_SLOWNESS", 1));
}

/*
 * The seed is the first argument, or TRACT_TEST_SEED, or 1: a run is repeatable
 * unless asked to vary ("random" takes the clock).
 */
static inline void tap_start(int argc, char **argv, unsigned int seconds)
{
	const char *seed = argc > 1 ? argv[1] : getenv("TRACT_TEST_SEED");
	struct timespec now;

	setvbuf(stdout, tap_buffer, _IOLBF, sizeof(tap_buffer));
	tap_alarm(seconds);
	tap_seed = seed ? strtoull(seed, NULL, 0) : 1;
	if (seed && !strcmp(seed, "random")) {
		clock_gettime(CLOCK_REALTIME, &now);
		tap_seed = now.tv_nsec ^ now.tv_sec;
	}
	tap_note("seed %llu", (unsigned long long)tap_seed);
}

/* Some promises are tract's alone; other allocators skip their lines. */
static inline bool tap_is_tract(void)
{
	return dlsym(RTLD_DEFAULT, "tract_version") ||
	       dlsym(RTLD_DEFAULT, "tract_heap_stats");
}

/* Is it tract, with memory from the module? */
static inline bool tap_is_module(void)
{
	const char *(*backend)(void);

	free(malloc(1));
	*(void **)&backend = dlsym(RTLD_DEFAULT, "tract_backend");
	return backend && !strcmp(backend(), "module");
}

static inline uint64_t tap_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static inline uint64_t tap_random(uint64_t *state)
{
	return tap_mix((*state)++);
}

/* A size from 1 to @max, every magnitude as likely as the next. */
static inline size_t tap_random_size(uint64_t *state, size_t max)
{
	unsigned int bits = 64 - __builtin_clzll(max);
	size_t limit = (size_t)1 << (tap_random(state) % bits + 1);

	if (limit > max)
		limit = max;
	return tap_random(state) % limit + 1;
}

/* Resident KiB without what is only mapped from files. */
static inline long tap_rss(void)
{
	return process_status("\nRssAnon:");
}

#endif /* TESTS_TAP_H */
