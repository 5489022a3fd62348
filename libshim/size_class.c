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

#define CLASS(class) class,
const uint8_t tract__class_table[] = { CLASS_TABLE(CLASS) };
#undef CLASS

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
