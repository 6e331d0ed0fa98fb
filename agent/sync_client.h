#pragma once

/*
 * The agent's side of POST /v1/sync (api/sync_msg.h): one long-poll at a time.
 *
 * The client asks its owner what to say, keeps track of what the controller has heard, follows a
 * replica that does not lead to the one that does, refuses an epoch lower than the highest seen,
 * and waits after a failure, longer each time. After each response it is the owner's turn:
 * sync_client_go().
 */

#include "api/sync_msg.h"
#include "base/backoff.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct sync_client;
struct http_client;

/* How it waits after a failure. However long the controller was away, the node is heard within
 * 7.5 s of its return. */
extern const struct backoff sync_client_backoff;

struct sync_client_spec {
	uv_loop_t *loop;
	struct http_client *http;
	const char *url;     /* "https://hauberk-controller.hauberk-system.svc:443" */
	const char *address; /* where to connect, "host:port"; NULL: as the URL says */
	const char *token_file;
	int64_t epoch; /* the highest seen by the agents before */
	/* Fill in all but protocol and epoch: the report with its hash, and the text of the feature
	 * set. What the controller has already is left out by the client, which clears the rest. */
	void (*fill)(void *data, struct sync_request *ret);
	/* A response of an epoch not lower than any before. The owner may take the items by zeroing
	 * the fields, and calls sync_client_go() in its time. */
	void (*on_response)(void *data, struct sync_response *res);
	void *data;
};

struct sync_client *sync_client_new(const struct sync_client_spec *spec);

/* Sync now. What is held meanwhile is given up, so this is for when there is something to say. Does
 * not shorten a wait after a failure. */
void sync_client_go(struct sync_client *c);

/* As above, and end a wait: something changed that may make it work, such as the CA. */
void sync_client_retry(struct sync_client *c);

/* True while an exchange is under way, and the hash of the report that it speaks of. */
bool sync_client_is_polling(const struct sync_client *c);
const char *sync_client_told_report(const struct sync_client *c);

/* The client is gone when the loop has run its close callbacks; nothing is called any more. */
void sync_client_close(struct sync_client *c);
