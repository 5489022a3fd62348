/* SPDX-License-Identifier: MIT */
/* When and how free memory goes back to the system. */
#ifndef TRACT_PURGE_H
#define TRACT_PURGE_H

#include "common.h"

/*
 * Purges what is due at @now (ms): dirty runs older than decay_ms, and what is
 * more than the program is likely to want back.  True while there is something
 * that will be due.  Cheap when nothing is.  No lock held.
 */
bool tract__purge_tick(uint32_t now);

/* Purges all dirty runs; true if there was any.  No lock held. */
bool tract__purge_all(void);

/* Before all other locks. */
void tract__purge_fork_prepare(void);
void tract__purge_fork_parent(void);
void tract__purge_fork_child(void);

#endif
