// SPDX-License-Identifier: MIT
#include "pending.h"

#include "heap.h"

static bool has_word(const struct span *span, const uint64_t *word)
{
	const struct block_bits *bits = span->tally->bits;

	return (uintptr_t)word - (uintptr_t)bits < span->words * sizeof(*bits);
}

static const void *block_of(const struct span *span, const uint64_t *word,
			    uint64_t bit)
{
	size_t i = (size_t)(container_of(word, struct block_bits, free) -
			    span->tally->bits);

	return span->base + (i * 64 + bit_lowest(bit)) * span->block_size;
}

const void *tract__pending_block(const struct heap *heap)
{
	uint64_t bit = __atomic_load_n(&heap->pending.bit, __ATOMIC_ACQUIRE);
	const uint64_t *word = read_once(&heap->pending.word);

	if (!bit)
		return NULL;
	for (unsigned int class = 0; class < READY_CLASSES; class ++) {
		const struct span *span = read_once(&heap->bins[class].span);

		if (span && has_word(span, word))
			return block_of(span, word, bit);
	}
	return NULL;
}
