/* SPDX-License-Identifier: MIT */
/*
 * Threads that allocate, resize and free at random, their own blocks and each
 * other's, every byte of every payload known.  Shared by the soak of the whole
 * library and that of its logic under the sanitizers.
 *
 * Blocks lie in slots.  Whoever exchanges one out of its slot owns it; what is in
 * a slot is complete, also for a child that was forked while others worked.
 */
#ifndef TESTS_SOAK_H
#define TESTS_SOAK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define SOAK_SLOTS 3000

/* Payloads up to here are checked byte by byte, larger ones at every 61st. */
#define SOAK_WHOLE 1024

/* The functions under test. */
struct soak_family {
	void *(*malloc)(size_t);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	void *(*memalign)(size_t, size_t);
	void (*free)(void *);
};

static struct soak_family soak;
static void *_Atomic soak_slot[SOAK_SLOTS];
static atomic_ulong soak_broken, soak_refused, soak_steps;

/* At the head of each payload; the rest follows from the key. */
struct soak_head {
	size_t size;
	uint64_t key;
};

static inline uint64_t soak_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static inline uint64_t soak_random(uint64_t *state)
{
	return soak_mix((*state)++);
}

static inline size_t soak_stride(size_t size)
{
	return size > SOAK_WHOLE ? 61 : 1;
}

static inline unsigned char soak_byte(uint64_t key, size_t at)
{
	return (unsigned char)((key ^ at) * 0x9e3779b97f4a7c15 >> 56);
}

static inline void soak_fill(void *p, size_t size, uint64_t key)
{
	unsigned char *byte = p;

	for (size_t i = sizeof(struct soak_head); i < size;
	     i += soak_stride(size))
		byte[i] = soak_byte(key, i);
	byte[size - 1] = soak_byte(key, size - 1);
	*(struct soak_head *)p = (struct soak_head){ size, key };
}

/* The first @limit bytes of a payload that soak_fill() has made. */
static inline bool soak_is_whole(const void *p, size_t size, uint64_t key,
				 size_t limit)
{
	const unsigned char *byte = p;

	for (size_t i = sizeof(struct soak_head); i < limit;
	     i += soak_stride(size))
		if (byte[i] != soak_byte(key, i))
			return false;
	return limit < size || size == sizeof(struct soak_head) ||
	       byte[size - 1] == soak_byte(key, size - 1);
}

static inline void soak_complain(const void *p, const char *what)
{
	/* The first few tell enough. */
	if (atomic_fetch_add(&soak_broken, 1) < 5)
		fprintf(stderr, "# soak: block %p: %s\n", p, what);
}

/* A block out of a slot: is it what was put there? */
static inline bool soak_check(const void *p)
{
	const struct soak_head *head = p;

	if (head->size < sizeof(*head) || head->size > (size_t)1 << 30 ||
	    !soak_is_whole(p, head->size, head->key, head->size)) {
		soak_complain(p, "its contents changed");
		return false;
	}
	return true;
}

static inline void soak_free(void *p)
{
	if (!p || !soak_check(p))
		return;
	/* Found dead by whoever is given it twice. */
	memset(p, 0, sizeof(struct soak_head));
	soak.free(p);
}

/* Every magnitude as likely as the next; large ones seldom. */
static inline size_t soak_size(uint64_t *state)
{
	uint64_t r = soak_random(state);
	unsigned int bits = r % 1000 == 0 ? 22 : r % 8 == 0 ? 18 : 12;
	size_t limit = (size_t)1 << (r >> 32) % (bits - 3) << 4;

	return sizeof(struct soak_head) + (r >> 12) % limit;
}

static inline bool soak_is_zero(const unsigned char *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (p[i])
			return false;
	return true;
}

static inline void *soak_resize(void *p, uint64_t *state)
{
	struct soak_head old = *(struct soak_head *)p;
	size_t size = soak_size(state),
	       kept = old.size < size ? old.size : size;
	void *q;

	if (!soak_check(p))
		return NULL;
	q = soak.realloc(p, size);
	if (!q) {
		soak_refused++;
		return p;
	}
	if (!soak_is_whole(q, old.size, old.key, kept))
		soak_complain(q, "realloc lost contents");
	soak_fill(q, size, soak_random(state));
	return q;
}

static inline void *soak_new(uint64_t *state)
{
	size_t size = soak_size(state), align = 16;
	uint64_t r = soak_random(state);
	void *p;

	if (r % 8 == 0) {
		p = soak.calloc(1, size);
		if (p && !soak_is_zero(p, size))
			soak_complain(p, "calloc is not zero");
	} else if (r % 8 == 1) {
		align = (size_t)16 << (r >> 8) % 13;
		p = soak.memalign(align, size);
	} else {
		p = soak.malloc(size);
	}
	if (!p) {
		soak_refused++;
		return NULL;
	}
	if ((uintptr_t)p % align)
		soak_complain(p, "not aligned");
	soak_fill(p, size, r);
	return p;
}

/* One step of a thread. */
static inline void soak_step(uint64_t *state)
{
	uint64_t r = soak_random(state);
	void *_Atomic *slot = &soak_slot[(r >> 16) % SOAK_SLOTS];
	void *p = NULL;

	if (r % 4 == 0) {
		p = atomic_exchange(slot, NULL);
		if (p)
			p = soak_resize(p, state);
	} else if (r % 4 != 1) {
		p = soak_new(state);
	}
	soak_free(atomic_exchange(slot, p));
	atomic_fetch_add_explicit(&soak_steps, 1, memory_order_relaxed);
}

static inline void soak_free_all(void)
{
	for (int i = 0; i < SOAK_SLOTS; i++)
		soak_free(atomic_exchange(&soak_slot[i], NULL));
}

#endif /* TESTS_SOAK_H */
