#include "sim.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * An agent: it asks, its request is held, the answer brings a set or nothing, and it asks again.
 * What it was told it keeps on disk; what its kernel holds is gone with the power. A request may be
 * lost, late, or come twice; so may an answer. The controller's end of the protocol is what
 * sync_server.c does.
 */

enum { AGENT_HOLD_MS = 60000, AGENT_TIMEOUT_MS = 70000, AGENT_ASKS_AGAIN_MS = 20 };

const char *sim_held(const struct sim_unit *u)
{
	return u->held && !u->drifted ? u->held->revision : "";
}

bool sim_hates(const struct sim_node *n, const struct sim_revision *rev)
{
	return rev->fails_percent > 0 && (int64_t)(sim_mix_text(sim_mix_text(1, n->name), rev->id) %
						   100) < rev->fails_percent;
}

static int sim_index(const struct sim *s, const struct sim_node *n)
{
	return (int)(n - s->nodes);
}

struct json_object *sim_node_object(const struct sim_node *n)
{
	struct json_object *obj = js_new(), *meta = js_new(), *labels = js_new();
	char zone[16];

	snprintf(zone, sizeof(zone), "z%d", n->zone);
	js_put_str(labels, "pool", n->pool_b ? "b" : "a");
	if (n->zone)
		js_put_str(labels, "topology.kubernetes.io/zone", zone);
	if (n->excluded)
		js_put_str(labels, "hauberk.dev/exclude", "true");
	js_put_str(meta, "name", n->name);
	js_put_str(meta, "uid", n->uid);
	js_put(meta, "labels", labels);
	js_put(obj, "metadata", meta);
	return obj;
}

/* Sets. */

static void sim_set_fill(struct sim *s, struct sim_set *set)
{
	size_t i;

	for (i = 0; i < set->n_raw; i++) {
		const struct sync_item *raw = &set->raw[i];
		struct sim_item *item = &set->items[(int)strtol(raw->name + 3, NULL, 10)];

		item->mentioned = true;
		item->absent = raw->want == SYNC_ABSENT;
		item->hashes = raw->hashes;
		item->n_hashes = raw->n_hashes;
		snprintf(item->uid, sizeof(item->uid), "%s", raw->uid);
		snprintf(item->revision, sizeof(item->revision), "%s", raw->revision);
		item->rev = item->absent ? NULL : sim_revision(s, raw->revision);
	}
}

struct sim_set *sim_set_of(struct sim *s, const struct set_body *body)
{
	struct sim_set *set = map_get(&s->sets, body->hash);
	struct json_object *array;
	struct err err;

	if (set)
		return set;
	set = MEM_NEW(struct sim_set);
	memcpy(set->hash, body->hash, sizeof(set->hash));
	if (js_parse(body->text, strlen(body->text), &array, &err) < 0 ||
	    sync_set_decode(array, &set->raw, &set->n_raw, &err) < 0)
		sim_fail(s, "sets_can_be_read", "%s: %.200s", err.msg, body->text);
	json_object_put(array);
	sim_set_fill(s, set);
	map_put(&s->sets, body->hash, set);
	return set;
}

/* What the node's kernel does. */

static void sim_say_again(struct sim *s, struct sim_node *n)
{
	n->report_version++;
	if (n->running)
		sim_push(s, SIM_SYNC, sim_between(&n->chance, 1, AGENT_ASKS_AGAIN_MS),
			 sim_index(s, n), n->report_version, NULL);
}

static void sim_unit_say(struct sim *s, struct sim_node *n, struct sim_unit *u,
			 enum sync_state state, enum sync_reason reason)
{
	if (u->state == state && u->reason == reason)
		return;
	if (s->verbose)
		sim_trace(s, "  %s: web%d %s: %s %s", n->name, (int)(u - n->units),
			  u->item ? u->item->revision : "-", sync_state_name(state),
			  sync_reason_name(reason));
	u->state = state;
	u->reason = reason;
	sim_say_again(s, n);
}

static void sim_unit_at(struct sim *s, struct sim_node *n, struct sim_unit *u, int64_t in_ms)
{
	u->due_ms = s->now_ms + in_ms;
	sim_push(s, SIM_UNIT, in_ms, sim_index(s, n), (uint64_t)(u - n->units), NULL);
}

static void sim_unit_retry(struct sim *s, struct sim_node *n, struct sim_unit *u)
{
	int64_t wait = 1000LL << (u->tries < 5 ? u->tries : 5);

	u->tries++;
	sim_unit_at(s, n, u, wait + sim_between(&n->chance, 0, 500));
}

static void sim_unit_fails(struct sim *s, struct sim_node *n, struct sim_unit *u,
			   enum sync_reason reason)
{
	sim_unit_say(s, n, u, SYNC_STATE_FAILED, reason);
	sim_unit_retry(s, n, u);
}

static void sim_unit_take(struct sim *s, struct sim_node *n, struct sim_unit *u)
{
	if (s->verbose)
		sim_trace(s, "  %s: web%d %s is loaded", n->name, (int)(u - n->units),
			  u->item->revision);
	u->held = u->item;
	u->drifted = false;
	u->version++;
	u->tries = 0;
	u->state = SYNC_STATE_LOADED;
	u->reason = SYNC_REASON_NONE;
	sim_say_again(s, n);
}

static void sim_unit_load(struct sim *s, struct sim_node *n, struct sim_unit *u)
{
	const struct sim_revision *rev = u->item->rev;

	if (n->trouble) {
		sim_unit_fails(s, n, u, n->trouble);
	} else if (sim_hates(n, rev) && rev->misloads) {
		u->held = u->item;
		u->drifted = true; /* what the kernel made of it is something else */
		u->version++;
		sim_unit_fails(s, n, u, SYNC_REASON_VERIFY_FAILED);
	} else if (sim_hates(n, rev)) {
		sim_unit_fails(s, n, u, SYNC_REASON_LOAD_FAILED);
	} else if (!s->calm_now && !s->config.calm && sim_once_in(&n->chance, 40)) {
		sim_unit_fails(s, n, u, SYNC_REASON_FETCH_FAILED);
	} else {
		sim_unit_take(s, n, u);
	}
}

static void sim_unit_remove(struct sim *s, struct sim_node *n, struct sim_unit *u)
{
	if (u->held && !s->calm_now && sim_once_in(&n->chance, 3)) {
		sim_unit_say(s, n, u, SYNC_STATE_DRAINING, SYNC_REASON_NONE);
		sim_unit_at(s, n, u, sim_between(&n->chance, 1000, 60000));
		return;
	}
	if (u->held) {
		u->held = NULL;
		u->drifted = false;
		u->version++;
		n->report_version++;
	}
	sim_unit_say(s, n, u, SYNC_STATE_ABSENT, SYNC_REASON_NONE);
	sim_say_again(s, n);
}

static void sim_unit_due(struct sim *s, struct sim_node *n, struct sim_unit *u)
{
	if (!n->running || u->due_ms == 0 || s->now_ms < u->due_ms)
		return;
	u->due_ms = 0;
	if (u->item && u->item->absent)
		sim_unit_remove(s, n, u);
	else if (u->item)
		sim_unit_load(s, n, u);
}

static int64_t sim_load_ms(const struct sim *s, struct sim_node *n)
{
	if (s->calm_now || s->config.calm)
		return sim_between(&n->chance, 5, 400);
	return sim_once_in(&n->chance, 25) ? sim_between(&n->chance, 1000, 40000)
					   : sim_between(&n->chance, 5, n->load_ms);
}

/* What it was told has become something else, or it has just started. */
static void sim_unit_want(struct sim *s, struct sim_node *n, struct sim_unit *u,
			  const struct sim_item *item)
{
	bool same = u->item == item && u->due_ms;

	u->item = item;
	if (same)
		return;
	u->due_ms = 0;
	u->tries = 0;
	if (!item) {
		sim_unit_say(s, n, u, u->held ? SYNC_STATE_ORPHAN : SYNC_STATE_ABSENT,
			     SYNC_REASON_NONE);
	} else if (!item->absent && strcmp(sim_held(u), item->revision) == 0) {
		u->held = item;
		u->state = SYNC_STATE_LOADED;
		u->reason = SYNC_REASON_NONE;
	} else {
		u->state = item->absent && !u->held ? SYNC_STATE_ABSENT : SYNC_STATE_PENDING;
		u->reason = SYNC_REASON_NONE;
		sim_unit_at(s, n, u, sim_load_ms(s, n));
	}
	n->report_version++;
}

static void sim_node_want(struct sim *s, struct sim_node *n)
{
	int i;

	for (i = 0; i < SIM_NAMES; i++) {
		const struct sim_item *item = n->set ? &n->set->items[i] : NULL;
		struct sim_unit *u = &n->units[i];

		item = item && item->mentioned && n->apparmor ? item : NULL;
		if (item != u->item || !u->item)
			sim_unit_want(s, n, u, item);
	}
}

/* Asking. */

static void sim_entry_fill(const struct sim_unit *u, struct sim_entry *e)
{
	const char *target = u->item && !u->item->absent ? u->item->revision : "";

	e->present = u->item || u->held;
	e->state = u->state;
	e->reason = u->reason;
	e->held = u->drifted ? NULL : u->held;
	e->version = u->version;
	snprintf(e->target, sizeof(e->target), "%s", target);
	snprintf(e->uid, sizeof(e->uid), "%s",
		 u->item ? u->item->uid : (u->held ? u->held->uid : ""));
}

static struct sim_request *sim_request_new(const struct sim_node *n)
{
	struct sim_request *req = MEM_NEW(struct sim_request);
	int i;

	req->has_report = n->report_version != n->report_acked;
	req->has_features = n->want_features;
	req->apparmor = n->apparmor;
	req->features = n->features;
	req->report_version = n->report_version;
	req->epoch = n->epoch;
	req->generation = n->generation;
	if (n->set)
		memcpy(req->set_hash, n->set->hash, sizeof(req->set_hash));
	for (i = 0; i < SIM_NAMES && n->apparmor; i++)
		sim_entry_fill(&n->units[i], &req->entries[i]);
	return req;
}

static void sim_sync(struct sim *s, struct sim_node *n)
{
	bool rough = !s->calm_now && !s->config.calm;
	struct sim_request *req = sim_request_new(n), *twin;
	int i = sim_index(s, n);

	req->number = n->request = ++s->requests;
	n->report_asked = n->report_version;
	sim_push(s, SIM_TIMEOUT, AGENT_TIMEOUT_MS, i, n->request, NULL);
	if (rough && sim_percent(&n->chance, s->config.repeat_percent)) {
		twin = MEM_NEW(struct sim_request);
		*twin = *req;
		twin->number = 0;
		sim_push(s, SIM_REQUEST, sim_between(&n->chance, 1, 20000), i, s->incarnation,
			 twin);
	}
	if (rough && sim_percent(&n->chance, s->config.lose_percent))
		free(req);
	else
		sim_push(s, SIM_REQUEST, sim_delay(&n->chance, 10, rough ? 5000 : 30), i,
			 s->incarnation, req);
}

static void sim_ask_again(struct sim *s, struct sim_node *n)
{
	n->retries++;
	n->request = 0;
	sim_push(s, SIM_SYNC, sim_between(&n->chance, 500, n->retries < 4 ? 2000 : 6000),
		 sim_index(s, n), n->report_version, NULL);
}

/* The controller's end. */

static void sim_answer(struct sim *s, struct sim_node *n, uint64_t request,
		       struct sim_response *res)
{
	bool rough = !s->calm_now && !s->config.calm;

	res->epoch = s->epoch;
	if (rough && sim_percent(&n->chance, s->config.lose_percent))
		free(res);
	else
		sim_push(s, SIM_RESPONSE, sim_delay(&n->chance, 10, rough ? 5000 : 30),
			 sim_index(s, n), request, res);
}

static void sim_poll_end(struct sim_node *n)
{
	free(n->polled);
	n->polled = NULL;
	n->poll = 0;
}

static void sim_request_encode(const struct sim *s, const struct sim_node *n,
			       const struct sim_request *from, struct sync_request *req)
{
	size_t k = 0;
	int i;

	*req = (struct sync_request){.protocol = SYNC_PROTOCOL, .has_report = from->has_report};
	memcpy(req->set_hash, from->set_hash, sizeof(req->set_hash));
	req->epoch = from->epoch;
	req->agent_version = mem_strdup("sim");
	req->kernel_release = mem_strdup("6");
	req->boot_id = mem_printf("b%d", n->generation);
	snprintf(req->report_hash, sizeof(req->report_hash), "%064llx",
		 (unsigned long long)from->report_version);
	if (from->apparmor)
		memcpy(req->features, s->features_hash[from->features], SHA256_HEX);
	if (from->has_features)
		req->features_text = mem_strdup(s->features_text[from->features]);
	req->report.apparmor_enabled = from->apparmor;
	req->report.apparmor_reason = mem_strdup(from->apparmor ? "" : "AppArmor is off");
	req->report.items = mem_alloc(SIM_NAMES, sizeof(struct sync_status));
	for (i = 0; from->has_report && i < SIM_NAMES; i++) {
		const struct sim_entry *e = &from->entries[i];
		struct sync_status *st = &req->report.items[k];

		if (!e->present)
			continue;
		k++;
		st->name = mem_printf("web%d", i);
		st->uid = mem_strdup(e->uid);
		st->message = mem_strdup(e->reason ? "no such luck" : "");
		st->kernel_mode = mem_strdup(e->held ? "enforce" : "");
		st->state = e->state;
		st->reason = e->reason;
		memcpy(st->target, e->target, sizeof(st->target));
		if (!e->held)
			continue;
		memcpy(st->revision, e->held->revision, sizeof(st->revision));
		st->n_hashes = e->held->n_hashes;
		sync_hashes_copy(e->held->hashes, e->held->n_hashes, &st->hashes);
	}
	req->report.n = k;
}

static void sim_mirror_take(struct sim *s, struct sim_node *n, const struct sim_request *req)
{
	struct sim_mirror *m = &n->mirror;
	int i;

	m->features = req->features;
	if (!req->has_report)
		return;
	m->apparmor = req->apparmor;
	for (i = 0; i < SIM_NAMES; i++) {
		const struct sim_entry *e = &req->entries[i];
		bool same = sim_confirmed(&m->said[i], e->target);

		if (!sim_confirmed(e, e->target))
			m->loaded_ms[i] = 0;
		else if (!same || !m->loaded_ms[i])
			m->loaded_ms[i] = sim_engine_ms(s);
	}
	memcpy(m->said, req->entries, sizeof(m->said));
	for (i = 0; i < SIM_OBJECTS; i++)
		if (!m->reported && !*m->adopted[i])
			memcpy(m->adopted[i], m->said[s->objects[i].name_index].target,
			       sizeof(m->adopted[i]));
	m->reported = true;
}

static void sim_refuse(struct sim *s, struct sim_node *n, uint64_t request)
{
	struct sim_response *res = MEM_NEW(struct sim_response);

	res->refused = true;
	sim_answer(s, n, request, res);
}

static bool sim_hear(struct sim *s, struct sim_node *n, const struct sim_request *req,
		     uint64_t incarnation)
{
	struct sync_request sync;
	enum report_verdict verdict;

	if (!s->engine || incarnation != s->incarnation || req->epoch > s->epoch ||
	    req->generation != n->generation)
		return false;
	sim_request_encode(s, n, req, &sync);
	verdict = engine_agent_heard(s->engine, n->name, n->uid, &sync, sim_engine_ms(s));
	sync_request_clear(&sync);
	if (verdict == REPORT_TAKEN)
		sim_mirror_take(s, n, req);
	return verdict == REPORT_TAKEN;
}

/* A request has come in. One that is repeated, or that the agent waits for no more, comes on a
 * connection that is dead: nobody hears the answer, but the poll that was held is over. */
static void sim_take_request(struct sim *s, struct sim_node *n, struct sim_request *req,
			     uint64_t incarnation)
{
	uint64_t request = req->number && req->number == n->request ? n->request : 0;

	if (!sim_hear(s, n, req, incarnation)) {
		if (request)
			sim_refuse(s, n, request);
		free(req);
		return;
	}
	if (n->poll)
		sim_answer(s, n, n->poll, MEM_NEW(struct sim_response));
	sim_poll_end(n);
	n->poll = request ? request : UINT64_MAX;
	n->polled = req;
	if (!n->pending)
		s->pending[s->n_pending++] = sim_index(s, n);
	n->pending = true;
	sim_push(s, SIM_HOLD_OVER, AGENT_HOLD_MS, sim_index(s, n), n->poll, NULL);
}

static void sim_poll_settle(struct sim *s, struct sim_node *n)
{
	struct node *node = engine_node(s->engine, n->name);
	struct sim_response *res;
	char said[SHA256_HEX];

	if (!n->poll || !node)
		return;
	res = MEM_NEW(struct sim_response);
	snprintf(said, sizeof(said), "%064llx", (unsigned long long)n->polled->report_version);
	res->want_report = !node->reported || strcmp(node->report_hash, said) != 0;
	res->want_features = engine_wants_features(s->engine, node);
	if (node->set && strcmp(node->set->hash, n->polled->set_hash) != 0)
		res->set = sim_set_of(s, node->set);
	if (!res->want_report && !res->want_features && !res->set) {
		free(res);
		return;
	}
	if (n->poll != UINT64_MAX)
		sim_answer(s, n, n->poll, res);
	else
		free(res);
	sim_poll_end(n);
}

void sim_polls_settle(struct sim *s)
{
	size_t i;

	for (i = 0; i < s->n_pending; i++) {
		s->nodes[s->pending[i]].pending = false;
		sim_poll_settle(s, &s->nodes[s->pending[i]]);
	}
	s->n_pending = 0;
}

void sim_polls_drop(struct sim *s)
{
	int i;

	for (i = 0; i < s->n_nodes; i++) {
		struct sim_node *n = &s->nodes[i];

		/* Its connection is reset. */
		if (n->poll && n->poll != UINT64_MAX && n->running && n->poll == n->request)
			sim_ask_again(s, n);
		sim_poll_end(n);
		n->pending = false;
	}
	s->n_pending = 0;
}

/* The agent's end again. */

static void sim_take_answer(struct sim *s, struct sim_node *n, const struct sim_response *res)
{
	n->request = 0;
	if (res->refused || res->epoch < n->epoch) {
		sim_ask_again(s, n);
		return;
	}
	n->retries = 0;
	n->epoch = res->epoch;
	n->report_acked = res->want_report ? 0 : n->report_asked;
	n->want_features = res->want_features;
	if (res->set && res->set != n->set) {
		n->set = res->set;
		sim_node_want(s, n);
	}
	sim_push(s, SIM_SYNC, sim_between(&n->chance, 1, AGENT_ASKS_AGAIN_MS), sim_index(s, n),
		 n->report_version, NULL);
}

void sim_agent_event(struct sim *s, const struct sim_event *ev)
{
	struct sim_node *n = &s->nodes[ev->who];

	switch (ev->kind) {
	case SIM_REQUEST:
		sim_take_request(s, n, ev->data, ev->id);
		break;
	case SIM_SYNC:
		/* One that has nothing new to say waits for its answer. */
		if (n->running && (n->request == 0 || n->report_version != n->report_asked))
			sim_sync(s, n);
		break;
	case SIM_TIMEOUT:
		if (n->running && n->request == ev->id)
			sim_ask_again(s, n);
		break;
	case SIM_RESPONSE:
		if (n->running && n->request == ev->id)
			sim_take_answer(s, n, ev->data);
		break;
	case SIM_HOLD_OVER:
		if (n->poll == ev->id && s->engine) {
			if (n->poll != UINT64_MAX)
				sim_answer(s, n, n->poll, MEM_NEW(struct sim_response));
			sim_poll_end(n);
		}
		break;
	case SIM_UNIT:
		sim_unit_due(s, n, &n->units[ev->id]);
		break;
	default:
		break;
	}
}

/* Life of a node. */

static void sim_agent_start(struct sim *s, struct sim_node *n)
{
	int i;

	n->running = true;
	n->report_acked = 0;
	n->report_version++;
	n->want_features = false;
	for (i = 0; i < SIM_NAMES; i++) {
		n->units[i].item = NULL;
		n->units[i].due_ms = 0;
	}
	sim_node_want(s, n);
	sim_push(s, SIM_SYNC, sim_between(&n->chance, 10, 2000), sim_index(s, n), n->report_version,
		 NULL);
}

void sim_node_add(struct sim *s, int node)
{
	struct sim_node *n = &s->nodes[node];
	struct json_object *obj;
	int i;

	n->generation++;
	snprintf(n->uid, sizeof(n->uid), "%s-%d", n->name, n->generation);
	n->exists = n->powered = n->ready = true;
	n->set = NULL;
	for (i = 0; i < SIM_NAMES; i++)
		n->units[i] = (struct sim_unit){.version = n->units[i].version + 1,
						.state = SYNC_STATE_ABSENT};
	n->epoch = 0;
	n->trouble = SYNC_REASON_NONE;
	n->mirror = (struct sim_mirror){0};
	obj = sim_node_object(n);
	if (s->engine)
		engine_node_seen(s->engine, obj, sim_engine_ms(s));
	json_object_put(obj);
	sim_push(s, SIM_BOOT, sim_between(&n->chance, 0, s->start_ms == s->now_ms ? 500 : 20000),
		 node, (uint64_t)n->generation, NULL);
}

void sim_node_leave(struct sim *s, int node)
{
	struct sim_node *n = &s->nodes[node];

	n->exists = n->powered = n->running = false;
	n->request = 0;
	n->has_object = false;
	sim_poll_end(n);
	if (s->engine)
		engine_node_gone(s->engine, n->name);
	n->mirror = (struct sim_mirror){0};
}

void sim_agent_stop(struct sim *s, int node, int64_t for_ms)
{
	struct sim_node *n = &s->nodes[node];

	n->running = false;
	n->request = 0;
	sim_push(s, SIM_BOOT, for_ms, node, (uint64_t)n->generation, NULL);
}

void sim_node_power(struct sim *s, int node, bool on)
{
	struct sim_node *n = &s->nodes[node];
	int i;

	if (n->powered == on || !n->exists)
		return;
	n->powered = on;
	n->running = false;
	n->request = 0;
	for (i = 0; i < SIM_NAMES; i++) {
		n->units[i].held = NULL;
		n->units[i].drifted = false;
		n->units[i].version++;
	}
	if (on)
		sim_push(s, SIM_BOOT, sim_between(&n->chance, 2000, 30000), node,
			 (uint64_t)n->generation, NULL);
	sim_push(s, SIM_NODE_LATE, on ? 35000 : 40000, node, (uint64_t)n->generation, NULL);
}

/* An agent that was down is up; Kubernetes has taken note of the node. */
void sim_agent_soon(struct sim *s, int node)
{
	struct sim_node *n = &s->nodes[node];

	if (n->exists && n->powered && !n->running)
		sim_agent_start(s, n);
}

void sim_agent_drift(struct sim *s, int node, int name)
{
	struct sim_node *n = &s->nodes[node];
	struct sim_unit *u = &n->units[name];

	if (!n->running || !u->held || u->drifted || u->due_ms)
		return;
	u->drifted = true;
	u->version++;
	if (!u->item || u->item->absent)
		return;
	sim_unit_say(s, n, u, SYNC_STATE_PENDING, SYNC_REASON_NONE);
	sim_unit_at(s, n, u, sim_between(&n->chance, 500, 5000));
}

void sim_agent_cure(struct sim *s, int node)
{
	struct sim_node *n = &s->nodes[node];

	n->trouble = SYNC_REASON_NONE;
	sim_node_power(s, node, true);
	sim_agent_soon(s, node);
}
