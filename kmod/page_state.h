/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The states of a trapped reservation's pages: three bits a page, kept as
 * ranges, so that a guard costs as much as a terabyte that is uncommitted.
 *
 * Knows nothing of VMAs and faults.  Lookups run under RCU and take no lock;
 * changes are serialised by the caller.
 */
#ifndef TRACT_PAGE_STATE_H
#define TRACT_PAGE_STATE_H

#include <linux/maple_tree.h>
#include <linux/refcount.h>
#include <linux/types.h>

enum tract_page_bit {
	TRACT_PAGE_UNCOMMITTED,
	TRACT_PAGE_GUARD,
	TRACT_PAGE_NODUMP,
	TRACT_PAGE_BITS
};

/*
 * One version.  The owner of the reservation changes it in place as long as
 * nobody else refers to it: children keep the version of their fork.
 */
struct tract_page_state {
	refcount_t refs;
	unsigned long ranges; /* in all three trees */
	struct maple_tree bits[TRACT_PAGE_BITS];
};

/* Pages from the reservation's start; @last belongs to it. */
struct tract_page_range {
	unsigned long first;
	unsigned long last;
};

/* One bit of some pages, and what changing it means for the number of ranges. */
struct tract_page_change {
	enum tract_page_bit bit;
	bool set;
	struct tract_page_range pages;
	long ranges;
};

struct tract_page_state *tract_page_state_create(void);
struct tract_page_state *tract_page_state_copy(struct tract_page_state *from);
void tract_page_state_put(struct tract_page_state *state);

static inline struct tract_page_state *
tract_page_state_get(struct tract_page_state *state)
{
	refcount_inc(&state->refs);
	return state;
}

static inline bool tract_page_state_is_shared(struct tract_page_state *state)
{
	return refcount_read(&state->refs) > 1;
}

bool tract_page_state_test(struct tract_page_state *state,
			   enum tract_page_bit bit, unsigned long page);
void tract_page_state_mark(struct tract_page_state *state,
			   enum tract_page_bit bit,
			   const struct tract_page_range *pages,
			   unsigned long *map);
bool tract_page_state_next(struct tract_page_state *state,
			   enum tract_page_bit bit, unsigned long from,
			   struct tract_page_range *range);
void tract_page_state_plan(struct tract_page_state *state,
			   struct tract_page_change *change);
int tract_page_state_apply(struct tract_page_state *state,
			   const struct tract_page_change *change, gfp_t gfp);

#endif /* TRACT_PAGE_STATE_H */
