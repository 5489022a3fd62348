// SPDX-License-Identifier: GPL-2.0-only
/*
 * Islands: the free range of the address space that is nearest to an address.
 *
 * Runs as a part of mmap(), under mmap_lock for writing, and so has no race with
 * other mappings: what is found is taken before anybody else can look.  Each
 * search steps over at least one VMA at a time and ends.
 */
#include <linux/maple_tree.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sizes.h>

#include "compat.h"
#include "island.h"
#include "range.h"

/* vm.mmap_min_addr is not for modules to see; this is what it mostly is. */
#define LOWEST SZ_64K

/* Where ranges of @length at multiples of @align may start and end. */
struct shore {
	unsigned long low;
	unsigned long high;
	unsigned long length;
	unsigned long align;
};

/* The VMA that is in the way of a range, the gap it keeps below it included. */
static struct vm_area_struct *obstacle(unsigned long start, unsigned long end)
{
	struct vm_area_struct *vma = find_vma(current->mm, start);

	return vma && tract_compat_start_gap(vma) < end ? vma : NULL;
}

/* The lowest place within @shore, or 0. */
static unsigned long search_up(struct shore shore)
{
	struct vm_area_struct *vma;

	while (shore.low < shore.high &&
	       shore.high - shore.low >= shore.length) {
		MA_STATE(mas, &current->mm->mm_mt, 0, 0);
		unsigned long start;

		if (mas_empty_area(&mas, shore.low, shore.high - 1,
				   shore.length))
			return 0;
		start = tract_range_align_up(mas.index, shore.align);
		if (start > shore.high - shore.length)
			return 0;
		vma = obstacle(start, start + shore.length);
		if (!vma)
			return start;
		shore.low = vma->vm_end;
	}
	return 0;
}

/* The highest place within @shore, or 0. */
static unsigned long search_down(struct shore shore)
{
	struct vm_area_struct *vma;

	while (shore.low < shore.high &&
	       shore.high - shore.low >= shore.length) {
		MA_STATE(mas, &current->mm->mm_mt, 0, 0);
		unsigned long start;

		if (mas_empty_area_rev(&mas, shore.low, shore.high - 1,
				       shore.length))
			return 0;
		start = (mas.last + 1 - shore.length) & -shore.align;
		if (start < shore.low)
			return 0;
		vma = obstacle(start, start + shore.length);
		if (!vma)
			return start;
		shore.high = tract_compat_start_gap(vma);
	}
	return 0;
}

/*
 * Of the places above and below @near the nearer; if there is neither, one that
 * has @near in it.
 */
static unsigned long search(const struct shore *shore, u64 near)
{
	struct shore above = *shore, below = *shore, across = *shore;
	unsigned long up, down;

	above.low = max_t(u64, shore->low, near);
	below.high = min_t(u64, shore->high, near);
	up = search_up(above);
	down = search_down(below);
	if (up && down)
		return up - near <= near - (down + shore->length) ? up : down;
	if (up || down)
		return up ?: down;
	if (near > shore->length)
		across.low = max_t(u64, shore->low, near - shore->length);
	return search_up(across);
}

/*
 * A free range, every byte of which is at least @near - @reach and less than
 * @near + @reach; or -EADDRNOTAVAIL.
 */
unsigned long tract_island_find(u64 near, u64 reach, unsigned long length,
				unsigned long align)
{
	struct shore shore = {
		.low = max_t(u64, near > reach ? near - reach : 0, LOWEST),
		.high = TASK_SIZE,
		.length = length,
		.align = align,
	};
	unsigned long start;

	mmap_assert_write_locked(current->mm);
	if (near + reach > near)
		shore.high = min_t(u64, near + reach, TASK_SIZE);
	shore.low = PAGE_ALIGN(shore.low);
	shore.high &= PAGE_MASK;
	if (shore.low >= shore.high)
		return -EADDRNOTAVAIL;
	start = search(&shore, near);
	return start ?: -EADDRNOTAVAIL;
}
