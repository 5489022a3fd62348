// SPDX-License-Identifier: MIT
#include "init.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "arena.h"
#include "deferred.h"
#include "heap.h"
#include "lock.h"
#include "options.h"
#include "purge.h"
#include "report.h"
#include "stats.h"

#define STDERR 2

static struct lock init_lock;
static bool begun;
static bool options_read;
static bool initialised; /* nothing is left to do here */

/*
 * Lock order of fork: as everywhere, with the purger first, who takes the
 * arena's lock and the backend's while he works.
 */
static void fork_prepare(void)
{
	tract__purge_fork_prepare();
	tract__heap_fork_prepare();
	tract__arena_fork_prepare();
}

static void fork_parent(void)
{
	tract__arena_fork_parent();
	tract__heap_fork_parent();
	tract__purge_fork_parent();
}

static void fork_child(void)
{
	tract__purge_fork_child();
	tract__arena_fork_child();
	tract__heap_fork_child();
}

static void read_options(void)
{
	struct options options = tract__options;
	char warning[256];

	/* The loader may allocate before the C library knows the environment. */
	if (options_read || !environ)
		return;
	options_read = true;
	/* A set-user-ID program does not take orders from its caller. */
	tract__options_parse(&options, secure_getenv("TRACT_OPTIONS"), warning,
			     sizeof(warning));
	tract__options = options;
	if (warning[0])
		tract__report(STDERR, "%s", warning);
}

void tract__init(void)
{
	bool first;

	if (likely(__atomic_load_n(&initialised, __ATOMIC_ACQUIRE)))
		return;
	lock_acquire(&init_lock);
	first = !begun;
	begun = true;
	read_options();
	if (options_read)
		__atomic_store_n(&initialised, true, __ATOMIC_RELEASE);
	lock_release(&init_lock);
	/* May allocate, so not before the rest is in place, nor locked. */
	if (first)
		pthread_atfork(fork_prepare, fork_parent, fork_child);
}

static __attribute__((constructor(101))) void start(void)
{
	tract__init();
	/* A program may have no environment at all. */
	__atomic_store_n(&initialised, true, __ATOMIC_RELEASE);
	if (tract__options.hardened)
		tract__heap_harden();
}

static __attribute__((destructor(101))) void finish(void)
{
	/* Freed by two threads, it is found out now or never. */
	tract__deferred_check(tract__thread_heap, NULL);
	tract__heap_visit(tract__deferred_check, NULL);
	if (tract__options.stats)
		tract__stats_report(STDERR);
}
