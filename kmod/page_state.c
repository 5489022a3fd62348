// SPDX-License-Identifier: GPL-2.0-only
/*
 * A maple tree for each bit holds the ranges of pages that have it.  Ranges that
 * touch are one, so there are never more than there have to be, and a change of
 * any number of pages is one store, which happens whole or not at all.
 */
#include <linux/bitmap.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "page_state.h"

/* What the trees hold; it only has to be there. */
#define PRESENT xa_mk_value(1)

struct tract_page_state *tract_page_state_create(void)
{
	struct tract_page_state *state;
	int bit;

	state = kzalloc(sizeof(*state), GFP_KERNEL_ACCOUNT);
	if (!state)
		return NULL;
	refcount_set(&state->refs, 1);
	/*
	 * The kind of tree that an mm has: on 6.12 one without ALLOC_RANGE
	 * crashes in mt_free_walk() when a store covers a subtree of some
	 * depth.
	 */
	for (bit = 0; bit < TRACT_PAGE_BITS; bit++)
		mt_init_flags(&state->bits[bit],
			      MT_FLAGS_ALLOC_RANGE | MT_FLAGS_USE_RCU);
	return state;
}

/* The caller has made sure that no lookup is under way in what it lets go. */
void tract_page_state_put(struct tract_page_state *state)
{
	int bit;

	if (!refcount_dec_and_test(&state->refs))
		return;
	for (bit = 0; bit < TRACT_PAGE_BITS; bit++) {
		/* There is nobody left to wait for. */
		mt_clear_in_rcu(&state->bits[bit]);
		mtree_destroy(&state->bits[bit]);
	}
	kfree(state);
}

static int copy_bit(struct tract_page_state *from, struct tract_page_state *to,
		    enum tract_page_bit bit)
{
	struct tract_page_range range;
	unsigned long at = 0;
	int err;

	while (tract_page_state_next(from, bit, at, &range)) {
		err = mtree_store_range(&to->bits[bit], range.first, range.last,
					PRESENT, GFP_KERNEL_ACCOUNT);
		if (err)
			return err;
		at = range.last + 1;
		cond_resched();
	}
	return 0;
}

/* A version of its own with the same states, or NULL without memory. */
struct tract_page_state *tract_page_state_copy(struct tract_page_state *from)
{
	struct tract_page_state *to = tract_page_state_create();
	int bit;

	if (!to)
		return NULL;
	for (bit = 0; bit < TRACT_PAGE_BITS; bit++) {
		if (copy_bit(from, to, bit)) {
			tract_page_state_put(to);
			return NULL;
		}
	}
	to->ranges = from->ranges;
	return to;
}

bool tract_page_state_test(struct tract_page_state *state,
			   enum tract_page_bit bit, unsigned long page)
{
	struct maple_tree *tree = &state->bits[bit];

	return !mtree_empty(tree) && mtree_load(tree, page);
}

/*
 * Set the bits in @map, where the first stands for @pages->first, of those of
 * @pages that have @bit.  (Beside a change: as it was or will be, for each.  Each
 * range is looked up from the root: that is sure beside a change, while iterating
 * over many is little used so.)
 */
void tract_page_state_mark(struct tract_page_state *state,
			   enum tract_page_bit bit,
			   const struct tract_page_range *pages,
			   unsigned long *map)
{
	struct tract_page_range range;
	unsigned long at = pages->first;

	if (mtree_empty(&state->bits[bit]))
		return;
	while (at <= pages->last &&
	       tract_page_state_next(state, bit, at, &range) &&
	       range.first <= pages->last) {
		at = max(at, range.first);
		range.last = min(range.last, pages->last);
		bitmap_set(map, at - pages->first, range.last - at + 1);
		at = range.last + 1;
	}
}

/* The first range of pages with @bit that ends at @from or later. */
bool tract_page_state_next(struct tract_page_state *state,
			   enum tract_page_bit bit, unsigned long from,
			   struct tract_page_range *range)
{
	MA_STATE(mas, &state->bits[bit], from, from);
	bool found;

	rcu_read_lock();
	found = mas_find(&mas, ULONG_MAX);
	range->first = mas.index;
	range->last = mas.last;
	rcu_read_unlock();
	return found;
}

/*
 * How many ranges touch @pages, and what they all come to: with their own pages
 * as well as @pages if there are any.
 */
static long touching(struct tract_page_state *state, enum tract_page_bit bit,
		     const struct tract_page_range *pages,
		     struct tract_page_range *all)
{
	struct tract_page_range range;
	unsigned long at = pages->first;
	long n = 0;

	*all = *pages;
	while (tract_page_state_next(state, bit, at, &range) &&
	       range.first <= pages->last) {
		all->first = min(all->first, range.first);
		all->last = max(all->last, range.last);
		at = range.last + 1;
		n++;
	}
	return n;
}

static void plan_set(struct tract_page_state *state,
		     struct tract_page_change *change)
{
	/* Neighbours become one with it; pages never reach ULONG_MAX. */
	const struct tract_page_range wide = {
		change->pages.first ? change->pages.first - 1 : 0,
		change->pages.last + 1
	};
	struct tract_page_range all;
	long n = touching(state, change->bit, &wide, &all);

	/* Where the wider range only found nothing it is not to be set. */
	if (all.first == wide.first &&
	    !tract_page_state_test(state, change->bit, wide.first))
		all.first = change->pages.first;
	if (all.last == wide.last &&
	    !tract_page_state_test(state, change->bit, wide.last))
		all.last = change->pages.last;
	change->pages = all;
	change->ranges = 1 - n;
}

static void plan_clear(struct tract_page_state *state,
		       struct tract_page_change *change)
{
	struct tract_page_range all;

	change->ranges = -touching(state, change->bit, &change->pages, &all);
	if (all.first < change->pages.first)
		change->ranges++;
	if (all.last > change->pages.last)
		change->ranges++;
}

/*
 * Find out what @change, of which all but the number of ranges is given, comes
 * to.  It holds until the next change.  The pages may grow by those that have
 * the bit already.
 */
void tract_page_state_plan(struct tract_page_state *state,
			   struct tract_page_change *change)
{
	if (change->set)
		plan_set(state, change);
	else
		plan_clear(state, change);
}

/* 0, or -ENOMEM and nothing has changed. */
int tract_page_state_apply(struct tract_page_state *state,
			   const struct tract_page_change *change, gfp_t gfp)
{
	int err;

	err = mtree_store_range(&state->bits[change->bit], change->pages.first,
				change->pages.last,
				change->set ? PRESENT : NULL, gfp);
	if (!err)
		state->ranges += change->ranges;
	return err;
}
