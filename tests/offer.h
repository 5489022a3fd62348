/* SPDX-License-Identifier: MIT */
/*
 * A process's side of a purge map, as the UAPI header has it, for the tests and
 * measurements that talk to the device themselves.
 */
#ifndef TESTS_OFFER_H
#define TESTS_OFFER_H

#include "harness.h"

struct t_map {
	struct t_res res;
	struct tract_purge_header *header;
	__u8 *states;
	size_t length; /* of header and states, in pages */
	__u64 units;
	size_t unit; /* bytes */
};

T_FN size_t t_map_length(const struct t_res *res, size_t unit)
{
	return PAGE + (res->length / unit + PAGE - 1) / PAGE * PAGE;
}

T_FN int t_bind_raw(const struct t_res *res, void *address, __u64 length,
		    __u32 unit, __u32 decay_ms)
{
	struct tract_purge_map arg = {
		.size = sizeof(arg),
		.id = res->id,
		.address = (uintptr_t)address,
		.length = length,
		.unit_size = unit,
		.decay_ms = decay_ms,
	};

	return t_ioctl(TRACT_IOC_PURGE_MAP, &arg);
}

T_FN int t_unbind(const struct t_res *res)
{
	struct tract_purge_map arg = {
		.size = sizeof(arg),
		.flags = TRACT_PURGE_MAP_UNBIND,
		.id = res->id,
	};

	return t_ioctl(TRACT_IOC_PURGE_MAP, &arg);
}

T_FN void *t_anonymous(size_t length)
{
	void *addr = mmap(NULL, length, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (addr == MAP_FAILED)
		t_die("mmap of %zu bytes: %s", length, strerror(errno));
	return addr;
}

/* A new, empty map for @res, bound: it has to work. */
T_FN struct t_map t_bind(const struct t_res *res, size_t unit, __u32 decay_ms)
{
	struct t_map map = {
		.res = *res,
		.length = t_map_length(res, unit),
		.units = res->length / unit,
		.unit = unit,
	};
	int err;

	map.header = t_anonymous(map.length);
	map.states = (__u8 *)map.header + PAGE;
	err = t_bind_raw(res, map.header, map.length, unit, decay_ms);
	if (err)
		t_die("PURGE_MAP: %s", strerror(-err));
	return map;
}

T_FN void t_unmap_map(const struct t_map *map)
{
	if (munmap(map->header, map->length))
		t_die("munmap: %s", strerror(errno));
}

T_FN char *t_unit(const struct t_map *map, __u64 unit)
{
	return map->res.addr + unit * map->unit;
}

T_FN __u8 t_unit_state(const struct t_map *map, __u64 unit)
{
	return __atomic_load_n(&map->states[unit], __ATOMIC_ACQUIRE);
}

T_FN void t_offer(const struct t_map *map, __u64 unit)
{
	__atomic_store_n(&map->states[unit], TRACT_UNIT_VOLATILE,
			 __ATOMIC_RELEASE);
	__atomic_fetch_add(&map->header->offered, 1, __ATOMIC_RELEASE);
}

T_FN bool t_move(const struct t_map *map, __u64 unit, __u8 from, __u8 to)
{
	return __atomic_compare_exchange_n(&map->states[unit], &from, to, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* The state that the unit was taken back from, or LIVE if it was not to be had. */
T_FN __u8 t_take(const struct t_map *map, __u64 unit)
{
	__u8 state = t_unit_state(map, unit);

	while (state == TRACT_UNIT_VOLATILE || state == TRACT_UNIT_AGED ||
	       state == TRACT_UNIT_PURGED) {
		if (t_move(map, unit, state, TRACT_UNIT_LIVE)) {
			if (state != TRACT_UNIT_PURGED)
				__atomic_fetch_add(&map->header->reused, 1,
						   __ATOMIC_RELAXED);
			return state;
		}
		state = t_unit_state(map, unit);
	}
	return TRACT_UNIT_LIVE;
}

/* Units from @first on that are in @state. */
T_FN __u64 t_count(const struct t_map *map, __u64 first, __u64 count,
		   __u8 state)
{
	__u64 found = 0;

	for (__u64 i = first; i < first + count; i++)
		found += t_unit_state(map, i) == state;
	return found;
}

/* Wait until all of these units are in @state; seconds, or -1 for too long. */
T_FN double t_wait_state(const struct t_map *map, __u64 first, __u64 count,
			 __u8 state, double seconds)
{
	double start = t_now();
	const char *slow = getenv("TRACT_TEST_SLOWNESS");

	if (slow && atoi(slow) > 0)
		seconds *= atoi(slow);
	while (t_count(map, first, count, state) != count) {
		if (t_now() - start > seconds)
			return -1;
		t_sleep_us(1000);
	}
	return t_now() - start;
}

#endif /* TESTS_OFFER_H */
