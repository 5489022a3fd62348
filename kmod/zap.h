/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACT_ZAP_H
#define TRACT_ZAP_H

#include "range.h"
#include "reservation.h"

int tract_zap_range(struct tract_reservation *res,
		    const struct tract_range *range, u64 *done);

int tract_zap_try_begin(struct tract_reservation *res);
void tract_zap_purge(struct tract_reservation *res, u64 offset, u64 length);
void tract_zap_end(struct tract_reservation *res);

#endif /* TRACT_ZAP_H */
