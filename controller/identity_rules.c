#include "controller/identity_rules.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

/* Claims. */

/* The value of a digit of base64url (RFC 4648, section 5), or -1. */
static int identity_base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* Decode base64url without padding. False where it is none. */
static bool identity_decode(const char *text, size_t n, struct buf *ret)
{
	unsigned int bits = 0, n_bits = 0;
	char bytes[256];
	size_t i, n_bytes = 0;

	for (i = 0; i < n; i++) {
		int digit = identity_base64_digit(text[i]);

		if (digit < 0)
			return false;
		bits = (bits << 6 | (unsigned int)digit) & 0xffff;
		n_bits += 6;
		if (n_bits < 8)
			continue;
		n_bits -= 8;
		bytes[n_bytes++] = (char)(bits >> n_bits & 0xff);
		if (n_bytes < sizeof(bytes))
			continue;
		if (!buf_add(ret, bytes, n_bytes))
			return false;
		n_bytes = 0;
	}
	return buf_add(ret, bytes, n_bytes) && n % 4 != 1;
}

/* The length of the part of base64url that `text` begins with. */
static size_t identity_part(const char *text)
{
	size_t n = 0;

	while (identity_base64_digit(text[n]) >= 0)
		n++;
	return n;
}

/* The second of three parts. NULL where there are not three. */
static const char *identity_payload(const char *token, size_t *ret_n)
{
	size_t head = identity_part(token), payload, tail;

	if (strnlen(token, IDENTITY_TOKEN_MAX + 1) > IDENTITY_TOKEN_MAX || head == 0 ||
	    token[head] != '.')
		return NULL;
	token += head + 1;
	payload = identity_part(token);
	if (payload == 0 || token[payload] != '.')
		return NULL;
	tail = identity_part(token + payload + 1);
	if (tail == 0 || token[payload + 1 + tail] != '\0')
		return NULL;
	*ret_n = payload;
	return token;
}

static bool identity_is_us(struct json_object *audience)
{
	return json_object_is_type(audience, json_type_string) &&
	       strcmp(json_object_get_string(audience), IDENTITY_AUDIENCE) == 0;
}

/* One text, or an array of them (RFC 7519, 4.1.3). */
static bool identity_is_for_us(struct json_object *audiences)
{
	size_t i;

	if (!json_object_is_type(audiences, json_type_array))
		return identity_is_us(audiences);
	for (i = 0; i < js_len(audiences); i++)
		if (identity_is_us(js_item(audiences, i)))
			return true;
	return false;
}

/* A time that no verdict is kept for anyway may be cut. */
static int64_t identity_seconds_to_ms(int64_t s)
{
	if (s > INT64_MAX / 1000)
		return INT64_MAX;
	return s < 0 ? 0 : s * 1000;
}

/* What the token says of itself. NULL where it is no JWT; else the caller owns it. */
static struct json_object *identity_parse(const char *token)
{
	struct buf text = BUF_INIT(IDENTITY_TOKEN_MAX);
	struct json_object *obj = NULL;
	struct err err;
	size_t n;
	const char *payload = identity_payload(token, &n);

	if (payload && identity_decode(payload, n, &text))
		(void)js_parse(buf_text(&text), text.len, &obj, &err);
	buf_clear(&text);
	if (json_object_is_type(obj, json_type_object))
		return obj;
	json_object_put(obj);
	return NULL;
}

static enum identity_verdict identity_say(enum identity_verdict verdict, const char *why,
					  const char **ret_why)
{
	*ret_why = why;
	return verdict;
}

#define IDENTITY_OTHER_AUDIENCE                                \
	"the token is not for the audience " IDENTITY_AUDIENCE \
	": the agent needs a projected token with that audience"

enum identity_verdict identity_prejudge(const char *token, struct identity_claims *ret,
					const char **ret_why)
{
	CLEANUP(js_putp) struct json_object *obj = identity_parse(token);
	struct json_object *expiry = js_get(obj, "exp");

	if (!obj)
		return identity_say(
		    IDENTITY_INVALID,
		    "this is no service account token: the agent sends the one that "
		    "is mounted into its pod",
		    ret_why);
	if (!identity_is_for_us(js_get(obj, "aud")))
		return identity_say(IDENTITY_FORBIDDEN, IDENTITY_OTHER_AUDIENCE, ret_why);
	*ret = (struct identity_claims){
	    .has_expiry = json_object_is_type(expiry, json_type_int),
	};
	if (ret->has_expiry)
		ret->expiry_ms = identity_seconds_to_ms(json_object_get_int64(expiry));
	return identity_say(IDENTITY_OK, "", ret_why);
}

/* The verdict. */

static bool identity_holds_us(struct json_object *audiences)
{
	return json_object_is_type(audiences, json_type_array) && identity_is_for_us(audiences);
}

/* The one value of user.extra[key], printable; "" where there is none or several. */
static char *identity_extra(struct json_object *status, const char *key)
{
	struct json_object *values = js_get(js_at(status, "user.extra"), key);
	struct json_object *value =
	    json_object_is_type(values, json_type_array) && js_len(values) == 1 ? js_item(values, 0)
										: NULL;
	char *text;

	if (!json_object_is_type(value, json_type_string))
		return mem_strdup("");
	text = mem_strdup(json_object_get_string(value));
	str_make_printable(text, 253);
	return text;
}

static bool identity_is_agent(struct json_object *status, const char *namespace_)
{
	CLEANUP(mem_freep)
	char *agent = mem_printf("system:serviceaccount:%s:" IDENTITY_ACCOUNT, namespace_);

	return str_equal(js_str(status, "user.username"), agent);
}

static void identity_read_who(struct json_object *status, struct identity_who *ret)
{
	*ret = (struct identity_who){
	    .service_account = mem_strdup(js_str_or_empty(status, "user.username")),
	    .node_name = identity_extra(status, "authentication.kubernetes.io/node-name"),
	    .node_uid = identity_extra(status, "authentication.kubernetes.io/node-uid"),
	    .pod_name = identity_extra(status, "authentication.kubernetes.io/pod-name"),
	    .pod_uid = identity_extra(status, "authentication.kubernetes.io/pod-uid"),
	};
}

enum identity_verdict identity_judge(struct json_object *review, const char *namespace_,
				     struct identity_who *ret, const char **ret_why)
{
	struct json_object *status = js_object(review, "status");
	struct identity_who who;

	if (!status)
		return identity_say(IDENTITY_UNAVAILABLE,
				    "the API server answered the TokenReview without a status",
				    ret_why);
	if (!js_bool(status, "authenticated", false))
		return identity_say(
		    IDENTITY_INVALID,
		    "the API server does not accept the token: it has expired, or its "
		    "pod or node is gone, or it is not of this cluster; the agent "
		    "reads the newest from its mount",
		    ret_why);
	if (!identity_holds_us(js_get(status, "audiences")))
		return identity_say(IDENTITY_FORBIDDEN, IDENTITY_OTHER_AUDIENCE, ret_why);
	if (!identity_is_agent(status, namespace_))
		return identity_say(IDENTITY_FORBIDDEN,
				    "the token is not of the service account " IDENTITY_ACCOUNT
				    " in the controller's namespace: agents run there, under that "
				    "account",
				    ret_why);
	identity_read_who(status, &who);
	if (!*who.pod_name || !*who.pod_uid || !*who.node_name || !*who.node_uid) {
		identity_who_clear(&who);
		return identity_say(IDENTITY_FORBIDDEN,
				    "the token is not bound to a pod that runs on a node: only a "
				    "token that the kubelet mounts into the agent's pod is",
				    ret_why);
	}
	*ret = who;
	return identity_say(IDENTITY_OK, "", ret_why);
}

int64_t identity_kept_ms(enum identity_verdict verdict, const struct identity_claims *claims,
			 int64_t now_ms)
{
	int64_t life;

	if (verdict == IDENTITY_UNAVAILABLE)
		return 0;
	if (verdict != IDENTITY_OK)
		return IDENTITY_REFUSAL_KEPT_MS;
	if (!claims->has_expiry)
		return IDENTITY_KEPT_MS;
	life = claims->expiry_ms > now_ms ? claims->expiry_ms - now_ms : 0;
	return life < IDENTITY_KEPT_MS ? life : IDENTITY_KEPT_MS;
}

void identity_who_clear(struct identity_who *who)
{
	free(who->service_account);
	free(who->node_name);
	free(who->node_uid);
	free(who->pod_name);
	free(who->pod_uid);
	*who = (struct identity_who){0};
}
