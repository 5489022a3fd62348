// SPDX-License-Identifier: MIT
/* The rest of the family: what it tells, and that calloc's memory is zero. */
#include "tap.h"

#include <limits.h>
#include <malloc.h>

static void *(*volatile do_malloc)(size_t) = malloc;

/* The whole of what malloc_usable_size says may be used. */
static void usable(uint64_t *state)
{
	enum {
		LIVE = 256
	};
	unsigned char *p[LIVE] = { NULL };
	size_t n[LIVE] = { 0 }, size, i, k, short_ = 0, broken = 0, over = 0;
	size_t asked = 0, got = 0;

	for (i = 0; i < 100000; i++) {
		k = tap_random(state) % LIVE;
		if (p[k]) {
			/* A neighbour that wrote its share must not be seen. */
			broken += p[k][0] != (k & 255) ||
				  p[k][n[k] / 2] != (k & 255) ||
				  p[k][n[k] - 1] != (k & 255);
			free(p[k]);
		}
		size = tap_random_size(state, i % 100 ? 4096 : 1 << 20);
		p[k] = do_malloc(size);
		n[k] = malloc_usable_size(p[k]);
		short_ += n[k] < size;
		asked += size;
		got += n[k];
		over += n[k] > size * 2 + 64;
		memset(p[k], k, n[k]);
	}
	for (k = 0; k < LIVE; k++) {
		for (i = 0; p[k] && i < n[k]; i++)
			broken += p[k][i] != (k & 255);
		free(p[k]);
	}
	tap_ok(!short_, "usable size is at least what was asked: %zu less",
	       short_);
	tap_ok(!broken, "the whole usable size is writable: %zu bytes changed",
	       broken);
	tap_note("usable bytes over asked bytes: %.3f, %zu of 100,000 doubled",
		 (double)got / asked, over);
	tap_ok(!malloc_usable_size(NULL), "malloc_usable_size(NULL) is 0");
}

/* calloc is zero although what it is given was written before. */
static void zeroed(uint64_t *state)
{
	size_t size, i, n, bad = 0;
	unsigned char *p, *q[40];
	int round, k;

	for (round = 0; round < 3000; round++) {
		size = tap_random_size(state, round % 50 ? 32768 : 8 << 20);
		for (k = 0; k < (size > 65536 ? 2 : 40); k++) {
			q[k] = do_malloc(size);
			memset(q[k], 0xa5, malloc_usable_size(q[k]));
		}
		while (k--)
			free(q[k]);
		n = tap_random(state) % 7 + 1;
		p = calloc(n, size / n + 1);
		for (i = 0; i < n * (size / n + 1); i++)
			if (p[i]) {
				bad++;
				tap_note("calloc(%zu, %zu): byte %zu is %#x", n,
					 size / n + 1, i, p[i]);
				break;
			}
		memset(p, 0x5a, n * (size / n + 1));
		free(p);
		if (bad > 10)
			break;
	}
	tap_ok(!bad, "calloc is zero over dirtied memory: %zu were not", bad);
}

static void c23(void)
{
	void (*sized)(void *, size_t) =
		(void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
	void (*aligned)(void *, size_t, size_t) =
		(void (*)(void *, size_t, size_t))dlsym(RTLD_DEFAULT,
							"free_aligned_sized");
	bool must = tap_is_tract();
	long before;
	int i;

	if (!must && (!sized || !aligned)) {
		tap_skip("this library has no free_sized, free_aligned_sized");
		return;
	}
	tap_ok(sized && aligned, "free_sized and free_aligned_sized are there");
	if (!sized || !aligned)
		return;
	before = tap_rss();
	for (i = 0; i < 200000; i++) {
		size_t size = i % 3000 + 1;
		void *p = do_malloc(size);

		memset(p, 1, size);
		sized(p, size);
		p = aligned_alloc(64, size);
		memset(p, 1, size);
		aligned(p, 64, size);
	}
	sized(NULL, 5);
	aligned(NULL, 8, 5);
	tap_ok(tap_rss() - before < 20 << 10,
	       "they free: RSS %ld KiB before and %ld after", before,
	       tap_rss());
}

/* A tiny well-formedness check: tags nest, and there is one root. */
static const char *not_well_formed(const char *s)
{
	char open[64][32];
	int depth = 0, roots = 0;
	size_t n;

	while (*s) {
		bool closing, empty;
		const char *end;

		if (*s != '<') {
			if (!depth && !strchr(" \t\r\n", *s))
				return "text outside the root";
			s++;
			continue;
		}
		end = strchr(s, '>');
		if (!end)
			return "a tag does not end";
		if (s[1] == '?' || s[1] == '!') {
			s = end + 1;
			continue;
		}
		closing = s[1] == '/';
		empty = end[-1] == '/';
		s += 1 + closing;
		n = strcspn(s, " \t\r\n/>");
		if (!n || n > 31)
			return "a tag without a name";
		if (closing) {
			if (!depth || strncmp(open[depth - 1], s, n) ||
			    open[depth - 1][n])
				return "a tag is closed that is not open";
			depth--;
		} else {
			roots += !depth;
			if (!empty) {
				if (depth == 64)
					return "nested too deeply";
				memcpy(open[depth], s, n);
				open[depth++][n] = 0;
			}
		}
		s = end + 1;
	}
	if (depth)
		return "a tag is not closed";
	return roots == 1 ? NULL : "not one root";
}

static void reports(void)
{
	static char text[1 << 20];
	const char *wrong;
	struct mallinfo2 info, after;
	int saved, sink;
	void *p[100];
	FILE *file;
	size_t n;
	int i, ret;

	info = mallinfo2();
	for (i = 0; i < 100; i++)
		p[i] = memset(do_malloc(10000), 1, 10000);
	after = mallinfo2();
	n = after.uordblks + after.hblkhd - info.uordblks - info.hblkhd;
	tap_ok(n >= 900000 && n < 3000000,
	       "mallinfo2 sees a million bytes more in use: %zu", n);

	file = fmemopen(text, sizeof(text) - 1, "w");
	ret = malloc_info(0, file);
	fclose(file);
	wrong = not_well_formed(text);
	tap_ok(!ret && !wrong && strstr(text, "<malloc"),
	       "malloc_info writes XML, %zu bytes: %s", strlen(text),
	       wrong ? wrong : "well-formed");
	file = fopen("/dev/null", "w");
	errno = 0;
	ret = malloc_info(1, file);
	fclose(file);
	tap_ok(ret, "malloc_info refuses options that are not 0: %d", ret);

	/* malloc_stats writes to stderr. */
	fflush(stderr);
	saved = dup(STDERR_FILENO);
	sink = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	if (saved < 0 || sink < 0) {
		tap_skip("no temporary file for malloc_stats");
	} else {
		dup2(sink, STDERR_FILENO);
		malloc_stats();
		fflush(stderr);
		dup2(saved, STDERR_FILENO);
		tap_ok(lseek(sink, 0, SEEK_END) > 20,
		       "malloc_stats wrote %ld bytes to stderr",
		       (long)lseek(sink, 0, SEEK_END));
		close(sink);
		close(saved);
	}
	for (i = 0; i < 100; i++)
		free(p[i]);
}

static void trim_and_options(void)
{
	enum {
		BLOCKS = 20000
	};
	static void *p[BLOCKS];
	static const int known[] = { M_MXFAST,	  M_TRIM_THRESHOLD,
				     M_TOP_PAD,	  M_MMAP_THRESHOLD,
				     M_ARENA_MAX, M_PERTURB };
	static const int value[] = { 64, 1 << 20, 1 << 20, 1 << 20, 4, 0 };
	long before = tap_rss(), full, after;
	unsigned int i, bad = 0;

	for (i = 0; i < BLOCKS; i++)
		p[i] = memset(do_malloc(4000), 1, 4000);
	full = tap_rss();
	for (i = 0; i < BLOCKS; i++)
		free(p[i]);
	malloc_trim(0);
	after = tap_rss();
	tap_ok(after - before < (full - before) / 4 + 4096,
	       "malloc_trim gives back: RSS %ld, %ld, then %ld KiB", before,
	       full, after);

	for (i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (mallopt(known[i], value[i]) != 1) {
			bad++;
			tap_note("mallopt(%d, %d) failed", known[i], value[i]);
		}
	tap_ok(!bad, "mallopt accepts the usual options: %u refused", bad);
	free(memset(do_malloc(100), 1, 100));
}

int main(int argc, char **argv)
{
	uint64_t state;

	tap_start(argc, argv, 120);
	state = tap_seed;
	usable(&state);
	zeroed(&state);
	c23();
	reports();
	trim_and_options();
	return tap_done();
}
