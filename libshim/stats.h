/* SPDX-License-Identifier: MIT */
/* What the allocator holds, and the ways it is told. */
#ifndef TRACT_STATS_H
#define TRACT_STATS_H

#include <stdio.h>

#include "../include/tract.h"
#include "size_class.h"

/* The size classes, and last the blocks too large for one. */
#define STATS_CLASSES (CLASS_COUNT + 1)

void tract__stats_get(struct tract_heap_stats *stats);
void tract__stats_get_classes(struct tract_class_stats classes[STATS_CLASSES]);
/* As malloc_info(3) does: an XML document. */
int tract__stats_write_xml(FILE *stream);
/* A table for people. */
void tract__stats_report(int fd);

#endif
