#include "api/rollout_spec.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

const struct rollout_spec rollout_spec_default = {
    .max_unavailable = {.value = 25, .is_percent = true},
    .max_failed = {.value = 1},
    .on_failure = ROLLOUT_ON_FAILURE_PAUSE,
    .progress_deadline_s = 600,
};

int64_t rollout_amount_of(struct rollout_amount amount, int64_t n)
{
	int64_t value = amount.is_percent ? (n * amount.value + 99) / 100 : amount.value;

	return value < 1 ? 1 : value;
}

/* "1%" to "100%": one spelling for each, as the schema's pattern has it. */
static bool rollout_percent_parse(const char *text, int64_t *ret)
{
	size_t n = strlen(text);
	char digits[4];

	if (n < 2 || n > sizeof(digits) || text[n - 1] != '%' || text[0] < '1' || text[0] > '9')
		return false;
	memcpy(digits, text, n - 1);
	digits[n - 1] = '\0';
	return str_to_i64(digits, 1, 100, ret);
}

/* Leaves *ret, which holds the default, alone where the field is absent. */
static int rollout_amount_parse(struct json_object *obj, const char *key,
				struct rollout_amount *ret, struct err *err)
{
	struct json_object *value = js_get(obj, key);
	struct rollout_amount amount = {0};

	if (!value)
		return 0;
	if (json_object_is_type(value, json_type_int)) {
		amount.value = json_object_get_int64(value);
		if (amount.value < 1 || amount.value > INT32_MAX)
			return err_set(err, -EINVAL, "%s is not 1 or more", key);
	} else {
		amount.is_percent = true;
		if (!js_str(obj, key) || !rollout_percent_parse(js_str(obj, key), &amount.value))
			return err_set(err, -EINVAL,
				       "%s is neither a number nor \"1%%\" to \"100%%\"", key);
	}
	*ret = amount;
	return 0;
}

static int rollout_seconds_parse(struct json_object *obj, const char *key, int64_t min, int64_t max,
				 int64_t *ret, struct err *err)
{
	struct json_object *value = js_get(obj, key);
	int64_t seconds;

	if (!value)
		return 0;
	if (!json_object_is_type(value, json_type_int))
		return err_set(err, -EINVAL, "%s is no whole number", key);
	seconds = json_object_get_int64(value);
	if (seconds < min || seconds > max)
		return err_set(err, -EINVAL, "%s is not %lld to %lld", key, (long long)min,
			       (long long)max);
	*ret = seconds;
	return 0;
}

static int rollout_paused_parse(struct json_object *obj, bool *ret, struct err *err)
{
	struct json_object *value = js_get(obj, "paused");

	if (!value)
		return 0;
	if (!json_object_is_type(value, json_type_boolean))
		return err_set(err, -EINVAL, "paused is neither true nor false");
	*ret = json_object_get_boolean(value);
	return 0;
}

static int rollout_on_failure_parse(struct json_object *obj, enum rollout_on_failure *ret,
				    struct err *err)
{
	const char *word = js_str(obj, "onFailure");

	if (!js_get(obj, "onFailure") || str_equal(word, "Pause"))
		*ret = ROLLOUT_ON_FAILURE_PAUSE;
	else if (str_equal(word, "Rollback"))
		*ret = ROLLOUT_ON_FAILURE_ROLLBACK;
	else
		return err_set(err, -EINVAL, "onFailure \"%.40s\" is not known", word ? word : "");
	return 0;
}

static int rollout_step_parse(struct json_object *obj, struct rollout_step *ret, struct err *err)
{
	struct rollout_step step = {0};
	int r;

	if (!js_get(obj, "nodes"))
		return err_set(err, -EINVAL, "nodes is missing");
	r = rollout_amount_parse(obj, "nodes", &step.nodes, err);
	if (r == 0)
		r = rollout_seconds_parse(obj, "soakSeconds", ROLLOUT_SOAK_UNTIL_PROMOTED,
					  INT32_MAX, &step.soak_s, err);
	if (r == 0)
		*ret = step;
	return r;
}

/* A number and a share are not compared: which is more depends on how many nodes there are. */
static bool rollout_steps_ascend(const struct rollout_spec *spec, size_t i)
{
	const struct rollout_amount *nodes = &spec->steps[i].nodes;
	size_t k;

	for (k = 0; k < i; k++)
		if (spec->steps[k].nodes.is_percent == nodes->is_percent &&
		    spec->steps[k].nodes.value > nodes->value)
			return false;
	return true;
}

static int rollout_steps_parse(struct json_object *obj, struct rollout_spec *spec, struct err *err)
{
	struct json_object *steps = js_array(obj, "steps");
	size_t i;

	if (js_get(obj, "steps") && !steps)
		return err_set(err, -EINVAL, "steps is no list");
	if (js_len(steps) > ROLLOUT_STEPS_MAX)
		return err_set(err, -EINVAL, "%zu steps are more than %d", js_len(steps),
			       ROLLOUT_STEPS_MAX);
	for (i = 0; i < js_len(steps); i++) {
		if (rollout_step_parse(js_item(steps, i), &spec->steps[i], err) < 0)
			return err_wrap(err, "steps[%zu]", i);
		if (!rollout_steps_ascend(spec, i))
			return err_set(err, -EINVAL, "steps[%zu]: fewer nodes than a step before",
				       i);
	}
	spec->n_steps = i;
	return 0;
}

static int rollout_limits_parse(struct json_object *obj, struct rollout_spec *spec, struct err *err)
{
	int r;

	r = rollout_amount_parse(obj, "maxUnavailable", &spec->max_unavailable, err);
	if (r == 0)
		r = rollout_amount_parse(obj, "maxFailed", &spec->max_failed, err);
	if (r == 0)
		r = rollout_seconds_parse(obj, "minReadySeconds", 0, ROLLOUT_MIN_READY_MAX_S,
					  &spec->min_ready_s, err);
	if (r == 0)
		r = rollout_seconds_parse(obj, "progressDeadlineSeconds", 1, INT32_MAX,
					  &spec->progress_deadline_s, err);
	return r;
}

int rollout_spec_parse(struct json_object *obj, struct rollout_spec *ret, struct err *err)
{
	struct rollout_spec spec = rollout_spec_default;
	int r = 0;

	if (obj && !json_object_is_type(obj, json_type_object))
		r = err_set(err, -EINVAL, "it is no object");
	if (r == 0)
		r = rollout_limits_parse(obj, &spec, err);
	if (r == 0)
		r = rollout_on_failure_parse(obj, &spec.on_failure, err);
	if (r == 0)
		r = rollout_paused_parse(obj, &spec.paused, err);
	if (r == 0)
		r = rollout_steps_parse(obj, &spec, err);
	if (r < 0)
		return err_wrap(err, "rollout");
	*ret = spec;
	return 0;
}

/* A key of the map as it is: it holds dots, which a path would split. */
static char *rollout_wish_read(struct json_object *annotations, const char *key)
{
	struct json_object *value = js_get(annotations, key);
	const char *text =
	    json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";

	return mem_strdup(strlen(text) <= ROLLOUT_WISH_MAX ? text : "");
}

void rollout_wish_parse(struct json_object *annotations, struct rollout_wish *ret)
{
	ret->pause = rollout_wish_read(annotations, ROLLOUT_PAUSE_ANNOTATION);
	ret->resume = rollout_wish_read(annotations, ROLLOUT_RESUME_ANNOTATION);
	ret->promote = rollout_wish_read(annotations, ROLLOUT_PROMOTE_ANNOTATION);
	ret->abort = rollout_wish_read(annotations, ROLLOUT_ABORT_ANNOTATION);
	ret->restart = rollout_wish_read(annotations, ROLLOUT_RESTART_ANNOTATION);
}

void rollout_wish_clear(struct rollout_wish *wish)
{
	free(wish->pause);
	free(wish->resume);
	free(wish->promote);
	free(wish->abort);
	free(wish->restart);
	*wish = (struct rollout_wish){0};
}
