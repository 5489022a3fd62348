/* SPDX-License-Identifier: MIT */
/*
 * Code within reach.  A compiler at run time asks for memory near its own
 * code by hints, and where the kernel has something else at a hint tries
 * another, and another.  Once a caller is seen to do that its misses are answered
 * from an island near its code, as a hint allows.
 */
#ifndef TRACT_VM_NEAR_H
#define TRACT_VM_NEAR_H

#include "common.h"

/*
 * mmap() of ordinary memory with a hint.  Returns an address, or 0 if the call
 * is not of that kind or there is no island: the kernel is to decide.
 */
long tract__near_map(uintptr_t hint, size_t length, int prot, int flags,
		     const void *caller);
/* As munmap(), when all of the range lies in an island; else false. */
bool tract__near_unmap(uintptr_t start, uintptr_t end);

#endif
