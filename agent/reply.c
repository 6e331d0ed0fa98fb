#include "reply.h"

#include "base/js.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/http_client.h"

#include <stdlib.h>
#include <string.h>

static struct json_object *reply_parse(const struct http_response *res)
{
	struct json_object *obj = NULL;
	struct err ignored;

	if (res->error || js_parse(buf_text(&res->body), res->body.len, &obj, &ignored) < 0)
		return NULL;
	return obj;
}

int reply_explain(const struct http_response *res, struct err *err)
{
	CLEANUP(js_putp) struct json_object *obj = reply_parse(res);
	CLEANUP(mem_freep) char *message = mem_strdup(js_str(obj, "message"));

	if (res->error)
		return err_set(err, -EIO, "the controller cannot be reached: %s", res->why);
	if (!message)
		return err_set(err, -EIO, "the controller answered %d", res->status);
	str_make_printable(message, 400);
	return err_set(err, -EIO, "the controller answered %d: %s", res->status, message);
}

/* What follows the last colon is a port; no blank and nothing that has a meaning to curl before it.
 */
bool reply_is_address(const char *text)
{
	const char *colon = strrchr(text, ':');
	int64_t port;

	return colon && colon > text && strlen(text) < REPLY_LEADER_MAX &&
	       str_to_i64(colon + 1, 1, 65535, &port) &&
	       strspn(text,
		      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:[]") ==
		   strlen(text);
}

bool reply_leader(const struct http_response *res, char ret[REPLY_LEADER_MAX])
{
	CLEANUP(js_putp) struct json_object *obj = reply_parse(res);
	const char *leader = js_str(obj, "leader");

	if (res->error || res->status != 503 || !leader || !reply_is_address(leader))
		return false;
	memcpy(ret, leader, strlen(leader) + 1);
	return true;
}
