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
 * The states are looked up and the entries made while the fault has its gate
 * (trap.c), so that GUARD and DECOMMIT find them as they find the page itself.
 */
#include <linux/bitmap.h>
#include <linux/cpumask.h>
#include <linux/mm.h>
#include <linux/smp.h>

#include "page_state.h"
#include "trap.h"

/*
 * Of a block of so many, aligned, all are mapped when one is written.  A page
 * written alone, as that of a stack often is, so costs little more for the others,
 * here and when it is dropped.
 */
#define ALONE 4

/* The block is this where one no further away is written, and more may follow. */
#define NEAR 16

/* Pages before and behind that of the fault: in its VMA and its page table. */
struct around {
	struct vm_fault *vmf;
	struct tract_page_state *state;
	long before;
	long after;
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

/* Zero pages are never dirty, and what was written is hardly ever clean. */
static bool is_written(pte_t *pte)
{
	pte_t entry = ptep_get(pte);

	return pte_dirty(entry) && pte_present(entry);
}

/* Of @count entries from @pte on, each @step from the last, are @enough written? */
static bool are_written(pte_t *pte, long step, long count, long enough)
{
	for (; count > 0 && enough; count--, pte += step)
		enough -= is_written(pte);
	return !enough;
}

/*
 * Are pages written further than @near from that of the fault, up to @far, as many
 * as if it were one in NEAR?  On one side: who writes in order has but one.
 */
static bool is_populated(const struct around *around, pte_t *pte, long near,
			 long far)
{
	long enough = (far - near) / NEAR;

	return are_written(pte - near - 1, -1, min(far, around->before) - near,
			   enough) ||
	       are_written(pte + near + 1, 1, min(far, around->after) - near,
			   enough);
}

/*
 * As far as pages are written around that of the fault, all are mapped: what is
 * mapped for nothing then is in proportion to what was written.
 */
static void choose(struct around *around, pte_t *pte)
{
	long page = around->vmf->address >> PAGE_SHIFT;
	long block = ALONE, far = NEAR, reach = 0;

	if (is_populated(around, pte, 0, NEAR)) {
		block = NEAR;
		while (far < PTRS_PER_PTE &&
		       is_populated(around, pte, far, 2 * far)) {
			far *= 2;
			reach = far;
		}
	}
	around->before = min(around->before, max(reach, page % block));
	around->after = min(around->after, max(reach, block - 1 - page % block));
}

/* The lookups take no lock, and so may be made under that of a page table. */
static void mark_kept(const struct around *around, unsigned long *kept)
{
	const struct tract_page_range pages = {
		.first = around->vmf->pgoff - around->before,
		.last = around->vmf->pgoff + around->after,
	};

	bitmap_zero(kept, PTRS_PER_PTE);
	tract_page_state_mark(around->state, TRACT_PAGE_GUARD, &pages, kept);
	tract_page_state_mark(around->state, TRACT_PAGE_UNCOMMITTED, &pages,
			      kept);
	__set_bit(around->before, kept); /* is going to be filled */
}

/* Called with the entry of the fault, under the lock of its page table. */
static int map_zeroes(pte_t *pte, unsigned long address, void *data)
{
	struct around *around = data;
	struct vm_area_struct *vma = around->vmf->vma;
	pte_t zero = pte_mkspecial(pfn_pte(page_to_pfn(ZERO_PAGE(address)),
					   vma->vm_page_prot));
	DECLARE_BITMAP(kept, PTRS_PER_PTE);
	long i, n;

	choose(around, pte);
	mark_kept(around, kept);
	n = around->before + 1 + around->after;
	pte -= around->before;
	address -= around->before * PAGE_SIZE;
	for (i = 0; i < n; i++)
		if (!test_bit(i, kept) && pte_none(ptep_get(pte + i)))
			set_pte_at(vma->vm_mm, address + i * PAGE_SIZE, pte + i,
				   zero);
	return 0;
}

/*
 * The caller has a gate, since before it had @state.  Where there is no page
 * table yet the next fault will find one.  Nothing depends on success.
 */
void tract_trap_map_around(struct vm_fault *vmf,
			   struct tract_page_state *state)
{
	const struct vm_area_struct *vma = vmf->vma;
	unsigned long at = vmf->address;
	unsigned long start = max(at & PMD_MASK, vma->vm_start);
	unsigned long last = min(at | ~PMD_MASK, vma->vm_end - 1);
	struct around around = {
		.vmf = vmf,
		.state = state,
		.before = (at - start) >> PAGE_SHIFT,
		.after = (last - at) >> PAGE_SHIFT,
	};

	if (pmd_none(*vmf->pmd) || !is_flush_local(vma->vm_mm))
		return;
	apply_to_page_range(vma->vm_mm, at, PAGE_SIZE, map_zeroes, &around);
}
