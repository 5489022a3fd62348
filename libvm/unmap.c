// SPDX-License-Identifier: MIT
/* munmap() and mremap(). */
#include "vm.h"

#include <errno.h>

#include "contents.h"
#include "near.h"
#include "sys.h"

long tract__vm_munmap(void *addr, size_t length)
{
	uintptr_t start = (uintptr_t)addr;
	uintptr_t end = start + align_up(length, PAGE_SIZE);
	struct vm_section section;
	long ret;

	if (!vm_valid(start, length))
		return tract__sys_munmap(addr, length);
	if (tract__near_unmap(start, end))
		return 0;
	if (end > PAGES_END || !tract__pages_any(start, end) ||
	    !tract__vm_enter(&section))
		return tract__sys_munmap(addr, length);
	ret = tract__vm_unmap(start, end);
	tract__vm_exit(&section);
	return ret;
}

int tract__vm_settle_guards(uintptr_t start, uintptr_t end, uint8_t state)
{
	int ret = tract__sys_mprotect((void *)start, end - start, PROT_NONE);

	state = page_change(state, PAGE_MAPPED, PROT_NONE);
	if (!ret)
		ret = tract__vm_unmark(start, end, &state);
	if (!ret)
		tract__pages_set(start, end, state);
	return ret;
}

/* Growth in place, into a hole that happens to be there. */
static bool grow(uintptr_t start, uintptr_t end, uintptr_t new_end)
{
	uint8_t state = tract__pages_get(start);
	uintptr_t low, high;

	if ((state & ~PAGE_TRAPPED) != page_state(PAGE_MAPPED, PROT_RW) ||
	    !tract__holes_find(vm_holes(state), end, &low, &high) ||
	    high < new_end || tract__pages_prepare(end, new_end) ||
	    tract__vm_refresh(end, new_end, state))
		return false;
	tract__holes_remove(end, new_end);
	tract__pages_set(end, new_end, state);
	vm_count(COUNT_REUSED);
	return true;
}

/* By the kernel; afterwards what is known is made to fit. */
static long move(uintptr_t start, uintptr_t end, size_t length, int flags,
		 void *target, uint8_t state)
{
	size_t size = align_up(length, PAGE_SIZE);
	long ret;

	if (tract__pages_prepare(start, end))
		return -ENOMEM;
	ret = tract__sys_mremap((void *)start, end - start, length, flags,
				target);
	if (ret < 0 && ret > -4096)
		return ret;
	if (!(flags & MREMAP_DONTUNMAP))
		tract__vm_forget(start, end);
	if (page_kind(state) == PAGE_MAPPED)
		tract__vm_adopt((uintptr_t)ret, (uintptr_t)ret + size,
				page_prot(state));
	else
		tract__vm_forget((uintptr_t)ret, (uintptr_t)ret + size);
	return ret;
}

/*
 * Trapped memory neither expands nor leaves its reservation: what is in it is
 * copied to memory like any other.
 */
static long copy(uintptr_t start, uintptr_t end, size_t length, int flags,
		 void *target, uint8_t state)
{
	size_t size = align_up(length, PAGE_SIZE);
	size_t kept = size < end - start ? size : end - start;
	int prot = page_prot(state);
	long ret;

	if (!(flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	if (flags & MREMAP_FIXED && (uintptr_t)target < end &&
	    start < (uintptr_t)target + size)
		return -EINVAL;
	if (!(prot & PROT_READ)) {
		ret = tract__sys_mprotect((void *)start, end - start,
					  PROT_READ);
		if (ret)
			return ret;
	}
	ret = tract__sys_mmap(flags & MREMAP_FIXED ? target : NULL, size,
			      PROT_RW,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
				      (flags & MREMAP_FIXED ? MAP_FIXED : 0),
			      -1, 0);
	if (ret < 0 && ret > -4096) {
		if (!(prot & PROT_READ))
			tract__sys_mprotect((void *)start, end - start, prot);
		return ret;
	}
	tract__contents_copy((uintptr_t)ret, start, start + kept);
	if (prot != PROT_RW)
		tract__sys_mprotect((void *)ret, size, prot);
	tract__vm_adopt((uintptr_t)ret, (uintptr_t)ret + size, prot);
	tract__vm_unmap(start, end);
	return ret;
}

static long remap(uintptr_t start, uintptr_t end, size_t length, int flags,
		  void *target)
{
	size_t size = align_up(length, PAGE_SIZE);
	bool placed = flags & (MREMAP_FIXED | MREMAP_DONTUNMAP);
	uint8_t state = tract__pages_get(start);
	uint8_t first;
	long ret;

	if (page_kind(state) == PAGE_HOLE)
		return -EFAULT;
	if (!placed && size <= end - start) {
		/* Is there anything?  The kernel has no more to do. */
		ret = tract__sys_mremap((void *)start, PAGE_SIZE, PAGE_SIZE, 0,
					NULL);
		if (ret == (long)start && size < end - start)
			ret = tract__vm_unmap(start + size, end);
		return ret ? ret : (long)start;
	}
	/* Beyond one mapping mremap() does not go; states tell some of them. */
	if (tract__pages_run(start, end, &first) < end)
		return -EFAULT;
	if (page_kind(state) == PAGE_GUARD) {
		ret = tract__pages_prepare(start, end);
		if (!ret)
			ret = tract__vm_settle_guards(start, end, state);
		if (ret)
			return ret;
		state = tract__pages_get(start);
	}
	if (!placed && grow(start, end, start + size))
		return (long)start;
	if (state & PAGE_TRAPPED && !(flags & MREMAP_DONTUNMAP))
		return copy(start, end, length, flags, target, state);
	return move(start, end, length, flags, target, state);
}

long tract__vm_mremap(void *addr, size_t old_length, size_t length, int flags,
		      void *target)
{
	uintptr_t start = (uintptr_t)addr;
	uintptr_t end = start + align_up(old_length, PAGE_SIZE);
	uintptr_t goal = flags & MREMAP_FIXED ? (uintptr_t)target : start;
	struct vm_section section;
	long ret;

	/* What the kernel would refuse, or knows alone, it is asked. */
	if (!vm_valid(start, old_length) || !vm_valid(goal, length) ||
	    end > PAGES_END ||
	    flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) ||
	    (flags & MREMAP_FIXED && !(flags & MREMAP_MAYMOVE)) ||
	    (!tract__pages_any(start, end) &&
	     !tract__pages_any(goal, goal + align_up(length, PAGE_SIZE))) ||
	    !tract__vm_enter(&section))
		return tract__sys_mremap(addr, old_length, length, flags,
					 target);
	ret = remap(start, end, length, flags, target);
	tract__vm_exit(&section);
	return ret;
}
