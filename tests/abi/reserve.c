// SPDX-License-Identifier: MIT
/*
 * What RESERVE promises of the memory it hands out: place, alignment, one VMA,
 * its flags, huge pages, privacy, and ids that are never used twice.
 * The ways it can fail for want of something are in limits.c.
 */
#include "observe.h"

#define THP "/sys/kernel/mm/transparent_hugepage/enabled"

static void alignments(void)
{
	struct tract_info info = t_info();

	CHECK_EQ(info.out_align_min, 2 * MIB, "align_min");
	CHECK_EQ(info.out_align_max, GIB, "align_max");
	for (__u64 align = 0; align <= info.out_align_max;
	     align = align ? align * 2 : info.out_align_min)
		for (int odd = 0; odd < 3; odd++) {
			size_t length = odd == 0 ? PAGE :
					odd == 1 ? 3 * MIB + PAGE :
						   8 * MIB;
			__u64 want = align ? align : info.out_align_min;
			long maps = t_map_count(0);
			struct t_res res;
			struct t_vma vma;

			if (!CHECK_ERR(t_reserve_raw(length, align, 0, &res), 0,
				       "%zu bytes aligned to %#llx", length,
				       align))
				continue;
			CHECK_EQ((uintptr_t)res.addr % want, 0,
				 "%p modulo %#llx", res.addr, want);
			CHECK(res.addr, "address 0");
			CHECK(res.id, "id 0");
			CHECK_EQ(t_map_count(0), maps + 1, "VMAs, %zu bytes",
				 length);
			CHECK(t_find_vma(res.addr, &vma), "no VMA");
			CHECK_EQ(vma.start, (uintptr_t)res.addr, "start");
			CHECK_EQ(vma.end - vma.start, length, "length");
			t_unmap(&res);
			CHECK_EQ(t_map_count(0), maps, "VMAs after munmap");
		}
}

/* Side by side or not, two reservations are two VMAs. */
static void never_merged(void)
{
	struct t_res res[16];
	long maps = t_map_count(0);

	for (int i = 0; i < 16; i++)
		res[i] = t_reserve(2 * MIB, 0);
	CHECK_EQ(t_map_count(0), maps + 16, "VMAs of 16 reservations");
	for (int i = 0; i < 16; i++)
		t_unmap(&res[i]);
}

static void reads_zero(void)
{
	static const unsigned int flags[] = { 0, TRACT_RESERVE_NODUMP,
					      TRACT_RESERVE_NOHUGE,
					      TRACT_RESERVE_NODUMP |
						      TRACT_RESERVE_NOHUGE };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		struct t_res res = t_reserve(4 * MIB, flags[i]);
		struct t_vma vma;

		CHECK_EQ(t_resident(res.addr, res.length), 0, "resident");
		CHECK_EQ(t_nonzero(res.addr, res.length), -1, "not zero at");
		t_fill(res.addr, res.length, i);
		CHECK_EQ(t_wrong(res.addr, res.length, i), -1, "lost at");
		CHECK(t_find_vma(res.addr, &vma), "no VMA");
		CHECK(!strcmp(vma.perms, "rw-p"), "expected rw-p, found %s",
		      vma.perms);
		CHECK_EQ(t_vma_flag(&vma, "dd"),
			 !!(flags[i] & TRACT_RESERVE_NODUMP),
			 "dd in VmFlags%sof flags %#x", vma.flags, flags[i]);
		CHECK_EQ(t_vma_flag(&vma, "nh"),
			 !!(flags[i] & TRACT_RESERVE_NOHUGE),
			 "nh in VmFlags%sof flags %#x", vma.flags, flags[i]);
		CHECK_EQ(t_vma_flag(&vma, "sh"), 0, "sh in VmFlags%s",
			 vma.flags);
		t_unmap(&res);
		/* A new one never shows the old contents. */
		res = t_reserve(4 * MIB, flags[i]);
		CHECK_EQ(t_nonzero(res.addr, res.length), -1, "old data at");
		t_unmap(&res);
	}
}

/* Huge pages come where INFO says so, and never where they are declined. */
static void huge_pages(void)
{
	bool huge = t_feature(TRACT_FEATURE_HUGE);
	struct t_res plain = t_reserve(16 * MIB, 0);
	struct t_res declined = t_reserve(16 * MIB, TRACT_RESERVE_NOHUGE);
	struct t_vma vma;

	memset(plain.addr, 1, plain.length);
	memset(declined.addr, 1, declined.length);
	CHECK(t_find_vma(plain.addr, &vma), "no VMA");
	if (huge)
		CHECK_EQ(vma.huge, 16 * MIB, "AnonHugePages, plain");
	CHECK_EQ(vma.rss, 16 * MIB, "Rss, plain");
	CHECK(t_find_vma(declined.addr, &vma), "no VMA");
	CHECK_EQ(vma.huge, 0, "AnonHugePages, NOHUGE");
	CHECK_EQ(vma.rss, 16 * MIB, "Rss, NOHUGE");
	t_note("huge pages %s", huge ? "offered" : "not offered");
	t_unmap(&plain);
	t_unmap(&declined);
}

/*
 * The file behind a reservation must not be had a second time: a shared or
 * another mapping of it would be memory that DECOMMIT's owner rule misses.
 */
static void no_second_way_in(void)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR, O_PATH };
	struct t_res res = t_reserve(2 * MIB, 0);
	struct t_snap before;
	char path[128];

	t_fill(res.addr, res.length, 3);
	before = t_snapshot();
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx",
		 (unsigned long)res.addr, (unsigned long)res.addr + res.length);
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		int fd = open(path, modes[i] | O_CLOEXEC);
		char self[64];
		void *at;
		int again;

		if (modes[i] != O_PATH)
			CHECK(fd < 0, "map_files opened with mode %#x",
			      modes[i]);
		if (fd < 0)
			continue;
		snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
		again = open(self, O_RDWR | O_CLOEXEC);
		CHECK(again < 0, "opened again through O_PATH");
		for (int shared = 0; shared < 2; shared++) {
			at = mmap(NULL, res.length, PROT_READ | PROT_WRITE,
				  shared ? MAP_SHARED : MAP_PRIVATE, fd, 0);
			CHECK(at == MAP_FAILED, "mapped again, shared %d",
			      shared);
		}
		if (again >= 0)
			close(again);
		close(fd);
	}
	CHECK(truncate(path, 0) < 0, "truncated through map_files");
	CHECK(mremap(res.addr, 0, res.length, MREMAP_MAYMOVE) == MAP_FAILED,
	      "mapped twice by mremap() from length 0");
	CHECK(syscall(SYS_remap_file_pages, res.addr, PAGE, 0, 1, 0) < 0,
	      "remap_file_pages() worked");
	CHECK_UNCHANGED(&before, "attempts at a second mapping");
	CHECK_EQ(t_wrong(res.addr, res.length, 3), -1, "lost at");
	t_unmap(&res);
}

/* It may not grow over its file's end by mremap() and then be addressed. */
static void growth(void)
{
	struct t_res res = t_reserve(2 * MIB, TRACT_RESERVE_NOHUGE);
	size_t length = 2 * res.length;
	char *grown;

	t_fill(res.addr, res.length, 4);
	grown = mremap(res.addr, res.length, length, MREMAP_MAYMOVE);
	if (grown != MAP_FAILED) {
		t_note("mremap() grows a reservation");
		CHECK_EQ(t_nonzero(grown + res.length, res.length), -1,
			 "behind the end not zero at");
	} else {
		grown = res.addr;
		length = res.length;
	}
	CHECK_EQ(t_wrong(grown, res.length, 4), -1, "lost at");
	CHECK_ERR(t_decommit(&res, res.length, PAGE), -EINVAL,
		  "DECOMMIT behind the end");
	munmap(grown, length);
}

static void ids_unique(void)
{
	__u64 last = 0;

	/* Keep one in three, so that ends and starts interleave. */
	struct t_res kept[40];
	int n = 0;

	for (int i = 0; i < 120; i++) {
		struct t_res res = t_reserve(PAGE, 0);

		CHECK(res.id > last, "id %llu after %llu", res.id, last);
		last = res.id;
		if (i % 3)
			t_unmap(&res);
		else
			kept[n++] = res;
	}
	for (int i = 0; i < n; i++) {
		CHECK_ERR(t_decommit(&kept[i], 0, PAGE), 0, "id %llu",
			  kept[i].id);
		t_unmap(&kept[i]);
		CHECK_ERR(t_decommit(&kept[i], 0, PAGE), -ENOENT,
			  "id %llu after munmap()", kept[i].id);
	}
}

static void stale_after_parts(void)
{
	struct t_res res = t_reserve(4 * MIB, 0);
	struct tract_stats st;

	/* Piece by piece: it exists until the last piece goes. */
	for (int i = 0; i < 4; i++) {
		static const int order[] = { 1, 3, 0, 2 };

		CHECK_ERR(t_decommit(&res, 0, res.length), 0,
			  "with %d pieces gone", i);
		CHECK_ERR(t_stats(TRACT_SCOPE_RESERVATION, 0, res.id, &st), 0,
			  "STATS with %d pieces gone", i);
		CHECK_EQ(st.out_reserved_bytes, res.length,
			 "reserved with %d pieces gone", i);
		munmap(res.addr + order[i] * MIB, MIB);
	}
	CHECK_ERR(t_decommit(&res, 0, res.length), -ENOENT, "all gone");
	CHECK_ERR(t_stats(TRACT_SCOPE_RESERVATION, 0, res.id, &st), -ENOENT,
		  "STATS when all is gone");
	CHECK_EQ(t_process_stats().out_reservations, 0, "reservations");
}

static void large(void)
{
	__u64 max = t_info().out_bytes_max;
	size_t length = max < 1024 * GIB ? max : 1024 * GIB;
	struct t_res res;

	/* Not charged: far more than this machine has, sparse. */
	if (!CHECK_ERR(t_reserve_raw(length, GIB, TRACT_RESERVE_NOHUGE, &res),
		       0, "%zu GiB", length / GIB))
		return;
	for (size_t at = 0; at < length; at += length / 16) {
		memset(res.addr + at, 7, PAGE);
		CHECK_ERR(t_decommit(&res, at, PAGE), 0, "at %zu", at);
		CHECK_EQ(t_nonzero(res.addr + at, PAGE), -1, "at %zu", at);
	}
	memset(res.addr + length - PAGE, 7, PAGE);
	CHECK_ERR(t_decommit(&res, 0, length), 0, "all");
	CHECK_EQ(t_nonzero(res.addr + length - PAGE, PAGE), -1, "the end");
	t_unmap(&res);
}

int main(void)
{
	char thp[64] = "";

	t_begin("reserve", 60);
	t_fd();
	t_read_file(THP, thp, sizeof(thp));
	RUN(alignments);
	RUN(never_merged);
	RUN(reads_zero);
	if (t_write_file(THP, "always"))
		SKIP(huge_pages, "cannot write " THP);
	else
		RUN(huge_pages);
	RUN(no_second_way_in);
	RUN(growth);
	RUN(ids_unique);
	RUN(stale_after_parts);
	RUN(large);
	if (strstr(thp, "[madvise]"))
		t_write_file(THP, "madvise");
	else if (strstr(thp, "[never]"))
		t_write_file(THP, "never");
	return t_end();
}
