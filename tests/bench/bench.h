/* SPDX-License-Identifier: MIT */
/*
 * What every benchmark program shares: options, a random sequence, memory
 * figures and the result line.
 *
 * A program computes a checksum over the contents of the blocks it was given;
 * for a seed and the same arguments it is the same under every allocator, or
 * one of them is broken.
 *
 *   --json     one JSON line on stdout, instead of the readable one
 *   --seed=N   1 unless given
 *   --settle   a second of light activity before the final RSS is taken; its
 *              time is not counted
 *   --verbose  progress on stderr
 */
#ifndef TESTS_BENCH_H
#define TESTS_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

static const char *bench_name;
static uint64_t bench_seed = 1;
static bool bench_json, bench_settle, bench_verbose;
static double bench_wall, bench_cpu;

static inline uint64_t bench_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

/* Cheap, so that the allocator is what is measured. */
static inline uint64_t bench_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return x * 0x2545f4914f6cdd1d >> 16;
}

static inline uint64_t bench_stream(uint64_t number)
{
	return bench_mix(bench_seed * 1000003 + number) | 1;
}

static inline double bench_cpu_now(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

/* KiB. */
static inline long bench_rss(void)
{
	return process_status("\nVmRSS:");
}

/* Not ru_maxrss: that of the program which called exec() counts there too. */
static inline long bench_peak_rss(void)
{
	return process_status("\nVmHWM:");
}

static inline void bench_die(const char *why)
{
	fprintf(stderr, "%s: %s\n", bench_name, why);
	exit(1);
}

static inline void *bench_need(void *p)
{
	if (!p)
		bench_die("no memory");
	return p;
}

/* Takes the options out of argv; @options gets those that are not common. */
static inline void bench_start(const char *name, int *argc, char **argv,
			       bool (*option)(const char *))
{
	int from, to = 1;

	bench_name = name;
	for (from = 1; from < *argc; from++) {
		const char *word = argv[from];

		if (!strcmp(word, "--json"))
			bench_json = true;
		else if (!strcmp(word, "--settle"))
			bench_settle = true;
		else if (!strcmp(word, "--verbose"))
			bench_verbose = true;
		else if (!strncmp(word, "--seed=", 7))
			bench_seed = strtoull(word + 7, NULL, 0);
		else if (strncmp(word, "--", 2))
			argv[to++] = argv[from];
		else if (!option || !option(word))
			bench_die("an option is unknown");
	}
	*argc = to;
	bench_wall = process_now();
	bench_cpu = bench_cpu_now();
}

/* The numbered argument, or what it is by default. */
static inline unsigned long bench_arg(int argc, char **argv, int n,
				      unsigned long otherwise)
{
	return argc > n ? strtoul(argv[n], NULL, 0) : otherwise;
}

/* Ends the program's measurement; @ops is what was done, each malloc one. */
static inline int bench_end(uint64_t ops, uint64_t checksum)
{
	double wall = process_now() - bench_wall;
	double cpu = bench_cpu_now() - bench_cpu;
	long peak = bench_peak_rss();
	int i;

	for (i = 0; bench_settle && i < 10; i++) {
		process_sleep(0.1);
		free(malloc(100));
	}
	if (bench_json)
		printf("{\"name\": \"%s\", \"wall\": %.6f, \"cpu\": %.6f, "
		       "\"ops\": %llu, \"peak_rss\": %ld, \"final_rss\": %ld, "
		       "\"vmas\": %ld, \"checksum\": \"%016llx\"}\n",
		       bench_name, wall, cpu, (unsigned long long)ops, peak,
		       bench_rss(), process_vmas(),
		       (unsigned long long)checksum);
	else
		printf("%s: %.3f s, CPU %.3f s, %llu operations, %.2f M/CPU s, "
		       "peak RSS %ld KiB, final %ld, %ld VMAs, checksum "
		       "%016llx\n",
		       bench_name, wall, cpu, (unsigned long long)ops,
		       ops / cpu / 1e6, peak, bench_rss(), process_vmas(),
		       (unsigned long long)checksum);
	return 0;
}

#endif /* TESTS_BENCH_H */
