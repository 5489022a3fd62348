/* SPDX-License-Identifier: MIT */
/*
 * The calls that the preload stands in for, and what they share.
 *
 * Rules that hold throughout:
 * - Whatever is not known to be ours goes to the kernel as it came, and what it
 *   says is the answer.  When in doubt a range becomes foreign.
 * - Everything that changes what is known of pages runs inside tract__vm_enter()
 *   and tract__vm_exit(), kernel calls included.  Lookups need neither.
 * - Return values are those of the system calls: an address, 0, or a negative
 *   errno.  No call allocates, and no call but those of the kernel waits for
 *   another thread longer than that thread's own kernel calls take.
 */
#ifndef TRACT_VM_VM_H
#define TRACT_VM_VM_H

#include "common.h"
#include "holes.h"
#include "pages.h"

#include <sys/mman.h>
#include <sys/types.h>

#define PROT_RW (PROT_READ | PROT_WRITE)

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

/* The protection key that leaves a mapping the one it has. */
#define NO_KEY (-1)

/* Ranges of this size are ours whatever their flags. */
#define VM_LARGE ((size_t)1 << 20)
/*
 * A PROT_NONE range up to this size becomes guard markers, which cost 8 bytes
 * a page; a larger one is a mapping of its own.
 */
#define VM_GUARD_MAX ((size_t)1 << 20)
/*
 * From here on a hole in the middle is really unmapped: the split costs one
 * map entry in 32 MiB, the hole would cost markers and address space.
 */
#define VM_HOLE_MAX ((size_t)32 << 20)

/* What was done instead of what was asked, for the report at exit. */
enum vm_count {
	COUNT_ADOPTED,	/* mappings made and known as ours */
	COUNT_REUSED,	/* mappings served from a hole */
	COUNT_HOLES,	/* unmappings that left a hole */
	COUNT_GUARDS,	/* mprotect() or mmap() of PROT_NONE: markers */
	COUNT_DUMP,	/* MADV_DODUMP and MADV_DONTDUMP that were not needed */
	COUNT_DECOMMIT, /* MADV_DONTNEED and MADV_FREE of our ranges */
	COUNT_NEAR,	/* hinted mappings served near their hint */
	COUNT_GAVE_UP,	/* madvise() that was EAGAIN to the end */
	COUNTS
};

extern uint64_t tract__vm_counts[COUNTS];

static inline void vm_count(enum vm_count which)
{
	__atomic_fetch_add(&tract__vm_counts[which], 1, __ATOMIC_RELAXED);
}

long tract__vm_mmap(void *addr, size_t length, int prot, int flags, int fd,
		    off_t offset, const void *caller);
long tract__vm_munmap(void *addr, size_t length);
long tract__vm_mremap(void *addr, size_t old_length, size_t length, int flags,
		      void *target);
/* @key as of pkey_mprotect(), or NO_KEY. */
long tract__vm_mprotect(void *addr, size_t length, int prot, int key);
long tract__vm_madvise(void *addr, size_t length, int advice);

/* The kernel has made this mapping: it is ours, or what was known is void. */
void tract__vm_record(uintptr_t start, size_t length, int prot, int flags);

/*
 * The one lock.  Signals are blocked while it is held: a handler may map memory
 * or stop its thread until another, which maps memory, lets it go on.  False:
 * there is no memory for it, everything is to be passed through.
 */
struct vm_section {
	uint64_t signals;
};

bool tract__vm_enter(struct vm_section *section);
void tract__vm_exit(const struct vm_section *section);

/* Is [@addr, @addr + @length) a range that the kernel would look at? */
static inline bool vm_valid(uintptr_t addr, size_t length)
{
	uintptr_t end;

	return length && !(addr % PAGE_SIZE) &&
	       !__builtin_add_overflow(addr, length + PAGE_SIZE - 1, &end);
}

/* The rest needs the lock. */

/* The range is mapped with @prot, whatever was known of it; or foreign. */
void tract__vm_adopt(uintptr_t start, uintptr_t end, int prot);
/* The range is nothing of ours. */
void tract__vm_forget(uintptr_t start, uintptr_t end);
/* As munmap() of a valid range. */
int tract__vm_unmap(uintptr_t start, uintptr_t end);
/*
 * Is there still what @state says?  Only for ranges of which nothing is wanted
 * any more: their contents may go.
 */
bool tract__vm_is_ours(uintptr_t start, uintptr_t end, uint8_t state);
/* Guards become mappings without access, as the program believes they are. */
int tract__vm_settle_guards(uintptr_t start, uintptr_t end, uint8_t state);
/*
 * Of pages of ours, alike in being trapped or not, as @state tells:
 *
 * Drops a range that holds nothing of the program's; touching it faults, where
 * that can be had.
 */
int tract__vm_drop(uintptr_t start, uintptr_t end, uint8_t state);
/* Makes whatever is there read as zero, and writable; no touch of it faults. */
int tract__vm_refresh(uintptr_t start, uintptr_t end, uint8_t state);
/* Does the kernel have guard markers? */
bool tract__vm_has_guards(void);
/* Can there be guard markers?  They wipe what they are set on. */
bool tract__vm_can_mark(uint8_t state);
int tract__vm_mark(uintptr_t start, uintptr_t end, uint8_t state);
/* Takes guard markers away; *@state is corrected if other memory had to do. */
int tract__vm_unmark(uintptr_t start, uintptr_t end, uint8_t *state);

static inline enum holes vm_holes(uint8_t state)
{
	return state & PAGE_TRAPPED ? HOLES_TRAPPED : HOLES_PLAIN;
}

/* Gives all holes back to the kernel; were there any? */
bool tract__vm_release_holes(void);

#endif
