#pragma once

/*
 * Our own namespace, followed for the one thing that matters: it is going. A controller may well be
 * started in those seconds, for that is when its pod is killed, so a namespace that is Terminating
 * when it is first seen counts like one that becomes so.
 */

#include "kube/client.h"

struct home;

struct home_spec {
	const char *namespace_;       /* copied */
	void (*on_going)(void *data); /* once, from the loop */
	void (*on_trouble)(void *data, const char *why);
	void *data;
};

struct home *home_follow(struct kube_client *client, const struct home_spec *spec);

/* No callback comes after this. */
void home_close(struct home *home);
