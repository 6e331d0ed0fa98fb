#include "kube/lease_rules.h"

#include "base/clock.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

/* client-go's JitterUntil adds up to this many times the wait. */
#define LEASE_JITTER 1.2

int lease_view_parse(struct json_object *obj, struct lease_view *ret, struct err *err)
{
	struct lease_view view = {.exists = true};
	const char *identity = js_str_or_empty(obj, "spec.holderIdentity");
	const char *version = js_str_or_empty(obj, "metadata.resourceVersion");

	if (!obj) {
		*ret = (struct lease_view){0};
		return 0;
	}
	if (!*version || strlen(version) >= sizeof(view.version))
		return err_set(err, -EINVAL, "the Lease has no version that could be understood");
	if (strlen(identity) >= sizeof(view.identity))
		return err_set(err, -EINVAL, "the holder of the Lease has a name of %zu bytes",
			       strlen(identity));
	memcpy(view.identity, identity, strlen(identity) + 1);
	memcpy(view.version, version, strlen(version) + 1);
	view.transitions = js_i64(obj, "spec.leaseTransitions", 0);
	if (!clock_parse(js_str(obj, "spec.acquireTime"), &view.acquired_ms))
		view.acquired_ms = 0;
	*ret = view;
	return 0;
}

bool lease_see(struct lease_state *state, const struct lease_view *view, int64_t now_ms)
{
	const bool is_news = !state->has_seen || !str_equal(state->seen.identity, view->identity);

	if (!state->has_seen || !str_equal(state->seen.version, view->version))
		state->seen_ms = now_ms;
	state->has_seen = true;
	state->seen = *view;
	return is_news;
}

static bool lease_bears_our_name(const struct lease_state *state)
{
	return state->seen.exists && str_equal(state->seen.identity, state->identity);
}

int64_t lease_deadline_ms(const struct lease_state *state)
{
	return state->renewed_ms + LEASE_RENEW_DEADLINE_MS;
}

enum lease_action lease_decide(const struct lease_state *state, int64_t now_ms)
{
	if (state->held)
		return lease_bears_our_name(state) && now_ms < lease_deadline_ms(state)
			   ? LEASE_RENEW
			   : LEASE_LOST;
	if (!state->seen.exists)
		return LEASE_CREATE;
	if (!*state->seen.identity || lease_bears_our_name(state) ||
	    now_ms - state->seen_ms >= LEASE_DURATION_MS)
		return LEASE_TAKE;
	return LEASE_WAIT;
}

bool lease_confirm(struct lease_state *state, int64_t sent_ms)
{
	if (!lease_bears_our_name(state))
		return false;
	state->renewed_ms = sent_ms;
	if (state->held)
		return false;
	state->held = true;
	return true;
}

int64_t lease_next_epoch(const struct lease_view *former, int64_t wall_ms)
{
	return wall_ms > former->acquired_ms ? wall_ms : former->acquired_ms + 1;
}

int64_t lease_wait_ms(const struct lease_state *state, uint64_t random)
{
	const double chance = (double)(random >> 11) / (double)(1ULL << 53);

	if (state->held)
		return LEASE_RETRY_MS;
	return (int64_t)(LEASE_RETRY_MS * (1.0 + LEASE_JITTER * chance));
}

static void lease_put_time(struct json_object *spec, const char *key, int64_t wall_ms)
{
	char text[CLOCK_TEXT_MAX];

	clock_format_micro(wall_ms, text);
	js_put_str(spec, key, text);
}

struct json_object *lease_spec_take(const struct lease_state *state, int64_t wall_ms)
{
	struct json_object *spec = js_new();
	const struct lease_view *former = &state->seen;

	js_put_str(spec, "holderIdentity", state->identity);
	js_put_i64(spec, "leaseDurationSeconds", LEASE_DURATION_MS / 1000);
	lease_put_time(spec, "acquireTime", lease_next_epoch(former, wall_ms));
	lease_put_time(spec, "renewTime", wall_ms);
	js_put_i64(spec, "leaseTransitions", former->exists ? former->transitions + 1 : 0);
	return spec;
}

struct json_object *lease_spec_renew(int64_t wall_ms)
{
	struct json_object *spec = js_new();

	lease_put_time(spec, "renewTime", wall_ms);
	return spec;
}

struct json_object *lease_spec_release(int64_t wall_ms)
{
	struct json_object *spec = lease_spec_renew(wall_ms);

	js_put_str(spec, "holderIdentity", "");
	js_put_i64(spec, "leaseDurationSeconds", 1);
	return spec;
}
