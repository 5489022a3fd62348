/* SPDX-License-Identifier: MIT */
/*
 * The allocator, under names of its own: override.c gives them to the world.
 * Semantics are those of the C library's functions, errno included.
 */
#ifndef TRACT_MALLOC_H
#define TRACT_MALLOC_H

#include "common.h"

struct span;

void *tract__malloc(size_t size);
void *tract__calloc(size_t count, size_t size);
void *tract__realloc(void *p, size_t size);
void tract__free(void *p);
/* The same, past the quarantine; @span is that of @p. */
void tract__free_now(struct span *span, void *p);
/* @align is a power of two. */
void *tract__memalign(size_t align, size_t size);
/* 0 for NULL and for what is no block. */
size_t tract__usable_size(const void *p);
/* True if memory went back to the system. */
bool tract__trim(void);

#endif
