/* SPDX-License-Identifier: MIT */
/* The ioctls of /dev/tract, one function each. */
#ifndef TRACTCTL_DEVICE_H
#define TRACTCTL_DEVICE_H

#include <linux/tract.h>

#define DEVICE_PATH "/dev/tract"

/* For device_next(): the reservations of every process the caller may see. */
#define PID_ANY (-1)

/* All return 0 (device_open: the descriptor) or -errno. */
int device_open(void);
int device_info(int fd, struct tract_info *info);
int device_system(int fd, struct tract_stats *stats);
int device_process(int fd, int pid, struct tract_stats *stats);

/*
 * The reservation with the smallest id above @id of process @pid or PID_ANY;
 * -ENOENT after the last.
 */
int device_next(int fd, int pid, __u64 id, struct tract_stats *stats);

#endif /* TRACTCTL_DEVICE_H */
