#include "base/yml.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/*
 * libyaml's events are turned into json-c values by recursive descent, one function for each kind
 * of node. The depth is bounded, so the stack is too; without aliases the result is never larger
 * than the text allows.
 */

enum { YML_DEPTH_MAX = 64 };

struct yml {
	yaml_parser_t parser;
	yaml_event_t event; /* the current one */
	bool has_event;
	struct err *err;
};

static int yml_fail(struct yml *y, const char *what)
{
	const yaml_mark_t *mark = &y->event.start_mark;

	return err_set(y->err, -EINVAL, "line %zu, column %zu: %s", mark->line + 1,
		       mark->column + 1, what);
}

static int yml_fail_parser(struct yml *y)
{
	const yaml_parser_t *p = &y->parser;

	return err_set(y->err, -EINVAL, "line %zu, column %zu: %s%s%s", p->problem_mark.line + 1,
		       p->problem_mark.column + 1, p->problem ? p->problem : "this is no YAML",
		       p->context ? " " : "", p->context ? p->context : "");
}

static int yml_next(struct yml *y)
{
	if (y->has_event)
		yaml_event_delete(&y->event);
	y->has_event = false;
	if (!yaml_parser_parse(&y->parser, &y->event))
		return yml_fail_parser(y);
	y->has_event = true;
	return 0;
}

static bool yml_is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcmp(text, *words) == 0)
			return true;
	return false;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool yml_is_float(const char *s)
{
	size_t before, after = 0;

	s += *s == '-' || *s == '+';
	before = strspn(s, "0123456789");
	s += before;
	if (*s == '.') {
		after = strspn(++s, "0123456789");
		s += after;
	}
	if (before + after == 0)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '-' || *s == '+';
		before = strspn(s, "0123456789");
		s += before;
		if (before == 0)
			return false;
	}
	return *s == '\0';
}

/* The base of a whole number and where its digits begin, 0 where it is none. */
static int yml_int_base(const char *s, const char **ret_digits)
{
	static const struct {
		const char *prefix, *digits;
		int base;
	} forms[] = {{"0o", "01234567", 8}, {"0x", "0123456789abcdefABCDEF", 16}};
	size_t i;

	for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		const char *digits = s + 2;

		if (strncmp(s, forms[i].prefix, 2) != 0 || !*digits)
			continue;
		*ret_digits = digits;
		return strspn(digits, forms[i].digits) == strlen(digits) ? forms[i].base : 0;
	}
	*ret_digits = s;
	s += *s == '-' || *s == '+';
	return *s && strspn(s, "0123456789") == strlen(s) ? 10 : 0;
}

static bool yml_number(const char *text, struct json_object **ret)
{
	const char *digits;
	int base = yml_int_base(text, &digits);

	if (base != 0) {
		long long value;

		errno = 0;
		value = strtoll(digits, NULL, base);
		if (errno == 0) {
			*ret = json_object_new_int64(value);
			return true;
		}
	}
	if (!yml_is_float(text))
		return false;
	*ret = json_object_new_double(strtod(text, NULL));
	return true;
}

/* A plain scalar: YAML 1.2, 10.3.2. */
static int yml_plain(struct yml *y, const char *text, size_t n, struct json_object **ret)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const trues[] = {"true", "True", "TRUE", NULL};
	static const char *const falses[] = {"false", "False", "FALSE", NULL};
	static const char *const nowhere[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
					      "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
					      ".NaN",  ".NAN",  NULL};

	if (yml_is_one_of(text, nulls))
		*ret = NULL;
	else if (yml_is_one_of(text, trues))
		*ret = json_object_new_boolean(true);
	else if (yml_is_one_of(text, falses))
		*ret = json_object_new_boolean(false);
	else if (yml_is_one_of(text, nowhere))
		return yml_fail(y, "infinity and not-a-number have no place here");
	else if (!yml_number(text, ret))
		*ret = json_object_new_string_len(text, (int)n);
	return 0;
}

static int yml_check_node(struct yml *y, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	const char *t = (const char *)tag;

	if (anchor)
		return yml_fail(y, "anchors and aliases are not supported");
	if (t && strcmp(t, "!") != 0 && strcmp(t, YAML_STR_TAG) != 0 &&
	    strcmp(t, YAML_MAP_TAG) != 0 && strcmp(t, YAML_SEQ_TAG) != 0)
		return yml_fail(y, "tags other than !!str, !!map and !!seq are not supported");
	return 0;
}

static int yml_scalar(struct yml *y, struct json_object **ret)
{
	const char *text = (const char *)y->event.data.scalar.value;
	const size_t n = y->event.data.scalar.length;

	if (yml_check_node(y, y->event.data.scalar.anchor, y->event.data.scalar.tag))
		return -EINVAL;
	if (n > INT32_MAX)
		return yml_fail(y, "the text is too long");
	/* libyaml says plain_implicit also of a quoted text behind the tag "!". */
	if (y->event.data.scalar.plain_implicit &&
	    y->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		return yml_plain(y, text, n, ret);
	*ret = json_object_new_string_len(text, (int)n);
	return 0;
}

static int yml_node(struct yml *y, unsigned int depth, struct json_object **ret);

static int yml_sequence(struct yml *y, unsigned int depth, struct json_object **ret)
{
	CLEANUP(js_putp) struct json_object *array = js_new_array();
	struct json_object *item = NULL;
	int r;

	if (yml_check_node(y, y->event.data.sequence_start.anchor,
			   y->event.data.sequence_start.tag))
		return -EINVAL;
	while ((r = yml_next(y)) == 0 && y->event.type != YAML_SEQUENCE_END_EVENT) {
		r = yml_node(y, depth, &item);
		if (r)
			return r;
		js_append(array, item);
	}
	if (r == 0)
		*ret = STEAL(array);
	return r;
}

/* The current event is a key. */
static int yml_key(struct yml *y, struct json_object *object, char **ret)
{
	const char *text = (const char *)y->event.data.scalar.value;

	if (y->event.type != YAML_SCALAR_EVENT)
		return yml_fail(y, "a key has to be a plain word or a string");
	if (yml_check_node(y, y->event.data.scalar.anchor, y->event.data.scalar.tag))
		return -EINVAL;
	if (strlen(text) != y->event.data.scalar.length)
		return yml_fail(y, "a key holds a NUL byte");
	if (y->event.data.scalar.plain_implicit && strcmp(text, "<<") == 0)
		return yml_fail(y, "merge keys are not supported");
	if (json_object_object_get_ex(object, text, NULL))
		return yml_fail(y, "this key is there already");
	*ret = mem_strdup(text);
	return 0;
}

static int yml_pair(struct yml *y, unsigned int depth, struct json_object *object)
{
	CLEANUP(mem_freep) char *key = NULL;
	struct json_object *value = NULL;
	int r = yml_key(y, object, &key);

	if (r == 0)
		r = yml_next(y);
	if (r == 0)
		r = yml_node(y, depth, &value);
	if (r == 0)
		js_put(object, key, value);
	return r;
}

static int yml_mapping(struct yml *y, unsigned int depth, struct json_object **ret)
{
	CLEANUP(js_putp) struct json_object *object = js_new();
	int r;

	if (yml_check_node(y, y->event.data.mapping_start.anchor, y->event.data.mapping_start.tag))
		return -EINVAL;
	while ((r = yml_next(y)) == 0 && y->event.type != YAML_MAPPING_END_EVENT) {
		r = yml_pair(y, depth, object);
		if (r)
			return r;
	}
	if (r == 0)
		*ret = STEAL(object);
	return r;
}

/* The current event begins a node; on return it ends it. */
static int yml_node(struct yml *y, unsigned int depth, struct json_object **ret)
{
	if (depth >= YML_DEPTH_MAX)
		return yml_fail(y, "this is nested too deeply");
	switch (y->event.type) {
	case YAML_SCALAR_EVENT:
		return yml_scalar(y, ret);
	case YAML_SEQUENCE_START_EVENT:
		return yml_sequence(y, depth + 1, ret);
	case YAML_MAPPING_START_EVENT:
		return yml_mapping(y, depth + 1, ret);
	case YAML_ALIAS_EVENT:
		return yml_fail(y, "anchors and aliases are not supported");
	default:
		return yml_fail(y, "there should be a value here");
	}
}

/* The current event begins a document. */
static int yml_document(struct yml *y, yml_document_fn fn, void *data)
{
	CLEANUP(js_putp) struct json_object *doc = NULL;
	size_t line;
	int r = yml_next(y);

	if (r)
		return r;
	line = y->event.start_mark.line + 1;
	r = yml_node(y, 0, &doc);
	if (r == 0)
		r = yml_next(y); /* the document's end */
	if (r == 0 && doc)
		r = fn(data, doc, line, y->err);
	return r;
}

static int yml_stream(struct yml *y, yml_document_fn fn, void *data)
{
	int r;

	while ((r = yml_next(y)) == 0 && y->event.type != YAML_STREAM_END_EVENT) {
		if (y->event.type == YAML_DOCUMENT_START_EVENT)
			r = yml_document(y, fn, data);
		if (r)
			return r;
	}
	return r;
}

int yml_parse(const char *text, size_t n, yml_document_fn fn, void *data, struct err *err)
{
	struct yml y = {.err = err};
	int r;

	if (!yaml_parser_initialize(&y.parser))
		abort(); /* out of memory only */
	yaml_parser_set_encoding(&y.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&y.parser, (const unsigned char *)text, n);
	r = yml_stream(&y, fn, data);
	if (y.has_event)
		yaml_event_delete(&y.event);
	yaml_parser_delete(&y.parser);
	return r;
}

static int yml_take_one(void *data, struct json_object *doc, size_t line, struct err *err)
{
	struct json_object **one = data;

	if (*one)
		return err_set(err, -EINVAL,
			       "line %zu: there should be one document, here is a second", line);
	*one = json_object_get(doc);
	return 0;
}

int yml_parse_one(const char *text, size_t n, struct json_object **ret, struct err *err)
{
	CLEANUP(js_putp) struct json_object *one = NULL;
	int r = yml_parse(text, n, yml_take_one, &one, err);

	if (r)
		return r;
	if (!one)
		return err_set(err, -EINVAL, "there is no document in the YAML");
	*ret = STEAL(one);
	return 0;
}
