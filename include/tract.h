/* SPDX-License-Identifier: MIT */
/*
 * The C API of libtract.so, beside the malloc family.
 *
 * All functions may be called from any thread at any time, before main() and
 * after a fork() included; none is safe in a signal handler.
 */
#ifndef TRACT_H
#define TRACT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TRACT_VERSION "0.1.0"

/** tract_version() - version of the library that is loaded, as "1.2.3" */
const char *tract_version(void);

/**
 * tract_backend() - where memory comes from
 *
 * Return: "module" when at least one reservation of this process came from
 * /dev/tract, "plain" when all came from mmap(), "none" before the first.
 */
const char *tract_backend(void);

/**
 * struct tract_heap_stats - what the allocator holds
 * @reservations: reservations, each one VMA
 * @reserved_bytes: address space of them
 * @live_bytes: of blocks allocated and not freed, as malloc_usable_size() tells
 * @live_blocks: their number
 * @span_bytes: of spans that hold live blocks or wait for more
 * @dirty_bytes: free, not yet given back
 * @metadata_bytes: address space of the allocator's own data
 * @decommitted_bytes: given back so far, a running total
 * @spans_allocated: spans and large blocks made, a running total
 * @spans_freed: of these, found empty and taken apart
 * @cached_bytes: of free blocks in spans that also hold live ones, or that wait
 *	for more
 * @cached_blocks: their number
 *
 * Bytes, unless said otherwise.  What is left of @span_bytes after live and
 * cached bytes is too small for a block, or room for a large block to grow.
 */
struct tract_heap_stats {
	size_t reservations;
	size_t reserved_bytes;
	size_t live_bytes;
	size_t live_blocks;
	size_t span_bytes;
	size_t dirty_bytes;
	size_t metadata_bytes;
	uint64_t decommitted_bytes;
	uint64_t spans_allocated;
	uint64_t spans_freed;
	size_t cached_bytes;
	size_t cached_blocks;
};

/**
 * tract_heap_stats() - fills in @stats
 * @size: sizeof(*stats) of the caller; so much is written, with zero for what
 *	this library does not know yet
 *
 * Exact while no other thread allocates or frees; else blocks that are on their
 * way at that moment may count or not.  Takes the time of a look at every span.
 */
void tract_heap_stats(struct tract_heap_stats *stats, size_t size);

/**
 * struct tract_class_stats - what one size class holds
 * @block_size: bytes of each of its blocks; 0: blocks too large for a class,
 *	which have a span each
 * @spans: spans of the class
 * @span_bytes: their bytes of address space
 * @live_blocks: blocks allocated and not freed
 * @live_bytes: their bytes, as malloc_usable_size() tells
 * @cached_blocks: free blocks in these spans
 * @cached_bytes: their bytes, which may or may not have memory behind them
 */
struct tract_class_stats {
	size_t block_size;
	size_t spans;
	size_t span_bytes;
	size_t live_blocks;
	size_t live_bytes;
	size_t cached_blocks;
	size_t cached_bytes;
};

/**
 * tract_heap_class_stats() - what each size class holds
 * @stats: array of @count entries, from the smallest class to the large blocks
 * @count: 0 only asks how many there are
 * @size: sizeof(*stats) of the caller
 *
 * All classes are looked at in one go, and add up to what tract_heap_stats()
 * says at rest.  Exact while no other thread allocates or frees.  Reservations
 * are not divided by class: any span may lie in any of them.
 *
 * Return: the number of classes, large blocks among them, whatever @count was;
 * the first @count are written.
 */
size_t tract_heap_class_stats(struct tract_class_stats *stats, size_t count,
			      size_t size);

/*
 * Islands: memory near an address, for code that must be within reach of other
 * code.
 */
struct tract_island;

/* The largest island, in bytes. */
#define TRACT_ISLAND_MAX ((size_t)1 << 31)

/**
 * tract_island_create() - reserve memory near an address
 * @near: any address, mapped or not
 * @reach: bytes; every byte of the island is at most so far from @near
 * @size: bytes, rounded up to whole pages; at most TRACT_ISLAND_MAX
 *
 * Takes the nearest free range, in one mapping, which is readable and writable.
 * Pages may be given other protections, PROT_EXEC included, by mprotect(); that
 * splits the mapping as always.
 *
 * Any thread may use any island.  After a fork() parent and child have each
 * their own.
 *
 * Return: the island, or NULL with errno EADDRNOTAVAIL when no range within
 * reach is free, ENOMEM without memory or room in the map, EINVAL for the size.
 */
struct tract_island *tract_island_create(const void *near, size_t reach,
					 size_t size);

/**
 * tract_island_alloc() - a block of an island
 * @size: bytes, rounded up to whole pages
 *
 * Lock-free.  The block is page-aligned and reads as zero.  A block of more
 * than 64 pages starts at a multiple of 64 pages from the island's start; a
 * smaller one does not cross such a multiple.
 *
 * Return: the block, or NULL with errno ENOMEM when there is no room for it,
 * EINVAL when it is 0 or larger than the island.
 */
void *tract_island_alloc(struct tract_island *island, size_t size);

/**
 * tract_island_free() - give a block back, its pages included
 * @p: what tract_island_alloc() returned, or NULL
 * @size: what it was asked for
 *
 * Lock-free.  A block whose protection was changed is made readable and
 * writable again by the caller first.
 */
void tract_island_free(struct tract_island *island, void *p, size_t size);

/** tract_island_base(), tract_island_size() - where it is, and its bytes */
void *tract_island_base(const struct tract_island *island);
size_t tract_island_size(const struct tract_island *island);

/** tract_island_destroy() - unmap an island, all of its blocks included */
void tract_island_destroy(struct tract_island *island);

/*
 * Stack pools: stacks for coroutines, each with a guard at its low end.
 */
struct tract_stack_pool;

/* The largest stack, and the largest guard, in bytes. */
#define TRACT_STACK_MAX ((size_t)1 << 30)

/**
 * tract_stack_pool_create() - a pool of stacks of one size
 * @size: bytes of a stack without its guard, rounded up to whole pages
 * @guard: bytes of a guard, rounded up to whole pages; 0: one page
 *
 * Reserves nothing yet; then the pool grows in steps as large as all before.
 * It needs a mapping or two for each step, however many stacks there are, where
 * the module gives trapped reservations or the kernel has guard markers (6.13
 * and later).  Elsewhere each guard takes two mappings, so that a process may
 * have some vm.max_map_count / 2 stacks.
 *
 * Any thread may use any pool.  After a fork() parent and child have each their
 * own copy; what a child allocates beyond the stacks that have been in use
 * comes from reservations of its own.
 *
 * Return: the pool, or NULL with errno EINVAL for the sizes, or ENOMEM.
 */
struct tract_stack_pool *tract_stack_pool_create(size_t size, size_t guard);

/**
 * tract_stack_alloc() - take a stack
 *
 * Of returned stacks the last one returned is taken, with whatever contents it
 * has.  A stack that was not in use before reads as zero.
 *
 * Return: its lowest byte that may be used, page-aligned, below which the guard
 * is; or NULL with errno ENOMEM.
 */
void *tract_stack_alloc(struct tract_stack_pool *pool);

/**
 * tract_stack_free() - return a stack
 * @stack: what tract_stack_alloc() returned, or NULL
 *
 * Its pages go back to the kernel later, when the pool is used: when decay_ms
 * (see libtract(3)) have passed, or when more stacks wait for it than are in
 * use.  A pool that is not used keeps them until tract_stack_pool_trim().
 * A pointer that is no stack of the pool in use ends the program.
 */
void tract_stack_free(struct tract_stack_pool *pool, void *stack);

/** tract_stack_pool_trim() - give the pages of all returned stacks back */
void tract_stack_pool_trim(struct tract_stack_pool *pool);

/** tract_stack_pool_destroy() - unmap a pool, stacks in use included */
void tract_stack_pool_destroy(struct tract_stack_pool *pool);

/*
 * Volatile memory: what a program can do without, and would rather keep.
 *
 * Memory that is offered may lose its contents at any time from then on, without
 * a word; taken back, it says whether it did.  Both are stores to the program's
 * own memory, no system calls.  Without the module nobody notices that memory is
 * short; then what is offered goes by tract_offer()'s rules for age, or by
 * malloc_trim(0), and otherwise stays.
 *
 * A part is what the two functions take: it starts in a block of more than
 * 160 KiB from any function of the malloc family, or of any size from
 * tract_cache_alloc() or aligned to TRACT_UNIT_SIZE by aligned_alloc(), at a
 * multiple of TRACT_UNIT_SIZE, as such blocks do; its length is a multiple of that
 * too, unless it ends with the block, which then takes along the rest of
 * its last unit.
 *
 * A part that is offered must be neither read nor written; it may be offered
 * again, freed with its block, or cut off by realloc(), whose copy of it, if it
 * makes one, is undefined.  Different threads may use different parts at the same
 * time; who offers and takes back the same one takes turns.  After fork() what was
 * offered is lost to the child: it gets TRACT_PURGED for it.
 */

/** TRACT_UNIT_SIZE - grain of volatile memory, in bytes */
#define TRACT_UNIT_SIZE ((size_t)65536)

/**
 * enum tract_reclaimed - what became of memory that had been offered
 * @TRACT_INTACT: nothing: all contents are as they were
 * @TRACT_PARTLY: some units read as zero, the others are as they were
 * @TRACT_PURGED: all of it reads as zero
 */
enum tract_reclaimed {
	TRACT_INTACT = 0,
	TRACT_PARTLY = 1,
	TRACT_PURGED = 2
};

/**
 * tract_cache_alloc() - a block for what can be had again
 * @size: bytes, rounded up to units; not 0
 *
 * As from aligned_alloc(TRACT_UNIT_SIZE, size), to be freed by free(); but parts
 * of it that are offered go only when memory is short (of the machine, or of the
 * memory cgroup the process was in), or by malloc_trim(0), and never for their
 * age.  What of it is freed goes back at once.
 *
 * Return: the block, or NULL with errno ENOMEM, or EINVAL for a size of 0.
 */
void *tract_cache_alloc(size_t size);

/**
 * tract_offer() - say that memory may be dropped
 * @p: start of a part
 * @size: its length in bytes
 *
 * Units of it that are offered already stay so.  In a block of the malloc family
 * a unit goes about decay_ms (see TRACT_OPTIONS in libtract(3)) after it was
 * offered, as free memory does; in one of tract_cache_alloc() when memory is
 * short.
 *
 * Return: 0, or -1 with errno EINVAL when [p, p + size) is no part of a live
 * block.
 */
int tract_offer(void *p, size_t size);

/**
 * tract_reclaim() - take memory back that was offered
 * @p: start of a part
 * @size: its length in bytes
 *
 * Units that were not offered count as intact.  Waits for a purge of some unit
 * that is under way, a few microseconds as a rule.
 *
 * Return: enum tract_reclaimed, or -1 with errno EINVAL as above, EAGAIN when
 * that purge did not end within half a second; all is as it was then.
 */
int tract_reclaim(void *p, size_t size);

#ifdef __cplusplus
}
#endif

#endif
