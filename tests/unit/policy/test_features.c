#include "policy/features.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void the_built_in_sets_are_there_and_well_formed(void **state)
{
	const struct features *f;
	struct err err;
	char hash[SHA256_HEX];
	size_t i;

	(void)state;
	for (i = 0; (f = features_builtin_at(i)); i++) {
		assert_int_equal(features_check(f->text, f->n, &err), 0);
		features_hash(f->text, f->n, hash);
		assert_string_equal(hash, f->hash);
	}
	assert_int_equal(i, 2);
	assert_string_equal(features_builtin("6.1")->release, "6.1");
	assert_non_null(strstr(features_builtin("6.12")->text, "userns_create"));
	assert_null(strstr(features_builtin("6.1")->text, "userns_create"));
	assert_null(features_builtin("6.13"));
}

static void what_fits_the_grammar_passes(void **state)
{
	static const char *const texts[] = {
	    "a {}\n",
	    "a {yes\n}\n",
	    "a {b {yes\n}\nc {0x10\n}\n}\nd {no\n}\n",
	    "a {b {}\n}\n",
	    "disconnected.path {yes\n}\n",
	};
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (features_check(texts[i], strlen(texts[i]), &err) < 0)
			fail_msg("%s: %s", texts[i], err.msg);
}

static void what_does_not_is_refused_with_its_line(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		const char *word;
	} cases[] = {
#define CASE(text_, word_) {text_, sizeof(text_) - 1, word_}
	    CASE("", "line 1"),
	    CASE("\n", "line 1"),
	    CASE("a", "line 1"),
	    CASE("a {", "line 1"),
	    CASE("a {yes\n", "line 2"),
	    CASE("a {yes\n}", "line 2"),
	    CASE("a {yes\n}\nb", "line 3"),
	    CASE("a{yes\n}\n", "line 1"),
	    CASE("a {yes\n\n}\n", "line 2"),
	    CASE("a {yes\nno\n}\n", "line 2"),
	    CASE("a {y\0s\n}\n", "line 1"),
	    CASE("\0 {yes\n}\n", "line 1"),
	    CASE("a {y\xc3\xa9s\n}\n", "line 1"),
	    CASE("a {y\ts\n}\n", "line 1"),
	    CASE("a {yes}\n}\n", "line 2"),
	    CASE("a {b {yes\n}\nz\n}\n", "line 3"),
	    CASE("a {yes\n}\na {no\n}\n", "twice"),
	    CASE("x {a {yes\n}\nb {no\n}\na {no\n}\n}\n", "twice"),
	    CASE("../a {yes\n}\n", "line 1"),
	    CASE("a {yes\n}\n}\n", "line 3"),
	    CASE("a {b {c {d {e {f {g {h {i {yes\n}\n}\n}\n}\n}\n}\n}\n}\n}\n", "deeply"),
#undef CASE
	};
	struct err err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (features_check(cases[i].text, cases[i].n, &err) != -EINVAL ||
		    !strstr(err.msg, cases[i].word))
			fail_msg("%s: %s", cases[i].text, err.msg);
	}
}

/* One file of as much content as makes the set `n` bytes long. */
static int check_set_of(size_t n, struct err *err)
{
	CLEANUP(mem_freep) char *content = mem_alloc(n, 1);
	CLEANUP(mem_freep) char *text = NULL;

	memset(content, 'a', n - sizeof("a {\n}\n") + 1);
	text = mem_printf("a {%s\n}\n", content);
	assert_int_equal(strlen(text), n);
	return features_check(text, n, err);
}

static void nine_kibibytes_are_refused(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(check_set_of(FEATURES_MAX, &err), 0);
	assert_int_equal(check_set_of(FEATURES_MAX + 1, &err), -EINVAL);
	assert_int_equal(check_set_of(9216, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "9216 bytes"));
}

static void each_byte_of_a_set_may_be_another_and_nothing_breaks(void **state)
{
	const struct features *f = features_builtin("6.12");
	CLEANUP(mem_freep) char *text = mem_strndup(f->text, f->n);
	struct err err;
	size_t i, n;

	(void)state;
	for (i = 0; i < f->n; i++) {
		text[i] = (char)(text[i] ^ 0x81);
		features_check(text, f->n, &err);
		text[i] = '{';
		features_check(text, f->n, &err);
		text[i] = f->text[i];
	}
	for (n = 0; n < f->n; n++) {
		CLEANUP(mem_freep) char *part = mem_alloc(n + 1, 1);

		/* No NUL behind it, so that a sanitizer sees what reads too far. */
		part = mem_resize(part, n ? n : 1, 1);
		memcpy(part, f->text, n);
		features_check(part, n, &err);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_built_in_sets_are_there_and_well_formed),
	    cmocka_unit_test(what_fits_the_grammar_passes),
	    cmocka_unit_test(what_does_not_is_refused_with_its_line),
	    cmocka_unit_test(nine_kibibytes_are_refused),
	    cmocka_unit_test(each_byte_of_a_set_may_be_another_and_nothing_breaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
