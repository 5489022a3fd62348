// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults of trapped reservations.
 *
 * A fault on a committed page gets a zero page: to write, one of ours for the
 * kernel to copy; to read, the one that everybody reads.  What the process then
 * has is ordinary anonymous memory.  (What else a write maps: trap_around.c.)
 *
 * A fault looks the state up and acts on it later, when it puts the page into
 * the page table, which is after ->fault() has returned.  Between the two GUARD
 * or DECOMMIT must not change the state, zap, and return: the page would come
 * after the zap.  So a fault has one of several *gates* from before its look
 * until the page is in the table.  A gate is the lock of a zero page of ours:
 * the kernel, to which ->fault() hands it locked, unlocks it when the copy has
 * been mapped.  (Truncation waits for faults in the same way, by the lock of the
 * page of the file.)  An operation stores the state first, then waits until each
 * gate has been open once, then zaps: a fault that came to its gate before has
 * put its page where the zap finds it, one that comes after sees the state.
 *
 * Gates are for all reservations, as many as there are processors, within
 * reason, so that faults seldom meet at one.
 */
#include <linux/fs.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "compat.h"
#include "page_state.h"
#include "trap.h"

#define GATES_MAX 64

static struct folio *trap_gates[GATES_MAX];
static unsigned int trap_gate_count; /* a power of two */

static struct tract_reservation *reservation_of(struct vm_area_struct *vma)
{
	return vma->vm_file->private_data;
}

/*
 * Of the owner's VMAs the state that the reservation has now, of a child's that
 * of its fork.  The caller has a gate, holds the lock, or has a child's VMA.
 */
struct tract_page_state *tract_trap_state(struct vm_area_struct *vma)
{
	struct tract_page_state *state = vma->vm_private_data;

	/* Pairs with unshare(): a version is there before its address is. */
	return state ?: smp_load_acquire(&reservation_of(vma)->trap->state);
}

/* The gate of this processor, or one beside it that is free. */
static struct folio *lock_gate(void)
{
	unsigned int first = raw_smp_processor_id();
	struct folio *gate;
	unsigned int i;

	for (i = 0; i < 4; i++) {
		gate = trap_gates[(first + i) & (trap_gate_count - 1)];
		if (folio_trylock(gate))
			return gate;
	}
	gate = trap_gates[first & (trap_gate_count - 1)];
	folio_lock(gate);
	return gate;
}

/* Wait for the faults that may have seen another state than there is now. */
void tract_trap_wait_faults(void)
{
	unsigned int i;

	smp_mb(); /* the state is stored before the gates are looked at */
	for (i = 0; i < trap_gate_count; i++)
		folio_wait_locked(trap_gates[i]);
	smp_mb(); /* the gates are open before page tables are looked at */
}

static vm_fault_t trap_fault(struct vm_fault *vmf)
{
	struct folio *gate = lock_gate();
	struct tract_page_state *state;
	vm_fault_t ret = VM_FAULT_SIGSEGV;

	/*
	 * Pairs with the barrier in tract_trap_wait_faults(): either that sees
	 * the gate locked, or we see the state that was stored before.
	 */
	smp_mb__after_atomic();
	state = tract_trap_state(vmf->vma);
	if (tract_page_state_test(state, TRACT_PAGE_GUARD, vmf->pgoff) ||
	    tract_page_state_test(state, TRACT_PAGE_UNCOMMITTED, vmf->pgoff))
		goto leave;
	if (vmf->flags & FAULT_FLAG_WRITE) {
		tract_trap_map_around(vmf, state);
		folio_get(gate);
		vmf->page = folio_page(gate, 0);
		return VM_FAULT_LOCKED;
	}
	/* Not ours: pages in page tables are counted, that one is not. */
	ret = tract_compat_insert_zero(vmf);
leave:
	folio_unlock(gate);
	return ret;
}

/*
 * There is nothing to map around a fault.  But without this the kernel would
 * take mmap_lock for every fault, where it knows of a lock of the VMA.
 */
static vm_fault_t trap_map_pages(struct vm_fault *vmf, pgoff_t first,
				 pgoff_t last)
{
	return 0;
}

/*
 * A VMA is split, moved or, if it is that of another mm than it was, forked.
 * What a child has are the states as they are now: fork() copies page tables
 * after this, and shows us no VMA of the owner's before it is done with all.
 */
static void trap_open(struct vm_area_struct *vma)
{
	struct tract_reservation *res = reservation_of(vma);
	struct tract_page_state *state = vma->vm_private_data;

	if (state) {
		tract_page_state_get(state);
	} else if (vma->vm_mm != res->mm) {
		mutex_lock(&res->trap->lock);
		vma->vm_private_data = tract_page_state_get(res->trap->state);
		mutex_unlock(&res->trap->lock);
	}
}

static void trap_close(struct vm_area_struct *vma)
{
	struct tract_page_state *state = vma->vm_private_data;

	if (state)
		tract_page_state_put(state);
}

/*
 * Asked by a core dump about every VMA before it decides on it, under mmap_lock
 * for writing; of mappings of files by nobody else.  The name is the file's.
 */
static const char *trap_name(struct vm_area_struct *vma)
{
	if ((current->flags & PF_DUMPCORE) && current->mm == vma->vm_mm)
		tract_trap_dump(vma);
	return NULL;
}

static const struct vm_operations_struct trap_vm_ops = {
	.open = trap_open,
	.close = trap_close,
	.fault = trap_fault,
	.map_pages = trap_map_pages,
	.name = trap_name,
};

/* The VMA that RESERVE makes, from ->mmap(). */
void tract_trap_map(struct vm_area_struct *vma)
{
	vma->vm_ops = &trap_vm_ops;
	vma->vm_private_data = NULL;
}

int tract_trap_create(struct tract_reservation *res)
{
	struct tract_trap *trap;

	trap = kzalloc(sizeof(*trap), GFP_KERNEL_ACCOUNT);
	if (!trap)
		return -ENOMEM;
	mutex_init(&trap->lock);
	trap->state = tract_page_state_create();
	if (!trap->state) {
		kfree(trap);
		return -ENOMEM;
	}
	res->trap = trap;
	return 0;
}

/* With the last VMA gone there are no faults. */
void tract_trap_destroy(struct tract_reservation *res)
{
	if (!res->trap)
		return;
	tract_owner_uncharge_states(res->owner, res->trap->state->ranges);
	tract_page_state_put(res->trap->state);
	kfree(res->trap);
}

int tract_trap_init(void)
{
	unsigned int most = min_t(unsigned int, nr_cpu_ids, GATES_MAX);

	while (trap_gate_count < roundup_pow_of_two(most)) {
		struct folio *gate = folio_alloc(GFP_KERNEL | __GFP_ZERO, 0);

		if (!gate) {
			tract_trap_exit();
			return -ENOMEM;
		}
		trap_gates[trap_gate_count++] = gate;
	}
	return 0;
}

void tract_trap_exit(void)
{
	while (trap_gate_count)
		folio_put(trap_gates[--trap_gate_count]);
}
