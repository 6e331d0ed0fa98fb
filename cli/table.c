#include "cli/table.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

enum { TABLE_GAP = 3, TABLE_TEXT_MAX = 64 << 20, TABLE_CELL_MAX = 64 << 10 };

static size_t table_width(const char *text)
{
	size_t n = 0;

	/* Bytes 10xxxxxx go on with a character of UTF-8. */
	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

static char *table_cell(const char *text)
{
	char *cell = mem_strdup(text ? text : "");

	str_make_printable(cell, TABLE_CELL_MAX);
	return cell;
}

void table_init(struct table *t, const char *const *headings)
{
	*t = (struct table){0};
	while (headings[t->n_columns])
		t->n_columns++;
	table_add(t, headings);
}

void table_deinit(struct table *t)
{
	size_t i;

	for (i = 0; i < t->n_rows * t->n_columns; i++)
		free(t->cells[i]);
	free(t->cells);
	*t = (struct table){0};
}

void table_add(struct table *t, const char *const *cells)
{
	char **row;
	size_t i;

	t->cells = mem_resize(t->cells, (t->n_rows + 1) * t->n_columns, sizeof(*t->cells));
	row = t->cells + t->n_rows++ * t->n_columns;
	for (i = 0; i < t->n_columns; i++) {
		bool empty = !cells[i] || !*cells[i];

		row[i] = table_cell(empty && i + 1 < t->n_columns ? "-" : cells[i]);
	}
}

static void table_widths(const struct table *t, size_t widths[TABLE_COLUMNS_MAX])
{
	size_t i, column, width;

	memset(widths, 0, TABLE_COLUMNS_MAX * sizeof(*widths));
	for (i = 0; i < t->n_rows * t->n_columns; i++) {
		column = i % t->n_columns;
		width = table_width(t->cells[i]);
		widths[column] = width > widths[column] ? width : widths[column];
	}
}

char *table_text(const struct table *t)
{
	struct buf out = BUF_INIT(TABLE_TEXT_MAX);
	size_t widths[TABLE_COLUMNS_MAX];
	size_t i, column, pad = 0;

	table_widths(t, widths);
	for (i = 0; i < t->n_rows * t->n_columns; i++) {
		column = i % t->n_columns;
		/* Blanks are written before what follows them, so that no line ends in one: only a
		 * last cell is ever empty. */
		if (*t->cells[i])
			buf_addf(&out, "%*s%s", (int)pad, "", t->cells[i]);
		pad = widths[column] + TABLE_GAP - table_width(t->cells[i]);
		if (column + 1 == t->n_columns) {
			buf_add_str(&out, "\n");
			pad = 0;
		}
	}
	return buf_steal(&out);
}
