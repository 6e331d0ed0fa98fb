#include "controller/identity_rules.h"

#include "base/buf.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* {"alg":"none"} */
#define HEAD "eyJhbGciOiJub25lIn0"

/* A token with these claims, base64url-encoded. The caller frees it. */
static char *make_token(const char *claims)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	struct buf out = BUF_INIT(1 << 20);
	size_t n = strlen(claims), i;

	buf_add_str(&out, HEAD ".");
	for (i = 0; i < n; i += 3) {
		unsigned int left = (unsigned int)(n - i < 3 ? n - i : 3), bits = 0, j;

		for (j = 0; j < 3; j++)
			bits = bits << 8 | (j < left ? (unsigned char)claims[i + j] : 0);
		for (j = 0; j <= left; j++)
			buf_add(&out, &digits[bits >> (18 - 6 * j) & 63], 1);
	}
	buf_add_str(&out, ".c2ln");
	return buf_steal(&out);
}

static void what_is_no_jwt_is_invalid_at_once(void **state)
{
	static const char *const tokens[] = {
	    "",
	    "abc",
	    "a.b",
	    "a.b.c.d",
	    ".b.c",
	    "a..c",
	    "a.b.",
	    "..",
	    "a b.c.d",
	    "a.b=.c",
	    "a.b/.c",
	    "a.b.c\n",
	    HEAD ".e30.x y",
	    HEAD ".A.c2ln",
	    HEAD ".W10.c2ln", /* [] */
	    HEAD ".Zm9v.c2ln" /* foo */,
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
		struct identity_claims claims;
		const char *why;

		assert_int_equal(identity_prejudge(tokens[i], &claims, &why), IDENTITY_INVALID);
		assert_true(*why);
	}
}

static void a_token_that_is_too_long_is_invalid_at_once(void **state)
{
	CLEANUP(mem_freep) char *token = mem_alloc(IDENTITY_TOKEN_MAX + 2, 1);
	struct identity_claims claims;
	const char *why;

	(void)state;
	memset(token, 'A', IDENTITY_TOKEN_MAX + 1);
	token[2] = token[4] = '.';
	assert_int_equal(identity_prejudge(token, &claims, &why), IDENTITY_INVALID);
}

static void the_audience_decides_whether_to_ask(void **state)
{
	static const struct {
		const char *claims;
		enum identity_verdict verdict;
	} cases[] = {
	    {"{\"aud\":[\"hauberk-controller\"]}", IDENTITY_OK},
	    {"{\"aud\":[\"x\",\"hauberk-controller\"]}", IDENTITY_OK},
	    {"{\"aud\":\"hauberk-controller\"}", IDENTITY_OK},
	    {"{\"aud\":[\"https://kubernetes.default.svc\"]}", IDENTITY_FORBIDDEN},
	    {"{\"aud\":[\"hauberk-controller2\"]}", IDENTITY_FORBIDDEN},
	    {"{\"aud\":\"hauberk\"}", IDENTITY_FORBIDDEN},
	    {"{\"aud\":{\"hauberk-controller\":1}}", IDENTITY_FORBIDDEN},
	    {"{\"aud\":[]}", IDENTITY_FORBIDDEN},
	    {"{\"aud\":null}", IDENTITY_FORBIDDEN},
	    {"{}", IDENTITY_FORBIDDEN},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP(mem_freep) char *token = make_token(cases[i].claims);
		struct identity_claims claims;
		const char *why;

		if (identity_prejudge(token, &claims, &why) != cases[i].verdict)
			fail_msg("%s", cases[i].claims);
	}
}

static void claims_of_any_length_are_read_to_the_end(void **state)
{
	int n;

	(void)state;
	for (n = 0; n < 800; n++) {
		CLEANUP(mem_freep)
		char *claims =
		    mem_printf("{\"x\":\"%*s\",\"aud\":[\"hauberk-controller\"]}", n, "");
		CLEANUP(mem_freep) char *token = make_token(claims);
		struct identity_claims found;
		const char *why;

		assert_int_equal(identity_prejudge(token, &found, &why), IDENTITY_OK);
	}
}

#define AUD "\"aud\":\"hauberk-controller\""

static void a_verdict_is_kept_for_two_minutes_or_the_rest_of_the_tokens_life(void **state)
{
	static const struct {
		const char *claims;
		enum identity_verdict verdict;
		int64_t kept_ms;
	} cases[] = {
	    {"{" AUD ",\"exp\":2000}", IDENTITY_OK, 120000},
	    {"{" AUD ",\"exp\":1120}", IDENTITY_OK, 120000},
	    {"{" AUD ",\"exp\":1119}", IDENTITY_OK, 119000},
	    {"{" AUD ",\"exp\":1001}", IDENTITY_OK, 1000},
	    {"{" AUD ",\"exp\":1000}", IDENTITY_OK, 0},
	    {"{" AUD ",\"exp\":1}", IDENTITY_OK, 0},
	    {"{" AUD ",\"exp\":-1}", IDENTITY_OK, 0},
	    {"{" AUD ",\"exp\":9223372036854775807}", IDENTITY_OK, 120000},
	    {"{" AUD ",\"exp\":99999999999999999999}", IDENTITY_OK, 120000},
	    {"{" AUD ",\"exp\":\"soon\"}", IDENTITY_OK, 120000},
	    {"{" AUD "}", IDENTITY_OK, 120000},
	    {"{" AUD ",\"exp\":1001}", IDENTITY_INVALID, 10000},
	    {"{" AUD ",\"exp\":1001}", IDENTITY_FORBIDDEN, 10000},
	    {"{" AUD ",\"exp\":2000}", IDENTITY_UNAVAILABLE, 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP(mem_freep) char *token = make_token(cases[i].claims);
		struct identity_claims claims;
		const char *why;

		assert_int_equal(identity_prejudge(token, &claims, &why), IDENTITY_OK);
		if (identity_kept_ms(cases[i].verdict, &claims, 1000000) != cases[i].kept_ms)
			fail_msg("%s", cases[i].claims);
	}
}

#define NODE_NAME "\"authentication.kubernetes.io/node-name\":[\"n1\"]"
#define NODE_UID "\"authentication.kubernetes.io/node-uid\":[\"u1\"]"
#define POD_NAME "\"authentication.kubernetes.io/pod-name\":[\"p1\"]"
#define POD_UID "\"authentication.kubernetes.io/pod-uid\":[\"v1\"]"
#define POD POD_NAME "," POD_UID
#define NODE NODE_NAME "," NODE_UID
#define STATUS(authenticated_, audiences_, name_, extra_)                             \
	"{\"status\":{\"authenticated\":" authenticated_ ",\"audiences\":" audiences_ \
	",\"user\":{\"username\":\"" name_ "\",\"extra\":{" extra_ "}}}}"
#define OURS "[\"hauberk-controller\"]"
#define AGENT "system:serviceaccount:hauberk-system:hauberk-agent"

static void the_verdict_follows_from_the_review(void **state)
{
	static const struct {
		const char *what, *review;
		enum identity_verdict verdict;
	} cases[] = {
	    {"an agent", STATUS("true", OURS, AGENT, POD "," NODE), IDENTITY_OK},
	    {"two audiences", STATUS("true", "[\"a\",\"hauberk-controller\"]", AGENT, POD "," NODE),
	     IDENTITY_OK},
	    {"not known", "{\"status\":{\"error\":\"[invalid bearer token]\"}}", IDENTITY_INVALID},
	    {"not authenticated", STATUS("false", OURS, AGENT, POD "," NODE), IDENTITY_INVALID},
	    {"authenticated by a word", STATUS("\"true\"", OURS, AGENT, POD "," NODE),
	     IDENTITY_INVALID},
	    {"no audience", STATUS("true", "[]", AGENT, POD "," NODE), IDENTITY_FORBIDDEN},
	    {"another audience", STATUS("true", "[\"x\"]", AGENT, POD "," NODE),
	     IDENTITY_FORBIDDEN},
	    {"audience of another type",
	     STATUS("true", "\"hauberk-controller\"", AGENT, POD "," NODE), IDENTITY_FORBIDDEN},
	    {"another account",
	     STATUS("true", OURS, "system:serviceaccount:hauberk-system:default", POD "," NODE),
	     IDENTITY_FORBIDDEN},
	    {"another namespace",
	     STATUS("true", OURS, "system:serviceaccount:default:hauberk-agent", POD "," NODE),
	     IDENTITY_FORBIDDEN},
	    {"a longer name", STATUS("true", OURS, AGENT "2", POD "," NODE), IDENTITY_FORBIDDEN},
	    {"a name with a NUL", STATUS("true", OURS, AGENT "\\u0000", POD "," NODE),
	     IDENTITY_FORBIDDEN},
	    {"unbound", STATUS("true", OURS, AGENT, ""), IDENTITY_FORBIDDEN},
	    {"bound to a Node", STATUS("true", OURS, AGENT, NODE), IDENTITY_FORBIDDEN},
	    {"a pod that is not scheduled", STATUS("true", OURS, AGENT, POD), IDENTITY_FORBIDDEN},
	    {"no pod uid", STATUS("true", OURS, AGENT, POD_NAME "," NODE), IDENTITY_FORBIDDEN},
	    {"no node uid", STATUS("true", OURS, AGENT, POD "," NODE_NAME), IDENTITY_FORBIDDEN},
	    {"two node names",
	     STATUS("true", OURS, AGENT,
		    POD "," NODE_UID ",\"authentication.kubernetes.io/node-name\":[\"a\",\"b\"]"),
	     IDENTITY_FORBIDDEN},
	    {"a node name that is a number",
	     STATUS("true", OURS, AGENT,
		    POD "," NODE_UID ",\"authentication.kubernetes.io/node-name\":[1]"),
	     IDENTITY_FORBIDDEN},
	    {"no status", "{}", IDENTITY_UNAVAILABLE},
	    {"a status that is none", "{\"status\":\"Failure\"}", IDENTITY_UNAVAILABLE},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP(js_putp) struct json_object *review = NULL;
		struct identity_who who = {0};
		struct err err;
		const char *why = NULL;

		assert_int_equal(js_parse(cases[i].review, strlen(cases[i].review), &review, &err),
				 0);
		if (identity_judge(review, "hauberk-system", &who, &why) != cases[i].verdict)
			fail_msg("%s: %s", cases[i].what, why);
		assert_int_equal(cases[i].verdict == IDENTITY_OK, *why == '\0');
		if (cases[i].verdict == IDENTITY_OK) {
			assert_string_equal(who.service_account, AGENT);
			assert_string_equal(who.node_name, "n1");
			assert_string_equal(who.node_uid, "u1");
			assert_string_equal(who.pod_name, "p1");
			assert_string_equal(who.pod_uid, "v1");
		} else {
			assert_null(who.node_name);
		}
		identity_who_clear(&who);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_no_jwt_is_invalid_at_once),
	    cmocka_unit_test(a_token_that_is_too_long_is_invalid_at_once),
	    cmocka_unit_test(the_audience_decides_whether_to_ask),
	    cmocka_unit_test(claims_of_any_length_are_read_to_the_end),
	    cmocka_unit_test(a_verdict_is_kept_for_two_minutes_or_the_rest_of_the_tokens_life),
	    cmocka_unit_test(the_verdict_follows_from_the_review),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
