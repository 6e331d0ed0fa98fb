#pragma once

/*
 * A kernel and a controller's store of artefacts, in memory, with faults to order.
 *
 * The "compiled policy" is a line of text, "web a web//kid": the name, the digit of which its
 * hashes are made, and its children.
 */

#include "agent_test.h"

#include "fetch.h"
#include "kernel.h"
#include "policy/blob.h"
#include "tasks.h"

#include <uv.h>

enum { MODEL_PROFILES = 64, MODEL_NAME = 32 };

struct model_profile {
	char name[MODEL_NAME]; /* "web", "web//kid"; "" for a free place */
	char digit;
	const char *mode;
	int64_t holder; /* a process that runs under it; 0: none */
};

struct model {
	struct kernel kernel;
	struct fetcher fetcher;
	uv_loop_t *loop;
	struct model_profile profiles[MODEL_PROFILES];
	int64_t revision;
	int n_replaced, n_removed, n_fetched;
	int n_ops, fail_op; /* the how-manieth operation of the kernel fails; 0: none */
	bool is_lying;      /* what is loaded gets another hash than promised */
	bool tasks_unknown;
	bool is_blind;                  /* nobody can tell whether policy changed */
	char stalled, missing, corrupt; /* artefacts of this digit */
	struct fetch *waiting;          /* the stalled one */
	/* Called before and after a replace. */
	void (*before)(struct model *m);
	void (*after)(struct model *m);
};

void model_init(struct model *m, uv_loop_t *loop);

/* By somebody else's hand. */
struct model_profile *model_find(struct model *m, const char *name);
void model_load(struct model *m, const char *line);
void model_unload(struct model *m, const char *name);

/* An item whose artefact the model has. */
struct sync_item model_item(const char *name, char digit, const char *child);

/* Let the stalled fetch go on. */
void model_release(struct model *m);
