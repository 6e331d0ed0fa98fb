#pragma once

/*
 * How a command reaches the listener of the controller's leader, which stands on its pod's loopback
 * (controller/view_server.h): at the URL that the user names, else through `kubectl port-forward`
 * to the pod that the Lease names.
 */

#include "base/err.h"
#include "base/js.h"
#include "cli/cluster.h"

#include <stdbool.h>
#include <stdint.h>

struct leader;

enum { LEADER_PORT = 8082 }; /* of the listener in the pod */

struct leader_options {
	const char *controller; /* "http://127.0.0.1:8082"; NULL: $HAUBERK_CONTROLLER, or found */
	const char *namespace_;
};

#define LEADER_OPTIONS_INIT                    \
	{                                      \
		.namespace_ = "hauberk-system" \
	}

/* For a command's table of options. */
#define LEADER_OPTIONS(leader_)                                                        \
	{"controller",                                                                 \
	 0,                                                                            \
	 OPTION_TEXT,                                                                  \
	 &(leader_).controller,                                                        \
	 0,                                                                            \
	 0,                                                                            \
	 "URL",                                                                        \
	 "the leader's loopback listener (default: $HAUBERK_CONTROLLER, or its pod)"}, \
	{                                                                              \
		"namespace", 'n', OPTION_TEXT, &(leader_).namespace_, 0, 0, "NAME",    \
		    "where Hauberk is installed (default hauberk-system)"              \
	}

/* Find it, and start the port-forward where one is needed. The caller closes it before the
 * cluster, which it borrows together with the options. */
int leader_open(struct cluster *cluster, const struct cluster_options *where,
		const struct leader_options *options, struct leader **ret, struct err *err);
void leader_close(struct leader *leader); /* takes NULL */
void leader_closep(struct leader **leader);

/* GET, or POST where there is a body. A status of 200 is success; *ret is the caller's. Whatever
 * else it says becomes the sentence, -ENOENT for a 404. */
int leader_ask(struct leader *leader, const char *path, struct json_object *body,
	       struct json_object **ret, struct err *err);

/* Pure. */

/* The pod in a Lease's holderIdentity, "POD@HOST:PORT"; false where that is no pod's name. The
 * caller frees *ret. */
bool leader_pod(const char *identity, char **ret);

/* The port in a line of `kubectl port-forward`, "Forwarding from 127.0.0.1:40123 -> 8082"; 0: it is
 * another line. */
uint16_t leader_forwarded_port(const char *line);
