/* SPDX-License-Identifier: MIT */
/* Rows of named values, as tables and as JSON, by libsmartcols. */
#ifndef TRACTCTL_TABLE_H
#define TRACTCTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/types.h>

struct output {
	bool json;  /* sizes are then in bytes */
	bool bytes; /* sizes in bytes in tables too */
};

enum field_kind {
	FIELD_TEXT,
	FIELD_COUNT,
	FIELD_SIZE,
	FIELD_PERCENT,
};

#define FIELD_TEXT_MAX 128

struct field {
	enum field_kind kind;
	const char *key;    /* heading of a column; in JSON in small letters */
	const char *label;  /* in a list of fields, one a line */
	unsigned int width; /* at least, for tables printed row by row */
	bool absent;	    /* not known: an empty cell, null in JSON */
	__u64 number;
	char text[FIELD_TEXT_MAX];
};

struct libscols_table;

/* These return 0 or -errno. */

/* One object: lines of "label  value". @name is what JSON calls it. */
int table_print_object(const struct output *out, const char *name,
		       const struct field *fields, size_t count);

/* One row at once, the heading only when @heading: for samples over time. */
int table_print_sample(const struct output *out, const char *name,
		       const struct field *fields, size_t count, bool heading);

/* Rows that are printed together; the fields of the first make the columns. */
struct libscols_table *table_new(const struct output *out, const char *name,
				 const struct field *fields, size_t count);
int table_add(const struct output *out, struct libscols_table *table,
	      const struct field *fields, size_t count);
/* Frees the table as well. */
int table_print(struct libscols_table *table);
void table_free(struct libscols_table *table);

#endif /* TRACTCTL_TABLE_H */
