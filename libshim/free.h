/* SPDX-License-Identifier: MIT */
/* Frees of small blocks that the fast path in malloc.c does not do. */
#ifndef TRACT_FREE_H
#define TRACT_FREE_H

#include "heap.h"

/* @p lies in @span, of kind SMALL, which is not the caller's or is touched. */
void tract__free_small_slow(struct span *span, void *p);

/* @span is the caller's own, and touched. */
void tract__free_touched(struct span *span, void *p);

/* The countdown of @span, owned by the calling thread, has run out. */
void tract__free_event(struct span *span);

/* Is @p the start of an allocated block of the small span @span? */
bool tract__free_would_be_valid(const struct span *span, const void *p);

#endif
