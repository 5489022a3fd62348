/* SPDX-License-Identifier: MIT */
/*
 * Small blocks that are ready to be taken: of each class of up to READY_MAX the
 * free bits of the bin's word, as malloc() saw them last.
 *
 * They stay free in the word until each is taken, so that nothing is lost with
 * them, and nothing passes for allocated.  What is freed meanwhile is not seen
 * before they are used up: and so a malloc() does not wait until it is known where
 * the frees before it store.
 *
 * Of the thread alone.  Every bit is one that is free in the word, whose span is
 * the class's current one: before that changes, all is forgotten.
 */
#ifndef TRACT_READY_H
#define TRACT_READY_H

#include "bitops.h"

struct ready {
	uint64_t bits;
	char *base;	/* the first block of the word */
	uint64_t *word; /* NULL: of none, bits is 0 */
} __attribute__((aligned(32)));

/* The classes up to here are 16 bytes apart. */
#define READY_MAX ((size_t)256)

/* By a block's size in 16 bytes; the first is of no class, and stays 0. */
extern __thread struct ready tract__ready[READY_MAX / 16 + 1];

/*
 * The thread's own one of blocks of @size bytes.  The segment register is part of
 * an access, where the compiler would add it to a pointer for all of them first.
 */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) &&                    \
	!defined(__SANITIZE_ADDRESS__)
#define ready_of_thread struct ready __seg_fs
static inline ready_of_thread *ready_of(size_t size)
{
	uintptr_t offset;

	_Static_assert(sizeof(struct ready) == 2 * 16, "by an index register");
	__asm__("movq tract__ready@gottpoff(%%rip), %0" : "=r"(offset));
	return (ready_of_thread *)(offset + size * 2);
}
#else
#define ready_of_thread struct ready
static inline ready_of_thread *ready_of(size_t size)
{
	return &tract__ready[size / 16];
}
#endif

static inline void ready_forget(size_t size)
{
	tract__ready[size / 16] = (struct ready){ .bits = 0 };
}

/* Takes a block of @bits, which are those of @ready, of @size bytes, and not 0. */
static inline void *ready_take(ready_of_thread *ready, uint64_t bits,
			       size_t size)
{
	uint64_t rest = bits & (bits - 1);

	ready->bits = rest;
	clear_bits(ready->word, bits ^ rest);
	return ready->base + bit_lowest(bits) * size;
}

#endif
