// SPDX-License-Identifier: MIT
#include "meta.h"

#include <errno.h>

#include "sys.h"

/*
 * Chunks double, so that their number stays logarithmic; only what is handed
 * out of them is ever touched.
 */
#define CHUNK_MIN ((size_t)1 << 20)
#define CHUNK_MAX ((size_t)64 << 20)

/* Bitmaps of 1, 2, 4 .. 2^(BITS_SIZES - 1) words. */
#define BITS_SIZES 9

static struct {
	char *next;
	char *end;
	size_t chunk;
	size_t mapped;
	uint64_t *free_bits[BITS_SIZES]; /* linked by their first word */
} meta;

int tract__meta_reserve(size_t size)
{
	size_t chunk = meta.chunk ? meta.chunk : CHUNK_MIN;
	char *p;

	if (size <= (size_t)(meta.end - meta.next))
		return 0;
	while (chunk < size)
		chunk *= 2;
	p = tract__sys_map(chunk);
	if (!p)
		return -ENOMEM;
	/* Touched here and there: 2 MiB at each place would be a small program. */
	tract__sys_forbid_huge(p, chunk);
	meta.mapped += chunk;
	meta.chunk = chunk < CHUNK_MAX ? chunk * 2 : CHUNK_MAX;
	/* What is left of the old chunk was never touched. */
	meta.next = p;
	meta.end = p + chunk;
	return 0;
}

void *tract__meta_alloc(size_t size)
{
	char *p;

	size = align_up(size, 64);
	if (tract__meta_reserve(size))
		return NULL;
	p = meta.next;
	meta.next += size;
	return p;
}

void *tract__meta_alloc_pages(size_t size)
{
	/* What is skipped is lost, and was never touched. */
	size_t skip = -(uintptr_t)meta.next & (PAGE - 1);

	if (tract__meta_reserve(skip + size))
		return NULL;
	tract__meta_alloc(-(uintptr_t)meta.next & (PAGE - 1));
	return tract__meta_alloc(size);
}

static unsigned int bits_size(unsigned int words)
{
	return words > 1 ? log2_floor(words - 1) + 1 : 0;
}

uint64_t *tract__meta_alloc_bits(unsigned int words)
{
	unsigned int n = bits_size(words);
	uint64_t *bits = meta.free_bits[n];

	if (!bits) {
		size_t size = sizeof(*bits) << n;
		char *chunk;

		if (size >= 64)
			return tract__meta_alloc(size);
		chunk = tract__meta_alloc(64);
		if (!chunk)
			return NULL;
		for (size_t at = 0; at < 64; at += size)
			tract__meta_free_bits((uint64_t *)(chunk + at), words);
		bits = meta.free_bits[n];
	}
	meta.free_bits[n] = *(uint64_t **)bits;
	return bits;
}

void tract__meta_free_bits(uint64_t *bits, unsigned int words)
{
	unsigned int n = bits_size(words);

	*(uint64_t **)bits = meta.free_bits[n];
	meta.free_bits[n] = bits;
}

size_t tract__meta_mapped(void)
{
	return meta.mapped;
}
