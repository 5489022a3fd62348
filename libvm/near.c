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
	for (; i < ISLANDS_MAX && !island && size >= length; size /= 2)
		island = tract_island_create((void *)near, reach, size);
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
	return p;
}

long tract__near_map(uintptr_t hint, size_t length, int prot, int flags,
		     const void *caller)
{
	uintptr_t near = (uintptr_t)caller;
	long ret;
	void *p;

	if (length > ISLAND_SIZE || hint % PAGE_SIZE)
		return 0;
	if (distance(hint, near) >= HINT_REACH) {
		if (!(prot & PROT_EXEC))
			return 0;
		near = hint;
	}
	ret = tract__sys_mmap((void *)hint, length, prot,
			      flags | MAP_FIXED_NOREPLACE, -1, 0);
	if (ret == (long)hint) {
		tract__vm_record(hint, length, prot, flags);
		return ret;
	}
	/* A kernel that does not know the flag takes it for a hint. */
	if (ret > 0 || ret < -4095)
		tract__sys_munmap((void *)ret, length);
	else if (ret != -EEXIST)
		return 0;
	p = take_near(near, length);
	if (!p)
		return 0;
	if (prot != PROT_RW && tract__sys_mprotect(p, length, prot)) {
		tract__near_unmap((uintptr_t)p, (uintptr_t)p + length);
		return 0;
	}
	vm_count(COUNT_NEAR);
	return (long)p;
}

bool tract__near_unmap(uintptr_t start, uintptr_t end)
{
	for (unsigned int i = count(); i-- > 0;) {
		if (start < islands[i].start || end > islands[i].end)
			continue;
		if (tract__sys_mprotect((void *)start, end - start, PROT_RW))
			return false;
		tract_island_free(islands[i].island, (void *)start,
				  end - start);
		return true;
	}
	return false;
}
