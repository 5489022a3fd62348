/* SPDX-License-Identifier: MIT */
/*
 * What the preload knows of each page of the address space: one byte, in a tree
 * like the processor's own, where an entry may stand for all below it.
 *
 * The byte says two things that may differ: what the program believes of the
 * page, and the protection that the kernel's map has there.  Readers take no
 * lock; writers are serialised by the caller.  Tables are never freed, so
 * a reader always finds some state that was true during its call.
 */
#ifndef TRACT_VM_PAGES_H
#define TRACT_VM_PAGES_H

#include "common.h"

#define PAGE_SHIFT 12
#define PAGE_SIZE ((uintptr_t)1 << PAGE_SHIFT)
/* User addresses of four-level page tables; above, nothing is ours. */
#define PAGES_END ((uintptr_t)1 << 47)

enum page_kind {
	PAGE_FOREIGN, /* none of our business: the kernel is asked */
	PAGE_MAPPED,  /* anonymous, private; as the kernel has it */
	PAGE_HOLE,    /* unmapped for the program, kept for its next mmap() */
	PAGE_GUARD,   /* PROT_NONE for the program, by a guard marker */
	PAGE_MARKED,  /* mapped, but the map has attributes of its own there */
	PAGE_NODUMP,  /* trapped, mapped, and by its state left out of dumps */
};

/* Beside kind and protection: the page lies in a trapped reservation. */
#define PAGE_TRAPPED 64u
/* And: among its marks is MADV_DONTFORK, which some kernels do not take back. */
#define PAGE_NOFORK 128u

/* A state: the kind, and the protection (PROT_READ | ...) of the kernel's map. */
static inline uint8_t page_state(enum page_kind kind, int prot)
{
	return (uint8_t)(kind | (unsigned int)(prot & 7) << 3);
}

static inline enum page_kind page_kind(uint8_t state)
{
	return (enum page_kind)(state & 7);
}

/* The same page with another kind and protection. */
static inline uint8_t page_change(uint8_t state, enum page_kind kind, int prot)
{
	return (uint8_t)(page_state(kind, prot) |
			 (state & (PAGE_TRAPPED | PAGE_NOFORK)));
}

static inline int page_prot(uint8_t state)
{
	return state >> 3 & 7;
}

/* The state of the page at @addr. */
uint8_t tract__pages_get(uintptr_t addr);
/*
 * The end of the run of pages of one state that starts at @addr, at most @end;
 * the state goes to @state.
 */
uintptr_t tract__pages_run(uintptr_t addr, uintptr_t end, uint8_t *state);
/* Is any page from @start to @end other than foreign? */
bool tract__pages_any(uintptr_t start, uintptr_t end);

/*
 * Makes the tables that setting states within @start to @end can need, or
 * returns -ENOMEM.  After that tract__pages_set() on any part of it succeeds.
 */
int tract__pages_prepare(uintptr_t start, uintptr_t end);
void tract__pages_set(uintptr_t start, uintptr_t end, uint8_t state);

#endif
