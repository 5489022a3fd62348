// SPDX-License-Identifier: MIT
/* The allocator against a model of what is live; one thread. */
#include "malloc.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap.h"
#include "pagemap.h"
#include "region.h"
#include "size_class.h"
#include "stats.h"
#include "suite.h"

#define BLOCKS 3000

struct block {
	unsigned char *p;
	size_t size;
	unsigned char mark;
};

static struct block blocks[BLOCKS];

static size_t random_size(void)
{
	switch (random_below(8)) {
	case 0:
		return random_below(64);
	case 1:
		return random_below(SMALL_MAX * 2);
	case 2:
		return random_below(16) ? 100 : random_below(2 << 20);
	default:
		return random_below(1024);
	}
}

/* An assertion writes to a file: one a block, not one a byte. */
static bool all_are(const unsigned char *p, size_t size, unsigned char value)
{
	return !size || (p[0] == value && !memcmp(p, p + 1, size - 1));
}

static void check_block(const struct block *b, size_t size)
{
	ck_assert(all_are(b->p, size, b->mark));
}

static void set_block(struct block *b, void *p, size_t size)
{
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq((uintptr_t)p % 16, 0);
	ck_assert_uint_ge(tract__usable_size(p), size);
	b->p = p;
	b->size = size;
	b->mark = (unsigned char)random_next();
	memset(p, b->mark, size);
}

static void allocate(struct block *b)
{
	size_t size = random_size();
	size_t align;
	unsigned char *p;

	switch (random_below(4)) {
	case 0:
		p = tract__calloc(1, size);
		ck_assert_ptr_nonnull(p);
		ck_assert(all_are(p, size, 0));
		break;
	case 1:
		align = (size_t)1 << random_below(18);
		p = tract__memalign(align, size);
		ck_assert_uint_eq((uintptr_t)p % align, 0);
		break;
	default:
		p = tract__malloc(size);
	}
	set_block(b, p, size);
}

static void reallocate(struct block *b)
{
	size_t size = 1 + random_size();
	size_t kept = size < b->size ? size : b->size;
	struct block old = *b;

	old.p = tract__realloc(b->p, size);
	ck_assert_ptr_nonnull(old.p);
	check_block(&old, kept);
	set_block(b, old.p, size);
}

static void release_all(void)
{
	for (int i = 0; i < BLOCKS; i++) {
		if (blocks[i].p) {
			check_block(&blocks[i], blocks[i].size);
			tract__free(blocks[i].p);
		}
		blocks[i].p = NULL;
	}
}

static size_t live_usable(size_t *count)
{
	size_t bytes = 0;

	*count = 0;
	for (int i = 0; i < BLOCKS; i++) {
		if (!blocks[i].p)
			continue;
		bytes += tract__usable_size(blocks[i].p);
		++*count;
	}
	return bytes;
}

START_TEST(contents_and_statistics_hold_against_the_model)
{
	struct tract_heap_stats start, now;
	size_t count, bytes;

	tract__stats_get(&start);
	for (int step = 0; step < 300000; step++) {
		struct block *b = &blocks[random_below(BLOCKS)];

		if (!b->p) {
			allocate(b);
		} else if (random_below(5) == 0) {
			check_block(b, b->size);
			reallocate(b);
		} else {
			check_block(b, b->size);
			tract__free(b->p);
			b->p = NULL;
		}
		if (step % 50000)
			continue;
		bytes = live_usable(&count);
		tract__stats_get(&now);
		ck_assert_uint_eq(now.live_blocks - start.live_blocks, count);
		ck_assert_uint_eq(now.live_bytes - start.live_bytes, bytes);
	}
	release_all();
	tract__stats_get(&now);
	ck_assert_uint_eq(now.live_blocks, start.live_blocks);
	ck_assert_uint_eq(now.live_bytes, start.live_bytes);
	tract__trim();
	tract__stats_get(&now);
	ck_assert_uint_eq(now.dirty_bytes, 0);
	ck_assert_uint_eq(now.span_bytes, start.span_bytes);
	ck_assert_uint_gt(now.decommitted_bytes, 0);
	ck_assert_uint_gt(now.spans_freed, 0);
}
END_TEST

START_TEST(sizes_beyond_reason_are_refused)
{
	const size_t sizes[] = { SIZE_MAX,	   SIZE_MAX - 15,
				 PTRDIFF_MAX,	   (size_t)PTRDIFF_MAX + 1,
				 SIZE_MAX - 65535, (size_t)1 << 46 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		void *p = tract__malloc(10);

		errno = 0;
		ck_assert_ptr_null(tract__malloc(sizes[i]));
		ck_assert_int_eq(errno, ENOMEM);
		errno = 0;
		ck_assert_ptr_null(tract__calloc(1, sizes[i]));
		ck_assert_int_eq(errno, ENOMEM);
		errno = 0;
		ck_assert_ptr_null(tract__memalign(1 << 20, sizes[i]));
		ck_assert_int_eq(errno, ENOMEM);
		errno = 0;
		ck_assert_ptr_null(tract__realloc(p, sizes[i]));
		ck_assert_int_eq(errno, ENOMEM);
		ck_assert_uint_eq(tract__usable_size(p), 16);
		tract__free(p);
	}
	errno = 0;
	ck_assert_ptr_null(tract__calloc(SIZE_MAX / 2, 3));
	ck_assert_int_eq(errno, ENOMEM);
}
END_TEST

START_TEST(a_block_that_grows_step_by_step_stays_or_moves_rarely)
{
	size_t size = 65536;
	unsigned char *p = tract__malloc(size);
	int moves = 0;

	memset(p, 7, size);
	while (size < (256u << 20)) {
		size_t next = size + size / 4;
		unsigned char *q = tract__realloc(p, next);

		ck_assert_ptr_nonnull(q);
		moves += q != p;
		ck_assert_uint_eq(q[0], 7);
		ck_assert_uint_eq(q[size - 1], 7);
		memset(q + size, 7, next - size);
		p = q;
		size = next;
	}
	ck_assert_int_le(moves, 12);
	tract__free(p);
}
END_TEST

START_TEST(calloc_is_zero_after_dirt)
{
	for (int round = 0; round < 30; round++) {
		size_t size = (size_t)1 << (4 + random_below(19));
		unsigned char *p = tract__malloc(size);
		unsigned char *q;

		memset(p, 0xee, size);
		tract__free(p);
		if (random_below(2))
			tract__trim();
		q = tract__calloc(size / 8, 8);
		ck_assert(all_are(q, size, 0));
		tract__free(q);
	}
}
END_TEST

/*
 * As when the region that the heap finds its spans in has been given back, its
 * headers serve another place, and what is freed lies where it was.
 */
START_TEST(headers_that_serve_another_region_do_not_mislead)
{
	static void *p[20000];
	struct tract_heap_stats start, end;

	tract__free(tract__malloc(1));
	tract__stats_get(&start);
	for (size_t i = 0; i < sizeof(p) / sizeof(p[0]); i++)
		p[i] = tract__malloc(500);
	/* Each unit seems to be the one 2 MiB on, which has spans as well. */
	tract__thread_heap->region_base -= (size_t)2 << 20;
	tract__thread_heap->region_owner ^= OWNER_GENERATION(1);
	for (size_t i = 0; i < sizeof(p) / sizeof(p[0]); i++)
		tract__free(p[i]);
	tract__stats_get(&end);
	ck_assert_uint_eq(end.live_blocks, start.live_blocks);
}
END_TEST

/* So that it is noticed, whoever remembers the one before. */
START_TEST(headers_that_are_used_anew_are_another_generation)
{
	void *p = tract__malloc(500);
	struct span *span = pagemap_find(p);
	struct region *region;

	lock_acquire(&tract__arena.lock);
	ck_assert(!tract__region_add(POOL_HEAP, 16));
	region = &tract__arena.regions[tract__arena.region_count - 1];
	ck_assert(region != region_of(span));
	ck_assert_uint_eq(region->generation, 0);
	ck_assert(tract__region_release_free());
	ck_assert_uint_eq(region->units, 0);
	ck_assert(!tract__region_add(POOL_HEAP, 16));
	ck_assert_uint_ne(region->units, 0);
	ck_assert_uint_eq(region->generation, 1);
	lock_release(&tract__arena.lock);
	/* As if the heap's own were another now.  (At first it is tagged, to be looked at.) */
	span->owner &= ~OWNER_TOUCHED;
	ck_assert(heap_owns(tract__thread_heap, span));
	span->owner += OWNER_GENERATION(1);
	ck_assert(!heap_owns(tract__thread_heap, span));
	ck_assert_ptr_eq(span_owner(span), tract__thread_heap);
	tract__free(p);
	ck_assert_uint_eq(tract__usable_size(p), 0);
}
END_TEST

/* What is left over there would begin a block, if it were longer. */
START_TEST(the_end_of_a_span_is_no_block)
{
	for (unsigned int class = 0; class < CLASS_COUNT; class ++) {
		char *p = tract__malloc(tract__class_size[class]);
		const struct span *span = pagemap_find(p);
		size_t end = span->block_count * (size_t)span->block_size;
		int status;
		pid_t pid;

		if (end == span->units * UNIT_SIZE)
			continue;
		pid = fork();
		if (!pid) {
			close(STDERR_FILENO);
			tract__free(span->base + end);
			_exit(0);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
		tract__free(p);
	}
}
END_TEST

SUITE_MAIN("malloc", contents_and_statistics_hold_against_the_model,
	   sizes_beyond_reason_are_refused,
	   a_block_that_grows_step_by_step_stays_or_moves_rarely,
	   calloc_is_zero_after_dirt,
	   headers_that_serve_another_region_do_not_mislead,
	   headers_that_are_used_anew_are_another_generation,
	   the_end_of_a_span_is_no_block)
