// SPDX-License-Identifier: MIT
/*
 * A span is told of remote frees by setting their remote bits and adding to
 * remote_freed.  Of a current one no more is to be said: its owner collects them
 * before it takes another, and whether it is empty nobody asks.  Otherwise the
 * owner word is tagged, so that the owner's own frees take care, as soon as these
 * could be what empties the span before the owner's countdown ends (as long as
 * remote_freed is less than used_base they cannot); then it is looked whether the
 * span is empty, or, if it was full, has room again.
 *
 * Is a span empty?  If it is not current and the blocks its owner has out equal
 * remote_freed.  Both sides look after they have written:
 *
 *   owner, span touched:  free bit, countdown; fence; read remote_freed
 *   other:                remote_freed (a full barrier); read countdown
 *
 * so the later of the two sees both.  The owner's fast path has no fence: it
 * runs only while the span is untouched, and remote frees that cross it within
 * the depth of the store buffer, one that tags and one after it, may leave both
 * sides thinking the span has a block.  It stays usable by its heap, and is found
 * empty when the heap is collected or its thread ends.
 *
 * What is gathered counts as out, so the span cannot go meanwhile.  A batch is
 * told when it may be what makes the span empty or gives it room, as far as can
 * be seen when it is begun; when it has BATCH_FREES; when its place is needed
 * for another word or span; every so often; and at the thread's end.
 *
 * Only frees that follow each other upwards through one word are gathered, from the
 * fourth on, and in the word after one of which more were from the first on: those of
 * a thread that consumes what another makes.  Where they are scattered there is
 * nothing to be had, and the owner would have to take care all the time.  Upwards,
 * because of a class with few blocks most frees are to one word anyway.
 *
 * A span has one gatherer at a time, who is named in it and keeps it tagged:
 * whoever else frees in it looks through the gatherer's batch as well, and so no
 * double free passes for having been gathered.  Frees by third threads
 * meanwhile are told one by one.
 */
#include "remote.h"

#include "deferred.h"
#include "malloc.h"
#include "pagemap.h"
#include "refill.h"
#include "report.h"
#include "span_state.h"
#include "tick.h"

/* Frees in a row to one word that are told one by one, before a batch begins. */
#define BATCH_AFTER 3

/* All batches are told after this many were. */
#define FLUSH_INTERVAL 256

/* The heap a span is attached to, locked; NULL if it is attached to none. */
static struct heap *lock_owner(const struct span *span)
{
	for (;;) {
		struct heap *heap = span_owner(span);

		if (!heap)
			return NULL;
		lock_acquire(&heap->lock);
		if (heap == span_owner(span))
			return heap;
		lock_release(&heap->lock);
	}
}

static cold void double_free(const struct span *span, uint64_t index)
{
	tract__report_corruption("double free",
				 span->base + index * span->block_size);
}

/*
 * Of a span in which all is freed, and a block deferred, which counts as out: another
 * has freed it too.  Unless it is being carried out: then its bit says so.
 */
static void check_deferred(const struct span *span)
{
	const void *deferred = tract__deferred_in(span);
	uint64_t index;

	if (likely(!deferred))
		return;
	index = span_index(span, deferred);
	if (caught(!bit_is_set(read_once(&span_bits(span, index)->free),
			       index)))
		double_free(span, index);
}

/* All blocks are freed: none by its owner and another as well. */
static void check_bits(const struct span *span)
{
	for (unsigned int i = 0; i < span->words; i++) {
		uint64_t twice = read_once(&span->tally->bits[i].free) &
				 span_remote(span, i);

		if (caught(twice))
			double_free(span, i * 64 + bit_lowest(twice));
	}
}

/* Of a span that is not current, its heap locked. */
static bool retire_if_empty(struct span *span)
{
	if (!span_looks_empty(span))
		return false;
	check_deferred(span);
	check_bits(span);
	tract__span_retire(span);
	return true;
}

/*
 * Is it for the owner to go on?  There is room again; or all that is out is what it
 * has deferred, which it will carry out without a look at the rest.
 */
static bool is_for_owner(const struct span *span)
{
	return span_has_room(span) ||
	       (span_out(span) == 1 && tract__deferred_in(span));
}

/* Without the lock: the span may be another's meanwhile. */
static bool may_be_for_owner(const struct span *span)
{
	return (span_has_room(span) || span_out(span) == 1) &&
	       list_seems_empty(&span->ready);
}

/* Retires the span if it is empty, or has its owner settle it when it comes by. */
static void settle_remotely(struct span *span)
{
	struct heap *heap = lock_owner(span);
	bool retired = false;

	if (!heap)
		return;
	if (span->state != SPAN_CURRENT) {
		/* First: what is not deferred any more has been counted. */
		bool for_owner = is_for_owner(span);

		retired = retire_if_empty(span);
		if (!retired && for_owner && list_empty(&span->ready))
			list_append(&heap->ready, &span->ready);
	}
	lock_release(&heap->lock);
	if (retired)
		tract__tick();
}

/*
 * Of another thread's batch, which may be told and another begun meanwhile: the
 * number tells.  A batch is emptied before its bits are published, so a block
 * that was told, collected and handed out again is not found here.
 */
bool tract__remote_is_gathered(const struct span *span, uint64_t index)
{
	struct heap *heap = __atomic_load_n(&span->gatherer, __ATOMIC_ACQUIRE);
	const struct batch *batch;
	uint32_t number;

	if (likely(!heap))
		return false;
	batch = batch_of(heap, span);
	number = __atomic_load_n(&batch->number, __ATOMIC_ACQUIRE);
	if (__atomic_load_n(&batch->at, __ATOMIC_ACQUIRE) !=
		    span_bits(span, index) ||
	    !bit_is_set(__atomic_load_n(&batch->bits, __ATOMIC_ACQUIRE), index))
		return false;
	return read_once(&batch->number) == number;
}

/*
 * Its gatherer stores 0 before it looks, and what it saw only if that is still there:
 * so a free that it has not seen is not forgotten.  (One that is on its short way while
 * a batch begins is neither seen nor told, and caught when that is told.)
 */
void tract__remote_warn(const struct span *span)
{
	struct heap *heap = __atomic_load_n(&span->gatherer, __ATOMIC_SEQ_CST);

	if (unlikely(heap))
		__atomic_store_n(&batch_of(heap, span)->look_at, ~0ull,
				 __ATOMIC_RELEASE);
}

/* Looks at the word that is gathered: what is free there? */
static uint64_t look(struct batch *batch)
{
	uint64_t none = 0, freed;

	__atomic_store_n(&batch->look_at, 0, __ATOMIC_SEQ_CST);
	freed = __atomic_load_n(&batch->at->free, __ATOMIC_ACQUIRE) |
		__atomic_load_n(&batch->at->remote, __ATOMIC_ACQUIRE);
	__atomic_compare_exchange_n(&batch->look_at, &none, freed, false,
				    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	return freed;
}

/*
 * Publishes bits of a word: from here on everybody sees them as freed.  What its owner
 * has deferred is not looked for: the owner finds that out, when it carries out.
 */
static void publish(struct span *span, struct block_bits *at, uint64_t bits)
{
	uint64_t twice = read_once(&at->free);

	twice |= __atomic_fetch_or(&at->remote, bits, __ATOMIC_SEQ_CST);
	twice &= bits;
	if (caught(twice))
		double_free(span, (uint64_t)(at - span->tally->bits) * 64 +
					  bit_lowest(twice));
	tract__remote_warn(span);
}

/* Counts what was published. */
static void add_freed(struct span *span, uint32_t count)
{
	__atomic_fetch_add(&span->tally->remote_freed, count, __ATOMIC_SEQ_CST);
	/*
	 * From here on the span may be retired and used anew by others at any
	 * time.  Its header stays readable; a tag too many does no harm; and
	 * the rest is decided again under its owner's lock.
	 */
	if (likely(__atomic_load_n(&span->state, __ATOMIC_SEQ_CST) ==
		   SPAN_CURRENT))
		return;
	if (span_may_empty_unseen(span))
		span_touch(span);
	if (span_looks_empty(span) || may_be_for_owner(span))
		settle_remotely(span);
}

/* A batch with bits is open at every moment, whenever a fork comes. */
static void open_batch(struct heap *heap, unsigned int class, uint64_t bits)
{
	heap->batches_open[class / 64] |= 1ull << class % 64;
	__atomic_store_n(&heap->batches[class].bits, bits, __ATOMIC_RELEASE);
}

static void close_batch(struct heap *heap, unsigned int class)
{
	uint64_t *open = &heap->batches_open[class / 64];

	write_once(&heap->batches[class].bits, 0);
	__atomic_store_n(open, *open & ~(1ull << class % 64), __ATOMIC_RELEASE);
}

noinline void tract__remote_tell(struct heap *heap, unsigned int class)
{
	struct batch *batch = &heap->batches[class];
	uint64_t bits = read_once(&batch->bits);
	struct span *span = batch->span;

	close_batch(heap, class);
	if (!bits)
		return;
	/* Before the span may go. */
	__atomic_store_n(&span->gatherer, NULL, __ATOMIC_RELEASE);
	publish(span, batch->at, bits);
	add_freed(span, bit_count(bits));
}

void tract__remote_flush(struct heap *heap)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(heap->batches_open); i++)
		while (heap->batches_open[i])
			tract__remote_tell(
				heap, i * 64 + (unsigned int)bit_lowest(
						       heap->batches_open[i]));
}

static void free_directly(struct span *span, uint64_t index)
{
	if (unlikely(tract__remote_is_gathered(span, index)))
		double_free(span, index);
	publish(span, span_bits(span, index), 1ull << index % 64);
	add_freed(span, 1);
}

/*
 * How many frees may be kept from a span before they could change its state: it
 * gets room again, or, having that, is empty.
 */
static uint32_t frees_left(const struct span *span)
{
	const struct tally *tally = span->tally;
	uint32_t freed = read_once(&tally->remote_freed);
	uint32_t left = read_once(&tally->countdown);

	if (read_once(&span->state) != SPAN_FULL || left <= freed)
		left += read_once(&tally->used_base);
	if (left <= freed)
		return 1;
	left -= freed;
	return left < BATCH_FREES ? left : BATCH_FREES;
}

static bool become_gatherer(struct heap *heap, struct span *span)
{
	struct heap *none = NULL;

	return __atomic_compare_exchange_n(&span->gatherer, &none, heap, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static noinline void begin_batch(struct heap *heap, struct batch *batch,
				 struct span *span, uint64_t index)
{
	uint32_t left = frees_left(span);

	if (left == 1 || !become_gatherer(heap, span)) {
		free_directly(span, index);
		return;
	}
	/* While a batch has no bits, its word may become another span's. */
	batch->span = span;
	batch->left = (uint16_t)(left - 1);
	look(batch);
	/* Last: a fork may come between any two, and the child tells it. */
	open_batch(heap, span->class, 1ull << index % 64);
	/* After the gatherer is named: pairs with untouch() in span_state.c. */
	span_touch(span);
	/* Its owner frees nothing there unseen from now on; it may have before. */
	if (tract__deferred_in(span))
		tract__remote_tell(heap, span->class);
	if (++heap->batches_begun % FLUSH_INTERVAL == 0)
		tract__remote_flush(heap);
}

/*
 * To another word than the last.  If that had frees enough in a row, so will this
 * one, and is gathered from the first on.
 */
static noinline void free_elsewhere(struct heap *heap, struct batch *batch,
				    struct span *span, uint64_t index)
{
	uint64_t bits = read_once(&batch->bits);
	bool gathers = (bits ? bit_count(bits) : batch->row) > BATCH_AFTER;

	tract__remote_tell(heap, span->class);
	__atomic_store_n(&batch->number, batch->number + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&batch->at, span_bits(span, index), __ATOMIC_RELEASE);
	/* More than BATCH_AFTER: it goes on when the first batch is full. */
	batch->row = gathers ? BATCH_AFTER + 1 : 1;
	batch->last = index % 64;
	if (gathers)
		begin_batch(heap, batch, span, index);
	else
		free_directly(span, index);
}

/* How many frees in a row, this one included, went upwards through the word. */
static unsigned int lengthen_row(struct batch *batch, uint64_t index)
{
	if (index % 64 <= batch->last)
		batch->row = 0;
	batch->last = index % 64;
	return ++batch->row;
}

/* To the word that is being gathered, if it is allocated. */
static void gather_after_look(struct heap *heap, struct span *span,
			      uint64_t index)
{
	struct batch *batch = batch_of(heap, span);

	if (caught(bit_is_set(read_once(&batch->bits) | look(batch), index)))
		double_free(span, index);
	if (remote_gather(batch, index))
		tract__remote_tell(heap, span->class);
}

void tract__remote_free(struct span *span, void *p)
{
	struct heap *heap = tract__thread_heap;
	uint64_t index = span_index(span, p);
	/* A thread that begins so goes on with what another has left. */
	bool is_heir = heap == &tract__empty_heap;
	struct batch *batch;

	if (caught(index >= span->block_count))
		tract__report_corruption("invalid free", p);
	if (unlikely(heap == &tract__empty_heap)) {
		heap = tract__heap_get();
		/* A thread that can have none any more gathers nothing. */
		if (!heap) {
			free_directly(span, index);
			return;
		}
		tract__heap_set_region(heap, span);
	}
	if (span_owner(span) == &tract__orphans &&
	    tract__refill_adopt(heap, span, is_heir)) {
		tract__free_now(pagemap_find(p), p);
		return;
	}
	batch = batch_of(heap, span);
	if (batch->at == span_bits(span, index) && read_once(&batch->bits)) {
		gather_after_look(heap, span, index);
		return;
	}
	if (caught(span_is_freed(span, index)))
		double_free(span, index);
	if (batch->at != span_bits(span, index))
		free_elsewhere(heap, batch, span, index);
	else if (lengthen_row(batch, index) <= BATCH_AFTER)
		free_directly(span, index);
	else
		begin_batch(heap, batch, span, index);
}

static void count_gathered(struct heap *heap, void *arg)
{
	const void *deferred = read_once(&heap->deferred);
	const void *pending = pending_block(&heap->pending);
	size_t *blocks = arg;

	if (deferred)
		blocks[pagemap_find(deferred)->class]++;
	if (pending)
		blocks[pagemap_find(pending)->class]++;
	for (unsigned int i = 0; i < CLASS_COUNT; i++) {
		const struct batch *batch = &heap->batches[i];
		uint64_t bits = __atomic_load_n(&batch->bits, __ATOMIC_ACQUIRE);

		if (bits)
			blocks[batch->span->class] += bit_count(bits);
	}
}

void tract__remote_count(size_t blocks[CLASS_COUNT])
{
	tract__heap_visit(count_gathered, blocks);
}
