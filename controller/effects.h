#pragma once

/*
 * Carries out what the engine decides: compiles, writes to the API server, keeps artefacts, and
 * gives the engine the answers.
 */

#include "controller/artefact.h"
#include "controller/engine.h"
#include "controller/history.h"
#include "controller/node_objects.h"
#include "kube/client.h"
#include "kube/event.h"
#include "kube/informer.h"
#include "policy/compiler.h"

#include <stdbool.h>

struct effects;

/* For engine_options; its data is the struct effects. */
extern const struct engine_ops effects_ops;

struct effects_spec {
	struct kube_client *client;
	const char *namespace_;
	struct compiler *compiler;
	struct artefact_store *artefacts;
	struct kube_recorder *recorder;
	/* Answers were given to the engine, or wait for effects_flush(): run it soon. */
	void (*on_facts)(void *data);
	void (*set_changed)(void *data, struct node *node);
	void *data;
};

struct effects *effects_new(const struct effects_spec *spec);

/* What needs an engine, or is needed by one, is made after it. */
void effects_bind(struct effects *effects, struct engine *engine, struct history *history,
		  struct node_objects *node_objects, struct kube_informer *profiles);

/* Give the engine the answers that were there at once; they must not come from inside its run. */
void effects_flush(struct effects *effects);

/* Answers of history.h, passed on by whoever started it. */
void effects_recorded(struct effects *effects, const char *object, const char *uid,
		      const char *revision, bool ok);

/* Drop all that is under way. Compilations end first: `closed` comes once, from the loop. */
void effects_close(struct effects *effects, void (*closed)(void *data), void *data);
