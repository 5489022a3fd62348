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
	uint64_t block_size;
} __attribute__((aligned(32)));

/* Classes of up to CLASS_TABLE_MAX; larger blocks cost more than finding them. */
#define READY_CLASSES 32

extern __thread struct ready tract__ready[READY_CLASSES];

/* Entry n: where in it the class of a request of n times 16 bytes is, in bytes. */
extern const uint16_t tract__ready_offset[CLASS_TABLE_MAX / 16 + 1];

/*
 * The thread's own one at @offset.  The segment register is part of an access, where
 * the compiler would add it to a pointer for all of them first.
 */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) &&                    \
	!defined(__SANITIZE_ADDRESS__)
#define ready_of_thread struct ready __seg_fs
static inline ready_of_thread *ready_at(uintptr_t offset)
{
	__asm__("addq tract__ready@gottpoff(%%rip), %0"
		: "+r"(offset)
		:
		: "cc");
	return (ready_of_thread *)offset;
}
#else
#define ready_of_thread struct ready
static inline ready_of_thread *ready_at(uintptr_t offset)
{
	return (struct ready *)((char *)tract__ready + offset);
}
#endif

static inline ready_of_thread *ready_of(unsigned int class)
{
	return ready_at(class * sizeof(struct ready));
}

/* That of the class of @size, which is at most CLASS_TABLE_MAX. */
static inline ready_of_thread *ready_for(size_t size)
{
	return ready_at(tract__ready_offset[(size + 15) / 16]);
}

static inline void ready_forget(unsigned int class)
{
	if (class < READY_CLASSES)
		tract__ready[class] = (struct ready){ .bits = 0 };
}

/* Takes the block of the lowest of @bits, which are free in the word and not 0. */
static inline void *ready_take(ready_of_thread *ready, uint64_t bits)
{
	uint64_t rest = bits & (bits - 1);

	ready->bits = rest;
	clear_bits(ready->word, bits ^ rest);
	return ready->base + bit_lowest(bits) * ready->block_size;
}

#endif
