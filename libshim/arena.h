/* SPDX-License-Identifier: MIT */
/*
 * Units of address space: runs are handed out, taken back, merged with their
 * free neighbours, and purged after a while.
 *
 * What is given back is offered in the region's purge map and keeps its contents
 * until somebody drops its pages: the module where it keeps the map, else
 * purge.c.  A free run is dirty (offered when last looked at) or clean (reads as
 * zero, has no pages); only neighbours of one kind merge.
 *
 * The arena's lock is the innermost but for the backend's.  It is not held while
 * memory is purged.
 */
#ifndef TRACT_ARENA_H
#define TRACT_ARENA_H

#include "span.h"

/*
 * A run of kind LARGE of at least @units units, its address a multiple of @align
 * bytes (a power of two; UNIT_SIZE or less asks nothing).  base, units, region
 * and dirty_units are set; the first dirty_units units may hold old contents, the
 * others read as zero.  NULL: no memory.
 *
 * With @spare the run is that much longer if a clean one is at hand: room to
 * grow in place, of which no page is touched until it is needed.
 */
struct span *tract__arena_alloc(size_t units, size_t spare, size_t align);

/* The same in memory that does not go for its age. */
struct span *tract__arena_alloc_cache(size_t units);

/* Memory in use whose pages had been dropped is about to get some again. */
void tract__arena_note_growth(void);

/* All of a run goes back.  Its first dirty_units may have been written to. */
void tract__arena_free(struct span *span);

/* Makes the run at least @units long where it stands; false: no room. */
bool tract__arena_grow(struct span *span, size_t units);

/* Gives back what is beyond @units. */
void tract__arena_shrink(struct span *span, size_t units);

/*
 * The run in use of kind LARGE that @p lies in, anywhere, and the number of its
 * unit there; or NULL.
 */
struct span *tract__arena_find(const void *p, size_t *unit);

/* Offers units [@first, @first + @units) of a run in use. */
void tract__arena_offer(struct span *span, size_t first, size_t units);

/*
 * Takes them back and says how many were purged and read as zero.  -EAGAIN, and
 * nothing has changed, when one of them is being purged, and long.
 */
int tract__arena_reclaim(struct span *span, size_t first, size_t units,
			 size_t *purged);

/* Gives back at once what is offered of a run in use. */
void tract__arena_purge(struct span *span);

/* Does it come from tract__arena_alloc_cache()? */
bool tract__arena_is_cache(const struct span *span);

/*
 * A run of kind SMALL for blocks of @class with a tally for bitmaps of @words words
 * each, in hardened mode with held bits; contents undefined.
 */
struct span *tract__arena_alloc_small(size_t units, unsigned int words,
				      unsigned int class);

/* Zeroed metadata that is never freed, or NULL. */
void *tract__arena_alloc_meta(size_t size);

struct arena_stats {
	size_t reservations;
	size_t reserved_bytes;
	size_t span_bytes; /* in runs that are in use */
	size_t dirty_bytes;
	size_t metadata_bytes;	 /* address space of it */
	uint64_t purged_bytes;	 /* total */
	uint64_t purges;	 /* ranges purged, total */
	uint64_t runs_allocated; /* total */
	uint64_t runs_freed;	 /* total */
};

void tract__arena_stats(struct arena_stats *stats);

/* Visits every run in use, in order of address, under the arena's lock. */
void tract__arena_visit(void (*visit)(struct span *span, void *arg), void *arg);

void tract__arena_fork_prepare(void);
void tract__arena_fork_parent(void);
void tract__arena_fork_child(void);

#endif
