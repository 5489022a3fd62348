/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only file that knows that kernels differ.  Kbuild looks for the features
 * in the headers; each entry says who changed what, when, and why the code for
 * a kernel without it is right.
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
 * vm_flags_set(): 6.3, "mm: replace vma->vm_flags direct modifications with
 * modifier calls", made the flags const so that writers take the VMA's lock.
 * Before that there was no such lock; ->mmap() runs under mmap_lock for
 * writing, which is all that is needed to change them.
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
 * VM_MIXEDMAP.  pfn_t, a page frame number with flags that only drivers of
 * persistent memory had a use for, went away in 6.17.
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
 * mm_get_unmapped_area(): 6.10, "mm: switch mm->get_unmapped_area() to a flag",
 * replaced the function pointer in the mm; 7.x dropped its mm argument, which
 * had always been current->mm.  The pointer of older kernels is the same
 * search, and always set in the mm of a user process.
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
 * (stack_guard_gap=, 256 pages if not said otherwise).  VM_SHADOW_STACK: 6.6;
 * shadow stacks keep a page below themselves.
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
 * get_user_pages(): 6.5, "mm/gup: remove unused vmas parameter from
 * get_user_pages()", took the last parameter away.  NULL is what it had to be
 * for a caller that does not want VMAs.
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
 * 6.7, "mm/thp: fix 'mm: thp: kill __transhuge_page_enabled()'", made
 * VM_DONTEXPAND keep khugepaged away without forbidding huge pages at fault
 * time, which 6.0 to 6.6 do.  There is no header to see that in; the function
 * thp_vma_allowable_order() came right after it (6.8).  And 6.12, "mm/mremap:
 * fix move_normal_pmd/retract_page_tables race", made mremap() look again,
 * under the page table lock, whether what it moves still is a page table:
 * without that an mremap() beside a lockless zap of a huge page would move an
 * empty entry as if it were one.  vma_thp_disabled() went in with the same
 * batch of fixes.  So with both in the header, huge pages can be zapped without
 * mmap_lock.
 *
 * Else a reservation with huge pages goes without VM_DONTEXPAND, and its zaps
 * take mmap_lock for reading, which keeps both khugepaged and mremap() out;
 * this is what MADV_DONTNEED does.  With TRACT_RESERVE_NOHUGE there is nothing
 * huge, and neither problem, on any kernel.  A kernel that backported both
 * fixes without the headers gets the lock without needing it, no harm.
 */
#ifdef TRACT_HAVE_HUGE_DONTEXPAND
#define TRACT_COMPAT_LOCKLESS_HUGE true
#else
#define TRACT_COMPAT_LOCKLESS_HUGE false
#endif

/*
 * zap_vma_range(): 7.x, exported upstream to modules.  It zaps a part of one
 * VMA and so can work beside the VMAs of forked children.  Its predecessor
 * zap_page_range_single() is exported by distributions only and is not used:
 * without zap_vma_range() the module refuses while a child maps the
 * reservation, see zap.c.
 */
#ifdef TRACT_HAVE_ZAP_VMA_RANGE
#define TRACT_COMPAT_SHARED_ZAP true
#else
#define TRACT_COMPAT_SHARED_ZAP false
#endif

/*
 * Shrinkers: newer kernels (6.7) allocate them and free them by RCU; older ones
 * get a structure of the caller's, and unregister_shrinker() waits for those
 * that use it.  It does nothing with one that was never registered.
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
 * list_lru_add() and list_lru_del() of a slab object found its node and cgroup
 * by themselves; newer kernels (6.8) call that list_lru_add_obj().
 */
#ifdef TRACT_HAVE_LIST_LRU_ADD_OBJ
#define tract_compat_list_lru_add list_lru_add_obj
#define tract_compat_list_lru_del list_lru_del_obj
#else
#define tract_compat_list_lru_add list_lru_add
#define tract_compat_list_lru_del list_lru_del
#endif

/* The callback of a walk was also given the lock, which nothing here needs. */
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
