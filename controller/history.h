#pragma once

/*
 * Revisions of profiles, kept as ControllerRevisions in the controller's namespace, owned by their
 * profile: what was once accepted can be read again after any restart.
 *
 * In memory there is only their metadata. The number that `kubectl rollout history` knows as a
 * revision stands in the object and, for our own use, in an annotation.
 */

#include "controller/engine.h"
#include "kube/client.h"

#include <stdbool.h>

struct history;

struct history_spec {
	const char *namespace_;
	void (*recorded)(void *data, const char *object, const char *uid, const char *revision,
			 bool ok);
	/* `text` is NULL where there is none. */
	void (*fetched)(void *data, const char *object, const char *revision, const char *text,
			size_t n_text, enum profile_mode mode);
	/* It could not be read now. */
	void (*unfetched)(void *data, const char *object, const char *revision);
	void (*synced)(void *data);
	void *data;
};

struct history *history_start(struct kube_client *client, const struct history_spec *spec);
bool history_has_synced(const struct history *history);

/* Is this revision recorded, as the newest one of its profile? */
bool history_is_newest(struct history *history, const struct aap *aap, const char *revision);

/* Write it, or make an older one the newest again. `recorded` follows. */
void history_record(struct history *history, const struct aap *aap, const struct revision *rev);

/* Read it. `fetched` or `unfetched` follows. */
void history_fetch(struct history *history, const struct aap *aap, const char *revision);

/* Delete what is beyond the profile's revisionHistoryLimit, oldest first, but never what it serves,
 * asks for or a node reports. */
void history_prune(struct history *history, const struct aap *aap);

/* No callback comes after this. */
void history_close(struct history *history);
