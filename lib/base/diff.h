#pragma once

/*
 * What makes one text of another, line by line, as `diff -u` prints it.
 *
 * The shortest change is looked for (Myers, "An O(ND) Difference Algorithm", 1986) as long as it
 * takes no more than DIFF_EDITS_MAX lines out and in; what differs more is shown as one block that
 * goes and one that comes, which is as true and less short.
 */

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

enum { DIFF_EDITS_MAX = 1000, DIFF_CONTEXT = 3 };

struct diff_text {
	const char *name; /* behind "---" and "+++" */
	const char *bytes;
	size_t n;
};

/* Append the difference to `out`, nothing for equal texts. False where it is longer than `out` may
 * be, which then holds the beginning. */
bool diff_unified(const struct diff_text *from, const struct diff_text *to, struct buf *out);
