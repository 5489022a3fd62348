// SPDX-License-Identifier: GPL-2.0-only
/*
 * Operations that change the states of pages.
 *
 * They take no mmap_lock and no VMA.  Those that drop pages too do all of it
 * under one hold of i_mmap_rwsem, as zap.c does: look for children, change,
 * wait for faults (trap.c), zap.
 */
#include <linux/fs.h>
#include <linux/sched/signal.h>

#include "page_state.h"
#include "trap.h"
#include "zap.h"

/* What an operation does to a page's state; DISCARD does nothing to it. */
static bool change_of(u32 op, struct tract_page_change *change)
{
	switch (op) {
	case TRACT_OP_DECOMMIT:
	case TRACT_OP_COMMIT:
		change->bit = TRACT_PAGE_UNCOMMITTED;
		change->set = op == TRACT_OP_DECOMMIT;
		return true;
	case TRACT_OP_GUARD:
	case TRACT_OP_UNGUARD:
		change->bit = TRACT_PAGE_GUARD;
		change->set = op == TRACT_OP_GUARD;
		return true;
	case TRACT_OP_NODUMP:
	case TRACT_OP_DODUMP:
		change->bit = TRACT_PAGE_NODUMP;
		change->set = op == TRACT_OP_NODUMP;
		return true;
	default:
		return false;
	}
}

/*
 * Have a version of the states that no child refers to.  Children only ever let
 * go of a version while the lock is held here, so it stays unshared.
 */
static int unshare(struct tract_trap *trap)
{
	struct tract_page_state *old = trap->state, *fresh;

	lockdep_assert_held(&trap->lock);
	if (!tract_page_state_is_shared(old))
		return 0;
	fresh = tract_page_state_copy(old);
	if (!fresh)
		return -ENOMEM;
	/* Pairs with tract_trap_state(). */
	smp_store_release(&trap->state, fresh);
	/* Faults of the owner may be reading the old one. */
	tract_trap_wait_faults();
	tract_page_state_put(old);
	return 0;
}

/* Change one bit of some pages, within what the owner may have of ranges. */
static int apply(struct tract_reservation *res,
		 struct tract_page_change *change, gfp_t gfp)
{
	struct tract_page_state *state = res->trap->state;
	int err;

	lockdep_assert_held(&res->trap->lock);
	tract_page_state_plan(state, change);
	err = tract_owner_charge_states(res->owner, change->ranges);
	if (err)
		return err;
	err = tract_page_state_apply(state, change, gfp);
	if (err)
		tract_owner_uncharge_states(res->owner, change->ranges);
	return err;
}

static int change_and_drop(struct tract_reservation *res,
			   struct tract_page_change *change, u64 offset,
			   u64 length)
{
	int err;

	i_mmap_lock_read(res->inode->i_mapping);
	err = tract_zap_look_locked(res);
	/*
	 * Reclaim may take i_mmap_rwsem, though never that of this inode, of
	 * which there are no pages; GFP_NOFS is what lockdep wants to hear.
	 */
	if (!err)
		err = apply(res, change, GFP_NOFS | __GFP_ACCOUNT);
	if (!err) {
		tract_trap_wait_faults();
		tract_zap_drop_locked(res, offset, length);
	}
	i_mmap_unlock_read(res->inode->i_mapping);
	return err;
}

/* A piece of an operation, as one: 0 or nothing was done. */
static int change_piece(struct tract_reservation *res, u32 op, u64 offset,
			u64 length)
{
	struct tract_page_change change = {
		.pages = { offset >> PAGE_SHIFT,
			   ((offset + length) >> PAGE_SHIFT) - 1 },
	};
	int err;

	change_of(op, &change);
	if (mutex_lock_killable(&res->trap->lock))
		return -EINTR;
	err = unshare(res->trap);
	if (!err && tract_trap_drops(op))
		err = change_and_drop(res, &change, offset, length);
	else if (!err)
		err = apply(res, &change, GFP_KERNEL_ACCOUNT);
	mutex_unlock(&res->trap->lock);
	return err;
}

/*
 * Carry out @op, which changes states, on @range, of which *@done bytes are then
 * done.  0, -EBUSY for a forked child, -ENOMEM, -ENOSPC, or -EINTR for a fatal
 * signal.
 */
int tract_trap_change(struct tract_reservation *res, u32 op,
		      const struct tract_range *range, u64 *done)
{
	u64 length, piece = tract_trap_drops(op) ? TRACT_ZAP_PIECE : U64_MAX;
	int err;

	*done = 0;
	while ((length = tract_range_piece(range, *done, piece))) {
		if (fatal_signal_pending(current))
			return -EINTR;
		err = change_piece(res, op, range->offset + *done, length);
		if (err)
			return err;
		*done += length;
		cond_resched();
	}
	return 0;
}
