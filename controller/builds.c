#include "controller/builds.h"

#include "base/container_of.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "policy/features.h"

#include <stdlib.h>
#include <string.h>

/*
 * The happy path:
 *
 *  - builds_start() looks in the index; what is there is an answer at once.
 *  - Else the compiler runs; its bytes become an artefact, and the index learns of it.
 *  - The answer waits for builds_flush(), since the engine must not get it from inside its run.
 *
 * What else can happen:
 *
 *  - The index names an artefact that is not there any more, or that proves damaged: it is compiled
 * again.
 *  - The disk takes no artefact: the answer is BUILD_WAITING, and the engine asks again later.
 */

struct builds {
	struct builds_spec spec;
	struct list running;
	struct list ready; /* answers for builds_flush() */
	void (*closed)(void *data);
	void *closed_data;
};

struct build_job {
	struct builds *builds;
	struct list link;
	struct compiler_job *job;
	char *object;
	char revision[PROFILE_REVISION_SIZE];
	char features[SHA256_HEX];
	char key[SHA256_HEX]; /* in the index */
	/* The answer. */
	struct compiled res;
	char *message;
	char artefact[SHA256_HEX];
	struct sync_hash *hashes;
};

struct builds *builds_new(const struct builds_spec *spec)
{
	struct builds *b = MEM_NEW(struct builds);

	b->spec = *spec;
	list_init(&b->running);
	list_init(&b->ready);
	return b;
}

static void builds_job_free(struct build_job *job)
{
	list_remove(&job->link);
	sync_hashes_free(job->hashes, job->res.n_hashes);
	free(job->message);
	free(job->object);
	free(job);
}

static void builds_job_ready(struct build_job *job)
{
	struct builds *b = job->builds;

	list_remove(&job->link);
	list_append(&b->ready, &job->link);
	b->spec.on_ready(b->spec.data);
}

/* All that the bytes depend on. */
static void builds_key(const struct compiler *compiler, const struct revision *rev,
		       const char *features, char out[SHA256_HEX])
{
	const char *id = compiler_id(compiler), *mode = profile_mode_name(rev->mode);
	struct sha_part parts[] = {
	    {rev->name, strlen(rev->name) + 1}, {mode, strlen(mode) + 1}, {id, strlen(id) + 1},
	    {features, strlen(features) + 1},   {rev->text, rev->n_text},
	};

	sha_hex(SHA_256, parts, 5, out);
}

/* What is kept in the index: the answer, but for its state. */
static struct json_object *builds_encode(const struct build_job *job)
{
	struct sync_item item = {
	    .name = (char *)"-",
	    .want = SYNC_LOADED,
	    .artefact_size = job->res.size,
	    .hashes = job->hashes,
	    .n_hashes = job->res.n_hashes,
	};
	struct json_object *obj = js_new();

	memcpy(item.artefact, job->artefact, sizeof(item.artefact));
	memcpy(item.revision, job->revision, sizeof(item.revision));
	js_put(obj, "item", sync_set_encode(&item, 1));
	js_put_str(obj, "message", job->message);
	return obj;
}

static bool builds_decode(struct json_object *obj, struct build_job *job)
{
	struct sync_item *items;
	struct err err;
	size_t n;

	if (!js_array(obj, "item") || sync_set_decode(js_array(obj, "item"), &items, &n, &err) < 0)
		return false;
	if (n == 1) {
		job->hashes = STEAL(items[0].hashes);
		job->res.n_hashes = items[0].n_hashes;
		items[0].n_hashes = 0;
		job->res.size = items[0].artefact_size;
		memcpy(job->artefact, items[0].artefact, sizeof(job->artefact));
		job->message = mem_strdup(js_str_or_empty(obj, "message"));
	}
	sync_items_free(items, n);
	return n == 1;
}

/* From the index, where what it names is really there. */
static bool builds_lookup(struct build_job *job)
{
	struct artefact_store *store = job->builds->spec.artefacts;
	CLEANUP(js_putp) struct json_object *record = artefact_index_get(store, job->key);

	if (!record || !builds_decode(record, job) || !artefact_is_whole(store, job->artefact))
		return false;
	job->res.state = BUILD_OK;
	return true;
}

static void builds_take_hashes(struct build_job *job, const struct policy_blob *blob)
{
	size_t i;

	job->res.n_hashes = blob->n;
	job->hashes = mem_alloc(blob->n, sizeof(*job->hashes));
	for (i = 0; i < blob->n; i++) {
		job->hashes[i].name = mem_strdup(blob->profiles[i].name);
		memcpy(job->hashes[i].sha1, blob->profiles[i].sha1, SHA1_HEX);
		memcpy(job->hashes[i].sha256, blob->profiles[i].sha256, SHA256_HEX);
	}
}

static void builds_join_warnings(struct build_job *job, const struct compiler_result *res)
{
	struct buf text = BUF_INIT(1024);
	size_t i;

	for (i = 0; i < res->n_warnings; i++)
		if (!buf_addf(&text, "%s%s", i ? "; " : "", res->warnings[i].message))
			break;
	mem_replace(&job->message, buf_steal(&text));
}

static void builds_keep(struct build_job *job, const struct compiler_result *res)
{
	struct artefact_store *store = job->builds->spec.artefacts;
	CLEANUP(js_putp) struct json_object *record = NULL;
	struct err err;

	builds_take_hashes(job, &res->blob);
	builds_join_warnings(job, res);
	job->res.size = (int64_t)res->n_bytes;
	job->res.state = BUILD_OK;
	memcpy(job->artefact, res->hash, sizeof(job->artefact));
	record = builds_encode(job);
	if (artefact_put(store, res->bytes, res->n_bytes, job->artefact, &err) < 0) {
		log_error("an artefact could not be kept", log_s("profile", job->object),
			  log_s("why", err.msg));
		job->res.state = BUILD_WAITING;
	} else if (artefact_index_put(store, job->key, record, &err) < 0) {
		/* It is served all the same; a restart compiles it once more. */
		log_warn("a build could not be noted", log_s("profile", job->object),
			 log_s("why", err.msg));
	}
}

static void builds_on_compiled(void *data, struct compiler_result *res)
{
	struct build_job *job = data;
	struct builds *b = job->builds;

	job->job = NULL;
	log_info("compiled", log_s("profile", job->object), log_s("revision", job->revision),
		 log_s("features", job->features),
		 log_s("verdict", compiler_verdict_name(res->verdict)), log_s("why", res->message),
		 log_i("bytes", (int64_t)res->n_bytes), log_i("ms", res->ms));
	switch (res->verdict) {
	case COMPILER_OK:
		builds_keep(job, res);
		break;
	case COMPILER_PARSE_ERROR:
	case COMPILER_FORBIDDEN:
	case COMPILER_LIMIT:
		job->res.state = BUILD_FAILED;
		job->res.forbidden = res->verdict != COMPILER_PARSE_ERROR;
		mem_replace(&job->message, mem_strdup(res->message));
		break;
	case COMPILER_INTERNAL:
	case COMPILER_CANCELLED:
		job->res.state = BUILD_WAITING;
		break;
	}
	builds_job_ready(job);
	if (b->closed && list_is_empty(&b->running)) {
		builds_flush(b);
		b->closed(b->closed_data);
		free(b);
	}
}

void builds_start(struct builds *b, const char *object, const struct revision *rev,
		  const char *features, const char *features_text)
{
	struct build_job *job = MEM_NEW(struct build_job);
	struct compiler_spec spec = {
	    .name = rev->name,
	    .text = rev->text,
	    .n_text = rev->n_text,
	    .mode = rev->mode,
	    .features = features_text,
	    .n_features = strlen(features_text),
	};

	job->builds = b;
	job->object = mem_strdup(object);
	memcpy(job->revision, rev->id, sizeof(job->revision));
	memcpy(job->features, features, sizeof(job->features));
	builds_key(b->spec.compiler, rev, features, job->key);
	list_append(&b->running, &job->link);
	if (builds_lookup(job)) {
		builds_job_ready(job);
		return;
	}
	log_debug("compiling", log_s("profile", object), log_s("revision", rev->id),
		  log_s("features", features));
	job->job = compiler_start(b->spec.compiler, &spec, builds_on_compiled, job);
}

void builds_flush(struct builds *b)
{
	while (!list_is_empty(&b->ready)) {
		struct build_job *job = container_of(b->ready.next, struct build_job, link);

		/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): a job that is freed is in no list */
		job->res.message = job->message;
		job->res.artefact = job->artefact;
		job->res.hashes = job->hashes;
		if (!b->closed)
			b->spec.on_built(b->spec.data, job->object, job->revision, job->features,
					 &job->res);
		builds_job_free(job);
	}
}

void builds_close(struct builds *b, void (*closed)(void *data), void *data)
{
	b->closed = closed;
	b->closed_data = data;
	if (list_is_empty(&b->running)) {
		builds_flush(b);
		closed(data);
		free(b);
		return;
	}
	LIST_FOREACH(item, &b->running)
		compiler_cancel(container_of(item, struct build_job, link)->job);
}
