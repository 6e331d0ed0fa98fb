#include "sim.h"

#include "base/mem.h"

#include <stdlib.h>

/*
 * What goes wrong: one thing at a time, as often as the run is rough.
 */

enum { SIM_JUMP_MS = 3600 * 1000 };

void sim_controller_kill(struct sim *s, int64_t down_ms)
{
	sim_trace(s, "the controller is killed, for %lld ms", (long long)down_ms);
	s->n_kills++;
	sim_polls_drop(s);
	engine_free(s->engine);
	s->engine = NULL;
	sim_push(s, SIM_LEAD, down_ms, 0, 0, NULL);
}

void sim_controller_start(struct sim *s)
{
	const char *builtin[] = {s->features_text[0], s->features_text[1], NULL};
	struct engine_options options = {
	    .ops = &sim_ops, .data = s, .compiler_id = "sim", .builtin_features = builtin};
	int i;

	s->incarnation++;
	/* The epoch is a time, and at least the former one plus 1. */
	s->epoch = s->epoch + 1 > sim_engine_ms(s) ? s->epoch + 1 : sim_engine_ms(s);
	for (i = 0; i < s->n_nodes; i++)
		s->nodes[i].mirror = (struct sim_mirror){0};
	s->engine = engine_new(&options, sim_engine_ms(s));
	sim_check_lead(s);
	sim_api_start(s);
	engine_start(s->engine, sim_engine_ms(s));
	s->lead_ms = sim_engine_ms(s);
	s->next_run_ms = s->lead_ms;
	sim_trace(s, "a controller leads: epoch %lld", (long long)(s->epoch - s->start_ms));
}

static int sim_some_node(struct sim *s)
{
	return (int)sim_between(&s->chance, 0, s->n_nodes - 1);
}

static void sim_strike_node(struct sim *s, int node)
{
	struct sim_node *n = &s->nodes[node];

	if (!n->exists) {
		sim_trace(s, "%s joins", n->name);
		sim_node_add(s, node);
		return;
	}
	switch (sim_between(&s->chance, 0, 6)) {
	case 0:
		sim_trace(s, "%s leaves", n->name);
		sim_node_leave(s, node);
		break;
	case 1:
	case 2:
		sim_trace(s, "%s: power %s", n->name, n->powered ? "off" : "on");
		sim_node_power(s, node, !n->powered);
		break;
	case 3:
	case 4:
		sim_trace(s, "%s: agent down", n->name);
		sim_agent_stop(s, node, sim_between(&s->chance, 500, 400000));
		break;
	default:
		sim_agent_drift(s, node, (int)sim_between(&s->chance, 0, SIM_NAMES - 1));
		break;
	}
}

/* The cluster's own changes to a Node. */
static void sim_strike_labels(struct sim *s, int node)
{
	struct sim_node *n = &s->nodes[node];
	struct json_object *obj;

	if (!n->exists)
		return;
	if (sim_once_in(&s->chance, 3))
		n->excluded = !n->excluded;
	else
		n->pool_b = !n->pool_b;
	sim_trace(s, "%s: other labels", n->name);
	obj = sim_node_object(n);
	if (s->engine)
		engine_node_seen(s->engine, obj, sim_engine_ms(s));
	json_object_put(obj);
}

static void sim_strike_own(struct sim *s, int node)
{
	static const enum sync_reason reasons[] = {SYNC_REASON_NONE, SYNC_REASON_NAME_CONFLICT,
						   SYNC_REASON_DISK_FULL, SYNC_REASON_FETCH_FAILED};
	struct sim_node *n = &s->nodes[node];

	n->trouble = reasons[sim_between(&s->chance, 0, 3)];
	sim_trace(s, "%s: trouble of its own: %s", n->name, sync_reason_name(n->trouble));
}

/* After a reboot it may have another kernel, once. */
static void sim_strike_kernel(struct sim *s, int node)
{
	struct sim_node *n = &s->nodes[node];

	if (!n->exists || n->features_changed || !n->powered)
		return;
	n->features_changed = true;
	n->features = (int)sim_between(&s->chance, 0, 1);
	n->apparmor = !sim_once_in(&s->chance, 4);
	sim_trace(s, "%s: reboots with kernel %d%s", n->name, n->features,
		  n->apparmor ? "" : ", without AppArmor");
	sim_node_power(s, node, false);
	sim_node_power(s, node, true);
}

static void sim_strike_zone(struct sim *s)
{
	int zone = (int)sim_between(&s->chance, 1, SIM_ZONES), i;

	sim_trace(s, "zone %d loses power", zone);
	for (i = 0; i < s->n_nodes; i++)
		if (s->nodes[i].zone == zone)
			sim_node_power(s, i, false);
}

static void sim_strike_clock(struct sim *s)
{
	int64_t by = sim_between(&s->chance, 1000, SIM_JUMP_MS);

	sim_trace(s, "the controller's clock jumps %lld ms ahead", (long long)by);
	s->skew_ms += by;
}

/* A clock that steps back does so between two controllers: within one it is never read again. */
static void sim_strike_controller(struct sim *s)
{
	if (!s->engine)
		return;
	sim_controller_kill(s, sim_once_in(&s->chance, 5) ? sim_between(&s->chance, 60000, 200000)
							  : sim_between(&s->chance, 100, 20000));
	if (sim_once_in(&s->chance, 4))
		s->skew_ms += sim_between(&s->chance, -SIM_JUMP_MS, SIM_JUMP_MS);
}

void sim_trouble_strikes(struct sim *s)
{
	int64_t what = sim_between(&s->chance, 0, 99);
	int node = sim_some_node(s);

	s->n_troubles++;
	if (what < 22)
		sim_strike_controller(s);
	else if (what < 24)
		sim_strike_clock(s);
	else if (what < 26)
		sim_strike_zone(s);
	else if (what < 36)
		sim_strike_own(s, node);
	else if (what < 42)
		sim_strike_labels(s, node);
	else if (what < 46)
		sim_strike_kernel(s, node);
	else
		sim_strike_node(s, node);
}

/* The fleet is cured: what was off is on, whoever had a trouble has it no more. */
void sim_trouble_ends(struct sim *s)
{
	int i;

	for (i = 0; i < s->n_nodes; i++) {
		sim_agent_cure(s, i);
		if (s->config.leave_dead && i % 7 == 3)
			sim_node_power(s, i, false);
	}
}
