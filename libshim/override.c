// SPDX-License-Identifier: MIT
/*
 * What the library exports: the malloc family, as in the C library's manual,
 * and the C API of include/tract.h.  Nothing is decided here.
 */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "../include/tract.h"
#include "backend.h"
#include "fast.h"
#include "init.h"
#include "large.h"
#include "malloc.h"
#include "purge.h"
#include "stats.h"
#include "tick.h"

#define EXPORT __attribute__((visibility("default")))
#define STDERR 2

void free_sized(void *p, size_t size);
void free_aligned_sized(void *p, size_t align, size_t size);

EXPORT void *malloc(size_t size)
{
	return fast_malloc(size);
}

EXPORT void free(void *p)
{
	fast_free(p);
}

EXPORT void *calloc(size_t count, size_t size)
{
	return tract__calloc(count, size);
}

EXPORT void *realloc(void *p, size_t size)
{
	return tract__realloc(p, size);
}

EXPORT void *reallocarray(void *p, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total)) {
		errno = ENOMEM;
		return NULL;
	}
	return tract__realloc(p, total);
}

EXPORT void free_sized(void *p, size_t size)
{
	(void)size;
	tract__free(p);
}

EXPORT void free_aligned_sized(void *p, size_t align, size_t size)
{
	(void)align;
	(void)size;
	tract__free(p);
}

static void *aligned(size_t align, size_t size)
{
	if (!is_power_of_two(align)) {
		errno = EINVAL;
		return NULL;
	}
	return tract__memalign(align, size);
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
	return aligned(align, size);
}

/* As in the C library, an alignment that is no power of two is rounded up. */
EXPORT void *memalign(size_t align, size_t size)
{
	size_t power = sizeof(void *);

	while (power < align && power <= SIZE_MAX / 4)
		power *= 2;
	return aligned(power < align ? 0 : power, size);
}

EXPORT int posix_memalign(void **out, size_t align, size_t size)
{
	int saved = errno;
	void *p;

	if (!is_power_of_two(align) || align % sizeof(void *))
		return EINVAL;
	p = tract__memalign(align, size);
	errno = saved;
	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

EXPORT void *valloc(size_t size)
{
	return tract__memalign(PAGE, size);
}

EXPORT void *pvalloc(size_t size)
{
	if (size > PTRDIFF_MAX) {
		errno = ENOMEM;
		return NULL;
	}
	return tract__memalign(PAGE, align_up(size ? size : 1, PAGE));
}

EXPORT size_t malloc_usable_size(void *p)
{
	return tract__usable_size(p);
}

EXPORT int malloc_trim(size_t pad)
{
	(void)pad;
	return tract__trim();
}

EXPORT struct mallinfo2 mallinfo2(void)
{
	struct tract_heap_stats stats;

	tract__stats_get(&stats);
	return (struct mallinfo2){
		.arena = stats.span_bytes + stats.dirty_bytes,
		.ordblks = stats.cached_blocks,
		.uordblks = stats.live_bytes,
		.fordblks =
			stats.span_bytes + stats.dirty_bytes - stats.live_bytes,
		.keepcost = stats.dirty_bytes,
	};
}

static int clamp(size_t n)
{
	return n > INT32_MAX ? INT32_MAX : (int)n;
}

EXPORT struct mallinfo mallinfo(void)
{
	struct mallinfo2 info = mallinfo2();

	return (struct mallinfo){
		.arena = clamp(info.arena),
		.ordblks = clamp(info.ordblks),
		.uordblks = clamp(info.uordblks),
		.fordblks = clamp(info.fordblks),
		.keepcost = clamp(info.keepcost),
	};
}

EXPORT int malloc_info(int options, FILE *stream)
{
	if (options) {
		errno = EINVAL;
		return -1;
	}
	return tract__stats_write_xml(stream);
}

EXPORT void malloc_stats(void)
{
	tract__stats_report(STDERR);
}

/* There is nothing of glibc's to set; to say so would only alarm programs. */
EXPORT int mallopt(int param, int value)
{
	(void)param;
	(void)value;
	return 1;
}

EXPORT const char *tract_version(void)
{
	return TRACT_VERSION;
}

EXPORT const char *tract_backend(void)
{
	return tract__backend_name();
}

/* The caller may have been compiled with an older header, or with a newer. */
static void copy_out(void *to, size_t size, const void *from, size_t known)
{
	memset(to, 0, size);
	memcpy(to, from, size < known ? size : known);
}

EXPORT void tract_heap_stats(struct tract_heap_stats *stats, size_t size)
{
	struct tract_heap_stats now;

	tract__stats_get(&now);
	copy_out(stats, size, &now, sizeof(now));
}

EXPORT size_t tract_heap_class_stats(struct tract_class_stats *stats,
				     size_t count, size_t size)
{
	struct tract_class_stats now[STATS_CLASSES];

	if (count)
		tract__stats_get_classes(now);
	for (size_t i = 0; i < count && i < STATS_CLASSES; i++)
		copy_out((char *)stats + i * size, size, &now[i],
			 sizeof(now[i]));
	return STATS_CLASSES;
}

EXPORT void *tract_cache_alloc(size_t size)
{
	void *p;

	tract__init();
	p = size <= PTRDIFF_MAX ? tract__large_alloc_cache(size) : NULL;
	if (!p)
		errno = size ? ENOMEM : EINVAL;
	return p;
}

static int result(int ret)
{
	if (ret >= 0)
		return ret;
	errno = -ret;
	return -1;
}

EXPORT int tract_offer(void *p, size_t size)
{
	int ret = result(tract__large_offer(p, size));

	if (purge_needs_tick())
		tract__tick();
	return ret;
}

EXPORT int tract_reclaim(void *p, size_t size)
{
	return result(tract__large_reclaim(p, size));
}
