// SPDX-License-Identifier: MIT
#include "trapped.h"

#include <errno.h>
#include <linux/tract.h>

#include "backend.h"
#include "holes.h"
#include "mapping.h"
#include "options.h"
#include "pages.h"
#include "place.h"
#include "sys.h"
#include "vm.h"

/* The first reservation; each later one is as large as all before. */
#define FIRST ((size_t)64 << 20)
#define ALIGN ((size_t)2 << 20)
#define RESERVATIONS_MAX 48
#define SPLITS_MAX 1000

/* Grows only; an entry is complete before the count says so. */
static struct {
	uintptr_t start, end;
	uint64_t id;
	uint64_t inode; /* 0: the kernel does not tell */
} reservations[RESERVATIONS_MAX];
static unsigned int reservation_count;

static int device_fd = -1;
static bool unusable; /* it did not answer, or does no good */
static unsigned int splits;

/* A descriptor that is the device, in the lock; ours may have been closed. */
static int device(void)
{
	int fd = read_once(&device_fd);

	if (tract__sys_is_device(fd))
		return fd;
	fd = tract__sys_open_device();
	write_once(&device_fd, fd);
	return fd;
}

/* For islands, whose backend here is this. */
long tract__backend_map_near(uintptr_t near, size_t reach, size_t length)
{
	int fd = tract__options.backend == BACKEND_PLAIN ? -ENODEV : device();

	return tract__place_near(fd, near, reach, length);
}

static int reserve(size_t length)
{
	struct tract_reserve arg = {
		.size = sizeof(arg),
		.flags = TRACT_RESERVE_TRAP,
		.length = length,
		.align = ALIGN,
	};
	unsigned int i = reservation_count;
	int fd = device(), ret;
	uintptr_t mapped_end;

	if (fd < 0)
		return fd;
	ret = tract__sys_device_reserve(fd, &arg);
	if (ret)
		return ret;
	reservations[i].start = arg.out_address;
	/* The last page stays empty: two reservations are never one hole. */
	reservations[i].end = arg.out_address + length - PAGE_SIZE;
	reservations[i].id = arg.out_id;
	if (reservations[i].end > PAGES_END ||
	    tract__pages_prepare(reservations[i].start, reservations[i].end)) {
		tract__sys_munmap((void *)reservations[i].start, length);
		return -ENOMEM;
	}
	if (tract__mapping_at(reservations[i].start, &reservations[i].inode,
			      &mapped_end))
		reservations[i].inode = 0;
	__atomic_store_n(&reservation_count, i + 1, __ATOMIC_RELEASE);
	return 0;
}

bool tract__trapped_add(size_t length)
{
	unsigned int i = reservation_count;
	size_t wanted = FIRST;
	int ret;

	if (tract__options.backend == BACKEND_PLAIN || unusable ||
	    i == RESERVATIONS_MAX)
		return false;
	/* Markers do the same, in memory that is like any other. */
	if (tract__options.backend == BACKEND_AUTO && tract__vm_has_guards())
		return false;
	for (unsigned int k = 0; k < i; k++)
		wanted += reservations[k].end - reservations[k].start;
	length = align_up(length + PAGE_SIZE, ALIGN);
	wanted = align_up(wanted, ALIGN);
	ret = reserve(wanted > length ? wanted : length);
	if (ret == -ENOSPC || ret == -ENOMEM)
		ret = reserve(length);
	if (ret) {
		unusable = !i && tract__options.backend == BACKEND_AUTO;
		return false;
	}
	/* What is not in use faults. */
	trapped_op(reservations[i].start, reservations[i].end,
		   TRACT_OP_DECOMMIT);
	tract__vm_forget(reservations[i].start, reservations[i].end);
	tract__pages_set(reservations[i].start, reservations[i].end,
			 page_state(PAGE_HOLE, PROT_RW) | PAGE_TRAPPED);
	tract__holes_insert(HOLES_TRAPPED, reservations[i].start,
			    reservations[i].end);
	return true;
}

static int find(uintptr_t addr)
{
	unsigned int count =
		__atomic_load_n(&reservation_count, __ATOMIC_ACQUIRE);

	for (unsigned int i = 0; i < count; i++)
		if (addr >= reservations[i].start && addr < reservations[i].end)
			return (int)i;
	return -1;
}

void tract__trapped_split(void)
{
	if (++splits == SPLITS_MAX)
		unusable = true;
}

bool tract__trapped_is_there(uintptr_t start, uintptr_t end)
{
	int i = find(start), ret;
	uint64_t inode;

	if (i < 0)
		return false;
	while (reservations[i].inode && start < end) {
		ret = tract__mapping_at(start, &inode, &start);
		if (ret == -E2BIG)
			return true;
		if (ret || inode != reservations[i].inode)
			return false;
	}
	return true;
}

int tract__trapped_ops(uintptr_t start, uintptr_t end, const uint32_t *codes,
		       unsigned int count)
{
	struct tract_op ops[TRAPPED_OPS];
	struct tract_batch batch = {
		.size = sizeof(batch),
		.ops = (uintptr_t)ops,
		.count = count,
	};
	int i = find(start);
	int fd = read_once(&device_fd);
	int ret;

	if (i < 0 || end > reservations[i].end)
		return -ENOENT;
	if (!tract__sys_is_device(fd))
		return -ENODEV;
	for (unsigned int k = 0; k < count; k++)
		ops[k] = (struct tract_op){
			.op = codes[k],
			.id = reservations[i].id,
			.offset = start - reservations[i].start,
			.length = end - start,
		};
	ret = tract__sys_device_batch(fd, &batch);
	for (unsigned int k = 0; !ret && k < count; k++)
		ret = ops[k].out_result;
	return ret;
}
