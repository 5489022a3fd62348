// SPDX-License-Identifier: MIT
/* mprotect(). */
#include "vm.h"

#include <errno.h>
#include <sys/single_threaded.h>

#include "sys.h"

/*
 * Has no page of the range any contents?  Not what mincore() tells: a page in
 * swap is none, and not lost either.
 */
static bool is_empty(uintptr_t start, uintptr_t end)
{
	int fd = tract__sys_open("/proc/self/pagemap");
	uint64_t entries[64];
	bool empty = fd >= 0;

	while (empty && start < end) {
		size_t count = (end - start) / PAGE_SIZE;
		size_t size;

		if (count > ARRAY_SIZE(entries))
			count = ARRAY_SIZE(entries);
		size = count * sizeof(*entries);
		empty = tract__sys_pread(fd, entries, size,
					 (off_t)(start / PAGE_SIZE *
						 sizeof(*entries))) ==
			(long)size;
		/* Bits 63 and 62: present, swapped. */
		for (size_t i = 0; i < count; i++)
			if (entries[i] >> 62)
				empty = false;
		start += count * PAGE_SIZE;
	}
	if (fd >= 0)
		tract__sys_close(fd);
	return empty;
}

static int protect_kernel(uintptr_t start, uintptr_t end, int prot)
{
	return tract__sys_mprotect((void *)start, end - start, prot);
}

/*
 * PROT_NONE in the middle of what is ours.  The kernel's protection comes
 * first, so that no other thread writes what the marker would wipe; a range
 * that has contents keeps them, and its protection.
 */
static int guard(uintptr_t start, uintptr_t end)
{
	bool alone = __libc_single_threaded;
	int ret = alone ? 0 : protect_kernel(start, end, PROT_NONE);
	bool marked;

	if (ret)
		return ret;
	marked = is_empty(start, end) &&
		 !tract__sys_madvise((void *)start, end - start,
				     MADV_GUARD_INSTALL);
	if (!marked && alone)
		ret = protect_kernel(start, end, PROT_NONE);
	if (marked && !alone && protect_kernel(start, end, PROT_RW)) {
		tract__sys_madvise((void *)start, end - start,
				   MADV_GUARD_REMOVE);
		marked = false;
	}
	if (ret)
		return ret;
	tract__pages_set(start, end,
			 marked ? page_state(PAGE_GUARD, PROT_RW) :
				  page_state(PAGE_MAPPED, PROT_NONE));
	if (marked)
		vm_count(COUNT_GUARDS);
	return 0;
}

/* The marker goes last: until then nobody sees a protection half changed. */
static int unguard(uintptr_t start, uintptr_t end, uint8_t state, int prot)
{
	int ret = 0;

	if (prot == PROT_NONE)
		return 0;
	if (prot != page_prot(state))
		ret = protect_kernel(start, end, prot);
	if (!ret)
		ret = tract__sys_madvise((void *)start, end - start,
					 MADV_GUARD_REMOVE);
	if (!ret)
		tract__pages_set(start, end, page_state(PAGE_MAPPED, prot));
	return ret;
}

static int protect_run(uintptr_t start, uintptr_t end, uint8_t state, int prot)
{
	int ret;

	switch (page_kind(state)) {
	case PAGE_HOLE:
		return -ENOMEM;
	case PAGE_GUARD:
		return unguard(start, end, state, prot);
	case PAGE_MAPPED:
		if (prot == PROT_NONE && page_prot(state) == PROT_RW &&
		    end - start <= VM_GUARD_MAX && tract__vm_has_guards())
			return guard(start, end);
		ret = protect_kernel(start, end, prot);
		if (!ret)
			tract__pages_set(start, end,
					 page_state(PAGE_MAPPED, prot));
		return ret;
	default:
		return protect_kernel(start, end, prot);
	}
}

long tract__vm_mprotect(void *addr, size_t length, int prot)
{
	uintptr_t start = (uintptr_t)addr;
	uintptr_t end = start + align_up(length, PAGE_SIZE);
	struct vm_section section;
	uint8_t state;
	uintptr_t next;
	long ret;

	if (!vm_valid(start, length) || end > PAGES_END ||
	    prot & ~(PROT_RW | PROT_EXEC) || !tract__pages_any(start, end) ||
	    !tract__vm_enter(&section))
		return tract__sys_mprotect(addr, length, prot);
	ret = tract__pages_prepare(start, end);
	for (; !ret && start < end; start = next) {
		next = tract__pages_run(start, end, &state);
		ret = protect_run(start, next, state, prot);
	}
	tract__vm_exit(&section);
	return ret;
}
