// SPDX-License-Identifier: MIT
/* The ioctls of /dev/tract, one function each. */
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

int device_open(void)
{
	int fd = open(DEVICE_PATH, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int device_info(int fd, struct tract_info *info)
{
	memset(info, 0, sizeof(*info));
	info->size = sizeof(*info);
	return ioctl(fd, TRACT_IOC_INFO, info) ? -errno : 0;
}

static int stats_ioctl(int fd, __u32 scope, __u32 flags, int pid, __u64 id,
		       struct tract_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	stats->size = sizeof(*stats);
	stats->scope = scope;
	stats->flags = flags;
	stats->pid = pid;
	stats->id = id;
	return ioctl(fd, TRACT_IOC_STATS, stats) ? -errno : 0;
}

int device_system(int fd, struct tract_stats *stats)
{
	return stats_ioctl(fd, TRACT_SCOPE_SYSTEM, 0, 0, 0, stats);
}

int device_process(int fd, int pid, struct tract_stats *stats)
{
	return stats_ioctl(fd, TRACT_SCOPE_PROCESS, 0, pid, 0, stats);
}

int device_next(int fd, int pid, __u64 id, struct tract_stats *stats)
{
	return stats_ioctl(fd, TRACT_SCOPE_RESERVATION, TRACT_STATS_NEXT, pid,
			   id, stats);
}
