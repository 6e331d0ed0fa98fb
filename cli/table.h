#pragma once

/*
 * Columns as kubectl prints them: headings in capitals, three blanks between columns. Pure.
 */

#include <stddef.h>

enum { TABLE_COLUMNS_MAX = 12 };

struct table {
	size_t n_columns, n_rows;
	char **cells; /* n_rows times n_columns, the headings first */
};

/* `headings` ends with NULL. */
void table_init(struct table *t, const char *const *headings);
void table_deinit(struct table *t);

/* One more row of as many cells as there are columns, copied. NULL and "" show as "-", in the last
 * column as nothing. Control characters become '?'. */
void table_add(struct table *t, const char *const *cells);

/* All of it; the caller frees it. A character counts as one column wide. */
char *table_text(const struct table *t);
