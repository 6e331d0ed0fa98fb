#include "controller/local_server.h"

#include "base/mem.h"
#include "base/str.h"
#include "net/http_server.h"

#include <stdlib.h>
#include <string.h>

enum { LOCAL_CONNECTIONS = 64, LOCAL_TIMEOUT_MS = 10 * 1000, LOCAL_DRAIN_MS = 1000 };

struct local_server {
	struct http_server *http;
	struct local_server_spec spec;
	void (*closed)(void *data);
	void *closed_data;
};

static void local_server_say(struct http_exchange *ex, bool ok)
{
	const char *text = ok ? "ok\n" : "not yet\n";
	struct http_reply reply = {.status = ok ? 200 : 503,
				   .content_type = "text/plain",
				   .body = text,
				   .n_body = strlen(text)};

	http_reply(ex, &reply);
}

static void local_server_on_request(struct http_exchange *ex, void *data)
{
	struct local_server *server = data;
	const char *path = http_exchange_path(ex);

	if (strcmp(path, "/healthz") == 0)
		local_server_say(ex, server->spec.is_alive(server->spec.data));
	else if (strcmp(path, "/readyz") == 0)
		local_server_say(ex, server->spec.is_ready(server->spec.data));
	else
		http_reply_message(ex, 404, "there is /healthz and /readyz");
}

static bool local_server_is_loopback(const char *listen)
{
	return str_has_prefix(listen, "127.") || str_has_prefix(listen, "[::1]:");
}

int local_server_new(uv_loop_t *loop, const struct local_server_spec *spec,
		     struct local_server **ret, struct err *err)
{
	struct local_server *server;
	struct http_server_spec http = {
	    .listen = spec->listen,
	    .max_body = 1024,
	    .max_connections = LOCAL_CONNECTIONS,
	    .header_timeout_ms = LOCAL_TIMEOUT_MS,
	    .body_timeout_ms = LOCAL_TIMEOUT_MS,
	    .idle_timeout_ms = LOCAL_TIMEOUT_MS,
	    .on_request = local_server_on_request,
	};
	int r;

	if (!local_server_is_loopback(spec->listen))
		return err_set(
		    err, -EINVAL,
		    "--local-listen %s is not a loopback address: what it answers is for "
		    "the pod itself",
		    spec->listen);
	server = MEM_NEW(struct local_server);
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

static void local_server_on_closed(void *data)
{
	struct local_server *server = data;

	server->closed(server->closed_data);
	free(server);
}

void local_server_close(struct local_server *server, void (*closed)(void *data), void *data)
{
	server->closed = closed;
	server->closed_data = data;
	http_server_close(server->http, LOCAL_DRAIN_MS, local_server_on_closed, server);
}
