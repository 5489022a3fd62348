// SPDX-License-Identifier: MIT
/* What is given up while the program grows, and that nothing else is. */
#include "growth.h"

#include <string.h>
#include <sys/mman.h>

#include "malloc.h"
#include "region.h"
#include "size_class.h"
#include "stats.h"
#include "suite.h"

#define BLOCKS 16384

static unsigned char *old[BLOCKS], *new[BLOCKS];

static unsigned char mark_of(size_t i)
{
	return (unsigned char)(i * 7 + 1);
}

static void fill(unsigned char **p, size_t count, size_t size)
{
	for (size_t i = 0; i < count; i++) {
		p[i] = tract__malloc(size);
		ck_assert_ptr_nonnull(p[i]);
		memset(p[i], mark_of(i), size);
	}
}

static void must_hold(unsigned char **p, size_t count, size_t size)
{
	for (size_t i = 0; i < count; i++)
		must(!p[i] || (p[i][0] == mark_of(i) &&
			       !memcmp(p[i], p[i] + 1, size - 1)));
}

static struct tract_class_stats class_stats(size_t size)
{
	struct tract_class_stats classes[STATS_CLASSES];

	tract__stats_get_classes(classes);
	return classes[size_class_of(size)];
}

/* Pages that are there of those that @p's blocks of a page or more lie in. */
static size_t resident(unsigned char **p, size_t count)
{
	unsigned char present;
	size_t pages = 0;

	for (size_t i = 0; i < count; i++) {
		uintptr_t page = (uintptr_t)p[i] & ~(PAGE - 1);

		ck_assert_int_eq(mincore((void *)page, PAGE, &present), 0);
		pages += present & 1;
	}
	return pages;
}

START_TEST(a_size_that_is_done_with_leaves_no_span)
{
	fill(old, 1000, 512);
	for (size_t i = 0; i < 1000; i++)
		tract__free(old[i]);
	ck_assert_uint_gt(class_stats(512).spans, 0);
	fill(new, 4000, 1024);
	ck_assert_uint_eq(class_stats(512).spans, 0);
	must_hold(new, 4000, 1024);
}
END_TEST

/* Nor does the free that nothing was freed after. */
START_TEST(a_size_of_which_a_free_is_pending_leaves_no_span)
{
	void *p[64];

	fill(old, 100, 512);
	for (size_t i = 0; i < 100; i++)
		tract__free(old[i]);
	ck_assert_ptr_eq(pending_block(&tract__thread_heap->pending), old[99]);
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = tract__malloc(100000);
	ck_assert_uint_eq(class_stats(512).spans, 0);
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		tract__free(p[i]);
}
END_TEST

START_TEST(a_span_with_a_live_block_stays)
{
	fill(old, 1000, 512);
	for (size_t i = 1; i < 1000; i++)
		tract__free(old[i]);
	fill(new, 4000, 1024);
	ck_assert_uint_gt(class_stats(512).spans, 0);
	must_hold(old, 1, 512);
}
END_TEST

/* One block in sixteen survives; then blocks of another size need much. */
START_TEST(few_survivors_keep_few_pages)
{
	static unsigned char *gone[BLOCKS];
	size_t count = 0, before;

	fill(old, BLOCKS, 2048);
	for (size_t i = 0; i < BLOCKS; i++)
		if (i % 16) {
			gone[count++] = old[i];
			tract__free(old[i]);
			old[i] = NULL;
		}
	before = resident(gone, count);
	fill(new, BLOCKS, 3000);
	ck_assert_uint_lt(resident(gone, count), before / 3);
	must_hold(old, BLOCKS, 2048);
	must_hold(new, BLOCKS, 3000);

	/* And are allocated from again as if nothing had been. */
	for (size_t i = 0; i < BLOCKS; i++) {
		if (old[i])
			continue;
		old[i] = tract__malloc(2048);
		memset(old[i], mark_of(i), 2048);
	}
	must_hold(old, BLOCKS, 2048);
	must_hold(new, BLOCKS, 3000);
}
END_TEST

/* Spans whose pages are gone in part give nothing back by being given up. */
START_TEST(to_give_up_is_not_to_grow)
{
	uint32_t growths;

	fill(old, BLOCKS, 2048);
	for (size_t i = 0; i < BLOCKS; i++)
		if (i % 16) {
			tract__free(old[i]);
			old[i] = NULL;
		}
	fill(new, BLOCKS, 3000);
	ck_assert_uint_gt(tract__arena.spared_pages, BLOCKS / 8);
	growths = tract__arena.growths;
	for (size_t i = 0; i < BLOCKS; i += 16)
		tract__free(old[i]);
	ck_assert_uint_eq(tract__arena.spared_pages, 0);
	ck_assert_uint_eq(tract__arena.growths, growths);
	must_hold(new, BLOCKS, 3000);
}
END_TEST

/* No larger than it was: what is free will be wanted back. */
START_TEST(without_growth_nothing_is_dropped)
{
	size_t before;

	fill(new, BLOCKS, 3000);
	for (size_t i = 0; i < BLOCKS; i++)
		tract__free(new[i]);
	fill(old, BLOCKS / 4, 2048);
	for (size_t i = 1; i < BLOCKS / 4; i++)
		if (i % 16)
			tract__free(old[i]);
	before = resident(old, BLOCKS / 4);
	fill(new, BLOCKS / 4, 3000);
	ck_assert_uint_eq(resident(old, BLOCKS / 4), before);
}
END_TEST

SUITE_MAIN("growth", a_size_that_is_done_with_leaves_no_span,
	   a_size_of_which_a_free_is_pending_leaves_no_span,
	   a_span_with_a_live_block_stays, few_survivors_keep_few_pages,
	   to_give_up_is_not_to_grow, without_growth_nothing_is_dropped)
