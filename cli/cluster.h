#pragma once

/*
 * The API server as a command uses it: one request after the other, each waited for.
 */

#include "base/err.h"
#include "base/js.h"
#include "kube/client.h"

struct cluster;

struct cluster_options {
	const char *kubeconfig; /* NULL: as kubectl chooses it */
	const char *context;
};

/* For a command's table of options. */
#define CLUSTER_OPTIONS(where_)                                             \
	{"kubeconfig",                                                      \
	 0,                                                                 \
	 OPTION_TEXT,                                                       \
	 &(where_).kubeconfig,                                              \
	 0,                                                                 \
	 0,                                                                 \
	 "FILE",                                                            \
	 "how to reach the API server (default: as kubectl)"},              \
	{                                                                   \
		"context", 0, OPTION_TEXT, &(where_).context, 0, 0, "NAME", \
		    "a context of the kubeconfig"                           \
	}

/* Finds the credentials; nothing is sent yet. The caller closes it. */
int cluster_open(const struct cluster_options *options, struct cluster **ret, struct err *err);

/* Over a client that is there already; `release`, where given, comes at the end. */
struct cluster *cluster_new(struct kube_client *client, const char *server,
			    void (*release)(void *owner), void *owner);

void cluster_close(struct cluster *cluster);   /* takes NULL */
void cluster_closep(struct cluster **cluster); /* for CLEANUP() */

/* "https://10.0.0.1:6443", for people. */
const char *cluster_server(const struct cluster *cluster);

/* For what a command does beside single requests. */
struct kube_client *cluster_client(const struct cluster *cluster);
uv_loop_t *cluster_loop(const struct cluster *cluster);
void cluster_run_until(struct cluster *cluster, const bool *happened);

struct cluster_answer {
	enum kube_outcome outcome;
	struct json_object *obj; /* or NULL */
	char *why;               /* a sentence; "" for KUBE_OK */
};

/* Where the outcome is one that the caller does not branch on, cluster_fail() makes an error of it.
 */
void cluster_request(struct cluster *cluster, const struct kube_request_spec *spec,
		     struct cluster_answer *ret);
void cluster_answer_clear(struct cluster_answer *answer);
int cluster_fail(const struct cluster_answer *answer, struct err *err);

/* One object. */
void cluster_get(struct cluster *cluster, const char *path, struct cluster_answer *ret);

/* All objects of a collection, page by page. `fn` borrows each; it stops the walk with a negative
 * errno. `label_selector` may be NULL. *ret_outcome is KUBE_NOT_FOUND where there is no such
 * collection, which is no error. */
typedef int (*cluster_item_fn)(void *data, struct json_object *item, struct err *err);
int cluster_each(struct cluster *cluster, const char *path, const char *label_selector,
		 cluster_item_fn fn, void *data, enum kube_outcome *ret_outcome, struct err *err);

void cluster_wait(struct cluster *cluster, uint64_t ms);
