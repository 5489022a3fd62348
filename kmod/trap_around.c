// SPDX-License-Identifier: GPL-2.0-only
/*
 * Zero pages around a page that is written.
 *
 * A page that is not there is written at the price of one that is cleared (with
 * init_on_alloc) and then copied over.  Where the zero page is mapped, a write
 * costs a page cleared: the kernel knows that there is nothing to copy.  So who
 * writes to a page has the zero page mapped around it, as if the neighbours had
 * been read.  It is no memory, is not counted, and is a hole in a core dump.
 *
 * The entries are made while the fault has its gate (trap.c), so that GUARD and
 * DECOMMIT find them as they find the page itself.
 */
#include <linux/cpumask.h>
#include <linux/mm.h>
#include <linux/smp.h>

#include "page_state.h"
#include "trap.h"

/*
 * How far: to multiples of this many pages, and where a page beside those has
 * been written to multiples of more.  A page written alone, as that of a stack
 * often is, so costs little more for its neighbours, here and when it is dropped.
 */
#define FEW 4
#define MANY 16

struct around {
	struct vm_fault *vmf;
	struct tract_page_range pages; /* that may be there */
	unsigned long zero_pfn;
};

/*
 * Writing to a page of zeroes flushes it from the TLBs of the processors that
 * run the process.  To interrupt another one costs more than a copy saves.
 * (With one thread the others of the mask are idle, or will leave it soon.)
 */
static bool is_flush_local(struct mm_struct *mm)
{
	return atomic_read(&mm->mm_users) == 1 ||
	       cpumask_any_but(mm_cpumask(mm), raw_smp_processor_id()) >=
		       nr_cpu_ids;
}

/*
 * The pages of the reservation, that of the fault among them, which are to be
 * there after it as far as their states allow.
 */
struct tract_page_range tract_trap_window(const struct vm_fault *vmf)
{
	const struct vm_area_struct *vma = vmf->vma;
	unsigned long at = vmf->address, start, end;

	if (!(vmf->flags & FAULT_FLAG_WRITE) || !is_flush_local(vma->vm_mm))
		return (struct tract_page_range){ vmf->pgoff, vmf->pgoff };
	start = max(ALIGN_DOWN(at, MANY * PAGE_SIZE), vma->vm_start);
	end = min(ALIGN_DOWN(at, MANY * PAGE_SIZE) + MANY * PAGE_SIZE,
		  vma->vm_end);
	return (struct tract_page_range){
		.first = vmf->pgoff - ((at - start) >> PAGE_SHIFT),
		.last = vmf->pgoff + ((end - at) >> PAGE_SHIFT) - 1,
	};
}

/* Is there memory at this entry? */
static bool is_written(const struct around *around, pte_t *pte)
{
	pte_t entry = ptep_get(pte);

	return !pte_none(entry) &&
	       !(pte_present(entry) && pte_pfn(entry) == around->zero_pfn);
}

/*
 * Is the page before @before others written, or that behind @after others?  It
 * may be another VMA's, and where the page table ends there is no telling.
 */
static bool is_dense(const struct around *around, pte_t *pte, long before,
		     long after)
{
	unsigned long first = around->vmf->address - before * PAGE_SIZE;
	unsigned long behind = around->vmf->address + (after + 1) * PAGE_SIZE;

	return (first & ~PMD_MASK && is_written(around, pte - before - 1)) ||
	       (behind & ~PMD_MASK && is_written(around, pte + after + 1));
}

/* Called with the entry of the fault, under the lock of its page table. */
static int map_zeroes(pte_t *pte, unsigned long address, void *data)
{
	const struct around *around = data;
	struct vm_area_struct *vma = around->vmf->vma;
	pte_t zero = pte_mkspecial(pfn_pte(around->zero_pfn,
					   vma->vm_page_prot));
	long page = address >> PAGE_SHIFT;
	long before = page % FEW, after = FEW - 1 - before, i;

	if (is_dense(around, pte, before, after)) {
		before = page % MANY;
		after = MANY - 1 - before;
	}
	before = min_t(long, before, around->vmf->pgoff - around->pages.first);
	after = min_t(long, after, around->pages.last - around->vmf->pgoff);
	for (i = -before; i <= after; i++)
		if (i && pte_none(ptep_get(pte + i)))
			set_pte_at(vma->vm_mm, address + i * PAGE_SIZE, pte + i,
				   zero);
	return 0;
}

/*
 * The caller has a gate, and @pages are committed.  Where there is no page table
 * yet the next fault will find one.  Nothing depends on success.
 */
void tract_trap_map_around(struct vm_fault *vmf,
			   const struct tract_page_range *pages)
{
	struct around around = {
		.vmf = vmf,
		.pages = *pages,
		.zero_pfn = page_to_pfn(ZERO_PAGE(vmf->address)),
	};

	if (pages->first == pages->last || pmd_none(*vmf->pmd))
		return;
	apply_to_page_range(vmf->vma->vm_mm, vmf->address, PAGE_SIZE, map_zeroes,
			    &around);
}
