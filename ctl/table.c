// SPDX-License-Identifier: MIT
/* Rows of named values, as tables and as JSON, by libsmartcols. */
#include "table.h"

#include <errno.h>
#include <libsmartcols/libsmartcols.h>
#include <stdio.h>

static void format_size(char *text, __u64 bytes)
{
	static const char *const units[] = { "B",   "KiB", "MiB", "GiB",
					     "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit < sizeof(units) / sizeof(units[0]) - 1) {
		value /= 1024;
		unit++;
	}
	snprintf(text, FIELD_TEXT_MAX, unit ? "%.1f %s" : "%.0f %s", value,
		 units[unit]);
}

static void format_field(const struct output *out, const struct field *field,
			 char *text)
{
	unsigned long long number = field->number;

	if (field->absent)
		text[0] = '\0';
	else if (field->kind == FIELD_TEXT)
		snprintf(text, FIELD_TEXT_MAX, "%s", field->text);
	else if (field->kind == FIELD_SIZE && !out->json && !out->bytes)
		format_size(text, number);
	else if (field->kind == FIELD_PERCENT && !out->json)
		snprintf(text, FIELD_TEXT_MAX, "%llu %%", number);
	else
		snprintf(text, FIELD_TEXT_MAX, "%llu", number);
}

static struct libscols_table *new_table(const struct output *out,
					const char *name)
{
	struct libscols_table *table = scols_new_table();

	if (!table)
		return NULL;
	if (scols_table_set_name(table, name) ||
	    scols_table_enable_json(table, out->json)) {
		scols_unref_table(table);
		return NULL;
	}
	return table;
}

static int add_column(struct libscols_table *table, const struct field *field)
{
	struct libscols_column *column;
	int flags = SCOLS_FL_RIGHT;
	int json = SCOLS_JSON_NUMBER;

	if (field->kind == FIELD_TEXT) {
		flags = 0;
		json = SCOLS_JSON_STRING;
	}
	if (field->width)
		flags |= SCOLS_FL_STRICTWIDTH;
	column = scols_table_new_column(table, field->key, field->width, flags);
	if (!column)
		return -ENOMEM;
	return scols_column_set_json_type(column, json);
}

struct libscols_table *table_new(const struct output *out, const char *name,
				 const struct field *fields, size_t count)
{
	struct libscols_table *table = new_table(out, name);

	for (size_t i = 0; table && i < count; i++) {
		if (add_column(table, &fields[i])) {
			scols_unref_table(table);
			return NULL;
		}
	}
	return table;
}

int table_add(const struct output *out, struct libscols_table *table,
	      const struct field *fields, size_t count)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	char text[FIELD_TEXT_MAX];
	int err = line ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < count; i++) {
		format_field(out, &fields[i], text);
		err = scols_line_set_data(line, i, text);
	}
	return err;
}

void table_free(struct libscols_table *table)
{
	scols_unref_table(table);
}

int table_print(struct libscols_table *table)
{
	int err = scols_print_table(table);

	scols_unref_table(table);
	return err;
}

int table_print_sample(const struct output *out, const char *name,
		       const struct field *fields, size_t count, bool heading)
{
	struct libscols_table *table = table_new(out, name, fields, count);
	int err;

	if (!table)
		return -ENOMEM;
	err = scols_table_enable_noheadings(table, !heading);
	if (!err)
		err = table_add(out, table, fields, count);
	if (err) {
		scols_unref_table(table);
		return err;
	}
	return table_print(table);
}

static int add_labelled(struct libscols_table *table, const char *label,
			const char *text)
{
	struct libscols_line *line = scols_table_new_line(table, NULL);
	int err = line ? scols_line_set_data(line, 0, label) : -ENOMEM;

	return err ? err : scols_line_set_data(line, 1, text);
}

int table_print_object(const struct output *out, const char *name,
		       const struct field *fields, size_t count)
{
	struct libscols_table *table;
	char text[FIELD_TEXT_MAX];
	int err = 0;

	if (out->json)
		return table_print_sample(out, name, fields, count, true);

	table = new_table(out, name);
	if (!table)
		return -ENOMEM;
	if (scols_table_enable_noheadings(table, 1) ||
	    !scols_table_new_column(table, "NAME", 0, 0) ||
	    !scols_table_new_column(table, "VALUE", 0, 0))
		err = -ENOMEM;
	for (size_t i = 0; !err && i < count; i++) {
		format_field(out, &fields[i], text);
		err = add_labelled(table, fields[i].label, text);
	}
	if (err) {
		scols_unref_table(table);
		return err;
	}
	return table_print(table);
}
