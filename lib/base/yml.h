#pragma once

/*
 * YAML as Kubernetes tools write it, turned into JSON values (libyaml reads, json-c holds).
 *
 * Plain scalars become null, booleans, whole numbers or floats by the rules of YAML 1.2's core
 * schema with kubectl's extra words left out; all others are strings. Anchors, aliases and merge
 * keys are refused: they let a small text grow without bound, and manifests do not need them.
 */

#include "base/err.h"
#include "base/js.h"

#include <stddef.h>

/* Called once a document, in order, with the line (from 1) on which it starts. Owns nothing.
 * Returns 0 to go on, or a negative errno with `err` filled in to stop. */
typedef int (*yml_document_fn)(void *data, struct json_object *doc, size_t line, struct err *err);

/* Read all documents of `text` (valid UTF-8, which the caller bounds). Empty documents are passed
 * over. Errors: -EINVAL with line and column; what `fn` returned. */
int yml_parse(const char *text, size_t n, yml_document_fn fn, void *data, struct err *err);

/* Exactly one document; the caller owns *ret. */
int yml_parse_one(const char *text, size_t n, struct json_object **ret, struct err *err);
