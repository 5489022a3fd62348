/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACT_ZAP_H
#define TRACT_ZAP_H

#include "range.h"
#include "reservation.h"

/*
 * Bytes zapped under one hold of the lock.  An operation of up to this size is
 * refused or carried out whole; a fork may come between the pieces of a larger
 * one, which then ends with -EBUSY after a part of it.
 */
#define TRACT_ZAP_PIECE SZ_32M

int tract_zap_look_locked(struct tract_reservation *res);
void tract_zap_drop_locked(struct tract_reservation *res, u64 offset,
			   u64 length);
int tract_zap_range(struct tract_reservation *res,
		    const struct tract_range *range, u64 *done);

int tract_zap_try_begin(struct tract_reservation *res);
void tract_zap_purge(struct tract_reservation *res, u64 offset, u64 length);
void tract_zap_end(struct tract_reservation *res);

#endif /* TRACT_ZAP_H */
