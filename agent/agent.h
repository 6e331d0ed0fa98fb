#pragma once

/*
 * The agent: brings together the controller (sync_client), the kernel (keeper) and the disk, and
 * decides when to speak.
 */

#include "base/err.h"

#include <stdint.h>
#include <uv.h>

struct agent;

struct agent_options {
	const char *url;     /* "https://hauberk-controller.hauberk-system.svc:443" */
	const char *address; /* where to connect, "host:port"; NULL: as the URL says */
	const char *token_file;
	const char *ca_dir;
	const char *state_dir;
	const char *securityfs;
	const char *sysfs;
	const char *proc;
	int64_t cache_max_bytes;
};

/* Take the node: -EBUSY with a sentence where another agent has it; -errno where the state folder
 * cannot be used. A kernel without AppArmor is no error, for the controller is to be told. The
 * options stay the caller's, and valid. */
int agent_new(uv_loop_t *loop, const struct agent_options *options, struct agent **ret,
	      struct err *err);

/* Stop, unload nothing. The agent is gone when the loop has run dry. */
void agent_close(struct agent *a);
