/* SPDX-License-Identifier: MIT */
/* Blocks of which the free is pending, and others of their class. */
#ifndef TRACT_TEST_FREED_H
#define TRACT_TEST_FREED_H

#include "heap.h"
#include "malloc.h"
#include "pagemap.h"
#include "suite.h"

#define SIZE 200    /* of a class of which malloc() has some ready */
#define ANOTHER 600 /* of another such class */
#define BLOCKS 1000 /* in several spans */

static inline bool is_pending(const void *p)
{
	return pending_block(&tract__thread_heap->pending) == p;
}

/* A block of the class whose free is pending; not the first, which looks at the clock. */
static inline void *freed_block(size_t size)
{
	void *p;

	for (int i = 0; i < 100; i++) {
		p = tract__malloc(size);
		tract__free(p);
		if (is_pending(p))
			return p;
	}
	ck_abort_msg("no free is pending");
	return NULL;
}

/* Blocks of several spans, in the order in which they were had. */
static void *blocks[BLOCKS + 1];

/* Of one that is not current: from which to which. */
static inline struct span *fill(size_t *from, size_t *to)
{
	struct span *span;

	for (size_t i = 0; i < BLOCKS; i++)
		blocks[i] = tract__malloc(SIZE);
	*from = 0;
	while (pagemap_find(blocks[*from]) == pagemap_find(blocks[0]))
		++*from;
	span = pagemap_find(blocks[*from]);
	*to = *from;
	while (pagemap_find(blocks[*to]) == span)
		++*to;
	must(span->state != SPAN_CURRENT);
	return span;
}

#endif
