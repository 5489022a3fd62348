// SPDX-License-Identifier: MIT
/*
 * Heaps and the threads they belong to: made at a thread's first allocation,
 * emptied at its end, brought through fork().
 */
#include "heap.h"

#include <limits.h>
#include <pthread.h>

#include "arena.h"
#include "deferred.h"
#include "init.h"
#include "options.h"
#include "pagemap.h"
#include "refill.h"
#include "region.h"
#include "remote.h"
#include "span_state.h"
#include "tick.h"

uint64_t tract__no_blocks;

#define EMPTY_BIN                                                              \
	{                                                                      \
		.word = &tract__no_blocks                                      \
	}

struct heap tract__empty_heap = {
	.pending = { .word = &tract__empty_heap.pending.no_word,
		     .countdown = &tract__empty_heap.pending.no_countdown },
	.bins = { [0 ... CLASS_COUNT - 1] = EMPTY_BIN },
};

__thread struct heap *tract__thread_heap = &tract__empty_heap;

__thread struct ready tract__ready[READY_CLASSES];

#define OFFSET(class) (class) * sizeof(struct ready),
const uint16_t tract__ready_offset[] = { CLASS_TABLE(OFFSET) };
#undef OFFSET

struct heap tract__orphans far_bss;
bool tract__orphans_exist;
static uint16_t threads_ended; /* under the lock of the orphans */

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
	pending_forget(&heap->pending);
	heap->pace = PACE_MAX;
	heap->words_left = 1;
}

/* Most processes never have any.  Locked. */
static void need_orphans(void)
{
	if (tract__orphans_exist)
		return;
	heap_init(&tract__orphans);
	/* Pairs with the look without the lock in orphans_exist(). */
	__atomic_store_n(&tract__orphans_exist, true, __ATOMIC_RELEASE);
}

/*
 * Moves a span to the tract__orphans.  Both heaps are locked.  Whoever waits for the
 * old owner's lock looks at the owner again when it has it.
 */
static void orphan_span(struct span *span)
{
	list_remove(&span->node);
	list_remove(&span->ready);
	tract__span_set_owner(span, &tract__orphans);
	span->round = threads_ended;
	tract__span_settle(&tract__orphans, span);
}

static void orphan_list(struct list *list)
{
	while (!list_empty(list))
		orphan_span(container_of(list->next, struct span, node));
}

/* All spans of a heap without a thread go to the tract__orphans.  Both locked. */
static void orphan_heap(struct heap *heap)
{
	for (unsigned int class = 0; class < CLASS_COUNT; class ++) {
		struct bin *bin = &heap->bins[class];

		if (bin->span) {
			struct span *span = bin->span;

			bin->span = NULL;
			bin->word = &tract__no_blocks;
			list_init(&span->node);
			orphan_span(span);
		}
		orphan_list(&heap->partial[class]);
	}
	orphan_list(&heap->full);
}

static void put_heap(struct heap *heap)
{
	tract__deferred_carry_out(heap);
	tract__remote_flush(heap);
	lock_acquire(&heap->lock);
	lock_acquire(&tract__orphans.lock);
	need_orphans();
	threads_ended++;
	orphan_heap(heap);
	lock_release(&tract__orphans.lock);
	lock_release(&heap->lock);
	lock_acquire(&heaps_lock);
	list_remove(&heap->node);
	list_insert(&heap->node, &unused_heaps);
	lock_release(&heaps_lock);
}

/*
 * Destructors of other keys may run after this one, and allocate: the key is
 * set again until the last round but one (the last is where the sanitizers take
 * leave of a thread), and what comes after that uses the tract__orphans.
 */
static void thread_exit(void *arg)
{
	struct heap *heap = arg;

	if (++exit_rounds < PTHREAD_DESTRUCTOR_ITERATIONS - 1 &&
	    !pthread_setspecific(exit_key, heap))
		return;
	for (unsigned int class = 0; class < READY_CLASSES; class ++)
		ready_forget(class);
	tract__thread_heap = &tract__empty_heap;
	thread_ended = true;
	put_heap(heap);
	tract__tick();
}

static struct heap *get_heap(void)
{
	struct heap *heap = NULL;

	lock_acquire(&heaps_lock);
	if (unlikely(!heaps.next)) {
		list_init(&heaps);
		list_init(&unused_heaps);
		exit_key_made = !pthread_key_create(&exit_key, thread_exit);
	}
	if (!list_empty(&unused_heaps)) {
		heap = container_of(unused_heaps.next, struct heap, node);
		list_remove(&heap->node);
		/* A forked child's was its parent's. */
		heap->random = 0;
		heap->fresh_span = NULL;
		/* What the classes grew by was for another thread. */
		for (unsigned int i = 0; i < CLASS_COUNT; i++)
			heap->grown[i] = 0;
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

struct heap *tract__heap_get(void)
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
	p = tract__refill(heap, class);
	lock_release(&heap->lock);
	if (heap->fresh_span && heap != &tract__orphans)
		tract__refill_prepare(heap);
	tract__tick();
	return p;
}

void *tract__heap_alloc_slow(unsigned int class)
{
	struct heap *heap = tract__heap_get();
	void *p;

	if (unlikely(!heap)) {
		lock_acquire(&tract__orphans.lock);
		need_orphans();
		lock_release(&tract__orphans.lock);
		return alloc_locked(&tract__orphans, class);
	}
	tract__deferred_carry_out(heap);
	p = tract__refill_take(heap, &heap->bins[class]);
	return p ? p : alloc_locked(heap, class);
}

void tract__heap_set_region(struct heap *heap, const struct span *span)
{
	const struct region *region = region_of(span);

	if (unlikely(tract__options.hardened))
		return;
	heap->region_base = (uintptr_t)region->reservation.base;
	heap->region_length = region->reservation.length;
	heap->region_spans = region->spans;
	heap->region_owner = (uintptr_t)heap |
			     OWNER_GENERATION(region->generation);
}

void tract__heap_visit(void (*visit)(struct heap *heap, void *arg), void *arg)
{
	if (!lock_try(&heaps_lock))
		return;
	for (struct list *n = heaps.next; n && n != &heaps; n = n->next)
		visit(container_of(n, struct heap, node), arg);
	lock_release(&heaps_lock);
}

/* All of a heap, which is locked, by its thread. */
static void settle_heap(struct heap *heap)
{
	for (unsigned int class = 0; class < CLASS_COUNT; class ++) {
		tract__refill_drop_current(heap, &heap->bins[class]);
		tract__span_settle_nodes(heap, &heap->partial[class]);
	}
	tract__span_settle_nodes(heap, &heap->full);
}

void tract__heap_collect(void)
{
	struct heap *heap = tract__thread_heap;

	if (heap == &tract__empty_heap)
		return;
	tract__deferred_carry_out(heap);
	tract__remote_flush(heap);
	lock_acquire(&heap->lock);
	settle_heap(heap);
	if (orphans_exist()) {
		lock_acquire(&tract__orphans.lock);
		settle_heap(&tract__orphans);
		lock_release(&tract__orphans.lock);
	}
	lock_release(&heap->lock);
}

void tract__heap_harden(void)
{
	tract__heap_collect();
	tract__thread_heap->region_length = 0;
}

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
	lock_acquire(&tract__orphans.lock);
}

void tract__heap_fork_parent(void)
{
	if (heaps_exist()) {
		lock_release(&tract__orphans.lock);
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
	for (unsigned int i = 0; i < span->words; i++) {
		struct block_bits *word = &span->tally->bits[i];

		/* Both are set while a bit is collected. */
		write_once(&word->remote,
			   read_once(&word->remote) & ~read_once(&word->free));
		freed += bit_count(span_remote(span, i));
	}
	write_once(&span->tally->remote_freed, freed);
}

void tract__heap_fork_child(void)
{
	struct heap *own = tract__thread_heap;
	struct list *next;

	lock_reset(&heaps_lock);
	if (!heaps_exist())
		return;
	lock_reset(&tract__orphans.lock);
	own->random = tract__orphans.random = 0;
	for (struct list *n = heaps.next; n != &heaps; n = n->next)
		lock_reset(&container_of(n, struct heap, node)->lock);
	tract__arena_visit(recount, NULL);
	for (struct list *n = heaps.next; n != &heaps; n = next) {
		struct heap *heap = container_of(n, struct heap, node);

		next = n->next;
		if (heap == own)
			continue;
		tract__deferred_forget_torn(heap);
		put_heap(heap);
	}
}
