// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dispatch: a new ioctl is a struct in the UAPI header, a row in the table and
 * a handler.
 */
#include <linux/build_bug.h>
#include <linux/kernel.h>
#include <linux/nospec.h>
#include <linux/tract.h>
#include <linux/uaccess.h>

#include "batch.h"
#include "compat.h"
#include "ioctl.h"
#include "purge_map.h"
#include "reservation.h"
#include "stats.h"

/*
 * The layout is the contract: no holes, the same for 32-bit callers.  A size
 * here is that of the structure's last version, the first version's is in the
 * table.
 */
static_assert(sizeof(struct tract_info) == 96);
static_assert(offsetofend(struct tract_info, out_page_size) == 16);
static_assert(offsetofend(struct tract_info, out_batch_max) == 48);
static_assert(offsetofend(struct tract_info, out_bytes_max) == 80);
static_assert(offsetofend(struct tract_info, out_purge_unit_max) == 96);
static_assert(sizeof(struct tract_reserve) == 56);
static_assert(offsetofend(struct tract_reserve, out_id) == 40);
static_assert(offsetofend(struct tract_reserve, reach) == 56);
static_assert(sizeof(struct tract_op) == 32);
static_assert(offsetofend(struct tract_op, length) == 32);
static_assert(sizeof(struct tract_batch) == 32);
static_assert(offsetofend(struct tract_batch, reserved) == 32);
static_assert(sizeof(struct tract_stats) == 168);
static_assert(offsetofend(struct tract_stats, out_reserve_flags) == 48);
static_assert(offsetofend(struct tract_stats, out_map_max) == 112);
static_assert(offsetofend(struct tract_stats, out_skipped_sweeps) == 168);
static_assert(sizeof(struct tract_purge_map) == 40);
static_assert(offsetofend(struct tract_purge_map, decay_ms) == 40);
static_assert(sizeof(struct tract_purge_header) == 128);
static_assert(offsetof(struct tract_purge_header, sweeps) == 64);

static u64 features(void)
{
	u64 bits = TRACT_FEATURE_PURGE_MAP;

	if (IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
		bits |= TRACT_FEATURE_HUGE;
	if (TRACT_COMPAT_LOCKLESS_HUGE)
		bits |= TRACT_FEATURE_LOCKLESS_HUGE;
	if (TRACT_COMPAT_SHARED_ZAP)
		bits |= TRACT_FEATURE_SHARED_ZAP;
	if (TRACT_COMPAT_TRAP)
		bits |= TRACT_FEATURE_TRAP;
	bits |= TRACT_FEATURE_ISLAND;
	return bits;
}

static int ioctl_info(void *arg, void __user *uarg)
{
	const size_t out = offsetof(struct tract_info, out_abi_version);
	struct tract_info *info = arg;
	/* Of an older, smaller version of the structure only that. */
	const size_t end = min_t(size_t, info->size, sizeof(*info));

	if (info->flags)
		return -EOPNOTSUPP;
	info->out_abi_version = TRACT_ABI_VERSION;
	info->out_page_size = PAGE_SIZE;
	info->out_features = features();
	info->out_reserve_flags = TRACT_RESERVE_FLAGS;
	info->out_op_mask = TRACT_BATCH_OPS;
	info->out_unit_size = TRACT_UNIT_SIZE;
	info->out_batch_max = TRACT_BATCH_MAX;
	info->out_align_min = TRACT_ALIGN_MIN;
	info->out_align_max = TRACT_ALIGN_MAX;
	info->out_reservations_max = tract_owner_reservations_max();
	info->out_bytes_max = tract_owner_bytes_max();
	info->out_purge_map_bytes_max = tract_owner_purge_map_bytes_max();
	info->out_purge_unit_min = TRACT_PURGE_UNIT_MIN;
	info->out_purge_unit_max = TRACT_PURGE_UNIT_MAX;
	if (copy_to_user(uarg + out, (char *)info + out, end - out))
		return -EFAULT;
	return 0;
}

/* Indexed by number. */
struct ioctl_row {
	unsigned int cmd;
	u32 size; /* of the structure, today */
	u32 size_min; /* of its first version */
	int (*handler)(void *arg, void __user *uarg);
};

static const struct ioctl_row ioctl_rows[] = {
	{ TRACT_IOC_INFO, sizeof(struct tract_info), 80, ioctl_info },
	{ TRACT_IOC_RESERVE, sizeof(struct tract_reserve), 40,
	  tract_reservation_reserve },
	{ TRACT_IOC_BATCH, sizeof(struct tract_batch), 32, tract_batch_run },
	{ TRACT_IOC_STATS, sizeof(struct tract_stats), 112, tract_stats_get },
	{ TRACT_IOC_PURGE_MAP, sizeof(struct tract_purge_map), 40,
	  tract_purge_map_set },
};

union ioctl_arg {
	u32 size;
	struct tract_info info;
	struct tract_reserve reserve;
	struct tract_batch batch;
	struct tract_stats stats;
	struct tract_purge_map purge_map;
};

long tract_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *uarg = (void __user *)arg;
	unsigned int nr = _IOC_NR(cmd);
	const struct ioctl_row *row;
	union ioctl_arg buffer;
	u32 size;
	int err;

	if (nr >= ARRAY_SIZE(ioctl_rows))
		return -ENOTTY;
	row = &ioctl_rows[array_index_nospec(nr, ARRAY_SIZE(ioctl_rows))];
	if (row->cmd != cmd)
		return -ENOTTY;
	if (get_user(size, (u32 __user *)uarg))
		return -EFAULT;
	if (size < row->size_min)
		return -EINVAL;
	/* As elsewhere in the kernel: bounds the search for a non-zero byte. */
	if (size > PAGE_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(&buffer, row->size, uarg, size);
	if (err)
		return err;
	/* Handlers go by the size that was checked, whatever is there now. */
	buffer.size = size;
	return row->handler(&buffer, uarg);
}
