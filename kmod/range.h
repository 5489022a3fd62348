/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Arithmetic of ranges: no lock, no memory, no kernel in it, so that the same
 * file is tested in userspace, by KUnit, and used by the module.
 *
 * Everything here that takes user values says so; the rest relies on ranges
 * that tract_range_check() has accepted.
 */
#ifndef TRACT_RANGE_H
#define TRACT_RANGE_H

#include <linux/types.h>
#ifndef __KERNEL__
#include <stdbool.h>
#endif

/* A part of a reservation, in bytes from its start. */
struct tract_range {
	__u64 offset;
	__u64 length;
};

int tract_range_check(const struct tract_range *range, __u64 limit,
		      __u64 grain);
int tract_range_check_align(__u64 align, __u64 min, __u64 max);
__u64 tract_range_align_up(__u64 value, __u64 align);
bool tract_range_merge(struct tract_range *range,
		       const struct tract_range *next);
__u64 tract_range_piece(const struct tract_range *range, __u64 done,
			__u64 size);
bool tract_range_done(const struct tract_range *range, __u64 done,
		      const struct tract_range *part);

#endif /* TRACT_RANGE_H */
