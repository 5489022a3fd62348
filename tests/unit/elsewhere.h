/* SPDX-License-Identifier: MIT */
/* What tests of threads have in common: a call in another thread, and what it may do. */
#ifndef TRACT_TEST_ELSEWHERE_H
#define TRACT_TEST_ELSEWHERE_H

#include <check.h>
#include <pthread.h>

#include "malloc.h"
#include "pagemap.h"
#include "stats.h"

/* @run(@arg) in a thread that ends with it. */
static inline void *elsewhere(void *(*run)(void *), void *arg)
{
	pthread_t thread;
	void *result;

	ck_assert(!pthread_create(&thread, NULL, run, arg));
	ck_assert(!pthread_join(thread, &result));
	return result;
}

static inline void *free_it(void *p)
{
	tract__free(p);
	return NULL;
}

/* Blocks up to NULL. */
static inline void *free_all(void *arg)
{
	void **p = arg;

	for (; *p; p++)
		tract__free(*p);
	return NULL;
}

/* Live blocks of the class of @p. */
static inline size_t live_of(const void *p)
{
	struct tract_class_stats classes[STATS_CLASSES];

	tract__stats_get_classes(classes);
	return classes[pagemap_find(p)->class].live_blocks;
}

static inline void *live_there(void *p)
{
	return (void *)live_of(p);
}

#endif
