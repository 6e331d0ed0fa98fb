#include "cli/rollout_seen.h"

#include "api/rollout_spec.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ROLLOUT_BAR_MIN = 10, ROLLOUT_BAR_MAX = 40, ROLLOUT_LINE_MAX = 4096 };

static struct json_object *rollout_condition(struct json_object *aap, const char *type)
{
	struct json_object *all = js_array(aap, "status.conditions");
	size_t i;

	for (i = 0; i < js_len(all); i++)
		if (str_equal(js_str(js_item(all, i), "type"), type))
			return js_item(all, i);
	return NULL;
}

const char *rollout_note(struct json_object *aap, const char *key)
{
	struct json_object *value = js_get(js_object(aap, "metadata.annotations"), key);

	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

static bool rollout_is_one_of(const char *word, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(word, *words) == 0)
			return true;
	return false;
}

static void rollout_see_step(struct json_object *aap, int64_t now_ms, struct rollout_seen *s)
{
	static const char *const over[] = {"Complete", "RollingBack", "RolledBack", "Aborted",
					   NULL};
	static const char *const waiting[] = {"Soaking", "Paused", NULL};
	struct json_object *steps = js_array(aap, "spec.rollout.steps");
	int64_t index = js_i64(aap, "status.rollout.step.index", -1), filled_ms, left;

	s->n_steps = js_len(steps);
	if (index < 0 || (uint64_t)index >= s->n_steps || rollout_is_one_of(s->phase, over))
		return;
	s->step = (size_t)index + 1;
	s->soak_s = js_i64(js_item(steps, (size_t)index), "soakSeconds", 0);
	s->step_filled = rollout_is_one_of(s->phase, waiting) &&
			 clock_parse(js_str(aap, "status.rollout.step.startedAt"), &filled_ms);
	left = s->step_filled ? filled_ms + s->soak_s * 1000 - now_ms : 0;
	s->soak_left_ms = s->soak_s > 0 && left > 0 ? left : 0;
}

void rollout_see(struct json_object *aap, int64_t now_ms, struct rollout_seen *s)
{
	struct json_object *progressing = rollout_condition(aap, "Progressing");
	const char *target = js_str(aap, "status.rollout.revision");

	*s = (struct rollout_seen){
	    .name = js_str_or_empty(aap, "metadata.name"),
	    .target = target ? target : js_str_or_empty(aap, "status.updateRevision"),
	    .current = js_str_or_empty(aap, "status.currentRevision"),
	    .phase = js_str_or_empty(aap, "status.rollout.phase"),
	    .reason = js_str_or_empty(progressing, "reason"),
	    .why = js_str_or_empty(progressing, "message"),
	    .observed = js_i64(aap, "status.observedGeneration", -1) >=
			js_i64(aap, "metadata.generation", 0),
	    .paused_by_spec = js_bool(aap, "spec.rollout.paused", false),
	    .desired = js_i64(aap, "status.desiredNodes", 0),
	    .told = js_i64(aap, "status.updatedNodes", 0),
	    .ready = js_i64(aap, "status.readyNodes", 0),
	    .failed = js_i64(aap, "status.failedNodes", 0),
	    .unreachable = js_i64(aap, "status.unreachableNodes", 0),
	};
	s->rolled_back = strcmp(s->phase, "RolledBack") == 0 || strcmp(s->phase, "Aborted") == 0;
	s->paused_by_note =
	    *s->target && str_equal(rollout_note(aap, ROLLOUT_PAUSE_ANNOTATION), s->target);
	s->resumed_by_note =
	    *s->target && str_equal(rollout_note(aap, ROLLOUT_RESUME_ANNOTATION), s->target);
	rollout_see_step(aap, now_ms, s);
}

bool rollout_is_paused(const struct rollout_seen *s)
{
	return (s->paused_by_spec || s->paused_by_note) && !s->resumed_by_note;
}

/* What ends a rollout for good; all else may still come right by itself. */
static bool rollout_has_failed(struct json_object *aap, const char **ret_why)
{
	static const char *const of_ready[] = {"InvalidPolicy", "NameConflict", "RolledBack", NULL};
	static const char *const of_progress[] = {"FailureBudgetExceeded",
						  "ProgressDeadlineExceeded", NULL};
	struct json_object *ready = rollout_condition(aap, "Ready");
	struct json_object *progressing = rollout_condition(aap, "Progressing");
	bool failed = rollout_is_one_of(js_str_or_empty(ready, "reason"), of_ready);

	*ret_why = js_str_or_empty(ready, "message");
	if (!failed && rollout_is_one_of(js_str_or_empty(progressing, "reason"), of_progress)) {
		failed = true;
		*ret_why = js_str_or_empty(progressing, "message");
	}
	return failed;
}

/* Somebody said so, and the controller has not taken it up yet: what status says is of the try
 * before. An abort is heeded first. */
static bool rollout_is_to_restart(struct json_object *aap, const struct rollout_seen *s)
{
	const char *note = rollout_note(aap, ROLLOUT_RESTART_ANNOTATION);
	size_t n = strlen(s->target);

	return n > 0 && note && strncmp(note, s->target, n) == 0 && note[n] == '/' &&
	       !str_equal(note + n + 1, js_str_or_empty(aap, "status.rollout.restart")) &&
	       !str_equal(rollout_note(aap, ROLLOUT_ABORT_ANNOTATION), s->target);
}

enum rollout_verdict rollout_judge(struct json_object *aap, char **ret_why)
{
	struct json_object *ready = rollout_condition(aap, "Ready");
	struct json_object *accepted = rollout_condition(aap, "Accepted");
	struct rollout_seen s;
	const char *why;

	rollout_see(aap, 0, &s);
	if (js_str(aap, "metadata.deletionTimestamp")) {
		*ret_why = mem_strdup("it is being deleted");
		return ROLLOUT_FAILED;
	}
	if (!s.observed) {
		*ret_why = mem_strdup("waiting for the controller to see the newest change");
		return ROLLOUT_GOING;
	}
	if (rollout_is_to_restart(aap, &s)) {
		*ret_why = mem_strdup("waiting for the controller to start it over");
		return ROLLOUT_GOING;
	}
	if (rollout_has_failed(aap, &why)) {
		*ret_why = mem_strdup(why);
		return ROLLOUT_FAILED;
	}
	*ret_why = mem_strdup(js_str_or_empty(ready, "message"));
	if (str_equal(js_str(ready, "status"), "True"))
		return ROLLOUT_COMPLETE;
	/* Nodes with a trouble of their own keep Ready False, and hold up nobody. */
	if (strcmp(s.phase, "Complete") == 0 && str_equal(js_str(accepted, "status"), "True") &&
	    str_equal(js_str(aap, "status.updateRevision"), s.target))
		return ROLLOUT_COMPLETE;
	return ROLLOUT_GOING;
}

/* Showing. */

static void rollout_say_step(const struct rollout_seen *s, struct buf *out)
{
	if (s->step == 0)
		return;
	buf_addf(out, "; step %zu of %zu", s->step, s->n_steps);
	if (!s->step_filled)
		return;
	if (s->soak_s < 0)
		buf_add_str(out, " waits for: kubectl hauberk rollout promote ");
	else
		buf_addf(out, " soaks for %" PRId64 " s", s->soak_s);
	if (s->soak_s < 0)
		buf_add_str(out, s->name);
}

char *rollout_line(const struct rollout_seen *s)
{
	struct buf out = BUF_INIT(ROLLOUT_LINE_MAX);

	if (!s->observed) {
		buf_add_str(&out, "waiting for the controller to see the newest change");
		return buf_steal(&out);
	}
	buf_addf(&out, "%" PRId64 " of %" PRId64 " nodes hold %s", s->ready, s->desired,
		 *s->target ? s->target : "it");
	if (s->told > s->ready)
		buf_addf(&out, ", %" PRId64 " told", s->told - s->ready);
	if (s->failed > 0)
		buf_addf(&out, ", %" PRId64 " failed", s->failed);
	if (s->unreachable > 0)
		buf_addf(&out, ", %" PRId64 " out of reach", s->unreachable);
	rollout_say_step(s, &out);
	if (*s->phase && strcmp(s->phase, "Progressing") != 0 && strcmp(s->phase, "Soaking") != 0)
		buf_addf(&out, "; %s", s->phase);
	return buf_steal(&out);
}

/* What stands behind the bar. */
static void rollout_bar_words(const struct rollout_seen *s, struct buf *out)
{
	buf_addf(out, " %" PRId64 "/%" PRId64, s->ready, s->desired);
	if (s->failed > 0)
		buf_addf(out, ", %" PRId64 " failed", s->failed);
	if (s->step > 0)
		buf_addf(out, ", step %zu/%zu", s->step, s->n_steps);
	if (!s->observed)
		buf_add_str(out, ", change not seen yet");
	else if (rollout_is_paused(s))
		buf_add_str(out, ", Paused");
	else if (s->soak_left_ms > 0)
		buf_addf(out, ", soaking %" PRId64 " s", (s->soak_left_ms + 999) / 1000);
	else if (s->step_filled && s->soak_s < 0)
		buf_add_str(out, ", waits for promote");
	else if (*s->phase)
		buf_addf(out, ", %s", s->phase);
}

static size_t rollout_share(int64_t part, int64_t whole, size_t cells)
{
	if (whole <= 0 || part <= 0)
		return 0;
	return part >= whole ? cells : (size_t)(part * (int64_t)cells / whole);
}

char *rollout_bar(const struct rollout_seen *s, size_t width)
{
	struct buf words = BUF_INIT(ROLLOUT_LINE_MAX), out = BUF_INIT(ROLLOUT_LINE_MAX);
	size_t used, cells, full, told, i;
	char *line;

	rollout_bar_words(s, &words);
	used = strlen(s->name) + strlen(s->target) + words.len + 4;
	cells = width > used + ROLLOUT_BAR_MIN ? width - used : ROLLOUT_BAR_MIN;
	cells = cells < ROLLOUT_BAR_MAX ? cells : ROLLOUT_BAR_MAX;
	full = rollout_share(s->ready, s->desired, cells);
	told = rollout_share(s->told, s->desired, cells);
	buf_addf(&out, "%s %s [", s->name, s->target);
	for (i = 0; i < cells; i++)
		buf_add_str(&out, i < full ? "#" : i < told ? "+" : "-");
	buf_addf(&out, "]%s", buf_text(&words));
	buf_clear(&words);
	line = buf_steal(&out);
	if (strlen(line) > width)
		line[width] = '\0';
	return line;
}
