#include "policy/manifest_place.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct place_reader {
	yaml_parser_t parser;
	const char *path;
	struct manifest_place *ret;
};

/* The part of `path` behind its first segment when that is `key`; NULL when it is another. */
static const char *place_descend(const char *path, const char *key)
{
	size_t n = strcspn(path, ".");

	if (!path[0] || strlen(key) != n || memcmp(path, key, n) != 0)
		return NULL;
	return path[n] ? path + n + 1 : path + n;
}

static void place_note(struct place_reader *r, const yaml_event_t *event, const char *rest)
{
	r->ret->line = event->start_mark.line + 1;
	r->ret->column = event->start_mark.column + 1;
	r->ret->found = rest[0] == '\0';
	r->ret->is_literal = event->type == YAML_SCALAR_EVENT &&
			     event->data.scalar.style == YAML_LITERAL_SCALAR_STYLE;
}

static bool place_next(struct place_reader *r, yaml_event_t *event)
{
	return yaml_parser_parse(&r->parser, event) == 1;
}

/* Pass over what `event`, which is consumed, begins. */
static bool place_skip(struct place_reader *r, yaml_event_t *event)
{
	int depth = 0;

	for (;;) {
		yaml_event_type_t type = event->type;

		yaml_event_delete(event);
		if (type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT)
			depth++;
		else if (type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT)
			depth--;
		if (depth <= 0)
			return true;
		if (!place_next(r, event))
			return false;
	}
}

/* Walk down along the path: in each collection up to the one child that is on it. `event`, which is
 * consumed, is the value at the path so far. */
static void place_walk(struct place_reader *r, yaml_event_t *event, const char *rest)
{
	for (;;) {
		bool mapping = event->type == YAML_MAPPING_START_EVENT;
		bool list = event->type == YAML_SEQUENCE_START_EVENT;
		const char *below = NULL;
		size_t i;

		place_note(r, event, rest);
		yaml_event_delete(event);
		if (!rest[0] || (!mapping && !list))
			return;
		for (i = 0; !below; i++) {
			char index[24];

			if (!place_next(r, event))
				return;
			if (event->type == YAML_MAPPING_END_EVENT ||
			    event->type == YAML_SEQUENCE_END_EVENT) {
				yaml_event_delete(event);
				return;
			}
			snprintf(index, sizeof(index), "%zu", i);
			if (list)
				below = place_descend(rest, index);
			else if (event->type == YAML_SCALAR_EVENT)
				below = place_descend(rest, (const char *)event->data.scalar.value);
			if (mapping) { /* from the key to its value */
				if (!place_skip(r, event) || !place_next(r, event))
					return;
			}
			if (!below && !place_skip(r, event))
				return;
		}
		rest = below;
	}
}

/* The first event of a document's root, or false at the end. */
static bool place_root(struct place_reader *r, yaml_event_t *event)
{
	while (place_next(r, event)) {
		switch (event->type) {
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_START_EVENT:
		case YAML_DOCUMENT_END_EVENT:
			yaml_event_delete(event);
			continue;
		case YAML_SCALAR_EVENT:
		case YAML_MAPPING_START_EVENT:
		case YAML_SEQUENCE_START_EVENT:
			return true;
		default:
			yaml_event_delete(event);
			return false;
		}
	}
	return false;
}

/* What yml_parse() passes over: a document that is nothing, or null in one of YAML's spellings. */
static bool place_is_empty(const yaml_event_t *event)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
	size_t i;

	if (event->type != YAML_SCALAR_EVENT || event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	for (i = 0; i < sizeof(nulls) / sizeof(nulls[0]); i++)
		if (strcmp((const char *)event->data.scalar.value, nulls[i]) == 0)
			return true;
	return false;
}

void manifest_place_find(const char *text, size_t n, size_t document, const char *path,
			 struct manifest_place *ret)
{
	struct place_reader r = {.path = path, .ret = ret};
	yaml_event_t event;
	bool more;

	*ret = (struct manifest_place){0};
	if (!yaml_parser_initialize(&r.parser))
		abort();
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
	for (more = place_root(&r, &event); more; more = place_root(&r, &event)) {
		if (place_is_empty(&event)) {
			yaml_event_delete(&event);
		} else if (document == 0) {
			place_walk(&r, &event, path);
			break;
		} else {
			document--;
			if (!place_skip(&r, &event))
				break;
		}
	}
	yaml_parser_delete(&r.parser);
}
