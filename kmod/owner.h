/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Owners: the mms that have reservations, their limits and their totals.
 */
#ifndef TRACT_OWNER_H
#define TRACT_OWNER_H

#include <linux/atomic.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mm_types.h>
#include <linux/pid.h>
#include <linux/types.h>

/* Running totals; each is exact, together they are no snapshot. */
struct tract_counters {
	atomic64_t populated_bytes;
	atomic64_t decommitted_bytes;
	atomic64_t operations;
	atomic64_t refused_zaps;
};

struct tract_owner {
	struct kref kref; /* one for each reservation, while it has memory */
	struct hlist_node node; /* in the table while reservations > 0 */
	/*
	 * Grabbed, not used: the structure stays, so that no other process
	 * gets an mm at this address while there is an owner of this name.
	 */
	struct mm_struct *mm;
	struct pid *pid; /* tgid of the last to reserve; owner lock */
	u64 reservations; /* owner lock */
	u64 reserved_bytes; /* owner lock */
	struct tract_counters counters;
};

/* What the table knows of one mm, or of all. */
struct tract_owner_totals {
	u64 reservations;
	u64 reserved_bytes;
	u64 populated_bytes;
	u64 decommitted_bytes;
	u64 operations;
	u64 refused_zaps;
};

/* What was done by some operations of a batch. */
struct tract_owner_work {
	u64 populated_bytes;
	u64 decommitted_bytes;
	u64 operations;
	u64 refused_zaps;
};

u64 tract_owner_reservations_max(void);
u64 tract_owner_bytes_max(void);

struct tract_owner *tract_owner_charge(u64 length);
void tract_owner_uncharge(struct tract_owner *owner, u64 length);
void tract_owner_put(struct tract_owner *owner);
struct pid *tract_owner_pid(struct tract_owner *owner);

void tract_owner_count(struct tract_owner *owner,
		       struct tract_counters *counters,
		       const struct tract_owner_work *work);
void tract_owner_read(struct tract_counters *counters,
		      struct tract_owner_totals *totals);
void tract_owner_totals_mm(const struct mm_struct *mm,
			   struct tract_owner_totals *totals);
void tract_owner_totals_system(struct tract_owner_totals *totals);

#endif /* TRACT_OWNER_H */
