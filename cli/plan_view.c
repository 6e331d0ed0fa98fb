#include "cli/plan_view.h"

#include "base/buf.h"
#include "base/diff.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PLAN_TEXT_MAX = 64 << 20, PLAN_DIFF_MAX = 4 << 20 };

static void plan_say_revision(struct json_object *plan, struct buf *out)
{
	const char *now = js_str(plan, "revision.now"), *then = js_str(plan, "revision.then");
	const char *mode = js_str(plan, "mode.now");

	buf_addf(out, "%s: ", js_str_or_empty(plan, "name"));
	if (!now)
		buf_addf(out, "a new object, revision %s (%s)\n", then,
			 js_str_or_empty(plan, "mode.then"));
	else if (str_equal(now, then))
		buf_addf(out, "no new revision: %s (%s) is what spec asks for already\n", then,
			 js_str_or_empty(plan, "mode.then"));
	else
		buf_addf(out, "revision %s (%s) in place of %s (%s)\n", then,
			 js_str_or_empty(plan, "mode.then"), now, mode ? mode : "");
	if (js_str(plan, "underWay"))
		buf_addf(out, "The rollout of %s, which is under way, ends half done.\n",
			 js_str(plan, "underWay"));
	if (js_str(plan, "problem"))
		buf_addf(out, "But: %s.\n", js_str(plan, "problem"));
}

static void plan_say_diff(struct json_object *plan, const char *file, struct buf *out)
{
	const char *name = js_str_or_empty(plan, "name");
	CLEANUP(mem_freep) char *from_name = mem_printf("%s in the cluster", name);
	CLEANUP(mem_freep) char *to_name = mem_printf("%s in %s", name, file);
	const char *now = js_str_or_empty(plan, "text.now");
	const char *then = js_str_or_empty(plan, "text.then");
	struct diff_text from = {from_name, now, strlen(now)}, to = {to_name, then, strlen(then)};
	struct buf diff = BUF_INIT(PLAN_DIFF_MAX);

	if (!js_str(plan, "text.now"))
		return;
	diff_unified(&from, &to, &diff);
	if (diff.len > 0)
		buf_addf(out, "\n%s", buf_text(&diff));
	buf_clear(&diff);
}

static const char *plan_nodes(int64_t n)
{
	return n == 1 ? "node" : "nodes";
}

static void plan_say_steps(struct json_object *plan, struct buf *out)
{
	struct json_object *steps = js_array(plan, "steps");
	size_t i;

	for (i = 0; i < js_len(steps); i++) {
		struct json_object *step = js_item(steps, i);
		int64_t nodes = js_i64(step, "nodes", 0), soak = js_i64(step, "soakSeconds", 0);

		buf_addf(out, "Step %zu: until %" PRId64 " %s it, ", i + 1, nodes,
			 nodes == 1 ? "node holds" : "nodes hold");
		if (soak < 0)
			buf_add_str(out, "then until somebody says promote.\n");
		else if (soak > 0)
			buf_addf(out, "then %" PRId64 " s to look at it.\n", soak);
		else
			buf_add_str(out, "and on at once.\n");
	}
}

static int64_t plan_count(struct json_object *plan, const char *action)
{
	struct json_object *nodes = js_array(plan, "nodes");
	int64_t n = 0;
	size_t i;

	for (i = 0; i < js_len(nodes); i++)
		n += str_equal(js_str(js_item(nodes, i), "action"), action);
	return n;
}

struct plan_sum {
	const char *action;
	const char *words;
};

static void plan_say_sums(struct json_object *plan, struct buf *out)
{
	static const struct plan_sum sums[] = {
	    {"update", "to update"},        {"install", "to install it on"},
	    {"remove", "to take it from"},  {"none", "hold it already"},
	    {"wait", "cannot be told now"},
	};
	int64_t desired = js_i64(plan, "desired", 0), at_once = js_i64(plan, "atOnce", 0);
	int64_t moved = plan_count(plan, "update") + plan_count(plan, "install");
	bool first = true;
	size_t i;

	buf_addf(out, "\n%" PRId64 " %s should hold it", desired, plan_nodes(desired));
	for (i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
		int64_t n = plan_count(plan, sums[i].action);

		if (n > 0)
			buf_addf(out, "%s%" PRId64 " %s", first ? ": " : ", ", n, sums[i].words);
		first = first && n == 0;
	}
	buf_add_str(out, ".\n");
	if (moved > at_once)
		buf_addf(out, "At most %" PRId64 " at one time.\n", at_once);
	if (moved > 0 && js_bool(plan, "paused", false))
		buf_add_str(out, "spec.rollout.paused is true: no node is told before resume.\n");
}

static void plan_say_nodes(struct json_object *plan, struct buf *out)
{
	struct json_object *nodes = js_array(plan, "nodes");
	CLEANUP(mem_freep) char *text = NULL;
	struct table t;
	size_t i;

	if (js_len(nodes) == 0)
		return;
	if (!js_bool(plan, "orderKnown", true))
		buf_add_str(out,
			    "Which nodes come first depends on the uid that the object will be "
			    "given.\n");
	table_init(
	    &t, (const char *const[]){"STEP", "NODE", "ZONE", "HOLDS", "ACTION", "REASON", NULL});
	for (i = 0; i < js_len(nodes); i++) {
		struct json_object *n = js_item(nodes, i);
		int64_t step = js_i64(n, "step", 0);
		char word[24] = "";

		if (step > (int64_t)js_len(js_array(plan, "steps")))
			snprintf(word, sizeof(word), "%s", step > 1 ? "rest" : "all");
		else if (step > 0)
			snprintf(word, sizeof(word), "%" PRId64, step);
		table_add(&t, (const char *const[]){word, js_str(n, "name"), js_str(n, "zone"),
						    js_str(n, "holds"), js_str(n, "action"),
						    js_str(n, "reason")});
	}
	text = table_text(&t);
	table_deinit(&t);
	buf_addf(out, "\n%s", text);
}

char *plan_text(struct json_object *plan, const char *file)
{
	struct buf out = BUF_INIT(PLAN_TEXT_MAX);

	plan_say_revision(plan, &out);
	plan_say_diff(plan, file, &out);
	plan_say_sums(plan, &out);
	plan_say_steps(plan, &out);
	plan_say_nodes(plan, &out);
	return buf_steal(&out);
}
