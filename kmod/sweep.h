/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACT_SWEEP_H
#define TRACT_SWEEP_H

#include <linux/types.h>

/* When to do what with a map, in jiffies; under its mutex. */
struct tract_sweep_plan {
	unsigned long period; /* from sweep to sweep; 0 for never */
	unsigned long next_sweep;
	unsigned long next_visit; /* read without the mutex */
	bool urgent; /* likewise: units wait to be purged */
	unsigned int blocked; /* tries since the last step */
};

void tract_sweep_plan(struct tract_sweep_plan *plan, u32 decay_ms);
void tract_sweep_start(void);

int tract_sweep_init(void);
void tract_sweep_exit(void);

#endif /* TRACT_SWEEP_H */
