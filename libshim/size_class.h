/* SPDX-License-Identifier: MIT */
/*
 * Size classes of small blocks: pure arithmetic, no state.
 *
 * 16 bytes apart up to 256, then eight to a doubling up to SMALL_MAX: from 128 on
 * a block is at most an eighth larger than asked, half of that on average.  Every
 * class is a multiple of 16, the alignment that malloc() owes.
 */
#ifndef TRACT_SIZE_CLASS_H
#define TRACT_SIZE_CLASS_H

#include "common.h"

/* Larger blocks have a run of units to themselves. */
#define SMALL_MAX ((size_t)32768)
#define CLASS_COUNT 72

/* Requests up to here find their class in a table, by 16 bytes. */
#define CLASS_TABLE_MAX ((size_t)1024)

extern const uint8_t tract__class_table[CLASS_TABLE_MAX / 16 + 1];
extern const uint16_t tract__class_size[CLASS_COUNT];

/* @size is CLASS_TABLE_MAX + 1 to SMALL_MAX. */
static inline unsigned int size_class_of_medium(size_t size)
{
	unsigned int shift = log2_floor(size - 1);

	return 8 * shift - 48 + (unsigned int)((size - 1) >> (shift - 3) & 7);
}

/* The smallest class that holds @size bytes, 0 to SMALL_MAX. */
static inline unsigned int size_class_of(size_t size)
{
	if (likely(size <= CLASS_TABLE_MAX))
		return tract__class_table[(size + 15) / 16];
	return size_class_of_medium(size);
}

/* Units of a span: at least eight blocks fit. */
static inline unsigned int size_class_units(unsigned int class)
{
	return tract__class_size[class] <= UNIT_SIZE / 8 ? 1 : 4;
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
