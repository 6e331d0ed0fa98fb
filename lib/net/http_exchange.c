#include "net/http_server_priv.h"

#include "base/container_of.h"
#include "base/js.h"
#include "base/mem.h"
#include "base/str.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/*
 * One request, as libmicrohttpd brings it:
 *
 *  - http_exchange_on_line(): the request line has come; the deadline for the headers runs.
 *  - http_exchange_on_request(), first call: the headers are complete.
 *  - again for each piece of the body, which is collected, and once more at the end of it: the
 * handler is called. It answers with http_reply() there and then, or the connection is suspended.
 *  - http_reply() gives libmicrohttpd the answer and lets it go on.
 *  - http_exchange_on_completed(): the answer is written, or the connection broke.
 *
 * What else can happen:
 *
 *  - A body that nobody wants, by what the headers say: it is read past, and the handler is called
 *    without it.
 *  - A body that is too long, or for which there is no room beside all others: it is read past, up
 * to a ceiling, and then refused, because a peer that is still sending when the connection is
 * closed may never see the answer. What is announced as longer than the ceiling is refused at once.
 *  - The server is closing: 503, and the connection is closed.
 */

enum { HTTP_MAX_READ_PAST = 1024 * 1024, HTTP_NO_ROOM = 503 };

static struct http_conn *http_exchange_conn(const struct http_exchange *ex)
{
	return container_of(ex, struct http_conn, ex);
}

void *http_exchange_on_line(void *data, const char *uri, struct MHD_Connection *mhd)
{
	struct http_conn *conn = http_conn_of(mhd);

	(void)data;
	(void)uri;
	if (conn->phase == HTTP_PHASE_IDLE)
		http_conn_enter(conn, HTTP_PHASE_HEADERS);
	return NULL;
}

/* Lengths that two readers may understand differently (RFC 9112, 6.3). libmicrohttpd takes them. */
static enum MHD_Result http_exchange_count_lengths(void *data, enum MHD_ValueKind kind,
						   const char *name, const char *value)
{
	int *n_lengths = data;

	(void)kind;
	(void)value;
	if (strcasecmp(name, "Content-Length") == 0 || strcasecmp(name, "Transfer-Encoding") == 0)
		++*n_lengths;
	return MHD_YES;
}

/* What to refuse the request with for its headers, or 0. */
static int http_exchange_judge(struct http_exchange *ex, int64_t *ret_length)
{
	const struct http_conn *conn = http_exchange_conn(ex);
	const char *text = http_exchange_header(ex, "Content-Length");
	int n_lengths = 0;

	*ret_length = 0;
	MHD_get_connection_values(conn->mhd, MHD_HEADER_KIND, http_exchange_count_lengths,
				  &n_lengths);
	if (n_lengths > 1 || (text && !str_to_i64(text, 0, INT64_MAX, ret_length)))
		return 400;
	return (uint64_t)*ret_length > conn->server->spec.max_body ? 413 : 0;
}

static enum MHD_Result http_exchange_refuse(struct http_exchange *ex)
{
	if (ex->refused == 413)
		http_reply_message(ex, 413, "the body is longer than %zu bytes",
				   http_exchange_conn(ex)->server->spec.max_body);
	else if (ex->refused == HTTP_NO_ROOM)
		http_reply_message(ex, HTTP_NO_ROOM,
				   "too many requests are under way: try again in a moment");
	else
		http_reply_message(ex, ex->refused, "the length of the body is not clear");
	return MHD_YES;
}

static enum MHD_Result http_exchange_begin(struct http_conn *conn, const char *url,
					   const char *method)
{
	const struct http_server_spec *spec = &conn->server->spec;
	struct http_exchange *ex = &conn->ex;
	int64_t length;

	*ex =
	    (struct http_exchange){.method = method, .path = url, .body = BUF_INIT(spec->max_body)};
	http_conn_enter(conn, HTTP_PHASE_BODY);
	ex->refused = http_exchange_judge(ex, &length);
	if (ex->refused && (ex->refused != 413 || length > HTTP_MAX_READ_PAST ||
			    http_exchange_header(ex, "Expect")))
		return http_exchange_refuse(ex);
	ex->is_bare = !ex->refused && spec->wants_body && !spec->wants_body(ex, spec->data);
	return MHD_YES;
}

void http_exchange_drop_body(struct http_conn *conn)
{
	conn->server->n_bytes -= conn->ex.body.cap;
	conn->ip->n_bytes -= conn->ex.body.cap;
	buf_clear(&conn->ex.body);
}

static bool http_exchange_has_room(const struct http_conn *conn, size_t n)
{
	size_t max = conn->server->spec.max_bodies, taken = conn->server->n_bytes;

	return max == 0 || (taken < max && conn->ip->n_bytes + n <= max - taken);
}

static void http_exchange_keep(struct http_conn *conn, const char *bytes, size_t n)
{
	struct http_exchange *ex = &conn->ex;
	size_t before = ex->body.cap;

	if (!http_exchange_has_room(conn, n))
		ex->refused = HTTP_NO_ROOM;
	else if (!buf_add(&ex->body, bytes, n))
		ex->refused = 413;
	conn->server->n_bytes += ex->body.cap - before;
	conn->ip->n_bytes += ex->body.cap - before;
	if (ex->refused)
		ex->n_past = ex->body.len;
	if (ex->refused)
		http_exchange_drop_body(conn);
}

static enum MHD_Result http_exchange_add_body(struct http_conn *conn, const char *bytes, size_t n)
{
	size_t max_body = conn->server->spec.max_body;
	struct http_exchange *ex = &conn->ex;

	if (!ex->refused && !ex->is_bare)
		http_exchange_keep(conn, bytes, n);
	if (!ex->refused && !ex->is_bare)
		return MHD_YES;
	ex->n_past += n;
	return ex->n_past > (max_body > HTTP_MAX_READ_PAST ? max_body : HTTP_MAX_READ_PAST)
		   ? MHD_NO
		   : MHD_YES;
}

static enum MHD_Result http_exchange_handle(struct http_conn *conn)
{
	struct http_server *server = conn->server;

	if (conn->ex.refused)
		return http_exchange_refuse(&conn->ex);
	http_conn_enter(conn, HTTP_PHASE_HANDLING);
	if (!server->closing)
		server->spec.on_request(&conn->ex, server->spec.data);
	if (conn->phase != HTTP_PHASE_HANDLING)
		return MHD_YES;
	if (server->closing) {
		http_reply_message(&conn->ex, 503, "the server is shutting down");
		return MHD_YES;
	}
	http_conn_enter(conn, HTTP_PHASE_HELD);
	http_conn_suspend(conn, UV_DISCONNECT);
	return MHD_YES;
}

enum MHD_Result http_exchange_on_request(void *data, struct MHD_Connection *mhd, const char *url,
					 const char *method, const char *version, const char *bytes,
					 size_t *n_bytes, void **request)
{
	struct http_conn *conn = http_conn_of(mhd);
	size_t n = *n_bytes;

	(void)data;
	(void)version;
	if (conn->phase == HTTP_PHASE_DYING)
		return MHD_NO;
	if (!*request) {
		*request = conn;
		return http_exchange_begin(conn, url, method);
	}
	if (n == 0)
		return http_exchange_handle(conn);
	*n_bytes = 0;
	return http_exchange_add_body(conn, bytes, n);
}

static void http_exchange_clear(struct http_conn *conn)
{
	http_exchange_drop_body(conn);
	conn->ex = (struct http_exchange){0};
}

void http_exchange_on_completed(void *data, struct MHD_Connection *mhd, void **request,
				enum MHD_RequestTerminationCode code)
{
	struct http_conn *conn = http_conn_of(mhd);

	(void)data;
	(void)code;
	*request = NULL;
	http_exchange_clear(conn);
	if (conn->phase == HTTP_PHASE_DYING)
		return;
	http_conn_enter(conn, HTTP_PHASE_IDLE);
	if (conn->server->closing)
		http_server_wake_in(conn->server, 0);
}

void http_exchange_lost(struct http_exchange *ex)
{
	const struct http_server_spec *spec = &http_exchange_conn(ex)->server->spec;

	if (spec->on_gone)
		spec->on_gone(ex, spec->data);
}

const char *http_exchange_method(const struct http_exchange *ex)
{
	return ex->method;
}

const char *http_exchange_path(const struct http_exchange *ex)
{
	return ex->path;
}

const char *http_exchange_header(struct http_exchange *ex, const char *name)
{
	return MHD_lookup_connection_value(http_exchange_conn(ex)->mhd, MHD_HEADER_KIND, name);
}

const char *http_exchange_body(const struct http_exchange *ex, size_t *ret_n)
{
	*ret_n = ex->body.len;
	return buf_text(&ex->body);
}

bool http_exchange_is_bare(const struct http_exchange *ex)
{
	return ex->is_bare;
}

void http_exchange_forget_body(struct http_exchange *ex)
{
	http_exchange_drop_body(http_exchange_conn(ex));
}

void http_exchange_peer(const struct http_exchange *ex, char *out, size_t n)
{
	char text[INET6_ADDRSTRLEN];

	http_addr_text((const struct sockaddr *)&http_exchange_conn(ex)->addr, text);
	snprintf(out, n, "%s", text);
}

void http_exchange_set_data(struct http_exchange *ex, void *data)
{
	ex->data = data;
}

void *http_exchange_get_data(const struct http_exchange *ex)
{
	return ex->data;
}

static void http_reply_add_header(struct MHD_Response *answer, const char *line)
{
	const char *colon = strchr(line, ':');
	CLEANUP(mem_freep) char *name = NULL;

	if (!colon)
		return;
	name = mem_strndup(line, (size_t)(colon - line));
	MHD_add_response_header(answer, name, colon + 1 + strspn(colon + 1, " "));
}

static struct MHD_Response *http_reply_make(const struct http_reply *reply)
{
	void *body = (void *)(reply->n_body > 0 ? reply->body : "");
	struct MHD_Response *answer;

	if (reply->free_body)
		answer = MHD_create_response_from_buffer_with_free_callback_cls(
		    reply->n_body, body, reply->free_body, reply->owner);
	else
		answer =
		    MHD_create_response_from_buffer(reply->n_body, body, MHD_RESPMEM_MUST_COPY);
	if (!answer)
		abort();
	return answer;
}

void http_reply(struct http_exchange *ex, const struct http_reply *reply)
{
	struct http_conn *conn = http_exchange_conn(ex);
	struct MHD_Response *answer = http_reply_make(reply);

	if (reply->content_type)
		MHD_add_response_header(answer, "Content-Type", reply->content_type);
	for (const char *const *h = reply->headers; h && *h; h++)
		http_reply_add_header(answer, *h);
	if (reply->close || conn->server->closing)
		MHD_add_response_header(answer, "Connection", "close");
	http_conn_enter(conn, HTTP_PHASE_ANSWERING);
	if (MHD_queue_response(conn->mhd, (unsigned int)reply->status, answer) != MHD_YES)
		abort(); /* a status that is none, or a second answer: both are the caller's bug */
	MHD_destroy_response(answer);
	if (conn->suspended)
		http_conn_resume(conn);
}

void http_reply_message(struct http_exchange *ex, int status, const char *fmt, ...)
{
	CLEANUP(js_putp) struct json_object *body = js_new();
	struct http_reply reply = {.status = status, .content_type = "application/json"};
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	str_make_printable(text, sizeof(text) - 1);
	js_put_str(body, "message", text);
	reply.body = js_print(body, &reply.n_body);
	http_reply(ex, &reply);
}
