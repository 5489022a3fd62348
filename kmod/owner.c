// SPDX-License-Identifier: GPL-2.0-only
#include <linux/hashtable.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "owner.h"

static unsigned int reservations_max = 1024;
module_param(reservations_max, uint, 0644);
MODULE_PARM_DESC(reservations_max,
		 "reservations a process may have at a time (default 1024)");

static unsigned long bytes_max = 64UL << 40;
module_param(bytes_max, ulong, 0644);
MODULE_PARM_DESC(bytes_max,
		 "bytes a process may have reserved at a time (default 64 TiB)");

static unsigned long states_max = 1UL << 20;
module_param(states_max, ulong, 0644);
MODULE_PARM_DESC(states_max,
		 "ranges of page states a process may have in its trapped reservations (default 1048576)");

/*
 * Not RLIMIT_MEMLOCK: to charge that, account_locked_vm() takes mmap_lock for
 * writing, and it would eat what the program itself may lock.  The default is
 * what most systems set RLIMIT_MEMLOCK to, and like that it is for a process.
 */
static unsigned long purge_map_bytes_max = SZ_8M;
module_param(purge_map_bytes_max, ulong, 0644);
MODULE_PARM_DESC(purge_map_bytes_max,
		 "bytes of purge maps a process may have bound at a time (default 8 MiB)");

/*
 * Taken to make and unmake reservations and to read totals, never by an
 * operation of a batch: those reach their owner through the reservation.
 */
static DEFINE_SPINLOCK(tract_owner_lock);
static DEFINE_HASHTABLE(tract_owners, 8); /* tract_owner_lock */
static u64 tract_system_reservations; /* tract_owner_lock */
static u64 tract_system_bytes; /* tract_owner_lock */
static struct tract_counters tract_system_counters;

u64 tract_owner_reservations_max(void)
{
	return READ_ONCE(reservations_max);
}

u64 tract_owner_bytes_max(void)
{
	return READ_ONCE(bytes_max);
}

u64 tract_owner_purge_map_bytes_max(void)
{
	return READ_ONCE(purge_map_bytes_max);
}

static struct tract_owner *find_locked(const struct mm_struct *mm)
{
	struct tract_owner *owner;

	lockdep_assert_held(&tract_owner_lock);
	hash_for_each_possible(tract_owners, owner, node, (unsigned long)mm)
		if (owner->mm == mm)
			return owner;
	return NULL;
}

static int charge_locked(struct tract_owner *owner, u64 length)
{
	u64 most = tract_owner_bytes_max();

	lockdep_assert_held(&tract_owner_lock);
	if (owner->reservations >= tract_owner_reservations_max())
		return -ENOSPC;
	if (length > most || owner->reserved_bytes > most - length)
		return -ENOSPC;
	owner->reservations++;
	owner->reserved_bytes += length;
	tract_system_reservations++;
	tract_system_bytes += length;
	return 0;
}

/*
 * Count one more reservation of @length bytes of the calling process, if the
 * limits allow it.  Returns the owner with a reference for the reservation.
 */
struct tract_owner *tract_owner_charge(u64 length)
{
	struct tract_owner *owner, *fresh;
	struct pid *stale = NULL;
	int err;

	/* Made beforehand in case it is the first, for there we hold a lock. */
	fresh = kzalloc(sizeof(*fresh), GFP_KERNEL_ACCOUNT);
	if (!fresh)
		return ERR_PTR(-ENOMEM);
	kref_init(&fresh->kref);
	fresh->mm = current->mm;
	fresh->pid = get_pid(task_tgid(current));

	spin_lock(&tract_owner_lock);
	owner = find_locked(current->mm);
	err = charge_locked(owner ?: fresh, length);
	if (!err && owner) {
		kref_get(&owner->kref);
		/*
		 * Processes can share an mm, as after vfork().  The last to
		 * reserve stands for all of them.
		 */
		if (owner->pid != fresh->pid) {
			stale = owner->pid;
			owner->pid = get_pid(fresh->pid);
		}
	} else if (!err) {
		owner = fresh;
		fresh = NULL;
		mmgrab(owner->mm);
		hash_add(tract_owners, &owner->node, (unsigned long)owner->mm);
	}
	spin_unlock(&tract_owner_lock);

	put_pid(stale);
	if (fresh) {
		put_pid(fresh->pid);
		kfree(fresh);
	}
	return err ? ERR_PTR(err) : owner;
}

/* The reservation is gone, but keeps its reference until it is freed. */
void tract_owner_uncharge(struct tract_owner *owner, u64 length)
{
	spin_lock(&tract_owner_lock);
	tract_system_reservations--;
	tract_system_bytes -= length;
	owner->reserved_bytes -= length;
	if (!--owner->reservations)
		hash_del(&owner->node);
	spin_unlock(&tract_owner_lock);
}

/* The caller has a reservation of @owner.  0 or -ENOSPC. */
int tract_owner_charge_map(struct tract_owner *owner, u64 length)
{
	u64 most = tract_owner_purge_map_bytes_max();
	int err = 0;

	spin_lock(&tract_owner_lock);
	if (length > most || owner->purge_map_bytes > most - length)
		err = -ENOSPC;
	else
		owner->purge_map_bytes += length;
	spin_unlock(&tract_owner_lock);
	return err;
}

void tract_owner_uncharge_map(struct tract_owner *owner, u64 length)
{
	spin_lock(&tract_owner_lock);
	owner->purge_map_bytes -= length;
	spin_unlock(&tract_owner_lock);
}

/* The owner's reservations get @ranges more, or, below 0, fewer. */
int tract_owner_charge_states(struct tract_owner *owner, long ranges)
{
	long sum = atomic_long_add_return(ranges, &owner->states);

	if (ranges <= 0 || (unsigned long)sum <= READ_ONCE(states_max))
		return 0;
	atomic_long_sub(ranges, &owner->states);
	return -ENOSPC;
}

void tract_owner_uncharge_states(struct tract_owner *owner, long ranges)
{
	atomic_long_sub(ranges, &owner->states);
}

static void owner_free(struct kref *kref)
{
	struct tract_owner *owner =
		container_of(kref, struct tract_owner, kref);

	put_pid(owner->pid);
	mmdrop(owner->mm);
	kfree(owner);
}

void tract_owner_put(struct tract_owner *owner)
{
	kref_put(&owner->kref, owner_free);
}

/* The caller has a reservation of @owner, and puts the pid. */
struct pid *tract_owner_pid(struct tract_owner *owner)
{
	struct pid *pid;

	spin_lock(&tract_owner_lock);
	pid = get_pid(owner->pid);
	spin_unlock(&tract_owner_lock);
	return pid;
}

static void add_purge(struct tract_counters *counters,
		      const struct tract_owner_work *work)
{
	if (work->offered_units)
		atomic64_add(work->offered_units, &counters->offered_units);
	if (work->reused_units)
		atomic64_add(work->reused_units, &counters->reused_units);
	if (work->purged_age_bytes)
		atomic64_add(work->purged_age_bytes,
			     &counters->purged_age_bytes);
	if (work->purged_pressure_bytes)
		atomic64_add(work->purged_pressure_bytes,
			     &counters->purged_pressure_bytes);
	if (work->sweeps)
		atomic64_add(work->sweeps, &counters->sweeps);
	if (work->sweep_ns)
		atomic64_add(work->sweep_ns, &counters->sweep_ns);
	if (work->skipped_sweeps)
		atomic64_add(work->skipped_sweeps, &counters->skipped_sweeps);
}

static void add(struct tract_counters *counters,
		const struct tract_owner_work *work)
{
	if (work->populated_bytes)
		atomic64_add(work->populated_bytes, &counters->populated_bytes);
	if (work->decommitted_bytes)
		atomic64_add(work->decommitted_bytes,
			     &counters->decommitted_bytes);
	if (work->operations)
		atomic64_add(work->operations, &counters->operations);
	if (work->refused_zaps)
		atomic64_add(work->refused_zaps, &counters->refused_zaps);
	add_purge(counters, work);
}

/* Add to the reservation's @counters, its owner's, and the system's. */
void tract_owner_count(struct tract_owner *owner,
		       struct tract_counters *counters,
		       const struct tract_owner_work *work)
{
	add(counters, work);
	add(&owner->counters, work);
	add(&tract_system_counters, work);
}

void tract_owner_read(struct tract_counters *counters,
		      struct tract_owner_totals *totals)
{
	totals->populated_bytes = atomic64_read(&counters->populated_bytes);
	totals->decommitted_bytes = atomic64_read(&counters->decommitted_bytes);
	totals->operations = atomic64_read(&counters->operations);
	totals->refused_zaps = atomic64_read(&counters->refused_zaps);
	totals->offered_units = atomic64_read(&counters->offered_units);
	totals->reused_units = atomic64_read(&counters->reused_units);
	totals->purged_age_bytes = atomic64_read(&counters->purged_age_bytes);
	totals->purged_pressure_bytes =
		atomic64_read(&counters->purged_pressure_bytes);
	totals->sweeps = atomic64_read(&counters->sweeps);
	totals->sweep_ns = atomic64_read(&counters->sweep_ns);
	totals->skipped_sweeps = atomic64_read(&counters->skipped_sweeps);
}

/* All zero for an mm without reservations. */
void tract_owner_totals_mm(const struct mm_struct *mm,
			   struct tract_owner_totals *totals)
{
	struct tract_owner *owner;

	memset(totals, 0, sizeof(*totals));
	spin_lock(&tract_owner_lock);
	owner = find_locked(mm);
	if (owner) {
		totals->reservations = owner->reservations;
		totals->reserved_bytes = owner->reserved_bytes;
		tract_owner_read(&owner->counters, totals);
	}
	spin_unlock(&tract_owner_lock);
}

void tract_owner_totals_system(struct tract_owner_totals *totals)
{
	spin_lock(&tract_owner_lock);
	totals->reservations = tract_system_reservations;
	totals->reserved_bytes = tract_system_bytes;
	spin_unlock(&tract_owner_lock);
	tract_owner_read(&tract_system_counters, totals);
}
