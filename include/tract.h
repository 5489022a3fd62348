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
 *
 * Bytes throughout.
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
};

/**
 * tract_heap_stats() - fills in @stats
 * @size: sizeof(*stats) of the caller; so much is written
 *
 * Exact while no other thread allocates or frees; else each number is one that
 * was true during the call.  Takes the time of a look at every span.
 */
void tract_heap_stats(struct tract_heap_stats *stats, size_t size);

#ifdef __cplusplus
}
#endif

#endif
