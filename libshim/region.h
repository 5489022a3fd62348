/* SPDX-License-Identifier: MIT */
/*
 * Regions and the runs in them: what arena.c and purge.c share, and nobody else
 * sees.  All under the arena's lock.
 *
 * A region is one reservation with a header for each of its units.  The first
 * and the last header of a free run say its kind and length (boundary tags): a
 * run finds its free neighbours by looking at the headers beside its own.  Inside
 * a run, and at the last unit of a run in use, the kind is SPAN_NONE.
 */
#ifndef TRACT_REGION_H
#define TRACT_REGION_H

#include "backend.h"
#include "lock.h"
#include "runs.h"
#include "span.h"

/* Reservations double, so this many are beyond any address space. */
#define REGIONS_MAX 64

/*
 * A region whose reservation has been given back keeps its headers, for stale
 * looks and for the next region that they are enough for.
 */
struct region {
	struct reservation reservation;
	struct span *spans;
	size_t units; /* 0: no reservation */
	size_t spans_max;
};

struct arena {
	struct lock lock; /* all below */
	struct region regions[REGIONS_MAX];
	unsigned int region_count;
	size_t reserved_units;
	size_t used_units;
	bool initialised;
	struct runs dirty;
	struct runs clean;
	struct list age; /* dirty runs, oldest first */
	struct {
		uint32_t since;	   /* ms */
		size_t given;	   /* units given back and not taken since */
		size_t retaken[2]; /* units: this decay, the one before */
	} flow;
	uint32_t pause_ms; /* 0: purging works */
	uint32_t failed_at;
	uint64_t purged_units;
	uint64_t purges;
	uint64_t allocated;
	uint64_t freed;
};

extern struct arena tract__arena;

static inline struct runs *runs_of(enum span_kind kind)
{
	return kind == SPAN_DIRTY ? &tract__arena.dirty : &tract__arena.clean;
}

static inline struct region *region_of(const struct span *span)
{
	return &tract__arena.regions[span->region];
}

static inline size_t index_of(const struct span *span)
{
	return (size_t)(span - region_of(span)->spans);
}

/* A free run out of the index: it is in nobody's hands. */
void tract__region_take(struct span *span);

/*
 * A free run into the index, merged with free neighbours of its kind.  A dirty
 * run that merges is as old as its oldest part: a small one that comes and goes
 * beside it must not keep it from being purged.
 */
void tract__region_insert(struct region *region, size_t index, size_t units,
			  enum span_kind kind, uint32_t freed_at);

/* Gives back [@from, @from + @units) of a region, split by what was written. */
void tract__region_give_back(struct region *region, size_t from, size_t units,
			     size_t dirty);

/* Cuts the run @span, taken, to [@skip, @skip + @units). */
struct span *tract__region_carve(struct span *span, size_t skip, size_t units,
				 bool dirty);

/* Reserves a region of @units units or more.  -ENOMEM. */
int tract__region_add(size_t units);

/*
 * The last resort when address space is short: reservations nothing is in go
 * back whole, so that their place can be reserved in one piece.
 */
bool tract__region_release_free(void);

#endif
