#include "kube/lease.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/mem.h"
#include "base/str.h"
#include "kube/lease_rules.h"
#include "kube/patch.h"
#include "kube/random.h"

#include <stdlib.h>

/*
 * The happy path:
 *
 *  - The Lease is read. Where it is free, it is taken: a write that holds only for the version that
 * was read. The answer makes us the leader.
 *  - Every 2 s it is renewed by a write that holds only for the version that the last one brought.
 *  - On release a last write takes our name out.
 *
 * What else can happen:
 *
 *  - Another holds it: it is read again every 2 to 4.4 s.
 *  - A renewal meets another version (409): the Lease is read at once, and renewed where it still
 * bears our name; else it is lost.
 *  - A renewal fails otherwise: again after 2 s, until 10 s after the last good one was sent. Then
 * the deadline timer fires, and it is lost, whatever is under way.
 *  - Whether a write that got no answer was carried out is not known. If it was, the next read
 * shows our name without `held`, and we take it again, with a new epoch.
 */

enum {
	LEASE_REQUEST_MS = 5000, /* so that a second try fits before the deadline */
	LEASE_RELEASE_MS = 3000,
};

enum lease_phase {
	LEASE_RESTING, /* the timer runs */
	LEASE_READING, /* a request is under way, as in the next two */
	LEASE_WRITING,
	LEASE_RELEASING,
	LEASE_OVER, /* lost; nothing happens any more */
	LEASE_CLOSING,
};

struct kube_lease {
	struct kube_client *client;
	struct kube_lease_spec spec;
	char *identity, *namespace_, *name, *path;
	struct lease_state state;
	enum lease_phase phase;
	struct kube_request *request; /* NULL: none under way */
	int64_t sent_ms;
	bool conflicted; /* a renewal met another version, and none has succeeded since */
	uv_timer_t timer;
	uv_timer_t deadline; /* runs while held, and while releasing */
	int n_open;
	void (*released)(void *data);
	void *released_data;
};

static void lease_read(struct kube_lease *lease);

static void lease_become(struct kube_lease *lease, enum lease_phase phase)
{
	static const unsigned int allowed[] = {
	    [LEASE_RESTING] = 1U << LEASE_RESTING | 1U << LEASE_READING | 1U << LEASE_WRITING |
			      1U << LEASE_RELEASING | 1U << LEASE_OVER | 1U << LEASE_CLOSING,
	    [LEASE_READING] = 1U << LEASE_RESTING | 1U << LEASE_WRITING | 1U << LEASE_RELEASING |
			      1U << LEASE_OVER | 1U << LEASE_CLOSING,
	    [LEASE_WRITING] = 1U << LEASE_RESTING | 1U << LEASE_READING | 1U << LEASE_RELEASING |
			      1U << LEASE_OVER | 1U << LEASE_CLOSING,
	    [LEASE_RELEASING] = 1U << LEASE_RELEASING | 1U << LEASE_CLOSING,
	    [LEASE_OVER] = 1U << LEASE_CLOSING,
	    [LEASE_CLOSING] = 0,
	};

	if (!(allowed[lease->phase] & 1U << phase))
		abort();
	lease->phase = phase;
}

static void lease_trouble(const struct kube_lease *lease, const char *why)
{
	if (lease->spec.on_trouble)
		lease->spec.on_trouble(lease->spec.data, why);
}

/* End whatever is under way. */
static void lease_stop(struct kube_lease *lease)
{
	uv_timer_stop(&lease->timer);
	uv_timer_stop(&lease->deadline);
	if (lease->request)
		kube_request_cancel(STEAL(lease->request));
}

static void lease_lose(struct kube_lease *lease, const char *why)
{
	lease_stop(lease);
	lease_become(lease, LEASE_OVER);
	lease->state.held = false;
	lease->spec.on_lost(lease->spec.data, why);
}

static void lease_on_deadline(uv_timer_t *timer)
{
	struct kube_lease *lease = container_of(timer, struct kube_lease, deadline);

	lease_lose(lease, "the lease could not be renewed in time");
}

static void lease_arm(uv_timer_t *timer, uv_timer_cb on_timer, int64_t ms)
{
	uv_update_time(timer->loop);
	uv_timer_start(timer, on_timer, ms > 0 ? (uint64_t)ms : 0, 0);
}

static void lease_send(struct kube_lease *lease, enum lease_phase phase, const char *method,
		       const char *path, struct json_object *body, kube_done_fn done)
{
	const struct kube_request_spec spec = {
	    .method = method,
	    .path = path,
	    .query = body ? "fieldManager=" KUBE_FIELD_MANAGER : NULL,
	    .body = body,
	    .content_type = str_equal(method, "PATCH") ? "application/merge-patch+json" : NULL,
	    .timeout_ms = LEASE_REQUEST_MS,
	};

	lease_become(lease, phase);
	lease->sent_ms = clock_mono_ms();
	lease->request = kube_request_start(lease->client, &spec, done, lease);
}

static void lease_on_timer(uv_timer_t *timer);

static void lease_rest(struct kube_lease *lease)
{
	lease_become(lease, LEASE_RESTING);
	lease_arm(&lease->timer, lease_on_timer, lease_wait_ms(&lease->state, kube_random()));
}

/* What a Lease says was read or came back from a write. False where it makes no sense. */
static bool lease_take_view(struct kube_lease *lease, struct json_object *obj, bool *ret_is_news)
{
	struct lease_view view;
	struct err err;

	if (lease_view_parse(obj, &view, &err)) {
		lease_trouble(lease, err.msg);
		return false;
	}
	*ret_is_news = lease_see(&lease->state, &view, clock_mono_ms());
	return true;
}

static void lease_tell_leader(const struct kube_lease *lease)
{
	if (lease->spec.on_leader && lease->phase < LEASE_RELEASING)
		lease->spec.on_leader(lease->spec.data, lease->state.seen.identity);
}

static void lease_on_written(void *data, const struct kube_result *res)
{
	struct kube_lease *lease = data;
	bool is_news = false;
	bool is_elected;

	lease->request = NULL;
	if (res->outcome == KUBE_OK && lease_take_view(lease, res->obj, &is_news)) {
		is_elected = lease_confirm(&lease->state, lease->sent_ms);
		lease->conflicted = false;
		lease_rest(lease);
		lease_arm(&lease->deadline, lease_on_deadline,
			  lease_deadline_ms(&lease->state) - clock_mono_ms());
		if (is_elected)
			lease->spec.on_elected(lease->spec.data, lease->state.seen.acquired_ms);
		if (is_news)
			lease_tell_leader(lease);
		return;
	}
	if (res->outcome != KUBE_OK && res->outcome != KUBE_CONFLICT &&
	    res->outcome != KUBE_ALREADY_EXISTS)
		lease_trouble(lease, res->why);
	if (lease->phase != LEASE_WRITING)
		return;
	if (lease->state.held && !lease->conflicted &&
	    (res->outcome == KUBE_CONFLICT || res->outcome == KUBE_NOT_FOUND)) {
		lease->conflicted = true;
		lease_read(lease);
	} else {
		lease_rest(lease);
	}
}

/* A patch of the Lease as it was last seen. */
static void lease_patch(struct kube_lease *lease, enum lease_phase phase, struct json_object *spec,
			kube_done_fn done)
{
	CLEANUP(js_putp) struct json_object *patch = js_new();
	struct json_object *metadata = js_new();

	js_put_str(metadata, "resourceVersion", lease->state.seen.version);
	js_put(patch, "metadata", metadata);
	js_put(patch, "spec", spec);
	lease_send(lease, phase, "PATCH", lease->path, patch, done);
}

static void lease_create(struct kube_lease *lease)
{
	CLEANUP(js_putp) struct json_object *obj = js_new();
	CLEANUP(mem_freep)
	char *path =
	    mem_printf("/apis/coordination.k8s.io/v1/namespaces/%s/leases", lease->namespace_);
	struct json_object *metadata = js_new();

	js_put_str(metadata, "name", lease->name);
	js_put_str(metadata, "namespace", lease->namespace_);
	js_put_str(obj, "apiVersion", "coordination.k8s.io/v1");
	js_put_str(obj, "kind", "Lease");
	js_put(obj, "metadata", metadata);
	js_put(obj, "spec", lease_spec_take(&lease->state, clock_wall_ms()));
	lease_send(lease, LEASE_WRITING, "POST", path, obj, lease_on_written);
}

static void lease_act(struct kube_lease *lease)
{
	switch (lease_decide(&lease->state, clock_mono_ms())) {
	case LEASE_WAIT:
		lease_rest(lease);
		break;
	case LEASE_CREATE:
		lease_create(lease);
		break;
	case LEASE_TAKE:
		lease_patch(lease, LEASE_WRITING, lease_spec_take(&lease->state, clock_wall_ms()),
			    lease_on_written);
		break;
	case LEASE_RENEW:
		lease_patch(lease, LEASE_WRITING, lease_spec_renew(clock_wall_ms()),
			    lease_on_written);
		break;
	case LEASE_LOST:
		lease_lose(lease, "the lease is another's, or was deleted");
		break;
	}
}

static void lease_on_read(void *data, const struct kube_result *res)
{
	struct kube_lease *lease = data;
	struct json_object *obj = res->outcome == KUBE_OK ? res->obj : NULL;
	bool is_news = false;

	lease->request = NULL;
	if (res->outcome != KUBE_OK && res->outcome != KUBE_NOT_FOUND) {
		lease_trouble(lease, res->why);
	} else if (lease_take_view(lease, obj, &is_news)) {
		lease_act(lease);
		if (is_news)
			lease_tell_leader(lease);
		return;
	}
	if (lease->phase == LEASE_READING)
		lease_rest(lease);
}

static void lease_read(struct kube_lease *lease)
{
	lease_send(lease, LEASE_READING, "GET", lease->path, NULL, lease_on_read);
}

static void lease_on_timer(uv_timer_t *timer)
{
	struct kube_lease *lease = container_of(timer, struct kube_lease, timer);

	if (lease->state.held && !lease->conflicted)
		lease_act(lease);
	else
		lease_read(lease);
}

struct kube_lease *kube_lease_start(struct kube_client *client, const struct kube_lease_spec *spec)
{
	struct kube_lease *lease = MEM_NEW(struct kube_lease);

	lease->client = client;
	lease->spec = *spec;
	lease->identity = mem_strdup(spec->identity);
	lease->name = mem_strdup(spec->name);
	lease->namespace_ =
	    mem_strdup(spec->namespace_ ? spec->namespace_ : kube_client_namespace(client));
	lease->path = mem_printf("/apis/coordination.k8s.io/v1/namespaces/%s/leases/%s",
				 lease->namespace_, lease->name);
	lease->state.identity = lease->identity;
	uv_timer_init(kube_client_loop(client), &lease->timer);
	uv_timer_init(kube_client_loop(client), &lease->deadline);
	lease_read(lease);
	return lease;
}

const char *kube_lease_leader(const struct kube_lease *lease)
{
	return lease->state.seen.identity;
}

static void lease_on_closed(uv_handle_t *handle)
{
	struct kube_lease *lease = handle->data;
	void (*released)(void *data) = lease->released;
	void *data = lease->released_data;

	if (--lease->n_open > 0)
		return;
	free(lease->identity);
	free(lease->name);
	free(lease->namespace_);
	free(lease->path);
	free(lease);
	if (released)
		released(data);
}

void kube_lease_close(struct kube_lease *lease)
{
	lease_stop(lease);
	lease_become(lease, LEASE_CLOSING);
	lease->n_open = 2;
	lease->timer.data = lease->deadline.data = lease;
	uv_close((uv_handle_t *)&lease->timer, lease_on_closed);
	uv_close((uv_handle_t *)&lease->deadline, lease_on_closed);
}

static void lease_on_release_late(uv_timer_t *timer)
{
	kube_lease_close(container_of(timer, struct kube_lease, deadline));
}

static void lease_on_released(void *data, const struct kube_result *res);

static void lease_on_release_read(void *data, const struct kube_result *res)
{
	struct kube_lease *lease = data;
	bool is_news;

	lease->request = NULL;
	if (res->outcome == KUBE_OK && lease_take_view(lease, res->obj, &is_news) &&
	    lease_decide(&lease->state, clock_mono_ms()) == LEASE_RENEW)
		lease_patch(lease, LEASE_RELEASING, lease_spec_release(clock_wall_ms()),
			    lease_on_released);
	else
		kube_lease_close(lease);
}

/* A renewal that was under way may have come first: then it is read and tried once more. */
static void lease_on_released(void *data, const struct kube_result *res)
{
	struct kube_lease *lease = data;

	lease->request = NULL;
	if (res->outcome == KUBE_CONFLICT && !lease->conflicted) {
		lease->conflicted = true;
		lease_send(lease, LEASE_RELEASING, "GET", lease->path, NULL, lease_on_release_read);
	} else {
		kube_lease_close(lease);
	}
}

void kube_lease_release(struct kube_lease *lease, void (*released)(void *data), void *data)
{
	lease->released = released;
	lease->released_data = data;
	if (!lease->state.held) {
		kube_lease_close(lease);
		return;
	}
	lease_stop(lease);
	lease->conflicted = false;
	lease_patch(lease, LEASE_RELEASING, lease_spec_release(clock_wall_ms()), lease_on_released);
	lease_arm(&lease->deadline, lease_on_release_late, LEASE_RELEASE_MS);
}
