/* SPDX-License-Identifier: MIT */
/*
 * What the kernel says is mapped somewhere, whoever mapped it.
 */
#ifndef TRACT_VM_MAPPING_H
#define TRACT_VM_MAPPING_H

#include "common.h"

/*
 * The inode behind the mapping that has @addr in it, 0 if there is no file, and
 * where the mapping ends.  -ENOENT: nothing is mapped there; -E2BIG: it would
 * take too long to find out; other errors: it cannot be known.
 */
int tract__mapping_at(uintptr_t addr, uint64_t *inode, uintptr_t *end);

#endif
