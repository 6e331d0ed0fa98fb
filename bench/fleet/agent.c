#include "fleet.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * As agent/sync_client.c and agent/keeper.c do it:
 *
 *  - A sync goes out and is held. A response without a set is answered by the next sync.
 *  - One with a set: what came with it is checked and taken; what is not in the cache then is
 *    fetched over the same connection and checked; and all is "loaded", which takes as long as was
 *    asked for. The next sync tells.
 *
 * What else can happen:
 *
 *  - 503 with a leader's address: asked again at once, a few times at most. There is one address in
 *    a bench, so no other is followed.
 *  - No answer, or another status: the agent waits, ever longer, as the real one does.
 */

enum {
	AGENT_TIMEOUT_MS = SYNC_HOLD_MS + 15 * 1000,
	AGENT_HOPS_MAX = 3,
	AGENT_HASTY_MS = 1000,
	AGENT_HASTY_MAX = 5,
	AGENT_CACHE_MAX = 4096,
};

static void agent_sync(struct agent *a);

/* ---- waiting ---- */

static uint64_t agent_random(void)
{
	return (uint64_t)random() << 33 ^ (uint64_t)random() << 11 ^ (uint64_t)random();
}

static void agent_on_timer(uv_timer_t *timer);

static void agent_enter(struct agent *a, enum agent_state state, uint64_t ms)
{
	struct fleet_counts *counts = &a->fleet->counts;

	counts->polling += (state == AGENT_POLLING) - (a->state == AGENT_POLLING);
	a->state = state;
	a->fleet->changed = true;
	uv_timer_start(&a->timer, agent_on_timer, ms, 0);
}

static void agent_wait(struct agent *a, struct backoff *backoff)
{
	a->hops = 0;
	agent_enter(a, AGENT_WAITING, backoff_next(backoff, agent_random()));
}

static void agent_complain(struct agent *a, const char *why)
{
	struct fleet *fleet = a->fleet;

	if (strncmp(fleet->last_error, why, sizeof(fleet->last_error) - 1) == 0)
		return;
	snprintf(fleet->last_error, sizeof(fleet->last_error), "%s", why);
	fprintf(stderr, "%s: %s\n", a->node, why);
}

void agent_drop(struct agent *a)
{
	conn_close(&a->conn);
	agent_wait(a, &a->backoff);
}

/* ---- the kernel that is not there ---- */

static uint32_t agent_dice(const struct agent *a, const struct sync_item *item)
{
	uint32_t h = 2166136261U;
	const char *p;

	for (p = a->node; *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619U;
	for (p = item->artefact; *p; p++)
		h = (h ^ (unsigned char)*p) * 16777619U;
	return h ^ h >> 16;
}

static bool agent_must_load(const struct held *h)
{
	return h->how == HELD_AS_TOLD && h->item->want == SYNC_LOADED &&
	       (!h->loaded || strcmp(h->loaded->artefact, h->item->artefact) != 0);
}

static void agent_load(struct agent *a, struct held *h)
{
	struct fleet_counts *counts = &a->fleet->counts;

	if (h->how == HELD_AS_TOLD && h->item->want == SYNC_ABSENT)
		h->loaded = NULL;
	if (!agent_must_load(h))
		return;
	if (agent_dice(a, h->item) % 1000 < a->fleet->options->fail_permille) {
		h->how = HELD_FAILED;
		counts->failed_loads++;
		return;
	}
	h->loaded = h->item;
	counts->loads++;
}

static void agent_loaded(struct agent *a)
{
	size_t i;

	for (i = 0; i < a->n_held; i++)
		agent_load(a, &a->held[i]);
	agent_sync(a);
}

static void agent_begin_load(struct agent *a)
{
	uint64_t n = 0, ms;
	size_t i;

	for (i = 0; i < a->n_held; i++)
		n += agent_must_load(&a->held[i]);
	ms = n * (uint64_t)a->fleet->options->load_ms;
	if (ms > 0)
		agent_enter(a, AGENT_LOADING, ms / 2 + agent_random() % (ms + 1));
	else
		agent_loaded(a);
}

/* ---- artefacts ---- */

static bool agent_has(const struct agent *a, uint64_t key)
{
	size_t i;

	for (i = a->n_cache; i > 0; i--)
		if (a->cache[i - 1] == key)
			return true;
	return false;
}

static void agent_cache(struct agent *a, uint64_t key)
{
	if (a->n_cache == AGENT_CACHE_MAX)
		a->n_cache = 0;
	if ((a->n_cache & (a->n_cache - 1)) == 0)
		a->cache = mem_resize(a->cache, a->n_cache ? 2 * a->n_cache : 1, sizeof(*a->cache));
	a->cache[a->n_cache++] = key;
}

static void agent_send(struct agent *a, const char *method, const char *path, const char *body,
		       size_t n, const char *tail)
{
	struct buf *out = &a->conn.out;

	buf_clear(out);
	buf_addf(out, "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n", method, path,
		 a->fleet->options->server_name, a->token);
	if (body)
		buf_addf(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
			 n + strlen(tail));
	buf_add_str(out, "\r\n");
	if (body) {
		buf_add(out, body, n);
		buf_add_str(out, tail);
	}
	conn_send(&a->conn);
}

static void agent_fetch(struct agent *a)
{
	for (; a->at < a->n_held; a->at++) {
		const struct held *h = &a->held[a->at];
		char path[sizeof("/v1/policies/") + SHA256_HEX];

		if (!agent_must_load(h) || agent_has(a, told_artefact_key(h->item->artefact)))
			continue;
		snprintf(path, sizeof(path), "/v1/policies/%s", h->item->artefact);
		a->fleet->counts.fetches++;
		agent_enter(a, AGENT_FETCHING, AGENT_TIMEOUT_MS);
		agent_send(a, "GET", path, NULL, 0, NULL);
		return;
	}
	agent_begin_load(a);
}

static void agent_on_artefact(struct agent *a, const char *body, size_t n)
{
	struct held *h = &a->held[a->at];
	char hash[SHA256_HEX];

	sha256_hex(body, n, hash);
	if (strcmp(hash, h->item->artefact) != 0 || (int64_t)n != h->item->artefact_size) {
		a->fleet->counts.bad_artefacts++;
		agent_complain(a, "an artefact is not what its name says");
		agent_drop(a);
		return;
	}
	agent_cache(a, told_artefact_key(h->item->artefact));
	agent_fetch(a);
}

/* What came with the set need not be asked for. */
static void agent_take_enclosed(struct agent *a, const struct told_response *res)
{
	size_t i;

	for (i = 0; i < res->n_enclosed; i++)
		if (!agent_has(a, res->enclosed[i]))
			agent_cache(a, res->enclosed[i]);
	a->fleet->counts.enclosed += (int64_t)res->n_enclosed;
	a->fleet->counts.bad_artefacts += (int64_t)res->n_bad;
	if (res->n_bad > 0)
		agent_complain(a, "an artefact that came with the set is not what its name says");
}

/* ---- sets ---- */

static const struct held *agent_held(const struct agent *a, const char *name)
{
	size_t lo = 0, hi = a->n_held;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int order = strcmp(name, a->held[mid].item->name);

		if (order == 0)
			return &a->held[mid];
		if (order < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

static int agent_compare(const void *p, const void *q)
{
	const struct held *x = p, *y = q;

	return strcmp(x->item->name, y->item->name);
}

/* Removal is told, never inferred: what is loaded and not spoken of stays, as an orphan. */
static void agent_take_set(struct agent *a, const struct told_response *res)
{
	struct held *held = mem_alloc(res->n + a->n_held, sizeof(*held));
	size_t n = 0, i;

	for (i = 0; i < res->n; i++) {
		const struct held *old = agent_held(a, res->items[i]->name);

		held[n++] = (struct held){res->items[i], old ? old->loaded : NULL, HELD_AS_TOLD};
	}
	for (i = 0; i < a->n_held; i++) {
		struct held key = {a->held[i].item, NULL, 0};

		if (a->held[i].loaded && !bsearch(&key, held, res->n, sizeof(*held), agent_compare))
			held[n++] = (struct held){a->held[i].item, a->held[i].loaded, HELD_ORPHAN};
	}
	qsort(held, n, sizeof(*held), agent_compare);
	free(a->held);
	a->held = held;
	a->n_held = n;
	memcpy(a->set_hash, res->head.set_hash, sizeof(a->set_hash));
	a->fleet->counts.sets++;
	agent_take_enclosed(a, res);
	a->at = 0;
	agent_fetch(a);
}

/* ---- syncs ---- */

static char *agent_request(struct agent *a, const struct report *report)
{
	struct sync_request req = {.protocol = SYNC_PROTOCOL,
				   .agent_version = (char *)HAUBERK_VERSION,
				   .kernel_release = (char *)a->features->release,
				   .boot_id = a->boot_id,
				   .epoch = a->epoch};
	struct json_object *obj;
	char *text;

	memcpy(req.features, a->features->hash, sizeof(req.features));
	if (a->want_features)
		req.features_text = (char *)a->features->text;
	memcpy(req.set_hash, a->set_hash, sizeof(req.set_hash));
	memcpy(req.report_hash, report->hash, sizeof(req.report_hash));
	obj = sync_request_encode(&req);
	text = mem_strdup(js_print(obj, NULL));
	json_object_put(obj);
	return text;
}

/* The report's text is put in where the encoder would have: it is the same for many. */
static void agent_sync(struct agent *a)
{
	struct fleet *fleet = a->fleet;
	const struct report *report = report_of(&fleet->told, a->held, a->n_held, a->sha1);
	CLEANUP(mem_freep) char *text = agent_request(a, report);
	CLEANUP(mem_freep) char *tail = NULL;
	bool tells = a->want_report || strcmp(report->hash, a->heard_report) != 0;

	memcpy(a->told_report, report->hash, sizeof(a->told_report));
	tail = tells ? mem_printf(",\"report\":%s}", report->text) : mem_strdup("}");
	agent_enter(a, AGENT_POLLING, AGENT_TIMEOUT_MS);
	a->sent_ms = uv_now(&fleet->loop);
	agent_send(a, "POST", "/v1/sync", text, strlen(text) - 1, tail);
	fleet->counts.asked_us = clock_wall_us();
	if (!tells)
		return;
	fleet->counts.reports++;
	fleet->counts.reported_us = fleet->counts.asked_us;
}

static void agent_accept(struct agent *a, const struct told_response *res)
{
	bool news = res->head.has_set || res->head.want_report || res->head.want_features;
	bool was_held = uv_now(&a->fleet->loop) - a->sent_ms >= AGENT_HASTY_MS;

	a->epoch = res->head.epoch;
	a->want_report = res->head.want_report;
	a->want_features = res->head.want_features;
	memcpy(a->heard_report, a->told_report, sizeof(a->heard_report));
	a->hops = 0;
	a->hasty = news || was_held ? 0 : a->hasty + 1;
	if (a->hasty == 0)
		backoff_reset(&a->backoff);
	backoff_reset(&a->slow);
	a->fleet->counts.syncs++;
	if (res->head.has_set)
		agent_take_set(a, res);
	else if (a->hasty > AGENT_HASTY_MAX)
		agent_wait(a, &a->backoff);
	else
		agent_sync(a);
}

static void agent_on_ok(struct agent *a, const char *body, size_t n)
{
	const struct told_response *res;
	struct err err;

	told_trim(&a->fleet->told);
	if (told_read(&a->fleet->told, body, n, &res, &err) < 0) {
		agent_complain(a, err.msg);
		agent_wait(a, &a->backoff);
	} else if (res->head.epoch < a->epoch) {
		agent_complain(a, "the response comes from a controller that was replaced");
		agent_wait(a, &a->backoff);
	} else {
		agent_accept(a, res);
	}
}

static void agent_on_refusal(struct agent *a, int status, const char *body, size_t n)
{
	CLEANUP(js_putp) struct json_object *obj = NULL;
	CLEANUP(mem_freep) char *why = NULL;
	struct err err;

	if (js_parse(body, n, &obj, &err) < 0)
		obj = NULL;
	a->fleet->counts.turned_away++;
	if (status == 503 && js_str(obj, "leader") && a->hops < AGENT_HOPS_MAX) {
		a->hops++;
		agent_sync(a);
		return;
	}
	why = mem_printf("%d %s", status, js_str_or_empty(obj, "message"));
	agent_complain(a, why);
	agent_wait(a, status == 400 || status == 409 || status == 413 || status == 426
			  ? &a->slow
			  : &a->backoff);
}

static void agent_on_done(struct conn *conn, int status, const char *body, size_t n)
{
	struct agent *a = container_of(conn, struct agent, conn);

	if (a->fleet->ending)
		return;
	if (status == 0) {
		a->fleet->counts.broken++;
		agent_complain(a, conn->why);
		agent_wait(a, &a->backoff);
	} else if (status != 200) {
		agent_on_refusal(a, status, body, n);
	} else if (a->state == AGENT_FETCHING) {
		agent_on_artefact(a, body, n);
	} else {
		agent_on_ok(a, body, n);
	}
}

/* After a failure in the middle of a set, its rest is seen to before the next sync, as the keeper
 * tries again what is left. */
static void agent_on_timer(uv_timer_t *timer)
{
	struct agent *a = container_of(timer, struct agent, timer);

	if (a->state == AGENT_LOADING) {
		agent_loaded(a);
	} else if (a->state == AGENT_WAITING) {
		agent_fetch(a);
	} else {
		a->fleet->counts.broken++;
		agent_complain(a, "no answer came in time");
		agent_drop(a);
	}
}

/* ---- life ---- */

int agent_init(struct agent *a, struct fleet *fleet, size_t i, const char *line, struct err *err)
{
	const char *blank = strchr(line, ' ');

	if (!blank || blank == line || !blank[1])
		return err_set(err, -EINVAL, "line %zu of %s is not \"NODE TOKEN\"", i + 1,
			       fleet->options->agents_file);
	a->fleet = fleet;
	a->state = AGENT_WAITING;
	a->node = mem_strndup(line, (size_t)(blank - line));
	a->token = mem_strndup(blank + 1, strcspn(blank + 1, "\n"));
	a->features = features_builtin_at(i % 2);
	a->sha1 = i % 2 == 0;
	snprintf(a->boot_id, sizeof(a->boot_id), "00000000-0000-4000-8000-%012zx", i);
	a->backoff = (struct backoff){.first_ms = 200, .max_ms = 5000, .factor = 2, .jitter = 0.5};
	a->slow = (struct backoff){.first_ms = 10000, .max_ms = 300000, .factor = 2, .jitter = 0.5};
	uv_timer_init(&fleet->loop, &a->timer);
	conn_init(&a->conn, &fleet->loop, &fleet->peer, agent_on_done);
	return 0;
}

void agent_start(struct agent *a)
{
	agent_sync(a);
}

void agent_close(struct agent *a)
{
	conn_deinit(&a->conn);
	uv_close((uv_handle_t *)&a->timer, NULL);
}

void agent_free(struct agent *a)
{
	free(a->node);
	free(a->token);
	free(a->held);
	free(a->cache);
}
