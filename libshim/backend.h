/* SPDX-License-Identifier: MIT */
/*
 * Where address space comes from and how memory goes back: the module, or plain
 * Linux where there is none.
 *
 * Decommit is advice.  If the module refuses (a forked child shares the pages,
 * a filter forbids the ioctl, the descriptor is gone and cannot be had again)
 * the range goes by madvise(); if that fails too, the range keeps its contents
 * and the caller is told.
 */
#ifndef TRACT_BACKEND_H
#define TRACT_BACKEND_H

#include "common.h"

struct reservation {
	char *base;
	size_t length;
	uint64_t id;	     /* the module's name for it; 0: plain */
	uint32_t generation; /* of the process, see backend.c */
};

struct decommit {
	const struct reservation *reservation;
	size_t offset;
	size_t length;
	bool done; /* out: the range reads as zero */
};

/* Most ranges in one call of tract__backend_decommit(). */
#define DECOMMIT_BATCH 64

/* There may be huge pages. */
#define RESERVE_HUGE 1u
/*
 * Guards are to split nothing: where the module has trapped reservations it is one
 * of these, and has no huge pages.
 */
#define RESERVE_TRAPPED 2u

/*
 * Reserves @length bytes, a multiple of 2 MiB, aligned to 2 MiB, in one VMA, all
 * zero; @flags are those above.  -ENOMEM.
 */
int tract__backend_reserve(struct reservation *r, size_t length,
			   unsigned int flags);
/*
 * Maps @length bytes, a multiple of the page size, read-write, every one within
 * @reach of @near, in the nearest place that is free.  The address, or
 * -EADDRNOTAVAIL when there is no such place, -ENOMEM.
 */
long tract__backend_map_near(uintptr_t near, size_t reach, size_t length);
/* Gives a reservation back, all of it. */
void tract__backend_release(struct reservation *r);
/*
 * The ranges remain usable, those of trapped reservations too.  Stops at the first
 * that can be decommitted in no way.
 */
void tract__backend_decommit(struct decommit *ranges, unsigned int count);

/*
 * Is it plain, or was it made by this process, not by one that it was forked from?
 */
bool tract__backend_is_owned(const struct reservation *r);
/*
 * Sets guards: a touch of the ranges faults from then on.  Stops at the first
 * that cannot be set: -ENOMEM where it takes mappings and the map is full.
 */
int tract__backend_guard(struct decommit *ranges, unsigned int count);
/*
 * Sets a guard in a trapped reservation of this process, or takes one away.  False,
 * and all is as it was, where it is none or the module refuses.
 */
bool tract__backend_trap(const struct reservation *r, size_t offset,
			 size_t length);
bool tract__backend_untrap(const struct reservation *r, size_t offset,
			   size_t length);

/*
 * Has the module keep the purge map of a reservation: @length bytes from @map
 * on, a header page and the states of its units, with @decay as in the options.
 * A negative errno: it does not, and the map is for the process to drive.
 */
int tract__backend_bind(const struct reservation *r, void *map, size_t length,
			int decay);
/* It lets go of the map. */
int tract__backend_unbind(const struct reservation *r);

/*
 * A word that is another in each process that descends from this by fork(), by
 * clone() without our handler as well: 0 there until somebody has looked.  NULL
 * where there is no such thing, or not yet; then no map is ever bound.
 */
extern uint32_t *tract__backend_canary;

/* Is this another process than the one in which the word was @process? */
static inline bool backend_is_forked(uint32_t process)
{
	return tract__backend_canary &&
	       read_once(tract__backend_canary) != process;
}

/* The word in this process, never 0; 0 where there is none. */
uint32_t tract__backend_process(void);

/* "module", "plain", or "none" before the first reservation. */
const char *tract__backend_name(void);

void tract__backend_fork_prepare(void);
void tract__backend_fork_parent(void);
void tract__backend_fork_child(void);

#endif
