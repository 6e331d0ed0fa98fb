#pragma once

/*
 * metav1.LabelSelector: which nodes an AppArmorProfile is for. Pure.
 *
 * Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
 */

#include "base/err.h"
#include "base/js.h"

#include <stdbool.h>
#include <stddef.h>

enum selector_op { SELECTOR_IN, SELECTOR_NOT_IN, SELECTOR_EXISTS, SELECTOR_DOES_NOT_EXIST };

struct selector_rule {
	char *key;
	enum selector_op op;
	char **values;
	size_t n_values;
};

/* All rules must hold. No rule at all matches everything. */
struct selector {
	struct selector_rule *rules;
	size_t n;
};

/* Read {matchLabels, matchExpressions}; NULL gives the selector that matches everything. An
 * operator that is not understood is -EINVAL. */
int selector_parse(struct json_object *obj, struct selector *ret, struct err *err);

/* `labels` is metadata.labels, or NULL. As in Kubernetes, NotIn matches where the key is absent. */
bool selector_matches(const struct selector *s, struct json_object *labels);

void selector_clear(struct selector *s);
