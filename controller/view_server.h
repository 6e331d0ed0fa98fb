#pragma once

/*
 * What does not fit a bounded status, for `kubectl hauberk`, on the pod's loopback: reached through
 * `kubectl port-forward`, which RBAC on pods/portforward guards, and never from the pod network.
 * Plain HTTP, JSON, nothing that changes anything:
 *
 *   GET  /v1/profiles/NAME   all nodes of a profile            view_profile()
 *   GET  /v1/nodes           all nodes, in short               view_nodes()
 *   GET  /v1/nodes/NAME      all profiles of a node            view_node()
 *   POST /v1/plan            what applying this AppArmorProfile would do   engine_plan_preview()
 *
 * 404 and 400 carry {"message"}. A replica that does not lead, or not yet, answers 503 with
 * {"message", "leader"}: the identity in the Lease.
 */

#include "base/err.h"
#include "controller/engine.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct view_server;

struct view_server_spec {
	const char *listen; /* a loopback address; anything else is refused */
	struct engine *engine;
	bool (*leads)(void *data);
	const char *(*leader)(void *data); /* the identity in the Lease; "" where there is none */
	void *data;
};

int view_server_new(uv_loop_t *loop, const struct view_server_spec *spec, struct view_server **ret,
		    struct err *err);

uint16_t view_server_port(const struct view_server *server);

/* `closed` comes once, from the loop. */
void view_server_close(struct view_server *server, void (*closed)(void *data), void *data);
