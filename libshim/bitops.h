/* SPDX-License-Identifier: MIT */
/*
 * Eight steps of the fast paths in as few instructions as the machine has.
 *
 * The C forms say what they do; compilers do not find the x86-64 instructions
 * for them by themselves, because the accesses are atomic ones.
 */
#ifndef TRACT_BITOPS_H
#define TRACT_BITOPS_H

#include "common.h"

/* Index of the lowest bit set; of 0 any number. */
static inline uint64_t bit_lowest(uint64_t word)
{
#if defined(__x86_64__)
	uint64_t index;

	/* tzcnt where there is one, and its older self where not. */
	__asm__("rep bsfq %1, %0" : "=r"(index) : "r"(word) : "cc");
	return index;
#else
	return word ? (uint64_t)__builtin_ctzll(word) : 64;
#endif
}

/* Bits set, without the compiler's own function, which is a call. */
static inline unsigned int bit_count(uint64_t word)
{
	word -= word >> 1 & 0x5555555555555555;
	word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
	word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return (unsigned int)(word * 0x0101010101010101 >> 56);
}

/* Is bit @index modulo 64 of @word set? */
static inline bool bit_is_set(uint64_t word, uint64_t index)
{
	return word >> index % 64 & 1;
}

/* @word with bit @index modulo 64 set. */
static inline uint64_t bit_set(uint64_t word, uint64_t index)
{
#if defined(__x86_64__)
	__asm__("btsq %1, %0" : "+r"(word) : "r"(index) : "cc");
	return word;
#else
	return word | 1ull << index % 64;
#endif
}

/* Clears @bits of *@word, which are set, and which only the caller writes. */
static inline void clear_bits(uint64_t *word, uint64_t bits)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
	__asm__ volatile("xorq %1, %0" : "+m"(*word) : "r"(bits) : "cc");
#else
	write_once(word, read_once(word) ^ bits);
#endif
}

/* Sets @bits of *@word, which only the caller writes. */
static inline void set_bits(uint64_t *word, uint64_t bits)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
	__asm__ volatile("orq %1, %0" : "+m"(*word) : "r"(bits) : "cc");
#else
	write_once(word, read_once(word) | bits);
#endif
}

/*
 * Takes one from *@count, which only the caller writes, as a release store; is
 * it 0 now?
 */
static inline bool count_down(uint32_t *count)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
	bool zero;

	__asm__ volatile("subl $1, %0"
			 : "+m"(*count), "=@ccz"(zero)
			 :
			 : "memory");
	return zero;
#else
	uint32_t n = read_once(count) - 1;

	__atomic_store_n(count, n, __ATOMIC_RELEASE);
	return !n;
#endif
}

/* read_once() of a word, and a comparison. */
static inline bool word_equals(const uintptr_t *word, uintptr_t value)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
	bool equal;

	__asm__ volatile("cmpq %2, %1"
			 : "=@ccz"(equal)
			 : "m"(*word), "r"(value));
	return equal;
#else
	return read_once(word) == value;
#endif
}

#endif
