#pragma once

/*
 * The agents' door: POST /v1/sync, held until there is something to say, and GET
 * /v1/policies/{sha256}.
 *
 * Who calls is proved by identity.h before a byte of the body is looked at, and where
 * the headers alone say that it is nobody of ours, before one is kept. What an agent says goes
 * into the engine; what the engine decides comes out by sync_server_set_changed() and
 * sync_server_release().
 */

#include "base/err.h"
#include "controller/artefact.h"
#include "controller/engine.h"
#include "controller/identity.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct sync_server;

struct sync_server_spec {
	const char *listen;
	const char *cert_pem, *key_pem;
	unsigned int max_connections;
	unsigned int max_connections_per_address; /* 0: no such limit */
	int64_t hold_ms;                          /* of a poll; 0: 58 s */
	struct engine *engine;
	struct identity *identity;
	struct artefact_store *artefacts;
	/* Facts were given to the engine: run it soon, and then sync_server_release(). */
	void (*on_facts)(void *data);
	/* An artefact on disk proved damaged. */
	void (*on_lost)(void *data, const char *sha256);
	void *data;
};

int sync_server_new(uv_loop_t *loop, const struct sync_server_spec *spec, struct sync_server **ret,
		    struct err *err);

uint16_t sync_server_port(const struct sync_server *server);

int sync_server_set_certificate(struct sync_server *server, const char *cert_pem,
				const char *key_pem, struct err *err);

/* We lead, under this epoch: agents are answered from now on. Requests that came before the engine
 * has started are held until it has. */
void sync_server_lead(struct sync_server *server, int64_t epoch);

/* Somebody else leads, at "host:port": agents are sent there. "": not known yet. */
void sync_server_follow(struct sync_server *server, const char *leader);

/* The set of a node is another one; its poll, where it holds one, is released by the next
 * sync_server_release(). */
void sync_server_set_changed(struct sync_server *server, struct node *node);

/* Answer polls for which there is something to say, a bounded number at once. True when there are
 * more: call it again in the next turn of the loop. */
bool sync_server_release(struct sync_server *server);

/* Answer all with 503, take no more, free. `closed` comes once, from the loop. */
void sync_server_close(struct sync_server *server, void (*closed)(void *data), void *data);
