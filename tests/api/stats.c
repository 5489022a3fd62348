// SPDX-License-Identifier: MIT
/*
 * What the library says of itself is true: several threads allocate, reallocate
 * and free at random, their own blocks and each other's, and keep count by size
 * class; whenever they rest, that count is what the library must say, to the
 * byte, in each of the ways it has of saying it.
 */
#include "tap.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tract.h"

enum {
	THREADS = 5,
	SLOTS = 6000,
	STEPS = 60000,
	ROUNDS = 4,
	CLASSES_MAX = 512,
};

static size_t (*class_stats)(struct tract_class_stats *, size_t, size_t);
static void (*heap_stats)(struct tract_heap_stats *, size_t);

static void *(*volatile do_malloc)(size_t) = malloc;
static struct tract_class_stats base[CLASSES_MAX], now[CLASSES_MAX];
static size_t classes;

/* Shared: whoever takes a block out of a slot frees it. */
static void *_Atomic slot[SLOTS];
static _Atomic long live[CLASSES_MAX];
static _Atomic long live_bytes[CLASSES_MAX];
static pthread_barrier_t work, rest;
static atomic_bool ending;

/*
 * Larger blocks are of a class, or have a run to themselves, and malloc_usable_size()
 * does not tell which: the model has them all as large ones.
 */
#define SMALL_MAX 32768

/* By what malloc_usable_size() says: that of a class, or a large one. */
static size_t class_of(size_t usable)
{
	for (size_t i = 0; i + 1 < classes; i++)
		if (base[i].block_size == usable && usable <= SMALL_MAX)
			return i;
	return classes - 1;
}

static void count(void *p, long sign)
{
	size_t usable = malloc_usable_size(p), class = class_of(usable);

	live[class] += sign;
	live_bytes[class] += sign * (long)usable;
}

/* A block of the size, counted; NULL: none this time. */
static void *other(uint64_t r, size_t size, void *_Atomic *at)
{
	void *p = NULL, *old;

	switch (r >> 60) {
	case 0:
	case 1:
	case 2:
		return NULL;
	case 3:
		p = calloc(1, size);
		break;
	case 4:
		p = aligned_alloc(256, size);
		break;
	case 5:
	case 6:
		old = atomic_exchange(at, NULL);
		if (old)
			count(old, -1);
		p = realloc(old, size);
		break;
	default:
		p = do_malloc(size);
	}
	count(p, 1);
	return p;
}

static void step(uint64_t *state)
{
	uint64_t r = tap_random(state);
	size_t most = r % 500 ? r % 16 ? 2000 : 40000 : 3 << 20;
	void *_Atomic *at = &slot[(r >> 20) % SLOTS];
	void *old = other(r, tap_random_size(state, most), at);

	old = atomic_exchange(at, old);
	if (old) {
		count(old, -1);
		free(old);
	}
}

static void *worker(void *arg)
{
	uint64_t state = tap_mix(tap_seed * 1000 + (uintptr_t)arg);

	for (;;) {
		pthread_barrier_wait(&work);
		if (ending)
			return NULL;
		for (int i = 0; i < STEPS; i++)
			step(&state);
		pthread_barrier_wait(&rest);
	}
}

/* Each class against the model; the first that differs is named. */
static bool classes_are_right(void)
{
	long large_blocks = 0, large_bytes = 0;

	class_stats(now, classes, sizeof(*now));
	for (size_t i = 0; i < classes; i++) {
		long blocks = now[i].live_blocks - base[i].live_blocks;
		long bytes = now[i].live_bytes - base[i].live_bytes;

		if (now[i].block_size > SMALL_MAX || i == classes - 1) {
			large_blocks += blocks;
			large_bytes += bytes;
			blocks = i == classes - 1 ? large_blocks : 0;
			bytes = i == classes - 1 ? large_bytes : 0;
		}
		if (blocks != live[i] || bytes != live_bytes[i]) {
			tap_note("blocks of %zu: %ld live, %ld bytes; found "
				 "%ld, %ld bytes",
				 now[i].block_size, live[i], live_bytes[i],
				 blocks, bytes);
			return false;
		}
		if (now[i].block_size &&
		    ((now[i].live_blocks + now[i].cached_blocks) *
				     now[i].block_size >
			     now[i].span_bytes ||
		     now[i].cached_bytes !=
			     now[i].cached_blocks * now[i].block_size ||
		     !now[i].spans != !now[i].span_bytes)) {
			tap_note("blocks of %zu do not fit their spans",
				 now[i].block_size);
			return false;
		}
	}
	return true;
}

static size_t classes_in_use(void)
{
	size_t n = 0;

	for (size_t i = 0; i < classes; i++)
		n += live[i] > 0;
	return n;
}

/* What is said of the whole is the sum of its parts. */
static bool sums_are_right(void)
{
	struct tract_heap_stats all;
	struct tract_class_stats sum = { 0 };
	struct mallinfo2 info = mallinfo2();

	heap_stats(&all, sizeof(all));
	for (size_t i = 0; i < classes; i++) {
		sum.span_bytes += now[i].span_bytes;
		sum.live_blocks += now[i].live_blocks;
		sum.live_bytes += now[i].live_bytes;
		sum.cached_blocks += now[i].cached_blocks;
		sum.cached_bytes += now[i].cached_bytes;
	}
	return sum.span_bytes == all.span_bytes &&
	       sum.live_blocks == all.live_blocks &&
	       sum.live_bytes == all.live_bytes &&
	       sum.cached_blocks == all.cached_blocks &&
	       sum.cached_bytes == all.cached_bytes &&
	       all.span_bytes + all.dirty_bytes <= all.reserved_bytes &&
	       info.uordblks == all.live_bytes &&
	       info.arena == all.span_bytes + all.dirty_bytes &&
	       info.uordblks + info.fordblks == info.arena &&
	       info.ordblks == all.cached_blocks &&
	       info.keepcost == all.dirty_bytes;
}

/* The document, read back: every class, and the sums at its head. */
static bool xml_is_right(void)
{
	static char text[1 << 16], buffer[1 << 16];
	struct tract_class_stats sum = { 0 }, one;
	struct tract_heap_stats all;
	size_t head_blocks, head_bytes;
	FILE *file = fmemopen(text, sizeof(text) - 1, "w");
	char *at;

	/* What the stream itself allocates is allocated by now. */
	setvbuf(file, buffer, _IOFBF, sizeof(buffer));
	malloc_info(0, file);
	heap_stats(&all, sizeof(all));
	fclose(file);
	at = strstr(text, "<live ");
	if (!at || sscanf(at, "<live count=\"%zu\" bytes=\"%zu\"", &head_blocks,
			  &head_bytes) != 2)
		return false;
	for (at = text; (at = strstr(at, " spans=\"")); at++) {
		if (sscanf(at,
			   " spans=\"%zu\" bytes=\"%zu\" live=\"%zu\" "
			   "live_bytes=\"%zu\" cached=\"%zu\" "
			   "cached_bytes=\"%zu\"",
			   &one.spans, &one.span_bytes, &one.live_blocks,
			   &one.live_bytes, &one.cached_blocks,
			   &one.cached_bytes) != 6)
			return false;
		sum.span_bytes += one.span_bytes;
		sum.live_blocks += one.live_blocks;
		sum.live_bytes += one.live_bytes;
		sum.cached_bytes += one.cached_bytes;
	}
	return head_blocks == all.live_blocks && head_bytes == all.live_bytes &&
	       sum.live_blocks == all.live_blocks &&
	       sum.live_bytes == all.live_bytes &&
	       sum.cached_bytes == all.cached_bytes &&
	       sum.span_bytes == all.span_bytes;
}

/* The table that malloc_stats() writes to stderr. */
static bool table_is_right(void)
{
	static char text[1 << 16];
	struct tract_heap_stats all;
	size_t blocks = 0, bytes = 0;
	int saved = dup(STDERR_FILENO), sink[2];
	char *at;

	if (saved < 0 || pipe(sink))
		return false;
	dup2(sink[1], STDERR_FILENO);
	malloc_stats();
	heap_stats(&all, sizeof(all));
	dup2(saved, STDERR_FILENO);
	close(sink[1]);
	for (size_t have = 0; have < sizeof(text) - 1;) {
		ssize_t n = read(sink[0], text + have, sizeof(text) - 1 - have);

		if (n <= 0)
			break;
		have += n;
	}
	close(sink[0]);
	close(saved);
	at = strstr(text, "live blocks");
	if (!at ||
	    sscanf(at, "live blocks %zu live bytes %zu", &blocks, &bytes) != 2)
		return false;
	return blocks == all.live_blocks && bytes == all.live_bytes;
}

/* All blocks gone and all threads too: no empty span stays, nothing dirty. */
static void trimmed(void)
{
	struct tract_heap_stats all;
	size_t empty = 0;

	malloc_trim(0);
	heap_stats(&all, sizeof(all));
	class_stats(now, classes, sizeof(*now));
	for (size_t i = 0; i < classes; i++)
		if (now[i].spans && !now[i].live_blocks) {
			empty += now[i].spans;
			tap_note("%zu spans for no block of %zu", now[i].spans,
				 now[i].block_size);
		}
	tap_ok(!empty && !all.dirty_bytes,
	       "malloc_trim(0) returns all that is empty: %zu empty spans, "
	       "%zu dirty bytes",
	       empty, all.dirty_bytes);
}

/* A caller of another time: shorter structures, longer, fewer of them. */
static void sizes(void)
{
	struct {
		struct tract_class_stats known;
		size_t later[2];
	} longer[2];
	unsigned char room[64];
	size_t block_size = 77;

	memset(longer, 0xff, sizeof(longer));
	memset(room, 0xff, sizeof(room));
	tap_ok(class_stats(NULL, 0, 0) == classes,
	       "the number of classes is told alone: %zu", classes);
	class_stats((void *)&block_size, 1, sizeof(block_size));
	tap_ok(block_size == base[0].block_size,
	       "a caller that knows one field gets it: %zu", block_size);
	class_stats(&longer[0].known, 2, sizeof(longer[0]));
	tap_ok(longer[1].known.block_size == base[1].block_size &&
		       !longer[0].later[0] && !longer[1].later[1],
	       "a caller that knows more fields finds zero in them");
	heap_stats((void *)room, 20);
	tap_ok(room[19] != 0xff && room[20] == 0xff,
	       "no byte is written beyond the size that was told");
}

int main(int argc, char **argv)
{
	pthread_t thread[THREADS];

	tap_start(argc, argv, 120);
	class_stats =
		(size_t(*)(struct tract_class_stats *, size_t, size_t))dlsym(
			RTLD_DEFAULT, "tract_heap_class_stats");
	heap_stats = (void (*)(struct tract_heap_stats *, size_t))dlsym(
		RTLD_DEFAULT, "tract_heap_stats");
	if (!class_stats || !heap_stats)
		tap_skip_all("these statistics are libtract's");
	classes = class_stats(base, CLASSES_MAX, sizeof(*base));
	if (!tap_ok(classes > 2 && classes <= CLASSES_MAX &&
			    !base[classes - 1].block_size,
		    "%zu classes, the last of large blocks", classes))
		return tap_done();
	sizes();
	pthread_barrier_init(&work, NULL, THREADS + 1);
	pthread_barrier_init(&rest, NULL, THREADS + 1);
	for (uintptr_t i = 0; i < THREADS; i++)
		if (pthread_create(&thread[i], NULL, worker, (void *)i))
			return 1;
	class_stats(base, classes, sizeof(*base));
	for (int round = 1; round <= ROUNDS; round++) {
		pthread_barrier_wait(&work);
		pthread_barrier_wait(&rest);
		tap_ok(classes_are_right(),
		       "round %d: live blocks and bytes of every class", round);
		tap_note("%zu classes have live blocks", classes_in_use());
		tap_ok(sums_are_right(), "round %d: the sums, and mallinfo2",
		       round);
		tap_ok(xml_is_right(), "round %d: malloc_info", round);
		tap_ok(table_is_right(), "round %d: malloc_stats", round);
	}
	for (int i = 0; i < SLOTS; i++)
		if (slot[i]) {
			count(slot[i], -1);
			free(slot[i]);
		}
	tap_ok(classes_are_right(), "all freed by one thread, the others rest");
	ending = true;
	pthread_barrier_wait(&work);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	trimmed();
	return tap_done();
}
