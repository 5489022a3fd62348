// SPDX-License-Identifier: MIT
/*
 * An island: one mapping near an address, given out by the page from a bitmap.
 *
 * A block is a run of bits, set by compare-exchange: within one word, or, when
 * it is longer than a word tells of, in whole words from the first on, each
 * taken by itself and all given back if one cannot be had.  No locks, so a
 * thread that is stopped, or a fork, at any point leaves at most its own block
 * behind.
 */
#include <errno.h>
#include <string.h>

#include "../include/tract.h"
#include "backend.h"
#include "common.h"
#include "sys.h"

#define EXPORT __attribute__((visibility("default")))
#define WORD_PAGES 64

struct tract_island {
	char *base;
	size_t size;
	size_t mapped; /* bytes of this structure's own mapping */
	size_t words;
	size_t hint; /* the word where the last search ended */
	uint64_t used[];
};

static uint64_t mask(size_t bits)
{
	return bits == WORD_PAGES ? ~(uint64_t)0 : ((uint64_t)1 << bits) - 1;
}

/* The lowest place of @count zero bits in @word; WORD_PAGES: there is none. */
static unsigned int find_run(uint64_t word, size_t count)
{
	uint64_t starts = ~word;
	size_t have = 1;

	/* Bit i stays while bits i to i + have - 1 are free. */
	while (have < count && starts) {
		size_t step = have < count - have ? have : count - have;

		starts &= starts >> step;
		have += step;
	}
	return starts ? (unsigned int)__builtin_ctzll(starts) : WORD_PAGES;
}

static void clear(uint64_t *word, uint64_t bits)
{
	/* Release: what the block held is given up before it can be taken. */
	__atomic_fetch_and(word, ~bits, __ATOMIC_RELEASE);
}

/* @count pages in word @index; their first, or -1. */
static long take_in_word(struct tract_island *island, size_t index,
			 size_t count)
{
	uint64_t *word = &island->used[index];
	uint64_t old = __atomic_load_n(word, __ATOMIC_RELAXED);

	for (;;) {
		unsigned int bit = find_run(old, count);

		if (bit == WORD_PAGES)
			return -1;
		if (__atomic_compare_exchange_n(
			    word, &old, old | mask(count) << bit, true,
			    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return (long)(index * WORD_PAGES + bit);
	}
}

/* @count pages from the start of word @index on, over several words. */
static long take_words(struct tract_island *island, size_t index, size_t count)
{
	size_t words = (count + WORD_PAGES - 1) / WORD_PAGES;
	size_t done;

	if (words > island->words - index)
		return -1;
	for (done = 0; done < words; done++) {
		uint64_t *word = &island->used[index + done];
		uint64_t old = __atomic_load_n(word, __ATOMIC_RELAXED);
		size_t left = count - done * WORD_PAGES;
		uint64_t bits = mask(left < WORD_PAGES ? left : WORD_PAGES);

		while (!(old & bits) &&
		       !__atomic_compare_exchange_n(word, &old, old | bits,
						    true, __ATOMIC_ACQUIRE,
						    __ATOMIC_RELAXED))
			;
		if (old & bits)
			break;
	}
	if (done == words)
		return (long)(index * WORD_PAGES);
	while (done-- > 0)
		clear(&island->used[index + done], ~(uint64_t)0);
	return -1;
}

EXPORT void *tract_island_alloc(struct tract_island *island, size_t size)
{
	size_t count = (size + PAGE - 1) / PAGE;
	size_t first = __atomic_load_n(&island->hint, __ATOMIC_RELAXED);

	if (!count || size > island->size) {
		errno = EINVAL;
		return NULL;
	}
	for (size_t i = 0; i < island->words; i++) {
		size_t index = (first + i) % island->words;
		long page = count <= WORD_PAGES ?
				    take_in_word(island, index, count) :
				    take_words(island, index, count);

		if (page >= 0) {
			__atomic_store_n(&island->hint, index,
					 __ATOMIC_RELAXED);
			return island->base + (size_t)page * PAGE;
		}
	}
	errno = ENOMEM;
	return NULL;
}

EXPORT void tract_island_free(struct tract_island *island, void *p, size_t size)
{
	size_t count = (size + PAGE - 1) / PAGE;
	size_t page;

	if (!p)
		return;
	page = (size_t)((char *)p - island->base) / PAGE;
	tract__sys_discard(p, count * PAGE);
	while (count) {
		size_t bit = page % WORD_PAGES;
		size_t n = WORD_PAGES - bit;

		if (n > count)
			n = count;
		clear(&island->used[page / WORD_PAGES], mask(n) << bit);
		page += n;
		count -= n;
	}
}

EXPORT struct tract_island *tract_island_create(const void *near, size_t reach,
						size_t size)
{
	size_t pages = (size + PAGE - 1) / PAGE;
	size_t words = (pages + WORD_PAGES - 1) / WORD_PAGES;
	size_t mapped = align_up(sizeof(struct tract_island) + words * 8, PAGE);
	struct tract_island *island;
	long base;

	if (!size || size > TRACT_ISLAND_MAX) {
		errno = EINVAL;
		return NULL;
	}
	island = tract__sys_map(mapped);
	if (!island) {
		errno = ENOMEM;
		return NULL;
	}
	base = tract__backend_map_near((uintptr_t)near, reach, pages * PAGE);
	if (base < 0) {
		tract__sys_unmap(island, mapped);
		errno = (int)-base;
		return NULL;
	}
	island->base = (char *)base;
	island->size = pages * PAGE;
	island->mapped = mapped;
	island->words = words;
	/* What the last word has beyond the end is never given out. */
	if (pages % WORD_PAGES)
		island->used[words - 1] = ~mask(pages % WORD_PAGES);
	return island;
}

EXPORT void tract_island_destroy(struct tract_island *island)
{
	if (!island)
		return;
	tract__sys_unmap(island->base, island->size);
	tract__sys_unmap(island, island->mapped);
}

EXPORT void *tract_island_base(const struct tract_island *island)
{
	return island->base;
}

EXPORT size_t tract_island_size(const struct tract_island *island)
{
	return island->size;
}
