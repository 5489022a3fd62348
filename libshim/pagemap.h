/* SPDX-License-Identifier: MIT */
/*
 * From an address to the span it lies in: a root by the GiB, leaves by the unit.
 *
 * The root is 1 MiB of zero pages of which a program touches one or two; a leaf
 * is 128 KiB of address space, touched as far as spans exist.  Leaves are made
 * by the arena before the first span in their GiB and never go.  Every unit of
 * a small span is entered; of a large block only the first, since any other
 * address in it is no block.
 */
#ifndef TRACT_PAGEMAP_H
#define TRACT_PAGEMAP_H

#include "span.h"

#define LEAF_SHIFT 30
#define LEAF_UNITS ((size_t)1 << (LEAF_SHIFT - UNIT_SHIFT))
/* User addresses have 47 bits, and more only for who asks for them. */
#define ADDRESS_BITS 47
#define ROOT_COUNT ((size_t)1 << (ADDRESS_BITS - LEAF_SHIFT))

struct pagemap_leaf {
	struct span *spans[LEAF_UNITS];
};

extern struct pagemap_leaf *tract__pagemap_root[ROOT_COUNT];

/* What an address that is not ours belongs to: owned by no heap, no blocks. */
extern struct span tract__foreign_span;

static inline struct span *pagemap_find(const void *p)
{
	uintptr_t addr = (uintptr_t)p;
	struct pagemap_leaf *leaf;
	struct span *span;

	/*
	 * An address of more than 47 bits is looked up as if it had no more:
	 * whoever compares all of it with the span's base finds out.
	 */
	/* Pairs with the release in tract__pagemap_add_leaves(). */
	leaf = __atomic_load_n(
		&tract__pagemap_root[addr >> LEAF_SHIFT & (ROOT_COUNT - 1)],
		__ATOMIC_ACQUIRE);
	if (unlikely(!leaf))
		return &tract__foreign_span;
	span = read_once(&leaf->spans[addr >> UNIT_SHIFT & (LEAF_UNITS - 1)]);
	return likely(span) ? span : &tract__foreign_span;
}

/* Makes the leaves for a range that will hold spans.  -ENOMEM.  Serialised. */
int tract__pagemap_add_leaves(const void *base, size_t length);

/* Enters @span, or NULL, for @units units from @base on. */
void tract__pagemap_set(const void *base, size_t units, struct span *span);

#endif
