/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aligned tables for eyes, over libsmartcols. Names and widths adapt to the
 * terminal; piped output is never cut.
 */
#ifndef LARDER_TOOL_TABLE_H
#define LARDER_TOOL_TABLE_H

#include <stdbool.h>
#include <stdint.h>

struct table;

struct table_column {
	const char *name; /* NULL ends the list */
	bool right;	  /* numbers */
	bool cut;	  /* may be cut short on a narrow terminal */
};

struct table *table_new(const struct table_column *columns);
void table_row(struct table *t);
/* The next cell of the row; the text is copied. */
void table_text(struct table *t, const char *text);
void table_size(struct table *t, uint64_t bytes);
void table_count(struct table *t, uint64_t n);
void table_duration(struct table *t, uint64_t ms);
void table_percent(struct table *t, double part, double whole);
/* Print and free. */
void table_end(struct table *t);

/* Two columns, no headings: properties and their values. */
struct table *table_properties(void);
void table_property(struct table *t, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
