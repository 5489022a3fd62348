// SPDX-License-Identifier: MIT
/*
 * BATCH on an undisturbed reservation: what DECOMMIT drops and POPULATE brings,
 * to the page, many operations at once, merging, order, results.
 */
#include "observe.h"

#define DECOMMIT TRACT_OP_DECOMMIT
#define POPULATE TRACT_OP_POPULATE

static unsigned int kind;

static long rss(const struct t_res *res)
{
	struct t_vma vma;

	if (!t_find_vma(res->addr, &vma))
		t_die("no VMA");
	return vma.rss;
}

/* Fill, drop [offset, offset + length), look at every byte. */
static void drop_and_look(const struct t_res *res, size_t offset, size_t length)
{
	size_t end = offset + length;

	t_fill(res->addr, res->length, 21);
	CHECK_ERR(t_decommit(res, offset, length), 0,
		  "DECOMMIT of %#zx at %#zx", length, offset);
	CHECK_EQ(t_nonzero(res->addr + offset, length), -1,
		 "%#zx at %#zx: not zero at", length, offset);
	CHECK_EQ(t_wrong(res->addr, offset, 21), -1,
		 "%#zx at %#zx: byte lost before it at", length, offset);
	CHECK_EQ(t_wrong(res->addr + end, res->length - end, 21 + end / 8), -1,
		 "%#zx at %#zx: byte lost behind it at", length, offset);
}

static void exact_ranges(void)
{
	struct t_res res = t_reserve(6 * MIB, kind);
	const size_t ranges[][2] = {
		{ 0, PAGE },
		{ PAGE, PAGE },
		{ 6 * MIB - PAGE, PAGE },
		/* Within a huge page, across two, around one, all. */
		{ 3 * MIB, 16 * KIB },
		{ 2 * MIB + PAGE, 2 * MIB - 2 * PAGE },
		{ 2 * MIB - 8 * PAGE, 16 * PAGE },
		{ 2 * MIB, 2 * MIB },
		{ 2 * MIB - PAGE, 2 * MIB + 2 * PAGE },
		{ 0, 6 * MIB },
	};
	long maps = t_map_count(0);

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		drop_and_look(&res, ranges[i][0], ranges[i][1]);
	CHECK_EQ(t_map_count(0), maps, "VMAs after DECOMMIT");
	t_unmap(&res);
}

static void memory_comes_back(void)
{
	struct t_res res = t_reserve(16 * MIB, kind);

	memset(res.addr, 1, res.length);
	CHECK_EQ(rss(&res), 16 * MIB, "Rss, all touched");
	CHECK_ERR(t_decommit(&res, 4 * MIB, 8 * MIB), 0, "DECOMMIT");
	CHECK_EQ(rss(&res), 8 * MIB, "Rss after half was dropped");
	CHECK_EQ(t_resident(res.addr + 4 * MIB, 8 * MIB), 0, "pages there");
	CHECK_ERR(t_decommit(&res, 0, 16 * MIB), 0, "DECOMMIT");
	CHECK_EQ(rss(&res), 0, "Rss after all was dropped");
	/* There is nothing: no error either. */
	CHECK_ERR(t_decommit(&res, 0, 16 * MIB), 0, "DECOMMIT of nothing");
	t_unmap(&res);
}

static void populate(void)
{
	struct t_res res = t_reserve(8 * MIB, kind);
	size_t at = 3 * MIB, length = 2 * MIB + 3 * PAGE;
	long maps = t_map_count(0);

	t_fill(res.addr + 4 * MIB, 5 * PAGE, 5);
	CHECK_ERR(t_populate(&res, at, length), 0, "POPULATE");
	CHECK_EQ(t_resident(res.addr + at, length), (long)(length / PAGE),
		 "pages resident");
	CHECK_EQ(t_wrong(res.addr + 4 * MIB, 5 * PAGE, 5), -1, "changed at");
	CHECK_EQ(t_nonzero(res.addr + at, MIB), -1, "not zero at");
	CHECK_EQ(t_nonzero(res.addr + 4 * MIB + 5 * PAGE, MIB), -1,
		 "not zero at");
	if (kind & TRACT_RESERVE_NOHUGE) {
		CHECK_EQ(rss(&res), length, "Rss: that and no more");
		CHECK_EQ(t_resident(res.addr, at), 0, "resident before");
	}
	/* For writing: no further fault on a write, so no more faults count. */
	CHECK_ERR(t_decommit(&res, 0, res.length), 0, "DECOMMIT");
	CHECK_EQ(t_nonzero(res.addr, 2 * MIB), -1, "reads as zero");
	CHECK_ERR(t_populate(&res, 0, 2 * MIB), 0, "POPULATE over zero page");
	{
		struct rusage was, is;

		getrusage(RUSAGE_SELF, &was);
		for (size_t i = 0; i < 2 * MIB; i += PAGE)
			res.addr[i] = 1;
		getrusage(RUSAGE_SELF, &is);
		CHECK(is.ru_minflt - was.ru_minflt < 16,
		      "%ld faults writing to populated memory",
		      is.ru_minflt - was.ru_minflt);
	}
	CHECK_EQ(t_map_count(0), maps, "VMAs after POPULATE");
	CHECK_ERR(t_populate(&res, 0, res.length), 0, "POPULATE of all");
	CHECK_EQ(rss(&res), (long)res.length, "Rss of all");
	t_unmap(&res);
}

static void full_batch(void)
{
	static struct tract_op ops[TRACT_BATCH_MAX];
	struct t_res res = t_reserve(2 * TRACT_BATCH_MAX * PAGE, kind);
	struct tract_batch result;
	struct tract_stats was, is;

	t_fill(res.addr, res.length, 31);
	was = t_process_stats();
	for (unsigned int i = 0; i < TRACT_BATCH_MAX; i++)
		ops[i] = t_make_op(DECOMMIT, res.id, (2 * i + 1) * PAGE, PAGE);
	CHECK_ERR(t_batch(ops, TRACT_BATCH_MAX, &result), 0, "1024 operations");
	CHECK_EQ(result.out_completed, TRACT_BATCH_MAX, "completed");
	CHECK_EQ(result.out_failed, 0, "failed");
	for (unsigned int i = 0; i < TRACT_BATCH_MAX; i++) {
		CHECK_ERR(ops[i].out_result, 0, "result %u", i);
		CHECK_EQ(t_wrong(res.addr + 2 * i * PAGE, PAGE,
				 31 + 2 * i * PAGE / 8),
			 -1, "page %u lost at", 2 * i);
		CHECK_EQ(t_nonzero(res.addr + (2 * i + 1) * PAGE, PAGE), -1,
			 "page %u not dropped at", 2 * i + 1);
	}
	is = t_process_stats();
	CHECK_EQ(is.out_operations - was.out_operations, TRACT_BATCH_MAX,
		 "operations counted");
	CHECK_EQ(is.out_decommitted_bytes - was.out_decommitted_bytes,
		 TRACT_BATCH_MAX * PAGE, "bytes counted");
	for (unsigned int i = 0; i < TRACT_BATCH_MAX; i++) {
		CHECK_EQ(ops[i].op, DECOMMIT, "op of %u written", i);
		CHECK_EQ(ops[i].id, res.id, "id of %u written", i);
		CHECK_EQ(ops[i].offset, (2 * i + 1) * PAGE, "offset of %u", i);
		CHECK_EQ(ops[i].length, PAGE, "length of %u", i);
	}
	t_unmap(&res);
}

/*
 * Neighbouring ranges of one kind are one piece of work and share its result:
 * here the second of them is not mapped.
 */
static void merging(void)
{
	struct t_res res = t_reserve(2 * MIB, kind);
	struct tract_op ops[5];
	struct tract_batch result;

	munmap(res.addr + 2 * PAGE, PAGE);
	for (int i = 0; i < 4; i++)
		ops[i] = t_make_op(POPULATE, res.id, i * PAGE, PAGE);
	CHECK_ERR(t_batch(ops, 4, &result), 0, "BATCH");
	CHECK_EQ(result.out_completed, 4, "completed");
	CHECK_EQ(result.out_failed, 4, "failed: one result for four");
	for (int i = 0; i < 4; i++)
		CHECK_ERR(ops[i].out_result, -ENOENT, "shared result %d", i);
	/* With a gap between, each has its own. */
	for (int i = 0; i < 4; i++)
		ops[i] = t_make_op(POPULATE, res.id, 2 * i * PAGE, PAGE);
	CHECK_ERR(t_batch(ops, 4, &result), 0, "BATCH");
	CHECK_EQ(result.out_completed, 4, "completed");
	CHECK_EQ(result.out_failed, 1, "failed: only the hole");
	for (int i = 0; i < 4; i++)
		CHECK_ERR(ops[i].out_result, i == 1 ? -ENOENT : 0,
			  "own result %d", i);
	/* Different kinds or reservations never share. */
	ops[0] = t_make_op(POPULATE, res.id, PAGE, PAGE);
	ops[1] = t_make_op(DECOMMIT, res.id, 2 * PAGE, PAGE);
	ops[2] = t_make_op(POPULATE, res.id, 3 * PAGE, PAGE);
	ops[3] = t_make_op(DECOMMIT, res.id, 9 * PAGE, PAGE);
	ops[4] = t_make_op(POPULATE, res.id, 2 * PAGE, PAGE);
	CHECK_ERR(t_batch(ops, 5, &result), 0, "BATCH");
	CHECK_EQ(result.out_completed, 5, "completed");
	CHECK_EQ(result.out_failed, 1, "failed: the last");
	CHECK_ERR(ops[0].out_result, 0, "POPULATE beside the hole");
	CHECK_ERR(ops[1].out_result, 0, "DECOMMIT of the hole");
	CHECK_ERR(ops[2].out_result, 0, "POPULATE behind the hole");
	CHECK_ERR(ops[3].out_result, 0, "DECOMMIT elsewhere");
	CHECK_ERR(ops[4].out_result, -ENOENT, "POPULATE of the hole");
	t_unmap(&res);
}

static void two_reservations(void)
{
	struct t_res a = t_reserve(2 * MIB, kind), b = t_reserve(2 * MIB, kind);
	struct tract_op ops[4];
	struct tract_batch result;

	t_fill(a.addr, a.length, 1);
	t_fill(b.addr, b.length, 2);
	/* Offsets that would be neighbours if ids did not matter. */
	ops[0] = t_make_op(DECOMMIT, a.id, 0, PAGE);
	ops[1] = t_make_op(DECOMMIT, b.id, PAGE, PAGE);
	ops[2] = t_make_op(DECOMMIT, a.id, 2 * PAGE, PAGE);
	ops[3] = t_make_op(DECOMMIT, b.id, 3 * PAGE, PAGE);
	CHECK_ERR(t_batch(ops, 4, &result), 0, "BATCH");
	CHECK_EQ(result.out_completed, 4, "completed");
	for (int i = 0; i < 4; i++) {
		const struct t_res *hit = i & 1 ? &b : &a;
		const struct t_res *not = i & 1 ? &a : &b;

		CHECK_EQ(t_nonzero(hit->addr + i * PAGE, PAGE), -1,
			 "page %d not dropped at", i);
		CHECK_EQ(t_wrong(not ->addr + i * PAGE, PAGE,
				 (i & 1 ? 1 : 2) + i * PAGE / 8),
			 -1, "page %d of the other lost at", i);
	}
	t_unmap(&a);
	t_unmap(&b);
}

static void order(void)
{
	struct t_res res = t_reserve(2 * MIB, kind);
	struct tract_op ops[2];

	t_fill(res.addr, res.length, 1);
	ops[0] = t_make_op(DECOMMIT, res.id, 0, 2 * MIB);
	ops[1] = t_make_op(POPULATE, res.id, 0, 2 * MIB);
	CHECK_ERR(t_batch(ops, 2, NULL), 0, "DECOMMIT, POPULATE");
	CHECK_EQ(t_resident(res.addr, res.length), 512, "resident");
	CHECK_EQ(t_nonzero(res.addr, res.length), -1, "not zero at");
	t_fill(res.addr, res.length, 1);
	ops[0] = t_make_op(POPULATE, res.id, 0, 2 * MIB);
	ops[1] = t_make_op(DECOMMIT, res.id, 0, 2 * MIB);
	CHECK_ERR(t_batch(ops, 2, NULL), 0, "POPULATE, DECOMMIT");
	CHECK_EQ(t_resident(res.addr, res.length), 0, "resident");
	/* Overlapping ones of a kind are as good as their union. */
	t_fill(res.addr, res.length, 1);
	ops[0] = t_make_op(DECOMMIT, res.id, 4 * PAGE, 8 * PAGE);
	ops[1] = t_make_op(DECOMMIT, res.id, 8 * PAGE, 8 * PAGE);
	CHECK_ERR(t_batch(ops, 2, NULL), 0, "overlapping");
	CHECK_EQ(t_wrong(res.addr, 4 * PAGE, 1), -1, "lost before at");
	CHECK_EQ(t_nonzero(res.addr + 4 * PAGE, 12 * PAGE), -1, "not zero at");
	CHECK_EQ(t_wrong(res.addr + 16 * PAGE, PAGE, 1 + 16 * PAGE / 8), -1,
		 "lost behind at");
	ops[0] = t_make_op(DECOMMIT, res.id, 20 * PAGE, PAGE);
	ops[1] = t_make_op(DECOMMIT, res.id, 19 * PAGE, PAGE);
	CHECK_ERR(t_batch(ops, 2, NULL), 0, "descending");
	CHECK_EQ(t_nonzero(res.addr + 19 * PAGE, 2 * PAGE), -1, "not zero at");
	CHECK_EQ(t_wrong(res.addr + 18 * PAGE, PAGE, 1 + 18 * PAGE / 8), -1,
		 "lost before at");
	CHECK_EQ(t_wrong(res.addr + 21 * PAGE, PAGE, 1 + 21 * PAGE / 8), -1,
		 "lost behind at");
	t_unmap(&res);
}

/* Again and again over the same place: neither pages nor counters leak. */
static void cycle(void)
{
	struct t_res res = t_reserve(2 * MIB, kind);

	for (int i = 0; i < 100; i++) {
		t_fill(res.addr, 8 * PAGE, i);
		CHECK_EQ(t_wrong(res.addr, 8 * PAGE, i), -1, "turn %d", i);
		CHECK_ERR(t_decommit(&res, 0, 2 * MIB), 0, "turn %d", i);
		CHECK_EQ(t_nonzero(res.addr, 8 * PAGE), -1, "turn %d", i);
	}
	CHECK_ERR(t_decommit(&res, 0, 2 * MIB), 0, "last");
	CHECK_EQ(rss(&res), 0, "Rss");
	t_unmap(&res);
}

int main(void)
{
	static const unsigned int kinds[] = { TRACT_RESERVE_NOHUGE, 0 };

	t_begin("batch", 90);
	t_fd();
	if (t_write_file("/sys/kernel/mm/transparent_hugepage/enabled",
			 "always"))
		t_note("transparent huge pages are left as they are");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		kind = kinds[i];
		t_note("%s", kind ? "NOHUGE" : "plain");
		RUN(exact_ranges);
		RUN(memory_comes_back);
		RUN(populate);
		RUN(full_batch);
		RUN(merging);
		RUN(two_reservations);
		RUN(order);
		RUN(cycle);
	}
	return t_end();
}
