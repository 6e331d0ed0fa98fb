#include "cli/cluster.h"

#include "base/buf.h"
#include "base/mem.h"
#include "kube/query.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	/* A profile's text may take 256 KiB, and as much again in kubectl's annotation. */
	CLUSTER_PAGE = 50,
	CLUSTER_PAGE_MAX = 64 << 20,
	CLUSTER_TRIES = 3,
};

struct cluster {
	struct kube_client *client;
	uv_timer_t timer;
	uv_prepare_t round;
	int n_open; /* handles that are not closed yet */
	char *server;
	void (*release)(void *owner);
	void *owner;
};

struct cluster_call {
	struct cluster_answer *answer;
	bool done;
};

struct cluster *cluster_new(struct kube_client *client, const char *server,
			    void (*release)(void *owner), void *owner)
{
	struct cluster *c = MEM_NEW(struct cluster);

	c->client = client;
	c->server = mem_strdup(server);
	c->release = release;
	c->owner = owner;
	uv_timer_init(kube_client_loop(client), &c->timer);
	uv_prepare_init(kube_client_loop(client), &c->round);
	c->n_open = 2;
	return c;
}

static void cluster_on_handle_closed(uv_handle_t *handle)
{
	((struct cluster *)handle->data)->n_open--;
}

void cluster_close(struct cluster *c)
{
	if (!c)
		return;
	c->timer.data = c->round.data = c;
	uv_close((uv_handle_t *)&c->timer, cluster_on_handle_closed);
	uv_close((uv_handle_t *)&c->round, cluster_on_handle_closed);
	while (c->n_open > 0)
		uv_run(cluster_loop(c), UV_RUN_ONCE);
	if (c->release)
		c->release(c->owner);
	free(c->server);
	free(c);
}

void cluster_closep(struct cluster **c)
{
	cluster_close(*c);
}

const char *cluster_server(const struct cluster *c)
{
	return c->server;
}

struct kube_client *cluster_client(const struct cluster *c)
{
	return c->client;
}

uv_loop_t *cluster_loop(const struct cluster *c)
{
	return kube_client_loop(c->client);
}

static void cluster_on_round(uv_prepare_t *round)
{
	if (*(const bool *)round->data)
		uv_stop(round->loop);
}

/* UV_RUN_ONCE would not do: where a timer brings what is awaited, it waits for one event more. */
void cluster_run_until(struct cluster *c, const bool *happened)
{
	c->round.data = (void *)happened;
	uv_prepare_start(&c->round, cluster_on_round);
	while (!*happened)
		uv_run(cluster_loop(c), UV_RUN_DEFAULT);
	uv_prepare_stop(&c->round);
}

static void cluster_on_done(void *data, const struct kube_result *res)
{
	struct cluster_call *call = data;

	*call->answer = (struct cluster_answer){.outcome = res->outcome,
						.obj = json_object_get(res->obj),
						.why = mem_strdup(res->why ? res->why : "")};
	call->done = true;
}

void cluster_request(struct cluster *c, const struct kube_request_spec *spec,
		     struct cluster_answer *ret)
{
	struct cluster_call call = {.answer = ret};
	struct kube_request_spec patient = *spec;

	if (patient.tries == 0)
		patient.tries = CLUSTER_TRIES;
	kube_request_start(c->client, &patient, cluster_on_done, &call);
	cluster_run_until(c, &call.done);
}

void cluster_answer_clear(struct cluster_answer *answer)
{
	json_object_put(answer->obj);
	free(answer->why);
	*answer = (struct cluster_answer){0};
}

int cluster_fail(const struct cluster_answer *answer, struct err *err)
{
	int code = answer->outcome == KUBE_NOT_FOUND   ? -ENOENT
		   : answer->outcome == KUBE_FORBIDDEN ? -EACCES
						       : -EIO;

	return err_set(err, code, "%s", answer->why);
}

void cluster_get(struct cluster *c, const char *path, struct cluster_answer *ret)
{
	cluster_request(c, &(struct kube_request_spec){.method = "GET", .path = path}, ret);
}

/* One page; *token is the next one's, "" at the end. */
static int cluster_page(struct cluster *c, const char *path, const char *label_selector,
			char **token, cluster_item_fn fn, void *data,
			enum kube_outcome *ret_outcome, struct err *err)
{
	CLEANUP(cluster_answer_clear) struct cluster_answer answer = {0};
	struct buf query = BUF_INIT(64 << 10);
	char limit[16];
	struct json_object *items;
	size_t i;
	int r = 0;

	snprintf(limit, sizeof(limit), "%d", CLUSTER_PAGE);
	kube_query_add(&query, "limit", limit);
	kube_query_add(&query, "labelSelector", label_selector);
	kube_query_add(&query, "continue", *token);
	cluster_request(c,
			&(struct kube_request_spec){.method = "GET",
						    .path = path,
						    .query = buf_text(&query),
						    .max_body = CLUSTER_PAGE_MAX},
			&answer);
	buf_clear(&query);
	*ret_outcome = answer.outcome;
	mem_replace(token, mem_strdup(js_str_or_empty(answer.obj, "metadata.continue")));
	if (answer.outcome != KUBE_OK)
		return cluster_fail(&answer, err);
	items = js_array(answer.obj, "items");
	for (i = 0; i < js_len(items) && r == 0; i++)
		r = fn(data, js_item(items, i), err);
	return r;
}

int cluster_each(struct cluster *c, const char *path, const char *label_selector,
		 cluster_item_fn fn, void *data, enum kube_outcome *ret_outcome, struct err *err)
{
	CLEANUP(mem_freep) char *token = mem_strdup("");
	int r;

	do
		r = cluster_page(c, path, label_selector, &token, fn, data, ret_outcome, err);
	while (r == 0 && *token);
	return *ret_outcome == KUBE_NOT_FOUND ? 0 : r;
}

static void cluster_on_timer(uv_timer_t *timer)
{
	*(bool *)timer->data = true;
}

void cluster_wait(struct cluster *c, uint64_t ms)
{
	bool done = false;

	c->timer.data = &done;
	uv_timer_start(&c->timer, cluster_on_timer, ms, 0);
	cluster_run_until(c, &done);
}
