/* SPDX-License-Identifier: MIT */
/*
 * Size classes of small blocks: pure arithmetic, no state.
 *
 * 16 bytes apart up to 256, then eight to a doubling up to SMALL_MAX: from 128 on
 * a block is at most an eighth larger than asked, half of that on average.  Every
 * class is a multiple of 16, the alignment that malloc() owes.
 *
 * Beyond there are classes for sizes of which whole units would waste much.
 */
#ifndef TRACT_SIZE_CLASS_H
#define TRACT_SIZE_CLASS_H

#include "common.h"

/* Up to here every size has a class. */
#define SMALL_MAX ((size_t)32768)
/* Larger ones up to here may have; else a block has a run of units to itself. */
#define MEDIUM_MAX ((size_t)163840)
#define CLASS_COUNT 77
#define CLASSES_BEYOND 5 /* SMALL_MAX, of those */

/* Requests up to here find their class in a table, by 16 bytes. */
#define CLASS_TABLE_MAX ((size_t)1024)

/* In order, @entry(class) for a request of 0, 1, 2 .. times 16 bytes. */
#define CLASS_TABLE(entry)                                                     \
	entry(0) EIGHT(ONCE, entry, 0) EIGHT(ONCE, entry, 8)                   \
		EIGHT(TWICE, entry, 16) EIGHT(FOUR_TIMES, entry, 24)
#define ONCE(entry, class) entry(class)
#define TWICE(entry, class) entry(class) entry(class)
#define FOUR_TIMES(entry, class) TWICE(entry, class) TWICE(entry, class)
#define FOUR(times, entry, class)                                              \
	times(entry, class) times(entry, (class) + 1)                          \
		times(entry, (class) + 2) times(entry, (class) + 3)
#define EIGHT(times, entry, class)                                             \
	FOUR(times, entry, class) FOUR(times, entry, (class) + 4)

extern const uint8_t tract__class_table[CLASS_TABLE_MAX / 16 + 1];
extern const uint32_t tract__class_size[CLASS_COUNT];

/* @size is CLASS_TABLE_MAX + 1 to SMALL_MAX. */
static inline unsigned int size_class_of_medium(size_t size)
{
	unsigned int shift = log2_floor(size - 1);

	return 8 * shift - 48 + (unsigned int)((size - 1) >> (shift - 3) & 7);
}

/* The class of @size, SMALL_MAX + 1 to MEDIUM_MAX; CLASS_COUNT: a run is better. */
unsigned int tract__size_class_beyond(size_t size);

/* The smallest class that holds @size bytes, 0 to SMALL_MAX. */
static inline unsigned int size_class_of(size_t size)
{
	if (likely(size <= CLASS_TABLE_MAX))
		return tract__class_table[(size + 15) / 16];
	return size_class_of_medium(size);
}

/* Units of a span: the fewest of which no more than a tenth is left over. */
static inline unsigned int size_class_units(unsigned int class)
{
	unsigned int size = tract__class_size[class];
	unsigned int units = 1;

	while (units * UNIT_SIZE % size * 10 > units * UNIT_SIZE ||
	       size > units * UNIT_SIZE)
		units++;
	return units;
}

/*
 * The smallest class that holds @size bytes at a multiple of @align, a power of
 * two up to SMALL_MAX: spans start at a multiple of UNIT_SIZE, so the block's
 * size being one is enough.  @size, rounded up to @align, is at most SMALL_MAX.
 */
static inline unsigned int size_class_aligned(size_t size, size_t align)
{
	unsigned int class = size_class_of(size < align ? align : size);

	while (tract__class_size[class] & (align - 1))
		class ++;
	return class;
}

#endif
