#pragma once

/*
 * The controller as a whole: what it is made of, when it leads, how it ends.
 */

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct controller_options {
	const char *kubeconfig; /* NULL: as kubectl chooses it */
	const char *context;
	const char *namespace_;   /* NULL: that of the pod or of the context */
	const char *identity;     /* of this replica, in the Lease and in Events */
	const char *listen;       /* for agents */
	const char *local_listen; /* /healthz and /readyz, plain HTTP, on loopback; NULL: none */
	const char *view_listen;  /* for kubectl hauberk, plain HTTP, on loopback; "": none */
	const char *advertise;    /* "host:port" where agents reach this replica */
	const char *data_dir;
	int64_t artefacts_max_mib;
	int64_t max_connections;
	int64_t max_connections_per_address; /* 0: as many as there may be at all */
	const char *parser, *parser_base, *sandbox,
	    *default_abi; /* NULL: compiler.h's own choice */
	bool allow_unsandboxed;
};

/* Run until SIGTERM or SIGINT, or until the lease is lost. Returns 0 after an orderly end, else a
 * negative errno with a sentence. */
int controller_run(const struct controller_options *options, struct err *err);
