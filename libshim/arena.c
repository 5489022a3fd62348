// SPDX-License-Identifier: MIT
/*
 * Regions and runs.  A region is one reservation with a header for each of its
 * units.  The first and the last header of a free run say its kind and length
 * (boundary tags): a run finds its free neighbours by looking at the headers
 * beside its own.  Inside a run, and at the last unit of a run in use, the kind
 * is SPAN_NONE.
 */
#include "arena.h"

#include <errno.h>

#include "backend.h"
#include "lock.h"
#include "meta.h"
#include "options.h"
#include "pagemap.h"
#include "runs.h"

/* Reservations double, so this many are beyond any address space. */
#define REGIONS_MAX 64

/* The first reservation; each later one is as large as all before. */
#define REGION_FIRST ((size_t)1 << 30)
#define REGION_ALIGN ((size_t)2 << 20)

/*
 * Freed memory waits for its decay because a program often wants it back.  How
 * much of it does, the recent past tells: the units taken after as many had been
 * given back.  What exceeds that and this much more goes at once, down to half,
 * so that a program which frees all and then sleeps need not be asked.
 */
#define IDLE_UNITS_MAX 512

/* Units purged in one go: bounds the time other purgers wait. */
#define PURGE_UNITS_MAX 4096

/*
 * When memory cannot be given back (a filter, a kernel short of memory) it is
 * not tried for a while, twice as long each time: decommit is advice, and the
 * retries must not cost more than the memory.
 */
#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 10000

/*
 * Metadata that a region may come to need besides its headers: bitmaps, of at
 * most 1 KiB a unit (two bits for each block of 16 bytes), and a leaf or two of
 * the page map.  Set aside with the region, or a process that has used up its
 * address space would have memory and no way to hand it out.
 */
#define META_PER_UNIT ((size_t)1024)
#define META_PER_REGION (2 * sizeof(struct pagemap_leaf) + 65536)

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

static struct {
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
} arena;

/* One purger at a time; held over the system calls.  Outermost. */
static struct lock purge_lock;

static struct runs *runs_of(enum span_kind kind)
{
	return kind == SPAN_DIRTY ? &arena.dirty : &arena.clean;
}

static struct region *region_of(const struct span *span)
{
	return &arena.regions[span->region];
}

static size_t index_of(const struct span *span)
{
	return (size_t)(span - region_of(span)->spans);
}

static void mark_ends(struct span *span, size_t units, enum span_kind kind)
{
	span->kind = (uint8_t)kind;
	span->units = (uint32_t)units;
	span[units - 1].kind = (uint8_t)kind;
	span[units - 1].units = (uint32_t)units;
}

/* Out of the index; the run is in nobody's hands. */
static void take(struct span *span)
{
	if (span->kind == SPAN_DIRTY)
		list_remove(&span->age);
	tract__runs_remove(runs_of(span->kind), span);
	span[span->units - 1].kind = SPAN_NONE;
	span->kind = SPAN_NONE;
}

/* The free run of @kind that ends before @index, and the one that starts there. */
static struct span *run_before(struct region *region, size_t index,
			       enum span_kind kind)
{
	struct span *last = &region->spans[index] - 1;

	return index && last->kind == kind ? last + 1 - last->units : NULL;
}

static struct span *run_at(struct region *region, size_t index,
			   enum span_kind kind)
{
	return index < region->units && region->spans[index].kind == kind ?
		       &region->spans[index] :
		       NULL;
}

/*
 * Where @span, dirty, stands in the order of age, once @other (which may be
 * NULL) is out of the list.
 */
static struct list *place_of(struct span *span, struct span *other)
{
	struct list *place = span->age.prev;

	return other && place == &other->age ? other->age.prev : place;
}

/*
 * A dirty run that merges is as old as its oldest part: a small one that comes
 * and goes beside it must not keep it from being purged.
 */
static void insert_run(struct region *region, size_t index, size_t units,
		       enum span_kind kind, uint32_t freed_at)
{
	struct span *before = run_before(region, index, kind);
	struct span *after = run_at(region, index + units, kind);
	struct list *place = arena.age.prev;
	struct span *span = &region->spans[index];

	if (kind == SPAN_DIRTY) {
		if (before && (int32_t)(before->freed_at - freed_at) <= 0) {
			freed_at = before->freed_at;
			place = place_of(before, after);
		}
		if (after && (int32_t)(after->freed_at - freed_at) < 0) {
			freed_at = after->freed_at;
			place = place_of(after, before);
		}
		/* Younger neighbours than the run, at the end of the list. */
		if (before && place == &before->age)
			place = place_of(before, after);
		if (after && place == &after->age)
			place = place_of(after, before);
	}
	if (before) {
		take(before);
		units += before->units;
		span = before;
	}
	if (after) {
		take(after);
		units += after->units;
	}
	span->base = region->reservation.base +
		     (size_t)(span - region->spans) * UNIT_SIZE;
	span->region = (uint32_t)(region - arena.regions);
	span->freed_at = freed_at;
	mark_ends(span, units, kind);
	tract__runs_insert(runs_of(kind), span);
	if (kind == SPAN_DIRTY)
		list_insert(&span->age, place);
}

static void init(void)
{
	tract__runs_init(&arena.dirty);
	tract__runs_init(&arena.clean);
	list_init(&arena.age);
	arena.initialised = true;
}

/* Address space for @units or more, as much as can be had with decency. */
static int reserve(struct reservation *reservation, size_t units, bool huge)
{
	size_t needed = align_up(units * UNIT_SIZE, REGION_ALIGN);
	size_t wanted = arena.reserved_units * UNIT_SIZE;

	if (wanted < REGION_FIRST)
		wanted = REGION_FIRST;
	/*
	 * Where a limit forbids that much (RLIMIT_AS, strict overcommit) an
	 * eighth is asked for, and so on: the rest of the program needs address
	 * space too.  At most three retries.
	 */
	for (int tries = 0;; tries++) {
		if (wanted < needed || tries == 3)
			wanted = needed;
		if (!tract__backend_reserve(reservation, wanted, huge))
			return 0;
		if (wanted == needed)
			return -ENOMEM;
		wanted = align_up(wanted / 8, REGION_ALIGN);
	}
}

/* A slot of the table for @units, with headers. */
static struct region *region_slot(size_t units)
{
	struct region *region;

	for (unsigned int i = 0; i < arena.region_count; i++) {
		region = &arena.regions[i];
		if (!region->units && region->spans_max >= units)
			return region;
	}
	if (arena.region_count == REGIONS_MAX)
		return NULL;
	region = &arena.regions[arena.region_count];
	region->spans = tract__meta_alloc(units * sizeof(struct span));
	if (!region->spans)
		return NULL;
	region->spans_max = units;
	arena.region_count++;
	return region;
}

static int add_region(size_t units)
{
	struct reservation reservation;
	struct region *region;

	/*
	 * The first goes without huge pages: a small program should not pay
	 * 2 MiB for its first block.
	 */
	if (reserve(&reservation, units, arena.region_count > 0))
		return -ENOMEM;
	units = reservation.length / UNIT_SIZE;
	if (tract__meta_reserve(units * (sizeof(struct span) + META_PER_UNIT) +
				META_PER_REGION) ||
	    tract__pagemap_add_leaves(reservation.base, reservation.length))
		goto undo;
	region = region_slot(units);
	if (!region)
		goto undo;
	region->reservation = reservation;
	region->units = units;
	arena.reserved_units += units;
	insert_run(region, 0, units, SPAN_CLEAN, 0);
	return 0;
undo:
	tract__backend_release(&reservation);
	return -ENOMEM;
}

static bool region_is_free(const struct region *region)
{
	size_t i = 0;

	while (i < region->units) {
		const struct span *span = &region->spans[i];

		if (span->kind != SPAN_DIRTY && span->kind != SPAN_CLEAN)
			return false;
		i += span->units;
	}
	return region->units > 0;
}

/*
 * The last resort when address space is short: reservations nothing is in go
 * back whole, so that their place can be reserved in one piece.
 */
static bool release_free_regions(void)
{
	bool any = false;

	for (unsigned int r = 0; r < arena.region_count; r++) {
		struct region *region = &arena.regions[r];
		size_t next;

		if (!region_is_free(region))
			continue;
		for (size_t i = 0; i < region->units; i = next) {
			next = i + region->spans[i].units;
			take(&region->spans[i]);
		}
		tract__backend_release(&region->reservation);
		arena.reserved_units -= region->units;
		region->units = 0;
		any = true;
	}
	return any;
}

/* Gives back [@from, @from + @units) of a region, split by what was written. */
static void give_back(struct region *region, size_t from, size_t units,
		      size_t dirty)
{
	if (dirty > units)
		dirty = units;
	if (dirty)
		insert_run(region, from, dirty, SPAN_DIRTY,
			   tract__sys_now_ms());
	if (units > dirty)
		insert_run(region, from + dirty, units - dirty, SPAN_CLEAN, 0);
}

/* Cuts the run @span, taken, to [@skip, @skip + @units). */
static struct span *carve(struct span *span, size_t skip, size_t units,
			  bool dirty)
{
	struct region *region = region_of(span);
	size_t index = index_of(span);
	size_t all = span->units;
	enum span_kind kind = dirty ? SPAN_DIRTY : SPAN_CLEAN;
	uint32_t freed_at = span->freed_at;
	struct span *cut = span + skip;

	if (skip)
		insert_run(region, index, skip, kind, freed_at);
	if (all > skip + units)
		insert_run(region, index + skip + units, all - skip - units,
			   kind, freed_at);
	cut->base = region->reservation.base + (index + skip) * UNIT_SIZE;
	cut->region = (uint32_t)(region - arena.regions);
	cut->units = (uint32_t)units;
	cut->dirty_units = dirty ? (uint32_t)units : 0;
	return cut;
}

static void count_taken(size_t units)
{
	size_t again = units < arena.flow.given ? units : arena.flow.given;

	arena.flow.given -= again;
	arena.flow.retaken[0] += again;
}

static struct span *find(size_t units)
{
	struct span *span = tract__runs_find(&arena.dirty, units);

	return span ? span : tract__runs_find(&arena.clean, units);
}

struct span *tract__arena_alloc(size_t units, size_t spare, size_t align,
				enum span_kind kind)
{
	size_t slack = align > UNIT_SIZE ? align / UNIT_SIZE - 1 : 0;
	struct span *span;
	size_t skip;
	bool dirty;

	if (units + slack > UINT32_MAX)
		return NULL;
	lock_acquire(&arena.lock);
	if (unlikely(!arena.initialised))
		init();
	span = spare ? tract__runs_find(&arena.clean, units + slack + spare) :
		       NULL;
	if (span)
		units += spare;
	else
		span = find(units + slack);
	if (!span && (!add_region(units + slack) ||
		      (release_free_regions() && !add_region(units + slack))))
		span = find(units + slack);
	if (span) {
		dirty = span->kind == SPAN_DIRTY;
		take(span);
		skip = slack ? (align_up((uintptr_t)span->base, align) -
				(uintptr_t)span->base) /
				       UNIT_SIZE :
			       0;
		span = carve(span, skip, units, dirty);
		span->kind = (uint8_t)kind;
		arena.used_units += units;
		count_taken(units);
		arena.allocated++;
	}
	lock_release(&arena.lock);
	return span;
}

void tract__arena_free(struct span *span)
{
	size_t units = span->units;

	lock_acquire(&arena.lock);
	if (span->kind == SPAN_SMALL)
		tract__meta_free_bits(span->free_bits, 2 * span->words);
	tract__pagemap_set(span->base, span->kind == SPAN_SMALL ? units : 1,
			   NULL);
	span->kind = SPAN_NONE;
	arena.used_units -= units;
	arena.flow.given += units;
	arena.freed++;
	give_back(region_of(span), index_of(span), units, span->dirty_units);
	lock_release(&arena.lock);
}

bool tract__arena_grow(struct span *span, size_t units)
{
	struct region *region = region_of(span);
	struct span *after;
	size_t extra;
	bool dirty;

	if (units <= span->units)
		return true;
	lock_acquire(&arena.lock);
	after = span + span->units;
	extra = units - span->units;
	if (index_of(span) + units > region->units ||
	    (after->kind != SPAN_DIRTY && after->kind != SPAN_CLEAN) ||
	    after->units < extra) {
		lock_release(&arena.lock);
		return false;
	}
	dirty = after->kind == SPAN_DIRTY;
	take(after);
	carve(after, 0, extra, dirty);
	/* One mark serves for all: what is before a dirty part counts as such. */
	if (dirty)
		span->dirty_units = (uint32_t)units;
	span->units = (uint32_t)units;
	arena.used_units += extra;
	count_taken(extra);
	lock_release(&arena.lock);
	return true;
}

void tract__arena_shrink(struct span *span, size_t units)
{
	size_t extra = span->units - units;
	size_t dirty;

	if (!extra)
		return;
	lock_acquire(&arena.lock);
	dirty = span->dirty_units > units ? span->dirty_units - units : 0;
	span->units = (uint32_t)units;
	if (span->dirty_units > units)
		span->dirty_units = (uint32_t)units;
	arena.used_units -= extra;
	arena.flow.given += extra;
	give_back(region_of(span), index_of(span) + units, extra, dirty);
	lock_release(&arena.lock);
}

bool tract__arena_alloc_bits(struct span *span, unsigned int words)
{
	uint64_t *bits;

	lock_acquire(&arena.lock);
	bits = tract__meta_alloc_bits(2 * words);
	lock_release(&arena.lock);
	if (!bits)
		return false;
	span->words = (uint16_t)words;
	span->free_bits = bits;
	span->remote_bits = bits + words;
	return true;
}

void *tract__arena_alloc_meta(size_t size)
{
	void *p;

	lock_acquire(&arena.lock);
	p = tract__meta_alloc(size);
	lock_release(&arena.lock);
	return p;
}

/* Units that the program has had back within about two decays. */
static size_t retaken(uint32_t now)
{
	uint32_t period = tract__options.decay_ms > 100 ?
				  (uint32_t)tract__options.decay_ms :
				  100;
	uint32_t elapsed = now - arena.flow.since;

	if (elapsed >= period) {
		arena.flow.retaken[1] =
			elapsed < 2 * period ? arena.flow.retaken[0] : 0;
		arena.flow.retaken[0] = 0;
		arena.flow.since = now;
	}
	return arena.flow.retaken[0] + arena.flow.retaken[1];
}

/*
 * Takes runs out of the index: those that are older than the decay, and the
 * oldest of what is more than @keep units.
 */
static unsigned int collect_due(struct span **runs, uint32_t now, size_t keep)
{
	int decay = tract__options.decay_ms;
	unsigned int count = 0;
	size_t units = 0;

	while (count < DECOMMIT_BATCH && units < PURGE_UNITS_MAX &&
	       !list_empty(&arena.age)) {
		struct span *span =
			container_of(arena.age.next, struct span, age);
		bool due = decay != DECAY_NEVER &&
			   now - span->freed_at >= (uint32_t)decay;

		if (!due && arena.dirty.units <= keep)
			break;
		take(span);
		units += span->units;
		runs[count++] = span;
	}
	return count;
}

static uint32_t next_pause(bool purged)
{
	if (purged)
		return 0;
	if (!arena.pause_ms)
		return PAUSE_MIN_MS;
	return arena.pause_ms < PAUSE_MAX_MS / 2 ? 2 * arena.pause_ms :
						   PAUSE_MAX_MS;
}

/* One batch.  True: there may be more. */
static bool purge_some(size_t keep)
{
	struct decommit ranges[DECOMMIT_BATCH];
	struct span *runs[DECOMMIT_BATCH];
	uint32_t now = tract__sys_now_ms();
	unsigned int count;
	bool more = true;

	lock_acquire(&arena.lock);
	count = collect_due(runs, now, keep);
	lock_release(&arena.lock);
	if (!count)
		return false;
	for (unsigned int i = 0; i < count; i++) {
		struct region *region = region_of(runs[i]);

		ranges[i].reservation = &region->reservation;
		ranges[i].offset = index_of(runs[i]) * UNIT_SIZE;
		ranges[i].length = runs[i]->units * UNIT_SIZE;
	}
	tract__backend_decommit(ranges, count);
	lock_acquire(&arena.lock);
	arena.pause_ms = next_pause(ranges[count - 1].done);
	arena.failed_at = now;
	for (unsigned int i = 0; i < count; i++) {
		struct region *region = region_of(runs[i]);
		size_t index = index_of(runs[i]);

		if (ranges[i].done) {
			arena.purged_units += runs[i]->units;
			arena.purges++;
			insert_run(region, index, runs[i]->units, SPAN_CLEAN,
				   0);
		} else {
			/* Tried again a pause later, not now. */
			insert_run(region, index, runs[i]->units, SPAN_DIRTY,
				   now);
			more = false;
		}
	}
	lock_release(&arena.lock);
	return more;
}

/* Is anything due?  *@keep: units of dirty memory that may wait. */
static bool purge_due(uint32_t now, size_t *keep)
{
	size_t limit;
	bool due = false;

	*keep = SIZE_MAX;
	lock_acquire(&arena.lock);
	limit = IDLE_UNITS_MAX + retaken(now);
	if (!list_empty(&arena.age) &&
	    now - arena.failed_at >= arena.pause_ms) {
		struct span *oldest =
			container_of(arena.age.next, struct span, age);

		due = now - oldest->freed_at >=
		      (uint32_t)tract__options.decay_ms;
		if (arena.dirty.units > limit) {
			*keep = limit / 2;
			due = true;
		}
	}
	lock_release(&arena.lock);
	return due;
}

bool tract__arena_tick(uint32_t now)
{
	size_t keep;

	if (!read_once(&arena.dirty.units) ||
	    tract__options.decay_ms == DECAY_NEVER)
		return false;
	if (purge_due(now, &keep) && lock_try(&purge_lock)) {
		while (purge_some(keep))
			;
		lock_release(&purge_lock);
	}
	return true;
}

bool tract__arena_purge_all(void)
{
	bool any = read_once(&arena.dirty.units) != 0;

	if (!arena.initialised)
		return false;
	lock_acquire(&purge_lock);
	while (purge_some(0))
		;
	lock_release(&purge_lock);
	return any;
}

static size_t count_reservations(void)
{
	size_t n = 0;

	for (unsigned int r = 0; r < arena.region_count; r++)
		n += arena.regions[r].units > 0;
	return n;
}

void tract__arena_stats(struct arena_stats *stats)
{
	lock_acquire(&arena.lock);
	*stats = (struct arena_stats){
		.reservations = count_reservations(),
		.reserved_bytes = arena.reserved_units * UNIT_SIZE,
		.span_bytes = arena.used_units * UNIT_SIZE,
		.dirty_bytes = arena.dirty.units * UNIT_SIZE,
		.metadata_bytes = tract__meta_mapped(),
		.purged_bytes = arena.purged_units * UNIT_SIZE,
		.purges = arena.purges,
		.runs_allocated = arena.allocated,
		.runs_freed = arena.freed,
	};
	lock_release(&arena.lock);
}

void tract__arena_visit(void (*visit)(struct span *span, void *arg), void *arg)
{
	lock_acquire(&arena.lock);
	for (unsigned int r = 0; r < arena.region_count; r++) {
		struct region *region = &arena.regions[r];
		size_t i = 0;

		while (i < region->units) {
			struct span *span = &region->spans[i];

			if (span->kind == SPAN_SMALL ||
			    span->kind == SPAN_LARGE)
				visit(span, arg);
			/* A run that is being purged has no kind: by the unit. */
			i += span->kind == SPAN_NONE ? 1 : span->units;
		}
	}
	lock_release(&arena.lock);
}

void tract__arena_fork_prepare_purge(void)
{
	lock_acquire(&purge_lock);
}

void tract__arena_fork_prepare(void)
{
	lock_acquire(&arena.lock);
	tract__backend_fork_prepare();
}

void tract__arena_fork_parent(void)
{
	tract__backend_fork_parent();
	lock_release(&arena.lock);
	lock_release(&purge_lock);
}

void tract__arena_fork_child(void)
{
	tract__backend_fork_child();
	lock_reset(&arena.lock);
	lock_reset(&purge_lock);
}
