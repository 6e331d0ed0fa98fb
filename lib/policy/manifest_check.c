#include "policy/manifest_check.h"

#include "api/profile.h"
#include "base/mem.h"
#include "base/str.h"
#include "policy/names.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The schema in crds/ in the order in which it is checked; one function a rule. */

struct check {
	manifest_check_fn fn;
	void *data;
};

struct check_field {
	const char *key;
	json_type type; /* json_type_null: `check` sees to it */
	bool required;
	/* What the type does not say; NULL: nothing. `path` is that of the value. */
	void (*check)(const struct check *c, const char *path, struct json_object *value);
};

static void check_say(const struct check *c, const char *path, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void check_say(const struct check *c, const char *path, const char *fmt, ...)
{
	char message[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	str_make_printable(message, sizeof(message) - 1);
	c->fn(c->data, path, message);
}

static const char *check_type_name(json_type type)
{
	switch (type) {
	case json_type_null:
		return "null";
	case json_type_boolean:
		return "a boolean";
	case json_type_double:
		return "a number with a fraction";
	case json_type_int:
		return "a whole number";
	case json_type_object:
		return "an object";
	case json_type_array:
		return "a list";
	case json_type_string:
		return "a text";
	}
	return "something else";
}

static const struct check_field *check_find(const struct check_field *fields, const char *key)
{
	for (; fields->key; fields++)
		if (strcmp(fields->key, key) == 0)
			return fields;
	return NULL;
}

static void check_value(const struct check *c, const char *path, const struct check_field *field,
			struct json_object *value)
{
	json_type type = json_object_get_type(value);

	if (type != field->type && field->type != json_type_null)
		check_say(c, path, "%s is %s and must be %s", path, check_type_name(type),
			  check_type_name(field->type));
	else if (field->check)
		field->check(c, path, value);
}

static char *check_below(const char *path, const char *key)
{
	return path[0] ? mem_printf("%s.%s", path, key) : mem_strdup(key);
}

/* An object's fields: those that must be there, each one's type, and none that the schema does not
 * know. */
static void check_fields(const struct check *c, const char *path, struct json_object *obj,
			 const struct check_field *fields)
{
	const struct check_field *f;

	for (f = fields; f->key; f++)
		if (f->required && !js_get(obj, f->key))
			check_say(c, path, "%s%s%s is missing", path, path[0] ? "." : "", f->key);
	json_object_object_foreach(obj, key, value) {
		CLEANUP(mem_freep) char *below = check_below(path, key);

		f = check_find(fields, key);
		if (!f)
			check_say(c, below, "there is no field %.100s", below);
		else if (value || f->required)
			check_value(c, below, f, value);
	}
}

static bool check_is_alnum(char ch, bool lower_only)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') ||
	       (!lower_only && ch >= 'A' && ch <= 'Z');
}

/* Labels of a DNS name, each beginning and ending with a letter or digit (RFC 1123, as Kubernetes
 * takes it). */
static bool check_is_dns_name(const char *name, size_t n)
{
	size_t i;

	if (n == 0 || n > 253)
		return false;
	for (i = 0; i < n; i++) {
		bool inner = i > 0 && i + 1 < n && name[i - 1] != '.' && name[i + 1] != '.';

		if (!check_is_alnum(name[i], true) &&
		    !(inner && (name[i] == '-' || name[i] == '.')))
			return false;
	}
	return true;
}

/* ([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9], at most 63 */
static bool check_is_label_name(const char *name)
{
	size_t n = strlen(name);
	size_t i;

	if (n == 0 || n > 63 || !check_is_alnum(name[0], false) ||
	    !check_is_alnum(name[n - 1], false))
		return false;
	for (i = 1; i < n; i++)
		if (!check_is_alnum(name[i], false) && !strchr("-_.", name[i]))
			return false;
	return true;
}

static void check_label_key(const struct check *c, const char *path, const char *key)
{
	const char *slash = strchr(key, '/');
	bool ok = check_is_label_name(slash ? slash + 1 : key);

	if (slash)
		ok = ok && check_is_dns_name(key, (size_t)(slash - key));
	if (!ok)
		check_say(c, path,
			  "\"%.80s\" is not a label key, so no node would match: write NAME or "
			  "PREFIX/NAME, as in topology.kubernetes.io/zone",
			  key);
}

static void check_label_value(const struct check *c, const char *path, struct json_object *value)
{
	const char *text = json_object_get_string(value);

	if (!json_object_is_type(value, json_type_string))
		check_say(c, path, "a label's value is %s and must be a text: put it in quotes",
			  check_type_name(json_object_get_type(value)));
	else if (text[0] && !check_is_label_name(text))
		check_say(c, path,
			  "\"%.80s\" is not a value that a label can have, so no node would match",
			  text);
}

static void check_match_labels(const struct check *c, const char *path, struct json_object *labels)
{
	if (json_object_object_length(labels) > 32)
		check_say(c, path, "%s has more than 32 labels", path);
	json_object_object_foreach(labels, key, value) {
		check_label_key(c, path, key);
		check_label_value(c, path, value);
	}
}

static void check_key(const struct check *c, const char *path, struct json_object *value)
{
	check_label_key(c, path, json_object_get_string(value));
}

static void check_operator(const struct check *c, const char *path, struct json_object *value)
{
	static const char *const known[] = {"In", "NotIn", "Exists", "DoesNotExist"};
	const char *word = json_object_get_string(value);
	size_t i;

	for (i = 0; i < 4; i++)
		if (strcmp(word, known[i]) == 0)
			return;
	check_say(c, path, "\"%.40s\" is no operator: use In, NotIn, Exists or DoesNotExist", word);
}

static void check_values(const struct check *c, const char *path, struct json_object *values)
{
	size_t i;

	if (js_len(values) > 64)
		check_say(c, path, "%s has more than 64 values", path);
	for (i = 0; i < js_len(values); i++)
		check_label_value(c, path, js_item(values, i));
}

static const struct check_field check_expression_fields[] = {
    {"key", json_type_string, true, check_key},
    {"operator", json_type_string, true, check_operator},
    {"values", json_type_array, false, check_values},
    {0},
};

static void check_expression(const struct check *c, const char *path,
			     struct json_object *expression)
{
	const char *op;
	size_t n;

	if (!json_object_is_type(expression, json_type_object)) {
		check_say(c, path, "%s must be an object", path);
		return;
	}
	check_fields(c, path, expression, check_expression_fields);
	op = js_str_or_empty(expression, "operator");
	n = js_len(js_array(expression, "values"));
	if ((strcmp(op, "In") == 0 || strcmp(op, "NotIn") == 0) && n == 0)
		check_say(c, path,
			  "%s compares with a list, so values must hold at least one value", op);
	if ((strcmp(op, "Exists") == 0 || strcmp(op, "DoesNotExist") == 0) && n > 0)
		check_say(c, path, "%s looks at the key alone, so values must be absent", op);
}

static void check_expressions(const struct check *c, const char *path, struct json_object *list)
{
	size_t i;

	if (js_len(list) > 32)
		check_say(c, path, "%s has more than 32 conditions", path);
	for (i = 0; i < js_len(list); i++) {
		CLEANUP(mem_freep) char *below = mem_printf("%s.%zu", path, i);

		check_expression(c, below, js_item(list, i));
	}
}

static const struct check_field check_selector_fields[] = {
    {"matchLabels", json_type_object, false, check_match_labels},
    {"matchExpressions", json_type_array, false, check_expressions},
    {0},
};

static void check_selector(const struct check *c, const char *path, struct json_object *selector)
{
	check_fields(c, path, selector, check_selector_fields);
}

static void check_mode(const struct check *c, const char *path, struct json_object *value)
{
	enum profile_mode mode;

	if (!profile_mode_parse(json_object_get_string(value), &mode))
		check_say(c, path, "\"%.40s\" is no mode: use Enforce or Complain",
			  json_object_get_string(value));
}

static void check_state(const struct check *c, const char *path, struct json_object *value)
{
	const char *word = json_object_get_string(value);

	if (strcmp(word, "Enabled") != 0 && strcmp(word, "Disabled") != 0)
		check_say(c, path, "\"%.40s\" is no state: use Enabled or Disabled", word);
}

static void check_history(const struct check *c, const char *path, struct json_object *value)
{
	int64_t n = json_object_get_int64(value);

	if (n < 0 || n > 100)
		check_say(c, path, "%s is %lld and must be from 0 to 100", path, (long long)n);
}

/* spec.rollout. What an amount is, and what order steps have to be in, rollout_spec.h knows. */

static bool check_rollout_takes(const char *key, struct json_object *value)
{
	CLEANUP(js_putp) struct json_object *obj = js_new();
	struct rollout_spec spec;
	struct err err;

	js_put(obj, key, json_object_get(value));
	return rollout_spec_parse(obj, &spec, &err) == 0;
}

static void check_amount(const struct check *c, const char *path, struct json_object *value)
{
	if (!check_rollout_takes("maxUnavailable", value))
		check_say(c, path,
			  "%s: use a number of nodes, 1 or more, or a share of them from '1%%' to "
			  "'100%%'",
			  path);
}

static void check_range(const struct check *c, const char *path, struct json_object *value,
			int64_t min, int64_t max)
{
	int64_t n = json_object_get_int64(value);

	if (n < min || n > max)
		check_say(c, path, "%s is %lld and must be from %lld to %lld", path, (long long)n,
			  (long long)min, (long long)max);
}

static void check_on_failure(const struct check *c, const char *path, struct json_object *value)
{
	if (!check_rollout_takes("onFailure", value))
		check_say(c, path, "\"%.40s\" is not known: use Pause or Rollback",
			  json_object_get_string(value));
}

static void check_min_ready(const struct check *c, const char *path, struct json_object *value)
{
	check_range(c, path, value, 0, ROLLOUT_MIN_READY_MAX_S);
}

static void check_deadline(const struct check *c, const char *path, struct json_object *value)
{
	check_range(c, path, value, 1, INT32_MAX);
}

static void check_soak(const struct check *c, const char *path, struct json_object *value)
{
	check_range(c, path, value, ROLLOUT_SOAK_UNTIL_PROMOTED, INT32_MAX);
}

static const struct check_field check_step_fields[] = {
    {"nodes", json_type_null, true, check_amount},
    {"soakSeconds", json_type_int, false, check_soak},
    {0},
};

/* True where the step by itself is as it should be. */
static bool check_step(const struct check *c, const char *path, struct json_object *step)
{
	CLEANUP(js_putp) struct json_object *alone = js_new_array();

	if (json_object_is_type(step, json_type_object))
		check_fields(c, path, step, check_step_fields);
	else
		check_say(c, path, "%s must be an object", path);
	js_append(alone, json_object_get(step));
	return check_rollout_takes("steps", alone);
}

static void check_steps(const struct check *c, const char *path, struct json_object *steps)
{
	bool good = true;
	size_t i;

	if (js_len(steps) > ROLLOUT_STEPS_MAX)
		check_say(c, path, "%s has %zu steps and may have %d", path, js_len(steps),
			  ROLLOUT_STEPS_MAX);
	for (i = 0; i < js_len(steps); i++) {
		CLEANUP(mem_freep) char *below = mem_printf("%s.%zu", path, i);

		good = check_step(c, below, js_item(steps, i)) && good;
	}
	if (good && js_len(steps) <= ROLLOUT_STEPS_MAX && !check_rollout_takes("steps", steps))
		check_say(c, path,
			  "the steps are out of order: nodes counts all nodes updated so far, so "
			  "write the smaller numbers first, and the smaller shares first");
}

static const struct check_field check_rollout_fields[] = {
    {"maxUnavailable", json_type_null, false, check_amount},
    {"maxFailed", json_type_null, false, check_amount},
    {"onFailure", json_type_string, false, check_on_failure},
    {"paused", json_type_boolean, false, NULL},
    {"minReadySeconds", json_type_int, false, check_min_ready},
    {"progressDeadlineSeconds", json_type_int, false, check_deadline},
    {"steps", json_type_array, false, check_steps},
    {0},
};

static void check_rollout(const struct check *c, const char *path, struct json_object *rollout)
{
	int64_t min_ready = js_i64(rollout, "minReadySeconds", 0);
	int64_t deadline =
	    js_i64(rollout, "progressDeadlineSeconds", rollout_spec_default.progress_deadline_s);

	check_fields(c, path, rollout, check_rollout_fields);
	if (deadline >= 1 && deadline <= min_ready)
		check_say(c, path,
			  "%s.progressDeadlineSeconds must be more than minReadySeconds, for no "
			  "node counts as updated before that time has passed",
			  path);
}

static const struct check_field check_spec_fields[] = {
    {"profileName", json_type_string, false, NULL}, /* check_name() */
    {"policy", json_type_string, true, NULL},       /* policy_text_check() */
    {"mode", json_type_string, false, check_mode},
    {"state", json_type_string, false, check_state},
    {"nodeSelector", json_type_object, false, check_selector},
    {"revisionHistoryLimit", json_type_int, false, check_history},
    {"rollout", json_type_object, false, check_rollout},
    {0},
};

static void check_spec(const struct check *c, const char *path, struct json_object *spec)
{
	check_fields(c, path, spec, check_spec_fields);
}

static void check_api_version(const struct check *c, const char *path, struct json_object *value)
{
	const char *word = json_object_get_string(value);

	if (strcmp(word, PROFILE_GROUP_VERSION) != 0)
		check_say(c, path,
			  "the apiVersion \"%.80s\" is not known: use " PROFILE_GROUP_VERSION,
			  word);
}

static void check_metadata(const struct check *c, const char *path, struct json_object *metadata)
{
	const char *name = js_str(metadata, "name");

	if (!name)
		check_say(c, path, "metadata.name is missing, or no text");
	else if (!check_is_dns_name(name, strlen(name)))
		check_say(c, "metadata.name",
			  "\"%.80s\" is not a name that an object can have: use at most 253 of the "
			  "characters a-z 0-9 . - with a letter or digit at each end",
			  name);
}

static const struct check_field check_top_fields[] = {
    {"apiVersion", json_type_string, true, check_api_version},
    {"kind", json_type_string, true, NULL},
    {"metadata", json_type_object, true, check_metadata},
    {"spec", json_type_object, true, check_spec},
    {"status", json_type_object, false, NULL},
    {0},
};

static void check_name(const struct check *c, struct json_object *doc)
{
	const char *given = js_str(doc, "spec.profileName");
	const char *name = given ? given : js_str(doc, "metadata.name");
	struct err err;

	if (name && policy_name_check(name, &err) < 0)
		check_say(c, given ? "spec.profileName" : "metadata.name", "%s", err.msg);
}

void manifest_check(struct json_object *doc, manifest_check_fn fn, void *data)
{
	const struct check c = {.fn = fn, .data = data};

	check_fields(&c, "", doc, check_top_fields);
	check_name(&c, doc);
}
