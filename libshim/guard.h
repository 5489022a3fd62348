/* SPDX-License-Identifier: MIT */
/*
 * The guard of a large block in hardened mode: the page behind its last faults
 * when touched.  The header of the block says what guard it has.
 *
 * A guard must be gone before its page is anybody else's.  In a reservation of the
 * module it is a state of the page.  Else it is a marker in the page table where the
 * kernel and the mapping allow it (Linux 6.13; not where memory is locked), and if
 * not, a page without access, which splits the map: of these there are at most
 * GUARDS_MAPPED_MAX, two mappings each, and blocks beyond go without.
 *
 * In a forked child blocks that lie in its parent's reservations get no guards, as
 * the kernel would not merge those mappings again.  A guard inherited there cannot be
 * taken away: another page is mapped in its place, one of those that split the map.
 */
#ifndef TRACT_GUARD_H
#define TRACT_GUARD_H

#include "span.h"

#define GUARDS_MAPPED_MAX 4096

/* In span.state of a large block. */
enum guard_state {
	GUARD_NONE,
	GUARD_TRAPPED,
	GUARD_MARKER,
	GUARD_MAPPED,
};

/* Sets the guard of @span, which has none, if one can be had. */
void tract__guard_set(struct span *span);

/* @span has no guard any more; false: it cannot be taken away. */
bool tract__guard_clear(struct span *span);

#endif
