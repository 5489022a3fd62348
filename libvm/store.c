// SPDX-License-Identifier: MIT
#include "store.h"

#include "sys.h"

#define CHUNK ((size_t)1 << 20)

static char *next;
static size_t left;

void *tract__store_alloc(size_t size)
{
	char *p;

	size = align_up(size, 64);
	if (left < size) {
		p = tract__sys_map(CHUNK);
		if (!p)
			return NULL;
		next = p;
		left = CHUNK;
	}
	p = next;
	next += size;
	left -= size;
	return p;
}

void tract__store_restart(void)
{
	left = 0;
}
