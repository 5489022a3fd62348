/* SPDX-License-Identifier: MIT */
/*
 * Regions and the free runs in them: what arena.c, fit.c and purge.c share, and
 * nobody else sees.  Under the arena's lock, but for what purge.c says.
 *
 * A region is one reservation with a header for each of its units and a purge
 * map.  The first and the last header of a free run say its kind and length
 * (boundary tags): a run finds its free neighbours by looking at the headers
 * beside its own.  Inside a run, and at the last unit of a run in use, the kind
 * is SPAN_NONE.
 *
 * The kind of a free run is what was last known: in the map every unit of a
 * CLEAN run is LIVE (never used) or PURGED, none of a DIRTY one LIVE; but any
 * unit of it may have become PURGED without a word.
 */
#ifndef TRACT_REGION_H
#define TRACT_REGION_H

#include "backend.h"
#include "lock.h"
#include "options.h"
#include "purge.h"
#include "purge_map.h"
#include "runs.h"
#include "span.h"

/* Reservations double, so this many are beyond any address space. */
#define REGIONS_MAX 64

/* Who lives in a region; each has its own. */
enum pool {
	POOL_HEAP,
	POOL_CACHE, /* purged for want of memory only, never for its age */
	POOLS
};

/*
 * A region whose reservation has been given back keeps its headers and its map,
 * for stale looks and for the next region that they are enough for.
 */
struct region {
	struct reservation reservation;
	struct span *spans;
	struct purge_map map;
	size_t units; /* 0: no reservation */
	size_t units_max;
	size_t offered_end;  /* nothing from here on was ever offered */
	uint64_t purged;     /* units, by purge.c */
	uint32_t generation; /* see OWNER_GENERATION() */
	enum pool pool;
	bool bound; /* the module keeps the map */
	bool huge;  /* may have huge pages */
};

struct free_runs {
	struct runs dirty;
	struct runs clean;
};

/* See quick.h. */
#define QUICK_UNITS ((size_t)1)
#define QUICK_RUNS 128

struct quick {
	unsigned int count;
	uint8_t class[QUICK_RUNS];     /* of the blocks that each had */
	struct span *runs[QUICK_RUNS]; /* in the order they were given back */
};

struct arena {
	struct lock lock; /* all below */
	unsigned int region_count;
	size_t reserved_units;
	size_t used_units;
	size_t spared_pages; /* dropped from spans in use; without the lock */
	size_t most_units;   /* more would be growth, after which ... */
	size_t growth_step;  /* units, the last time */
	uint32_t growths;    /* ... this is another number; without the lock */
	uint32_t process;    /* what the canary said, see backend.h */
	struct {
		uint32_t since;	   /* ms */
		size_t given;	   /* units given back and not taken since */
		size_t deepest;	   /* most of these, in this decay */
		size_t retaken[2]; /* most taken after that; the decay before */
	} flow;
	uint64_t purges;
	uint64_t purged_before; /* units, in reservations that are gone */
	uint64_t allocated;
	uint64_t freed;
	/* Of these mostly the beginning. */
	struct region regions[REGIONS_MAX];
	struct quick quick[2 * QUICK_UNITS]; /* of small spans, of large blocks */
	struct free_runs free[POOLS];
};

extern struct arena tract__arena;

static inline struct region *region_of(const struct span *span)
{
	return &tract__arena.regions[span->region];
}

static inline size_t index_of(const struct span *span)
{
	return (size_t)(span - region_of(span)->spans);
}

static inline bool is_free_run(const struct span *span)
{
	return span->kind == SPAN_DIRTY || span->kind == SPAN_CLEAN;
}

/* The free run that starts at a unit, if there is one. */
static inline struct span *run_at(struct region *region, size_t index)
{
	return index < region->units && is_free_run(&region->spans[index]) ?
		       &region->spans[index] :
		       NULL;
}

static inline struct runs *runs_of(const struct region *region,
				   enum span_kind kind)
{
	struct free_runs *free_runs = &tract__arena.free[region->pool];

	return kind == SPAN_DIRTY ? &free_runs->dirty : &free_runs->clean;
}

/*
 * Is it for this process to purge?  The module keeps away from memory that a
 * child shares, where it cannot tell the two apart.
 */
static inline bool region_is_driven(const struct region *region)
{
	return !region->bound ||
	       read_once(&region->map.header->flags) & TRACT_PURGE_SHARED;
}

/* Units that are offered and not purged; nearly so without the lock. */
static inline size_t region_intact(const struct region *region)
{
	const struct tract_purge_header *header = region->map.header;
	size_t gone = read_once(&header->reused) + read_once(&header->purged) +
		      read_once(&region->purged);
	size_t offered = read_once(&header->offered);

	return offered > gone ? offered - gone : 0;
}

/* A free run out of the index: it is in nobody's hands. */
void tract__region_take(struct span *run);

/* A free run into the index, merged with free neighbours of its kind. */
void tract__region_insert(struct region *region, size_t index, size_t units,
			  enum span_kind kind);

/* Offers units that nobody uses any more. */
static inline void region_offer(struct region *region, size_t from,
				size_t units)
{
	tract__purge_map_offer(&region->map, from, units);
	if (region->offered_end < from + units)
		write_once(&region->offered_end, from + units);
	if (!region_is_driven(region) || tract__options.decay_ms == DECAY_NEVER)
		return;
	write_once(&tract__purge_awake, true);
	if (unlikely(region_intact(region) > read_once(&tract__purge_limit)))
		write_once(&tract__purge_hurry, true);
}

/*
 * Gives back [@from, @from + @units) of a region; the first @dirty units may
 * hold old contents and are offered.
 */
void tract__region_give_back(struct region *region, size_t from, size_t units,
			     size_t dirty);

/*
 * [@from, @from + @units) leaves the free runs it lies in, of which @run is the
 * first.  Its first header, of which base, units and region are set.
 */
struct span *tract__region_cut(struct span *run, size_t from, size_t units);

/* Reserves a region of @units units or more.  -ENOMEM. */
int tract__region_add(enum pool pool, size_t units);

/*
 * The last resort when address space is short: reservations nothing is in go
 * back whole, so that their place can be reserved in one piece.
 */
bool tract__region_release_free(void);

/* Makes what is LOST of a run in use PURGED in truth. */
void tract__region_discard_lost(struct region *region, size_t first,
				size_t units);

/* In a forked child: no map is the module's, and what was offered is unknown. */
void tract__region_forget(struct region *region);

#endif
