/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only file that knows that kernels differ.  Kbuild looks for the features
 * in the headers; each entry says which of the kernels that it was held against,
 * Debian's 6.1, 6.12 and 7.2, have it, and why the code for one without it is
 * right.  When it came in between was not looked up.
 */
#ifndef TRACT_COMPAT_H
#define TRACT_COMPAT_H

#include <linux/list_lru.h>
#include <linux/mm.h>
#ifdef TRACT_HAVE_PFN_T
#include <linux/pfn_t.h>
#endif
#include <linux/sched/mm.h>
#include <linux/shrinker.h>
#include <linux/slab.h>

#if BITS_PER_LONG != 64 || !defined(CONFIG_MMU)
#error "tract needs a 64-bit kernel with an MMU"
#endif

/*
 * vm_flags_set(): 6.12 and 7.2 have it, and flags that are const, so that writers
 * take the VMA's lock.  6.1 has neither, nor such a lock; ->mmap() runs under
 * mmap_lock for writing, which is all that is needed to change them.
 */
static inline void tract_compat_vm_flags_set(struct vm_area_struct *vma,
					     unsigned long flags)
{
#ifdef TRACT_HAVE_VM_FLAGS_SET
	vm_flags_set(vma, flags);
#else
	vma->vm_flags |= flags;
#endif
}

/*
 * A page of zeroes for a fault to read, as anonymous memory has it.  The VMA has
 * VM_MIXEDMAP.  6.1 and 6.12 want a pfn_t, a page frame number with flags, of
 * which none is needed here; 7.2 has no such type.
 */
static inline vm_fault_t tract_compat_insert_zero(struct vm_fault *vmf)
{
	unsigned long pfn = page_to_pfn(ZERO_PAGE(vmf->address));

#ifdef TRACT_HAVE_PFN_T
	return vmf_insert_mixed(vmf->vma, vmf->address, pfn_to_pfn_t(pfn));
#else
	return vmf_insert_mixed(vmf->vma, vmf->address, pfn);
#endif
}

/*
 * mm_get_unmapped_area(): 6.12 has it with an mm to search, 7.2 for current->mm
 * alone, which is the one we want.  6.1 has a function pointer in the mm, for the
 * same search, which is always set in the mm of a user process.
 */
static inline unsigned long
tract_compat_get_unmapped_area(unsigned long address, unsigned long length,
			       unsigned long pgoff, unsigned long flags)
{
#if defined(TRACT_HAVE_MM_GET_UNMAPPED_AREA_OF_MM)
	return mm_get_unmapped_area(current->mm, NULL, address, length, pgoff,
				    flags);
#elif defined(TRACT_HAVE_MM_GET_UNMAPPED_AREA)
	return mm_get_unmapped_area(NULL, address, length, pgoff, flags);
#else
	return current->mm->get_unmapped_area(NULL, address, length, pgoff,
					      flags);
#endif
}

/*
 * vm_start_gap(), for which modules lack the size of the gap below a stack
 * (stack_guard_gap=, 256 pages if not said otherwise).  6.12 and 7.2 know
 * VM_SHADOW_STACK: shadow stacks keep a page below themselves.
 */
static inline unsigned long
tract_compat_start_gap(const struct vm_area_struct *vma)
{
	unsigned long gap = 0;

	if (vma->vm_flags & VM_GROWSDOWN)
		gap = 256UL << PAGE_SHIFT;
#ifdef VM_SHADOW_STACK
	else if (vma->vm_flags & VM_SHADOW_STACK)
		gap = PAGE_SIZE;
#endif
	return vma->vm_start > gap ? vma->vm_start - gap : 0;
}

/*
 * get_user_pages(): 6.1 has a last parameter for VMAs, NULL for a caller that
 * wants none; 6.12 and 7.2 have no such parameter.
 *
 * Without an array for the pages it takes no reference, it only faults.
 */
static inline long tract_compat_fault_in(unsigned long start, unsigned long nr)
{
#ifdef TRACT_HAVE_GUP_VMAS
	return get_user_pages(start, nr, FOLL_WRITE, NULL, NULL);
#else
	return get_user_pages(start, nr, FOLL_WRITE, NULL);
#endif
}

/*
 * Huge pages and VM_DONTEXPAND.
 *
 * khugepaged (and MADV_COLLAPSE) replaces a page table by a huge page under
 * mmap_lock for writing, in the belief that this keeps all others but rmap
 * walkers out.  A zap without mmap_lock must therefore only meet VMAs that
 * khugepaged leaves alone: those with VM_DONTEXPAND.
 *
 * In 6.1 VM_DONTEXPAND forbids huge pages at fault time as well
 * (hugepage_vma_check()); in 6.12 it only keeps khugepaged away
 * (__thp_vma_allowable_orders()).  And in 6.12 move_normal_pmd() looks again,
 * under the page table lock, whether what mremap() moves still is a page table,
 * which it does not in 6.1: there an mremap() beside a lockless zap of a huge
 * page would move an empty entry as if it were one.
 *
 * No header shows either.  As their signs serve thp_vma_allowable_order() and
 * vma_thp_disabled(): 6.12 and 7.2 have both, 6.1 has neither.  With both, huge
 * pages are zapped without mmap_lock.
 *
 * Else a reservation with huge pages goes without VM_DONTEXPAND, and its zaps
 * take mmap_lock for reading, which keeps both khugepaged and mremap() out;
 * this is what MADV_DONTNEED does.  With TRACT_RESERVE_NOHUGE there is nothing
 * huge, and neither problem, on any kernel.  A kernel that has the fixes without
 * the signs gets the lock without needing it, no harm.
 */
#ifdef TRACT_HAVE_HUGE_DONTEXPAND
#define TRACT_COMPAT_LOCKLESS_HUGE true
#else
#define TRACT_COMPAT_LOCKLESS_HUGE false
#endif

/*
 * zap_vma_range(): 7.2 exports it to modules.  It zaps a part of one VMA and so
 * can work beside the VMAs of forked children.  6.1 and 6.12 do not have it.
 * What Debian's 6.12 exports in its place, zap_page_range_single(), 6.1 does not,
 * and it is not used: without zap_vma_range() the module refuses while a child
 * maps the reservation, see zap.c.
 */
#ifdef TRACT_HAVE_ZAP_VMA_RANGE
#define TRACT_COMPAT_SHARED_ZAP true
#else
#define TRACT_COMPAT_SHARED_ZAP false
#endif

/*
 * Shrinkers: 6.12 and 7.2 allocate them, and free them by RCU; 6.1 gets
 * a structure of the caller's, and unregister_shrinker() waits for those that use
 * it.  It does nothing with one that was never registered.
 */
#define TRACT_COMPAT_SHRINKER_FLAGS (SHRINKER_NUMA_AWARE | SHRINKER_MEMCG_AWARE)

#ifdef TRACT_HAVE_SHRINKER_ALLOC

static inline struct shrinker *tract_compat_shrinker_alloc(void)
{
	return shrinker_alloc(TRACT_COMPAT_SHRINKER_FLAGS, "tract");
}

static inline int tract_compat_shrinker_register(struct shrinker *shrinker)
{
	shrinker_register(shrinker);
	return 0;
}

static inline void tract_compat_shrinker_free(struct shrinker *shrinker)
{
	shrinker_free(shrinker);
}

#else

static inline struct shrinker *tract_compat_shrinker_alloc(void)
{
	struct shrinker *shrinker = kzalloc(sizeof(*shrinker), GFP_KERNEL);

	if (shrinker)
		shrinker->flags = TRACT_COMPAT_SHRINKER_FLAGS;
	return shrinker;
}

static inline int tract_compat_shrinker_register(struct shrinker *shrinker)
{
	return register_shrinker(shrinker, "tract");
}

static inline void tract_compat_shrinker_free(struct shrinker *shrinker)
{
	unregister_shrinker(shrinker);
	kfree(shrinker);
}

#endif

/*
 * In 6.1 list_lru_add() and list_lru_del() of a slab object find its node and
 * cgroup by themselves; in 6.12 and 7.2 those that do are list_lru_add_obj() and
 * list_lru_del_obj().
 */
#ifdef TRACT_HAVE_LIST_LRU_ADD_OBJ
#define tract_compat_list_lru_add list_lru_add_obj
#define tract_compat_list_lru_del list_lru_del_obj
#else
#define tract_compat_list_lru_add list_lru_add
#define tract_compat_list_lru_del list_lru_del
#endif

/*
 * In 6.1 and 6.12 the callback of a walk is also given the lock, which nothing
 * here needs; in 7.2 it is not.
 */
#ifdef TRACT_HAVE_LIST_LRU_WALK_LOCK
#define TRACT_COMPAT_LIST_LRU_LOCK spinlock_t *lock,
#else
#define TRACT_COMPAT_LIST_LRU_LOCK
#endif

/*
 * Zap a part of a VMA of the caller, which holds mmap_lock for writing and is
 * dying.  zap_vma_ptes() wants to see a VMA with VM_PFNMAP, and then does what
 * zap_vma_range() does: what is behind a page table entry is decided by the
 * entry (vm_normal_page(), where entries can be special).  Nobody else looks at
 * the flags meanwhile but rmap walkers, which pass over this one.
 */
static inline void tract_compat_zap_dead_vma(struct vm_area_struct *vma,
					     unsigned long start,
					     unsigned long size)
{
	mmap_assert_write_locked(vma->vm_mm);
#if defined(TRACT_HAVE_ZAP_VMA_RANGE)
	zap_vma_range(vma, start, size);
#elif defined(TRACT_HAVE_VM_FLAGS_SET)
	vm_flags_set(vma, VM_PFNMAP);
	zap_vma_ptes(vma, start, size);
	vm_flags_clear(vma, VM_PFNMAP);
#else
	vma->vm_flags |= VM_PFNMAP;
	zap_vma_ptes(vma, start, size);
	vma->vm_flags &= ~VM_PFNMAP;
#endif
}

/*
 * Trapped reservations map the zero page by special entries, which nearly every
 * architecture has.
 */
#define TRACT_COMPAT_TRAP IS_ENABLED(CONFIG_ARCH_HAS_PTE_SPECIAL)

#endif /* TRACT_COMPAT_H */
