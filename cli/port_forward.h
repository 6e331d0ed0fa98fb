#pragma once

/*
 * `kubectl port-forward` as a child: kubectl knows every way to log in and to reach a pod.
 *
 * The child ends with us, however we end.
 */

#include "base/err.h"
#include "cli/cluster.h"

#include <stdint.h>
#include <sys/types.h>

struct port_forward {
	pid_t pid;
	int fd; /* its standard output, kept open as long as it runs */
	uint16_t port;
};

/* Start it and wait until it listens on a free port of ours. What kubectl complains of becomes the
 * sentence. */
int port_forward_start(const struct cluster_options *where, const char *namespace_, const char *pod,
		       uint16_t pod_port, struct port_forward *ret, struct err *err);

void port_forward_stop(struct port_forward *forward);
