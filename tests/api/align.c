// SPDX-License-Identifier: MIT
/* Every power-of-two alignment against every magnitude of size. */
#include "tap.h"

#include <malloc.h>

#define ALIGN_MAX ((size_t)16 << 20)
#define SIZE_LIMIT ((size_t)4 << 20)

static void *(*volatile do_malloc)(size_t) = malloc;
static void *(*volatile do_calloc)(size_t, size_t) = calloc;
static void *(*volatile do_aligned)(size_t, size_t) = aligned_alloc;
static void *(*volatile do_memalign)(size_t, size_t) = memalign;
static void *(*volatile do_valloc)(size_t) = valloc;
static void *(*volatile do_pvalloc)(size_t) = pvalloc;

/* What malloc owes: max_align_t for what can hold one, 8 for less than 16. */
static void natural(void)
{
	size_t size, bad = 0, first = 0;
	unsigned char *p, *q;

	for (size = 1; size < 70000; size += size < 4096 ? 1 : 37) {
		p = do_malloc(size);
		q = do_calloc(1, size);
		if (((uintptr_t)p | (uintptr_t)q) & (size < 16 ? 7 : 15)) {
			first = bad++ ? first : size;
			tap_note("size %zu at %p and %p", size, (void *)p,
				 (void *)q);
		}
		free(p);
		free(q);
	}
	for (size = 70000; size < SIZE_LIMIT * 8; size += size / 7) {
		p = do_malloc(size);
		bad += ((uintptr_t)p & 15) != 0;
		p[0] = p[size - 1] = 1;
		free(p);
	}
	tap_ok(!bad,
	       "malloc and calloc align to 16 (8 below 16 bytes): "
	       "%zu sizes did not, the first %zu",
	       bad, first);
}

static void *allocate(int how, size_t align, size_t size)
{
	void *p = NULL;

	switch (how) {
	case 0:
		return do_aligned(align, size);
	case 1:
		return do_memalign(align, size);
	default:
		return posix_memalign(&p, align, size) ? NULL : p;
	}
}

/*
 * Sizes that are no multiple of the alignment included.  Several blocks live at
 * a time, their ends are written and checked; each also goes through realloc
 * now and then, which keeps contents, not alignment.
 */
static void powers_of_two(uint64_t *state)
{
	static const char *const names[] = { "aligned_alloc", "memalign",
					     "posix_memalign" };
	enum {
		LIVE = 6
	};
	size_t align, size, sizes[LIVE];
	unsigned char *p[LIVE], *q;
	unsigned int bad, null, broken, short_;
	int how, i, round;

	for (align = 16; align <= ALIGN_MAX; align *= 2) {
		bad = null = broken = short_ = 0;
		how = 0;
		for (round = 0; round < (align > 1 << 20 ? 10 : 40); round++) {
			for (i = 0; i < LIVE; i++) {
				size = round ? tap_random_size(state,
							       SIZE_LIMIT) :
					       (size_t)1 << (i * 4);
				how = tap_random(state) % 3;
				p[i] = allocate(how, align, size);
				sizes[i] = size;
				if (!p[i]) {
					null++;
					continue;
				}
				if ((uintptr_t)p[i] & (align - 1)) {
					tap_note("%s(%zu, %zu) = %p",
						 names[how], align, size,
						 (void *)p[i]);
					bad++;
				}
				short_ += malloc_usable_size(p[i]) < size;
				memset(p[i], i + 1, size);
			}
			for (i = 0; i < LIVE; i++) {
				if (!p[i])
					continue;
				size = sizes[i];
				broken += p[i][0] != i + 1 ||
					  p[i][size / 2] != i + 1 ||
					  p[i][size - 1] != i + 1;
				if (tap_random(state) % 4 == 0) {
					q = realloc(p[i], size + size / 2 + 1);
					broken += !q || q[0] != i + 1 ||
						  q[size - 1] != i + 1;
					p[i] = q ? q : p[i];
				}
				free(p[i]);
			}
		}
		tap_ok(!bad && !null && !broken && !short_,
		       "alignment %zu: %u misaligned, %u NULL, %u broken, "
		       "%u short",
		       align, bad, null, broken, short_);
	}
}

static void refusals(void)
{
	static const size_t wrong[] = { 0,	  1,	       2,   3,	  4,
					5,	  6,	       7,   9,	  12,
					24,	  48,	       100, 4095, 4097,
					SIZE_MAX, SIZE_MAX / 2 };
	unsigned int i, bad = 0;
	void *p;
	int ret;

	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		p = &i;
		ret = posix_memalign(&p, wrong[i], 100);
		if (ret != EINVAL || p != &i) {
			tap_note("posix_memalign(%zu) gave %d, memptr %s",
				 wrong[i], ret, p == &i ? "kept" : "changed");
			bad++;
		}
	}
	tap_ok(!bad,
	       "posix_memalign: EINVAL for what is no power of two times "
	       "sizeof(void *); %u were accepted",
	       bad);

	p = &i;
	ret = posix_memalign(&p, (size_t)1 << 62, 100);
	tap_ok(ret == ENOMEM && p == &i, "posix_memalign(2^62) is ENOMEM: %d",
	       ret);
	p = &i;
	ret = posix_memalign(&p, 4096, SIZE_MAX - 4000);
	tap_ok(ret == ENOMEM && p == &i,
	       "posix_memalign(4096, SIZE_MAX - 4000) is ENOMEM: %d", ret);
	p = NULL;
	ret = posix_memalign(&p, sizeof(void *), 1);
	tap_ok(!ret && p && !((uintptr_t)p & 7),
	       "posix_memalign(sizeof(void *), 1) works: %d", ret);
	free(p);

	/* C17 lets these fail or be treated kindly; never crash, never lie. */
	bad = 0;
	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		p = do_aligned(wrong[i], 100);
		if (p)
			memset(p, 1, 100);
		free(p);
		p = do_memalign(wrong[i], 100);
		if (p)
			memset(p, 1, 100);
		bad += p && ((uintptr_t)p & 7);
		free(p);
	}
	tap_ok(!bad,
	       "aligned_alloc and memalign survive odd alignments; %u "
	       "results not aligned to 8",
	       bad);
}

static void pages(void)
{
	size_t page = sysconf(_SC_PAGESIZE), size, bad = 0;
	unsigned char *p, *q;

	for (size = 1; size < 1 << 20; size += 1 + size / 3) {
		p = do_valloc(size);
		q = do_pvalloc(size);
		bad += ((uintptr_t)p | (uintptr_t)q) & (page - 1) ? 1 : 0;
		memset(p, 1, size);
		memset(q, 1, (size + page - 1) & ~(page - 1));
		bad += malloc_usable_size(q) <
		       ((size + page - 1) & ~(page - 1));
		free(p);
		free(q);
	}
	tap_ok(!bad, "valloc and pvalloc give whole pages; %zu did not", bad);
}

int main(int argc, char **argv)
{
	uint64_t state;

	tap_start(argc, argv, 120);
	state = tap_seed;
	natural();
	powers_of_two(&state);
	refusals();
	pages();
	return tap_done();
}
