// SPDX-License-Identifier: MIT
/*
 * No two live blocks overlap, whoever allocates and whoever frees.
 *
 * Each block is filled with a pattern of its own and every byte of it is
 * verified before it is freed or resized; a block that was handed out twice,
 * or whose neighbour reaches into it, shows as a changed byte.  Blocks travel
 * between threads through a table of slots that all of them exchange with.
 */
#include "tap.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>

#define SLOTS 4096
#define LARGEST ((size_t)8 << 20)

struct block {
	uint64_t *p;
	size_t size;
	uint64_t key;
};

static _Atomic(struct block *) slots[SLOTS];
static atomic_ulong broken, refused, operations;
static atomic_long live_bytes;
static unsigned long steps;

static void fill(struct block *b)
{
	uint64_t word = b->key;
	size_t i;

	for (i = 0; i < b->size / 8; i++, word += 0x9e3779b97f4a7c15)
		b->p[i] = word;
	memset((char *)b->p + (b->size & ~7ul), (int)b->key, b->size & 7);
}

static void verify(const struct block *b, size_t size)
{
	const unsigned char *bytes = (const void *)b->p;
	uint64_t word = b->key;
	size_t i;

	for (i = 0; i < size / 8; i++, word += 0x9e3779b97f4a7c15)
		if (b->p[i] != word) {
			if (atomic_fetch_add(&broken, 1) < 5)
				tap_note("block %p of %zu: word %zu is %#lx, "
					 "not %#lx",
					 (void *)b->p, b->size, i,
					 (long)b->p[i], (long)word);
			return;
		}
	for (i = size & ~7ul; size == b->size && i < size; i++)
		if (bytes[i] != (unsigned char)b->key) {
			atomic_fetch_add(&broken, 1);
			return;
		}
}

static void drop(struct block *b)
{
	verify(b, b->size);
	atomic_fetch_sub(&live_bytes, b->size);
	free(b->p);
	free(b);
}

static size_t pick(uint64_t *state)
{
	uint64_t kind = tap_random(state) % 1000;

	/* Mostly small, and every path of the allocator often enough. */
	if (kind < 900)
		return tap_random_size(state, 1024);
	if (kind < 985)
		return tap_random_size(state, 64 << 10);
	if (kind < 998 || atomic_load(&live_bytes) > 512 << 20)
		return tap_random_size(state, 512 << 10);
	return tap_random_size(state, LARGEST);
}

static struct block *make(uint64_t *state)
{
	struct block *b = malloc(sizeof(*b));
	size_t i;

	b->size = pick(state);
	b->key = tap_random(state);
	switch (b->key % 8) {
	case 0:
		b->p = calloc(1, b->size);
		for (i = 0; b->p && i < b->size / 8; i++)
			if (b->p[i]) {
				atomic_fetch_add(&broken, 1);
				break;
			}
		break;
	case 1:
		b->p = memalign(16 << tap_random(state) % 10, b->size);
		break;
	default:
		b->p = malloc(b->size);
	}
	if (!b->p) {
		atomic_fetch_add(&refused, 1);
		free(b);
		return NULL;
	}
	atomic_fetch_add(&live_bytes, b->size);
	fill(b);
	return b;
}

static void resize(struct block *b, uint64_t *state)
{
	size_t size = pick(state);
	uint64_t *q = realloc(b->p, size);

	if (!q) {
		atomic_fetch_add(&refused, 1);
		return;
	}
	b->p = q;
	verify(b, size < b->size ? size & ~7ul : b->size);
	atomic_fetch_add(&live_bytes, (long)size - (long)b->size);
	b->size = size;
	fill(b);
}

static void *worker(void *arg)
{
	uint64_t state = tap_mix(tap_seed + (uintptr_t)arg);
	struct block *b;
	unsigned long n;

	for (n = 0; n < steps; n++) {
		size_t slot = tap_random(&state) % SLOTS;

		if (tap_random(&state) % 8 == 0) {
			/* Take it, resize it, put it where there is room. */
			b = atomic_exchange(&slots[slot], NULL);
			if (b)
				resize(b, &state);
		} else {
			b = tap_random(&state) % 4 ? make(&state) : NULL;
		}
		b = atomic_exchange(&slots[slot], b);
		if (b)
			drop(b);
	}
	atomic_fetch_add(&operations, n);
	return NULL;
}

static void run(unsigned int threads, unsigned long count, uint64_t salt)
{
	pthread_t t[8];
	unsigned int i;
	size_t slot;
	double start = process_now();

	steps = count / threads;
	for (i = 0; i < threads; i++)
		pthread_create(&t[i], NULL, worker, (void *)(salt * 64 + i));
	for (i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	/* The workers are gone: the main thread frees what they left. */
	for (slot = 0; slot < SLOTS; slot++) {
		struct block *b = atomic_exchange(&slots[slot], NULL);

		if (b)
			drop(b);
	}
	tap_ok(!broken && !refused && !live_bytes,
	       "%u threads, %lu steps: %lu blocks broken, %lu refused", threads,
	       operations, broken, refused);
	tap_note("%.1f s, RSS afterwards %ld KiB", process_now() - start,
		 tap_rss());
	operations = 0;
}

int main(int argc, char **argv)
{
	unsigned long scale = tap_env("TRACT_TEST_SCALE", 1);

	tap_start(argc, argv, 240);
	run(1, 300000 * scale, 1);
	run(2, 600000 * scale, 2);
	run(4, 800000 * scale, 3);
	run(8, 1200000 * scale, 4);
	return tap_done();
}
