// SPDX-License-Identifier: GPL-2.0-only
#include <linux/errno.h>

#include "range.h"

/*
 * User values: is @range a part of [0, @limit), not empty, and a multiple of
 * @grain at both ends?  @grain is a power of two.  Never adds offset and
 * length, whose sum may overflow.
 */
int tract_range_check(const struct tract_range *range, __u64 limit, __u64 grain)
{
	if ((range->offset | range->length) & (grain - 1))
		return -EINVAL;
	if (!range->length || range->length > limit)
		return -EINVAL;
	if (range->offset > limit - range->length)
		return -EINVAL;
	return 0;
}

/* User value: is @align a power of two from @min to @max? */
int tract_range_check_align(__u64 align, __u64 min, __u64 max)
{
	if (align & (align - 1))
		return -EINVAL;
	if (align < min || align > max)
		return -EINVAL;
	return 0;
}

/*
 * The caller has made sure that @value + @align does not overflow; @align is a
 * power of two.
 */
__u64 tract_range_align_up(__u64 value, __u64 align)
{
	return (value + align - 1) & ~(align - 1);
}

/*
 * Let @range grow by @next if the two are neighbours, on either side.  Ranges
 * that overlap are not neighbours: they stay two operations, in their order.
 */
bool tract_range_merge(struct tract_range *range,
		       const struct tract_range *next)
{
	if (range->offset + range->length == next->offset) {
		range->length += next->length;
		return true;
	}
	if (next->offset + next->length == range->offset) {
		range->offset = next->offset;
		range->length += next->length;
		return true;
	}
	return false;
}

/*
 * Bytes of the next piece of @range, @done bytes of which are behind us; 0 at
 * the end.  No piece is larger than @size, a power of two, and what is not
 * larger is one piece.  The others end at multiples of @size, so that a huge
 * page no larger than that is never cut by the chunking itself.
 */
__u64 tract_range_piece(const struct tract_range *range, __u64 done, __u64 size)
{
	__u64 left = range->length - done;

	if (left <= size)
		return left;
	return size - ((range->offset + done) & (size - 1));
}

/* Is @part, a part of @range, within the first @done bytes of it? */
bool tract_range_done(const struct tract_range *range, __u64 done,
		      const struct tract_range *part)
{
	return part->offset + part->length <= range->offset + done;
}
