/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACT_POPULATE_H
#define TRACT_POPULATE_H

#include "range.h"
#include "reservation.h"

int tract_populate_range(struct tract_reservation *res,
			 const struct tract_range *range, u64 *done);
int tract_populate_anchor(struct tract_reservation *res);
void tract_populate_undo(struct tract_reservation *res);

#endif /* TRACT_POPULATE_H */
