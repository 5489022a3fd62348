/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACT_BATCH_H
#define TRACT_BATCH_H

#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/tract.h>

#include "compat.h"
#include "trap.h"

#define TRACT_BATCH_OPS                                                       \
	(BIT_ULL(TRACT_OP_DECOMMIT) | BIT_ULL(TRACT_OP_POPULATE) |            \
	 BIT_ULL(TRACT_OP_DISCARD) |                                          \
	 (TRACT_COMPAT_TRAP ? TRACT_TRAP_OPS : 0))

int tract_batch_run(void *arg, void __user *uarg);

#endif /* TRACT_BATCH_H */
