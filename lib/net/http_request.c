#include "net/http_client_priv.h"

#include "base/container_of.h"
#include "base/mem.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/*
 * One exchange: a curl easy handle, made from the spec when it is started, and what comes back.
 *
 *  - http_request_new() makes the handle. What is wrong with the spec is noted in `res`.
 *  - http_request_begin() gives the handle to curl, or tells `done` what was wrong.
 *  - Body bytes are collected, or given to on_data.
 *  - http_request_finish() turns curl's verdict into a response and tells `done`.
 *
 * Where a peer may fall silent, the idle timer looks at when the last byte came and ends the
 * request.
 */

enum {
	HTTP_CONNECT_TIMEOUT_MS = 10000,
	HTTP_RECEIVE_BUFFER = 16384, /* one a running request; larger makes nothing faster here */
	HTTP_KEEPALIVE_S = 30,
	HTTP_UNACKED_MS = 30000,
	HTTP_MAX_RETRY_AFTER_S = 86400,
};

static void http_request_fail(struct http_request *req, int error, const char *why)
{
	req->res.error = error;
	snprintf(req->res.why, sizeof(req->res.why), "%s", why);
}

static size_t http_request_on_body(char *bytes, size_t size, size_t n, void *data)
{
	struct http_request *req = data;
	long status = 0;

	n *= size;
	req->last_ms = uv_now(req->client->loop);
	if (req->state != HTTP_REQUEST_RUNNING)
		return CURL_WRITEFUNC_ERROR;
	curl_easy_getinfo(req->easy, CURLINFO_RESPONSE_CODE, &status);
	if (!req->on_data || status / 100 != 2) {
		if (buf_add(&req->res.body, bytes, n))
			return n;
		req->res.error = -EFBIG;
		return CURL_WRITEFUNC_ERROR;
	}
	if (!req->on_data(req, bytes, n))
		req->res.error = -ECANCELED;
	return req->state == HTTP_REQUEST_RUNNING && !req->res.error ? n : CURL_WRITEFUNC_ERROR;
}

static size_t http_request_on_header(char *bytes, size_t size, size_t n, void *data)
{
	struct http_request *req = data;

	(void)bytes;
	req->last_ms = uv_now(req->client->loop);
	return size * n;
}

/* Keepalive finds a silent peer that is gone; while bytes of ours are not acknowledged it does not
 * run, and the kernel would send them again for a quarter of an hour (tcp(7), TCP_USER_TIMEOUT). */
static int http_request_on_socket(void *data, curl_socket_t fd, curlsocktype purpose)
{
	unsigned int ms = HTTP_UNACKED_MS;

	(void)data;
	(void)purpose;
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	return CURL_SOCKOPT_OK;
}

static void http_request_set_blob(CURL *easy, CURLoption option, const char *text)
{
	struct curl_blob blob = {
	    .data = (void *)text, .len = strlen(text), .flags = CURL_BLOB_COPY};

	curl_easy_setopt(easy, option, &blob);
}

/* curl uses a standing connection again only where the blobs of both requests are the same bytes,
 * so a line of text behind the last certificate keeps the eras apart. */
static void http_request_set_tls(struct http_request *req)
{
	const struct http_client *client = req->client;
	CLEANUP(mem_freep) char *ca = mem_printf("%s\nera %u\n", client->ca_pem, client->era);

	http_request_set_blob(req->easy, CURLOPT_CAINFO_BLOB, ca);
	/* The distribution's own CAs, which curl would accept as well. */
	curl_easy_setopt(req->easy, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(req->easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(req->easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(req->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(req->easy, CURLOPT_SHARE, client->share);
	if (client->cert_pem) {
		http_request_set_blob(req->easy, CURLOPT_SSLCERT_BLOB, client->cert_pem);
		http_request_set_blob(req->easy, CURLOPT_SSLKEY_BLOB, client->key_pem);
	}
}

/* Nothing that could be another machine's name. */
bool http_url_is_loopback(const char *url)
{
	const char *host = str_has_prefix(url, "http://") ? url + strlen("http://") : "";
	size_t n = strcspn(host, "/?#");
	const char *port = memrchr(host, ':', n);
	char address[64];
	struct in_addr in;

	if (memchr(host, '@', n))
		return false;
	if (port && host[n - 1] != ']')
		n = (size_t)(port - host);
	snprintf(address, sizeof(address), "%.*s", (int)(n < sizeof(address) ? n : 0), host);
	if (strcmp(address, "localhost") == 0 || strcmp(address, "[::1]") == 0)
		return true;
	return inet_pton(AF_INET, address, &in) == 1 && ntohl(in.s_addr) >> 24 == 127;
}

static void http_request_set_connection(struct http_request *req)
{
	CURL *easy = req->easy;

	if (req->client->connect_to) {
		CLEANUP(mem_freep) char *rule = mem_printf("::%s", req->client->connect_to);

		req->connect_to = curl_slist_append(NULL, rule);
		curl_easy_setopt(easy, CURLOPT_CONNECT_TO, req->connect_to);
	}
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* whatever the environment says */
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)HTTP_KEEPALIVE_S);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)HTTP_KEEPALIVE_S / 3);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, http_request_on_socket);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)HTTP_CONNECT_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)HTTP_RECEIVE_BUFFER);
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)HTTP_RECEIVE_BUFFER);
}

static void http_request_set_callbacks(struct http_request *req)
{
	CURL *easy = req->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, req);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, req->res.why);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, http_request_on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, req);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, http_request_on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, req);
}

static void http_request_add_header(struct http_request *req, const char *line)
{
	struct curl_slist *headers = curl_slist_append(req->headers, line);

	if (!headers)
		abort();
	req->headers = headers;
}

static bool http_request_set_headers(struct http_request *req, const struct http_request_spec *spec)
{
	bool has_type = false;

	for (const char *const *h = spec->headers; h && *h; h++) {
		if ((*h)[strcspn(*h, "\r\n")] || !strchr(*h, ':'))
			return false;
		has_type |= strncasecmp(*h, "Content-Type:", 13) == 0;
		http_request_add_header(req, *h);
	}
	/* What curl would add of its own accord. */
	http_request_add_header(req, "Expect:");
	if (!has_type)
		http_request_add_header(req, "Content-Type:");
	curl_easy_setopt(req->easy, CURLOPT_HTTPHEADER, req->headers);
	return true;
}

static void http_request_set_method(struct http_request *req, const struct http_request_spec *spec)
{
	bool wants_body = str_equal(spec->method, "POST") || str_equal(spec->method, "PUT") ||
			  str_equal(spec->method, "PATCH");

	if (spec->body || wants_body) {
		curl_easy_setopt(req->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)spec->n_body);
		curl_easy_setopt(req->easy, CURLOPT_COPYPOSTFIELDS, spec->body ? spec->body : "");
	}
	if (str_equal(spec->method, "HEAD"))
		curl_easy_setopt(req->easy, CURLOPT_NOBODY, 1L);
	else
		curl_easy_setopt(req->easy, CURLOPT_CUSTOMREQUEST, spec->method);
}

static void http_request_set_up(struct http_request *req, const struct http_request_spec *spec)
{
	bool loopback = req->client->loopback && spec->url && http_url_is_loopback(spec->url);

	if (!req->client->ca_pem && !loopback) {
		http_request_fail(req, -EINVAL, "no CA certificate is set");
		return;
	}
	if (!spec->method || !*spec->method || spec->method[strcspn(spec->method, " \r\n")]) {
		http_request_fail(req, -EINVAL, "the method is not a word");
		return;
	}
	if (!http_request_set_headers(req, spec)) {
		http_request_fail(req, -EINVAL, "a header is not one line of \"Name: value\"");
		return;
	}
	if (curl_easy_setopt(req->easy, CURLOPT_URL, spec->url) != CURLE_OK || !spec->url) {
		http_request_fail(req, -EINVAL, "there is no URL");
		return;
	}
	http_request_set_method(req, spec);
	http_request_set_connection(req);
	if (loopback)
		curl_easy_setopt(req->easy, CURLOPT_PROTOCOLS_STR, "http");
	else
		http_request_set_tls(req);
	curl_easy_setopt(req->easy, CURLOPT_USERAGENT, "hauberk/" HAUBERK_VERSION);
	curl_easy_setopt(req->easy, CURLOPT_TIMEOUT_MS, (long)spec->timeout_ms);
}

struct http_request *http_request_new(struct http_client *client,
				      const struct http_request_spec *spec, http_done_fn done,
				      void *data)
{
	struct http_request *req = MEM_NEW(struct http_request);

	req->easy = curl_easy_init();
	if (!req->easy)
		abort();
	list_init(&req->link);
	req->client = client;
	req->state = HTTP_REQUEST_WAITING;
	req->on_data = spec->on_data;
	req->done = done;
	req->data = data;
	req->idle_ms = spec->idle_timeout_ms;
	req->res.body = (struct buf)BUF_INIT(spec->max_body);
	req->res.retry_after_ms = -1;
	http_request_set_callbacks(req);
	http_request_set_up(req, spec);
	return req;
}

void *http_request_data(const struct http_request *req)
{
	return req->data;
}

static void http_request_on_idle_closed(uv_handle_t *handle)
{
	struct http_request *req = container_of(handle, struct http_request, idle);
	struct http_client *client = req->client;

	free(req);
	http_client_one_closed(client);
}

static void http_request_free(struct http_request *req)
{
	list_remove(&req->link);
	curl_easy_cleanup(req->easy);
	curl_slist_free_all(req->headers);
	curl_slist_free_all(req->connect_to);
	buf_clear(&req->res.body);
	if (req->has_idle)
		uv_close((uv_handle_t *)&req->idle, http_request_on_idle_closed);
	else
		free(req);
}

void http_request_drop(struct http_request *req)
{
	if (req->state != HTTP_REQUEST_WAITING)
		curl_multi_remove_handle(req->client->multi, req->easy);
	http_request_free(req);
}

/* A byte that went out counts as well; those that came in are noted as they come. */
static void http_request_on_idle(uv_timer_t *timer)
{
	struct http_request *req = container_of(timer, struct http_request, idle);
	uint64_t now_ms = uv_now(req->client->loop);
	curl_off_t n_sent = 0;

	curl_easy_getinfo(req->easy, CURLINFO_SIZE_UPLOAD_T, &n_sent);
	if (n_sent != req->n_sent)
		req->last_ms = now_ms;
	req->n_sent = n_sent;
	if (now_ms - req->last_ms < req->idle_ms) {
		uv_timer_start(timer, http_request_on_idle, req->last_ms + req->idle_ms - now_ms,
			       0);
		return;
	}
	req->res.error = -ETIMEDOUT;
	http_request_finish(req, CURLE_OPERATION_TIMEDOUT);
}

static void http_request_watch_idle(struct http_request *req)
{
	req->has_idle = true;
	req->client->n_open++;
	req->last_ms = uv_now(req->client->loop);
	uv_timer_init(req->client->loop, &req->idle);
	uv_timer_start(&req->idle, http_request_on_idle, req->idle_ms, 0);
}

void http_request_begin(struct http_request *req)
{
	list_remove(&req->link);
	if (!req->res.error && curl_multi_add_handle(req->client->multi, req->easy) != CURLM_OK)
		http_request_fail(req, -EIO, "curl did not take the request");
	if (req->res.error) {
		http_request_finish(req, CURLE_FAILED_INIT);
		return;
	}
	list_append(&req->client->running, &req->link);
	req->state = HTTP_REQUEST_RUNNING;
	if (req->idle_ms > 0)
		http_request_watch_idle(req);
}

static int http_request_errno(CURLcode code)
{
	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
		return -ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
	case CURLE_OUT_OF_MEMORY:
		return -EIO;
	default: /* certificates, versions, framing: the peer is not what it should be */
		return -EPROTO;
	}
}

static void http_request_explain(struct http_request *req, CURLcode code)
{
	struct http_response *res = &req->res;

	if (!res->error)
		res->error = http_request_errno(code);
	else if (res->error == -EFBIG)
		snprintf(res->why, sizeof(res->why), "the answer is longer than %zu bytes",
			 res->body.max);
	else if (res->error == -ECANCELED)
		snprintf(res->why, sizeof(res->why), "its reader ended it");
	else if (res->error == -ETIMEDOUT)
		snprintf(res->why, sizeof(res->why), "no byte came for %" PRIu64 " ms",
			 req->idle_ms);
	if (res->error && !res->why[0])
		snprintf(res->why, sizeof(res->why), "%s", curl_easy_strerror(code));
}

static void http_request_read_headers(struct http_request *req)
{
	struct curl_header *header;
	int64_t seconds;
	long status = 0;

	curl_easy_getinfo(req->easy, CURLINFO_RESPONSE_CODE, &status);
	req->res.status = (int)status;
	if (curl_easy_header(req->easy, "Retry-After", 0, CURLH_HEADER, -1, &header) == CURLHE_OK &&
	    str_to_i64(header->value, 0, HTTP_MAX_RETRY_AFTER_S, &seconds))
		req->res.retry_after_ms = seconds * 1000;
}

void http_request_finish(struct http_request *req, CURLcode code)
{
	http_request_explain(req, code);
	if (!req->res.error)
		http_request_read_headers(req);
	else if (req->res.error == -ETIMEDOUT)
		req->client->era++;
	list_remove(&req->link);
	if (req->state == HTTP_REQUEST_RUNNING)
		curl_multi_remove_handle(req->client->multi, req->easy);
	/* Before `done`, which may close the client: the shared sessions must have no user then. */
	curl_easy_cleanup(STEAL(req->easy));
	req->state = HTTP_REQUEST_FINISHED;
	req->done(req, &req->res);
	http_request_free(req);
}
