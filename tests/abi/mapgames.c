// SPDX-License-Identifier: MIT
/*
 * BATCH while the process has done other things to the range: unmapped a part,
 * put something else there, moved or shrunk or protected it, locked or pinned
 * its pages.  What is not the reservation's is never touched.
 */
#include <sys/uio.h>

#include "observe.h"

#define LENGTH (8 * MIB)

static unsigned int kind;

static struct t_res make(void)
{
	struct t_res res = t_reserve(LENGTH, kind);

	t_fill(res.addr, res.length, 41);
	return res;
}

/* Is [offset, offset + length) as make() left it? */
#define CHECK_INTACT(base, offset, length, what)                               \
	CHECK_EQ(t_wrong((base) + (offset), length, 41 + (offset) / 8), -1,    \
		 "%s: lost at", what)

#define CHECK_ZERO(at, length, what)                                           \
	CHECK_EQ(t_nonzero(at, length), -1, "%s: not zero at", what)

static void hole(void)
{
	struct t_res res = make();

	munmap(res.addr + 3 * MIB, MIB);
	CHECK_ERR(t_decommit(&res, 2 * MIB, 3 * MIB), 0, "DECOMMIT over it");
	CHECK_INTACT(res.addr, 0, 2 * MIB, "before");
	CHECK_ZERO(res.addr + 2 * MIB, MIB, "up to the hole");
	CHECK_ZERO(res.addr + 4 * MIB, MIB, "behind the hole");
	CHECK_INTACT(res.addr, 5 * MIB, 3 * MIB, "behind");
	CHECK_ERR(t_decommit(&res, 3 * MIB, MIB), 0, "DECOMMIT in it");
	CHECK_ERR(t_populate(&res, 2 * MIB, 3 * MIB), -ENOENT,
		  "POPULATE over it");
	CHECK_ERR(t_populate(&res, 3 * MIB, MIB), -ENOENT, "POPULATE in it");
	CHECK_ERR(t_populate(&res, 3 * MIB - PAGE, 2 * PAGE), -ENOENT,
		  "POPULATE into it");
	CHECK_ERR(t_populate(&res, 4 * MIB - PAGE, 2 * PAGE), -ENOENT,
		  "POPULATE out of it");
	CHECK_ERR(t_populate(&res, 2 * MIB, MIB), 0, "POPULATE up to it");
	CHECK_EQ(t_resident(res.addr + 2 * MIB, MIB), 256, "resident");
	CHECK_ERR(t_populate(&res, 4 * MIB, MIB), 0, "POPULATE behind it");
	/* Pages populated before the hole was met stay. */
	CHECK_ERR(t_decommit(&res, 2 * MIB, MIB), 0, "DECOMMIT");
	CHECK_ERR(t_populate(&res, 3 * MIB - PAGE, 2 * PAGE), -ENOENT,
		  "POPULATE a page and into it");
	CHECK_EQ(t_resident(res.addr + 3 * MIB - PAGE, PAGE), 1,
		 "the page before the hole");
	t_unmap(&res);
}

static void replaced_anonymous(void)
{
	struct t_res res = make();
	char *other = mmap(res.addr + 3 * MIB, MIB, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	t_fill(other, MIB, 43);
	CHECK_ERR(t_decommit(&res, 0, LENGTH), 0, "DECOMMIT");
	CHECK_EQ(t_wrong(other, MIB, 43), -1, "anonymous: lost at");
	CHECK_ZERO(res.addr, 3 * MIB, "before");
	CHECK_ZERO(res.addr + 4 * MIB, 4 * MIB, "behind");
	CHECK_ERR(t_populate(&res, 2 * MIB, 2 * MIB), -ENOENT,
		  "POPULATE over an anonymous mapping");
	CHECK_EQ(t_wrong(other, MIB, 43), -1, "anonymous: changed at");
	madvise(other, MIB, MADV_DONTNEED);
	CHECK_ERR(t_populate(&res, 3 * MIB, MIB), -ENOENT,
		  "POPULATE of an anonymous mapping");
	CHECK_EQ(t_resident(other, MIB), 0, "populated of another's");
	t_unmap(&res);
}

static void replaced_file(void)
{
	struct t_res res = make();
	int fd = memfd_create("other", MFD_CLOEXEC);
	char *shared, *private;

	if (fd < 0 || ftruncate(fd, MIB))
		t_die("memfd: %s", strerror(errno));
	shared = mmap(res.addr + 2 * MIB, MIB, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_FIXED, fd, 0);
	t_fill(shared, MIB, 44);
	private = mmap(res.addr + 4 * MIB, MIB, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_FIXED, fd, 0);
	t_fill(private, MIB / 2, 45);
	CHECK_ERR(t_decommit(&res, 0, LENGTH), 0, "DECOMMIT");
	CHECK_EQ(t_wrong(shared, MIB, 44), -1, "shared file: lost at");
	CHECK_EQ(t_wrong(private, MIB / 2, 45), -1, "its copy: lost at");
	CHECK_ERR(t_populate(&res, 2 * MIB, MIB), -ENOENT, "POPULATE shared");
	CHECK_ERR(t_populate(&res, 4 * MIB, MIB), -ENOENT, "POPULATE private");
	t_unmap(&res);
	close(fd);
}

/* Pages of another reservation, moved over a part of this one. */
static void replaced_by_another(void)
{
	struct t_res a = make(), b = t_reserve(LENGTH, kind);
	char *moved;

	t_fill(b.addr, LENGTH, 46);
	moved = mremap(b.addr, MIB, MIB, MREMAP_MAYMOVE | MREMAP_FIXED,
		       a.addr + 4 * MIB);
	if (!CHECK(moved == a.addr + 4 * MIB, "mremap: %s", strerror(errno)))
		return;
	CHECK_ERR(t_decommit(&a, 0, LENGTH), 0, "DECOMMIT");
	CHECK_EQ(t_wrong(moved, MIB, 46), -1, "the other's page: lost at");
	CHECK_ERR(t_populate(&a, 4 * MIB, MIB), -ENOENT,
		  "POPULATE where another reservation is");
	/* By file offset, wherever it is mapped. */
	CHECK_ERR(t_decommit(&b, 0, PAGE), 0, "DECOMMIT of the moved");
	CHECK_ZERO(moved, PAGE, "the moved page");
	CHECK_EQ(t_wrong(moved + PAGE, MIB - PAGE, 46 + PAGE / 8), -1,
		 "behind it: lost at");
	t_unmap(&a);
	munmap(b.addr, LENGTH);
	CHECK_ERR(t_decommit(&b, 0, PAGE), -ENOENT, "b is gone");
}

static void moved(void)
{
	struct t_res res = make();
	char *area = mmap(NULL, 2 * LENGTH, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *there = (char *)(((uintptr_t)area + LENGTH - 1) & -LENGTH);
	char *old = res.addr;
	int err;

	there = mremap(old, LENGTH, LENGTH, MREMAP_MAYMOVE | MREMAP_FIXED,
		       there);
	if (!CHECK(there != MAP_FAILED, "mremap: %s", strerror(errno)))
		return;
	/* Something of the process's own where the reservation was. */
	old = mmap(old, LENGTH, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	t_fill(old, LENGTH, 47);
	CHECK_INTACT(there, 0, LENGTH, "moved");
	CHECK_ERR(t_decommit(&res, 2 * MIB, MIB), 0, "DECOMMIT");
	CHECK_EQ(t_wrong(old, LENGTH, 47), -1, "old place: lost at");
	CHECK_INTACT(there, 0, 2 * MIB, "before");
	CHECK_ZERO(there + 2 * MIB, MIB, "dropped");
	CHECK_INTACT(there, 3 * MIB, 5 * MIB, "behind");
	madvise(old, LENGTH, MADV_DONTNEED);
	err = t_populate(&res, 2 * MIB, MIB);
	CHECK(err == -ENOENT ||
		      (!err && t_resident(there + 2 * MIB, MIB) == 256),
	      "POPULATE of a moved reservation is %d", err);
	CHECK_EQ(t_resident(old, LENGTH), 0, "populated of another's");
	munmap(area, 2 * LENGTH);
	munmap(old, LENGTH);
	CHECK_ERR(t_decommit(&res, 0, PAGE), -ENOENT, "gone");
}

/*
 * The kernel forgets the file offset of an anonymous mapping that is moved
 * before its first page: DECOMMIT must not then claim a success it has not had.
 */
static void moved_untouched(void)
{
	struct t_res res = t_reserve(LENGTH, kind);
	char *there = mmap(NULL, LENGTH, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			   -1, 0);
	int err;

	there = mremap(res.addr, LENGTH, LENGTH, MREMAP_MAYMOVE | MREMAP_FIXED,
		       there);
	if (!CHECK(there != MAP_FAILED, "mremap: %s", strerror(errno)))
		return;
	t_fill(there, LENGTH, 41);
	err = t_decommit(&res, 2 * MIB, MIB);
	CHECK_ERR(err, 0, "DECOMMIT");
	CHECK_INTACT(there, 0, 2 * MIB, "before");
	if (!err)
		CHECK_ZERO(there + 2 * MIB, MIB, "dropped");
	CHECK_INTACT(there, 3 * MIB, 5 * MIB, "behind");
	munmap(there, LENGTH);
	CHECK_ERR(t_decommit(&res, 0, PAGE), -ENOENT, "gone");
}

/* Moved away with the old range left in place, where the kernel allows it. */
static void moved_keeping(void)
{
	struct t_res res = make();
	char *there = mremap(res.addr, LENGTH, LENGTH,
			     MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);

	if (there == MAP_FAILED) {
		CHECK_INTACT(res.addr, 0, LENGTH, "not moved");
		t_unmap(&res);
		return;
	}
	CHECK_INTACT(there, 0, LENGTH, "moved");
	CHECK_ZERO(res.addr, LENGTH, "left behind");
	t_fill(res.addr, LENGTH, 49);
	/* The range is the reservation's address range, whatever else. */
	CHECK_ERR(t_decommit(&res, 0, MIB), 0, "DECOMMIT");
	CHECK_ZERO(res.addr, MIB, "dropped");
	CHECK_EQ(t_wrong(res.addr + MIB, LENGTH - MIB, 49 + MIB / 8), -1,
		 "behind: lost at");
	munmap(there, LENGTH);
	t_unmap(&res);
	CHECK_ERR(t_decommit(&res, 0, PAGE), -ENOENT, "gone");
}

static void shrunk(void)
{
	struct t_res res = make();

	if (!CHECK(mremap(res.addr, LENGTH, 3 * MIB, 0) == res.addr,
		   "mremap: %s", strerror(errno)))
		return;
	CHECK_ERR(t_decommit(&res, 2 * MIB, 6 * MIB), 0, "DECOMMIT");
	CHECK_INTACT(res.addr, 0, 2 * MIB, "before");
	CHECK_ZERO(res.addr + 2 * MIB, MIB, "dropped");
	CHECK_ERR(t_populate(&res, 2 * MIB, MIB), 0, "POPULATE inside");
	CHECK_ERR(t_populate(&res, 2 * MIB, 2 * MIB), -ENOENT,
		  "POPULATE over the end");
	munmap(res.addr, 3 * MIB);
	CHECK_ERR(t_decommit(&res, 0, PAGE), -ENOENT, "gone");
}

static void protected(void)
{
	static const int prots[] = { PROT_NONE, PROT_READ };

	for (size_t i = 0; i < ARRAY_SIZE(prots); i++) {
		struct t_res res = make();

		mprotect(res.addr + 3 * MIB, MIB, prots[i]);
		CHECK_ERR(t_populate(&res, 3 * MIB, MIB), -EFAULT,
			  "POPULATE with protection %d", prots[i]);
		CHECK_ERR(t_populate(&res, 2 * MIB, 3 * MIB), -EFAULT,
			  "POPULATE over protection %d", prots[i]);
		CHECK_ERR(t_decommit(&res, 2 * MIB, 3 * MIB), 0,
			  "DECOMMIT over protection %d", prots[i]);
		CHECK_ERR(t_populate(&res, 3 * MIB, MIB), -EFAULT,
			  "POPULATE of nothing with protection %d", prots[i]);
		CHECK_EQ(t_resident(res.addr + 3 * MIB, MIB), 0,
			 "populated although protected");
		mprotect(res.addr + 3 * MIB, MIB, PROT_READ | PROT_WRITE);
		CHECK_INTACT(res.addr, 0, 2 * MIB, "before");
		CHECK_ZERO(res.addr + 2 * MIB, 3 * MIB, "dropped");
		CHECK_INTACT(res.addr, 5 * MIB, 3 * MIB, "behind");
		CHECK_ERR(t_populate(&res, 2 * MIB, 3 * MIB), 0, "POPULATE");
		t_unmap(&res);
	}
}

static void locked(void)
{
	struct t_res res = make();
	struct t_vma vma;

	if (mlock(res.addr + 2 * MIB, 2 * MIB))
		t_die("mlock: %s", strerror(errno));
	CHECK_ERR(t_decommit(&res, MIB, 2 * MIB), 0, "DECOMMIT");
	CHECK_ZERO(res.addr + MIB, 2 * MIB, "dropped");
	CHECK_INTACT(res.addr, 0, MIB, "before");
	CHECK_INTACT(res.addr, 3 * MIB, 5 * MIB, "behind");
	CHECK(t_find_vma(res.addr + 2 * MIB, &vma), "no VMA");
	/* As the header says, mlock() has an effect on few. */
	CHECK_EQ(t_vma_flag(&vma, "lo"),
		 !(kind & TRACT_RESERVE_NOHUGE) &&
			 !t_feature(TRACT_FEATURE_LOCKLESS_HUGE),
		 "lo in VmFlags%s", vma.flags);
	munlock(res.addr, LENGTH);
	CHECK_ERR(t_decommit(&res, 0, LENGTH), 0, "DECOMMIT of all");
	CHECK_ZERO(res.addr, LENGTH, "all");
	t_unmap(&res);
}

/* A pipe holds the pages themselves: it keeps the old, the range reads zero. */
static void pinned(void)
{
	struct t_res res = make();
	static char got[8 * PAGE];
	struct iovec iov = { res.addr + MIB, sizeof(got) };
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		t_die("pipe: %s", strerror(errno));
	if (vmsplice(fds[1], &iov, 1, 0) != (ssize_t)sizeof(got))
		t_die("vmsplice: %s", strerror(errno));
	CHECK_ERR(t_decommit(&res, MIB, MIB), 0, "DECOMMIT");
	CHECK_ZERO(res.addr + MIB, MIB, "dropped");
	t_fill(res.addr + MIB, MIB, 48);
	CHECK_EQ(read(fds[0], got, sizeof(got)), sizeof(got), "from the pipe");
	CHECK_EQ(t_wrong(got, sizeof(got), 41 + MIB / 8), -1,
		 "the pinned pages: lost at");
	CHECK_EQ(t_wrong(res.addr + MIB, MIB, 48), -1, "the new ones: lost at");
	CHECK_INTACT(res.addr, 0, MIB, "before");
	CHECK_INTACT(res.addr, 2 * MIB, 6 * MIB, "behind");
	close(fds[0]);
	close(fds[1]);
	t_unmap(&res);
}

/* madvise() works beside the device, and the device after it. */
static void advised(void)
{
	struct t_res res = make();

	madvise(res.addr + MIB, MIB, MADV_DONTNEED);
	CHECK_ZERO(res.addr + MIB, MIB, "DONTNEED");
	CHECK_ERR(t_decommit(&res, 0, 2 * MIB), 0, "DECOMMIT");
	CHECK_ZERO(res.addr, 2 * MIB, "dropped");
	CHECK_INTACT(res.addr, 2 * MIB, 6 * MIB, "behind");
	CHECK(!madvise(res.addr + 4 * MIB, MIB, MADV_DONTDUMP), "DONTDUMP: %s",
	      strerror(errno));
	CHECK_ERR(t_decommit(&res, 3 * MIB, 3 * MIB), 0, "over three VMAs");
	CHECK_ZERO(res.addr + 3 * MIB, 3 * MIB, "over three VMAs");
	CHECK_ERR(t_populate(&res, 3 * MIB, 3 * MIB), 0, "POPULATE over them");
	CHECK_EQ(t_resident(res.addr + 3 * MIB, 3 * MIB), 768, "resident");
	CHECK_INTACT(res.addr, 2 * MIB, MIB, "before");
	CHECK_INTACT(res.addr, 6 * MIB, 2 * MIB, "behind");
	t_unmap(&res);
}

int main(void)
{
	static const unsigned int kinds[] = { TRACT_RESERVE_NOHUGE, 0 };
	struct tract_stats end;

	t_begin("mapgames", 90);
	t_fd();
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		kind = kinds[i];
		t_note("%s", kind ? "NOHUGE" : "plain");
		RUN(hole);
		RUN(replaced_anonymous);
		RUN(replaced_file);
		RUN(replaced_by_another);
		RUN(moved);
		RUN(moved_untouched);
		RUN(moved_keeping);
		RUN(shrunk);
		RUN(protected);
		RUN(locked);
		RUN(pinned);
		RUN(advised);
	}
	end = t_process_stats();
	if (end.out_reservations) {
		t_note("%llu reservations are left over", end.out_reservations);
		return 1;
	}
	return t_end();
}
