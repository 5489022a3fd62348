// SPDX-License-Identifier: GPL-2.0-only
/*
 * Core dumps of trapped reservations.
 *
 * A dump walks every page of a VMA, asks ->fault() for those that are not there,
 * and writes those that are.  The task that dumps will never run the program
 * again, nor will the other threads of its group, which wait for it on their way
 * out.  So if nobody else uses the mm, pages that are to stay out of the dump
 * may be dropped, and ->fault() may go: what is not there is a hole.
 */
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "compat.h"
#include "page_state.h"
#include "trap.h"

/*
 * Does nobody use the mm but the threads of this process?  Another process may,
 * after vfork() or clone(CLONE_VM), and is not stopped by our death; so may, for
 * a moment, readers of /proc.  A thread that has let go of the mm does not
 * count, though it is still a thread.
 */
static bool is_alone(const struct mm_struct *mm)
{
	struct task_struct *thread;
	int users = 0;

	rcu_read_lock();
	for_each_thread(current, thread)
		if (READ_ONCE(thread->mm) == mm)
			users++;
	rcu_read_unlock();
	return atomic_read(&mm->mm_users) == users;
}

/* The next nodump pages of @vma from @from on. */
static bool next_nodump(struct vm_area_struct *vma, unsigned long from,
			struct tract_page_range *pages)
{
	unsigned long end = vma->vm_pgoff + vma_pages(vma);

	if (!tract_page_state_next(tract_trap_state(vma), TRACT_PAGE_NODUMP,
				   from, pages) ||
	    pages->first >= end)
		return false;
	pages->first = max(pages->first, vma->vm_pgoff);
	pages->last = min(pages->last, end - 1);
	return true;
}

static void drop_nodump(struct vm_area_struct *vma)
{
	struct tract_page_range pages;
	unsigned long at = vma->vm_pgoff, start;

	while (at < vma->vm_pgoff + vma_pages(vma) &&
	       next_nodump(vma, at, &pages)) {
		start = vma->vm_start +
			((pages.first - vma->vm_pgoff) << PAGE_SHIFT);
		tract_compat_zap_dead_vma(vma, start,
					  (pages.last - pages.first + 1)
						  << PAGE_SHIFT);
		at = pages.last + 1;
		cond_resched();
	}
}

static void dump_close(struct vm_area_struct *vma)
{
	if (vma->vm_private_data)
		tract_page_state_put(vma->vm_private_data);
}

/* Faults end with SIGBUS, if anybody is left to make one. */
static const struct vm_operations_struct dump_vm_ops = {
	.close = dump_close,
};

/*
 * Called by the dumping task, under mmap_lock for writing.  Operations of other
 * threads are over: they have come to the end of their system calls.
 */
void tract_trap_dump(struct vm_area_struct *vma)
{
	struct tract_page_range pages;

	mmap_assert_write_locked(vma->vm_mm);
	if (is_alone(vma->vm_mm)) {
		drop_nodump(vma);
		vma->vm_ops = &dump_vm_ops;
	} else if (next_nodump(vma, vma->vm_pgoff, &pages)) {
		/* Somebody needs these pages.  Rather none than these. */
		tract_compat_vm_flags_set(vma, VM_DONTDUMP);
	}
}
