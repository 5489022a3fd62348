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

/* What the heap of brk() keeps above it to grow into, as long as that is free. */
#define HEAP_ROOM SZ_1G

/* Addresses from @low to less than @high. */
struct stretch {
	unsigned long low;
	unsigned long high;
};

/* Where ranges of @length at multiples of @align may start and end. */
struct shore {
	struct stretch within;
	struct stretch without;
	unsigned long length;
	unsigned long align;
};

/* Is anything in the way at @start?  A VMA has the gap it keeps below it. */
static bool is_blocked(const struct shore *shore, unsigned long start,
		       struct stretch *by)
{
	unsigned long end = start + shore->length;
	struct vm_area_struct *vma = find_vma(current->mm, start);

	*by = shore->without;
	if (by->low < end && by->high > start)
		return true;
	if (!vma || tract_compat_start_gap(vma) >= end)
		return false;
	by->low = tract_compat_start_gap(vma);
	by->high = vma->vm_end;
	return true;
}

/* The lowest place within @low to @high, or the highest; 0: there is none. */
static unsigned long search(const struct shore *shore, unsigned long low,
			    unsigned long high, bool highest)
{
	while (low < high && high - low >= shore->length) {
		MA_STATE(mas, &current->mm->mm_mt, 0, 0);
		struct stretch by;
		unsigned long start;

		if (highest ?
			    mas_empty_area_rev(&mas, low, high - 1,
					       shore->length) :
			    mas_empty_area(&mas, low, high - 1, shore->length))
			return 0;
		start = highest ?
				(mas.last + 1 - shore->length) & -shore->align :
				tract_range_align_up(mas.index, shore->align);
		if (start < low || start > high - shore->length)
			return 0;
		if (!is_blocked(shore, start, &by))
			return start;
		if (highest)
			high = by.low;
		else
			low = by.high;
	}
	return 0;
}

/*
 * Of the places above and below @near the nearer; if there is neither, one that
 * has @near in it.
 */
static unsigned long search_near(const struct shore *shore, u64 near)
{
	unsigned long low = shore->within.low, high = shore->within.high;
	unsigned long up, down;

	up = search(shore, max_t(u64, low, near), high, false);
	down = search(shore, low, min_t(u64, high, near), true);
	if (up && down)
		return up - near <= near - (down + shore->length) ? up : down;
	if (up || down)
		return up ?: down;
	if (near > shore->length)
		low = max_t(u64, low, near - shore->length);
	return search(shore, low, high, false);
}

/*
 * A free range, every byte of which is at least @near - @reach and less than
 * @near + @reach; or -EADDRNOTAVAIL.  In the room of the heap only if there is
 * no other.
 */
unsigned long tract_island_find(u64 near, u64 reach, unsigned long length,
				unsigned long align)
{
	struct shore shore = {
		.within = {
			.low = max_t(u64, near > reach ? near - reach : 0, LOWEST),
			.high = TASK_SIZE,
		},
		.without = {
			.low = current->mm->brk,
			.high = current->mm->brk + HEAP_ROOM,
		},
		.length = length,
		.align = align,
	};
	unsigned long start;

	mmap_assert_write_locked(current->mm);
	if (near + reach > near)
		shore.within.high = min_t(u64, near + reach, TASK_SIZE);
	shore.within.low = PAGE_ALIGN(shore.within.low);
	shore.within.high &= PAGE_MASK;
	if (shore.within.low >= shore.within.high)
		return -EADDRNOTAVAIL;
	start = search_near(&shore, near);
	if (!start) {
		shore.without.high = 0;
		start = search_near(&shore, near);
	}
	return start ?: -EADDRNOTAVAIL;
}
