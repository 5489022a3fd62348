/* SPDX-License-Identifier: MIT */
/*
 * Bringing the library up, which the first allocation of the process does,
 * however early, and taking it through fork() and exit.
 */
#ifndef TRACT_INIT_H
#define TRACT_INIT_H

/* Once; cheap afterwards.  Allocates nothing. */
void tract__init(void);

#endif
