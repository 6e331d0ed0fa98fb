#include "sync_client.h"

#include "base/container_of.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/http_client.h"
#include "reply.h"
#include "token.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/*
 * The happy path:
 *
 *  - sync_client_go() asks the owner for a request and sends it: SYNC_CLIENT_POLLING.
 *  - The controller holds it for up to a minute. Its response goes to the owner:
 *    SYNC_CLIENT_IDLE, until the owner says go.
 *
 * What else can happen:
 *
 *  - 503 with a leader's address: it is asked at once, a few times at most.
 *  - No connection, no answer, another status, or a response that cannot be read: a wait, then once
 *    more: SYNC_CLIENT_WAITING. After a failed connection a leader's address is forgotten, for it
 *    may have moved.
 *  - 426, 409 and the like will not change soon, so the wait is long.
 *  - A response of an epoch lower than the highest seen comes from a replica that does not know yet
 *    that it was replaced: it is not acted on.
 *  - Responses that come at once again and again and bring no news: the client waits, lest the two
 *    chase each other.
 */

enum {
	SYNC_TIMEOUT_MS = SYNC_HOLD_MS + 15 * 1000,
	SYNC_HOPS_MAX = 3,
	SYNC_HASTY_MS = 1000, /* an answer that comes sooner was not held */
	SYNC_HASTY_MAX = 5,
};

enum sync_client_state {
	SYNC_CLIENT_IDLE, /* the owner's turn */
	SYNC_CLIENT_POLLING,
	SYNC_CLIENT_WAITING, /* after a failure, on the timer */
	SYNC_CLIENT_STATES,
};

const struct backoff sync_client_backoff = {
    .first_ms = 200, .max_ms = 5000, .factor = 2, .jitter = 0.5};

struct sync_client {
	uv_loop_t *loop;
	struct http_client *http;
	char *url;
	char *address;
	const char *token_file;
	void (*fill)(void *data, struct sync_request *ret);
	void (*on_response)(void *data, struct sync_response *res);
	void *data;
	enum sync_client_state state;
	struct http_request *request;
	uv_timer_t timer;
	struct backoff backoff;
	struct backoff slow;
	unsigned int hops;
	unsigned int hasty;
	uint64_t sent_at_ms;
	int64_t epoch;
	bool want_report, want_features;
	char told_report[SHA256_HEX];  /* of the request under way, or the last one */
	char heard_report[SHA256_HEX]; /* which the controller has */
	char last_error[256];          /* said once, until something else is wrong */
};

/* The one place where the state changes. */
static void sync_client_enter(struct sync_client *c, enum sync_client_state state)
{
	static const bool allowed[SYNC_CLIENT_STATES][SYNC_CLIENT_STATES] = {
	    [SYNC_CLIENT_IDLE] = {[SYNC_CLIENT_POLLING] = true, [SYNC_CLIENT_WAITING] = true},
	    [SYNC_CLIENT_POLLING] = {[SYNC_CLIENT_IDLE] = true, [SYNC_CLIENT_WAITING] = true},
	    [SYNC_CLIENT_WAITING] = {[SYNC_CLIENT_IDLE] = true},
	};

	if (!allowed[c->state][state])
		abort();
	if (c->state == SYNC_CLIENT_WAITING)
		uv_timer_stop(&c->timer);
	c->state = state;
}

static void sync_client_start(struct sync_client *c);

static void sync_client_on_timer(uv_timer_t *timer)
{
	struct sync_client *c = container_of(timer, struct sync_client, timer);

	sync_client_enter(c, SYNC_CLIENT_IDLE);
	sync_client_start(c);
}

static void sync_client_wait(struct sync_client *c, struct backoff *backoff, int64_t at_least_ms)
{
	uint64_t random = 0;
	uint64_t ms;

	if (getrandom(&random, sizeof(random), 0) < 0)
		random = 0;
	ms = backoff_next(backoff, random);
	if (at_least_ms > 0 && ms < (uint64_t)at_least_ms)
		ms = (uint64_t)at_least_ms;
	sync_client_enter(c, SYNC_CLIENT_WAITING);
	uv_timer_start(&c->timer, sync_client_on_timer, ms, 0);
}

/* A minute of trying again is one line, not twenty. */
static void sync_client_complain(struct sync_client *c, const char *why)
{
	if (strncmp(c->last_error, why, sizeof(c->last_error) - 1) == 0)
		return;
	snprintf(c->last_error, sizeof(c->last_error), "%s", why);
	log_warn("cannot sync", log_s("error", why));
}

static void sync_client_set_address(struct sync_client *c, const char *address)
{
	http_client_set_connect_to(c->http, address);
}

/* ---- the request ---- */

/* Leave out what the controller has. */
static void sync_client_fill(struct sync_client *c, struct sync_request *req)
{
	c->fill(c->data, req);
	req->protocol = SYNC_PROTOCOL;
	req->epoch = c->epoch;
	memcpy(c->told_report, req->report_hash, sizeof(c->told_report));
	req->has_report = c->want_report || strcmp(req->report_hash, c->heard_report) != 0;
	if (!c->want_features)
		mem_replace(&req->features_text, NULL);
}

static void sync_client_on_done(struct http_request *request, struct http_response *res);

static void sync_client_send(struct sync_client *c, const char *body, size_t n, const char *token)
{
	CLEANUP(mem_freep) char *url = mem_printf("%s/v1/sync", c->url);
	const char *headers[] = {"Content-Type: application/json", token, NULL};

	sync_client_enter(c, SYNC_CLIENT_POLLING);
	c->sent_at_ms = uv_now(c->loop);
	c->request = http_request_start(c->http,
					&(struct http_request_spec){
					    .method = "POST",
					    .url = url,
					    .headers = headers,
					    .body = body,
					    .n_body = n,
					    .max_body = SYNC_RESPONSE_MAX,
					    .timeout_ms = SYNC_TIMEOUT_MS,
					},
					sync_client_on_done, c);
}

static void sync_client_start(struct sync_client *c)
{
	CLEANUP(mem_freep) char *token = NULL;
	CLEANUP(js_putp) struct json_object *obj = NULL;
	struct sync_request req = {0};
	struct err err;
	const char *body;
	size_t n;

	if (token_header(c->token_file, &token, &err) < 0) {
		sync_client_complain(c, err.msg);
		sync_client_wait(c, &c->backoff, 0);
		return;
	}
	sync_client_fill(c, &req);
	obj = sync_request_encode(&req);
	sync_request_clear(&req);
	body = js_print(obj, &n);
	sync_client_send(c, body, n, token);
}

/* ---- the response ---- */

static void sync_client_accept(struct sync_client *c, struct sync_response *res)
{
	bool has_news = res->has_set || res->want_report || res->want_features;
	bool was_held = uv_now(c->loop) - c->sent_at_ms >= SYNC_HASTY_MS;

	c->epoch = res->epoch;
	c->want_report = res->want_report;
	c->want_features = res->want_features;
	memcpy(c->heard_report, c->told_report, sizeof(c->heard_report));
	c->hops = 0;
	c->last_error[0] = '\0';
	c->hasty = has_news || was_held ? 0 : c->hasty + 1;
	if (c->hasty == 0)
		backoff_reset(&c->backoff);
	backoff_reset(&c->slow);
	sync_client_enter(c, SYNC_CLIENT_IDLE);
	c->on_response(c->data, res);
}

static int sync_client_decode(const struct http_response *res, struct sync_response *ret,
			      struct err *err)
{
	CLEANUP(js_putp) struct json_object *obj = NULL;
	int r = js_parse_bounded(buf_text(&res->body), res->body.len, SYNC_RESPONSE_HEAP_MAX, &obj,
				 err);

	if (r == 0)
		r = sync_response_decode(obj, ret, err);
	return r < 0 ? err_wrap(err, "the controller's response cannot be read") : 0;
}

static void sync_client_on_ok(struct sync_client *c, const struct http_response *http)
{
	struct sync_response res = {0};
	struct err err;
	int r = sync_client_decode(http, &res, &err);

	if (r == 0 && res.epoch < c->epoch)
		r = err_set(&err, -ESTALE,
			    "the response is of epoch %lld and %lld has been seen: it comes from a "
			    "controller that was replaced",
			    (long long)res.epoch, (long long)c->epoch);
	if (r < 0) {
		sync_client_complain(c, err.msg);
		sync_client_set_address(c, c->address);
		sync_client_wait(c, &c->backoff, 0);
	} else {
		sync_client_accept(c, &res);
	}
	sync_response_clear(&res);
}

/* Statuses that another try in a moment will not change: malformed, refused features, too large,
 * and a protocol version that is not spoken there. */
static bool sync_client_is_lasting(const struct http_response *res)
{
	return !res->error && (res->status == 400 || res->status == 409 || res->status == 413 ||
			       res->status == 426);
}

static void sync_client_on_failure(struct sync_client *c, const struct http_response *res)
{
	struct err err;

	reply_explain(res, &err);
	sync_client_complain(c, err.msg);
	c->hops = 0;
	sync_client_set_address(c, c->address);
	sync_client_wait(c, sync_client_is_lasting(res) ? &c->slow : &c->backoff,
			 res->retry_after_ms);
}

static void sync_client_on_done(struct http_request *request, struct http_response *res)
{
	struct sync_client *c = http_request_data(request);
	char leader[REPLY_LEADER_MAX];

	c->request = NULL;
	if (!res->error && res->status == 200) {
		sync_client_on_ok(c, res);
		return;
	}
	if (reply_leader(res, leader) && c->hops < SYNC_HOPS_MAX) {
		c->hops++;
		log_debug("following the leader", log_s("address", &leader[0]));
		sync_client_set_address(c, leader);
		sync_client_enter(c, SYNC_CLIENT_IDLE);
		sync_client_start(c);
		return;
	}
	sync_client_on_failure(c, res);
}

/* ---- the owner's side ---- */

struct sync_client *sync_client_new(const struct sync_client_spec *spec)
{
	struct sync_client *c = MEM_NEW(struct sync_client);

	*c = (struct sync_client){
	    .loop = spec->loop,
	    .http = spec->http,
	    .url = mem_strdup(spec->url),
	    .address = mem_strdup(spec->address),
	    .token_file = spec->token_file,
	    .fill = spec->fill,
	    .on_response = spec->on_response,
	    .data = spec->data,
	    .epoch = spec->epoch,
	    .backoff = sync_client_backoff,
	    .slow = {.first_ms = 10000, .max_ms = 300000, .factor = 2, .jitter = 0.5},
	};
	uv_timer_init(c->loop, &c->timer);
	sync_client_set_address(c, c->address);
	return c;
}

void sync_client_go(struct sync_client *c)
{
	if (c->state == SYNC_CLIENT_WAITING)
		return;
	if (c->state == SYNC_CLIENT_POLLING) {
		http_request_cancel(STEAL(c->request));
		sync_client_enter(c, SYNC_CLIENT_IDLE);
	}
	if (c->hasty > SYNC_HASTY_MAX)
		sync_client_wait(c, &c->backoff, 0);
	else
		sync_client_start(c);
}

void sync_client_retry(struct sync_client *c)
{
	backoff_reset(&c->backoff);
	backoff_reset(&c->slow);
	c->last_error[0] = '\0';
	if (c->state == SYNC_CLIENT_WAITING)
		sync_client_enter(c, SYNC_CLIENT_IDLE);
	sync_client_go(c);
}

bool sync_client_is_polling(const struct sync_client *c)
{
	return c->state == SYNC_CLIENT_POLLING;
}

const char *sync_client_told_report(const struct sync_client *c)
{
	return c->told_report;
}

static void sync_client_on_closed(uv_handle_t *handle)
{
	struct sync_client *c = container_of(handle, struct sync_client, timer);

	free(c->url);
	free(c->address);
	free(c);
}

void sync_client_close(struct sync_client *c)
{
	if (!c)
		return;
	if (c->request)
		http_request_cancel(STEAL(c->request));
	uv_close((uv_handle_t *)&c->timer, sync_client_on_closed);
}
