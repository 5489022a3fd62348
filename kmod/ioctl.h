/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACT_IOCTL_H
#define TRACT_IOCTL_H

struct file;

long tract_ioctl(struct file *file, unsigned int cmd, unsigned long arg);

#endif /* TRACT_IOCTL_H */
