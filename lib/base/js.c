#include "base/js.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

enum { JS_DEPTH_MAX = 64 };

/* What json-c 0.16 takes at most on x86-64 with glibc, measured, each with its share of what it
 * stands in and with the first value in it: an object, which comes with a table for 16 keys; an
 * array; and each further value, with its key. Text comes on top. */
enum { JS_OBJECT_HEAP = 928, JS_ARRAY_HEAP = 256, JS_VALUE_HEAP = 256 };

static int js_parse_with(struct json_tokener *tok, const char *text, size_t n,
			 struct json_object **ret, struct err *err)
{
	struct json_object *obj;
	enum json_tokener_error e;
	size_t at;

	if (n > INT32_MAX || !str_is_utf8(text, n))
		return err_set(err, -EINVAL, "the JSON is not valid UTF-8");
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	obj = json_tokener_parse_ex(tok, text, (int)n);
	e = json_tokener_get_error(tok);
	at = json_tokener_get_parse_end(tok);
	if (e == json_tokener_continue) {
		/* A bare number at the end of the text only ends with what follows it. */
		obj = json_tokener_parse_ex(tok, "", -1);
		e = json_tokener_get_error(tok);
		at = n;
	}
	if (e == json_tokener_continue || e == json_tokener_error_parse_eof)
		return err_set(err, -EINVAL, "the JSON ends too early, after byte %zu", n);
	if (e != json_tokener_success)
		return err_set(err, -EINVAL, "the JSON is malformed at byte %zu: %s", at,
			       json_tokener_error_desc(e));
	for (; at < n; at++) {
		if (!strchr(" \t\r\n", text[at]) || !text[at]) {
			json_object_put(obj);
			return err_set(err, -EINVAL, "something follows the JSON at byte %zu", at);
		}
	}
	*ret = obj;
	return 0;
}

int js_parse(const char *text, size_t n, struct json_object **ret, struct err *err)
{
	struct json_tokener *tok = json_tokener_new_ex(JS_DEPTH_MAX);
	int r;

	if (!tok)
		abort();
	r = js_parse_with(tok, text, n, ret, err);
	json_tokener_free(tok);
	return r;
}

/* Up to where the text is malformed this reads it as json-c does, and beyond that json-c takes
 * nothing. */
static size_t js_heap(const char *text, size_t n)
{
	size_t heap = n;
	bool in_string = false;
	size_t i;

	for (i = 0; i < n; i++) {
		if (text[i] == '"')
			in_string = !in_string;
		else if (in_string)
			i += text[i] == '\\';
		else if (text[i] == '{')
			heap += JS_OBJECT_HEAP;
		else if (text[i] == '[')
			heap += JS_ARRAY_HEAP;
		else if (text[i] == ',')
			heap += JS_VALUE_HEAP;
	}
	return heap;
}

int js_parse_bounded(const char *text, size_t n, size_t max_heap, struct json_object **ret,
		     struct err *err)
{
	if (js_heap(text, n) > max_heap)
		return err_set(err, -EFBIG,
			       "the JSON holds so many values that they might take more than %zu "
			       "KiB of memory",
			       max_heap / 1024);
	return js_parse(text, n, ret, err);
}

struct json_object *js_get(struct json_object *obj, const char *key)
{
	struct json_object *value;

	if (!json_object_is_type(obj, json_type_object) ||
	    !json_object_object_get_ex(obj, key, &value))
		return NULL;
	return value;
}

struct json_object *js_at(struct json_object *obj, const char *path)
{
	char key[64];

	while (obj) {
		const char *dot = strchr(path, '.');
		size_t n = dot ? (size_t)(dot - path) : strlen(path);

		if (n >= sizeof(key))
			return NULL;
		memcpy(key, path, n);
		key[n] = '\0';
		obj = js_get(obj, key);
		if (!dot)
			return obj;
		path = dot + 1;
	}
	return NULL;
}

const char *js_str(struct json_object *obj, const char *path)
{
	struct json_object *value = js_at(obj, path);
	const char *text;

	if (!json_object_is_type(value, json_type_string))
		return NULL;
	text = json_object_get_string(value);
	return strlen(text) == (size_t)json_object_get_string_len(value) ? text : NULL;
}

const char *js_str_or_empty(struct json_object *obj, const char *path)
{
	const char *text = js_str(obj, path);

	return text ? text : "";
}

int64_t js_i64(struct json_object *obj, const char *path, int64_t dflt)
{
	struct json_object *value = js_at(obj, path);

	return json_object_is_type(value, json_type_int) ? json_object_get_int64(value) : dflt;
}

bool js_bool(struct json_object *obj, const char *path, bool dflt)
{
	struct json_object *value = js_at(obj, path);

	return json_object_is_type(value, json_type_boolean) ? json_object_get_boolean(value) != 0
							     : dflt;
}

struct json_object *js_object(struct json_object *obj, const char *path)
{
	struct json_object *value = js_at(obj, path);

	return json_object_is_type(value, json_type_object) ? value : NULL;
}

struct json_object *js_array(struct json_object *obj, const char *path)
{
	struct json_object *value = js_at(obj, path);

	return json_object_is_type(value, json_type_array) ? value : NULL;
}

size_t js_len(struct json_object *array)
{
	return array ? json_object_array_length(array) : 0;
}

struct json_object *js_item(struct json_object *array, size_t i)
{
	return array ? json_object_array_get_idx(array, i) : NULL;
}

static struct json_object *js_check(struct json_object *obj)
{
	if (!obj)
		abort(); /* json-c returns NULL when out of memory only */
	return obj;
}

struct json_object *js_new(void)
{
	return js_check(json_object_new_object());
}

struct json_object *js_new_array(void)
{
	return js_check(json_object_new_array());
}

void js_put(struct json_object *obj, const char *key, struct json_object *value)
{
	if (json_object_object_add(obj, key, value))
		abort();
}

void js_put_str(struct json_object *obj, const char *key, const char *text)
{
	if (text)
		js_put(obj, key, js_text(text));
}

void js_put_i64(struct json_object *obj, const char *key, int64_t number)
{
	js_put(obj, key, js_check(json_object_new_int64(number)));
}

void js_put_bool(struct json_object *obj, const char *key, bool value)
{
	js_put(obj, key, js_check(json_object_new_boolean(value)));
}

void js_append(struct json_object *array, struct json_object *value)
{
	if (json_object_array_add(array, value))
		abort();
}

struct json_object *js_text(const char *text)
{
	return js_check(json_object_new_string(text));
}

/* json-c fills a table to two thirds and makes one for 16 keys, however few come. */
static void js_shrink_table(struct lh_table *table)
{
	int n = table->count + table->count / 2 + 1;

	if (table->count <= 64 && n < table->size && lh_table_resize(table, n) < 0)
		abort();
}

void js_shrink(struct json_object *obj)
{
	size_t i;

	if (json_object_is_type(obj, json_type_object)) {
		js_shrink_table(json_object_get_object(obj));
		json_object_object_foreach(obj, key, value) {
			(void)key;
			js_shrink(value);
		}
	} else if (json_object_is_type(obj, json_type_array)) {
		if (json_object_array_shrink(obj, 0) < 0)
			abort();
		for (i = 0; i < js_len(obj); i++)
			js_shrink(js_item(obj, i));
	}
}

const char *js_print(struct json_object *obj, size_t *ret_n)
{
	size_t n;
	const char *text = json_object_to_json_string_length(
	    obj, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &n);

	if (!text)
		abort();
	if (ret_n)
		*ret_n = n;
	return text;
}

void js_putp(struct json_object **obj)
{
	json_object_put(*obj);
}
