#pragma once

/*
 * JSON from outside, read with care, on top of json-c.
 *
 * Paths are keys joined by dots ("metadata.name"); they suit fields whose names the schema gives,
 * not map keys such as labels, which may hold dots: js_get() takes one key as it is. Nothing here
 * keeps or takes a reference unless it says so.
 */

#include "base/err.h"

#include <json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One JSON value, the whole of `text`: UTF-8, no deeper than 64 levels, nothing behind it. The
 * caller bounds `n`, and owns *ret: json_object_put(). Errors: -EINVAL with the place. */
int js_parse(const char *text, size_t n, struct json_object **ret, struct err *err);

/* The same, for text from a peer that may mean ill: -EFBIG, with nothing taken, where the value
 * might take more than `max_heap` bytes. What json-c takes is a matter of shape, from 36 bytes for
 * each byte of "[0,0,0" to 264 for "[{},{}". This counts no less than that, and for what people and
 * programs mean to write about half as much again. */
int js_parse_bounded(const char *text, size_t n, size_t max_heap, struct json_object **ret,
		     struct err *err);

/* The value at one key of an object, or NULL. `obj` may be NULL or no object. */
struct json_object *js_get(struct json_object *obj, const char *key);

/* The value at a path, or NULL. */
struct json_object *js_at(struct json_object *obj, const char *path);

/* The string at a path; NULL where there is none, or no string, or one that holds a NUL byte. Owned
 * by the object. */
const char *js_str(struct json_object *obj, const char *path);

/* The same, with "" in place of NULL. */
const char *js_str_or_empty(struct json_object *obj, const char *path);

/* The whole number at a path, or `dflt`. */
int64_t js_i64(struct json_object *obj, const char *path, int64_t dflt);

bool js_bool(struct json_object *obj, const char *path, bool dflt);

/* The object or array at a path, or NULL where there is something else. */
struct json_object *js_object(struct json_object *obj, const char *path);
struct json_object *js_array(struct json_object *obj, const char *path);

/* The number of elements; 0 for NULL. */
size_t js_len(struct json_object *array);

/* The element, as it is: NULL for JSON null, past the end, and where `array` is NULL. */
struct json_object *js_item(struct json_object *array, size_t i);

/* Building: each takes over `value`. A NULL text is left out. */
struct json_object *js_new(void);
struct json_object *js_new_array(void);
void js_put(struct json_object *obj, const char *key, struct json_object *value);
void js_put_str(struct json_object *obj, const char *key, const char *text);
void js_put_i64(struct json_object *obj, const char *key, int64_t number);
void js_put_bool(struct json_object *obj, const char *key, bool value);
void js_append(struct json_object *array, struct json_object *value);
struct json_object *js_text(const char *text);

/* Give back what json-c keeps in reserve in each object and array, which is two thirds of what a
 * small one takes: for what is kept for long. It can be changed as before. */
void js_shrink(struct json_object *obj);

/* Compact text, owned by the object and gone with the next call on it. `ret_n` may be NULL. */
const char *js_print(struct json_object *obj, size_t *ret_n);

/* For CLEANUP() on a struct json_object * that owns its reference. */
void js_putp(struct json_object **obj);
