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
 * The calling thread has freed heap->pace blocks into a current span: how many
 * shall it be next time?  Ticks if time has passed.
 */
uint32_t tract__tick_pace(struct heap *heap);

#endif
