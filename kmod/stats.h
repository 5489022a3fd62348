/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACT_STATS_H
#define TRACT_STATS_H

#include <linux/compiler.h>

int tract_stats_get(void *arg, void __user *uarg);

#endif /* TRACT_STATS_H */
