#include "controller/sync_server.h"

#include "api/sync_msg.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/container_of.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/http_server.h"

#include <stdlib.h>
#include <string.h>

/*
 * The happy path of a sync:
 *
 *  - A whole request has come: it becomes a poll.
 *  - Its token is looked up, or checked with the API server meanwhile.
 *  - Its body goes into the engine as facts, and the poll waits on `pending` for the engine's run.
 *  - sync_server_release(): where there is something to say it is answered, else it is held.
 *  - The engine changes the node's set: sync_server_set_changed() puts it back on `pending`.
 *  - Nothing happens until SYNC_SERVER_HOLD_MS after it came: it is answered without a set.
 *
 * What else can happen:
 *
 *  - We do not lead: 503 with the leader's address, before anything else is looked at.
 *  - The peer goes: the poll goes with it, and what it waited for is cancelled.
 *  - The agent asks again on another connection: the older poll is answered at once.
 *  - The engine has not started, since the caches have not synced: the poll waits on `early`.
 *  - A request that its headers condemn already: its body is not kept. So what a peer without a
 *    token of ours sends costs nothing, and what all others send has a ceiling.
 *
 * Across each wait a poll keeps the node's name, never a pointer to it.
 */

enum {
	/* A little less than the agent has to expect: so three polls fall into the time for which
	 * the verdict on a token is kept, not two, and a third fewer tokens are checked. */
	SYNC_SERVER_HOLD_MS = 58 * 1000,
	SYNC_SERVER_HEADER_MS = 15 * 1000,
	SYNC_SERVER_BODY_MS = 15 * 1000,
	SYNC_SERVER_IDLE_MS = 100 * 1000, /* above the 90 s that Go clients keep a connection */
	SYNC_SERVER_BATCH = 256,          /* answers in one turn of the loop */
	SYNC_SERVER_DRAIN_MS = 5000,
	SYNC_SERVER_ENCLOSED = 128,    /* artefacts that come with one set */
	SYNC_SERVER_BODIES = 64 << 20, /* bytes of requests that are not decoded yet */
};

_Static_assert((int)SYNC_SERVER_HOLD_MS <= (int)SYNC_HOLD_MS, "the agent's patience");
_Static_assert(2 * (int)SYNC_SERVER_HOLD_MS + 3000 <= (int)IDENTITY_KEPT_MS, "the third poll");

struct sync_server {
	struct http_server *http;
	struct sync_server_spec spec;
	uv_timer_t timer; /* of the first in `ages` */
	bool leading;
	int64_t epoch;
	char *leader;
	struct list checking; /* identity not known yet */
	struct list early;    /* waiting for the engine to start */
	struct list pending;  /* to be looked at by the next release */
	struct list held;
	struct list ages; /* all polls that are younger than hold_ms, the oldest first */
	int64_t hold_ms;
	void (*closed)(void *data);
	void *closed_data;
};

struct poll {
	struct sync_server *server;
	struct http_exchange *ex;
	struct identity_check *check; /* while on `checking` */
	struct list link;             /* where it stands */
	struct list age;
	bool is_held;
	char *node;
	char *node_uid;
	char set_hash[SHA256_HEX]; /* what the agent has */
	char report_hash[SHA256_HEX];
	int64_t deadline_ms; /* from when it came, however long its token was checked */
};

static void poll_free(struct poll *p)
{
	struct node *node = p->node ? engine_node(p->server->spec.engine, p->node) : NULL;

	if (node && node->poll == p)
		node->poll = NULL;
	if (p->check)
		identity_cancel(p->check);
	list_remove(&p->link);
	list_remove(&p->age);
	free(p->node);
	free(p->node_uid);
	free(p);
}

/* Answering. */

static void poll_refuse(struct poll *p, int status, const char *why)
{
	http_reply_message(p->ex, status, "%s", why);
	poll_free(p);
}

static void sync_server_redirect(struct sync_server *server, struct http_exchange *ex)
{
	CLEANUP(js_putp) struct json_object *obj = js_new();
	struct http_reply reply = {.status = 503, .content_type = "application/json"};

	js_put_str(obj, "message", "this replica does not lead");
	if (server->leader && *server->leader)
		js_put_str(obj, "leader", server->leader);
	reply.body = js_print(obj, &reply.n_body);
	http_reply(ex, &reply);
}

/* An artefact that cannot be had is left out: the agent asks for it, and hears why. */
static size_t poll_enclose_one(struct sync_server *server, const struct lacking *lacking,
			       struct sync_enclosed *ret, struct artefact_bytes **ret_bytes)
{
	struct err err;

	if (artefact_share(server->spec.artefacts, lacking->artefact, ret_bytes, &err) < 0)
		return 0;
	*ret = (struct sync_enclosed){.bytes = (*ret_bytes)->data, .n = (*ret_bytes)->n};
	memcpy(ret->sha256, lacking->artefact, sizeof(ret->sha256));
	return 1;
}

/* A request for each small artefact would take longer than its bytes. */
static bool poll_enclose(struct poll *p, const struct node *node, struct buf *body)
{
	struct lacking lacking[SYNC_SERVER_ENCLOSED];
	struct sync_enclosed enclosed[SYNC_SERVER_ENCLOSED];
	struct artefact_bytes *bytes[SYNC_SERVER_ENCLOSED];
	size_t n_lacking = engine_lacking(node, lacking, SYNC_SERVER_ENCLOSED);
	size_t n = 0, i;
	int64_t room = SYNC_ENCLOSED_TOTAL_MAX;
	bool ok;

	for (i = 0; i < n_lacking; i++) {
		if (lacking[i].size > SYNC_ENCLOSED_MAX || lacking[i].size > room)
			continue;
		room -= lacking[i].size;
		n += poll_enclose_one(p->server, &lacking[i], &enclosed[n], &bytes[n]);
	}
	ok = sync_enclosed_print(enclosed, n, body);
	for (i = 0; i < n; i++)
		artefact_bytes_unref(bytes[i]);
	return ok;
}

/* The set's text is the same for many nodes and is not parsed again for each. */
static void poll_answer(struct poll *p, const struct node *node, bool want_report,
			bool want_features)
{
	const struct set_body *set = node ? node->set : NULL;
	bool fits = true;
	struct buf body = BUF_INIT(SYNC_RESPONSE_MAX);
	struct http_reply reply = {.status = 200, .content_type = "application/json"};

	buf_addf(&body, "{\"protocol\":%d,\"epoch\":%lld,\"setHash\":\"%s\"", SYNC_PROTOCOL,
		 (long long)p->server->epoch, set ? set->hash : p->set_hash);
	if (set && strcmp(set->hash, p->set_hash) != 0) {
		buf_add_str(&body, ",\"set\":");
		buf_add_str(&body, set->text);
		if (set->keep) {
			buf_add_str(&body, ",\"keep\":");
			buf_add_str(&body, set->keep);
		}
		fits = poll_enclose(p, node, &body);
	}
	if (want_report)
		buf_add_str(&body, ",\"wantReport\":true");
	if (want_features)
		buf_add_str(&body, ",\"wantFeatures\":true");
	if (!fits || !buf_add(&body, "}", 1)) {
		buf_clear(&body);
		poll_refuse(p, 500, "the node's set is larger than a response may be");
		return;
	}
	reply.body = buf_text(&body);
	reply.n_body = body.len;
	http_reply(p->ex, &reply);
	log_debug("poll answered", log_s("node", p->node), log_i("bytes", (int64_t)body.len));
	poll_free(p);
	buf_clear(&body);
}

static void sync_server_on_timer(uv_timer_t *timer);

static void sync_server_arm(struct sync_server *server)
{
	const struct poll *oldest;
	int64_t wait;

	if (list_is_empty(&server->ages)) {
		uv_timer_stop(&server->timer);
		return;
	}
	oldest = container_of(server->ages.next, struct poll, age);
	wait = oldest->deadline_ms - clock_mono_ms();
	uv_timer_start(&server->timer, sync_server_on_timer, wait > 0 ? (uint64_t)wait : 0, 0);
}

static void sync_server_on_timer(uv_timer_t *timer)
{
	struct sync_server *server = container_of(timer, struct sync_server, timer);
	int64_t now = clock_mono_ms();

	LIST_FOREACH(item, &server->ages) {
		struct poll *p = container_of(item, struct poll, age);

		if (p->deadline_ms > now)
			break;
		list_remove(&p->age);
		if (p->is_held)
			poll_answer(p, NULL, false, false);
	}
	sync_server_arm(server);
}

static void poll_hold(struct poll *p)
{
	list_remove(&p->link);
	list_append(&p->server->held, &p->link);
	p->is_held = true;
}

static void poll_settle(struct poll *p)
{
	/* A poll that was freed has left the list, which the analyzer does not see. */
	struct engine *engine = p->server->spec.engine; // NOLINT(clang-analyzer-unix.Malloc)
	struct node *node = engine_node(engine, p->node);
	/* Its time may be over already: that counts from when it came, as the agent's patience
	 * does, however long its token was checked. */
	bool is_over = list_is_empty(&p->age);
	bool want_report, want_features;

	if (!node || !str_equal(node->uid, p->node_uid)) {
		poll_refuse(p, 503, "the node is not known here any more");
		return;
	}
	want_report = !node->reported || strcmp(node->report_hash, p->report_hash) != 0;
	want_features = engine_wants_features(engine, node);
	if (is_over || want_report || want_features ||
	    (node->set && strcmp(node->set->hash, p->set_hash) != 0))
		poll_answer(p, node, want_report, want_features);
	else
		poll_hold(p);
}

bool sync_server_release(struct sync_server *server)
{
	int n = 0;

	while (!list_is_empty(&server->pending) && n++ < SYNC_SERVER_BATCH)
		poll_settle(container_of(server->pending.next, struct poll, link));
	return !list_is_empty(&server->pending);
}

void sync_server_set_changed(struct sync_server *server, struct node *node)
{
	struct poll *p = node->poll;

	if (!p)
		return;
	list_remove(&p->link);
	list_append(&server->pending, &p->link);
	p->is_held = false;
}

/* Requests. */

/* The agent that asked before on another connection has given that one up. */
static void poll_replace(struct node *node, struct poll *p)
{
	struct poll *old = node->poll;

	node->poll = NULL;
	if (old)
		poll_answer(old, NULL, false, false);
	node->poll = p;
}

static void poll_log_reports(const struct poll *p, const struct sync_request *req)
{
	size_t i;

	for (i = 0; req->has_report && i < req->report.n; i++) {
		const struct sync_status *s = &req->report.items[i];

		log_debug("profile reported", log_s("node", p->node), log_s("profile", s->name),
			  log_s("revision", s->target), log_s("state", sync_state_name(s->state)),
			  log_s("reason", sync_reason_name(s->reason)),
			  log_i("fetchUs", s->fetch_us), log_i("loadUs", s->load_us),
			  log_i("verifyUs", s->verify_us));
	}
}

static int poll_decode(struct poll *p, struct sync_request *req, struct err *err)
{
	CLEANUP(js_putp) struct json_object *obj = NULL;
	size_t n;
	const char *body = http_exchange_body(p->ex, &n);
	int r = js_parse_bounded(body, n, SYNC_REQUEST_HEAP_MAX, &obj, err);

	http_exchange_forget_body(p->ex);
	return r < 0 ? r : sync_request_decode(obj, req, err);
}

/* The identity is proved. */
static void poll_take(struct poll *p, struct sync_request *req)
{
	struct sync_server *server = p->server;
	struct engine *engine = server->spec.engine;

	if (req->epoch > server->epoch) {
		poll_refuse(p, 503, "the agent has seen a leader that was elected after this one");
		return;
	}
	memcpy(p->set_hash, req->set_hash, sizeof(p->set_hash));
	memcpy(p->report_hash, req->report_hash, sizeof(p->report_hash));
	poll_log_reports(p, req);
	if (engine_agent_heard(engine, p->node, p->node_uid, req, clock_steady_ms()) !=
	    REPORT_TAKEN) {
		poll_refuse(p, 503, "the node is not known here yet");
		return;
	}
	poll_replace(engine_node(engine, p->node), p);
	list_remove(&p->link);
	list_append(&server->pending, &p->link);
	server->spec.on_facts(server->spec.data);
}

static void poll_sync(struct poll *p)
{
	struct sync_request req = {0};
	struct err err;

	if (!engine_is_started(p->server->spec.engine)) {
		list_remove(&p->link);
		list_append(&p->server->early, &p->link);
		return;
	}
	if (http_exchange_is_bare(p->ex)) {
		poll_refuse(p, 503, "what this replica knows has changed meanwhile: try again");
	} else if (poll_decode(p, &req, &err) < 0) {
		log_warn("a sync was refused", log_s("node", p->node), log_s("why", err.msg));
		poll_refuse(p, 400, err.msg);
	} else if (req.protocol != SYNC_PROTOCOL) {
		http_reply_message(
		    p->ex, 426,
		    "this controller speaks version %d of the agent protocol, not %lld: "
		    "install agent and controller of one release",
		    SYNC_PROTOCOL, (long long)req.protocol);
		poll_free(p);
	} else {
		poll_take(p, &req);
	}
	sync_request_clear(&req);
}

/* A node may be told only what its set names: else each hash that it makes up would be a line in
 * the log and a walk over all that was compiled. */
static bool poll_is_told(const struct poll *p, const char *sha256)
{
	const struct node *node = engine_node(p->server->spec.engine, p->node);

	return node && node->set && strstr(node->set->text, sha256);
}

static void poll_artefact(struct poll *p, const char *sha256)
{
	struct sync_server *server = p->server;
	struct http_reply reply = {
	    .status = 200,
	    .content_type = "application/octet-stream",
	    .free_body = artefact_bytes_unref,
	};
	struct artefact_bytes *bytes;
	struct err err;
	int r;

	if (!str_is_hex(sha256, SHA256_HEX - 1)) {
		poll_refuse(p, 404, "an artefact's name is 64 hexadecimal digits");
		return;
	}
	r = artefact_share(server->spec.artefacts, sha256, &bytes, &err);
	if (r < 0 && !poll_is_told(p, sha256)) {
		poll_refuse(p, 404, "there is no such artefact, and the node's set names none");
		return;
	}
	if (r < 0) {
		log_warn("an artefact could not be served", log_s("artefact", sha256),
			 log_s("node", p->node), log_s("why", err.msg));
		server->spec.on_lost(server->spec.data, sha256);
		poll_refuse(p, 503, err.msg);
		return;
	}
	reply.body = bytes->data;
	reply.n_body = bytes->n;
	reply.owner = bytes;
	http_reply(p->ex, &reply);
	log_debug("artefact sent", log_s("node", p->node), log_s("artefact", sha256));
	poll_free(p);
}

static void poll_route(struct poll *p)
{
	static const char prefix[] = "/v1/policies/";
	const char *path = http_exchange_path(p->ex);
	const char *method = http_exchange_method(p->ex);

	if (strcmp(path, "/v1/sync") == 0 && strcmp(method, "POST") == 0)
		poll_sync(p);
	else if (str_has_prefix(path, prefix) && strcmp(method, "GET") == 0)
		poll_artefact(p, path + sizeof(prefix) - 1);
	else
		poll_refuse(p, 404, "there is POST /v1/sync and GET /v1/policies/SHA256");
}

static void poll_identified(struct poll *p, const struct identity_result *res)
{
	static const int statuses[] = {
	    [IDENTITY_OK] = 200,
	    [IDENTITY_INVALID] = 401,
	    [IDENTITY_FORBIDDEN] = 403,
	    [IDENTITY_UNAVAILABLE] = 503,
	};

	if (res->verdict != IDENTITY_OK) {
		log_warn("a caller was turned away", log_i("status", statuses[res->verdict]),
			 log_s("why", res->why));
		poll_refuse(p, statuses[res->verdict], res->why);
		return;
	}
	p->node = mem_strdup(res->node_name);
	p->node_uid = mem_strdup(res->node_uid);
	poll_route(p);
}

static void poll_on_checked(void *data, const struct identity_result *res)
{
	struct poll *p = data;

	p->check = NULL;
	poll_identified(p, res);
}

/* Borrowed; NULL where the request brings none. */
static const char *sync_server_token(struct http_exchange *ex)
{
	static const char bearer[] = "Bearer ";
	const char *header = http_exchange_header(ex, "Authorization");

	return header && str_has_prefix(header, bearer) ? header + sizeof(bearer) - 1 : NULL;
}

/* A token that has to be reviewed first may be good. */
static bool sync_server_wants_body(struct http_exchange *ex, void *data)
{
	struct sync_server *server = data;
	const char *token = sync_server_token(ex);
	struct identity_result res;

	if (!server->leading || !token || strcmp(http_exchange_method(ex), "POST") != 0)
		return false;
	return !identity_lookup(server->spec.identity, token, clock_wall_ms(), &res) ||
	       res.verdict == IDENTITY_OK;
}

static struct poll *poll_new(struct sync_server *server, struct http_exchange *ex)
{
	struct poll *p = MEM_NEW(struct poll);
	bool first = list_is_empty(&server->ages);

	p->server = server;
	p->ex = ex;
	p->deadline_ms = clock_mono_ms() + server->hold_ms;
	list_init(&p->link);
	list_append(&server->ages, &p->age);
	http_exchange_set_data(ex, p);
	if (first)
		sync_server_arm(server);
	return p;
}

static void sync_server_on_request(struct http_exchange *ex, void *data)
{
	struct sync_server *server = data;
	const char *token = sync_server_token(ex);
	struct identity_result res;
	char from[64];
	struct poll *p;

	if (!server->leading) {
		sync_server_redirect(server, ex);
		return;
	}
	if (!token) {
		http_reply_message(ex, 401, "no token: an agent sends its service account token");
		return;
	}
	p = poll_new(server, ex);
	if (identity_lookup(server->spec.identity, token, clock_wall_ms(), &res)) {
		poll_identified(p, &res);
		return;
	}
	list_append(&server->checking, &p->link);
	http_exchange_peer(ex, from, sizeof(from));
	p->check = identity_check(server->spec.identity, token, from, poll_on_checked, p);
}

static void sync_server_on_gone(struct http_exchange *ex, void *data)
{
	struct poll *p = http_exchange_get_data(ex);

	(void)data;
	if (p)
		poll_free(p);
}

/* Leading. */

void sync_server_lead(struct sync_server *server, int64_t epoch)
{
	server->epoch = epoch;
	server->leading = true;
	if (!engine_is_started(server->spec.engine))
		return;
	LIST_FOREACH(item, &server->early)
		poll_sync(container_of(item, struct poll, link));
}

void sync_server_follow(struct sync_server *server, const char *leader)
{
	mem_replace(&server->leader, mem_strdup(leader));
}

/* Life. */

int sync_server_new(uv_loop_t *loop, const struct sync_server_spec *spec, struct sync_server **ret,
		    struct err *err)
{
	struct sync_server *server = MEM_NEW(struct sync_server);
	struct http_server_spec http = {
	    .listen = spec->listen,
	    .cert_pem = spec->cert_pem,
	    .key_pem = spec->key_pem,
	    .max_body = SYNC_REQUEST_MAX,
	    .max_bodies = SYNC_SERVER_BODIES,
	    .max_connections = spec->max_connections,
	    .max_connections_per_ip = spec->max_connections_per_address,
	    .header_timeout_ms = SYNC_SERVER_HEADER_MS,
	    .body_timeout_ms = SYNC_SERVER_BODY_MS,
	    .idle_timeout_ms = SYNC_SERVER_IDLE_MS,
	    .wants_body = sync_server_wants_body,
	    .on_request = sync_server_on_request,
	    .on_gone = sync_server_on_gone,
	    .data = server,
	};
	int r;

	server->spec = *spec;
	server->hold_ms = spec->hold_ms ? spec->hold_ms : SYNC_SERVER_HOLD_MS;
	list_init(&server->checking);
	list_init(&server->early);
	list_init(&server->pending);
	list_init(&server->held);
	list_init(&server->ages);
	r = http_server_new(loop, &http, &server->http, err);
	if (r < 0) {
		free(server);
		return r;
	}
	uv_timer_init(loop, &server->timer);
	*ret = server;
	return 0;
}

uint16_t sync_server_port(const struct sync_server *server)
{
	return http_server_port(server->http);
}

int sync_server_set_certificate(struct sync_server *server, const char *cert_pem,
				const char *key_pem, struct err *err)
{
	return http_server_set_certificate(server->http, cert_pem, key_pem, err);
}

static void sync_server_on_timer_closed(uv_handle_t *handle)
{
	struct sync_server *server = container_of(handle, struct sync_server, timer);

	server->closed(server->closed_data);
	free(server->leader);
	free(server);
}

static void sync_server_on_http_closed(void *data)
{
	struct sync_server *server = data;

	uv_close((uv_handle_t *)&server->timer, sync_server_on_timer_closed);
}

static void poll_free_all(struct list *list)
{
	LIST_FOREACH(item, list)
		poll_free(container_of(item, struct poll, link));
}

void sync_server_close(struct sync_server *server, void (*closed)(void *data), void *data)
{
	server->closed = closed;
	server->closed_data = data;
	/* The exchanges are answered by the drain; only what we keep of them goes here. */
	poll_free_all(&server->checking);
	poll_free_all(&server->early);
	poll_free_all(&server->pending);
	poll_free_all(&server->held);
	uv_timer_stop(&server->timer);
	http_server_close(server->http, SYNC_SERVER_DRAIN_MS, sync_server_on_http_closed, server);
}
