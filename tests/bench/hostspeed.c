// SPDX-License-Identifier: MIT
/*
 * Says how fast the machine was meanwhile: a virtual one gets the half of a
 * core for seconds at a time when its neighbours want the other half, and a
 * program that ran then is not slower than one that did not.
 *
 * On every processor that it may use a thread does the same few microseconds of
 * arithmetic each 10 ms.  It has as many independent operations as a core can
 * begin at once and touches no memory, so that it feels a shared core and not
 * what the program beside it does to the caches.  CPU time counts: waiting for
 * that program does not.
 *
 * For each line read it writes one of JSON, and forgets: an object of the
 * processors' numbers, each with its samples since the last line, and of these
 * when (seconds of CLOCK_MONOTONIC) and how long (nanoseconds).  Ends with its
 * input.
 */
#include <err.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "process.h"

#define PERIOD 0.01
/* Some 16 us alone on a core of the year 2023: a fifth of a percent of it. */
#define STEPS 30000
/* Ten minutes without a question; what comes later is not kept. */
#define SAMPLES 65536

struct processor {
	int number;
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	unsigned int count;
	struct {
		double at;
		uint32_t took;
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

static void *watch(void *arg)
{
	struct processor *p = arg;

	for (;;) {
		double at;
		uint64_t took;

		process_sleep(PERIOD);
		at = process_now();
		took = cpu_ns();
		work();
		took = cpu_ns() - took;

		pthread_mutex_lock(&p->lock);
		if (p->count < SAMPLES) {
			p->sample[p->count].at = at;
			p->sample[p->count++].took =
				took < UINT32_MAX ? took : UINT32_MAX;
		}
		pthread_mutex_unlock(&p->lock);
	}
	return NULL;
}

static struct processor *start(int number)
{
	struct processor *p = calloc(1, sizeof(*p));
	pthread_attr_t attr;
	cpu_set_t only;

	if (!p)
		errx(1, "no memory");
	p->number = number;
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
		printf("%s[%.6f, %u]", i ? ", " : "", p->sample[i].at,
		       (unsigned int)p->sample[i].took);
	printf("]");
	p->count = 0;
	pthread_mutex_unlock(&p->lock);
}

int main(void)
{
	struct processor *of[CPU_SETSIZE];
	int count = 0, i, c;
	cpu_set_t all;

	if (sched_getaffinity(0, sizeof(all), &all))
		err(1, "sched_getaffinity");
	for (i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &all))
			of[count++] = start(i);
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
