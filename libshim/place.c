// SPDX-License-Identifier: MIT
#include "place.h"

#include <errno.h>
#include <linux/tract.h>

#include "maps.h"
#include "sys.h"

/* Looks for a place, when others take it meanwhile. */
#define TRIES 8

/*
 * The reservation holds the place until ordinary memory lies there, which may be
 * locked, moved, and given other protections, and whose map grows together
 * again: code is written and protected in turn.
 */
static long place_module(int device, uintptr_t near, size_t reach,
			 size_t length)
{
	struct tract_reserve arg = {
		.size = sizeof(arg),
		.flags = TRACT_RESERVE_NEAR | TRACT_RESERVE_NOHUGE,
		.length = length,
		.near = near,
		.reach = reach,
	};
	int ret = device < 0 ? device : tract__sys_device_reserve(device, &arg);

	if (ret)
		return ret;
	/*
	 * If that fails half-way the place may be another thread's by now: it is
	 * left as it is.
	 */
	return tract__sys_map_over(arg.out_address, length);
}

/*
 * Another thread may map something between the look and the mapping: then the
 * look is taken again, after a pause that grows.
 */
static long place_plain(uintptr_t near, size_t reach, size_t length)
{
	for (unsigned int tries = 0; tries < TRIES; tries++) {
		uintptr_t at = tract__maps_find_near(near, reach, length);
		long ret;

		if (!at)
			return -EADDRNOTAVAIL;
		ret = tract__sys_map_at(at, length);
		if (ret != -EEXIST)
			return ret;
		tract__sys_pause(tries);
	}
	return -EADDRNOTAVAIL;
}

long tract__place_near(int device, uintptr_t near, size_t reach, size_t length)
{
	long ret = place_module(device, near, reach, length);

	/* These two answers hold for plain Linux as well. */
	if (ret > 0 || ret < -4095 || ret == -EADDRNOTAVAIL || ret == -ENOMEM)
		return ret;
	return place_plain(near, reach, length);
}
