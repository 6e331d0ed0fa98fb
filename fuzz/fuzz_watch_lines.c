/* A watch stream: cut anywhere, it has to give the same events. The first byte says where. */

#include "kube/watch_lines.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct count {
	size_t n_events;
	size_t n_bytes;
};

static int on_event(void *data, enum watch_event_kind kind, struct json_object *obj,
		    struct err *err)
{
	struct count *count = data;

	(void)kind;
	(void)err;
	count->n_events++;
	count->n_bytes += strlen(js_str_or_empty(obj, "metadata.name"));
	return 0;
}

static int feed(const char *bytes, size_t n, size_t step, struct count *count)
{
	struct watch_lines lines = WATCH_LINES_INIT;
	struct err err;
	int r = 0;

	while (n > 0 && r == 0) {
		size_t part = n < step ? n : step;

		r = watch_lines_feed(&lines, bytes, part, on_event, count, &err);
		bytes += part;
		n -= part;
	}
	watch_lines_clear(&lines);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct count whole = {0}, cut = {0};
	int r;

	if (n == 0)
		return 0;
	r = feed((const char *)data + 1, n - 1, n, &whole);
	if (feed((const char *)data + 1, n - 1, (size_t)data[0] + 1, &cut) != r ||
	    cut.n_events != whole.n_events || cut.n_bytes != whole.n_bytes)
		abort();
	return 0;
}
