/* SPDX-License-Identifier: MIT */
/*
 * When and how offered memory goes back to the system, where that is for this
 * process to do: everywhere on plain Linux; with the module only while a child
 * shares the pages, in a child itself, and when the program asks.
 */
#ifndef TRACT_PURGE_H
#define TRACT_PURGE_H

#include "common.h"

struct region;

extern bool tract__purge_awake;

/* Units of which more are not kept; and whether there are, in some region. */
extern size_t tract__purge_limit;
extern bool tract__purge_hurry;

/*
 * Is there anything that tract__purge_tick() may have to purge, now or later?
 * Never while the module does it all.
 */
static inline bool purge_needs_tick(void)
{
	return read_once(&tract__purge_awake);
}

/*
 * Purges what is due at @now (ms): memory offered for decay_ms, or half as long
 * if ticks are frequent; and what is more than the program is likely to want
 * back.  True while there is something that will be due.  Cheap when nothing
 * is.  No lock held.
 */
bool tract__purge_tick(uint32_t now);

/*
 * The program has grown by @units: as many go of those that it has and does not
 * use, at the next tick.  The arena is locked.
 */
void tract__purge_owe(size_t units);

/* Purges all that is offered; true if there was any.  No lock held. */
bool tract__purge_all(void);

/* Purges what is offered of [@first, @first + @units) of a region.  No lock held. */
void tract__purge_range(struct region *region, size_t first, size_t units);

/* Before all other locks. */
void tract__purge_fork_prepare(void);
void tract__purge_fork_parent(void);
void tract__purge_fork_child(void);

#endif
