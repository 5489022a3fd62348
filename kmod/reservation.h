/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACT_RESERVATION_H
#define TRACT_RESERVATION_H

#include <linux/kref.h>
#include <linux/sizes.h>
#include <linux/tract.h>
#include <linux/types.h>

#include "compat.h"
#include "owner.h"

#define TRACT_UNIT_SIZE SZ_64K
#define TRACT_ALIGN_MIN SZ_2M
#define TRACT_ALIGN_MAX SZ_1G
#define TRACT_RESERVE_FLAGS                                                   \
	(TRACT_RESERVE_NODUMP | TRACT_RESERVE_NOHUGE |                        \
	 (TRACT_COMPAT_TRAP ? TRACT_RESERVE_TRAP : 0) | TRACT_RESERVE_NEAR |  \
	 TRACT_RESERVE_EXEC)

/*
 * Lives from RESERVE until its last mapping is gone and the last batch that
 * uses it has ended.  Nothing here points to a VMA; the VMAs of a reservation
 * are those in its inode's i_mmap, and nowhere else.
 */
struct tract_reservation {
	struct kref kref; /* the file's, and one for each batch at work */
	struct rcu_head rcu;
	u64 id;
	/*
	 * owner->mm, here because a lookup under RCU may compare with it after
	 * the owner has been put.
	 */
	const struct mm_struct *mm;
	struct tract_owner *owner;
	struct inode *inode; /* a reference, of its own i_mmap */
	struct task_struct *maker; /* who may map it: the task in RESERVE */
	struct tract_trap *trap; /* of a trapped reservation, else NULL */
	u64 length;
	u64 align;
	u64 near; /* with TRACT_RESERVE_NEAR */
	u64 reach;
	u64 address; /* where it was made; what is there now is not known */
	u32 flags; /* TRACT_RESERVE_* */
	bool takes_mmap_lock; /* for reading, to zap: compat.h */
	struct tract_counters counters;
};

int tract_reservation_reserve(void *arg, void __user *uarg);
struct tract_reservation *tract_reservation_get(u64 id);
struct tract_reservation *tract_reservation_get_next(u64 *id);
void tract_reservation_put(struct tract_reservation *res);
bool tract_reservation_is_mapped(const struct tract_reservation *res);
void tract_reservation_exit(void);

#endif /* TRACT_RESERVATION_H */
