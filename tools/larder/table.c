/* SPDX-License-Identifier: Apache-2.0 */
/* Tables for eyes over libsmartcols, cells in the order of the columns:
 * table.h. */
#include "table.h"

#include <libsmartcols.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli.h"
#include "format.h"

struct table {
	struct libscols_table *scols;
	struct libscols_line *line;
	size_t column;
};

static struct table *begin(const struct table_column *columns, bool headings)
{
	struct table *t = cli_alloc(sizeof *t);

	scols_init_debug(0);
	t->scols = scols_new_table();
	if (!t->scols) {
		cli_error("no memory");
		exit(CLI_FAILED);
	}
	scols_table_enable_noheadings(t->scols, !headings);
	scols_table_enable_noencoding(t->scols, 1);
	if (!isatty(STDOUT_FILENO))
		scols_table_set_termforce(t->scols, SCOLS_TERMFORCE_NEVER);
	for (; columns->name; columns++)
		scols_table_new_column(
			t->scols, columns->name, 0,
			(columns->right ? SCOLS_FL_RIGHT : 0) |
				(columns->cut ? SCOLS_FL_TRUNC : 0));
	return t;
}

struct table *table_new(const struct table_column *columns)
{
	return begin(columns, true);
}

void table_row(struct table *t)
{
	t->line = scols_table_new_line(t->scols, NULL);
	if (!t->line) {
		cli_error("no memory");
		exit(CLI_FAILED);
	}
	t->column = 0;
}

void table_text(struct table *t, const char *text)
{
	scols_line_set_data(t->line, t->column++, text);
}

void table_size(struct table *t, uint64_t bytes)
{
	char text[TEXT_BYTES];

	table_text(t, format_size(text, bytes, cli.bytes));
}

void table_count(struct table *t, uint64_t n)
{
	char text[TEXT_BYTES];

	table_text(t, format_count(text, n, cli.bytes));
}

void table_duration(struct table *t, uint64_t ms)
{
	char text[TEXT_BYTES];

	table_text(t, ms == UINT64_MAX ? "-" : format_duration(text, ms));
}

void table_percent(struct table *t, double part, double whole)
{
	char text[TEXT_BYTES];

	snprintf(text, sizeof text, "%.1f%%", 100 * part / whole);
	table_text(t, whole > 0 ? text : "-");
}

void table_end(struct table *t)
{
	scols_print_table(t->scols);
	scols_unref_table(t->scols);
	free(t);
}

struct table *table_properties(void)
{
	static const struct table_column columns[] = {
		{"PROPERTY", false, false},
		{"VALUE", false, false},
		{0},
	};

	return begin(columns, false);
}

void table_property(struct table *t, const char *name, const char *format, ...)
{
	va_list arguments;
	char *text;
	int n;

	/* However long: a key of 1024 bytes may be four times as many. */
	va_start(arguments, format);
	n = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (n < 0) {
		cli_error("no memory");
		exit(CLI_FAILED);
	}
	table_row(t);
	table_text(t, name);
	table_text(t, text);
	free(text);
}
