// SPDX-License-Identifier: MIT
/* madvise(). */
#include "vm.h"

#include <errno.h>
#include <linux/tract.h>

#include "sys.h"
#include "trapped.h"

/* Larger ranges are not looked through before an advice is taken as idle. */
#define LOOK_MAX ((size_t)1 << 30)

/*
 * The range that this thread decommitted last.  MADV_DONTDUMP for it, as the
 * next thing, is part of giving it up: what is not there is not dumped.
 */
static __thread struct {
	uintptr_t start, end;
} decommitted;

/*
 * Those that change the kernel's map, where full maps say EAGAIN, and those that
 * give memory up: allocators repeat either until it is done.
 */
static bool is_repeated(int advice)
{
	switch (advice) {
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
	case MADV_WIPEONFORK:
	case MADV_KEEPONFORK:
	case MADV_DONTNEED:
	case MADV_FREE:
		return true;
	default:
		return false;
	}
}

/* Those after which one page of ours is not as good as any other. */
static bool marks(int advice)
{
	switch (advice) {
	case MADV_DONTFORK:
	case MADV_MERGEABLE:
	case MADV_DONTDUMP:
	case MADV_WIPEONFORK:
	case MADV_GUARD_INSTALL:
		return true;
	default:
		return false;
	}
}

static int advise_kernel(uintptr_t start, uintptr_t end, int advice)
{
	return tract__sys_madvise((void *)start, end - start, advice);
}

/*
 * EAGAIN has been retried, with pauses.  Where the map is full it is so for
 * ever, and callers go round until it goes away: they are told what is meant.
 */
static int give_up(int ret, int advice)
{
	if (ret != -EAGAIN || !is_repeated(advice))
		return ret;
	vm_count(COUNT_GAVE_UP);
	return -ENOMEM;
}

/* Has the range no pages, so far as can be told at a moderate price? */
static bool is_idle(uintptr_t start, uintptr_t end)
{
	unsigned char resident[4096];

	if (end - start > LOOK_MAX)
		return true;
	while (start < end) {
		uintptr_t next = start + sizeof(resident) * PAGE_SIZE;

		if (next > end)
			next = end;
		if (tract__sys_mincore((void *)start, next - start, resident))
			return false;
		for (size_t i = 0; i < (next - start) / PAGE_SIZE; i++)
			if (resident[i] & 1)
				return false;
		start = next;
	}
	return true;
}

static bool was_decommitted(uintptr_t start, uintptr_t end)
{
	bool yes = start >= decommitted.start && end <= decommitted.end &&
		   is_idle(start, end);

	decommitted.start = decommitted.end = 0;
	return yes;
}

/* What the advice makes of pages of ours: of no use to anybody else. */
static void note_marks(uintptr_t start, uintptr_t end, int advice)
{
	uintptr_t next;
	uint8_t state;

	for (; start < end; start = next) {
		next = tract__pages_run(start, end, &state);
		if (advice == MADV_DONTFORK)
			state |= PAGE_NOFORK;
		if (page_kind(state) == PAGE_MAPPED ||
		    page_kind(state) == PAGE_NODUMP ||
		    page_kind(state) == PAGE_MARKED)
			tract__pages_set(start, next,
					 page_change(state, PAGE_MARKED,
						     page_prot(state)));
	}
}

static int advise_marked(uintptr_t start, uintptr_t end, int advice)
{
	struct vm_section section;
	int ret;

	if (!tract__vm_enter(&section))
		return advise_kernel(start, end, advice);
	ret = tract__pages_prepare(start, end);
	if (!ret)
		ret = advise_kernel(start, end, advice);
	if (!ret)
		note_marks(start, end, advice);
	tract__vm_exit(&section);
	return ret;
}

/*
 * Trapped pages are left out of dumps one by one.  0, or an error: the map is to
 * do it.
 */
static int dump_trapped(uintptr_t start, uintptr_t end, uint8_t state,
			bool dump)
{
	struct vm_section section;
	int ret;

	if (!(state & PAGE_TRAPPED) || !tract__vm_enter(&section))
		return -ENODEV;
	ret = tract__pages_prepare(start, end);
	if (!ret)
		ret = trapped_op(start, end,
				 dump ? TRACT_OP_DODUMP : TRACT_OP_NODUMP);
	if (!ret)
		tract__pages_set(start, end,
				 page_change(state,
					     dump ? PAGE_MAPPED : PAGE_NODUMP,
					     page_prot(state)));
	tract__vm_exit(&section);
	return ret;
}

/* Advice that outlasts the guards: it needs a mapping to be kept in. */
static int advise_guards(uintptr_t start, uintptr_t end, uint8_t state,
			 int advice)
{
	struct vm_section section;
	int ret;

	if (!tract__vm_enter(&section))
		return -ENOMEM;
	ret = tract__pages_prepare(start, end);
	if (!ret)
		ret = tract__vm_settle_guards(start, end, state);
	tract__vm_exit(&section);
	state = page_change(state, PAGE_MAPPED, PROT_NONE);
	if (!ret && advice == MADV_DONTDUMP &&
	    !dump_trapped(start, end, state, false))
		return 0;
	return ret ? ret : advise_marked(start, end, advice);
}

/*
 * MADV_FREE may lose contents at once: in reservations there is no later, marked
 * parts of them included.  It cannot become an offer: a write alone takes the
 * page back, and a purge map does not see that.
 */
static int discard(uintptr_t start, uintptr_t end, uint8_t state, int advice)
{
	int ret;

	vm_count(COUNT_DECOMMIT);
	if (state & PAGE_TRAPPED && !trapped_op(start, end, TRACT_OP_DISCARD))
		return 0;
	ret = advise_kernel(start, end, advice);
	if (ret == -EINVAL && advice == MADV_FREE)
		ret = advise_kernel(start, end, MADV_DONTNEED);
	return ret;
}

/*
 * Left out of dumps by the map (in a child) a piece of a reservation remains so,
 * which is no reason for the program to fail.  Nor is it one that a kernel takes
 * no MADV_DOFORK there, unless there was something to take back.
 */
static int advise_marked_run(uintptr_t start, uintptr_t end, uint8_t state,
			     int advice)
{
	int ret = advise_kernel(start, end, advice);

	if (ret == -EINVAL && state & PAGE_TRAPPED &&
	    (advice == MADV_DODUMP ||
	     (advice == MADV_DOFORK && !(state & PAGE_NOFORK))))
		ret = 0;
	return ret;
}

/* A child cannot take back what its parent left out; see advise_marked_run(). */
static int redump(uintptr_t start, uintptr_t end, uint8_t state)
{
	int ret = dump_trapped(start, end, state, true);

	return ret == -ENOENT || ret == -ENODEV ? 0 : ret;
}

/* One run of pages of ours of one state. */
static int advise_run(uintptr_t start, uintptr_t end, uint8_t state, int advice,
		      bool idle)
{
	enum page_kind kind = page_kind(state);

	if (kind == PAGE_FOREIGN)
		return advise_kernel(start, end, advice);
	if (advice == MADV_DONTNEED || advice == MADV_FREE)
		return discard(start, end, state, advice);
	if (kind == PAGE_NODUMP && advice == MADV_DODUMP)
		return redump(start, end, state);
	if (kind == PAGE_MARKED && advice != MADV_DONTFORK)
		return advise_marked_run(start, end, state, advice);
	if (advice == MADV_DODUMP || (advice == MADV_DONTDUMP && idle)) {
		vm_count(COUNT_DUMP);
		return 0;
	}
	/* What is not marked has it by the fork; some kernels would refuse. */
	if (advice == MADV_DOFORK && state & PAGE_TRAPPED)
		return 0;
	/* A guard of ours is a mapping without access for the program. */
	if (kind == PAGE_GUARD &&
	    (advice == MADV_GUARD_REMOVE || advice == MADV_GUARD_INSTALL))
		return 0;
	if (kind == PAGE_GUARD && marks(advice))
		return advise_guards(start, end, state, advice);
	if (advice == MADV_DONTDUMP && kind == PAGE_NODUMP)
		return 0;
	if (advice == MADV_DONTDUMP && !dump_trapped(start, end, state, false))
		return 0;
	return marks(advice) ? advise_marked(start, end, advice) :
			       advise_kernel(start, end, advice);
}

long tract__vm_madvise(void *addr, size_t length, int advice)
{
	uintptr_t start = (uintptr_t)addr;
	uintptr_t end = start + align_up(length, PAGE_SIZE);
	bool idle = false, holes = false;
	uintptr_t at, next;
	uint8_t state;
	int ret = 0;

	if (!vm_valid(start, length) || end > PAGES_END ||
	    !tract__pages_any(start, end))
		return give_up(advise_kernel(start, start + length, advice),
			       advice);
	if (advice == MADV_DONTDUMP)
		idle = was_decommitted(start, end);
	for (at = start; !ret && at < end; at = next) {
		next = tract__pages_run(at, end, &state);
		if (page_kind(state) == PAGE_HOLE)
			holes = true;
		else
			ret = advise_run(at, next, state, advice, idle);
		/* Of the kernel's gaps too it is told after all is done. */
		if (ret == -ENOMEM) {
			holes = true;
			ret = 0;
		}
	}
	if (!ret && holes)
		ret = -ENOMEM;
	if (!ret && advice == MADV_DONTNEED) {
		decommitted.start = start;
		decommitted.end = end;
	}
	return give_up(ret, advice);
}
