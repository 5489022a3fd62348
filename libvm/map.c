// SPDX-License-Identifier: MIT
/* mmap(). */
#include "vm.h"

#include <errno.h>

#include "near.h"
#include "sys.h"
#include "trapped.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define MAP_PLACED (MAP_FIXED | MAP_FIXED_NOREPLACE)
/* Larger ones have a mapping of their own, whose edges they may trim. */
#define TRAPPED_MAX ((size_t)1 << 30)

#define MAP_OURS (MAP_PRIVATE | MAP_ANONYMOUS)

/* Ordinary anonymous memory: nothing asked that a hole would not have. */
static bool is_ordinary(int prot, int flags)
{
	return (flags & ~(MAP_PLACED | MAP_NORESERVE | MAP_STACK)) ==
		       MAP_OURS &&
	       !(prot & ~(PROT_RW | PROT_EXEC));
}

/* Is it what the preload is for? */
static bool is_ours(size_t length, int prot, int flags)
{
	return is_ordinary(prot, flags) &&
	       (length >= VM_LARGE || prot == PROT_NONE ||
		(flags & (MAP_NORESERVE | MAP_STACK)));
}

static bool is_error(long ret)
{
	return ret < 0 && ret > -4096;
}

/* What came from the kernel is what we know, or nothing of ours any more. */
void tract__vm_record(uintptr_t start, size_t length, int prot, int flags)
{
	bool ours = is_ours(length, prot, flags);
	struct vm_section section;

	if (start + length > PAGES_END)
		return;
	if (!ours && !tract__pages_any(start, start + length))
		return;
	if (!tract__vm_enter(&section))
		return;
	if (ours)
		tract__vm_adopt(start, start + length, prot);
	else
		tract__vm_forget(start, start + length);
	tract__vm_exit(&section);
}

/* Holes may be all that stands between the program and its memory. */
static bool make_room(long error)
{
	struct vm_section section;
	bool any;

	if (error != -ENOMEM || !tract__vm_enter(&section))
		return false;
	any = tract__vm_release_holes();
	tract__vm_exit(&section);
	return any;
}

static long map_kernel(void *addr, size_t length, int prot, int flags, int fd,
		       off_t offset)
{
	long ret = tract__sys_mmap(addr, length, prot, flags, fd, offset);

	if (is_error(ret) && make_room(ret))
		ret = tract__sys_mmap(addr, length, prot, flags, fd, offset);
	if (!is_error(ret))
		tract__vm_record((uintptr_t)ret, align_up(length, PAGE_SIZE),
				 prot, flags);
	return ret;
}

/* A hole becomes what the program has; 0: it cannot. */
static long take(uintptr_t start, size_t length, int prot)
{
	uint8_t state = tract__pages_get(start);
	int ret = 0;

	/* What goes by offset does not see that the addresses are gone. */
	if (state & PAGE_TRAPPED)
		ret = tract__sys_msync((void *)start, length);
	if (!ret)
		ret = prot == PROT_NONE ?
			      tract__vm_mark(start, start + length, state) :
			      tract__vm_refresh(start, start + length, state);
	if (ret) {
		/*
		 * Not as we left it, or a parent's, or there are no markers: it
		 * is nothing of ours.  If it is still a hole, the kernel may
		 * have the addresses.
		 */
		if (tract__vm_is_ours(start, start + length, state))
			tract__sys_munmap((void *)start, length);
		tract__vm_forget(start, start + length);
		return 0;
	}
	tract__pages_set(
		start, start + length,
		page_change(state, prot == PROT_NONE ? PAGE_GUARD : PAGE_MAPPED,
			    PROT_RW));
	vm_count(COUNT_REUSED);
	return (long)start;
}

/* Takes a hole out: the one at @hint, or any if that is 0. */
static uintptr_t find_hole(uintptr_t hint, size_t length, int prot)
{
	uintptr_t start, end;

	for (unsigned int kind = 0; hint && kind < HOLES_KINDS; kind++) {
		if (tract__holes_find((enum holes)kind, hint, &start, &end) &&
		    length <= end - hint) {
			tract__holes_remove(hint, hint + length);
			return hint;
		}
	}
	if (hint)
		return 0;
	start = tract__holes_take(HOLES_TRAPPED, length);
	if (!start && length <= TRAPPED_MAX && tract__trapped_add(length))
		start = tract__holes_take(HOLES_TRAPPED, length);
	if (!start && prot == PROT_RW)
		start = tract__holes_take(HOLES_PLAIN, length);
	return start;
}

/* From a hole at @hint, or any if that is 0; 0: there is none. */
static long map_hole(uintptr_t hint, size_t length, int prot)
{
	struct vm_section section;
	uintptr_t start;
	long ret = 0;

	if (!tract__vm_enter(&section))
		return 0;
	start = find_hole(hint, length, prot);
	if (start && !tract__pages_prepare(start, start + length))
		ret = take(start, length, prot);
	else if (start)
		tract__holes_insert(vm_holes(tract__pages_get(start)), start,
				    start + length);
	tract__vm_exit(&section);
	return ret;
}

/*
 * Is every page from @start to @end of a kind in @kinds, read-write below, and
 * all of them trapped, or none?
 */
static bool all_plain(uintptr_t start, uintptr_t end, unsigned int kinds)
{
	uint8_t first = tract__pages_get(start), state = first;

	for (; start < end; start = tract__pages_run(start, end, &state)) {
		state = tract__pages_get(start);
		if (!(kinds >> page_kind(state) & 1) ||
		    page_prot(state) != PROT_RW ||
		    (state ^ first) & PAGE_TRAPPED)
			return false;
	}
	return true;
}

/*
 * Fixed, over pages of ours: what can be had by dropping what is there is,
 * so that the map remains whole.  0: the kernel is to do it.
 */
static long map_over(uintptr_t start, uintptr_t end, int prot, int flags)
{
	unsigned int kinds = 1u << PAGE_HOLE;
	uint8_t state = tract__pages_get(start);
	bool mark = prot == PROT_NONE && end - start <= VM_GUARD_MAX &&
		    tract__vm_can_mark(state);

	/* The look whether it is ours may cost its contents: only for these. */
	if (prot != PROT_RW && !mark)
		return 0;
	if (!(flags & MAP_FIXED_NOREPLACE))
		kinds |= 1u << PAGE_MAPPED | 1u << PAGE_GUARD;
	if (!is_ordinary(prot, flags) || !all_plain(start, end, kinds) ||
	    tract__pages_prepare(start, end) ||
	    !tract__vm_is_ours(start, end, state))
		return 0;
	if (mark ? tract__vm_mark(start, end, state) :
		   tract__vm_refresh(start, end, state))
		return 0;
	if (mark)
		vm_count(COUNT_GUARDS);
	state = page_change(state, mark ? PAGE_GUARD : PAGE_MAPPED, PROT_RW);
	tract__pages_set(start, end, state);
	tract__holes_remove(start, end);
	return (long)start;
}

/* Holes are free addresses to the program, and taken ones to the kernel. */
static int open_holes(uintptr_t start, uintptr_t end)
{
	uint8_t state;
	uintptr_t next;
	int ret = tract__pages_prepare(start, end);

	for (; !ret && start < end; start = next) {
		next = tract__pages_run(start, end, &state);
		if (page_kind(state) != PAGE_HOLE)
			continue;
		ret = tract__sys_munmap((void *)start, next - start);
		if (!ret)
			tract__vm_forget(start, next);
	}
	return ret;
}

/* A hint that lies partly in a hole, and else where we know of nothing. */
static void open_hint(uintptr_t start, uintptr_t end)
{
	struct vm_section section;
	uintptr_t at = start;
	bool free = true;
	uint8_t state;

	if (end < start || end > PAGES_END || !tract__pages_any(start, end) ||
	    !tract__vm_enter(&section))
		return;
	while (free && at < end) {
		at = tract__pages_run(at, end, &state);
		free = page_kind(state) == PAGE_HOLE ||
		       page_kind(state) == PAGE_FOREIGN;
	}
	if (free)
		open_holes(start, end);
	tract__vm_exit(&section);
}

static long map_placed(void *addr, size_t length, int prot, int flags, int fd,
		       off_t offset)
{
	uintptr_t start = (uintptr_t)addr;
	uintptr_t end = start + align_up(length, PAGE_SIZE);
	struct vm_section section;
	long ret;

	if (!vm_valid(start, length) || !tract__pages_any(start, end) ||
	    !tract__vm_enter(&section))
		return map_kernel(addr, length, prot, flags, fd, offset);
	ret = map_over(start, end, prot, flags);
	if (!ret && (flags & MAP_FIXED_NOREPLACE))
		ret = open_holes(start, end);
	if (!ret) {
		ret = tract__sys_mmap(addr, length, prot, flags, fd, offset);
		if (!is_error(ret) && is_ours(length, prot, flags))
			tract__vm_adopt(start, end, prot);
		else if (!is_error(ret))
			tract__vm_forget(start, end);
	}
	tract__vm_exit(&section);
	return ret;
}

long tract__vm_mmap(void *addr, size_t length, int prot, int flags, int fd,
		    off_t offset, const void *caller)
{
	size_t size = align_up(length, PAGE_SIZE);
	uintptr_t hint = (uintptr_t)addr & -PAGE_SIZE;
	long ret = 0;

	if (!length || size < length)
		return tract__sys_mmap(addr, length, prot, flags, fd, offset);
	if (flags & MAP_PLACED)
		return map_placed(addr, length, prot, flags, fd, offset);
	if ((prot == PROT_RW || prot == PROT_NONE) &&
	    is_ours(length, prot, flags))
		ret = map_hole(hint, size, prot);
	if (ret)
		return ret;
	if (hint)
		open_hint(hint, hint + size);
	if (hint && is_ordinary(prot, flags))
		ret = tract__near_map(hint, size, prot, flags, caller);
	if (ret)
		return ret;
	return map_kernel(addr, length, prot, flags, fd, offset);
}
