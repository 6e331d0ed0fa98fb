#include "controller/view_server.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/engine_preview.h"
#include "controller/view.h"
#include "net/http_server.h"

#include <stdlib.h>
#include <string.h>

enum {
	VIEW_CONNECTIONS = 16,
	VIEW_TIMEOUT_MS = 10 * 1000,
	VIEW_DRAIN_MS = 1000,
	/* A policy of 256 KiB, each byte of which JSON may need six for. */
	VIEW_BODY_MAX = 2 << 20,
};

struct view_server {
	struct http_server *http;
	struct view_server_spec spec;
	void (*closed)(void *data);
	void *closed_data;
};

static void view_free_body(void *owner)
{
	json_object_put(owner);
}

/* Takes over `obj`. */
static void view_reply(struct http_exchange *ex, int status, struct json_object *obj)
{
	struct http_reply reply = {.status = status,
				   .content_type = "application/json",
				   .free_body = view_free_body,
				   .owner = obj};

	reply.body = js_print(obj, &reply.n_body);
	http_reply(ex, &reply);
}

static void view_profile_request(struct view_server *s, struct http_exchange *ex, const char *name)
{
	const struct aap *aap = engine_profile(s->spec.engine, name);

	if (aap)
		view_reply(ex, 200, view_profile(s->spec.engine, aap, clock_steady_ms()));
	else
		http_reply_message(ex, 404, "there is no AppArmorProfile %.253s", name);
}

static void view_nodes_request(struct view_server *s, struct http_exchange *ex, const char *name)
{
	(void)name;
	view_reply(ex, 200, view_nodes(s->spec.engine));
}

static void view_node_request(struct view_server *s, struct http_exchange *ex, const char *name)
{
	const struct node *node = engine_node(s->spec.engine, name);

	if (node && node->exists)
		view_reply(ex, 200, view_node(s->spec.engine, node));
	else
		http_reply_message(ex, 404, "there is no node %.253s", name);
}

static int view_plan(struct view_server *s, const char *body, size_t n, struct json_object **ret,
		     struct err *err)
{
	CLEANUP(js_putp) struct json_object *obj = NULL;
	struct profile p;
	int r = js_parse(body, n, &obj, err);

	if (r == 0)
		r = engine_preview_parse(s->spec.engine, obj, &p, err);
	if (r < 0)
		return r;
	*ret = engine_plan_preview(s->spec.engine, &p, clock_steady_ms());
	profile_clear(&p);
	return 0;
}

static void view_plan_request(struct view_server *s, struct http_exchange *ex, const char *name)
{
	struct json_object *plan;
	struct err err;
	size_t n;
	const char *body = http_exchange_body(ex, &n);

	(void)name;
	if (view_plan(s, body, n, &plan, &err) < 0)
		http_reply_message(ex, 400, "%s", err.msg);
	else
		view_reply(ex, 200, plan);
}

struct view_route {
	const char *method;
	const char *path; /* with a slash at the end: a name follows */
	void (*answer)(struct view_server *server, struct http_exchange *ex, const char *name);
};

static const struct view_route view_routes[] = {
    {"GET", "/v1/profiles/", view_profile_request},
    {"GET", "/v1/nodes", view_nodes_request},
    {"GET", "/v1/nodes/", view_node_request},
    {"POST", "/v1/plan", view_plan_request},
};

/* The name behind the route's path, "" where it takes none; NULL: another path. */
static const char *view_route_match(const struct view_route *route, const char *path)
{
	size_t n = strlen(route->path);

	if (strncmp(path, route->path, n) != 0)
		return NULL;
	if (route->path[n - 1] == '/')
		return path[n] && !strchr(path + n, '/') ? path + n : NULL;
	return path[n] ? NULL : "";
}

static bool view_server_leads(struct view_server *s, struct http_exchange *ex)
{
	const char *leader = s->spec.leader(s->spec.data);
	struct json_object *obj;

	if (s->spec.leads(s->spec.data) && engine_is_started(s->spec.engine))
		return true;
	obj = js_new();
	js_put_str(obj, "message",
		   s->spec.leads(s->spec.data)
		       ? "this replica has just begun to lead, and is still reading the cluster"
		       : "this replica of the controller does not lead");
	js_put_str(obj, "leader", leader);
	view_reply(ex, 503, obj);
	return false;
}

static void view_server_on_request(struct http_exchange *ex, void *data)
{
	struct view_server *s = data;
	const char *path = http_exchange_path(ex), *method = http_exchange_method(ex);
	bool known = false;
	size_t i;

	for (i = 0; i < sizeof(view_routes) / sizeof(view_routes[0]); i++) {
		const char *name = view_route_match(&view_routes[i], path);

		known |= name != NULL;
		if (!name || strcmp(method, view_routes[i].method) != 0)
			continue;
		if (view_server_leads(s, ex))
			view_routes[i].answer(s, ex, name);
		return;
	}
	if (known)
		http_reply_message(ex, 405, "nothing can be changed here, %s is not understood",
				   method);
	else
		http_reply_message(ex, 404,
				   "there is /v1/profiles/NAME, /v1/nodes, /v1/nodes/NAME and, to "
				   "POST to, /v1/plan");
}

static bool view_server_is_loopback(const char *listen)
{
	return str_has_prefix(listen, "127.") || str_has_prefix(listen, "[::1]:");
}

int view_server_new(uv_loop_t *loop, const struct view_server_spec *spec, struct view_server **ret,
		    struct err *err)
{
	struct view_server *server;
	struct http_server_spec http = {
	    .listen = spec->listen,
	    .max_body = VIEW_BODY_MAX,
	    .max_connections = VIEW_CONNECTIONS,
	    .header_timeout_ms = VIEW_TIMEOUT_MS,
	    .body_timeout_ms = VIEW_TIMEOUT_MS,
	    .idle_timeout_ms = VIEW_TIMEOUT_MS,
	    .on_request = view_server_on_request,
	};
	int r;

	if (!view_server_is_loopback(spec->listen))
		return err_set(err, -EINVAL,
			       "--view-listen %s is not a loopback address: what it answers is "
			       "for those whom Kubernetes lets forward ports to the pod",
			       spec->listen);
	server = MEM_NEW(struct view_server);
	server->spec = *spec;
	http.data = server;
	r = http_server_new(loop, &http, &server->http, err);
	if (r < 0) {
		free(server);
		return r;
	}
	*ret = server;
	return 0;
}

uint16_t view_server_port(const struct view_server *server)
{
	return http_server_port(server->http);
}

static void view_server_on_closed(void *data)
{
	struct view_server *server = data;

	server->closed(server->closed_data);
	free(server);
}

void view_server_close(struct view_server *server, void (*closed)(void *data), void *data)
{
	server->closed = closed;
	server->closed_data = data;
	http_server_close(server->http, VIEW_DRAIN_MS, view_server_on_closed, server);
}
