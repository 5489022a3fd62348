// SPDX-License-Identifier: MIT
/*
 * Freed by another thread (free_remote): set the remote bit, add to
 * remote_freed, tag the owner word so that the owner's own frees of this span
 * leave the fast path, and look whether the span is empty, or, if it was full,
 * has room again.
 *
 * Is a span empty?  If it is not current and the blocks its owner has out equal
 * remote_freed.  Both sides look after they have written:
 *
 *   owner, span touched:  free bit, countdown; fence; read remote_freed
 *   other:                remote_freed (a full barrier); read countdown
 *
 * so the later of the two sees both.  The owner's fast path has no fence: it
 * runs only while the span is untouched, and a first remote free that crosses
 * it within the depth of the store buffer may leave both sides thinking the
 * span has a block.  It stays usable by its heap, and is found empty when the
 * heap is collected or its thread ends.
 */
#include "heap.h"

#include <limits.h>
#include <pthread.h>

#include "arena.h"
#include "init.h"
#include "options.h"
#include "pagemap.h"
#include "report.h"

/*
 * Memory goes back after a delay, and no thread of ours watches the clock: the
 * program's own threads do in passing.  Refills and retired spans are occasions
 * enough for busy ones.  For a thread that takes and returns the same few blocks
 * every pace-th free into a current span is one more: the pace adapts to an
 * occasion every few dozen ms, down to each single free of a slow thread.  And
 * while there is memory to give back, current spans are tagged, so that each
 * thread comes by at its next free and finds its pace anew: a thread's own
 * whenever it comes by, everybody's every half decay.
 */
#define PACE_MAX 32
#define PACE_SLOWER_MS 8
#define PACE_FASTER_MS 64

/* Full spans are offered for allocation again when this part of them is free. */
#define PARTIAL_FRACTION 8

static uint64_t no_blocks;

#define EMPTY_BIN                                                              \
	{                                                                      \
		.word = &no_blocks                                             \
	}
#define EMPTY_BINS_8                                                           \
	EMPTY_BIN, EMPTY_BIN, EMPTY_BIN, EMPTY_BIN, EMPTY_BIN, EMPTY_BIN,      \
		EMPTY_BIN, EMPTY_BIN

struct heap tract__empty_heap = {
	.bins = { EMPTY_BINS_8, EMPTY_BINS_8, EMPTY_BINS_8, EMPTY_BINS_8,
		  EMPTY_BINS_8, EMPTY_BINS_8, EMPTY_BINS_8, EMPTY_BINS_8,
		  EMPTY_BINS_8 },
};
_Static_assert(CLASS_COUNT == 9 * 8, "every bin is empty, none is missing");

__thread struct heap *tract__thread_heap = &tract__empty_heap;

/*
 * Spans of threads that are gone.  No thread frees here on the fast path; any
 * may adopt a span.  Threads past their own end allocate from it, locked.
 */
static struct heap orphans;

static struct lock heaps_lock; /* the two lists below */
static struct list heaps;
static struct list unused_heaps;
static pthread_key_t exit_key;
static bool exit_key_made;

/* Set when the thread's heap has been given up for good. */
static __thread bool thread_ended;
static __thread unsigned char exit_rounds;

static void heap_init(struct heap *heap)
{
	for (unsigned int class = 0; class < CLASS_COUNT; class ++) {
		heap->bins[class] = (struct bin)EMPTY_BIN;
		heap->bins[class].block_size = tract__class_size[class];
		list_init(&heap->partial[class]);
	}
	list_init(&heap->full);
	list_init(&heap->ready);
	list_init(&heap->node);
	heap->pace = PACE_MAX;
}

/* --- a span's bits ------------------------------------------------------- */

static bool bit_is_set(const uint64_t *bits, uint64_t index)
{
	return read_once(&bits[index / 64]) >> index % 64 & 1;
}

/* Blocks out, remote frees that are not collected included. */
static uint32_t count_used(const struct span *span)
{
	uint32_t n = (uint32_t)span->block_count;

	for (unsigned int i = 0; i < span->words; i++)
		n -= (uint32_t)__builtin_popcountll(
			read_once(&span->free_bits[i]));
	return n;
}

/*
 * Moves remote bits to free bits.  Only by the owning thread, or by anybody for
 * a span of the orphan heap; heap locked.
 */
static void collect_bits(struct span *span)
{
	uint32_t collected = 0;

	for (unsigned int i = 0; i < span->words; i++) {
		uint64_t *remote = &span->remote_bits[i];
		uint64_t bits = __atomic_load_n(remote, __ATOMIC_ACQUIRE);
		uint64_t free_word = read_once(&span->free_bits[i]);

		if (!bits)
			continue;
		if (unlikely(bits & free_word)) {
			uint64_t index = i * 64 + (unsigned int)__builtin_ctzll(
							  bits & free_word);

			tract__report_corruption(
				"double free",
				span->base + index * span->block_size);
		}
		write_once(&span->free_bits[i], free_word | bits);
		__atomic_fetch_and(remote, ~bits, __ATOMIC_RELEASE);
		collected += (uint32_t)__builtin_popcountll(bits);
	}
	__atomic_fetch_sub(&span->remote_freed, collected, __ATOMIC_SEQ_CST);
}

/* --- a span's state; heap locked ----------------------------------------- */

static bool is_touched(const struct span *span)
{
	return __atomic_load_n(&span->owner, __ATOMIC_SEQ_CST) & OWNER_TOUCHED;
}

/*
 * Before collecting.  A remote free that sets its bit after the tag is gone
 * sets the tag again.
 */
static void untouch(struct span *span)
{
	list_remove(&span->ready);
	__atomic_fetch_and(&span->owner, ~OWNER_TOUCHED, __ATOMIC_SEQ_CST);
}

/* The tag survives: remote frees do not wait for a lock to set it. */
static void set_owner(struct span *span, struct heap *heap)
{
	uintptr_t old = read_once(&span->owner);

	while (!__atomic_compare_exchange_n(
		&span->owner, &old, (uintptr_t)heap | (old & OWNER_TOUCHED),
		false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
}

static void set_used(struct span *span, uint32_t base, uint32_t countdown)
{
	write_once(&span->used_base, base);
	write_once(&span->countdown, countdown);
}

static void set_partial(struct heap *heap, struct span *span, uint32_t used)
{
	write_once(&span->state, SPAN_PARTIAL);
	set_used(span, 0, used);
	list_remove(&span->node);
	list_insert(&span->node, &heap->partial[span->class]);
}

/*
 * @used: blocks out.  At least one in PARTIAL_FRACTION has to come free before
 * the span is worth a refill; the countdown is what is missing of that.
 */
static void set_full_or_partial(struct heap *heap, struct span *span,
				uint32_t used)
{
	uint32_t enough = (uint32_t)span->block_count / PARTIAL_FRACTION;
	uint32_t free_now = (uint32_t)span->block_count - used;

	if (!enough)
		enough = 1;
	if (free_now >= enough) {
		set_partial(heap, span, used);
		return;
	}
	write_once(&span->state, SPAN_FULL);
	set_used(span, used - (enough - free_now), enough - free_now);
	list_remove(&span->node);
	list_insert(&span->node, &heap->full);
}

static bool looks_empty(const struct span *span)
{
	return span_used(span) ==
	       __atomic_load_n(&span->remote_freed, __ATOMIC_SEQ_CST);
}

/* The span is empty, no bin's current, and out of everybody's hands. */
static void retire(struct span *span)
{
	list_remove(&span->node);
	list_remove(&span->ready);
	__atomic_store_n(&span->owner, 0, __ATOMIC_SEQ_CST);
	span->dirty_units = span->units;
	tract__arena_free(span);
}

/* Others may have freed blocks since the counts were made. */
static bool retire_empty(struct span *span)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!looks_empty(span))
		return false;
	retire(span);
	return true;
}

/*
 * Brings a span that is not current to where it belongs now: to a list, or to
 * the arena, which is said by true.  The caller may write its free bits.
 */
static bool settle(struct heap *heap, struct span *span)
{
	if (is_touched(span)) {
		untouch(span);
		collect_bits(span);
	}
	set_full_or_partial(heap, span, count_used(span));
	return retire_empty(span);
}

static void settle_list(struct heap *heap, struct list *list, bool by_ready)
{
	struct list *next;

	for (struct list *n = list->next; n != list; n = next) {
		next = n->next;
		settle(heap, by_ready ? container_of(n, struct span, ready) :
					container_of(n, struct span, node));
	}
}

/* --- refill; heap locked, by its thread (or any, for the orphans) --------- */

/* Points the bin at the first word with a free block, from @from on, round. */
static bool find_word(struct bin *bin, unsigned int from)
{
	struct span *span = bin->span;

	for (unsigned int n = 0; n < span->words; n++) {
		unsigned int i = from + n < span->words ?
					 from + n :
					 from + n - span->words;

		if (read_once(&span->free_bits[i])) {
			bin->word = &span->free_bits[i];
			bin->word_base =
				span->base + (size_t)i * 64 * span->block_size;
			return true;
		}
	}
	return false;
}

/* By the heap's thread alone, lock or not: the words and the bin are its own. */
static bool find_next_word(struct bin *bin)
{
	return bin->span &&
	       find_word(bin, (unsigned int)(bin->word - bin->span->free_bits));
}

static bool refill_from_current(struct bin *bin)
{
	struct span *span = bin->span;

	if (find_next_word(bin))
		return true;
	if (!span || !is_touched(span))
		return false;
	untouch(span);
	collect_bits(span);
	return find_word(bin, 0);
}

static void drop_current(struct heap *heap, struct bin *bin)
{
	struct span *span = bin->span;

	if (!span)
		return;
	bin->span = NULL;
	bin->word = &no_blocks;
	settle(heap, span);
}

static void set_current(struct bin *bin, struct span *span)
{
	list_remove(&span->node);
	write_once(&span->state, SPAN_CURRENT);
	/* The first free finds the pace. */
	set_used(span, USED_BIAS, 1);
	bin->span = span;
	if (is_touched(span)) {
		untouch(span);
		collect_bits(span);
	}
	find_word(bin, 0);
}

static struct span *adopt(struct heap *heap, unsigned int class)
{
	struct span *span = NULL;

	/* A look without the lock: mostly there is nothing. */
	if (heap == &orphans || (list_seems_empty(&orphans.partial[class]) &&
				 list_seems_empty(&orphans.ready)))
		return NULL;
	lock_acquire(&orphans.lock);
	settle_list(&orphans, &orphans.ready, true);
	if (!list_empty(&orphans.partial[class])) {
		span = container_of(orphans.partial[class].next, struct span,
				    node);
		list_remove(&span->node);
		list_remove(&span->ready);
		set_owner(span, heap);
	}
	lock_release(&orphans.lock);
	return span;
}

static struct span *new_span(struct heap *heap, unsigned int class)
{
	unsigned int size = tract__class_size[class];
	size_t units = size_class_units(class);
	uint32_t blocks = (uint32_t)(units * UNIT_SIZE / size);
	unsigned int words = (blocks + 63) / 64;
	struct span *span = tract__arena_alloc(units, 0, 0, SPAN_SMALL);

	if (!span)
		return NULL;
	if (!tract__arena_alloc_bits(span, words)) {
		span->kind = SPAN_LARGE; /* has no bitmaps to give back */
		tract__arena_free(span);
		return NULL;
	}
	span->shift = (uint8_t)__builtin_ctz(size);
	span->inverse = odd_inverse(size >> span->shift);
	span->class = (uint8_t) class;
	span->block_size = size;
	span->block_count = blocks;
	write_once(&span->remote_freed, 0);
	for (unsigned int i = 0; i < words; i++) {
		write_once(&span->free_bits[i], ~0ull);
		write_once(&span->remote_bits[i], 0);
	}
	/* Beyond the last block nothing is free, ever. */
	if (blocks % 64)
		write_once(&span->free_bits[words - 1],
			   (1ull << blocks % 64) - 1);
	list_init(&span->node);
	list_init(&span->ready);
	__atomic_store_n(&span->owner, (uintptr_t)heap, __ATOMIC_RELEASE);
	tract__pagemap_set(span->base, units, span);
	return span;
}

static void *refill(struct heap *heap, unsigned int class)
{
	struct bin *bin = &heap->bins[class];
	struct span *span;

	if (refill_from_current(bin))
		return bin_pop(bin);
	drop_current(heap, bin);
	settle_list(heap, &heap->ready, true);
	if (!list_empty(&heap->partial[class])) {
		span = container_of(heap->partial[class].next, struct span,
				    node);
	} else {
		span = adopt(heap, class);
		if (!span)
			span = new_span(heap, class);
		if (!span)
			return NULL;
	}
	set_current(bin, span);
	return bin_pop(bin);
}

/* --- giving memory back -------------------------------------------------- */

/* Heap locked, or the caller's own. */
static void tag_currents(struct heap *heap)
{
	for (unsigned int class = 0; class < CLASS_COUNT; class ++) {
		struct span *span = heap->bins[class].span;

		if (span && !is_touched(span))
			__atomic_fetch_or(&span->owner, OWNER_TOUCHED,
					  __ATOMIC_SEQ_CST);
	}
}

/* A heap that is busy is passed over: its thread comes by itself. */
static void tag_all(void)
{
	if (!lock_try(&heaps_lock))
		return;
	for (struct list *n = heaps.next; n && n != &heaps; n = n->next) {
		struct heap *heap = container_of(n, struct heap, node);

		if (lock_try(&heap->lock)) {
			tag_currents(heap);
			lock_release(&heap->lock);
		}
	}
	lock_release(&heaps_lock);
}

void tract__heap_tick(void)
{
	static uint32_t all_tagged_at;
	struct heap *heap = tract__thread_heap;
	uint32_t now = tract__sys_now_ms();
	uint32_t last = read_once(&all_tagged_at);

	if (!tract__arena_tick(now))
		return;
	if (now - last > (uint32_t)tract__options.decay_ms / 2 &&
	    __atomic_compare_exchange_n(&all_tagged_at, &last, now, false,
					__ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		tag_all();
	} else if (heap != &tract__empty_heap && heap->tagged_at != now) {
		heap->tagged_at = now;
		tag_currents(heap);
	}
}

/* --- threads -------------------------------------------------------------- */

/*
 * Moves a span to the orphans.  Both heaps are locked.  Whoever waits for the
 * old owner's lock looks at the owner again when it has it.
 */
static void orphan_span(struct span *span)
{
	list_remove(&span->node);
	list_remove(&span->ready);
	set_owner(span, &orphans);
	settle(&orphans, span);
}

static void orphan_list(struct list *list)
{
	while (!list_empty(list))
		orphan_span(container_of(list->next, struct span, node));
}

/* All spans of a heap without a thread go to the orphans.  Both locked. */
static void orphan_heap(struct heap *heap)
{
	for (unsigned int class = 0; class < CLASS_COUNT; class ++) {
		struct bin *bin = &heap->bins[class];

		if (bin->span) {
			struct span *span = bin->span;

			bin->span = NULL;
			bin->word = &no_blocks;
			list_init(&span->node);
			orphan_span(span);
		}
		orphan_list(&heap->partial[class]);
	}
	orphan_list(&heap->full);
}

static void put_heap(struct heap *heap)
{
	lock_acquire(&heap->lock);
	lock_acquire(&orphans.lock);
	orphan_heap(heap);
	lock_release(&orphans.lock);
	lock_release(&heap->lock);
	lock_acquire(&heaps_lock);
	list_remove(&heap->node);
	list_insert(&heap->node, &unused_heaps);
	lock_release(&heaps_lock);
}

/*
 * Destructors of other keys may run after this one, and allocate: the key is
 * set again until the last round but one (the last is where the sanitizers take
 * leave of a thread), and what comes after that uses the orphans.
 */
static void thread_exit(void *arg)
{
	struct heap *heap = arg;

	if (++exit_rounds < PTHREAD_DESTRUCTOR_ITERATIONS - 1 &&
	    !pthread_setspecific(exit_key, heap))
		return;
	tract__thread_heap = &tract__empty_heap;
	thread_ended = true;
	put_heap(heap);
	tract__heap_tick();
}

static struct heap *get_heap(void)
{
	struct heap *heap = NULL;

	lock_acquire(&heaps_lock);
	if (unlikely(!heaps.next)) {
		list_init(&heaps);
		list_init(&unused_heaps);
		heap_init(&orphans);
		exit_key_made = !pthread_key_create(&exit_key, thread_exit);
	}
	if (!list_empty(&unused_heaps)) {
		heap = container_of(unused_heaps.next, struct heap, node);
		list_remove(&heap->node);
	} else {
		heap = tract__arena_alloc_meta(sizeof(*heap));
		if (heap)
			heap_init(heap);
	}
	if (heap)
		list_insert(&heap->node, &heaps);
	lock_release(&heaps_lock);
	return heap;
}

/* The calling thread's heap, made now if need be.  NULL: use the orphans. */
static struct heap *thread_heap(void)
{
	struct heap *heap = tract__thread_heap;

	if (likely(heap != &tract__empty_heap))
		return heap;
	if (thread_ended)
		return NULL;
	tract__init();
	heap = get_heap();
	if (!heap)
		return NULL;
	tract__thread_heap = heap;
	/*
	 * This may allocate, and finds the heap in place.  Without a key the
	 * spans of threads that end stay where they are, and their memory is
	 * still returned by whoever frees it.
	 */
	if (exit_key_made)
		pthread_setspecific(exit_key, heap);
	return heap;
}

static noinline void *alloc_locked(struct heap *heap, unsigned int class)
{
	void *p;

	lock_acquire(&heap->lock);
	p = refill(heap, class);
	lock_release(&heap->lock);
	tract__heap_tick();
	return p;
}

void *tract__heap_alloc_slow(unsigned int class)
{
	struct heap *heap = thread_heap();
	struct bin *bin;

	if (unlikely(!heap))
		return alloc_locked(&orphans, class);
	bin = &heap->bins[class];
	if (find_next_word(bin))
		return bin_pop(bin);
	return alloc_locked(heap, class);
}

/* --- frees ----------------------------------------------------------------- */

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

/* Retires a span that looked empty, if it is. */
static void retire_if_empty(struct span *span)
{
	struct heap *heap = lock_owner(span);

	if (!heap)
		return;
	if (span->state != SPAN_CURRENT && looks_empty(span))
		retire(span);
	lock_release(&heap->lock);
	tract__heap_tick();
}

/* Has a full span got enough free blocks to allocate from again? */
static bool has_room(const struct span *span)
{
	return read_once(&span->state) == SPAN_FULL &&
	       read_once(&span->remote_freed) >= read_once(&span->countdown);
}

/* Has the span's owner collect it at its next refill. */
static void make_ready(struct span *span)
{
	struct heap *heap = lock_owner(span);

	if (!heap)
		return;
	if (has_room(span) && list_empty(&span->ready))
		list_append(&heap->ready, &span->ready);
	lock_release(&heap->lock);
}

static void free_remote(struct span *span, void *p, uint64_t index)
{
	uint64_t bit = 1ull << index % 64;
	uint64_t *remote = &span->remote_bits[index / 64];

	if (unlikely(bit_is_set(span->free_bits, index) ||
		     __atomic_fetch_or(remote, bit, __ATOMIC_SEQ_CST) & bit))
		tract__report_corruption("double free", p);
	__atomic_fetch_add(&span->remote_freed, 1, __ATOMIC_SEQ_CST);
	/*
	 * From here on the span may be retired and used anew by others at any
	 * time.  Its header stays readable; a tag too many does no harm; and
	 * the rest is decided again under its owner's lock.
	 */
	if (!is_touched(span))
		__atomic_fetch_or(&span->owner, OWNER_TOUCHED,
				  __ATOMIC_SEQ_CST);
	if (looks_empty(span))
		retire_if_empty(span);
	else if (has_room(span) && list_seems_empty(&span->ready))
		make_ready(span);
}

/*
 * The tag was for us to come by, unless a remote free is just being counted: it
 * has set its bit, and finds the tag missing, or we find its count.  A slow
 * thread comes by at each free from now on.
 */
static void untag_current(struct span *span)
{
	__atomic_fetch_and(&span->owner, ~OWNER_TOUCHED, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&span->remote_freed, __ATOMIC_SEQ_CST))
		__atomic_fetch_or(&span->owner, OWNER_TOUCHED,
				  __ATOMIC_SEQ_CST);
	write_once(&span->countdown, 1);
}

/* By the owner, of a span with remote frees. */
static void free_touched(struct span *span, void *p, uint64_t index)
{
	uint64_t *at = &span->free_bits[index / 64];
	uint64_t word = read_once(at);
	bool zero;

	if (unlikely(bit_test_and_set(&word, index) ||
		     bit_is_set(span->remote_bits, index)))
		tract__report_corruption("double free", p);
	write_once(at, word);
	if (span->state == SPAN_CURRENT && !read_once(&span->remote_freed))
		untag_current(span);
	zero = count_down(&span->countdown);
	/* Pairs with the adding to remote_freed in free_remote(). */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (zero || looks_empty(span) || has_room(span))
		tract__heap_span_event(span);
	else if (span->state == SPAN_CURRENT)
		tract__heap_tick();
}

void tract__heap_free_slow(struct span *span, void *p)
{
	uint64_t index = span_index(span, p);

	if (unlikely(index >= span->block_count))
		tract__report_corruption("invalid free", p);
	if (span_owner(span) == tract__thread_heap)
		free_touched(span, p, index);
	else
		free_remote(span, p, index);
}

static uint32_t adapt_pace(struct heap *heap)
{
	uint32_t now = tract__sys_now_ms();
	uint32_t elapsed = now - heap->paced_at;

	heap->paced_at = now;
	if (elapsed > PACE_FASTER_MS)
		heap->pace = 1;
	else if (elapsed < PACE_SLOWER_MS && heap->pace < PACE_MAX)
		heap->pace *= 2;
	return heap->pace;
}

void tract__heap_span_event(struct span *span)
{
	struct heap *heap = tract__thread_heap;
	bool retired = false;

	/* Only we make a span current, or end that. */
	if (read_once(&span->state) == SPAN_CURRENT &&
	    span_owner(span) == heap) {
		uint32_t last = heap->paced_at;

		write_once(&span->countdown, adapt_pace(heap));
		if (heap->paced_at != last)
			tract__heap_tick();
		return;
	}
	lock_acquire(&heap->lock);
	/* Another thread may have found it empty first. */
	if (span_owner(span) == heap)
		retired = settle(heap, span);
	lock_release(&heap->lock);
	if (retired)
		tract__heap_tick();
}

bool tract__heap_is_allocated(const struct span *span, const void *p)
{
	uint64_t index = span_index(span, p);

	return index < span->block_count &&
	       !bit_is_set(span->free_bits, index) &&
	       !bit_is_set(span->remote_bits, index);
}

/* All of a heap, which is locked, by its thread. */
static void settle_heap(struct heap *heap)
{
	for (unsigned int class = 0; class < CLASS_COUNT; class ++) {
		drop_current(heap, &heap->bins[class]);
		settle_list(heap, &heap->partial[class], false);
	}
	settle_list(heap, &heap->full, false);
}

void tract__heap_collect(void)
{
	struct heap *heap = tract__thread_heap;

	if (heap == &tract__empty_heap)
		return;
	lock_acquire(&heap->lock);
	settle_heap(heap);
	lock_acquire(&orphans.lock);
	settle_heap(&orphans);
	lock_release(&orphans.lock);
	lock_release(&heap->lock);
}

/* --- fork ------------------------------------------------------------------ */

static bool heaps_exist(void)
{
	return heaps.next != NULL;
}

void tract__heap_fork_prepare(void)
{
	lock_acquire(&heaps_lock);
	if (!heaps_exist())
		return;
	for (struct list *n = heaps.next; n != &heaps; n = n->next)
		lock_acquire(&container_of(n, struct heap, node)->lock);
	lock_acquire(&orphans.lock);
}

void tract__heap_fork_parent(void)
{
	if (heaps_exist()) {
		lock_release(&orphans.lock);
		for (struct list *n = heaps.next; n != &heaps; n = n->next)
			lock_release(&container_of(n, struct heap, node)->lock);
	}
	lock_release(&heaps_lock);
}

/*
 * The other threads' fast paths took no lock, so each may have been caught
 * between two stores: counts are made anew from the bits.  A block whose
 * allocation was under way is lost to the child, one whose free was may be.
 */
static void recount(struct span *span, void *arg)
{
	uint32_t freed = 0;

	(void)arg;
	if (span->kind != SPAN_SMALL)
		return;
	for (unsigned int i = 0; i < span->words; i++)
		freed += (uint32_t)__builtin_popcountll(span->remote_bits[i]);
	write_once(&span->remote_freed, freed);
}

void tract__heap_fork_child(void)
{
	struct heap *own = tract__thread_heap;
	struct list *next;

	lock_reset(&heaps_lock);
	if (!heaps_exist())
		return;
	lock_reset(&orphans.lock);
	for (struct list *n = heaps.next; n != &heaps; n = n->next)
		lock_reset(&container_of(n, struct heap, node)->lock);
	tract__arena_visit(recount, NULL);
	for (struct list *n = heaps.next; n != &heaps; n = next) {
		struct heap *heap = container_of(n, struct heap, node);

		next = n->next;
		if (heap != own)
			put_heap(heap);
	}
}
