/* SPDX-License-Identifier: MIT */
/*
 * What pages hold, as /proc/self/pagemap tells: present, or in swap.  (What
 * mincore() tells is another thing: a page in swap is none, and not lost either.)
 */
#ifndef TRACT_VM_CONTENTS_H
#define TRACT_VM_CONTENTS_H

#include "common.h"

/* Has no page of the range any contents?  If it cannot be told: no. */
bool tract__contents_none(uintptr_t start, uintptr_t end);
/* Copies pages that have contents to where there are none yet. */
void tract__contents_copy(uintptr_t target, uintptr_t start, uintptr_t end);

#endif
