// SPDX-License-Identifier: MIT
#include "near.h"

#include <errno.h>

#include "../include/tract.h"
#include "sys.h"
#include "vm.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* As far as branches go: on most machines, and on those where it is narrow. */
#define HINT_REACH ((uintptr_t)1 << 31)
#define FAR_REACH ((size_t)1 << 30)
#define NEAR_REACH ((size_t)128 << 20)

#define ISLAND_SIZE ((size_t)16 << 20)
#define ISLANDS_MAX 64
#define SITES_MAX 16

/* Grows only; an entry is complete before the count says so. */
static struct {
	struct tract_island *island;
	uintptr_t start, end;
} islands[ISLANDS_MAX];
static unsigned int island_count;

static uintptr_t distance(uintptr_t a, uintptr_t b)
{
	return a > b ? a - b : b - a;
}

static unsigned int count(void)
{
	return __atomic_load_n(&island_count, __ATOMIC_ACQUIRE);
}

/* From islands [@from, @to) within @reach of @near; the last is emptiest. */
static void *take(unsigned int from, unsigned int to, uintptr_t near,
		  size_t reach, size_t length)
{
	while (to-- > from) {
		void *p = NULL;

		if (distance(islands[to].start, near) <= reach &&
		    distance(islands[to].end, near) <= reach)
			p = tract_island_alloc(islands[to].island, length);
		if (p)
			return p;
	}
	return NULL;
}

static void *take_new(uintptr_t near, size_t reach, size_t length)
{
	struct tract_island *island = NULL;
	unsigned int i = island_count;
	size_t size = ISLAND_SIZE;

	while (size < length)
		size *= 2;
	/* Better a small one near than a large one far away. */
	for (; i < ISLANDS_MAX && size >= length; size /= 2) {
		island = tract_island_create((void *)near, reach, size);
		if (island || errno != EADDRNOTAVAIL)
			break;
	}
	if (!island)
		return NULL;
	islands[i].island = island;
	islands[i].start = (uintptr_t)tract_island_base(island);
	islands[i].end = islands[i].start + tract_island_size(island);
	__atomic_store_n(&island_count, i + 1, __ATOMIC_RELEASE);
	return tract_island_alloc(island, length);
}

static void *take_near(uintptr_t near, size_t length)
{
	static const size_t reaches[] = { NEAR_REACH, FAR_REACH };
	struct vm_section section;
	int saved = errno;
	void *p = NULL;

	for (size_t i = 0; !p && i < ARRAY_SIZE(reaches); i++) {
		unsigned int seen = count();

		p = take(0, seen, near, reaches[i], length);
		if (p || !tract__vm_enter(&section))
			continue;
		/* Another thread may have made one while we waited. */
		p = take(seen, count(), near, reaches[i], length);
		if (!p)
			p = take_new(near, reaches[i], length);
		tract__vm_exit(&section);
	}
	/* That islands are full is nothing to the program. */
	errno = saved;
	return p;
}

/*
 * A place in a program from which hinted mappings are asked for.  A compiler
 * gives back what is out of reach and tries again; an allocator that grows in
 * place gives back whatever is not at its hint; most take what they get.
 */
enum site_kind {
	SITE_UNKNOWN,
	SITE_PROBES, /* gave back what had missed: now it gets some near by */
	SITE_EXACT,  /* gave that back too */
};

static struct site {
	uintptr_t caller;
	uint32_t kind;
} sites[SITES_MAX];

/* What this thread was given last, instead of what it had asked for. */
static __thread struct {
	uintptr_t missed, given;
	struct site *site;
} last;

/* NULL when there are too many: then nothing is learned. */
static struct site *site_of(uintptr_t caller)
{
	for (size_t i = 0; i < SITES_MAX; i++) {
		uintptr_t found =
			__atomic_load_n(&sites[i].caller, __ATOMIC_RELAXED);

		if (!found && __atomic_compare_exchange_n(
				      &sites[i].caller, &found, caller, false,
				      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return &sites[i];
		if (found == caller)
			return &sites[i];
	}
	return NULL;
}

static long give_near(uintptr_t near, size_t length, int prot)
{
	void *p = take_near(near, length);

	if (!p)
		return 0;
	if (prot != PROT_RW && tract__sys_mprotect(p, length, prot)) {
		tract__near_unmap((uintptr_t)p, (uintptr_t)p + length);
		return 0;
	}
	vm_count(COUNT_NEAR);
	return (long)p;
}

/* At @hint and nowhere else; 0: it is taken. */
static long map_exactly(uintptr_t hint, size_t length, int prot, int flags)
{
	long ret = tract__sys_mmap((void *)hint, length, prot,
				   flags | MAP_FIXED_NOREPLACE, -1, 0);

	if (ret == (long)hint)
		tract__vm_record(hint, length, prot, flags);
	else if (ret > 0 || ret < -4095)
		/* A kernel that does not know the flag takes it for a hint. */
		tract__sys_munmap((void *)ret, length);
	return ret == (long)hint ? ret : 0;
}

long tract__near_map(uintptr_t hint, size_t length, int prot, int flags,
		     const void *caller)
{
	uintptr_t near = (uintptr_t)caller;
	struct site *site;
	uint32_t kind;
	long ret = 0;

	if (length > ISLAND_SIZE || hint % PAGE_SIZE)
		return 0;
	if (distance(hint, near) >= HINT_REACH) {
		if (!(prot & PROT_EXEC))
			return 0;
		near = hint;
	}
	site = site_of((uintptr_t)caller);
	kind = site ? read_once(&site->kind) : SITE_UNKNOWN;
	if (kind != SITE_PROBES)
		ret = map_exactly(hint, length, prot, flags);
	if (!ret && kind == SITE_UNKNOWN && prot & PROT_EXEC)
		kind = SITE_PROBES;
	if (!ret && kind == SITE_PROBES) {
		ret = give_near(near, length, prot);
		last.given = (uintptr_t)ret;
		last.site = site;
	} else if (!ret && kind == SITE_UNKNOWN) {
		ret = tract__sys_mmap(NULL, length, prot, flags, -1, 0);
		if (ret < 0 && ret > -4096)
			return 0;
		tract__vm_record((uintptr_t)ret, length, prot, flags);
		last.missed = (uintptr_t)ret;
		last.site = site;
	}
	return ret;
}

/* What the thread does with it says what it had wanted. */
static void learn_unmap(uintptr_t start)
{
	if (!last.site)
		return;
	if (start == last.missed && last.site->kind == SITE_UNKNOWN)
		write_once(&last.site->kind, SITE_PROBES);
	else if (start == last.given)
		write_once(&last.site->kind, SITE_EXACT);
	last.missed = last.given = 0;
	last.site = NULL;
}

bool tract__near_unmap(uintptr_t start, uintptr_t end)
{
	learn_unmap(start);
	for (unsigned int i = count(); i-- > 0;) {
		if (start < islands[i].start || end > islands[i].end)
			continue;
		/*
		 * New memory, or the next to have the place would have what
		 * this program has put there: a file, locks, advice about
		 * forks.
		 */
		if (tract__sys_map_over(start, end - start) != (long)start)
			return false;
		tract_island_free(islands[i].island, (void *)start,
				  end - start);
		return true;
	}
	return false;
}
