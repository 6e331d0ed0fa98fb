#include "kube/watch.h"

#include "base/mem.h"
#include "kube/query.h"
#include "kube/random.h"
#include "kube/retry.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * The happy path:
 *
 *  - kube_watch_start() opens the stream; the server is asked to end it after 5 to 10 minutes.
 *  - Bytes come, are cut into lines, and on_event gets each event.
 *  - The server ends the stream; on_end gets KUBE_OK.
 *
 * What else can happen:
 *
 *  - The server refuses, cannot be reached, or falls silent: on_end gets what the stream's end
 * says.
 *  - An ERROR event, or a line that is no event: we end the stream, and on_end gets that.
 *  - The caller cancels: the stream is cancelled and the watch freed, inside on_event as soon as
 * that has returned.
 */

enum {
	WATCH_MIN_S = 300,
	WATCH_SPREAD_S = 301,
	/* Beyond the server's own limit: it is gone and we were not told. */
	WATCH_GRACE_S = 30,
	/* The server sends a bookmark every minute, also where nothing happens. */
	WATCH_SILENT_MS = 150000,
};

struct kube_watch {
	struct kube_request *stream;
	struct watch_lines lines;
	void (*on_event)(void *data, enum watch_event_kind kind, struct json_object *obj);
	kube_done_fn on_end;
	void *data;
	bool in_event;
	bool cancelled;
	/* Why we end the stream. */
	bool has_verdict;
	struct kube_result verdict;
	struct err err;
};

static void watch_free(struct kube_watch *watch)
{
	watch_lines_clear(&watch->lines);
	json_object_put(watch->verdict.obj);
	free(watch);
}

static int watch_take_error(struct kube_watch *watch, struct json_object *status, struct err *err)
{
	int64_t code = js_i64(status, "code", 500);

	watch->has_verdict = true;
	watch->verdict.http_status = code >= 400 && code < 600 ? (int)code : 500;
	watch->verdict.outcome = kube_outcome_of(watch->verdict.http_status, status);
	watch->verdict.obj = json_object_get(status);
	watch->verdict.retry_after_ms = -1;
	return err_set(err, -EPROTO, "%.400s", js_str_or_empty(status, "message"));
}

static int watch_on_line(void *data, enum watch_event_kind kind, struct json_object *obj,
			 struct err *err)
{
	struct kube_watch *watch = data;

	if (kind == WATCH_ERROR)
		return watch_take_error(watch, obj, err);
	watch->on_event(watch->data, kind, obj);
	return watch->cancelled ? err_set(err, -ECANCELED, "cancelled") : 0;
}

static bool watch_on_bytes(void *data, const char *bytes, size_t n)
{
	struct kube_watch *watch = data;
	int r;

	watch->in_event = true;
	r = watch_lines_feed(&watch->lines, bytes, n, watch_on_line, watch, &watch->err);
	watch->in_event = false;
	if (watch->cancelled) {
		watch_free(watch);
		return false;
	}
	if (r == 0)
		return true;
	if (!watch->has_verdict) {
		watch->has_verdict = true;
		watch->verdict.outcome = r == -EFBIG ? KUBE_TOO_LONG : KUBE_BAD_ANSWER;
		watch->verdict.retry_after_ms = -1;
	}
	watch->verdict.why = watch->err.msg;
	return false;
}

static void watch_on_done(void *data, const struct kube_result *res)
{
	struct kube_watch *watch = data;

	watch->on_end(watch->data, watch->has_verdict ? &watch->verdict : res);
	watch_free(watch);
}

static void watch_query(struct buf *query, const struct kube_watch_spec *spec, unsigned int seconds)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", seconds);
	kube_query_add(query, "watch", "true");
	kube_query_add(query, "allowWatchBookmarks", "true");
	kube_query_add(query, "resourceVersion", spec->resource_version);
	kube_query_add(query, "timeoutSeconds", text);
	kube_query_add(query, "labelSelector", spec->label_selector);
	kube_query_add(query, "fieldSelector", spec->field_selector);
}

struct kube_watch *kube_watch_start(struct kube_client *client, const struct kube_watch_spec *spec)
{
	const unsigned int seconds = WATCH_MIN_S + (unsigned int)(kube_random() % WATCH_SPREAD_S);
	struct kube_watch *watch = MEM_NEW(struct kube_watch);
	struct buf query = BUF_INIT(SIZE_MAX);
	struct kube_stream_spec stream = {
	    .path = spec->path,
	    .accept = spec->accept,
	    .timeout_ms = (uint64_t)(seconds + WATCH_GRACE_S) * 1000,
	    .idle_timeout_ms = WATCH_SILENT_MS,
	    .on_data = watch_on_bytes,
	};

	watch->lines = (struct watch_lines)WATCH_LINES_INIT;
	watch->on_event = spec->on_event;
	watch->on_end = spec->on_end;
	watch->data = spec->data;
	watch_query(&query, spec, seconds);
	stream.query = buf_text(&query);
	watch->stream = kube_stream_start(client, &stream, watch_on_done, watch);
	buf_clear(&query);
	return watch;
}

void kube_watch_cancel(struct kube_watch *watch)
{
	kube_request_cancel(watch->stream);
	watch->cancelled = true;
	if (!watch->in_event)
		watch_free(watch);
}
