#include "policy/blob.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void read_data(const char *name, struct buf *ret)
{
	CLEANUP(mem_freep) char *path = mem_printf("%s/policy/%s", TEST_DATA, name);
	struct err err;

	*ret = (struct buf)BUF_INIT(1 << 20);
	if (file_read(path, ret, &err) < 0)
		fail_msg("%s", err.msg);
}

/* A blob made by hand, for what no parser makes. */
static void add_name(struct buf *b, char code, const char *text)
{
	uint16_t n = (uint16_t)(strlen(text) + 1);
	char head[3] = {code, (char)(n & 0xff), (char)(n >> 8)};

	buf_add(b, head, 3);
	buf_add(b, text, n);
}

static void add_u32(struct buf *b, uint32_t v)
{
	char bytes[5] = {2, (char)v, (char)(v >> 8), (char)(v >> 16), (char)(v >> 24)};

	buf_add(b, bytes, 5);
}

struct made {
	const char *name, *ns;
	const char *rename;
	uint32_t version, mode;
	bool attachment;
};

static void add_profile(struct buf *b, const struct made *m)
{
	add_name(b, 4, "version");
	add_u32(b, m->version ? m->version : 0x202007);
	if (m->ns) {
		add_name(b, 4, "namespace");
		add_name(b, 5, m->ns);
	}
	add_name(b, 4, "profile");
	buf_add(b, "\x07", 1);
	add_name(b, 5, m->name);
	if (m->rename) {
		add_name(b, 4, "rename");
		add_name(b, 5, m->rename);
	}
	if (m->attachment) {
		add_name(b, 4, "aadfa");
		buf_add(b, "\x06\x02\x00\x00\x00xx", 7);
		add_u32(b, 3);
	}
	add_name(b, 4, "flags");
	buf_add(b, "\x07", 1);
	add_u32(b, 0);
	add_u32(b, m->mode);
	add_u32(b, 0);
	buf_add(b, "\x08", 1);
	add_u32(b, 7);
	buf_add(b, "\x08", 1);
}

static int judge(const struct made *made, size_t n, const char *name, enum profile_mode mode,
		 struct err *err)
{
	struct buf b = BUF_INIT(1 << 20);
	struct policy_blob blob = {0};
	size_t i;
	int r;

	for (i = 0; i < n; i++)
		add_profile(&b, &made[i]);
	r = policy_blob_parse(buf_text(&b), b.len, &blob, err);
	assert_int_equal(r, 0);
	assert_int_equal(blob.n, n);
	r = policy_blob_check(&blob, name, mode, err);
	policy_blob_clear(&blob);
	buf_clear(&b);
	return r;
}

static void the_kernels_own_hashes_are_known_ahead(void **state)
{
	static const char *const files[] = {"enforce-3.0.8.blob", "complain-3.0.8.blob",
					    "enforce-4.1.0.blob"};
	struct buf hashes;
	size_t f, i, n = 0;
	struct err err;

	(void)state;
	read_data("kernel-hashes", &hashes);
	for (f = 0; f < 3; f++) {
		struct policy_blob blob;
		struct buf bytes;

		read_data(files[f], &bytes);
		assert_int_equal(policy_blob_parse(bytes.data, bytes.len, &blob, &err), 0);
		for (i = 0; i < blob.n; i++, n++) {
			const struct policy_blob_profile *p = &blob.profiles[i];
			CLEANUP(mem_freep)
			char *line = mem_printf("%s %s %s\n", p->name, p->sha1, p->sha256);

			if (!strstr(buf_text(&hashes), line))
				fail_msg("no kernel said %s", line);
		}
		policy_blob_clear(&blob);
		buf_clear(&bytes);
	}
	assert_int_equal(n, 11);
	buf_clear(&hashes);
}

static void what_the_parser_made_passes_in_its_mode_alone(void **state)
{
	static const struct {
		const char *file, *name;
		enum profile_mode mode;
		int r;
	} cases[] = {
	    {"enforce-3.0.8.blob", "web3", PROFILE_ENFORCE, 0},
	    {"enforce-3.0.8.blob", NULL, PROFILE_ENFORCE, 0},
	    {"enforce-3.0.8.blob", "web4", PROFILE_ENFORCE, -EPERM},
	    {"enforce-3.0.8.blob", "web3", PROFILE_COMPLAIN, -EPERM},
	    {"complain-3.0.8.blob", "web3c", PROFILE_COMPLAIN, 0},
	    {"complain-3.0.8.blob", "web3c", PROFILE_ENFORCE, -EPERM},
	    {"enforce-4.1.0.blob", "web4", PROFILE_ENFORCE, 0},
	};
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct policy_blob blob;
		struct buf bytes;

		read_data(cases[i].file, &bytes);
		assert_int_equal(policy_blob_parse(bytes.data, bytes.len, &blob, &err), 0);
		assert_int_equal(policy_blob_check(&blob, cases[i].name, cases[i].mode, &err),
				 cases[i].r);
		policy_blob_clear(&blob);
		buf_clear(&bytes);
	}
}

static void what_could_confine_the_host_is_refused(void **state)
{
	static const struct {
		struct made made[3];
		size_t n;
		enum profile_mode mode;
		const char *word; /* NULL: it passes */
	} cases[] = {
	    {{{.name = "web"}}, 1, PROFILE_ENFORCE, NULL},
	    {{{.name = "web", .mode = POLICY_BLOB_KILL}}, 1, PROFILE_ENFORCE, NULL},
	    {{{.name = "web"}, {.name = "web//kid", .attachment = true}}, 2, PROFILE_ENFORCE, NULL},
	    {{{.name = "web"}, {.name = "web///bin/x"}}, 2, PROFILE_ENFORCE, NULL},
	    {{{.name = "web"}, {.name = "web//a"}, {.name = "web//a//b"}},
	     3,
	     PROFILE_ENFORCE,
	     NULL},
	    {{{.name = "web", .version = 0x202807, .mode = POLICY_BLOB_KILL}},
	     1,
	     PROFILE_COMPLAIN,
	     NULL},
	    {{{.name = "web"}}, 0, PROFILE_ENFORCE, "defines no profile"},
	    {{{.name = "web//kid"}}, 1, PROFILE_ENFORCE, "no profile that they belong to"},
	    {{{.name = "web"}, {.name = "db"}}, 2, PROFILE_ENFORCE, "more than one"},
	    {{{.name = "web"}, {.name = "web//kid"}, {.name = "db"}},
	     3,
	     PROFILE_ENFORCE,
	     "more than one"},
	    {{{.name = "db"}}, 1, PROFILE_ENFORCE, "\"db\""},
	    {{{.name = "/bin/web"}}, 1, PROFILE_ENFORCE, "is a path"},
	    {{{.name = "web", .attachment = true}}, 1, PROFILE_ENFORCE, "attachment"},
	    {{{.name = "web", .ns = "other"}}, 1, PROFILE_ENFORCE, "namespace"},
	    {{{.name = "web"}, {.name = "web//kid", .ns = "other"}},
	     2,
	     PROFILE_ENFORCE,
	     "namespace"},
	    {{{.name = ":other:web"}}, 1, PROFILE_ENFORCE, "this object is for"},
	    {{{.name = "web", .rename = "init"}}, 1, PROFILE_ENFORCE, "renames"},
	    {{{.name = "web"}, {.name = "db//kid"}}, 2, PROFILE_ENFORCE, "not its parent"},
	    {{{.name = "web"}, {.name = "web//a//b"}}, 2, PROFILE_ENFORCE, "not its parent"},
	    {{{.name = "web"}, {.name = "web//a"}, {.name = "web//a"}},
	     3,
	     PROFILE_ENFORCE,
	     "twice"},
	    {{{.name = "web"}, {.name = "web//"}}, 2, PROFILE_ENFORCE, "something else"},
	    {{{.name = "web"}, {.name = "web//&x"}}, 2, PROFILE_ENFORCE, "something else"},
	    {{{.name = "web"}, {.name = "web//:x"}}, 2, PROFILE_ENFORCE, "something else"},
	    {{{.name = "web"}, {.name = "web//x "}}, 2, PROFILE_ENFORCE, "\"web//x \" ends in a"},
	    {{{.name = "web"}, {.name = "web//voil\xc3\xa0"}},
	     2,
	     PROFILE_ENFORCE,
	     "another character"},
	    {{{.name = "web"}, {.name = "web//x "}, {.name = "web//x //y"}},
	     3,
	     PROFILE_ENFORCE,
	     "\"web//x \" ends in a"},
	    {{{.name = "web"}, {.name = "web//\xc3\xa0 la carte"}}, 2, PROFILE_ENFORCE, NULL},
	    {{{.name = "web"}, {.name = "web// x"}}, 2, PROFILE_ENFORCE, NULL},
	    {{{.name = "web"}, {.name = "web//caf\xc3\xa9"}}, 2, PROFILE_ENFORCE, NULL},
	    {{{.name = "web"}, {.name = "web//a\nb"}}, 2, PROFILE_ENFORCE, "control character"},
	    {{{.name = "web"}, {.name = "web//\xff"}}, 2, PROFILE_ENFORCE, "UTF-8"},
	    {{{.name = "web", .mode = POLICY_BLOB_COMPLAIN}}, 1, PROFILE_ENFORCE, "spec.mode"},
	    {{{.name = "web", .version = 0x202807}}, 1, PROFILE_ENFORCE, "spec.mode"},
	    {{{.name = "web"}, {.name = "web//a", .mode = POLICY_BLOB_COMPLAIN}},
	     2,
	     PROFILE_ENFORCE,
	     "spec.mode"},
	    {{{.name = "web"}}, 1, PROFILE_COMPLAIN, "not compiled for complain"},
	    {{{.name = "web", .mode = POLICY_BLOB_UNCONFINED}}, 1, PROFILE_ENFORCE, "unconfined"},
	    {{{.name = "web", .version = 0x202807, .mode = POLICY_BLOB_UNCONFINED}},
	     1,
	     PROFILE_COMPLAIN,
	     "unconfined"},
	    {{{.name = "web", .mode = POLICY_BLOB_PROMPT}}, 1, PROFILE_ENFORCE, "prompt"},
	    {{{.name = "web", .mode = 77}}, 1, PROFILE_ENFORCE, "not known"},
	};
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r = judge(cases[i].made, cases[i].n, "web", cases[i].mode, &err);

		if (!cases[i].word && r != 0)
			fail_msg("%s", err.msg);
		if (cases[i].word && (r != -EPERM || !strstr(err.msg, cases[i].word)))
			fail_msg("case %zu, \"%s\": %s", i, cases[i].word, r ? err.msg : "passed");
	}
}

static void with_no_name_wanted_the_name_must_still_be_allowed(void **state)
{
	static const struct made made[] = {{.name = "docker-default"}, {.name = "a b"}};
	struct err err;

	(void)state;
	assert_int_equal(judge(&made[0], 1, NULL, PROFILE_ENFORCE, &err), -EPERM);
	assert_int_equal(judge(&made[1], 1, NULL, PROFILE_ENFORCE, &err), -EPERM);
}

static void a_long_child_name_is_refused(void **state)
{
	char one[210] = "web//", both[512];
	struct made made[3] = {{.name = "web"}, {.name = one}, {.name = both}};
	struct err err;

	(void)state;
	memset(one + 5, 'a', 201);
	one[206] = '\0';
	assert_int_equal(judge(made, 2, "web", PROFILE_ENFORCE, &err), -EPERM);
	one[205] = '\0';
	assert_int_equal(judge(made, 2, "web", PROFILE_ENFORCE, &err), 0);
	snprintf(both, sizeof(both), "%s//%046d", one, 7);
	assert_int_equal(strlen(both), 253);
	assert_int_equal(judge(made, 3, "web", PROFILE_ENFORCE, &err), -EPERM);
	both[252] = '\0';
	assert_int_equal(judge(made, 3, "web", PROFILE_ENFORCE, &err), 0);
}

static void what_goes_beyond_a_ceiling_is_refused(void **state)
{
	CLEANUP(mem_freep) char *big = mem_alloc(POLICY_BLOB_MAX + 1, 1);
	struct buf b = BUF_INIT(1 << 20);
	struct made made = {.name = "web"};
	struct policy_blob blob;
	struct err err;
	int i;

	(void)state;
	assert_int_equal(policy_blob_parse(big, POLICY_BLOB_MAX + 1, &blob, &err), -EINVAL);
	for (i = 0; i <= POLICY_BLOB_PROFILES_MAX; i++)
		add_profile(&b, &made);
	assert_int_equal(policy_blob_parse(b.data, b.len, &blob, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "more than 512"));
	buf_clear(&b);
	/* Nothing but beginnings. */
	add_profile(&b, &made);
	b.len--;
	for (i = 0; i < 100; i++)
		buf_add(&b, "\x07", 1);
	assert_int_equal(policy_blob_parse(b.data, b.len, &blob, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "deeply"));
	buf_clear(&b);
}

static void a_later_profile_takes_over_the_version_word(void **state)
{
	struct buf b = BUF_INIT(4096);
	const struct made made = {.name = "web", .version = 0x202807};
	struct policy_blob blob;
	struct err err;
	size_t first, head;

	(void)state;
	add_profile(&b, &made);
	first = b.len;
	add_profile(&b, &made);
	head = 3 + sizeof("version") + 5;
	memmove(b.data + first, b.data + first + head, b.len - first - head);
	b.len -= head;
	assert_int_equal(policy_blob_parse(b.data, b.len, &blob, &err), 0);
	assert_int_equal(blob.profiles[1].version, 0x202807);
	assert_string_equal(blob.profiles[0].sha256, blob.profiles[1].sha256);
	policy_blob_clear(&blob);
	buf_clear(&b);
}

static void try_bytes(const char *bytes, size_t n)
{
	/* Memory of exactly this size, so that a sanitizer sees what reads too far. */
	CLEANUP(mem_freep) char *copy = mem_alloc(n ? n : 1, 1);
	struct policy_blob blob;
	struct err err = {0};

	memcpy(copy, bytes, n);
	if (policy_blob_parse(copy, n, &blob, &err) == 0) {
		policy_blob_check(&blob, "web3", PROFILE_ENFORCE, &err);
		policy_blob_clear(&blob);
	} else {
		assert_true(err.msg[0] != '\0');
	}
}

static void a_truncated_blob_never_parses_and_never_crashes(void **state)
{
	struct policy_blob blob;
	struct buf b;
	struct err err;
	size_t n, n_whole = 0;

	(void)state;
	read_data("enforce-3.0.8.blob", &b);
	for (n = 1; n < b.len; n++) {
		try_bytes(b.data, n);
		if (policy_blob_parse(b.data, n, &blob, &err) == 0) {
			n_whole++;
			policy_blob_clear(&blob);
		}
	}
	assert_int_equal(n_whole, 2); /* where the first and the second of three profiles end */
	buf_clear(&b);
}

static void any_byte_may_be_another_and_nothing_crashes(void **state)
{
	static const uint8_t flips[] = {0x01, 0x80, 0xff};
	struct buf b;
	size_t i, f;

	(void)state;
	read_data("enforce-3.0.8.blob", &b);
	/* Most of a policy are its tables, which are passed over as a whole. */
	for (i = 0; i < b.len; i += b.data[i] || i < 64 ? 1 : 3)
		for (f = 0; f < sizeof(flips); f++) {
			b.data[i] = (char)(b.data[i] ^ (char)flips[f]);
			try_bytes(b.data, b.len);
			b.data[i] = (char)(b.data[i] ^ (char)flips[f]);
		}
	buf_clear(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_kernels_own_hashes_are_known_ahead),
	    cmocka_unit_test(what_the_parser_made_passes_in_its_mode_alone),
	    cmocka_unit_test(what_could_confine_the_host_is_refused),
	    cmocka_unit_test(with_no_name_wanted_the_name_must_still_be_allowed),
	    cmocka_unit_test(a_long_child_name_is_refused),
	    cmocka_unit_test(what_goes_beyond_a_ceiling_is_refused),
	    cmocka_unit_test(a_later_profile_takes_over_the_version_word),
	    cmocka_unit_test(a_truncated_blob_never_parses_and_never_crashes),
	    cmocka_unit_test(any_byte_may_be_another_and_nothing_crashes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
