/* SPDX-License-Identifier: MIT */
/*
 * The map of this process as the kernel tells it, and free room in it.
 */
#ifndef TRACT_MAPS_H
#define TRACT_MAPS_H

#include "common.h"

/*
 * The free range of @size bytes nearest to @near, every byte of it at most
 * @reach away; 0: there is none, or /proc cannot be read.  Page-aligned.
 */
uintptr_t tract__maps_find_near(uintptr_t near, size_t reach, size_t size);

/* The same for a map given as text, in the form of /proc/self/maps. */
struct maps_search {
	uintptr_t near;
	size_t reach, size;
	uintptr_t gap;	/* where the gap that is being looked at starts */
	uintptr_t best; /* out */
	uintptr_t distance;
};

void tract__maps_search_start(struct maps_search *search);
void tract__maps_search_line(struct maps_search *search, const char *line);
void tract__maps_search_end(struct maps_search *search);

/* What a line of that form says of a mapping; false: it says nothing. */
struct maps_line {
	uintptr_t start, end;
	uint64_t inode; /* 0: no file */
};

bool tract__maps_parse(const char *text, struct maps_line *line);
/*
 * Reads @fd, /proc/self/maps, and hands over line by line, of which long names
 * are cut, until @each says false.  A negative errno when it cannot be read.
 */
int tract__maps_each(int fd, bool (*each)(void *arg, const char *text),
		     void *arg);

#endif
