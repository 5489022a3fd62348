// SPDX-License-Identifier: MIT
/*
 * The rule of the size-first structures, for every ioctl: shorter than the
 * first version is -EINVAL, longer is right when the kernel's unknown rest is
 * zero, else -E2BIG, and what cannot be read or written is -EFAULT.
 */
#include "observe.h"

#define MAX_KNOWN 168

struct call {
	const char *name;
	unsigned long nr;
	unsigned int known;
	unsigned int first; /* the size of the first version */
};

static const struct call calls[] = {
	{ "INFO", TRACT_IOC_INFO, sizeof(struct tract_info), 80 },
	{ "RESERVE", TRACT_IOC_RESERVE, sizeof(struct tract_reserve), 40 },
	{ "BATCH", TRACT_IOC_BATCH, sizeof(struct tract_batch), 32 },
	{ "STATS", TRACT_IOC_STATS, sizeof(struct tract_stats), 112 },
	{ "PURGE_MAP", TRACT_IOC_PURGE_MAP, sizeof(struct tract_purge_map),
	  40 },
};

/* Two pages and a hole that nothing will be put into. */
static char *window;
static char *edge;
static struct t_res canary;
static struct tract_op op;
static char *map;

static void setup(void)
{
	window = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (window == MAP_FAILED ||
	    mprotect(window + 2 * PAGE, PAGE, PROT_NONE))
		t_die("window: %s", strerror(errno));
	edge = window + 2 * PAGE;
	canary = t_reserve(2 * MIB, TRACT_RESERVE_NOHUGE);
	t_fill(canary.addr, canary.length, 1);
	map = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* A call that succeeds, of known bytes. */
static void make_valid(const struct call *call, void *into)
{
	memset(into, 0, call->known);
	*(__u32 *)into = call->known;
	if (call->nr == TRACT_IOC_RESERVE) {
		((struct tract_reserve *)into)->length = 2 * MIB;
	} else if (call->nr == TRACT_IOC_BATCH) {
		struct tract_batch *batch = into;

		/* Touches the last page only, which the canary leaves out. */
		op = t_make_op(TRACT_OP_DECOMMIT, canary.id, 2 * MIB - PAGE,
			       PAGE);
		batch->ops = (uintptr_t)&op;
		batch->count = 1;
	} else if (call->nr == TRACT_IOC_STATS) {
		((struct tract_stats *)into)->scope = TRACT_SCOPE_PROCESS;
	} else if (call->nr == TRACT_IOC_PURGE_MAP) {
		struct tract_purge_map *arg = into;

		arg->id = canary.id;
		arg->address = (uintptr_t)map;
		arg->length = 2 * PAGE;
	}
}

static void undo(const struct call *call, const void *arg)
{
	const struct tract_reserve *res = arg;
	struct tract_purge_map unbind = {
		.size = sizeof(unbind),
		.flags = TRACT_PURGE_MAP_UNBIND,
		.id = canary.id,
	};

	if (call->nr == TRACT_IOC_PURGE_MAP &&
	    t_ioctl(TRACT_IOC_PURGE_MAP, &unbind))
		t_die("PURGE_MAP succeeded without a map");
	if (call->nr == TRACT_IOC_RESERVE &&
	    munmap((void *)(uintptr_t)res->out_address, res->length))
		t_die("RESERVE succeeded without a mapping");
}

/* Place the structure so that it and tail bytes end at the edge. */
static char *place(const struct call *call, unsigned int size, unsigned int fit)
{
	char *at = edge - fit;

	memset(window, 0, 2 * PAGE);
	make_valid(call, at);
	*(__u32 *)at = size;
	return at;
}

static void expect(const struct call *call, unsigned int size, unsigned int fit,
		   int want, const char *what)
{
	struct t_snap before = t_snapshot();
	char *at = place(call, size, fit);
	int got = t_ioctl(call->nr, at);

	CHECK_ERR(got, want, "%s, size %u (knows %u), %s", call->name, size,
		  call->known, what);
	if (!got)
		undo(call, at);
	if (want)
		CHECK_UNCHANGED(&before, "%s, size %u", call->name, size);
}

static void short_sizes(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		const struct call *call = &calls[i];
		const unsigned int sizes[] = { 0,
					       1,
					       3,
					       4,
					       8,
					       call->first / 2,
					       call->first - 8,
					       call->first - 1 };

		for (size_t j = 0; j < ARRAY_SIZE(sizes); j++)
			expect(call, sizes[j], call->known, -EINVAL, "short");
	}
}

/* As short as it says it is: nothing behind it may be read. */
static void short_at_edge(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		for (unsigned int size = 4; size < calls[i].first; size += 4) {
			char *at = edge - size;
			char full[MAX_KNOWN];

			make_valid(&calls[i], full);
			memcpy(at, full, size);
			*(__u32 *)at = size;
			CHECK_ERR(t_ioctl(calls[i].nr, at), -EINVAL,
				  "%s, size %u at the end of a page",
				  calls[i].name, size);
		}
}

static void exact_size(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		expect(&calls[i], calls[i].known, calls[i].known, 0,
		       "exact, at the end of a page");
}

/* What an older program passes: no byte behind its structure is touched. */
static void older_sizes(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		for (unsigned int size = calls[i].first; size < calls[i].known;
		     size++) {
			char *at = edge - size;
			char *in = window + 64;
			char full[MAX_KNOWN];

			make_valid(&calls[i], full);
			memcpy(at, full, size);
			*(__u32 *)at = size;
			CHECK_ERR(t_ioctl(calls[i].nr, at), 0,
				  "%s, size %u at the end of a page",
				  calls[i].name, size);
			memset(in, 0xcc, 256);
			memcpy(in, full, size);
			*(__u32 *)in = size;
			CHECK_ERR(t_ioctl(calls[i].nr, in), 0, "%s, size %u",
				  calls[i].name, size);
			for (unsigned int j = size; j < 256; j++)
				CHECK_EQ((unsigned char)in[j], 0xcc,
					 "%s, size %u: byte %u behind it",
					 calls[i].name, size, j);
		}
}

static void zero_tail(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		unsigned int known = calls[i].known;

		expect(&calls[i], known + 1, known + 1, 0, "one zero byte");
		expect(&calls[i], known + 8, known + 8, 0, "eight zero bytes");
		expect(&calls[i], 4096, 4096, 0, "zero tail to a page");
	}
}

static void nonzero_tail(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		const unsigned int extra[] = { 1, 2, 7, 8, 9, 100, 1000 };

		for (size_t j = 0; j < ARRAY_SIZE(extra) * 2; j++) {
			unsigned int more = extra[j / 2];
			struct t_snap before = t_snapshot();
			char *at = place(&calls[i], calls[i].known + more,
					 calls[i].known + more);

			/* The first unknown byte, or the very last. */
			at[calls[i].known + (j & 1 ? more - 1 : 0)] = 1;
			CHECK_ERR(t_ioctl(calls[i].nr, at), -E2BIG,
				  "%s with %u bytes more, one not zero",
				  calls[i].name, more);
			CHECK_UNCHANGED(&before, "%s", calls[i].name);
		}
	}
}

/* Above a page it is -E2BIG whatever follows: the search has to end. */
static void above_a_page(void)
{
	const unsigned int sizes[] = { PAGE + 1, 2 * PAGE,     MIB,
				       1U << 31, UINT_MAX - 7, UINT_MAX };
	char *big = mmap(NULL, MIB, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		for (size_t j = 0; j < ARRAY_SIZE(sizes); j++) {
			struct t_snap before = t_snapshot();

			make_valid(&calls[i], big);
			*(__u32 *)big = sizes[j];
			CHECK_ERR(t_ioctl(calls[i].nr, big), -E2BIG,
				  "%s, size %u, zero tail", calls[i].name,
				  sizes[j]);
			CHECK_UNCHANGED(&before, "%s, size %u", calls[i].name,
					sizes[j]);
			memset(big, 0, PAGE);
		}
	munmap(big, MIB);
}

static void tail_unreadable(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		unsigned int known = calls[i].known;

		expect(&calls[i], known + 1, known, -EFAULT, "no tail there");
		expect(&calls[i], known + 8, known + 4, -EFAULT,
		       "half a tail there");
		expect(&calls[i], PAGE, known + 64, -EFAULT,
		       "a page, mapped to the edge");
	}
}

static void unreadable(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		const struct call *call = &calls[i];
		const uintptr_t wild[] = { 0,
					   1,
					   4,
					   (uintptr_t)edge,
					   0x7ffffffff000,
					   0x800000000000,
					   0xffff888000000000,
					   0xffffffff81000000,
					   UINTPTR_MAX - 3,
					   UINTPTR_MAX };
		struct t_snap before = t_snapshot();

		for (size_t j = 0; j < ARRAY_SIZE(wild); j++)
			CHECK_ERR(t_ioctl(call->nr, (void *)wild[j]), -EFAULT,
				  "%s at %#lx", call->name,
				  (unsigned long)wild[j]);
		/* Half on either side of the edge. */
		for (unsigned int in = 1; in < call->known; in++) {
			char full[MAX_KNOWN];

			make_valid(call, full);
			memcpy(edge - in, full, in);
			CHECK_ERR(t_ioctl(call->nr, edge - in), -EFAULT,
				  "%s with %u of %u bytes", call->name, in,
				  call->known);
		}
		CHECK_UNCHANGED(&before, "%s", call->name);
	}
}

/*
 * Every call writes to its structure.  If that cannot be done nothing may
 * have happened: no reservation made, no page dropped.
 */
static void read_only(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		struct t_snap before;
		char *at;

		if (calls[i].nr == TRACT_IOC_PURGE_MAP)
			continue; /* writes nothing */
		mprotect(window, PAGE, PROT_READ | PROT_WRITE);
		at = window + 128;
		make_valid(&calls[i], at);
		t_fill(canary.addr + 2 * MIB - PAGE, PAGE, 7);
		before = t_snapshot();
		mprotect(window, PAGE, PROT_READ);
		before.maps = t_map_count(0);
		CHECK_ERR(t_ioctl(calls[i].nr, at), -EFAULT,
			  "%s in read-only memory", calls[i].name);
		before.process.out_map_count = before.maps;
		CHECK_UNCHANGED(&before, "%s read-only", calls[i].name);
		CHECK_EQ(t_wrong(canary.addr + 2 * MIB - PAGE, PAGE, 7), -1,
			 "%s in read-only memory: dropped at", calls[i].name);
	}
	mprotect(window, PAGE, PROT_READ | PROT_WRITE);
}

/* out_* on a page that cannot be written, the inputs on one that can. */
static void outputs_read_only(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		unsigned int known = calls[i].known;
		char full[MAX_KNOWN];
		struct t_snap before;
		char *at;

		/* Every split that leaves the last out_ field behind it. */
		for (unsigned int in = 8; in < known; in += 8) {
			if ((calls[i].nr == TRACT_IOC_BATCH && in > 24) ||
			    calls[i].nr == TRACT_IOC_PURGE_MAP)
				break;
			if (calls[i].nr == TRACT_IOC_RESERVE && in > 32)
				break;
			make_valid(&calls[i], full);
			at = window + PAGE - in;
			mprotect(window, 2 * PAGE, PROT_READ | PROT_WRITE);
			memcpy(at, full, known);
			mprotect(window + PAGE, PAGE, PROT_READ);
			t_fill(canary.addr + 2 * MIB - PAGE, PAGE, 8);
			before = t_snapshot();
			CHECK_ERR(t_ioctl(calls[i].nr, at), -EFAULT,
				  "%s, read-only from byte %u", calls[i].name,
				  in);
			CHECK_UNCHANGED(&before, "%s, read-only from byte %u",
					calls[i].name, in);
			CHECK_EQ(t_wrong(canary.addr + 2 * MIB - PAGE, PAGE, 8),
				 -1, "%s, read-only from %u: dropped at",
				 calls[i].name, in);
		}
	}
	mprotect(window, 2 * PAGE, PROT_READ | PROT_WRITE);
}

struct field {
	unsigned int nr, offset, bytes;
};

/* Only out_ fields are written, and nothing behind the known size. */
static void inputs_stay(void)
{
#define IN(n, type, name)                                                      \
	{                                                                      \
		n, offsetof(type, name), sizeof(((type *)0)->name)             \
	}
	static const struct field fields[] = {
		IN(0, struct tract_info, size),
		IN(0, struct tract_info, flags),
		IN(1, struct tract_reserve, size),
		IN(1, struct tract_reserve, flags),
		IN(1, struct tract_reserve, length),
		IN(1, struct tract_reserve, align),
		IN(2, struct tract_batch, size),
		IN(2, struct tract_batch, flags),
		IN(2, struct tract_batch, ops),
		IN(2, struct tract_batch, count),
		IN(2, struct tract_batch, reserved),
		IN(3, struct tract_stats, size),
		IN(3, struct tract_stats, flags),
		IN(3, struct tract_stats, scope),
		IN(3, struct tract_stats, pid),
		IN(3, struct tract_stats, id),
		IN(4, struct tract_purge_map, size),
		IN(4, struct tract_purge_map, flags),
		IN(4, struct tract_purge_map, id),
		IN(4, struct tract_purge_map, address),
		IN(4, struct tract_purge_map, length),
		IN(4, struct tract_purge_map, unit_size),
		IN(4, struct tract_purge_map, decay_ms),
	};
	char was[512], is[512];

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		memset(was, 0, sizeof(was));
		make_valid(&calls[i], was);
		/* A size of its own, to see that it is not rewritten. */
		*(__u32 *)was = calls[i].known + 24;
		memcpy(is, was, sizeof(is));
		memset(is + calls[i].known + 24, 0xcc, 64);
		CHECK_ERR(t_ioctl(calls[i].nr, is), 0, "%s", calls[i].name);
		undo(&calls[i], is);
		for (size_t j = 0; j < ARRAY_SIZE(fields); j++)
			if (fields[j].nr == i)
				CHECK(!memcmp(is + fields[j].offset,
					      was + fields[j].offset,
					      fields[j].bytes),
				      "%s: input at offset %u was written",
				      calls[i].name, fields[j].offset);
		CHECK_EQ(t_nonzero(is + calls[i].known, 24), -1,
			 "%s: unknown tail written at", calls[i].name);
		for (int j = 0; j < 64; j++)
			CHECK_EQ((unsigned char)is[calls[i].known + 24 + j],
				 0xcc, "%s: byte %d behind it", calls[i].name,
				 j);
	}
}

static void canary_lives(void)
{
	CHECK_EQ(t_wrong(canary.addr, 2 * MIB - PAGE, 1), -1,
		 "a byte of the canary is lost at");
}

int main(void)
{
	t_begin("sizes", 60);
	t_fd();
	setup();
	RUN(short_sizes);
	RUN(short_at_edge);
	RUN(exact_size);
	RUN(older_sizes);
	RUN(zero_tail);
	RUN(nonzero_tail);
	RUN(above_a_page);
	RUN(tail_unreadable);
	RUN(unreadable);
	RUN(read_only);
	RUN(outputs_read_only);
	RUN(inputs_stay);
	RUN(canary_lives);
	return t_end();
}
