#pragma once

/*
 * Names of pods by uid, for a message that says which pod holds a profile. Asked for a node at a
 * time, when somebody wants to know, and kept for half a minute.
 */

#include "kube/client.h"

struct pods;

struct pods *pods_new(struct kube_client *client, void (*known)(void *data, const char *node),
		      void *data);

/* "namespace/name", or NULL while it is not known: `known` tells when the node's pods have been
 * read. A uid that is not among them stays NULL without asking again before its time. Valid until
 * the next turn of the loop. */
const char *pods_name(struct pods *pods, const char *node, const char *uid);

void pods_free(struct pods *pods);
