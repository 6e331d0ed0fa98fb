#pragma once

/*
 * The bytes of a watch stream, cut into events. Pure.
 *
 * A watch answers with one JSON object a line: {"type": "ADDED", "object": {...}}. Source:
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
 */

#include "base/buf.h"
#include "base/err.h"
#include "base/js.h"

#include <stddef.h>

enum { WATCH_LINE_MAX = 8 << 20 };

enum watch_event_kind {
	WATCH_ADDED,
	WATCH_MODIFIED,
	WATCH_DELETED,
	WATCH_BOOKMARK, /* the object has a resourceVersion and annotations only */
	WATCH_ERROR,    /* the object is a metav1.Status */
};

struct watch_lines {
	struct buf rest; /* the beginning of a line whose end has not come */
};

#define WATCH_LINES_INIT                         \
	{                                        \
		.rest = BUF_INIT(WATCH_LINE_MAX) \
	}

/* One event; `obj` is kept with json_object_get(). A negative errno, with `err` filled in, stops.
 */
typedef int (*watch_event_fn)(void *data, enum watch_event_kind kind, struct json_object *obj,
			      struct err *err);

/* Take the bytes that came, and call `fn` for each line that is whole. Errors: -EFBIG for a line
 * over WATCH_LINE_MAX, -EINVAL for one that is no event, and what `fn` returned; the stream is then
 * of no more use. */
int watch_lines_feed(struct watch_lines *lines, const char *bytes, size_t n, watch_event_fn fn,
		     void *data, struct err *err);

void watch_lines_clear(struct watch_lines *lines);
