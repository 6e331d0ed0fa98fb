#pragma once

/*
 * What the tests of commands share: objects written as JSON with ' in place of ".
 */

#include "base/js.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static inline struct json_object *cli_json(const char *text)
{
	CLEANUP(mem_freep) char *copy = mem_strdup(text);
	struct json_object *obj;
	struct err err;
	char *at;

	for (at = copy; *at; at++)
		*at = *at == '\'' ? '"' : *at;
	if (js_parse(copy, strlen(copy), &obj, &err))
		fail_msg("%s: %s", copy, err.msg);
	return obj;
}

/* Compact, without escaped slashes and with ' in place of "; the caller frees it. */
static inline char *cli_text(struct json_object *obj)
{
	char *text = mem_strdup(json_object_to_json_string_ext(
	    obj, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	char *at;

	for (at = text; *at; at++)
		*at = *at == '"' ? '\'' : *at;
	return text;
}

#define CLI_CONDITION(type_, status_, reason_, message_)                      \
	"{'type':'" type_ "','status':'" status_ "','reason':'" reason_ "','" \
	"message':'" message_ "'}"
