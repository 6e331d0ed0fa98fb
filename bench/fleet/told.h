#pragma once

/*
 * What the fleet was told, kept once for all agents: items of sets, and responses by their bytes.
 * Thousands of agents of one process hear the same words; decoding them once is what lets this
 * machine's processors be the controller's, as they are in a cluster.
 */

#include "api/sync_msg.h"
#include "base/map.h"

struct told_response {
	struct sync_response head; /* without items */
	const struct sync_item **items;
	size_t n;
};

struct told {
	struct map responses; /* SHA-256 of a body -> struct told_response */
	struct map items;     /* what makes an item this one -> struct sync_item */
	struct map reports;   /* for report.c */
};

/* Decodes `body`, or finds it. What it returns lives until told_trim(). */
int told_read(struct told *told, const char *body, size_t n, const struct told_response **ret,
	      struct err *err);

/* Forget responses and reports where there are many: their agents have read them. Items stay: an
 * agent holds them, and there is one a profile, revision and kernel. */
void told_trim(struct told *told);
void told_clear(struct told *told);
