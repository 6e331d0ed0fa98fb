#pragma once

/*
 * Where in a YAML text a value stands. Pure; reads the text once more, which is only done for what
 * is to be told.
 */

#include <stdbool.h>
#include <stddef.h>

struct manifest_place {
	size_t line, column; /* of the value, from 1 */
	bool is_literal;     /* a block scalar with | */
	bool found;          /* false: the place is that of the innermost parent that is there */
};

/* The value at `path` ("spec.mode", "items.0.spec") of the document numbered `document` from 0;
 * empty documents do not count. Keys that hold dots cannot be named. */
void manifest_place_find(const char *text, size_t n, size_t document, const char *path,
			 struct manifest_place *ret);
