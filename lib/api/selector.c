#include "api/selector.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static struct selector_rule *selector_add(struct selector *s, const char *key, enum selector_op op)
{
	struct selector_rule *rule;

	s->rules = mem_resize(s->rules, s->n + 1, sizeof(*s->rules));
	rule = &s->rules[s->n++];
	*rule = (struct selector_rule){.key = mem_strdup(key), .op = op};
	return rule;
}

static void selector_add_value(struct selector_rule *rule, const char *value)
{
	rule->values = mem_resize(rule->values, rule->n_values + 1, sizeof(*rule->values));
	rule->values[rule->n_values++] = mem_strdup(value);
}

static int selector_parse_labels(struct json_object *labels, struct selector *s, struct err *err)
{
	json_object_object_foreach(labels, key, value) {
		if (!json_object_is_type(value, json_type_string))
			return err_set(err, -EINVAL, "matchLabels: the value of %.80s is not text",
				       key);
		selector_add_value(selector_add(s, key, SELECTOR_IN),
				   json_object_get_string(value));
	}
	return 0;
}

static int selector_parse_expression(struct json_object *obj, struct selector *s, struct err *err)
{
	static const char *const ops[] = {"In", "NotIn", "Exists", "DoesNotExist"};
	const char *key = js_str(obj, "key");
	const char *word = js_str_or_empty(obj, "operator");
	struct json_object *values = js_array(obj, "values");
	struct selector_rule *rule;
	size_t op = 0, i;

	while (op < 4 && strcmp(ops[op], word) != 0)
		op++;
	if (op == 4 || !key)
		return err_set(err, -EINVAL, "matchExpressions: operator \"%.40s\" is not known",
			       word);
	rule = selector_add(s, key, (enum selector_op)op);
	for (i = 0; i < js_len(values); i++) {
		struct json_object *value = js_item(values, i);

		if (json_object_is_type(value, json_type_string))
			selector_add_value(rule, json_object_get_string(value));
	}
	return 0;
}

int selector_parse(struct json_object *obj, struct selector *ret, struct err *err)
{
	struct selector s = {0};
	struct json_object *labels = js_object(obj, "matchLabels");
	struct json_object *expressions = js_array(obj, "matchExpressions");
	int r = 0;
	size_t i;

	if (labels)
		r = selector_parse_labels(labels, &s, err);
	for (i = 0; r == 0 && i < js_len(expressions); i++)
		r = selector_parse_expression(js_item(expressions, i), &s, err);
	if (r < 0) {
		selector_clear(&s);
		return err_wrap(err, "nodeSelector");
	}
	*ret = s;
	return 0;
}

static bool selector_rule_matches(const struct selector_rule *rule, struct json_object *labels)
{
	struct json_object *value = js_get(labels, rule->key);
	const char *text =
	    json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
	bool listed = false;
	size_t i;

	for (i = 0; text && i < rule->n_values; i++)
		listed = listed || strcmp(rule->values[i], text) == 0;
	switch (rule->op) {
	case SELECTOR_IN:
		return listed;
	case SELECTOR_NOT_IN:
		return !listed;
	case SELECTOR_EXISTS:
		return text != NULL;
	case SELECTOR_DOES_NOT_EXIST:
		return text == NULL;
	}
	return false;
}

bool selector_matches(const struct selector *s, struct json_object *labels)
{
	size_t i;

	for (i = 0; i < s->n; i++)
		if (!selector_rule_matches(&s->rules[i], labels))
			return false;
	return true;
}

void selector_clear(struct selector *s)
{
	size_t i, k;

	for (i = 0; i < s->n; i++) {
		for (k = 0; k < s->rules[i].n_values; k++)
			free(s->rules[i].values[k]);
		free(s->rules[i].values);
		free(s->rules[i].key);
	}
	free(s->rules);
	*s = (struct selector){0};
}
