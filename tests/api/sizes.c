// SPDX-License-Identifier: MIT
/* Sizes at the edges: zero, overflow, more than there is; and errno. */
#include "tap.h"

#include <malloc.h>

/* Called through volatile pointers, so that the compiler assumes nothing. */
static void *(*volatile do_malloc)(size_t) = malloc;
static void *(*volatile do_calloc)(size_t, size_t) = calloc;
static void *(*volatile do_realloc)(void *, size_t) = realloc;
static void *(*volatile do_reallocarray)(void *, size_t, size_t) = reallocarray;
static void *(*volatile do_aligned)(size_t, size_t) = aligned_alloc;
static void *(*volatile do_memalign)(size_t, size_t) = memalign;
static void *(*volatile do_valloc)(size_t) = valloc;
static void *(*volatile do_pvalloc)(size_t) = pvalloc;

static void zero_sizes(void)
{
	void *p[1000];
	int i, j, same = 0, null = 0;

	for (i = 0; i < 1000; i++) {
		switch (i % 4) {
		case 0:
			p[i] = do_malloc(0);
			break;
		case 1:
			p[i] = do_calloc(0, i);
			break;
		case 2:
			p[i] = do_calloc(i, 0);
			break;
		default:
			p[i] = do_realloc(NULL, 0);
		}
		null += !p[i];
	}
	for (i = 0; i < 1000; i++)
		for (j = 0; j < i; j++)
			same += p[i] == p[j];
	tap_ok(!null, "size 0 gives a pointer; %d of 1000 were NULL", null);
	tap_ok(!same, "pointers of size 0 are unique; %d pairs equal", same);
	for (i = 0; i < 1000; i++)
		free(p[i]);
	free(NULL);

	p[0] = do_aligned(64, 0);
	p[1] = do_memalign(64, 0);
	p[3] = p[4] = NULL;
	i = posix_memalign(&p[2], 64, 0);
	tap_ok(p[0] && p[1] && !i, "aligned allocations of size 0: %p %p %d",
	       p[0], p[1], i);
	p[3] = do_valloc(0);
	p[4] = do_pvalloc(0);
	tap_ok(p[3] && p[4] && p[3] != p[4], "valloc(0) %p and pvalloc(0) %p",
	       p[3], p[4]);
	for (i = 0; i < 5; i++)
		free(p[i]);
}

static void realloc_edges(void)
{
	unsigned char *p = do_realloc(NULL, 100), *q;
	int round;

	tap_ok(p != NULL, "realloc(NULL, 100) allocates: %p", (void *)p);
	memset(p, 1, 100);
	errno = 0;
	q = do_realloc(p, 0);
	tap_ok(!q, "realloc(p, 0) frees and returns NULL: %p", (void *)q);
	for (round = 0; round < 100000; round++) {
		p = do_malloc(3000);
		memset(p, 1, 3000);
		if (do_realloc(p, 0))
			break;
	}
	tap_ok(tap_rss() < 100 << 10,
	       "100,000 x realloc(p of 3000, 0) leaked nothing: RSS %ld KiB",
	       tap_rss());

	p = do_malloc(1000);
	memset(p, 7, 1000);
	errno = 0;
	q = do_realloc(p, (size_t)PTRDIFF_MAX + 1);
	tap_ok(!q && errno == ENOMEM && p[0] == 7 && p[999] == 7,
	       "realloc to too much: NULL and ENOMEM, old block kept: %p, %s",
	       (void *)q, strerror(errno));
	free(p);
}

/* Each row is refused with ENOMEM by every function that allocates. */
static void too_much(void)
{
	static const size_t sizes[] = {
		(size_t)PTRDIFF_MAX,
		(size_t)PTRDIFF_MAX + 1,
		(size_t)PTRDIFF_MAX - 4096,
		SIZE_MAX,
		SIZE_MAX - 1,
		SIZE_MAX - 15,
		SIZE_MAX - 4095,
		SIZE_MAX - 65535,
		SIZE_MAX - (2 << 20),
		SIZE_MAX / 2 + (64 << 20),
		(size_t)1 << 62,
		(size_t)1 << 48,
	};
	unsigned int i, wrong;
	void *p;

#define REFUSED(call)                                                          \
	do {                                                                   \
		errno = 0;                                                     \
		p = (call);                                                    \
		if (p || errno != ENOMEM) {                                    \
			tap_note("%s with %#zx gave %p, errno %d", #call,      \
				 sizes[i], p, errno);                          \
			wrong++;                                               \
		}                                                              \
	} while (0)

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		wrong = 0;
		REFUSED(do_malloc(sizes[i]));
		REFUSED(do_calloc(sizes[i], 1));
		REFUSED(do_calloc(1, sizes[i]));
		REFUSED(do_realloc(NULL, sizes[i]));
		REFUSED(do_reallocarray(NULL, 1, sizes[i]));
		REFUSED(do_aligned(64, sizes[i]));
		REFUSED(do_aligned(1 << 20, sizes[i]));
		REFUSED(do_memalign(4096, sizes[i]));
		REFUSED(do_valloc(sizes[i]));
		REFUSED(do_pvalloc(sizes[i]));
		tap_ok(!wrong, "size %#zx is refused with ENOMEM: %u were not",
		       sizes[i], wrong);
	}
	i = 0;
	wrong = 0;
	p = &i;
	errno = 0;
	i = posix_memalign(&p, 64, SIZE_MAX - 100);
	tap_ok(i == ENOMEM && p == &i,
	       "posix_memalign returns ENOMEM (%u), leaves memptr (%s)", i,
	       p == &i ? "yes" : "no");
}

static void products(void)
{
	static const size_t pair[][2] = {
		{ SIZE_MAX, 2 },
		{ 2, SIZE_MAX },
		{ SIZE_MAX, SIZE_MAX },
		{ (size_t)1 << 32, (size_t)1 << 32 },
		{ ((size_t)1 << 32) + 1, (size_t)1 << 32 },
		{ (size_t)1 << 63, 2 },
		{ SIZE_MAX / 2 + 1, 2 },
		{ SIZE_MAX / 8 + 1, 8 },
		{ SIZE_MAX / 16 + 2, 16 },
		{ SIZE_MAX / 3 + 1, 3 },
	};
	unsigned char *keep = do_malloc(500);
	unsigned int i;
	void *p;

	memset(keep, 5, 500);
	for (i = 0; i < sizeof(pair) / sizeof(*pair); i++) {
		errno = 0;
		p = do_calloc(pair[i][0], pair[i][1]);
		tap_ok(!p && errno == ENOMEM,
		       "calloc(%#zx, %#zx) is NULL, ENOMEM: %p, %d", pair[i][0],
		       pair[i][1], p, errno);
		errno = 0;
		p = do_reallocarray(keep, pair[i][0], pair[i][1]);
		tap_ok(!p && errno == ENOMEM && keep[499] == 5,
		       "reallocarray of the same is NULL, ENOMEM: %p, %d", p,
		       errno);
	}
	keep = do_reallocarray(keep, 30, 100);
	tap_ok(keep && keep[0] == 5 && keep[499] == 5,
	       "reallocarray(p, 30, 100) keeps the contents");
	free(keep);
}

/* free() leaves errno alone (POSIX 2024), whatever path it takes. */
static void errno_kept(void)
{
	static const size_t sizes[] = { 1,	 16,	  100,
					1000,	 20000,	  100000,
					1 << 20, 8 << 20, 64 << 20 };
	unsigned int i, changed = 0, set = 0;
	void *p[64];
	int k;

	for (i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		int n = sizes[i] > 1 << 20 ? 4 : 64;

		for (k = 0; k < n; k++) {
			errno = 4711;
			p[k] = do_malloc(sizes[i]);
			set += errno != 4711;
			memset(p[k], 1, sizes[i] < 65536 ? sizes[i] : 65536);
		}
		for (k = 0; k < n; k++) {
			errno = 4711;
			free(p[k]);
			changed += errno != 4711;
		}
	}
	errno = 4711;
	free(NULL);
	changed += errno != 4711;
	tap_ok(!changed, "free keeps errno; changed %u times", changed);
	tap_note("a malloc that succeeded changed errno %u times", set);
}

int main(int argc, char **argv)
{
	tap_start(argc, argv, 60);
	zero_sizes();
	realloc_edges();
	too_much();
	products();
	errno_kept();
	return tap_done();
}
