/* SPDX-License-Identifier: MIT */
/*
 * The ranges that the program has unmapped and the preload has kept: a treap by
 * address in which each node knows the longest below it, so that the lowest
 * range that is long enough is found in O(log n).  The caller serialises.
 */
#ifndef TRACT_VM_HOLES_H
#define TRACT_VM_HOLES_H

#include "common.h"

/* Holes of unlike memory are kept apart. */
enum holes {
	HOLES_PLAIN,
	HOLES_TRAPPED,
	HOLES_KINDS
};

/* Adds a range, merged with its neighbours.  Without memory it is forgotten. */
void tract__holes_insert(enum holes kind, uintptr_t start, uintptr_t end);
/* Takes out all that lies between @start and @end, of every kind. */
void tract__holes_remove(uintptr_t start, uintptr_t end);
/* Takes @length bytes, from the lowest range that has them; 0: none has. */
uintptr_t tract__holes_take(enum holes kind, size_t length);
/* Takes the lowest range, all of it.  Is there one? */
bool tract__holes_take_first(enum holes kind, uintptr_t *start, uintptr_t *end);
/* The range that has @addr in it.  Is there one? */
bool tract__holes_find(enum holes kind, uintptr_t addr, uintptr_t *start,
		       uintptr_t *end);
/* Forgets all. */
void tract__holes_clear(void);

#endif
