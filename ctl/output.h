/* SPDX-License-Identifier: MIT */
/* What tractctl has to say: about the module, a process, a failure. */
#ifndef TRACTCTL_OUTPUT_H
#define TRACTCTL_OUTPUT_H

#include "table.h"

#include <linux/tract.h>

/* These return 0 or -errno. @pid 0: the whole system. */
int output_info(const struct output *out, const struct tract_info *info);
int output_stats(const struct output *out, int pid,
		 const struct tract_stats *stats);

/* One line a sample, under one heading; with JSON one document a sample. */
int output_sample(const struct output *out, int pid,
		  const struct tract_stats *stats, bool first);

/* A table of one line a reservation: new, add each, table_print(). */
struct libscols_table *output_list_new(const struct output *out);
int output_list_add(const struct output *out, struct libscols_table *table,
		    const struct tract_stats *stats);

/*
 * A line on stderr when less than a tenth of the map limit is left; true if so.
 */
bool output_headroom_warning(int pid, const struct tract_stats *stats);

/* The error in words, and what to do next. @pid 0: no process was named. */
void output_error(const char *what, int err, int pid);

#endif /* TRACTCTL_OUTPUT_H */
