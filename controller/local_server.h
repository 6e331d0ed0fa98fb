#pragma once

/*
 * What only the pod itself may ask, on its loopback: /healthz and /readyz. Plain HTTP, reached by
 * the kubelet's exec probes and through `kubectl port-forward`, which RBAC on pods/portforward
 * guards.
 */

#include "base/err.h"

#include <stdbool.h>
#include <uv.h>

struct local_server;

struct local_server_spec {
	const char *listen; /* a loopback address; anything else is refused */
	bool (*is_alive)(void *data);
	bool (*is_ready)(void *data);
	void *data;
};

int local_server_new(uv_loop_t *loop, const struct local_server_spec *spec,
		     struct local_server **ret, struct err *err);

void local_server_close(struct local_server *server, void (*closed)(void *data), void *data);
