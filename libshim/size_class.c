// SPDX-License-Identifier: MIT
#include "size_class.h"

#define EIGHTHS(base, n) ((base) + (base) / 8 * (n))
#define DOUBLING(base)                                                         \
	EIGHTHS(base, 1), EIGHTHS(base, 2), EIGHTHS(base, 3),                  \
		EIGHTHS(base, 4), EIGHTHS(base, 5), EIGHTHS(base, 6),          \
		EIGHTHS(base, 7), EIGHTHS(base, 8)

const uint32_t tract__class_size[CLASS_COUNT] = {
	16,
	32,
	48,
	64,
	80,
	96,
	112,
	128,
	144,
	160,
	176,
	192,
	208,
	224,
	240,
	256,
	DOUBLING(256),
	DOUBLING(512),
	DOUBLING(1024),
	DOUBLING(2048),
	DOUBLING(4096),
	DOUBLING(8192),
	DOUBLING(16384),
	40960,
	49152,
	81920,
	98304,
	163840,
};

/* Entry n: the class of a request of n times 16 bytes. */
const uint8_t tract__class_table[] = {
	/* to 256 */
	0,
	0,
	1,
	2,
	3,
	4,
	5,
	6,
	7,
	8,
	9,
	10,
	11,
	12,
	13,
	14,
	15,
	/* to 512, two entries a class */
	16,
	16,
	17,
	17,
	18,
	18,
	19,
	19,
	20,
	20,
	21,
	21,
	22,
	22,
	23,
	23,
	/* to 1024, four */
	24,
	24,
	24,
	24,
	25,
	25,
	25,
	25,
	26,
	26,
	26,
	26,
	27,
	27,
	27,
	27,
	28,
	28,
	28,
	28,
	29,
	29,
	29,
	29,
	30,
	30,
	30,
	30,
	31,
	31,
	31,
	31,
};

unsigned int tract__size_class_beyond(size_t size)
{
	unsigned int class = CLASS_COUNT - CLASSES_BEYOND;

	while (class < CLASS_COUNT && size > tract__class_size[class])
		class ++;
	if (class == CLASS_COUNT ||
	    align_up(size, UNIT_SIZE) <= tract__class_size[class])
		return CLASS_COUNT;
	return class;
}
