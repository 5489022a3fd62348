// SPDX-License-Identifier: MIT
#include "meta.h"

#include <errno.h>

#include "span.h"
#include "sys.h"

/*
 * Chunks double, so that their number stays logarithmic; only what is handed
 * out of them is ever touched.
 */
#define CHUNK_MIN ((size_t)1 << 20)
#define CHUNK_MAX ((size_t)64 << 20)

/* Tallies of up to this many cache lines: 64 words of three bitmaps. */
#define TALLY_LINES 26

static struct {
	char *next;
	char *end;
	size_t chunk;
	size_t mapped;
	struct tally *free_tallies[TALLY_LINES]; /* see next_of() */
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

static size_t tally_lines(unsigned int words, bool holds)
{
	size_t word =
		sizeof(struct block_bits) + (holds ? sizeof(uint64_t) : 0);

	return (sizeof(struct tally) + words * word + 63) / 64;
}

/* Not where the counts are: these are looked at though the span is gone. */
static struct tally **next_of(struct tally *tally)
{
	return (struct tally **)&tally->bits[0].free;
}

struct tally *tract__meta_alloc_tally(unsigned int words, bool holds)
{
	size_t lines = tally_lines(words, holds);
	struct tally *tally = meta.free_tallies[lines - 1];

	if (!tally)
		return tract__meta_alloc(lines * 64);
	meta.free_tallies[lines - 1] = *next_of(tally);
	return tally;
}

void tract__meta_free_tally(struct tally *tally, unsigned int words, bool holds)
{
	size_t lines = tally_lines(words, holds);

	*next_of(tally) = meta.free_tallies[lines - 1];
	meta.free_tallies[lines - 1] = tally;
}

size_t tract__meta_mapped(void)
{
	return meta.mapped;
}
