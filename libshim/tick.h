/* SPDX-License-Identifier: MIT */
/*
 * Giving memory back in time, without a thread of our own: see tick.c.
 */
#ifndef TRACT_TICK_H
#define TRACT_TICK_H

#include "heap.h"

/*
 * A chance for memory that is due to go back.  Called from slow paths, with no
 * lock held; threads that stay on their fast paths are led here as well.
 */
void tract__tick(void);

/*
 * The thread of @heap sees to what waits for it, and ticks if time has passed.  How many
 * blocks may it take or free until it comes by again?  No lock held.
 */
uint32_t tract__tick_come_by(struct heap *heap);

#endif
