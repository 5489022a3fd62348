/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * tract: memory reservations whose state never changes the map.
 *
 * This header is the specification of /dev/tract.  A reservation is one range
 * of address space in one VMA, made once, backed by a file of its own.  The
 * kernel owns its pages (ordinary private anonymous memory); the device only
 * drops them, and only where their owner says so.
 *
 * Rules that hold for every ioctl:
 *
 * - The argument is a pointer to a structure whose first field is its own size
 *   in bytes, filled in by the caller.  A shorter size than the first version
 *   of the structure is -EINVAL; a longer one, up to a page, is accepted when
 *   every byte the kernel does not know is zero, else -E2BIG.  Reserved fields
 *   must be zero (-EINVAL), unknown flags are -EOPNOTSUPP, an unknown ioctl
 *   number is -ENOTTY, memory that cannot be read or written is -EFAULT.
 * - Only fields named out_* are written.  When the call fails nothing has
 *   changed, and no out_ field is meaningful unless its text says otherwise.
 * - The descriptor carries no state.  A call acts on the memory map (mm) of the
 *   task that makes it, whoever opened the descriptor: any descriptor of
 *   /dev/tract serves, before and after fork() and exec().
 * - A reservation belongs to the mm that made it, its owner.  A forked child
 *   inherits the memory, copied on write, but never the reservation: an id of
 *   another mm is -ENOENT.
 * - munmap(), of all or any part, is how memory is given back; there is no
 *   release call.  A reservation ceases to exist, and its id with it, when the
 *   last mapping of it is gone, in the owner and in every child.  Ids are not
 *   used twice.
 */
#ifndef _UAPI_LINUX_TRACT_H
#define _UAPI_LINUX_TRACT_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define TRACT_ABI_VERSION 1

#define TRACT_IOC_TYPE 0xd7

/*
 * The size travels in the structure, not in the number: a structure may grow
 * and its number stays.
 */
#define TRACT_IOC_INFO _IO(TRACT_IOC_TYPE, 0x00)
#define TRACT_IOC_RESERVE _IO(TRACT_IOC_TYPE, 0x01)
#define TRACT_IOC_BATCH _IO(TRACT_IOC_TYPE, 0x02)
#define TRACT_IOC_STATS _IO(TRACT_IOC_TYPE, 0x03)
#define TRACT_IOC_PURGE_MAP _IO(TRACT_IOC_TYPE, 0x04)

/* Feature bits, tract_info.out_features. */

/* A plain reservation without TRACT_RESERVE_NOHUGE gets transparent huge pages. */
#define TRACT_FEATURE_HUGE (1ULL << 0)
/* DECOMMIT takes no mmap_lock, even where huge pages are allowed. */
#define TRACT_FEATURE_LOCKLESS_HUGE (1ULL << 1)
/* DECOMMIT works on the owner's pages alone while a forked child shares them. */
#define TRACT_FEATURE_SHARED_ZAP (1ULL << 2)
/* Purge maps can be bound. */
#define TRACT_FEATURE_PURGE_MAP (1ULL << 3)
/* Trapped reservations: TRACT_RESERVE_TRAP and the operations from COMMIT on. */
#define TRACT_FEATURE_TRAP (1ULL << 4)
/* Islands: TRACT_RESERVE_NEAR, and TRACT_RESERVE_EXEC. */
#define TRACT_FEATURE_ISLAND (1ULL << 5)

/**
 * struct tract_info - ioctl(TRACT_IOC_INFO): what this kernel offers
 * @size: sizeof(struct tract_info)
 * @flags: must be 0, else -EOPNOTSUPP
 * @out_abi_version: TRACT_ABI_VERSION of the module
 * @out_page_size: bytes of a page, the grain of offsets and lengths
 * @out_features: TRACT_FEATURE_* bits
 * @out_reserve_flags: the TRACT_RESERVE_* flags that RESERVE knows
 * @out_op_mask: bit n is set when BATCH knows operation n
 * @out_unit_size: bytes of a unit, the grain at which an allocator should
 *	decommit: smaller pieces work, down to a page, but cost as much each
 * @out_batch_max: most operations in one BATCH
 * @out_align_min: smallest and default alignment of a reservation, in bytes
 * @out_align_max: largest alignment of a reservation, in bytes
 * @out_reservations_max: reservations a process may have at a time
 * @out_bytes_max: bytes a process may have reserved at a time
 * @out_purge_map_bytes_max: bytes of purge maps a process may have bound at a
 *	time
 * @out_purge_unit_min: smallest unit of a purge map, in bytes
 * @out_purge_unit_max: largest unit of a purge map, in bytes
 *
 * Errors: -EINVAL, -E2BIG, -EOPNOTSUPP, -EFAULT.
 */
struct tract_info {
	__u32 size;
	__u32 flags;
	__u32 out_abi_version;
	__u32 out_page_size;
	__u64 out_features;
	__u64 out_reserve_flags;
	__u64 out_op_mask;
	__u32 out_unit_size;
	__u32 out_batch_max;
	__u64 out_align_min;
	__u64 out_align_max;
	__u64 out_reservations_max;
	__u64 out_bytes_max;
	__u64 out_purge_map_bytes_max;
	__u32 out_purge_unit_min;
	__u32 out_purge_unit_max;
};

/* The whole reservation stays out of core dumps. */
#define TRACT_RESERVE_NODUMP (1U << 0)
/* No huge pages; in return DECOMMIT takes no mmap_lock on any kernel. */
#define TRACT_RESERVE_NOHUGE (1U << 1)
/*
 * Each page has a state of its own (see enum tract_op_code).  No huge pages, and
 * DECOMMIT takes no mmap_lock on any kernel, as with TRACT_RESERVE_NOHUGE.
 */
#define TRACT_RESERVE_TRAP (1U << 2)
/* An island: every byte within @reach of @near. */
#define TRACT_RESERVE_NEAR (1U << 3)
/* The memory is executable as well as readable and writable. */
#define TRACT_RESERVE_EXEC (1U << 4)

/**
 * struct tract_reserve - ioctl(TRACT_IOC_RESERVE): make a reservation
 * @size: sizeof(struct tract_reserve)
 * @flags: TRACT_RESERVE_* or 0
 * @length: bytes, a multiple of the page size, not 0
 * @align: alignment of the address in bytes: a power of two from
 *	out_align_min to out_align_max of INFO, or 0 for out_align_min; with
 *	TRACT_RESERVE_NEAR from the page size, and 0 for the page size
 * @out_address: where it starts
 * @out_id: its name in BATCH and STATS, never 0
 * @near: with TRACT_RESERVE_NEAR any address, mapped or not; else 0
 * @reach: with TRACT_RESERVE_NEAR bytes, not 0; else 0
 *
 * The memory is readable and writable, private, reads as zero, counts towards
 * RLIMIT_AS, and is not charged against the commit limit unless
 * vm.overcommit_memory is 2.  The reservation is one VMA and remains one.
 * When @out_address or @out_id cannot be written the reservation is undone.
 *
 * With TRACT_RESERVE_NEAR it lies within [@near - @reach, @near + @reach), cut
 * at the ends of the address space: of the free ranges there that which is
 * nearest to @near, found and taken in one step that no other mapping can come
 * between.  -EADDRNOTAVAIL says that there is none, and nothing else does.  The
 * 1 GiB above the heap of brk(2), into which that grows, is taken from only when
 * nothing else is free.
 *
 * With TRACT_RESERVE_TRAP every page is committed at first: it may be used at
 * once, as that of a plain reservation.  A fork copies the states with the
 * memory: the child's pages keep them as they were at the fork, whatever the
 * owner does, and have them for ever, as the child has no operations.
 *
 * Sizes up to 40, without @near and @reach, are accepted as well.
 *
 * Errors: -EINVAL for a length, alignment, near or reach outside the above;
 * -EOPNOTSUPP for an unknown flag; -ENOSPC when the process would exceed
 * out_reservations_max or out_bytes_max; -ENOMEM without memory, address space,
 * room under RLIMIT_AS or the commit limit, or room in the map
 * (vm.max_map_count); -EADDRNOTAVAIL with TRACT_RESERVE_NEAR only; -EACCES or
 * -EPERM with TRACT_RESERVE_EXEC where the process may not have memory that is
 * writable and executable; -EINTR for a fatal signal; -E2BIG; -EFAULT.
 */
struct tract_reserve {
	__u32 size;
	__u32 flags;
	__u64 length;
	__u64 align;
	__u64 out_address;
	__u64 out_id;
	__u64 near;
	__u64 reach;
};

/**
 * enum tract_op_code - operations of a batch
 * @TRACT_OP_DECOMMIT: drop the pages; the range reads as zero afterwards, or, on
 *	a trapped reservation, is uncommitted.  Takes
 *	no mmap_lock (see TRACT_FEATURE_LOCKLESS_HUGE) and changes no VMA.  A
 *	pinned page behaves as with truncation: the range reads as zero, the
 *	pin keeps its old page.  mlock() has no effect on a reservation, or, on
 *	kernels without TRACT_FEATURE_LOCKLESS_HUGE and without
 *	TRACT_RESERVE_NOHUGE, does not keep its pages from being dropped.
 *	The caller must not use the range until the call returns.  -EBUSY, and
 *	nothing dropped, while a forked child maps the reservation
 *	and TRACT_FEATURE_SHARED_ZAP is absent: use madvise() then.  (A range
 *	of more than 32 MiB is dropped in pieces: what went before a child
 *	appeared stays dropped.)
 * @TRACT_OP_POPULATE: fault the range in for writing; contents stay.  Takes
 *	mmap_lock for reading, a bounded piece at a time.  -ENOENT where the
 *	owner has unmapped or replaced a part of the range, -ENOMEM when there
 *	is no memory, -EFAULT where the range may not be written, for its
 *	protection or the state of its pages; pages populated before that stay.
 * @TRACT_OP_COMMIT: the range is no longer uncommitted.
 * @TRACT_OP_GUARD: drop the pages and set guards.  Else as DECOMMIT, -EBUSY
 *	included.
 * @TRACT_OP_UNGUARD: take the guards away.
 * @TRACT_OP_NODUMP: leave the pages out of core dumps.
 * @TRACT_OP_DODUMP: no longer leave them out.
 * @TRACT_OP_DISCARD: drop the pages, and nothing else: what they were they
 *	stay.  Else as DECOMMIT, -EBUSY included; on a plain reservation the
 *	two are one.
 *
 * COMMIT, GUARD, UNGUARD, NODUMP and DODUMP are for trapped reservations, of
 * which each page has three bits that each operation on the page leaves alone
 * but its own:
 *
 *   uncommitted   set by DECOMMIT, cleared by COMMIT; clear at first
 *   guard         set by GUARD, cleared by UNGUARD; clear at first
 *   nodump        set by NODUMP, cleared by DODUMP; clear at first
 *
 * DECOMMIT, GUARD and DISCARD drop the page whatever its bits were, also when
 * their bit is set already; the others never touch what is in it.  To set what
 * is set, or clear what is clear, is no error.  So
 *
 *   page is              touch     COMMIT   UNGUARD  DECOMMIT  GUARD  DISCARD
 *   committed            works     as it is as it is unc.      guard  zero
 *   uncommitted          SIGSEGV   zero     as it is unc.      both   unc.
 *   guard                SIGSEGV   as it is zero     both      guard  guard
 *   both                 SIGSEGV   guard    unc.     both      both   both
 *
 * where zero is a committed page that reads as zero.  The state of a page that
 * another thread touches while the operation runs is the one or the other; once
 * the call has returned it is the new one, and nothing written before is there.
 *
 * A touch of a guard or an uncommitted page, be it to read, write or execute,
 * is a SIGSEGV with si_addr that address and si_code SEGV_MAPERR (SEGV_ACCERR
 * where mprotect() forbids the access anyway).  A system call that is given such
 * memory fails with -EFAULT; so do ptrace() and POPULATE.
 *
 * In a core dump guards, uncommitted pages and nodump pages are holes, and cost
 * neither memory nor time, though a nodump page may have been present: the dump
 * drops it.  While another process uses the same mm, as after vfork(), nothing may
 * be dropped; a reservation with nodump pages is then left out whole, in dumps of
 * either process from then on.
 *
 * To write to a page may map the kernel's page of zeroes for committed pages around
 * it that are empty: mincore() then says that they are resident, but they are not
 * counted as memory.
 *
 * madvise(MADV_DONTNEED) acts as DISCARD, in a child too.
 *
 * Ranges of pages cost memory of the kernel (some 50 bytes each, however long
 * they are), which is charged to the process's memory cgroup: an operation may
 * fail with -ENOMEM, or with -ENOSPC where the process would have more than the
 * module parameter states_max allows.  Of a range of more than 32 MiB what went
 * before stays done.  None of these operations takes mmap_lock or changes a VMA.
 */
enum tract_op_code {
	TRACT_OP_DECOMMIT = 1,
	TRACT_OP_POPULATE = 2,
	TRACT_OP_COMMIT = 3,
	TRACT_OP_GUARD = 4,
	TRACT_OP_UNGUARD = 5,
	TRACT_OP_NODUMP = 6,
	TRACT_OP_DODUMP = 7,
	TRACT_OP_DISCARD = 8
};

/* The most operations in one batch. */
#define TRACT_BATCH_MAX 1024

/**
 * struct tract_op - one operation of a batch
 * @op: enum tract_op_code
 * @out_result: 0 or a negative errno
 * @id: the reservation
 * @offset: bytes from the reservation's start, a multiple of the page size
 * @length: bytes, a multiple of the page size, not 0
 */
struct tract_op {
	__u32 op;
	__s32 out_result;
	__u64 id;
	__u64 offset;
	__u64 length;
};

/**
 * struct tract_batch - ioctl(TRACT_IOC_BATCH): operations in order
 * @size: sizeof(struct tract_batch)
 * @flags: must be 0, else -EOPNOTSUPP
 * @ops: user pointer to @count structures tract_op
 * @count: 1 to TRACT_BATCH_MAX, else -EINVAL
 * @out_completed: operations that were carried out, in order from the first,
 *	whatever their result; also written when the call is stopped by a
 *	fatal signal
 * @out_failed: of these, how many have a result that is not 0
 * @reserved: must be 0
 *
 * The array is read and checked whole before the first operation runs.  If one
 * is malformed the call fails, nothing has been done, @out_completed is 0 and
 * out_result of that operation has the errno too: -EOPNOTSUPP for an unknown
 * op, -ENOENT for an id that is not the caller's, -EINVAL for an offset or
 * length that is unaligned, zero, overflowing or outside, or an operation that is
 * not for that kind of reservation.  Otherwise the call
 * returns 0 and each operation has its own result.  Neighbouring ranges of
 * consecutive operations of one kind on one reservation are carried out as one
 * and share their result.  Operations should not overlap; if they do they act
 * in order.
 *
 * The work yields the processor at bounded intervals.  A fatal signal stops it
 * between two pieces: the call fails with -EINTR.
 *
 * Errors: the above; -ENOMEM when the kernel has none for its copy of the
 * array; -EFAULT when the array cannot be read, or written (checked before the
 * first operation); -E2BIG.
 */
struct tract_batch {
	__u32 size;
	__u32 flags;
	__aligned_u64 ops;
	__u32 count;
	__u32 out_completed;
	__u32 out_failed;
	__u32 reserved;
};

/**
 * enum tract_scope - what STATS speaks of
 * @TRACT_SCOPE_RESERVATION: one reservation, named by @id.
 * @TRACT_SCOPE_PROCESS: the reservations that a process owns, @pid, 0 the caller.
 * @TRACT_SCOPE_SYSTEM: all since the module was loaded.
 */
enum tract_scope {
	TRACT_SCOPE_RESERVATION = 1,
	TRACT_SCOPE_PROCESS = 2,
	TRACT_SCOPE_SYSTEM = 3
};

/*
 * With TRACT_SCOPE_RESERVATION: the reservation with the smallest id above @id
 * that the caller may see, of any process (@pid -1) or of one.  -ENOENT after
 * the last.  Starting from 0 this lists them all.
 */
#define TRACT_STATS_NEXT (1U << 0)

/**
 * struct tract_stats - ioctl(TRACT_IOC_STATS): what has happened
 * @size: sizeof(struct tract_stats)
 * @flags: TRACT_STATS_NEXT or 0
 * @scope: enum tract_scope, else -EINVAL
 * @pid: process in the caller's pid namespace, 0 for the caller itself; -1 only
 *	with TRACT_STATS_NEXT; must be 0 with TRACT_SCOPE_SYSTEM
 * @id: the reservation; must be 0 for the other scopes
 * @out_id: the reservation's id, else 0
 * @out_address: where the reservation was made, else 0
 * @out_pid: the owner in the caller's pid namespace; 0 if it is not visible
 *	there, is gone, or the scope is the system
 * @out_reserve_flags: TRACT_RESERVE_* of the reservation, else 0
 * @out_reservations: reservations that exist
 * @out_reserved_bytes: their lengths
 * @out_populated_bytes: bytes that POPULATE was carried out on, a running total
 * @out_decommitted_bytes: bytes that DECOMMIT or DISCARD was carried out on,
 *	likewise, whether or not there was a page behind each
 * @out_operations: operations of batches carried out, a running total
 * @out_refused_zaps: DECOMMIT operations refused because a forked child maps
 *	the reservation, a running total
 * @out_map_count: VMAs of the process (owner of the reservation), 0 for the
 *	system or when the process is gone
 * @out_map_max: vm.max_map_count; 0 when /proc is not where the caller can see
 *	it.  Less @out_map_count it is the headroom.
 * @out_offered_units: units that purge maps offered, as the process counts them
 *	(tract_purge_header.offered), a running total like those below
 * @out_reused_units: units taken back intact, likewise
 * @out_purged_age_bytes: bytes purged by sweeps
 * @out_purged_pressure_bytes: bytes purged because memory was short
 * @out_sweeps: times that a sweep looked at a map
 * @out_sweep_ns: time spent in these, in nanoseconds
 * @out_skipped_sweeps: sweeps that left a map alone because a forked child
 *	shares the pages
 *
 * The counters of a process include those of its reservations that are gone,
 * as long as it has had at least one reservation throughout; those of the
 * system include everything since the module was loaded.
 *
 * Permission: a process may ask about itself.  About another process, if the
 * caller's effective user id equals that process's real, effective and saved
 * ones, or with CAP_SYS_PTRACE in its user namespace.  About the system: with
 * CAP_SYS_PTRACE in the initial user namespace.  Else -EPERM.
 *
 * Errors: -EPERM; -ESRCH for a pid that names no process; -ENOENT for an id that
 * names no reservation of that process; -EINVAL; -EOPNOTSUPP; -E2BIG; -EFAULT.
 * A process without reservations is no error: its counters are 0.
 */
struct tract_stats {
	__u32 size;
	__u32 flags;
	__u32 scope;
	__s32 pid;
	__u64 id;
	__u64 out_id;
	__u64 out_address;
	__s32 out_pid;
	__u32 out_reserve_flags;
	__u64 out_reservations;
	__u64 out_reserved_bytes;
	__u64 out_populated_bytes;
	__u64 out_decommitted_bytes;
	__u64 out_operations;
	__u64 out_refused_zaps;
	__u64 out_map_count;
	__u64 out_map_max;
	__u64 out_offered_units;
	__u64 out_reused_units;
	__u64 out_purged_age_bytes;
	__u64 out_purged_pressure_bytes;
	__u64 out_sweeps;
	__u64 out_sweep_ns;
	__u64 out_skipped_sweeps;
};

/**
 * enum tract_unit - states of a unit in a purge map, one byte each
 * @TRACT_UNIT_LIVE: in use; the module never touches it.
 * @TRACT_UNIT_VOLATILE: disposable, contents intact.  The process stores it
 *	(release, after its last access to the unit).
 * @TRACT_UNIT_AGED: disposable for at least one sweep.  The module: VOLATILE to
 *	AGED, by compare-exchange.
 * @TRACT_UNIT_PURGING: claimed by who drops its pages, the module or the process
 *	itself: VOLATILE or AGED to PURGING, by compare-exchange.  Nobody but the
 *	claimer changes it.
 * @TRACT_UNIT_PURGED: gone, reads as zero.  The claimer, after the zap: PURGING
 *	to PURGED (release).
 *
 * The process takes a unit back by compare-exchange from VOLATILE or AGED
 * (contents intact) or PURGED (zero) to LIVE, acquire.  While it is PURGING it
 * takes another, or waits for the claimer.  Any other byte counts as LIVE.
 */
enum tract_unit {
	TRACT_UNIT_LIVE = 0,
	TRACT_UNIT_VOLATILE = 1,
	TRACT_UNIT_AGED = 2,
	TRACT_UNIT_PURGING = 3,
	TRACT_UNIT_PURGED = 4
};

/* tract_purge_header.flags, set and cleared by the module. */

/*
 * A forked child shares the pages and the kernel lacks
 * TRACT_FEATURE_SHARED_ZAP: sweeps leave the units as they are.  The process may
 * claim them and use madvise() itself.
 */
#define TRACT_PURGE_SHARED (1U << 0)

/**
 * struct tract_purge_header - the first bytes of a purge map's header page
 * @offered: units offered so far; the process adds to it after it has stored
 *	VOLATILE (release).  A sweep passes over a map whose @offered has not
 *	changed and in which it left nothing to age.
 * @reused: units taken back intact so far, added to by the process; only STATS
 *	looks at it
 * @reserved_process: the process's side; must stay 0
 * @sweeps: sweeps that looked at the map, written by the module
 * @purged: units purged by the module so far
 * @flags: TRACT_PURGE_* bits
 * @reserved_module: the module's side; reads as 0
 *
 * Each side writes its own cache line and never the other's.
 */
struct tract_purge_header {
	__u64 offered;
	__u64 reused;
	__u64 reserved_process[6];
	__u64 sweeps;
	__u64 purged;
	__u32 flags;
	__u32 reserved_module[11];
};

/* Unbind the map that the reservation has; -ENOENT if it has none. */
#define TRACT_PURGE_MAP_UNBIND (1U << 0)

/* tract_purge_map.decay_ms: never by age, only under memory pressure. */
#define TRACT_DECAY_NEVER 0xffffffffU

/**
 * struct tract_purge_map - ioctl(TRACT_IOC_PURGE_MAP): bind an array of states
 * @size: sizeof(struct tract_purge_map)
 * @flags: TRACT_PURGE_MAP_UNBIND or 0
 * @id: the reservation, of the caller's own
 * @address: of the header page, a multiple of the page size: a struct
 *	tract_purge_header, then at the next page one byte for each whole unit
 *	of the reservation, in order.  Private anonymous memory of the caller,
 *	writable.
 * @length: bytes at @address: a page and the array rounded up to pages
 * @unit_size: bytes of a unit: a power of two from out_purge_unit_min to
 *	out_purge_unit_max of INFO and at most the reservation's length, or 0 for
 *	out_unit_size
 * @decay_ms: how long a unit stays disposable before it is purged for its age,
 *	10 to 3600000, or TRACT_DECAY_NEVER, or 0 for 1000.  A unit goes not
 *	before half of this and, on an idle machine, not long after it.
 *
 * The pages are pinned; the module reads and writes them directly until the map
 * is unbound: by UNBIND, by binding another, or when the reservation or the
 * process's mm ceases to exist (exec, exit), in any order.  It purges units whose
 * byte offers them: by age in sweeps of its own, and at once, aged units first,
 * when memory is short, be it the machine's or that of the memory cgroup that
 * the caller was in.  No call is made, no mmap_lock taken (as for DECOMMIT).
 *
 * On a trapped reservation the module drops pages as DISCARD does: what they
 * were they stay.  Of a unit that is PURGED the committed pages read as zero; a
 * touch of the others is a SIGSEGV, as it was.
 *
 * When a call that unbinds a map returns, no unit is PURGING by the module's
 * hand, and none will be purged by that map any more.
 *
 * A forked child has a copy of the array that the module does not look at: what
 * it holds says nothing about the child's memory.  With UNBIND @address, @length,
 * @unit_size and @decay_ms must be 0.  Whatever a process writes into its map,
 * only units of that reservation can be affected, in that process alone.
 *
 * Errors: -ENOENT for an id that is not the caller's, or nothing to unbind;
 * -EINVAL for @address, @length, @unit_size or @decay_ms outside the above, or
 * memory that is not private and anonymous; -EFAULT when it is not mapped, not
 * writable, or cannot be pinned; -ENOSPC when the process would exceed
 * out_purge_map_bytes_max, to which the old map still counts; -ENOMEM; -EINTR
 * for a fatal signal; -EOPNOTSUPP; -E2BIG.  When binding fails the old map, if
 * any, stays bound.
 */
struct tract_purge_map {
	__u32 size;
	__u32 flags;
	__u64 id;
	__u64 address;
	__u64 length;
	__u32 unit_size;
	__u32 decay_ms;
};

#endif /* _UAPI_LINUX_TRACT_H */
