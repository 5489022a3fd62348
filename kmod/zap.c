// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dropping pages: the only code of the module that takes memory away.
 *
 * What to zap is found by file offset in the i_mmap of the reservation's own
 * inode.  Whatever else the process has mapped meanwhile, at the reservation's
 * address or elsewhere, is not in that tree and cannot be hit.
 *
 * A zap must never reach another mm.  The VMAs of forked children are in the
 * same tree, so look and zap both happen under one hold of i_mmap_rwsem for
 * reading: dup_mmap() inserts the child's VMA under i_mmap_rwsem for writing
 * before it copies the first page table entry of it (6.1 and 6.12, where it
 * matters).  A fork is therefore either seen by the look, or copies nothing
 * before the zap has ended.
 *
 * (Were there a gap in this, the child would miss contents that its parent had
 * declared disposable before it forked: the owner says so by making the call,
 * and does not use the range until the call returns.  That order is the second
 * line of defence, do not build on it.)
 *
 * The lock also keeps the tree, the bounds of its VMAs and their page tables in
 * place: VMAs change size and leave the tree, and page tables are freed, only
 * after taking it for writing.  Truncation of a file relies on the same.
 */
#include <linux/fs.h>
#include <linux/rbtree.h>
#include <linux/sched/signal.h>

#include "compat.h"
#include "zap.h"

static struct vm_area_struct *vma_of(struct rb_node *node)
{
	return rb_entry(node, struct vm_area_struct, shared.rb);
}

#ifdef TRACT_HAVE_ZAP_VMA_RANGE

/* A child is no obstacle. */
int tract_zap_look_locked(struct tract_reservation *res)
{
	return 0;
}

/* Zaps the owner's VMAs, one by one. */
void tract_zap_drop_locked(struct tract_reservation *res, u64 offset,
			   u64 length)
{
	struct address_space *mapping = res->inode->i_mapping;
	struct rb_node *node;

	lockdep_assert_held_read(&mapping->i_mmap_rwsem);
	/* In the order that truncation has; move_vma() relies on it. */
	for (node = rb_first_cached(&mapping->i_mmap); node;
	     node = rb_next(node)) {
		struct vm_area_struct *vma = vma_of(node);
		u64 first = (u64)vma->vm_pgoff << PAGE_SHIFT;
		u64 start = max(first, offset);
		u64 end = min(first + (vma->vm_end - vma->vm_start),
			      offset + length);

		if (first >= offset + length)
			break;
		if (vma->vm_mm != res->mm || start >= end)
			continue;
		zap_vma_range(vma, vma->vm_start + (start - first),
			      end - start);
	}
}

#else

/* 0 when the tree has no VMA but the owner's, else -EBUSY. */
int tract_zap_look_locked(struct tract_reservation *res)
{
	struct address_space *mapping = res->inode->i_mapping;
	struct rb_node *node;

	lockdep_assert_held_read(&mapping->i_mmap_rwsem);
	for (node = rb_first_cached(&mapping->i_mmap); node;
	     node = rb_next(node))
		if (vma_of(node)->vm_mm != res->mm)
			return -EBUSY;
	return 0;
}

/*
 * unmap_mapping_range() is the zap that modules are given for what maps a file.
 * It takes i_mmap_rwsem for reading itself.  Taking it twice would deadlock as
 * soon as a writer queues in between, so the call gets an address_space of ours:
 * its i_mmap is a copy of the root of the real tree, which does not change while
 * we hold the real lock, and its lock is its own, of a lockdep class of its own,
 * that nobody else takes.
 *
 * unmap_mapping_range(), and unmap_mapping_pages() and
 * unmap_mapping_range_tree() below it, use i_mmap and i_mmap_rwsem of the
 * mapping they are passed and nothing else of it (seen in 6.1 and 6.12).  What is
 * below works on VMAs; of their vm_file it uses the address of the inode for
 * uprobes, and the mapping with its lock for hugetlb only.
 */
void tract_zap_drop_locked(struct tract_reservation *res, u64 offset,
			   u64 length)
{
	struct address_space *mapping = res->inode->i_mapping;
	struct address_space shadow = {};

	lockdep_assert_held_read(&mapping->i_mmap_rwsem);
	init_rwsem(&shadow.i_mmap_rwsem);
	shadow.i_mmap = mapping->i_mmap;
	unmap_mapping_range(&shadow, offset, length, 1);
}

#endif

static int zap_piece(struct tract_reservation *res, u64 offset, u64 length)
{
	int err;

	/* See compat.h; the order of the two locks is that of mmap(). */
	if (res->takes_mmap_lock && mmap_read_lock_killable(current->mm))
		return -EINTR;
	i_mmap_lock_read(res->inode->i_mapping);
	err = tract_zap_look_locked(res);
	if (!err)
		tract_zap_drop_locked(res, offset, length);
	i_mmap_unlock_read(res->inode->i_mapping);
	if (res->takes_mmap_lock)
		mmap_read_unlock(current->mm);
	return err;
}

/*
 * Drop the pages of @range, of which *@done bytes are then done.  The caller
 * runs on the owner's mm.  0, -EBUSY for a forked child, -EINTR for a fatal
 * signal.
 */
int tract_zap_range(struct tract_reservation *res,
		    const struct tract_range *range, u64 *done)
{
	u64 length;
	int err;

	*done = 0;
	while ((length = tract_range_piece(range, *done, TRACT_ZAP_PIECE))) {
		if (fatal_signal_pending(current))
			return -EINTR;
		err = zap_piece(res, range->offset + *done, length);
		if (err)
			return err;
		*done += length;
		cond_resched();
	}
	return 0;
}

/*
 * Begin to purge: zaps for a process that does not call, from a kernel thread
 * or in the middle of somebody's memory allocation.  So it waits for no lock:
 * -EAGAIN when one was not to be had, -EBUSY for a forked child.  Else the look
 * is done and holds until tract_zap_end(): every tract_zap_purge() in between
 * succeeds.
 *
 * The owner may have exited.  Its mm_struct is grabbed, and mmap_lock of one
 * without users can be taken, as the OOM reaper does.  What is in the tree still
 * has its page tables: exit takes a VMA out before it frees them.
 */
int tract_zap_try_begin(struct tract_reservation *res)
{
	struct mm_struct *mm = res->owner->mm;
	int err;

	if (res->takes_mmap_lock && !mmap_read_trylock(mm))
		return -EAGAIN;
	err = -EAGAIN;
	if (!i_mmap_trylock_read(res->inode->i_mapping))
		goto err_mmap;
	err = tract_zap_look_locked(res);
	if (err)
		goto err_i_mmap;
	return 0;

err_i_mmap:
	i_mmap_unlock_read(res->inode->i_mapping);
err_mmap:
	if (res->takes_mmap_lock)
		mmap_read_unlock(mm);
	return err;
}

/* Returns with the pages gone and the TLBs flushed. */
void tract_zap_purge(struct tract_reservation *res, u64 offset, u64 length)
{
	tract_zap_drop_locked(res, offset, length);
}

void tract_zap_end(struct tract_reservation *res)
{
	i_mmap_unlock_read(res->inode->i_mapping);
	if (res->takes_mmap_lock)
		mmap_read_unlock(res->owner->mm);
}
