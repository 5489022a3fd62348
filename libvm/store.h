/* SPDX-License-Identifier: MIT */
/*
 * Memory for the preload's own tables: the calls that it stands in for are made
 * by allocators, so it can use none.  Never given back.  The caller serialises.
 */
#ifndef TRACT_VM_STORE_H
#define TRACT_VM_STORE_H

#include "common.h"

/* @size bytes, zero, aligned to 64; NULL without memory.  At most 64 KiB. */
void *tract__store_alloc(size_t size);
/*
 * In a child that was forked in the middle of tract__store_alloc(): what is left
 * cannot be relied on, and is left behind.
 */
void tract__store_restart(void);

#endif
