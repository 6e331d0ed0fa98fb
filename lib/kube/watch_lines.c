#include "kube/watch_lines.h"

#include "base/mem.h"
#include "base/str.h"

#include <string.h>

/* A buffer that one large event made grow is not kept for the small ones that follow. */
enum { WATCH_KEEP_MAX = 64 * 1024 };

static const char *const watch_words[] = {
    [WATCH_ADDED] = "ADDED",       [WATCH_MODIFIED] = "MODIFIED", [WATCH_DELETED] = "DELETED",
    [WATCH_BOOKMARK] = "BOOKMARK", [WATCH_ERROR] = "ERROR",
};

static bool watch_kind_parse(const char *word, enum watch_event_kind *ret)
{
	int i;

	for (i = WATCH_ADDED; i <= WATCH_ERROR; i++) {
		if (str_equal(word, watch_words[i])) {
			*ret = (enum watch_event_kind)i;
			return true;
		}
	}
	return false;
}

static int watch_line(const char *line, size_t n, watch_event_fn fn, void *data, struct err *err)
{
	CLEANUP(js_putp) struct json_object *event = NULL;
	enum watch_event_kind kind;
	struct json_object *obj;

	if (n == 0 || (n == 1 && line[0] == '\r'))
		return 0;
	if (js_parse(line, n, &event, err))
		return err_wrap(err, "a watch event");
	if (!watch_kind_parse(js_str(event, "type"), &kind))
		return err_set(err, -EINVAL, "a watch event is of the unknown type \"%.40s\"",
			       js_str_or_empty(event, "type"));
	obj = js_object(event, "object");
	if (!obj)
		return err_set(err, -EINVAL, "a watch event of type %s holds no object",
			       watch_words[kind]);
	return fn(data, kind, obj, err);
}

/* The end of a line whose beginning is in `rest`. */
static int watch_line_end(struct watch_lines *lines, const char *bytes, size_t n, watch_event_fn fn,
			  void *data, struct err *err)
{
	struct buf line;
	int r;

	if (!buf_add(&lines->rest, bytes, n))
		return err_set(err, -EFBIG, "a watch event is longer than %d bytes",
			       WATCH_LINE_MAX);
	line = lines->rest;
	lines->rest = (struct buf)BUF_INIT(WATCH_LINE_MAX);
	r = watch_line(line.data, line.len, fn, data, err);
	if (r == 0 && line.cap <= WATCH_KEEP_MAX) {
		line.len = 0;
		lines->rest = line;
	} else {
		buf_clear(&line);
	}
	return r;
}

int watch_lines_feed(struct watch_lines *lines, const char *bytes, size_t n, watch_event_fn fn,
		     void *data, struct err *err)
{
	while (n > 0) {
		const char *end = memchr(bytes, '\n', n);
		size_t len = end ? (size_t)(end - bytes) : n;
		int r;

		if (!end)
			r = buf_add(&lines->rest, bytes, len)
				? 0
				: err_set(err, -EFBIG, "a watch event is longer than %d bytes",
					  WATCH_LINE_MAX);
		else if (lines->rest.len > 0)
			r = watch_line_end(lines, bytes, len, fn, data, err);
		else if (len > WATCH_LINE_MAX)
			r = err_set(err, -EFBIG, "a watch event is longer than %d bytes",
				    WATCH_LINE_MAX);
		else
			r = watch_line(bytes, len, fn, data, err);
		if (r)
			return r;
		bytes += len + (end != NULL);
		n -= len + (end != NULL);
	}
	return 0;
}

void watch_lines_clear(struct watch_lines *lines)
{
	buf_clear(&lines->rest);
}
