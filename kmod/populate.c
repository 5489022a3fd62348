// SPDX-License-Identifier: GPL-2.0-only
/*
 * Work that needs an address in the owner's map: faulting pages in, and the
 * first and last steps of RESERVE.
 *
 * An address alone proves nothing, for the owner may unmap and map what it
 * likes.  Each step looks the VMA up under mmap_lock, checks that it maps this
 * reservation at this offset, and is done before it lets go of the lock.
 */
#include <linux/fs.h>
#include <linux/mman.h>
#include <linux/sched/signal.h>

#include "compat.h"
#include "populate.h"
#include "zap.h"

/* Bytes faulted in under one hold of mmap_lock. */
#define POPULATE_PIECE SZ_2M

/* The VMA that maps @offset of @res where it was made, or NULL. */
static struct vm_area_struct *find_vma_of(struct tract_reservation *res,
					  u64 offset)
{
	unsigned long address = res->address + offset;
	struct vm_area_struct *vma;

	lockdep_assert_held_read(&current->mm->mmap_lock);
	vma = vma_lookup(current->mm, address);
	if (!vma || !vma->vm_file || file_inode(vma->vm_file) != res->inode)
		return NULL;
	if (vma->vm_pgoff + ((address - vma->vm_start) >> PAGE_SHIFT) !=
	    offset >> PAGE_SHIFT)
		return NULL;
	return vma;
}

/* Returns the number of bytes, less than @length if there the VMA ends. */
static long populate_locked(struct tract_reservation *res, u64 offset,
			    u64 length)
{
	struct vm_area_struct *vma = find_vma_of(res, offset);
	unsigned long start = res->address + offset;
	long pages;

	if (!vma)
		return -ENOENT;
	length = min_t(u64, length, vma->vm_end - start);
	pages = tract_compat_fault_in(start, length >> PAGE_SHIFT);
	if (pages > 0)
		return pages << PAGE_SHIFT;
	if (pages == -ENOMEM)
		return -ENOMEM;
	if (fatal_signal_pending(current))
		return -EINTR;
	return -EFAULT;
}

/*
 * Fault @range in for writing, of which *@done bytes are then done.  The caller
 * runs on the owner's mm.  0, -ENOENT, -ENOMEM, -EFAULT, or -EINTR for a fatal
 * signal.
 */
int tract_populate_range(struct tract_reservation *res,
			 const struct tract_range *range, u64 *done)
{
	u64 length;
	long bytes;

	*done = 0;
	while ((length = tract_range_piece(range, *done, POPULATE_PIECE))) {
		if (fatal_signal_pending(current) ||
		    mmap_read_lock_killable(current->mm))
			return -EINTR;
		bytes = populate_locked(res, range->offset + *done, length);
		mmap_read_unlock(current->mm);
		if (bytes < 0)
			return bytes;
		*done += bytes;
		cond_resched();
	}
	return 0;
}

/*
 * Tie the VMA to its file offsets for good.  mremap() gives an anonymous VMA
 * that it moves before the first fault a new vm_pgoff, made of the new address
 * (copy_vma()), file or not; DECOMMIT would then miss it, or take it for
 * another part of the reservation.  With an anon_vma, which the first write
 * fault attaches and each split inherits, vm_pgoff stays.  The page itself is
 * dropped again.
 *
 * That of a trapped reservation has vm_ops, and keeps vm_pgoff by that.
 */
int tract_populate_anchor(struct tract_reservation *res)
{
	struct tract_range first = { 0, min_t(u64, res->length, PMD_SIZE) };
	struct vm_area_struct *vma;
	long bytes = 0;
	u64 done;

	if (res->trap)
		return 0;
	if (mmap_read_lock_killable(current->mm))
		return -EINTR;
	vma = find_vma_of(res, 0);
	/* mlockall(MCL_FUTURE) has populated it, and wants it to stay. */
	if (vma && !vma->anon_vma)
		bytes = populate_locked(res, 0, PAGE_SIZE);
	mmap_read_unlock(current->mm);
	if (bytes == -ENOMEM || bytes == -EINTR)
		return bytes;
	/*
	 * Anything else than success means that another thread has got at the
	 * mapping already, by guessing; it is its own to break.
	 */
	if (bytes > 0 && tract_zap_range(res, &first, &done) == -EINTR)
		return -EINTR;
	return 0;
}

/*
 * Unmap what RESERVE has just mapped, unless another thread has already
 * unmapped or replaced it.  (If one does so between look and vm_munmap(), which
 * takes the lock itself, it loses what it put there: it would have had to guess
 * an address that its process was never told.)
 */
void tract_populate_undo(struct tract_reservation *res)
{
	struct vm_area_struct *vma;
	bool ours;

	/* Fails in a task that is being killed, and whose map goes anyway. */
	if (mmap_read_lock_killable(current->mm))
		return;
	vma = find_vma_of(res, 0);
	ours = vma && vma->vm_end - vma->vm_start == res->length;
	mmap_read_unlock(current->mm);
	if (ours)
		vm_munmap(res->address, res->length);
}
