#include "controller/node_objects.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/container_of.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/informer.h"
#include "kube/patch.h"
#include "kube/random.h"

#include <stdlib.h>
#include <string.h>

/*
 * The happy path of a node's facts:
 *
 *  - node_objects_set() keeps them in the node's job, which waits in `queued`.
 *  - Its turn comes: the object that the informer holds is compared with them.
 *  - What differs is patched into its status, under the version that it was compared with.
 *  - `written` is told, and the job is gone.
 *
 * What else can happen:
 *
 *  - There is no object: it is made, and the answer is what is compared.
 *  - The object belongs to a Node of that name that is no more: it is given to the new one, whose
 *    kernel may be the same and still hold what was to be removed.
 *  - It exists already, or is newer than we knew: it is read, and compared again. Where somebody
 * changed its pending removals the facts do not know of that: `seen` is told, and then that they
 * were not written.
 *  - It is gone meanwhile: it is made again. One that goes just behind our write is told as `gone`
 *    once that is over.
 *  - Newer facts come while a write is under way: they are compared with its answer.
 *  - A write fails: the job waits in `waiting` and is queued again, a few times.
 */

enum {
	NODE_JOB_FAILURES_MAX = 6,
	NODE_JOB_CONFLICTS_MAX = 5, /* in a row; then it waits as after a failure */
};

struct node_objects {
	struct kube_client *client;
	struct node_objects_spec spec;
	struct kube_informer *informer;
	uv_timer_t timer;
	struct map jobs; /* node's name -> struct node_job */
	struct list queued, waiting;
	size_t n_busy;
	bool in_trouble; /* the last write failed */
};

enum node_job_state { NODE_JOB_QUEUED, NODE_JOB_BUSY, NODE_JOB_WAITING };

struct node_job {
	struct node_objects *no;
	struct list link;
	enum node_job_state state;
	char *name, *uid;
	struct node_facts *facts;
	struct json_object *base; /* the object that was last compared; NULL: none */
	bool sent;                /* these facts are in the write that is under way */
	bool is_gone;             /* an object of that name was deleted while BUSY */
	struct kube_request *req; /* while BUSY */
	struct backoff backoff;
	unsigned int failures, conflicts;
	int64_t due_ms; /* while WAITING */
};

static void node_job_become(struct node_job *job, enum node_job_state state)
{
	struct node_objects *no = job->no;

	if (job->state == state && state != NODE_JOB_QUEUED)
		abort();
	no->n_busy -= job->state == NODE_JOB_BUSY;
	no->n_busy += state == NODE_JOB_BUSY;
	job->state = state;
	list_remove(&job->link);
	if (state == NODE_JOB_QUEUED)
		list_append(&no->queued, &job->link);
	else if (state == NODE_JOB_WAITING)
		list_append(&no->waiting, &job->link);
}

static void node_job_free(struct node_job *job)
{
	struct node_objects *no = job->no;

	if (job->req)
		kube_request_cancel(job->req);
	no->n_busy -= job->state == NODE_JOB_BUSY;
	list_remove(&job->link);
	map_del(&no->jobs, job->name);
	node_facts_free(job->facts);
	json_object_put(job->base);
	free(job->name);
	free(job->uid);
	free(job);
}

/* When to look next. */

/* Never none: the end of one write is what starts the next. */
static bool node_objects_may_start(const struct node_objects *no)
{
	bool yields = no->spec.yields && no->spec.yields(no->spec.data);

	return no->n_busy < (yields ? 1 : NODE_OBJECTS_WRITES_MAX) && node_objects_has_synced(no);
}

static void node_objects_on_timer(uv_timer_t *timer);

static void node_objects_arm(struct node_objects *no)
{
	int64_t now = clock_mono_ms(), due = INT64_MAX;

	if (!list_is_empty(&no->queued) && node_objects_may_start(no))
		due = now;
	LIST_FOREACH(item, &no->waiting) {
		const struct node_job *job = container_of(item, struct node_job, link);

		due = job->due_ms < due ? job->due_ms : due;
	}
	if (due == INT64_MAX)
		uv_timer_stop(&no->timer);
	else
		uv_timer_start(&no->timer, node_objects_on_timer,
			       due > now ? (uint64_t)(due - now) : 0, 0);
}

/* Ending. */

static void node_objects_tell_gone(struct node_objects *no, const char *name)
{
	if (no->spec.gone && !kube_informer_get(no->informer, name))
		no->spec.gone(no->spec.data, name);
}

static void node_job_end(struct node_job *job, bool ok)
{
	struct node_objects *no = job->no;
	CLEANUP(mem_freep) char *name = mem_strdup(job->name);
	bool is_gone = job->is_gone;

	node_job_free(job);
	node_objects_arm(no);
	if (is_gone)
		node_objects_tell_gone(no, name);
	if (no->spec.written)
		no->spec.written(no->spec.data, name, ok);
}

/* One line when it begins and one when it ends, however many nodes there are. */
static void node_objects_log_change(struct node_objects *no, const char *name,
				    const struct kube_result *res)
{
	if (res && !no->in_trouble)
		log_warn("an AppArmorNode could not be written: it is tried again",
			 log_s("node", name), log_s("why", res->why));
	else if (!res && no->in_trouble)
		log_info("AppArmorNodes can be written again");
	no->in_trouble = res != NULL;
}

static void node_job_fail(struct node_job *job, const struct kube_result *res)
{
	struct node_objects *no = job->no;

	node_objects_log_change(no, job->name, res);
	job->conflicts = 0;
	if (++job->failures >= NODE_JOB_FAILURES_MAX) {
		node_job_end(job, false);
		return;
	}
	job->due_ms = clock_mono_ms() + (int64_t)backoff_next(&job->backoff, kube_random());
	node_job_become(job, NODE_JOB_WAITING);
	node_objects_arm(no);
}

/* Writing. */

static void node_job_compare(struct node_job *job, struct json_object *object);
static void node_job_create(struct node_job *job);

static char *node_job_path(const struct node_job *job)
{
	return mem_printf(NODE_OBJECTS_PATH "/%s", job->name);
}

static bool node_objects_same_removals(struct json_object *a, struct json_object *b)
{
	return json_object_equal(js_array(a, "status.pendingRemovals"),
				 js_array(b, "status.pendingRemovals"));
}

/* To write our own list in the place of somebody else's would carry out what a person took back, or
 * forget what another leader noted. */
static void node_job_yield(struct node_job *job, struct json_object *object)
{
	struct node_objects *no = job->no;

	kube_informer_note(no->informer, object);
	if (no->spec.seen)
		no->spec.seen(no->spec.data, job->name, false);
	node_job_end(job, false);
}

static void node_job_on_read(void *data, const struct kube_result *res)
{
	struct node_job *job = data;

	job->req = NULL;
	if (res->outcome == KUBE_OK && job->base &&
	    !node_objects_same_removals(job->base, res->obj))
		node_job_yield(job, res->obj);
	else if (res->outcome == KUBE_OK)
		node_job_compare(job, res->obj);
	else if (res->outcome == KUBE_NOT_FOUND)
		node_job_create(job);
	else
		node_job_fail(job, res);
}

/* Somebody else wrote it. */
static void node_job_read(struct node_job *job, const struct kube_result *res)
{
	CLEANUP(mem_freep) char *path = node_job_path(job);

	if (++job->conflicts > NODE_JOB_CONFLICTS_MAX)
		node_job_fail(job, res);
	else
		job->req = kube_get(job->no->client, path, node_job_on_read, job);
}

static void node_job_on_created(void *data, const struct kube_result *res)
{
	struct node_job *job = data;

	job->req = NULL;
	if (res->outcome == KUBE_OK)
		node_job_compare(job, res->obj);
	else if (res->outcome == KUBE_ALREADY_EXISTS)
		node_job_read(job, res);
	else
		node_job_fail(job, res);
}

static void node_job_create(struct node_job *job)
{
	CLEANUP(js_putp)
	struct json_object *obj = node_status_new_object(job->name, job->uid);

	job->req = kube_create(job->no->client, NODE_OBJECTS_PATH, obj, node_job_on_created, job);
}

/* A write failed that has an object, or had one. */
static void node_job_again(struct node_job *job, const struct kube_result *res)
{
	if (res->outcome == KUBE_CONFLICT)
		node_job_read(job, res);
	else if (res->outcome == KUBE_NOT_FOUND && ++job->conflicts <= NODE_JOB_CONFLICTS_MAX)
		node_job_create(job);
	else
		node_job_fail(job, res);
}

/* An API server with an older schema drops fields that it does not know: no reason to write again
 * and again. What a deletion waits for must be there, though. */
static bool node_job_is_noted(const struct node_job *job, struct json_object *object)
{
	CLEANUP(js_putp)
	struct json_object *status = node_status_make(object, job->facts, clock_wall_ms());

	return json_object_equal(js_array(status, "pendingRemovals"),
				 js_array(object, "status.pendingRemovals"));
}

/* While a job is busy what others change is passed over, since it may be our own write that shows.
 */
static void node_job_look_again(const struct node_job *job, struct json_object *written)
{
	struct node_objects *no = job->no;
	struct json_object *held = kube_informer_get(no->informer, job->name);

	if (held && no->spec.seen && !node_objects_same_removals(held, written))
		no->spec.seen(no->spec.data, job->name, false);
}

static void node_job_on_patched(void *data, const struct kube_result *res)
{
	struct node_job *job = data;

	job->req = NULL;
	if (res->outcome != KUBE_OK) {
		node_job_again(job, res);
		return;
	}
	job->conflicts = 0;
	kube_informer_note(job->no->informer, res->obj);
	if (!job->sent) {
		node_job_compare(job, res->obj);
		return;
	}
	node_objects_log_change(job->no, job->name, NULL);
	node_job_look_again(job, res->obj);
	node_job_end(job, node_job_is_noted(job, res->obj));
}

static void node_job_on_adopted(void *data, const struct kube_result *res)
{
	struct node_job *job = data;

	job->req = NULL;
	if (res->outcome != KUBE_OK) {
		node_job_again(job, res);
		return;
	}
	kube_informer_note(job->no->informer, res->obj);
	node_job_compare(job, res->obj);
}

static void node_job_adopt(struct node_job *job, struct json_object *object)
{
	CLEANUP(mem_freep) char *path = node_job_path(job);
	CLEANUP(js_putp) struct json_object *patch = js_new();
	struct json_object *metadata = js_new();

	js_put_str(metadata, "resourceVersion", js_str(object, "metadata.resourceVersion"));
	js_put(metadata, "ownerReferences", node_status_make_owners(job->name, job->uid));
	js_put(patch, "metadata", metadata);
	job->req = kube_merge_patch(job->no->client, path, patch, node_job_on_adopted, job);
}

/* Write what differs; where nothing does, the job is done. */
static void node_job_compare(struct node_job *job, struct json_object *object)
{
	CLEANUP(mem_freep) char *path = node_job_path(job);
	CLEANUP(js_putp)
	struct json_object *status = node_status_make(object, job->facts, clock_wall_ms());
	CLEANUP(js_putp)
	struct json_object *patch = merge_patch_diff(js_object(object, "status"), status);

	json_object_get(object);
	json_object_put(job->base);
	job->base = object;
	if (!node_status_is_owned_by(object, job->uid)) {
		node_job_adopt(job, object);
	} else if (patch) {
		job->sent = true;
		job->req = kube_status_patch(job->no->client, path,
					     js_str(object, "metadata.resourceVersion"), patch,
					     node_job_on_patched, job);
	} else {
		node_objects_log_change(job->no, job->name, NULL);
		node_job_end(job, true);
	}
}

static void node_job_start(struct node_job *job)
{
	struct json_object *object = kube_informer_get(job->no->informer, job->name);

	node_job_become(job, NODE_JOB_BUSY);
	if (object)
		node_job_compare(job, object);
	else
		node_job_create(job);
}

static void node_objects_on_timer(uv_timer_t *timer)
{
	struct node_objects *no = container_of(timer, struct node_objects, timer);
	int64_t now = clock_mono_ms();

	LIST_FOREACH(item, &no->waiting) {
		struct node_job *job = container_of(item, struct node_job, link);

		if (job->due_ms <= now)
			node_job_become(job, NODE_JOB_QUEUED);
	}
	/* One a turn: its end may close us. */
	if (!list_is_empty(&no->queued) && node_objects_may_start(no)) {
		struct node_job *job = container_of(no->queued.next, struct node_job, link);

		list_remove(&job->link);
		node_objects_arm(no);
		node_job_start(job);
		return;
	}
	node_objects_arm(no);
}

/* Following. */

static void node_objects_tell(struct node_objects *no, struct json_object *obj, bool is_new)
{
	if (no->spec.seen)
		no->spec.seen(no->spec.data, js_str_or_empty(obj, "metadata.name"), is_new);
}

static void node_objects_on_add(void *data, struct json_object *obj)
{
	node_objects_tell(data, obj, true);
}

/* While a job is busy it may be our own write that shows. */
static void node_objects_on_update(void *data, struct json_object *old, struct json_object *obj)
{
	struct node_objects *no = data;
	const struct node_job *job = map_get(&no->jobs, js_str_or_empty(obj, "metadata.name"));

	if (job && job->state == NODE_JOB_BUSY)
		return;
	if (!node_objects_same_removals(old, obj))
		node_objects_tell(no, obj, false);
}

/* While a job is busy its write will most likely meet that, and make the object again. */
static void node_objects_on_delete(void *data, struct json_object *obj)
{
	struct node_objects *no = data;
	const char *name = js_str_or_empty(obj, "metadata.name");
	struct node_job *job = map_get(&no->jobs, name);

	if (job && job->state == NODE_JOB_BUSY)
		job->is_gone = true;
	else
		node_objects_tell_gone(no, name);
}

static void node_objects_on_synced(void *data)
{
	struct node_objects *no = data;

	node_objects_arm(no);
	if (no->spec.synced)
		no->spec.synced(no->spec.data);
}

static void node_objects_on_trouble(void *data, const char *why)
{
	(void)data;
	log_warn("AppArmorNodes cannot be followed: it is tried again", log_s("why", why));
}

/* What callers call. */

struct node_objects *node_objects_start(struct kube_client *client,
					const struct node_objects_spec *spec)
{
	struct node_objects *no = MEM_NEW(struct node_objects);
	struct kube_informer_spec informer = {
	    .path = NODE_OBJECTS_PATH,
	    .on_add = node_objects_on_add,
	    .on_update = node_objects_on_update,
	    .on_delete = node_objects_on_delete,
	    .on_synced = node_objects_on_synced,
	    .on_trouble = node_objects_on_trouble,
	    .data = no,
	};

	no->client = client;
	no->spec = *spec;
	list_init(&no->queued);
	list_init(&no->waiting);
	uv_timer_init(kube_client_loop(client), &no->timer);
	no->informer = kube_informer_start(client, &informer);
	return no;
}

bool node_objects_has_synced(const struct node_objects *no)
{
	return kube_informer_has_synced(no->informer);
}

static struct node_job *node_job_new(struct node_objects *no, const char *name)
{
	struct node_job *job = MEM_NEW(struct node_job);

	job->no = no;
	job->name = mem_strdup(name);
	job->backoff =
	    (struct backoff){.first_ms = 500, .max_ms = 30000, .factor = 2.0, .jitter = 0.5};
	list_init(&job->link);
	map_put(&no->jobs, name, job);
	node_job_become(job, NODE_JOB_QUEUED);
	return job;
}

void node_objects_set(struct node_objects *no, const char *node_name, const char *node_uid,
		      const struct node_facts *facts)
{
	struct node_job *job = map_get(&no->jobs, node_name);

	if (!job)
		job = node_job_new(no, node_name);
	mem_replace(&job->uid, mem_strdup(node_uid));
	node_facts_free(job->facts);
	job->facts = node_facts_copy(facts);
	job->sent = false;
	node_objects_arm(no);
}

void node_objects_forget(struct node_objects *no, const char *node_name)
{
	struct node_job *job = map_get(&no->jobs, node_name);

	if (!job)
		return;
	node_job_free(job);
	node_objects_arm(no);
}

size_t node_objects_pending(const struct node_objects *no, const char *node_name,
			    struct node_removal **ret)
{
	struct json_object *object = kube_informer_get(no->informer, node_name);

	if (ret)
		return node_removals_read(object, ret);
	return js_len(js_array(object, "status.pendingRemovals"));
}

static void node_objects_free(uv_handle_t *handle)
{
	free(container_of(handle, struct node_objects, timer));
}

void node_objects_close(struct node_objects *no)
{
	void *value;
	size_t it = 0;

	while (map_next(&no->jobs, &it, NULL, &value))
		node_job_free(value);
	map_clear(&no->jobs, NULL);
	kube_informer_close(no->informer);
	uv_close((uv_handle_t *)&no->timer, node_objects_free);
}
