#pragma once

/*
 * From a revision to an artefact for one feature set, once: looked up in the index on disk, else
 * compiled and kept.
 */

#include "controller/artefact.h"
#include "controller/engine.h"
#include "policy/compiler.h"

struct builds;

struct builds_spec {
	struct compiler *compiler;
	struct artefact_store *artefacts;
	/* An answer waits for builds_flush(). */
	void (*on_ready)(void *data);
	/* Comes from builds_flush() only. */
	void (*on_built)(void *data, const char *object, const char *revision, const char *features,
			 const struct compiled *res);
	void *data;
};

struct builds *builds_new(const struct builds_spec *spec);

/* Start one. `object` is for the answer. */
void builds_start(struct builds *builds, const char *object, const struct revision *rev,
		  const char *features, const char *features_text);

void builds_flush(struct builds *builds);

/* Cancel all. `closed` comes once, from the loop. */
void builds_close(struct builds *builds, void (*closed)(void *data), void *data);
