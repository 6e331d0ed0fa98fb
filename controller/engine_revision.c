#include "base/container_of.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/engine_priv.h"
#include "policy/text.h"

#include <stdlib.h>
#include <string.h>

/*
 * The revisions of one profile that matter now: what spec asks for, the target, the current one,
 * and what nodes were told. Each lives in its aap's list as long as one of these points to it, with
 * its builds, so that going back compiles nothing.
 *
 * Of a revision that a former leader told nodes only its id is known at first; its text is read
 * back from its ControllerRevision.
 */

static void engine_build_free(void *value)
{
	struct build *build = value;

	sync_hashes_free(build->hashes, build->n_hashes);
	free(build->message);
	free(build);
}

static void engine_revision_free(struct revision *rev)
{
	list_remove(&rev->link);
	map_clear(&rev->builds, engine_build_free);
	free(rev->name);
	free(rev->text);
	free(rev);
}

struct revision *engine_revision_find(const struct aap *aap, const char *id)
{
	LIST_FOREACH(item, &aap->revisions) {
		struct revision *rev = container_of(item, struct revision, link);

		if (strcmp(rev->id, id) == 0)
			return rev;
	}
	return NULL;
}

struct revision *engine_revision_need(struct engine *e, struct aap *aap, const char *text,
				      size_t n_text, enum profile_mode mode)
{
	char id[PROFILE_REVISION_SIZE];
	struct revision *rev;

	policy_revision(aap->spec.name, text, n_text, mode, e->compiler_id, id);
	rev = engine_revision_find(aap, id);
	if (rev)
		return rev;
	rev = MEM_NEW(struct revision);
	memcpy(rev->id, id, sizeof(rev->id));
	rev->name = mem_strdup(aap->spec.name);
	rev->mode = mode;
	rev->text = mem_strndup(text, n_text);
	rev->n_text = n_text;
	list_append(&aap->revisions, &rev->link);
	if (strcmp(id, aap->current_id) == 0)
		aap->current = rev;
	return rev;
}

void engine_revisions_tidy(struct aap *aap)
{
	LIST_FOREACH(item, &aap->revisions) {
		struct revision *rev = container_of(item, struct revision, link);

		if (rev->refs == 0 && rev != aap->wanted && rev != aap->served &&
		    rev != aap->current)
			engine_revision_free(rev);
	}
}

void engine_revisions_free(struct aap *aap)
{
	LIST_FOREACH(item, &aap->revisions)
		engine_revision_free(container_of(item, struct revision, link));
	LIST_FOREACH(fetch, &aap->fetches)
		free(container_of(fetch, struct revision_fetch, link));
}

void engine_revision_take(struct revision **slot, struct revision *rev)
{
	if (rev)
		rev->refs++;
	if (*slot)
		(*slot)->refs--;
	*slot = rev;
}

struct build *engine_build(const struct revision *rev, const char *features)
{
	return rev && *features ? map_get(&rev->builds, features) : NULL;
}

bool engine_has_build(const struct revision *rev, const struct node *node)
{
	const struct build *build = engine_build(rev, node->features);

	return build && build->state == BUILD_OK;
}

/* Compiling. */

static struct build *engine_build_need(struct revision *rev, const char *features)
{
	struct build *build = map_get(&rev->builds, features);

	if (build)
		return build;
	build = MEM_NEW(struct build);
	memcpy(build->features, features, sizeof(build->features));
	build->message = mem_strdup("");
	map_put(&rev->builds, features, build);
	return build;
}

static int64_t engine_compile_one(struct engine *e, struct aap *aap, struct revision *rev)
{
	int64_t next = INT64_MAX;
	size_t i;

	for (i = 0; i < aap->n_needed; i++) {
		const char *features = aap->needed[i];
		struct build *build = engine_build_need(rev, features);

		if (build->asked || (build->state != BUILD_WAITING && !build->lost))
			continue;
		if (build->retry_ms > e->now_ms) {
			next = engine_min(next, build->retry_ms);
			continue;
		}
		build->asked = true;
		e->ops->compile(e->data, aap, rev, features, engine_features_text(e, features));
	}
	return next;
}

int64_t engine_compile(struct engine *e, struct aap *aap)
{
	int64_t next = INT64_MAX;

	LIST_FOREACH(item, &aap->revisions) {
		struct revision *rev = container_of(item, struct revision, link);

		next = engine_min(next, engine_compile_one(e, aap, rev));
	}
	return next;
}

static void engine_fill_build(struct build *build, enum profile_mode mode,
			      const struct compiled *res)
{
	build->state = res->state;
	build->forbidden = res->forbidden;
	mem_replace(&build->message, mem_strdup(res->message ? res->message : ""));
	if (res->state != BUILD_OK)
		return;
	build->lost = false;
	memcpy(build->artefact, res->artefact, sizeof(build->artefact));
	build->size = res->size;
	sync_hashes_free(build->hashes, build->n_hashes);
	build->n_hashes = res->n_hashes;
	sync_hashes_copy(res->hashes, res->n_hashes, &build->hashes);
	sync_family_expect(build->hashes, build->n_hashes, mode, &build->family);
	build->n_bytes = sync_hashes_bytes(build->hashes, build->n_hashes);
}

/* Those that were told the revision and have that kernel. */
static void engine_place_built(struct engine *e, struct aap *aap, const struct revision *rev,
			       const char *features)
{
	void *value;
	size_t it = 0;

	if (rev->refs == 0)
		return;
	while (map_next(&aap->placements, &it, NULL, &value)) {
		struct placement *p = value;

		if ((p->assigned != rev && p->before != rev) ||
		    strcmp(p->node->features, features) != 0)
			continue;
		engine_mark_node(e, p->node);
		engine_place_again(e, p);
	}
}

void engine_compiled(struct engine *e, const char *object, const char *revision,
		     const char *features, const struct compiled *res, int64_t now_ms)
{
	struct aap *aap = engine_profile(e, object);
	struct revision *rev = aap ? engine_revision_find(aap, revision) : NULL;
	struct build *build = rev ? map_get(&rev->builds, features) : NULL;

	e->now_ms = now_ms;
	if (!build || !build->asked)
		return;
	build->asked = false;
	if (res->state == BUILD_WAITING) {
		build->retry_ms = now_ms + ENGINE_COMPILE_RETRY_MS; /* not the text's fault */
	} else {
		engine_fill_build(build, rev->mode, res);
		engine_place_built(e, aap, rev, features);
	}
	aap->rollout.due = true;
	engine_mark_step(e, aap);
}

void engine_builds_forget(struct engine *e, const char *features)
{
	struct aap *aap;
	size_t it = 0;

	while ((aap = engine_next_profile(e, &it)))
		LIST_FOREACH(item, &aap->revisions) {
			struct revision *rev = container_of(item, struct revision, link);
			struct build *build = map_del(&rev->builds, features);

			if (build)
				engine_build_free(build);
		}
}

static void engine_lose_builds(struct engine *e, struct aap *aap, struct revision *rev,
			       const char *sha256)
{
	void *value;
	size_t it = 0;

	while (map_next(&rev->builds, &it, NULL, &value)) {
		struct build *build = value;

		if (build->state != BUILD_OK || strcmp(build->artefact, sha256) != 0)
			continue;
		build->lost = true;
		engine_mark_step(e, aap);
	}
}

void engine_artefact_lost(struct engine *e, const char *sha256)
{
	struct aap *aap;
	size_t it = 0;

	while ((aap = engine_next_profile(e, &it)))
		LIST_FOREACH(item, &aap->revisions)
			engine_lose_builds(e, aap, container_of(item, struct revision, link),
					   sha256);
}

/* Reading back. */

static struct revision_fetch *engine_fetch_find(const struct aap *aap, const char *id)
{
	LIST_FOREACH(item, &aap->fetches) {
		struct revision_fetch *f = container_of(item, struct revision_fetch, link);

		if (strcmp(f->id, id) == 0)
			return f;
	}
	return NULL;
}

bool engine_is_fetching(const struct aap *aap, const char *id)
{
	const struct revision_fetch *f = engine_fetch_find(aap, id);

	return f && !f->lost;
}

void engine_fetch(struct aap *aap, const char *id)
{
	struct revision_fetch *f;

	if (!str_is_hex(id, PROFILE_REVISION_SIZE - 1) || engine_revision_find(aap, id) ||
	    engine_fetch_find(aap, id))
		return;
	f = MEM_NEW(struct revision_fetch);
	memcpy(f->id, id, sizeof(f->id));
	list_append(&aap->fetches, &f->link);
	aap->n_fetches++;
}

int64_t engine_fetch_step(struct engine *e, struct aap *aap)
{
	int64_t next = INT64_MAX;

	LIST_FOREACH(item, &aap->fetches) {
		struct revision_fetch *f = container_of(item, struct revision_fetch, link);

		if (f->asked || f->lost)
			continue;
		if (f->retry_ms > e->now_ms) {
			next = engine_min(next, f->retry_ms);
			continue;
		}
		f->asked = true;
		e->ops->fetch(e->data, aap, f->id);
	}
	return next;
}

/* Nodes that were told it wait no more for what they are told next. */
static void engine_fetch_given_up(struct engine *e, struct aap *aap, const char *id)
{
	void *value;
	size_t it = 0;

	if (strcmp(id, aap->current_id) == 0)
		aap->current_lost = true;
	while (map_next(&aap->placements, &it, NULL, &value))
		if (!((struct placement *)value)->assigned)
			engine_mark_node(e, ((struct placement *)value)->node);
}

static void engine_fetch_lost(struct engine *e, struct aap *aap, struct revision_fetch *f)
{
	f->asked = false;
	f->lost = true;
	engine_fetch_given_up(e, aap, f->id);
	aap->rollout.due = true;
	engine_mark_step(e, aap);
}

void engine_unfetched(struct engine *e, const char *object, const char *revision, int64_t now_ms)
{
	struct aap *aap = engine_profile(e, object);
	struct revision_fetch *f = aap ? engine_fetch_find(aap, revision) : NULL;
	int64_t wait = ENGINE_FETCH_RETRY_MS;
	unsigned int i;

	e->now_ms = now_ms;
	if (!f || !f->asked)
		return;
	for (i = 0; i < f->tries && wait < ENGINE_RETRY_MAX_MS; i++)
		wait *= 2;
	f->asked = false;
	f->tries++;
	f->retry_ms = now_ms + engine_min(wait, ENGINE_RETRY_MAX_MS);
	engine_mark_step(e, aap);
}

static void engine_fetch_done(struct engine *e, struct aap *aap, struct revision *rev)
{
	void *value;
	size_t it = 0;

	rev->recorded = true;
	if (!aap->served && aap->accept != ACCEPT_OK &&
	    str_equal(js_str(aap->object, "status.updateRevision"), rev->id))
		engine_serve(e, aap, rev);
	while (map_next(&aap->placements, &it, NULL, &value))
		engine_rollout_adopt(e, value);
	aap->rollout.due = true;
	engine_mark_step(e, aap);
}

void engine_fetched(struct engine *e, const char *object, const char *revision, const char *text,
		    size_t n_text, enum profile_mode mode)
{
	struct aap *aap = engine_profile(e, object);
	struct revision_fetch *f = aap ? engine_fetch_find(aap, revision) : NULL;
	char id[PROFILE_REVISION_SIZE];

	if (!f || !f->asked)
		return;
	if (!text) {
		engine_fetch_lost(e, aap, f);
		return;
	}
	/* Another compiler made it than ours: its id is no longer what we would call it. Serving it
	 * under a new name is an ordinary update, which is for spec to ask. */
	policy_revision(aap->spec.name, text, n_text, mode, e->compiler_id, id);
	if (strcmp(id, revision) != 0) {
		engine_fetch_lost(e, aap, f);
		return;
	}
	list_remove(&f->link);
	free(f);
	aap->n_fetches--;
	engine_fetch_done(e, aap, engine_revision_need(e, aap, text, n_text, mode));
}
