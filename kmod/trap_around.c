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
 * As far as this, from a multiple of this.  With twice as many pages dense
 * writing is cheaper by 3 %, but dropping a page written alone dearer by 7 %.
 */
#define WINDOW (8 * PAGE_SIZE)

struct around {
	struct mm_struct *mm;
	unsigned long fault; /* the address that is left to the kernel */
	pte_t zero;
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
	start = max(ALIGN_DOWN(at, WINDOW), vma->vm_start);
	end = min(ALIGN_DOWN(at, WINDOW) + WINDOW, vma->vm_end);
	return (struct tract_page_range){
		.first = vmf->pgoff - ((at - start) >> PAGE_SHIFT),
		.last = vmf->pgoff + ((end - at) >> PAGE_SHIFT) - 1,
	};
}

static int map_zero(pte_t *pte, unsigned long address, void *data)
{
	const struct around *around = data;

	if (address != around->fault && pte_none(ptep_get(pte)))
		set_pte_at(around->mm, address, pte, around->zero);
	return 0;
}

/*
 * The caller has a gate, and @pages are committed.  Where there is no page table
 * yet the next fault will find one.  Nothing depends on success.
 */
void tract_trap_map_around(struct vm_fault *vmf,
			   const struct tract_page_range *pages)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long pfn = page_to_pfn(ZERO_PAGE(vmf->address));
	struct around around = {
		.mm = vma->vm_mm,
		.fault = vmf->address,
		.zero = pte_mkspecial(pfn_pte(pfn, vma->vm_page_prot)),
	};

	if (pages->first == pages->last || pmd_none(*vmf->pmd))
		return;
	apply_to_page_range(vma->vm_mm,
			    vmf->address - ((vmf->pgoff - pages->first)
					    << PAGE_SHIFT),
			    (pages->last - pages->first + 1) << PAGE_SHIFT,
			    map_zero, &around);
}
