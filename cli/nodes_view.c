#include "cli/nodes_view.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/revisions.h"

#include <inttypes.h>
#include <stdio.h>

enum { NODES_WORDS_MAX = 64 << 10 };

static const char *nodes_age(struct json_object *obj, const char *key, int64_t now_ms, char out[16])
{
	int64_t ms;

	if (!clock_parse(js_str(obj, key), &ms))
		return NULL;
	revision_age(now_ms - ms, out);
	return out;
}

static const char *nodes_apparmor(struct json_object *node)
{
	if (!js_get(node, "appArmor"))
		return NULL;
	if (!js_bool(node, "appArmor", true))
		return "off";
	return js_str(node, "reason") ? js_str(node, "reason") : "on";
}

void nodes_table(struct json_object *view, int64_t now_ms, struct table *t)
{
	struct json_object *nodes = js_array(view, "nodes");
	size_t i;

	table_init(t, (const char *const[]){"NODE", "AGENT", "HEARD", "VERSION", "KERNEL",
					    "APPARMOR", "PROFILES", "PENDING", "FAILED", NULL});
	for (i = 0; i < js_len(nodes); i++) {
		struct json_object *n = js_item(nodes, i);
		char loaded[48], pending[24], failed[24], heard[16];

		snprintf(loaded, sizeof(loaded), "%" PRId64 "/%" PRId64,
			 js_i64(n, "profiles.loaded", 0), js_i64(n, "profiles.desired", 0));
		snprintf(pending, sizeof(pending), "%" PRId64,
			 js_i64(n, "profiles.pending", 0) + js_i64(n, "profiles.draining", 0));
		snprintf(failed, sizeof(failed), "%" PRId64, js_i64(n, "profiles.failed", 0));
		table_add(t, (const char *const[]){js_str(n, "name"), js_str(n, "agent"),
						   nodes_age(n, "heard", now_ms, heard),
						   js_str(n, "agentVersion"),
						   js_str(n, "kernelRelease"), nodes_apparmor(n),
						   loaded, pending, failed});
	}
}

/* What a node was told is worth a word only where it is not what it holds. */
static const char *nodes_told(struct json_object *p)
{
	const char *told = js_str(p, "told");

	return str_equal(told, js_str(p, "holds")) ? NULL : told;
}

void nodes_profiles_table(struct json_object *view, int64_t now_ms, struct table *t)
{
	struct json_object *profiles = js_array(view, "profiles");
	size_t i;

	table_init(t, (const char *const[]){"PROFILE", "STATE", "HOLDS", "TOLD", "MODE", "FOR",
					    "REASON", "MESSAGE", NULL});
	for (i = 0; i < js_len(profiles); i++) {
		struct json_object *p = js_item(profiles, i);
		char since[16];

		table_add(t, (const char *const[]){js_str(p, "name"), js_str(p, "state"),
						   js_str(p, "holds"), nodes_told(p),
						   js_str(p, "mode"),
						   nodes_age(p, "since", now_ms, since),
						   js_str(p, "reason"), js_str(p, "message")});
	}
}

void nodes_of_profile_table(struct json_object *view, int64_t now_ms, struct table *t)
{
	struct json_object *nodes = js_array(view, "nodes");
	size_t i;

	table_init(t, (const char *const[]){"NODE", "ZONE", "STATE", "HOLDS", "TOLD", "FOR",
					    "REASON", "MESSAGE", NULL});
	for (i = 0; i < js_len(nodes); i++) {
		struct json_object *n = js_item(nodes, i);
		char since[16];

		table_add(t,
			  (const char *const[]){js_str(n, "name"), js_str(n, "zone"),
						js_str(n, "state"), js_str(n, "holds"),
						nodes_told(n), nodes_age(n, "since", now_ms, since),
						js_str(n, "reason"), js_str(n, "message")});
	}
}

char *nodes_heading(struct json_object *view, int64_t now_ms)
{
	struct buf out = BUF_INIT(NODES_WORDS_MAX);
	const char *agent = js_str_or_empty(view, "agent");
	const char *off = js_bool(view, "appArmor", true) ? NULL : js_str_or_empty(view, "message");
	char heard[16];

	buf_add_str(&out, js_str_or_empty(view, "name"));
	if (js_str(view, "kernelRelease"))
		buf_addf(&out, ": kernel %s, agent %s", js_str(view, "kernelRelease"),
			 js_str_or_empty(view, "agentVersion"));
	if (str_equal(agent, "NeverHeard"))
		buf_add_str(&out, ": no agent has reported yet");
	else if (str_equal(agent, "None"))
		buf_add_str(&out, ": its labels say that no agent is to be expected");
	else if (nodes_age(view, "heard", now_ms, heard))
		buf_addf(&out, ", %s, heard %s ago",
			 str_equal(agent, "Away") ? "away" : "connected", heard);
	if (off)
		buf_addf(&out, "\nAppArmor is off there: %s", off);
	else if (js_str(view, "reason"))
		buf_addf(&out, "\n%s: %s", js_str(view, "reason"),
			 js_str_or_empty(view, "message"));
	return buf_steal(&out);
}

static void nodes_list(struct json_object *array, const char *what, struct buf *out)
{
	size_t i;

	for (i = 0; i < js_len(array); i++)
		buf_addf(out, "%s%s", i == 0 ? what : ", ",
			 json_object_get_string(js_item(array, i)));
	if (js_len(array) > 0)
		buf_add_str(out, "\n");
}

char *nodes_footing(struct json_object *view)
{
	struct buf out = BUF_INIT(NODES_WORDS_MAX);

	nodes_list(js_array(view, "orphans"),
		   "Loaded once, and asked for by no object any more: ", &out);
	nodes_list(js_array(view, "pendingRemovals"),
		   "To be removed as soon as its agent is heard of: ", &out);
	return buf_steal(&out);
}
