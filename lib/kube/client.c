#include "kube/client.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/random.h"
#include "kube/retry.h"
#include "kube/token.h"
#include "net/http_client.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * The happy path of a request:
 *
 *  - kube_request_start() copies what it needs and sends the first try.
 *  - The answer comes, is parsed and judged, and `done` gets it.
 *  - The timer is closed; its close callback frees the request.
 *
 * What else can happen:
 *
 *  - 401, and the token file holds another token now: one more try, at once, which counts as none.
 *  - An answer that a later try may better: the timer runs, then the next try is sent.
 *  - The request is cancelled, while it is sent or while it waits: as at the end, without `done`.
 */

enum {
	REQUEST_TIMEOUT_MS = 30000,
	REQUEST_BODY_MAX = 16 << 20,
	STREAM_BACKLOG_MAX = 1 << 20,
	REQUEST_WHY_MAX = 400,
	CLIENT_TRIM_BYTES = 8 << 20,
};

struct kube_client {
	uv_loop_t *loop;
	struct http_client *http;
	char *server;
	char *namespace_;
	char *user_agent;
	struct token token;
	struct list requests;
	size_t n_open;  /* requests whose memory is not released */
	size_t n_bytes; /* of answers since the heap was last trimmed */
	bool http_closed;
	void (*closed)(void *data);
	void *data;
};

struct kube_request {
	struct list link;
	struct kube_client *client;
	struct http_request *http; /* NULL: the timer runs */
	uv_timer_t timer;
	kube_done_fn done;
	bool (*on_data)(void *data, const char *bytes, size_t n);
	void *data;

	char *method, *url, *accept, *content_type, *body;
	size_t n_body;
	uint64_t timeout_ms, idle_timeout_ms;
	size_t max_body;
	unsigned int tries_made, max_tries;
	bool token_renewed;
};

static void client_free_if_closed(struct kube_client *client)
{
	void (*closed)(void *data) = client->closed;
	void *data = client->data;

	if (!client->http_closed || client->n_open > 0)
		return;
	token_clear(&client->token);
	free(client->server);
	free(client->namespace_);
	free(client->user_agent);
	free(client);
	closed(data);
}

static void request_free(uv_handle_t *timer)
{
	struct kube_request *req = container_of(timer, struct kube_request, timer);
	struct kube_client *client = req->client;

	free(req->method);
	free(req->url);
	free(req->accept);
	free(req->content_type);
	free(req->body);
	free(req);
	client->n_open--;
	client_free_if_closed(client);
}

static void request_close(struct kube_request *req)
{
	list_remove(&req->link);
	uv_close((uv_handle_t *)&req->timer, request_free);
}

static void request_on_http(struct http_request *http, struct http_response *res);
static bool request_on_data(struct http_request *http, const char *bytes, size_t n);

/* Send a try. Nothing but the first call comes from inside kube_request_start(). */
static void request_send(struct kube_request *req)
{
	struct kube_client *client = req->client;
	const char *token = token_get(&client->token, clock_mono_ms());
	CLEANUP(mem_freep) char *agent = mem_printf("User-Agent: %s", client->user_agent);
	CLEANUP(mem_freep) char *accept = mem_printf("Accept: %s", req->accept);
	CLEANUP(mem_freep) char *type = mem_printf("Content-Type: %s", req->content_type);
	CLEANUP(mem_freep)
	char *bearer = token ? mem_printf("Authorization: Bearer %s", token) : NULL;
	const char *headers[5] = {agent, accept};
	size_t n = 2;
	struct http_request_spec spec = {
	    .method = req->method,
	    .url = req->url,
	    .headers = headers,
	    .body = req->body,
	    .n_body = req->n_body,
	    .max_body = req->max_body,
	    .timeout_ms = req->timeout_ms,
	    .idle_timeout_ms = req->idle_timeout_ms,
	    .on_data = req->on_data ? request_on_data : NULL,
	};

	if (req->body)
		headers[n++] = type;
	if (bearer)
		headers[n++] = bearer;
	req->tries_made++;
	req->http = http_request_start(client->http, &spec, request_on_http, req);
	if (bearer)
		explicit_bzero(bearer, strlen(bearer));
}

static void request_on_timer(uv_timer_t *timer)
{
	request_send(container_of(timer, struct kube_request, timer));
}

static bool request_on_data(struct http_request *http, const char *bytes, size_t n)
{
	struct kube_request *req = http_request_data(http);

	req->client->n_bytes += n;
	return req->on_data(req->data, bytes, n);
}

/* A sentence for an answer that is not KUBE_OK: the server's own where it has one. */
static void request_explain(const struct kube_request *req, const struct kube_result *res,
			    const char *body, char why[REQUEST_WHY_MAX])
{
	const char *message = js_str(res->obj, "message");

	if (message && *message)
		snprintf(why, REQUEST_WHY_MAX, "%s", message);
	else if (res->outcome == KUBE_BAD_ANSWER && res->http_status < 300)
		snprintf(why, REQUEST_WHY_MAX, "the API server's answer to %s %s is not JSON",
			 req->method, req->url);
	else
		snprintf(why, REQUEST_WHY_MAX, "the API server answered %d to %s %s%s%.100s",
			 res->http_status, req->method, req->url, *body ? ": " : "", body);
	str_make_printable(why, REQUEST_WHY_MAX - 1);
}

/* What the bytes of an answer come to. The caller puts res->obj. */
static void request_judge(const struct kube_request *req, struct http_response *http,
			  struct kube_result *res, char why[REQUEST_WHY_MAX])
{
	struct err err;
	bool is_json = true;

	if (http->error) {
		res->outcome = http->error == -EFBIG ? KUBE_TOO_LONG : KUBE_UNREACHABLE;
		snprintf(why, REQUEST_WHY_MAX, "%s", http->why);
		return;
	}
	res->http_status = http->status;
	res->retry_after_ms = http->retry_after_ms;
	if (http->body.len > 0)
		is_json = js_parse(http->body.data, http->body.len, &res->obj, &err) == 0;
	res->outcome = kube_outcome_of(http->status, res->obj);
	if (res->outcome == KUBE_OK && !is_json)
		res->outcome = KUBE_BAD_ANSWER;
	if (res->outcome != KUBE_OK)
		request_explain(req, res, buf_text(&http->body), why);
}

/* True where another try is on its way. */
static bool request_try_again(struct kube_request *req, const struct kube_result *res)
{
	struct kube_client *client = req->client;
	int64_t wait_ms;

	if (res->outcome == KUBE_UNAUTHORIZED && !req->token_renewed &&
	    token_look(&client->token, clock_mono_ms())) {
		req->token_renewed = true;
		req->tries_made--;
		request_send(req);
		return true;
	}
	wait_ms = kube_retry_ms(res->outcome, req->method, req->tries_made, req->max_tries,
				res->retry_after_ms, kube_random());
	if (wait_ms < 0)
		return false;
	uv_timer_start(&req->timer, request_on_timer, (uint64_t)wait_ms, 0);
	return true;
}

/* What was parsed took ten times as much, and most of it is free by now. */
static void client_trim(struct kube_client *client)
{
	if (client->n_bytes < CLIENT_TRIM_BYTES)
		return;
	client->n_bytes = 0;
	malloc_trim(0);
}

static void request_on_http(struct http_request *http, struct http_response *response)
{
	struct kube_request *req = http_request_data(http);
	struct kube_client *client = req->client;
	struct kube_result res = {.retry_after_ms = -1};
	char why[REQUEST_WHY_MAX] = "";
	kube_done_fn done = req->done;
	void *data = req->data;

	req->http = NULL;
	client->n_bytes += response->body.len;
	request_judge(req, response, &res, why);
	res.why = why;
	if (!request_try_again(req, &res)) {
		buf_clear(&response->body);
		request_close(req);
		done(data, &res);
	}
	json_object_put(res.obj);
	client_trim(client);
}

static struct kube_request *request_new(struct kube_client *client, const char *method,
					const char *path, const char *query, const char *accept)
{
	struct kube_request *req = MEM_NEW(struct kube_request);

	*req = (struct kube_request){
	    .client = client,
	    .method = mem_strdup(method),
	    .url = mem_printf("%s%s%s%s", client->server, path, query && *query ? "?" : "",
			      query ? query : ""),
	    .accept = mem_strdup(accept ? accept : "application/json"),
	    .max_tries = 1,
	};
	uv_timer_init(client->loop, &req->timer);
	list_append(&client->requests, &req->link);
	client->n_open++;
	return req;
}

struct kube_request *kube_request_start(struct kube_client *client,
					const struct kube_request_spec *spec, kube_done_fn done,
					void *data)
{
	struct kube_request *req =
	    request_new(client, spec->method, spec->path, spec->query, spec->accept);
	const char *type = spec->content_type ? spec->content_type : "application/json";

	req->done = done;
	req->data = data;
	req->content_type = mem_strdup(type);
	if (spec->body) {
		const char *text = js_print(spec->body, &req->n_body);

		req->body = mem_strndup(text, req->n_body);
	}
	req->timeout_ms = spec->timeout_ms ? spec->timeout_ms : REQUEST_TIMEOUT_MS;
	req->max_body = spec->max_body ? spec->max_body : REQUEST_BODY_MAX;
	req->max_tries = spec->tries ? spec->tries : 1;
	request_send(req);
	return req;
}

struct kube_request *kube_stream_start(struct kube_client *client,
				       const struct kube_stream_spec *spec, kube_done_fn done,
				       void *data)
{
	struct kube_request *req =
	    request_new(client, "GET", spec->path, spec->query, spec->accept);

	req->done = done;
	req->on_data = spec->on_data;
	req->data = data;
	req->timeout_ms = spec->timeout_ms;
	req->idle_timeout_ms = spec->idle_timeout_ms;
	req->max_body = STREAM_BACKLOG_MAX;
	request_send(req);
	return req;
}

void kube_request_cancel(struct kube_request *req)
{
	if (req->http)
		http_request_cancel(req->http);
	req->http = NULL;
	request_close(req);
}

static void client_init(struct kube_client *client, uv_loop_t *loop,
			const struct kube_config *config, const char *user_agent)
{
	client->loop = loop;
	client->server = mem_strdup(config->server);
	client->namespace_ = mem_strdup(config->namespace_ ? config->namespace_ : "default");
	client->user_agent = mem_strdup(user_agent);
	list_init(&client->requests);
}

int kube_client_new(uv_loop_t *loop, const struct kube_config *config, const char *user_agent,
		    struct kube_client **ret, struct err *err)
{
	const struct http_tls tls = {
	    .ca_pem = config->ca_pem, .cert_pem = config->cert_pem, .key_pem = config->key_pem};
	struct token token;
	struct http_client *http;

	if (token_init(&token, config->token_file, config->token, clock_mono_ms(), err)) {
		token_clear(&token);
		return err->code;
	}
	http = http_client_new(loop);
	if (http_client_set_tls(http, &tls, err)) {
		http_client_close(http, NULL, NULL);
		token_clear(&token);
		return err->code;
	}
	if (config->connect_to)
		http_client_set_connect_to(http, config->connect_to);
	*ret = MEM_NEW(struct kube_client);
	client_init(*ret, loop, config, user_agent);
	(*ret)->http = http;
	(*ret)->token = token;
	return 0;
}

static void client_on_http_closed(void *data)
{
	struct kube_client *client = data;

	client->http_closed = true;
	client_free_if_closed(client);
}

void kube_client_close(struct kube_client *client, void (*closed)(void *data), void *data)
{
	LIST_FOREACH(it, &client->requests)
		kube_request_cancel(container_of(it, struct kube_request, link));
	client->closed = closed;
	client->data = data;
	http_client_close(client->http, client_on_http_closed, client);
}

uv_loop_t *kube_client_loop(const struct kube_client *client)
{
	return client->loop;
}

const char *kube_client_namespace(const struct kube_client *client)
{
	return client->namespace_;
}
