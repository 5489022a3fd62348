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
	atomic64_t offered_units;
	atomic64_t reused_units;
	atomic64_t purged_age_bytes;
	atomic64_t purged_pressure_bytes;
	atomic64_t sweeps;
	atomic64_t sweep_ns;
	atomic64_t skipped_sweeps;
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
	u64 purge_map_bytes; /* owner lock */
	atomic_long_t states; /* ranges of page states, children's aside */
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
	u64 offered_units;
	u64 reused_units;
	u64 purged_age_bytes;
	u64 purged_pressure_bytes;
	u64 sweeps;
	u64 sweep_ns;
	u64 skipped_sweeps;
};

/* What was done by some operations of a batch, or steps of a purge. */
struct tract_owner_work {
	u64 populated_bytes;
	u64 decommitted_bytes;
	u64 operations;
	u64 refused_zaps;
	u64 offered_units;
	u64 reused_units;
	u64 purged_age_bytes;
	u64 purged_pressure_bytes;
	u64 sweeps;
	u64 sweep_ns;
	u64 skipped_sweeps;
};

u64 tract_owner_reservations_max(void);
u64 tract_owner_bytes_max(void);
u64 tract_owner_purge_map_bytes_max(void);

struct tract_owner *tract_owner_charge(u64 length);
void tract_owner_uncharge(struct tract_owner *owner, u64 length);
int tract_owner_charge_map(struct tract_owner *owner, u64 length);
void tract_owner_uncharge_map(struct tract_owner *owner, u64 length);
void tract_owner_put(struct tract_owner *owner);
int tract_owner_charge_states(struct tract_owner *owner, long ranges);
void tract_owner_uncharge_states(struct tract_owner *owner, long ranges);
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
