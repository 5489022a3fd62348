// SPDX-License-Identifier: MIT
#include "pagemap.h"

#include <errno.h>

#include "meta.h"

struct pagemap_leaf *tract__pagemap_root[ROOT_COUNT] far_bss;
struct span tract__foreign_span;

int tract__pagemap_add_leaves(const void *base, size_t length)
{
	uintptr_t first = (uintptr_t)base >> LEAF_SHIFT;
	uintptr_t last = ((uintptr_t)base + length - 1) >> LEAF_SHIFT;

	if (last >= ROOT_COUNT)
		return -ENOMEM;
	for (uintptr_t i = first; i <= last; i++) {
		struct pagemap_leaf *leaf;

		if (tract__pagemap_root[i])
			continue;
		leaf = tract__meta_alloc(sizeof(*leaf));
		if (!leaf)
			return -ENOMEM;
		__atomic_store_n(&tract__pagemap_root[i], leaf,
				 __ATOMIC_RELEASE);
	}
	return 0;
}

void tract__pagemap_set(const void *base, size_t units, struct span *span)
{
	uintptr_t unit = (uintptr_t)base >> UNIT_SHIFT;

	for (; units; units--, unit++) {
		struct pagemap_leaf *leaf =
			tract__pagemap_root[unit >> (LEAF_SHIFT - UNIT_SHIFT)];

		write_once(&leaf->spans[unit & (LEAF_UNITS - 1)], span);
	}
}
