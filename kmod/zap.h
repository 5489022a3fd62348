/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACT_ZAP_H
#define TRACT_ZAP_H

#include "range.h"
#include "reservation.h"

int tract_zap_range(struct tract_reservation *res,
		    const struct tract_range *range, u64 *done);

#endif /* TRACT_ZAP_H */
