// SPDX-License-Identifier: MIT
#include "size_class.h"

#define DOUBLING(base)                                                 \
	(base) + (base) / 4, (base) + (base) / 2, (base) + (base) / 4 * 3, \
		(base) * 2

const uint16_t tract__class_size[CLASS_COUNT] = {
	16,		32,		48,		64,
	80,		96,		112,		128,
	DOUBLING(128),	DOUBLING(256),	DOUBLING(512),	DOUBLING(1024),
	DOUBLING(2048), DOUBLING(4096), DOUBLING(8192), DOUBLING(16384),
};

/* Entry n: the class of a request of n times 16 bytes. */
const uint8_t tract__class_table[] = {
	/* to 128 */ 0, 0, 1, 2, 3, 4, 5, 6, 7,
	/* to 256, two entries a class */
	8, 8, 9, 9, 10, 10, 11, 11,
	/* to 512, four */
	12, 12, 12, 12, 13, 13, 13, 13, 14, 14, 14, 14, 15, 15, 15, 15,
	/* to 1024, eight */
	16, 16, 16, 16, 16, 16, 16, 16, 17, 17, 17, 17, 17, 17, 17, 17,
	18, 18, 18, 18, 18, 18, 18, 18, 19, 19, 19, 19, 19, 19, 19, 19,
};
