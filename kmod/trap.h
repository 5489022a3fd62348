/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trapped reservations: page faults pass through the module, which looks the
 * state of the page up.
 */
#ifndef TRACT_TRAP_H
#define TRACT_TRAP_H

#include <linux/bits.h>
#include <linux/mutex.h>
#include <linux/tract.h>

#include "range.h"
#include "reservation.h"

struct tract_page_state;

/* The operations that only a trapped reservation has. */
#define TRACT_TRAP_OPS                                                        \
	(BIT_ULL(TRACT_OP_COMMIT) | BIT_ULL(TRACT_OP_GUARD) |                 \
	 BIT_ULL(TRACT_OP_UNGUARD) | BIT_ULL(TRACT_OP_NODUMP) |               \
	 BIT_ULL(TRACT_OP_DODUMP))

struct tract_trap {
	/*
	 * Held to change states and to take part in a version of them.  Inside
	 * mmap_lock (fork, core dump), outside i_mmap_rwsem.
	 */
	struct mutex lock;
	/*
	 * The owner's.  Written under the lock, read by faults of the owner
	 * while they have a gate (trap.c).
	 */
	struct tract_page_state *state;
};

/* Does @op drop pages as it changes their state? */
static inline bool tract_trap_drops(u32 op)
{
	return op == TRACT_OP_DECOMMIT || op == TRACT_OP_GUARD;
}

int tract_trap_init(void);
void tract_trap_exit(void);

int tract_trap_create(struct tract_reservation *res);
void tract_trap_destroy(struct tract_reservation *res);
void tract_trap_map(struct vm_area_struct *vma);
void tract_trap_wait_faults(void);
struct tract_page_state *tract_trap_state(struct vm_area_struct *vma);

void tract_trap_map_around(struct vm_fault *vmf,
			   struct tract_page_state *state);

int tract_trap_change(struct tract_reservation *res, u32 op,
		      const struct tract_range *range, u64 *done);

void tract_trap_dump(struct vm_area_struct *vma);

#endif /* TRACT_TRAP_H */
