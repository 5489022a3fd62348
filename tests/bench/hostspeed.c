// SPDX-License-Identifier: MIT
/*
 * Says how fast the machine was meanwhile, and how far its processors were from each
 * other.  A virtual one gets the half of a core for seconds at a time when its
 * neighbours want the other half, and its processors are now beside each other and now
 * at two ends of a chip; a program that ran then is not slower than one that did not.
 *
 * On every processor that it may use a thread does the same few microseconds of
 * arithmetic each 10 ms.  It has as many independent operations as a core can
 * begin at once and touches no memory, so that it feels a shared core and not
 * what the program beside it does to the caches.  CPU time counts: waiting for
 * that program does not.
 *
 * Before that the first and the second, the third and the fourth .. pass a cache line
 * to and fro, if both are there in time.  As root they are, whatever runs: the threads
 * go before the program's.
 *
 * For each line read it writes one of JSON, and forgets: an object of the
 * processors' numbers, each with its samples since the last line, and of these
 * when (seconds of CLOCK_MONOTONIC), how long, and how long it took the line to go and
 * come (nanoseconds; 0: they did not meet).  Ends with its input.
 */
#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "process.h"

#define PERIOD_NS 10000000ull
/* Some 16 us alone on a core of the year 2023: a fifth of a percent of it. */
#define STEPS 30000
/* Ten minutes without a question; what comes later is not kept. */
#define SAMPLES 65536

/* How long one waits for the other, and how often the line goes and comes. */
#define WAIT_NS 30000
#define TRIPS 16

/* Two processors.  All that is written in a period is larger than in those before. */
struct pair {
	_Alignas(128) _Atomic uint64_t arrived[2]; /* in which period */
	_Alignas(128) _Atomic uint64_t line;
};

struct processor {
	int number;
	struct pair *pair; /* NULL: it is alone */
	int side;
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	unsigned int count;
	struct {
		double at;
		uint32_t took;
		uint32_t trip;
	} sample[SAMPLES];
};

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static void work(void)
{
	uint64_t a = 1, b = 2, c = 3, d = 4;
	int i;

	for (i = 0; i < STEPS; i++) {
		a += a << 3;
		b ^= b >> 5;
		c += c << 7;
		d ^= d << 1;
		__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
	}
}

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

/* False: it has not come to be @value in time.  To look at the clock takes as long. */
static bool wait_for(_Atomic uint64_t *word, uint64_t value)
{
	uint64_t end = clock_ns() + WAIT_NS;
	int i;

	do {
		for (i = 0; i < 100; i++)
			if (atomic_load(word) == value)
				return true;
	} while (clock_ns() < end);
	return false;
}

/* To have the line and pass it on, as often as agreed. */
static bool pass(struct pair *pair, int side, uint64_t period)
{
	uint64_t first = period * 2 * TRIPS;
	uint64_t n;

	for (n = first + side; n < first + 2 * TRIPS; n += 2) {
		if (n != first && !wait_for(&pair->line, n))
			return false;
		atomic_store(&pair->line, n + 1);
	}
	return side || wait_for(&pair->line, n);
}

/* Nanoseconds of a trip there and back; 0: the other was late. */
static uint32_t meet(struct processor *p, uint64_t period)
{
	uint64_t start;

	if (!p->pair)
		return 0;
	atomic_store(&p->pair->arrived[p->side], period);
	if (!wait_for(&p->pair->arrived[!p->side], period))
		return 0;
	start = clock_ns();
	if (!pass(p->pair, p->side, period))
		return 0;
	return (clock_ns() - start) / TRIPS;
}

/* The number of the period that begins now, on all processors. */
static uint64_t next_period(void)
{
	uint64_t period = clock_ns() / PERIOD_NS + 1;
	struct timespec at = {
		.tv_sec = period * PERIOD_NS / 1000000000,
		.tv_nsec = period * PERIOD_NS % 1000000000,
	};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL))
		;
	return period;
}

static void *watch(void *arg)
{
	const struct sched_param first = { .sched_priority = 1 };
	struct processor *p = arg;

	/* Who may not has fewer meetings. */
	pthread_setschedparam(pthread_self(), SCHED_FIFO, &first);
	for (;;) {
		uint64_t period = next_period();
		uint32_t trip = meet(p, period);
		double at = process_now();
		uint64_t took = cpu_ns();

		work();
		took = cpu_ns() - took;

		pthread_mutex_lock(&p->lock);
		if (p->count < SAMPLES) {
			p->sample[p->count].at = at;
			p->sample[p->count].trip = trip;
			p->sample[p->count++].took =
				took < UINT32_MAX ? took : UINT32_MAX;
		}
		pthread_mutex_unlock(&p->lock);
	}
	return NULL;
}

static struct processor *start(int number, struct pair *pair, int side)
{
	struct processor *p = calloc(1, sizeof(*p));
	pthread_attr_t attr;
	cpu_set_t only;

	if (!p)
		errx(1, "no memory");
	p->number = number;
	p->pair = pair;
	p->side = side;
	pthread_mutex_init(&p->lock, NULL);
	CPU_ZERO(&only);
	CPU_SET(number, &only);
	pthread_attr_init(&attr);
	pthread_attr_setaffinity_np(&attr, sizeof(only), &only);
	if (pthread_create(&p->thread, &attr, watch, p))
		errx(1, "no thread for processor %d", number);
	pthread_attr_destroy(&attr);
	return p;
}

static void tell(struct processor *p)
{
	unsigned int i;

	pthread_mutex_lock(&p->lock);
	printf("\"%d\": [", p->number);
	for (i = 0; i < p->count; i++)
		printf("%s[%.6f, %u, %u]", i ? ", " : "", p->sample[i].at,
		       (unsigned int)p->sample[i].took,
		       (unsigned int)p->sample[i].trip);
	printf("]");
	p->count = 0;
	pthread_mutex_unlock(&p->lock);
}

int main(void)
{
	static struct pair pairs[CPU_SETSIZE / 2];
	struct processor *of[CPU_SETSIZE];
	int number[CPU_SETSIZE];
	int count = 0, i, c;
	cpu_set_t all;

	if (sched_getaffinity(0, sizeof(all), &all))
		err(1, "sched_getaffinity");
	for (i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &all))
			number[count++] = i;
	for (i = 0; i < count; i++)
		of[i] = start(number[i], (i | 1) < count ? &pairs[i / 2] : NULL,
			      i & 1);
	while ((c = getchar()) != EOF) {
		if (c != '\n')
			continue;
		for (i = 0; i < count; i++) {
			printf("%s", i ? ", " : "{");
			tell(of[i]);
		}
		puts("}");
		fflush(stdout);
	}
	return 0;
}
