// SPDX-License-Identifier: MIT
/* mprotect(). */
#include "vm.h"

#include <errno.h>
#include <sys/single_threaded.h>

#include "contents.h"
#include "sys.h"
#include "trapped.h"

static int call_kernel(uintptr_t start, uintptr_t end, int prot, int key)
{
	void *addr = (void *)start;

	return key == NO_KEY ?
		       tract__sys_mprotect(addr, end - start, prot) :
		       tract__sys_pkey_mprotect(addr, end - start, prot, key);
}

static int protect_kernel(uintptr_t start, uintptr_t end, int prot)
{
	return call_kernel(start, end, prot, NO_KEY);
}

/*
 * PROT_NONE in the middle of what is ours.  The kernel's protection comes
 * first, so that no other thread writes what the marker would wipe; a range
 * that has contents keeps them, and its protection.
 */
static int guard(uintptr_t start, uintptr_t end, uint8_t state)
{
	/* The map of trapped memory does not grow together again. */
	bool alone = __libc_single_threaded || state & PAGE_TRAPPED;
	int ret = alone ? 0 : protect_kernel(start, end, PROT_NONE);
	bool marked;

	if (ret)
		return ret;
	marked = tract__contents_none(start, end) &&
		 !tract__vm_mark(start, end, state);
	if (!marked && alone)
		ret = protect_kernel(start, end, PROT_NONE);
	if (marked && !alone && protect_kernel(start, end, PROT_RW)) {
		tract__vm_unmark(start, end, &state);
		marked = false;
	}
	if (ret)
		return ret;
	tract__pages_set(start, end,
			 marked ? page_change(state, PAGE_GUARD, PROT_RW) :
				  page_change(state, PAGE_MAPPED, PROT_NONE));
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
	state = page_change(state, PAGE_MAPPED, prot);
	if (!ret)
		ret = tract__vm_unmark(start, end, &state);
	if (!ret)
		tract__pages_set(start, end, state);
	return ret;
}

static int protect_run(uintptr_t start, uintptr_t end, uint8_t state, int prot)
{
	enum page_kind kind = page_kind(state);
	int ret;

	if (kind == PAGE_HOLE)
		return -ENOMEM;
	if (kind == PAGE_GUARD)
		return unguard(start, end, state, prot);
	if (kind == PAGE_MAPPED && prot == PROT_NONE &&
	    page_prot(state) == PROT_RW && end - start <= VM_GUARD_MAX &&
	    tract__vm_can_mark(state))
		return guard(start, end, state);
	ret = protect_kernel(start, end, prot);
	if (!ret && state & PAGE_TRAPPED)
		tract__trapped_split();
	if (!ret && kind != PAGE_FOREIGN)
		tract__pages_set(start, end, page_change(state, kind, prot));
	return ret;
}

/*
 * A protection with more to it than we keep: the kernel has all of it, no guard of
 * ours in its way, and pages that nobody else is given.
 */
static int protect_special(uintptr_t start, uintptr_t end, int prot, int key)
{
	uintptr_t at, next;
	uint8_t state;
	int ret = 0;

	for (at = start; !ret && at < end; at = next) {
		next = tract__pages_run(at, end, &state);
		if (page_kind(state) == PAGE_HOLE)
			ret = -ENOMEM;
		else if (page_kind(state) == PAGE_GUARD)
			ret = tract__vm_settle_guards(at, next, state);
	}
	if (!ret)
		ret = call_kernel(start, end, prot, key);
	for (at = start; !ret && at < end; at = next) {
		next = tract__pages_run(at, end, &state);
		if (page_kind(state) == PAGE_FOREIGN)
			continue;
		if (state & PAGE_TRAPPED)
			tract__trapped_split();
		tract__pages_set(at, next,
				 page_change(state, PAGE_MARKED, prot));
	}
	return ret;
}

static int protect_ordinary(uintptr_t start, uintptr_t end, int prot)
{
	uintptr_t next;
	uint8_t state;
	int ret = 0;

	for (; !ret && start < end; start = next) {
		next = tract__pages_run(start, end, &state);
		ret = protect_run(start, next, state, prot);
	}
	return ret;
}

long tract__vm_mprotect(void *addr, size_t length, int prot, int key)
{
	uintptr_t start = (uintptr_t)addr;
	uintptr_t end = start + align_up(length, PAGE_SIZE);
	struct vm_section section;
	int ret;

	if (!vm_valid(start, length) || end > PAGES_END ||
	    !tract__pages_any(start, end) || !tract__vm_enter(&section))
		return call_kernel(start, start + length, prot, key);
	ret = tract__pages_prepare(start, end);
	if (!ret)
		ret = key != NO_KEY || prot & ~(PROT_RW | PROT_EXEC) ?
			      protect_special(start, end, prot, key) :
			      protect_ordinary(start, end, prot);
	tract__vm_exit(&section);
	return ret;
}
