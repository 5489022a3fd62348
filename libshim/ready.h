/* SPDX-License-Identifier: MIT */
/*
 * Small blocks that are ready to be taken: of each class of up to 1 KiB the free
 * bits of the bin's word, as malloc() saw them last.
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
#include "size_class.h"

struct ready {
	uint64_t bits;
	char *base;	/* the first block of the word */
	uint64_t *word; /* NULL: of none, bits is 0 */
} __attribute__((aligned(32)));

/* Those of up to 1 KiB; larger blocks cost more than finding them. */
#define READY_CLASSES 32

/* By class, after one that is of none and stays 0. */
extern __thread struct ready tract__ready[1 + READY_CLASSES];

/*
 * The thread's own one, @offset bytes from the first.  The segment register is part
 * of an access, where the compiler would add it to a pointer for all of them first.
 */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) &&                    \
	!defined(__SANITIZE_ADDRESS__)
#define ready_of_thread struct ready __seg_fs
static inline ready_of_thread *ready_at(size_t offset)
{
	uintptr_t first;

	__asm__("movq tract__ready@gottpoff(%%rip), %0" : "=r"(first));
	return (ready_of_thread *)(first + offset);
}
#else
#define ready_of_thread struct ready
static inline ready_of_thread *ready_at(size_t offset)
{
	return (struct ready *)((char *)tract__ready + offset);
}
#endif

static inline ready_of_thread *ready_of(unsigned int class)
{
	return ready_at((class + 1ul) * sizeof(struct ready));
}

/* The same of blocks of @size bytes, a multiple of 16 up to CLASS_EVEN_MAX. */
static inline ready_of_thread *ready_of_size(size_t size)
{
	_Static_assert(sizeof(struct ready) == 2 * 16, "by an index register");
	return ready_at(size * 2);
}

static inline void ready_forget(unsigned int class)
{
	if (class < READY_CLASSES)
		tract__ready[1 + class] = (struct ready){ .bits = 0 };
}

/* Takes the block of the lowest of @bits, which are free in the word and not 0. */
static inline void *ready_take(ready_of_thread *ready, uint64_t bits,
			       size_t size)
{
	uint64_t rest = bits & (bits - 1);

	ready->bits = rest;
	clear_bits(ready->word, bits ^ rest);
	return ready->base + bit_lowest(bits) * size;
}

#endif
