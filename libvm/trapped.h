/* SPDX-License-Identifier: MIT */
/*
 * Trapped reservations of the module, from which mappings are carved: there each
 * page has states that no map knows of, so nothing ever splits.
 *
 * Only their owner has operations on them.  In a forked child, and wherever the
 * device cannot be had any more, these fail, and the caller goes by the map.
 */
#ifndef TRACT_VM_TRAPPED_H
#define TRACT_VM_TRAPPED_H

#include "common.h"

/*
 * Reserves room for at least @length bytes more, as a hole; in the lock.
 * False: there is no module, or no more to be had.
 */
bool tract__trapped_add(size_t length);

/*
 * Carries out up to TRAPPED_OPS operations (enum tract_op_code), in order, on
 * a range of trapped pages.  0, or the errno of the first that failed; those
 * after it are carried out all the same.
 */
#define TRAPPED_OPS 4
int tract__trapped_ops(uintptr_t start, uintptr_t end, const uint32_t *ops,
		       unsigned int count);

/*
 * Does the range still map its reservation?  The operations cannot tell, as they
 * go by offset: they would leave what the program has put there past us.
 * Before Linux 6.11, and where there are thousands of mappings, the answer is yes.
 */
bool tract__trapped_is_there(uintptr_t start, uintptr_t end);

/*
 * The map was split within a reservation, for good: kernels do not join what
 * may not expand.  Who does that often is better off without; in the lock.
 */
void tract__trapped_split(void);

/* One operation. */
static inline int trapped_op(uintptr_t start, uintptr_t end, uint32_t op)
{
	return tract__trapped_ops(start, end, &op, 1);
}

#endif
