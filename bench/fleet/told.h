#pragma once

/*
 * What the fleet was told, kept once for all agents: items of sets, and responses by their bytes.
 * Thousands of agents of one process hear the same words; decoding them once is what lets this
 * machine's processors be the controller's, as they are in a cluster.
 */

#include "api/sync_msg.h"
#include "base/map.h"

struct told_response {
	struct sync_response head; /* without items and artefacts */
	const struct sync_item **items;
	size_t n;
	uint64_t *enclosed; /* artefacts that came along, by told_artefact_key() */
	size_t n_enclosed;
	size_t n_bad; /* others that came along, and are not what their names say */
};

struct told {
	struct map responses; /* SHA-256 of a body -> struct told_response */
	struct map items;     /* what makes an item this one -> struct sync_item */
	struct map reports;   /* for report.c */
};

/* An artefact's name in short: the first 16 digits of its hash. */
uint64_t told_artefact_key(const char *sha256);

/* Decodes `body`, or finds it. Of what is enclosed each byte is checked against its name, once.
 * What it returns lives until told_trim(). */
int told_read(struct told *told, const char *body, size_t n, const struct told_response **ret,
	      struct err *err);

/* Forget responses and reports where there are many: their agents have read them. Items stay: an
 * agent holds them, and there is one a profile, revision and kernel. */
void told_trim(struct told *told);
void told_clear(struct told *told);
