// SPDX-License-Identifier: MIT
/*
 * Stacks of one size, each with a guard at its low end, in few reservations.
 *
 * Stacks are handed out in the order of their addresses, the last one returned
 * first.  A returned stack is dirty until its pages are dropped, which happens
 * in passing: when it is older than decay_ms, and when there are more dirty
 * stacks than stacks in use.  Guards are set once and stay.
 *
 * Lists are indices into an array beside each region: nothing is written to a
 * stack that is not in use.
 */
#include <errno.h>
#include <pthread.h>

#include "../include/tract.h"
#include "backend.h"
#include "common.h"
#include "init.h"
#include "lock.h"
#include "options.h"
#include "report.h"
#include "sys.h"

#define EXPORT __attribute__((visibility("default")))
#define ALIGN ((size_t)2 << 20)
#define REGION_FIRST ((size_t)4 << 20)
#define REGIONS_MAX 32
/* Dirty stacks that are always allowed. */
#define DIRTY_MIN 64
/* Guards that are set at a time, ahead of their use. */
#define GUARD_BATCH DECOMMIT_BATCH

enum slot_state {
	SLOT_FRESH, /* never in use; no pages */
	SLOT_LIVE,
	SLOT_DIRTY,
	SLOT_CLEAN, /* its pages were dropped */
};

struct slot {
	struct list node;
	uint32_t freed_at;
	uint32_t state;
};

struct region {
	struct reservation reservation;
	struct slot *slots;
	size_t count;
	size_t guarded; /* of these the first have their guards */
	size_t used;	/* and these have been in use */
};

struct tract_stack_pool {
	struct tract_stack_pool *next; /* of all pools */
	struct lock lock;	       /* all below */
	size_t size, guard;
	size_t live, dirty;
	struct list dirty_list; /* the oldest first */
	struct list clean_list;
	unsigned int region_count;
	struct region regions[REGIONS_MAX];
};

static struct lock pools_lock;
static struct tract_stack_pool *pools;

static void fork_prepare(void)
{
	lock_acquire(&pools_lock);
	for (struct tract_stack_pool *p = pools; p; p = p->next)
		lock_acquire(&p->lock);
}

static void fork_parent(void)
{
	for (struct tract_stack_pool *p = pools; p; p = p->next)
		lock_release(&p->lock);
	lock_release(&pools_lock);
}

static void fork_child(void)
{
	for (struct tract_stack_pool *p = pools; p; p = p->next)
		lock_reset(&p->lock);
	lock_reset(&pools_lock);
}

static size_t slot_size(const struct tract_stack_pool *pool)
{
	return pool->guard + pool->size;
}

static struct region *region_of(struct tract_stack_pool *pool, const char *p)
{
	for (unsigned int i = pool->region_count; i-- > 0;) {
		struct region *region = &pool->regions[i];

		if (p >= region->reservation.base &&
		    p < region->reservation.base + region->reservation.length)
			return region;
	}
	return NULL;
}

static struct region *region_of_slot(struct tract_stack_pool *pool,
				     const struct slot *slot)
{
	for (unsigned int i = 0; i < pool->region_count; i++) {
		struct region *region = &pool->regions[i];

		if (slot >= region->slots &&
		    slot < region->slots + region->count)
			return region;
	}
	return NULL;
}

static char *stack_of(const struct tract_stack_pool *pool,
		      const struct region *region, size_t index)
{
	return region->reservation.base + index * slot_size(pool) + pool->guard;
}

/* As large as all before, so that their number stays small. */
static int add_region(struct tract_stack_pool *pool)
{
	struct region *region = &pool->regions[pool->region_count];
	size_t length = REGION_FIRST;
	int ret;

	if (pool->region_count == REGIONS_MAX)
		return -ENOMEM;
	for (unsigned int i = 0; i < pool->region_count; i++)
		length += pool->regions[i].reservation.length;
	length = align_up(length, ALIGN);
	if (length < slot_size(pool))
		length = align_up(slot_size(pool), ALIGN);
	ret = tract__backend_reserve(&region->reservation, length,
				     RESERVE_TRAPPED);
	if (ret)
		return ret;
	region->count = length / slot_size(pool);
	region->guarded = region->used = 0;
	region->slots = tract__sys_map(region->count * sizeof(struct slot));
	if (!region->slots) {
		tract__backend_release(&region->reservation);
		return -ENOMEM;
	}
	pool->region_count++;
	return 0;
}

/*
 * A child has no operations on what it inherited: guards that are not there
 * yet will never be.
 */
static bool can_guard(const struct region *region)
{
	return region->guarded < region->count &&
	       tract__backend_is_owned(&region->reservation);
}

static int add_guards(struct tract_stack_pool *pool, struct region *region)
{
	struct decommit ranges[GUARD_BATCH];
	unsigned int n = 0;
	int ret;

	while (n < GUARD_BATCH && region->guarded + n < region->count) {
		ranges[n] = (struct decommit){
			.reservation = &region->reservation,
			.offset = (region->guarded + n) * slot_size(pool),
			.length = pool->guard,
		};
		n++;
	}
	ret = tract__backend_guard(ranges, n);
	for (unsigned int i = 0; i < n && ranges[i].done; i++)
		region->guarded++;
	return region->guarded > region->used ? 0 : ret;
}

static int take_fresh(struct tract_stack_pool *pool, struct slot **out)
{
	struct region *region = NULL;
	int ret;

	for (unsigned int i = 0; i < pool->region_count; i++) {
		region = &pool->regions[i];
		if (region->used < region->guarded || can_guard(region))
			break;
		region = NULL;
	}
	if (!region) {
		ret = add_region(pool);
		if (ret)
			return ret;
		region = &pool->regions[pool->region_count - 1];
	}
	if (region->used == region->guarded) {
		ret = add_guards(pool, region);
		if (ret)
			return ret;
	}
	*out = &region->slots[region->used++];
	list_init(&(*out)->node);
	return 0;
}

/* Drops the pages of up to DECOMMIT_BATCH dirty stacks, the oldest first. */
static void clean(struct tract_stack_pool *pool, size_t count)
{
	struct decommit ranges[DECOMMIT_BATCH];
	struct slot *slots[DECOMMIT_BATCH];
	unsigned int n = 0;

	while (n < count && n < DECOMMIT_BATCH &&
	       !list_empty(&pool->dirty_list)) {
		struct slot *slot =
			container_of(pool->dirty_list.next, struct slot, node);
		struct region *region = region_of_slot(pool, slot);
		size_t index = (size_t)(slot - region->slots);

		list_remove(&slot->node);
		slots[n] = slot;
		ranges[n++] = (struct decommit){
			.reservation = &region->reservation,
			.offset = index * slot_size(pool) + pool->guard,
			.length = pool->size,
		};
	}
	tract__backend_decommit(ranges, n);
	for (unsigned int i = 0; i < n; i++) {
		/* What could not be dropped waits for its next turn. */
		if (ranges[i].done) {
			slots[i]->state = SLOT_CLEAN;
			list_insert(&slots[i]->node, &pool->clean_list);
			pool->dirty--;
		} else {
			slots[i]->freed_at = tract__sys_now_ms();
			list_append(&pool->dirty_list, &slots[i]->node);
		}
	}
}

static void clean_in_passing(struct tract_stack_pool *pool)
{
	int decay = tract__options.decay_ms;
	struct slot *oldest;

	if (list_empty(&pool->dirty_list) || decay == DECAY_NEVER)
		return;
	oldest = container_of(pool->dirty_list.next, struct slot, node);
	if (tract__sys_now_ms() - oldest->freed_at >= (uint32_t)decay)
		clean(pool, DECOMMIT_BATCH);
	else if (pool->dirty > DIRTY_MIN && pool->dirty > pool->live)
		clean(pool, DECOMMIT_BATCH);
}

EXPORT void *tract_stack_alloc(struct tract_stack_pool *pool)
{
	struct region *region;
	struct slot *slot = NULL;
	char *stack = NULL;
	int ret = 0;

	lock_acquire(&pool->lock);
	if (!list_empty(&pool->dirty_list)) {
		slot = container_of(pool->dirty_list.prev, struct slot, node);
		pool->dirty--;
	} else if (!list_empty(&pool->clean_list)) {
		slot = container_of(pool->clean_list.next, struct slot, node);
	} else {
		ret = take_fresh(pool, &slot);
	}
	if (!ret) {
		list_remove(&slot->node);
		slot->state = SLOT_LIVE;
		pool->live++;
		region = region_of_slot(pool, slot);
		stack = stack_of(pool, region, (size_t)(slot - region->slots));
		clean_in_passing(pool);
	}
	lock_release(&pool->lock);
	if (ret)
		errno = -ret;
	return stack;
}

EXPORT void tract_stack_free(struct tract_stack_pool *pool, void *stack)
{
	struct region *region;
	struct slot *slot;
	size_t index;

	if (!stack)
		return;
	lock_acquire(&pool->lock);
	region = region_of(pool, stack);
	if (!region)
		tract__report_corruption("invalid free of a stack", stack);
	index = (size_t)((char *)stack - region->reservation.base) /
		slot_size(pool);
	slot = &region->slots[index];
	if (index >= region->count || stack_of(pool, region, index) != stack)
		tract__report_corruption("invalid free of a stack", stack);
	if (slot->state != SLOT_LIVE)
		tract__report_corruption("double free of a stack", stack);
	slot->state = SLOT_DIRTY;
	slot->freed_at = tract__sys_now_ms();
	list_append(&pool->dirty_list, &slot->node);
	pool->live--;
	pool->dirty++;
	clean_in_passing(pool);
	lock_release(&pool->lock);
}

EXPORT void tract_stack_pool_trim(struct tract_stack_pool *pool)
{
	size_t before;

	lock_acquire(&pool->lock);
	do {
		before = pool->dirty;
		clean(pool, before);
	} while (pool->dirty && pool->dirty < before);
	lock_release(&pool->lock);
}

EXPORT struct tract_stack_pool *tract_stack_pool_create(size_t size,
							size_t guard)
{
	static bool registered;
	struct tract_stack_pool *pool;

	size = align_up(size, PAGE);
	guard = guard ? align_up(guard, PAGE) : PAGE;
	if (!size || size > TRACT_STACK_MAX || guard > TRACT_STACK_MAX) {
		errno = EINVAL;
		return NULL;
	}
	tract__init();
	pool = tract__sys_map(align_up(sizeof(*pool), PAGE));
	if (!pool) {
		errno = ENOMEM;
		return NULL;
	}
	pool->size = size;
	pool->guard = guard;
	list_init(&pool->dirty_list);
	list_init(&pool->clean_list);
	/* May allocate, which a pool's lock must not be held over. */
	if (!__atomic_exchange_n(&registered, true, __ATOMIC_RELAXED))
		pthread_atfork(fork_prepare, fork_parent, fork_child);
	lock_acquire(&pools_lock);
	pool->next = pools;
	pools = pool;
	lock_release(&pools_lock);
	return pool;
}

EXPORT void tract_stack_pool_destroy(struct tract_stack_pool *pool)
{
	struct tract_stack_pool **link;

	if (!pool)
		return;
	lock_acquire(&pools_lock);
	for (link = &pools; *link != pool; link = &(*link)->next)
		;
	*link = pool->next;
	lock_release(&pools_lock);
	for (unsigned int i = 0; i < pool->region_count; i++) {
		struct region *region = &pool->regions[i];

		tract__sys_unmap(region->slots,
				 region->count * sizeof(struct slot));
		tract__backend_release(&region->reservation);
	}
	tract__sys_unmap(pool, align_up(sizeof(*pool), PAGE));
}
