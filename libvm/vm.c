// SPDX-License-Identifier: MIT
#include "vm.h"

#include <errno.h>
#include <linux/tract.h>

#include "lock.h"
#include "store.h"
#include "sys.h"
#include "trapped.h"

uint64_t tract__vm_counts[COUNTS];

/*
 * In a page that the kernel wipes on fork: in the child the lock is free,
 * however the child was made, and no handler has to run before fork() (one that
 * took this lock would have to run after those of every allocator that maps
 * memory under locks of its own).
 */
struct shared {
	uint32_t alive; /* as tract__sys_fork_canary() leaves it */
	struct lock lock;
};

static struct shared *shared;

/*
 * Set while the lock is held, in memory that a child gets a copy of: a child
 * that finds it set was forked while another thread was at work on the tables.
 * Each page is in its old or its new state, but the holes and the memory for
 * tables may be in disorder.
 */
static bool busy;

static bool start(void)
{
	static uint32_t starting;
	struct shared *page = NULL;
	uint32_t expected = 0;

	/* One thread makes it; those that come meanwhile go without. */
	if (!__atomic_compare_exchange_n(&starting, &expected, 1, false,
					 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return __atomic_load_n(&shared, __ATOMIC_ACQUIRE);
	page = (struct shared *)tract__sys_fork_canary();
	__atomic_store_n(&shared, page, __ATOMIC_RELEASE);
	return page;
}

bool tract__vm_enter(struct vm_section *section)
{
	if (unlikely(!__atomic_load_n(&shared, __ATOMIC_ACQUIRE)) && !start())
		return false;
	section->signals = tract__sys_block_signals();
	lock_acquire(&shared->lock);
	if (unlikely(!shared->alive)) {
		if (busy) {
			tract__holes_clear();
			tract__store_restart();
		}
		shared->alive = 1;
	}
	write_once(&busy, true);
	return true;
}

void tract__vm_exit(const struct vm_section *section)
{
	write_once(&busy, false);
	lock_release(&shared->lock);
	tract__sys_restore_signals(section->signals);
}

bool tract__vm_has_guards(void)
{
	static int answer; /* 1 yes, -1 no */
	int found = read_once(&answer);
	long page;

	if (likely(found))
		return found > 0;
	page = tract__sys_mmap(NULL, PAGE_SIZE, PROT_RW,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page < 0)
		return false;
	found = tract__sys_madvise((void *)page, PAGE_SIZE,
				   MADV_GUARD_INSTALL) ?
			-1 :
			1;
	tract__sys_munmap((void *)page, PAGE_SIZE);
	write_once(&answer, found);
	return found > 0;
}

void tract__vm_forget(uintptr_t start, uintptr_t end)
{
	if (end > PAGES_END)
		end = PAGES_END;
	if (!tract__pages_any(start, end))
		return;
	tract__holes_remove(start, end);
	/* Without memory for a border nothing is forgotten. */
	if (tract__pages_prepare(start, end))
		return;
	tract__pages_set(start, end, PAGE_FOREIGN);
}

void tract__vm_adopt(uintptr_t start, uintptr_t end, int prot)
{
	if (tract__pages_prepare(start, end)) {
		tract__vm_forget(start, end);
		return;
	}
	tract__holes_remove(start, end);
	tract__pages_set(start, end, page_state(PAGE_MAPPED, prot));
	vm_count(COUNT_ADOPTED);
}

/*
 * MADV_FREE fails where there is anything but anonymous memory: a program that
 * works past us may have put a file of its own there, which dropping pages would
 * not take away.
 */
bool tract__vm_is_ours(uintptr_t start, uintptr_t end, uint8_t state)
{
	if (state & PAGE_TRAPPED)
		return tract__trapped_is_there(start, end);
	return !tract__sys_madvise((void *)start, end - start, MADV_FREE);
}

static int discard(uintptr_t start, uintptr_t end)
{
	return tract__sys_madvise((void *)start, end - start, MADV_DONTNEED);
}

/* A forked child that shares the pages stops the device, and not the map. */
static int drop_trapped(uintptr_t start, uintptr_t end)
{
	int ret = trapped_op(start, end, TRACT_OP_DECOMMIT);

	return ret == -EBUSY ? discard(start, end) : ret;
}

int tract__vm_drop(uintptr_t start, uintptr_t end, uint8_t state)
{
	if (!tract__vm_is_ours(start, end, state))
		return -EINVAL;
	if (state & PAGE_TRAPPED)
		return drop_trapped(start, end);
	if (!tract__vm_has_guards())
		return discard(start, end);
	return tract__sys_madvise((void *)start, end - start,
				  MADV_GUARD_INSTALL);
}

static int refresh_trapped(uintptr_t start, uintptr_t end)
{
	static const uint32_t ops[] = { TRACT_OP_DISCARD, TRACT_OP_DODUMP,
					TRACT_OP_UNGUARD, TRACT_OP_COMMIT };
	int ret = tract__trapped_ops(start, end, ops, ARRAY_SIZE(ops));

	return ret == -EBUSY ? discard(start, end) : ret;
}

int tract__vm_refresh(uintptr_t start, uintptr_t end, uint8_t state)
{
	int ret;

	if (state & PAGE_TRAPPED)
		return refresh_trapped(start, end);
	/* Without guards a stray write may have found the hole. */
	ret = discard(start, end);
	if (!ret && tract__vm_has_guards())
		ret = tract__sys_madvise((void *)start, end - start,
					 MADV_GUARD_REMOVE);
	return ret;
}

bool tract__vm_can_mark(uint8_t state)
{
	return state & PAGE_TRAPPED || tract__vm_has_guards();
}

int tract__vm_mark(uintptr_t start, uintptr_t end, uint8_t state)
{
	static const uint32_t ops[] = { TRACT_OP_GUARD, TRACT_OP_COMMIT };

	if (state & PAGE_TRAPPED)
		return tract__trapped_ops(start, end, ops, ARRAY_SIZE(ops));
	return tract__sys_madvise((void *)start, end - start,
				  MADV_GUARD_INSTALL);
}

/*
 * A child has its parent's guards and no operations on them.  There is nothing
 * in these pages: others take their place.
 */
int tract__vm_unmark(uintptr_t start, uintptr_t end, uint8_t *state)
{
	long ret;

	if (!(*state & PAGE_TRAPPED))
		return tract__sys_madvise((void *)start, end - start,
					  MADV_GUARD_REMOVE);
	if (!trapped_op(start, end, TRACT_OP_UNGUARD))
		return 0;
	ret = tract__sys_mmap(
		(void *)start, end - start, page_prot(*state),
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	*state &= (uint8_t)~PAGE_TRAPPED;
	return ret < 0 && ret > -4096 ? (int)ret : 0;
}

/* Would the kernel have to split its map to unmap what lies beside @addr? */
static bool is_middle(uintptr_t addr)
{
	uint8_t state = tract__pages_get(addr);

	return !(state & PAGE_TRAPPED) && page_kind(state) != PAGE_FOREIGN &&
	       page_kind(state) != PAGE_MARKED && page_prot(state) == PROT_RW;
}

/*
 * A run whose pages may stay in the kernel's map as a hole.  Those of trapped
 * reservations do, wherever they lie.
 */
static int unmap_plain(uintptr_t start, uintptr_t end, uint8_t state)
{
	uintptr_t low = start, high = end, ignored;
	enum holes kind = vm_holes(state);
	int ret;

	/* What is unmapped takes the holes beside it along. */
	tract__holes_find(kind, start - 1, &low, &ignored);
	tract__holes_find(kind, end, &ignored, &high);
	if (kind == HOLES_PLAIN &&
	    (!is_middle(low - 1) || !is_middle(high) ||
	     end - start >= VM_HOLE_MAX) &&
	    !tract__pages_prepare(low, high) &&
	    !tract__sys_munmap((void *)low, high - low)) {
		tract__vm_forget(low, high);
		return 0;
	}
	/* In the middle, or the kernel's map is full: a hole it is. */
	if (!tract__vm_drop(start, end, state)) {
		tract__pages_set(start, end,
				 page_change(state, PAGE_HOLE, PROT_RW));
		tract__holes_insert(kind, start, end);
		vm_count(COUNT_HOLES);
		return 0;
	}
	ret = tract__sys_munmap((void *)start, end - start);
	if (!ret)
		tract__vm_forget(start, end);
	return ret;
}

static bool is_plain(uint8_t state)
{
	enum page_kind kind = page_kind(state);

	return page_prot(state) == PROT_RW &&
	       (kind == PAGE_MAPPED || kind == PAGE_GUARD ||
		kind == PAGE_HOLE || kind == PAGE_NODUMP);
}

/* The end of the pages from @start on that can be treated as one. */
static uintptr_t plain_run(uintptr_t start, uintptr_t end, uint8_t *first)
{
	uintptr_t at = tract__pages_run(start, end, first);
	uint8_t state;

	while (at < end) {
		uintptr_t next = tract__pages_run(at, end, &state);

		if (is_plain(state) != is_plain(*first) ||
		    (state ^ *first) & PAGE_TRAPPED)
			break;
		at = next;
	}
	return at;
}

int tract__vm_unmap(uintptr_t start, uintptr_t end)
{
	uintptr_t at, next;
	uint8_t state;
	int ret = tract__pages_prepare(start, end);

	if (ret)
		return ret;
	/* What can fail comes first: then nothing has been done yet. */
	for (at = start; at < end; at = next) {
		next = plain_run(at, end, &state);
		if (is_plain(state))
			continue;
		ret = tract__sys_munmap((void *)at, next - at);
		if (ret)
			return ret;
		tract__vm_forget(at, next);
	}
	for (at = start; at < end; at = next) {
		next = plain_run(at, end, &state);
		if (is_plain(state))
			ret = unmap_plain(at, next, state);
		if (ret)
			return ret;
	}
	return 0;
}

static bool release_holes(enum holes kind)
{
	uintptr_t start, end;
	bool any = false;

	while (tract__holes_take_first(kind, &start, &end)) {
		if (tract__sys_munmap((void *)start, end - start)) {
			tract__holes_insert(kind, start, end);
			break;
		}
		tract__vm_forget(start, end);
		any = true;
	}
	return any;
}

bool tract__vm_release_holes(void)
{
	bool any = release_holes(HOLES_PLAIN);

	return release_holes(HOLES_TRAPPED) || any;
}
