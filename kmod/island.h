/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TRACT_ISLAND_H
#define TRACT_ISLAND_H

unsigned long tract_island_find(u64 near, u64 reach, unsigned long length,
				unsigned long align);

#endif /* TRACT_ISLAND_H */
