#include "sim.h"

#include "base/mem.h"
#include "policy/features.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A run: users and trouble for a while, then the fleet is cured and nothing happens any more; all
 * has to settle within a time that can be reckoned, and then nothing is written any more.
 */

enum { SIM_IDLE_MS = 400 * 1000, SIM_LOOK_MS = 2000 };

/* Events. */

static bool sim_before(const struct sim_event *a, const struct sim_event *b)
{
	if (a->at_ms != b->at_ms)
		return a->at_ms < b->at_ms;
	return a->tie != b->tie ? a->tie < b->tie : a->seq < b->seq;
}

static void sim_heap_up(struct sim *s, size_t at, struct sim_event ev)
{
	while (at > 0 && sim_before(&ev, &s->heap[(at - 1) / 2])) {
		s->heap[at] = s->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	s->heap[at] = ev;
}

void sim_push(struct sim *s, enum sim_event_kind kind, int64_t in_ms, int who, uint64_t id,
	      void *data)
{
	int64_t grain = s->config.grain_ms;
	struct sim_event ev = {.at_ms = s->now_ms + in_ms,
			       .seq = ++s->seq,
			       .kind = kind,
			       .who = who,
			       .id = id,
			       .data = data};

	ev.at_ms = (ev.at_ms + grain - 1) / grain * grain;
	ev.tie =
	    sim_mix((uint64_t)kind * SIM_NODES_MAX + (uint64_t)who, kind == SIM_ANSWER ? id : 0);
	if (s->n_heap == s->room_heap) {
		s->room_heap = s->room_heap ? 2 * s->room_heap : 256;
		s->heap = mem_resize(s->heap, s->room_heap, sizeof(*s->heap));
	}
	sim_heap_up(s, s->n_heap++, ev);
}

static struct sim_event sim_pop(struct sim *s)
{
	struct sim_event first = s->heap[0], last = s->heap[--s->n_heap];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < s->n_heap) {
		if (child + 1 < s->n_heap && sim_before(&s->heap[child + 1], &s->heap[child]))
			child++;
		if (!sim_before(&s->heap[child], &last))
			break;
		s->heap[at] = s->heap[child];
		at = child;
	}
	if (s->n_heap > 0)
		s->heap[at] = last;
	return first;
}

static void sim_event_free(struct sim_event *ev)
{
	if (ev->kind == SIM_APPLY || ev->kind == SIM_ANSWER || ev->kind == SIM_WATCH)
		sim_api_free(ev->kind, ev->data);
	else
		free(ev->data);
}

int64_t sim_engine_ms(const struct sim *s)
{
	return s->now_ms + s->skew_ms;
}

/* What is said. */

void sim_trace(struct sim *s, const char *fmt, ...)
{
	char line[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	/* Within one turn the order is the engine's own business. */
	s->turn += sim_mix_text(s->seed, line);
	if (s->verbose)
		printf("%9.3f %s\n", (double)(s->now_ms - s->start_ms) / 1000, line);
}

void sim_fail(struct sim *s, const char *invariant, const char *fmt, ...)
{
	va_list args;

	s->invariant = invariant;
	va_start(args, fmt);
	vsnprintf(s->why, sizeof(s->why), fmt, args);
	va_end(args);
	longjmp(s->failed, 1);
}

/* The wheel. */

static void sim_node_late(struct sim *s, const struct sim_event *ev)
{
	struct sim_node *n = &s->nodes[ev->who];
	struct json_object *obj;

	if (!n->exists || (uint64_t)n->generation != ev->id || n->ready == n->powered)
		return;
	n->ready = n->powered;
	if (!s->engine)
		return;
	obj = sim_node_object(n);
	engine_node_seen(s->engine, obj, sim_engine_ms(s));
	json_object_put(obj);
}

static int64_t sim_soon(struct sim *s, int64_t mean_ms)
{
	return sim_between(&s->chance, 1, 2 * mean_ms);
}

static void sim_calm_down(struct sim *s)
{
	sim_trace(s, "trouble is over");
	s->calm_now = true;
	sim_trouble_ends(s);
	if (s->config.final_edit)
		sim_user_ends(s);
}

static void sim_user_event(struct sim *s)
{
	if (s->config.calm) {
		sim_user_calm(s, 1);
		return;
	}
	if (s->calm_now)
		return;
	sim_user_acts(s);
	sim_push(s, SIM_USER, sim_soon(s, s->config.edit_ms), 0, 0, NULL);
}

static void sim_trouble_event(struct sim *s)
{
	if (s->config.calm) {
		sim_controller_kill(s, 3000);
		return;
	}
	if (s->calm_now)
		return;
	sim_trouble_strikes(s);
	sim_push(s, SIM_TROUBLE, sim_soon(s, s->config.trouble_ms), 0, 0, NULL);
}

/* True when the event's data was taken over. */
static bool sim_dispatch(struct sim *s, struct sim_event *ev)
{
	switch (ev->kind) {
	case SIM_APPLY:
		sim_api_apply(s, ev->data);
		return true;
	case SIM_ANSWER:
		sim_api_answer(s, ev->data);
		return false;
	case SIM_WATCH:
		sim_api_watch(s, ev->who, ev->data);
		return false;
	case SIM_USER:
		sim_user_event(s);
		return false;
	case SIM_TROUBLE:
		sim_trouble_event(s);
		return false;
	case SIM_LEAD:
		sim_controller_start(s);
		return false;
	case SIM_CALM:
		sim_calm_down(s);
		return false;
	case SIM_BOOT:
		if ((uint64_t)s->nodes[ev->who].generation == ev->id)
			sim_agent_soon(s, ev->who);
		return false;
	case SIM_NODE_LATE:
		sim_node_late(s, ev);
		return false;
	default:
		sim_agent_event(s, ev);
		return ev->kind == SIM_REQUEST;
	}
}

/* Time alone may make the engine run, but not again and again. */
static void sim_count_run(struct sim *s, bool by_time)
{
	int64_t passed_s = (s->now_ms - s->start_ms) / 1000;

	s->runs++;
	s->idle_runs = by_time ? s->idle_runs + 1 : 0;
	if (s->idle_runs > 2000)
		sim_fail(s, "no_livelock", "2000 runs one after the other, and nothing happened");
	if (s->runs > 1000 + 4 * s->events + 20 * passed_s)
		sim_fail(s, "no_livelock", "%lld runs for %lld events in %lld s",
			 (long long)s->runs, (long long)s->events, (long long)passed_s);
}

static void sim_turn(struct sim *s, bool by_time)
{
	int64_t now = sim_engine_ms(s);
	int rounds = 0;

	do {
		s->next_run_ms = engine_run(s->engine, now);
		sim_check_turn(s);
		sim_polls_settle(s);
		sim_count_run(s, by_time);
		if (++rounds > 20)
			sim_fail(s, "no_livelock", "the engine always has more to do");
	} while (engine_has_work(s->engine));
	if (s->next_run_ms <= now)
		sim_fail(s, "no_livelock", "to be run again at once, with nothing to do");
}

static void sim_trace_turn(struct sim *s)
{
	if (s->turn)
		s->trace = sim_mix(s->trace, s->turn + (uint64_t)s->now_ms);
	s->turn = 0;
}

/* The next moment at which something happens. False when there is none before `until_ms`. */
static bool sim_step(struct sim *s, int64_t until_ms)
{
	int64_t timer =
	    s->engine && s->next_run_ms != INT64_MAX ? s->next_run_ms - s->skew_ms : INT64_MAX;
	int64_t next = s->n_heap > 0 ? s->heap[0].at_ms : INT64_MAX;
	bool by_time = timer < next;

	next = timer < next ? timer : next;
	if (next > until_ms) {
		s->now_ms = until_ms;
		return false;
	}
	s->now_ms = next > s->now_ms ? next : s->now_ms;
	while (s->n_heap > 0 && s->heap[0].at_ms <= s->now_ms) {
		struct sim_event ev = sim_pop(s);

		s->events++;
		if (!sim_dispatch(s, &ev))
			sim_event_free(&ev);
	}
	if (s->engine &&
	    (engine_has_work(s->engine) || s->next_run_ms <= sim_engine_ms(s) || s->n_pending > 0))
		sim_turn(s, by_time);
	sim_trace_turn(s);
	return true;
}

/* The run. */

/* How long all may take to settle once nobody disturbs it: the steps' soaks, and as many rounds as
 * the budget makes. */
static int64_t sim_settle_ms(const struct sim *s)
{
	int64_t longest = 0, ms, soak, rounds;
	size_t k;
	int i;

	for (i = 0; i < s->config.objects; i++) {
		const struct sim_spec *spec = &s->objects[i].spec;
		const struct rollout_spec *r =
		    spec->has_rollout ? &spec->rollout : &rollout_spec_default;

		for (k = 0, soak = 0; k < r->n_steps; k++)
			soak += (r->steps[k].soak_s > 0 ? r->steps[k].soak_s : 0) + r->min_ready_s;
		rounds = s->n_nodes / rollout_amount_of(r->max_unavailable, s->n_nodes) + 1;
		ms = soak * 1000 + rounds * (r->min_ready_s * 1000 + 1500);
		longest = ms > longest ? ms : longest;
	}
	/* Late agents, a deletion that waits, retries that have become seldom. */
	return longest + 900 * (int64_t)1000;
}

static void sim_wait_settled(struct sim *s)
{
	int64_t until = s->now_ms + sim_settle_ms(s), next;
	char why[512];

	do {
		next = s->now_ms + SIM_LOOK_MS;
		while (sim_step(s, next))
			;
		if (!sim_unsettled(s, why, sizeof(why)))
			return;
	} while (s->now_ms < until);
	sim_fail(s, "it_comes_to_an_end", "%s", why);
}

/* All is said and done: in the end nobody writes, compiles or is told anything. What waits for a
 * deadline, or for a node that is dead, may take a while to be said. */
static void sim_be_idle(struct sim *s)
{
	int64_t status, told, compiled, until;
	char why[512];
	int looks;

	for (looks = 0; looks < 6; looks++) {
		status = s->n_status;
		told = s->n_told;
		compiled = s->n_compiled;
		for (until = s->now_ms + SIM_IDLE_MS; sim_step(s, until);)
			;
		if (s->n_status == status && s->n_told == told && s->n_compiled == compiled)
			break;
	}
	if (looks == 6)
		sim_fail(s, "an_idle_cluster_writes_nothing",
			 "%lld status writes, %lld nodes told, %lld compilations",
			 (long long)(s->n_status - status), (long long)(s->n_told - told),
			 (long long)(s->n_compiled - compiled));
	if (sim_unsettled(s, why, sizeof(why)))
		sim_fail(s, "it_stays_at_its_end", "%s", why);
}

static void sim_make_features(struct sim *s)
{
	int i;

	for (i = 0; i < SIM_FEATURES; i++) {
		const struct features *f = i < 2 ? features_builtin_at((size_t)i) : NULL;

		s->features_text[i] = f ? mem_strdup(f->text) : mem_printf("abi {v%d\n}\n", i);
		features_hash(s->features_text[i], strlen(s->features_text[i]),
			      s->features_hash[i]);
	}
}

static void sim_make_node(struct sim *s, int i)
{
	struct sim_node *n = &s->nodes[i];
	bool odd = !s->config.calm;

	n->chance.state = sim_mix(s->seed, (uint64_t)i + 1000);
	snprintf(n->name, sizeof(n->name), "n%d", i);
	n->zone = (int)sim_between(&n->chance, 0, SIM_ZONES);
	n->pool_b = sim_once_in(&n->chance, 3);
	n->apparmor = !odd || !sim_once_in(&n->chance, 25);
	n->features = odd && sim_once_in(&n->chance, 6) ? (int)sim_between(&n->chance, 0, 4)
							: (int)sim_between(&n->chance, 0, 1);
	n->load_ms = (int)sim_between(&n->chance, 10, 2000);
	if (!sim_once_in(&s->chance, odd ? 10 : 0))
		sim_node_add(s, i);
}

static void sim_make(struct sim *s)
{
	int i;

	s->start_ms = s->now_ms = 1700000000000;
	s->chance.state = sim_mix(s->seed, 77);
	s->n_nodes = s->config.nodes;
	s->nodes = mem_alloc((size_t)s->n_nodes, sizeof(*s->nodes));
	s->pending = mem_alloc((size_t)s->n_nodes, sizeof(*s->pending));
	sim_make_features(s);
	for (i = 0; i < SIM_OBJECTS; i++) {
		snprintf(s->objects[i].name, sizeof(s->objects[i].name), "p%d", i);
		s->objects[i].name_index = i % SIM_NAMES;
	}
	for (i = 0; i < s->n_nodes; i++)
		sim_make_node(s, i);
	sim_user_starts(s);
	sim_controller_start(s);
	if (s->config.edit_ms)
		sim_push(s, SIM_USER,
			 s->config.calm ? s->config.edit_ms : sim_soon(s, s->config.edit_ms), 0, 0,
			 NULL);
	if (s->config.calm ? s->config.kill_ms : s->config.trouble_ms)
		sim_push(s, SIM_TROUBLE,
			 s->config.calm ? s->config.kill_ms : sim_soon(s, s->config.trouble_ms), 0,
			 0, NULL);
	sim_push(s, SIM_CALM, s->config.chaos_ms, 0, 0, NULL);
}

bool sim_run(struct sim *s, uint64_t seed, const struct sim_config *config, bool verbose)
{
	*s = (struct sim){.seed = seed, .config = *config, .verbose = verbose};
	if (setjmp(s->failed))
		return false;
	sim_make(s);
	while (!s->calm_now)
		sim_step(s, s->now_ms + 60000);
	sim_wait_settled(s);
	sim_be_idle(s);
	sim_outcome(s);
	return true;
}

static void sim_free_revision(void *value)
{
	struct sim_revision *rev = value;

	free(rev->text);
	free(rev);
}

static void sim_free_set(void *value)
{
	struct sim_set *set = value;

	sync_items_free(set->raw, set->n_raw);
	free(set);
}

static void sim_clear_node(struct sim_node *n)
{
	size_t i;

	free(n->polled);
	for (i = 0; i < n->n_noted; i++) {
		free(n->noted[i].profile);
		free(n->noted[i].uid);
	}
	free(n->noted);
}

void sim_clear(struct sim *s)
{
	int i;

	engine_free(s->engine);
	while (s->n_heap > 0)
		sim_event_free(&s->heap[--s->n_heap]);
	free(s->heap);
	for (i = 0; i < s->n_nodes; i++)
		sim_clear_node(&s->nodes[i]);
	free(s->nodes);
	free(s->pending);
	for (i = 0; i < SIM_OBJECTS; i++)
		json_object_put(s->objects[i].object);
	for (i = 0; i < SIM_FEATURES; i++)
		free(s->features_text[i]);
	map_clear(&s->revisions, sim_free_revision);
	map_clear(&s->records, free);
	map_clear(&s->ever_records, free);
	map_clear(&s->sets, sim_free_set);
}

/* How a run is, by its seed: most are small, since most of what can go wrong shows with few nodes
 * and shows sooner; some are large. */
struct sim_config sim_config_of(uint64_t seed)
{
	struct sim_chance c = {sim_mix(seed, 5)};
	int64_t size = sim_between(&c, 0, 999);
	struct sim_config config = {.grain_ms = 1, .objects = (int)sim_between(&c, 1, 3)};

	config.nodes = (int)(size < 780   ? sim_between(&c, 1, 16)
			     : size < 960 ? sim_between(&c, 12, 50)
			     : size < 997 ? sim_between(&c, 60, 300)
					  : sim_between(&c, 1000, 3000));
	if (sim_once_in(&c, 12))
		config.objects = SIM_OBJECTS;
	config.chaos_ms = sim_between(&c, 60, config.nodes > 50 ? 300 : 1200) * 1000;
	config.edit_ms = sim_between(&c, 5, 120) * 1000;
	config.trouble_ms =
	    (sim_once_in(&c, 4) ? 0 : sim_between(&c, 500, 40000)) * (config.nodes > 500 ? 4 : 1);
	config.lose_percent = (int)(sim_once_in(&c, 2) ? 0 : sim_between(&c, 1, 10));
	config.repeat_percent = (int)(sim_once_in(&c, 2) ? 0 : sim_between(&c, 1, 10));
	config.api_percent = (int)(sim_once_in(&c, 2) ? 0 : sim_between(&c, 1, 25));
	config.final_edit = !sim_once_in(&c, 3);
	config.leave_dead = sim_once_in(&c, 5);
	if (config.nodes > 500) {
		config.grain_ms = 20;
		config.objects = 1;
	}
	return config;
}

struct sim_config sim_config_calm(uint64_t seed)
{
	struct sim_chance c = {sim_mix(seed, 6)};

	return (struct sim_config){
	    .calm = true,
	    .grain_ms = 1,
	    .objects = 1,
	    .nodes = (int)sim_between(&c, 2, 12),
	    .edit_ms = 300000,
	    .chaos_ms = 310000,
	    .kill_ms = sim_between(&c, 1, 360000),
	};
}
