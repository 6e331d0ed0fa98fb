#include "kube/token.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];

static void put(const char *text)
{
	struct err err;

	assert_int_equal(file_write_atomic(path, text, strlen(text), 0600, &err), 0);
}

static int make_file(void **state)
{
	int fd;

	(void)state;
	strcpy(path, "/tmp/hauberk-token-XXXXXX");
	fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

static void a_fixed_token_stays(void **state)
{
	struct token token;
	struct err err;

	(void)state;
	assert_int_equal(token_init(&token, NULL, "abc", 0, &err), 0);
	assert_string_equal(token_get(&token, 10L * TOKEN_LOOK_MS), "abc");
	assert_false(token_look(&token, 10L * TOKEN_LOOK_MS));
	token_clear(&token);
	assert_int_equal(token_init(&token, NULL, NULL, 0, &err), 0);
	assert_null(token_get(&token, 0));
	token_clear(&token);
}

static void a_file_is_looked_at_once_a_minute(void **state)
{
	struct token token;
	struct err err;

	(void)state;
	put("one\n");
	assert_int_equal(token_init(&token, path, "ignored", 5, &err), 0);
	assert_string_equal(token_get(&token, 5), "one");
	put("two\n");
	assert_string_equal(token_get(&token, 5 + TOKEN_LOOK_MS - 1), "one");
	assert_string_equal(token_get(&token, 5 + TOKEN_LOOK_MS), "two");
	put("three");
	assert_string_equal(token_get(&token, 5 + 2 * TOKEN_LOOK_MS - 1), "two");
	token_clear(&token);
}

static void a_refusal_makes_us_look_at_once(void **state)
{
	struct token token;
	struct err err;

	(void)state;
	put("one");
	assert_int_equal(token_init(&token, path, NULL, 0, &err), 0);
	assert_false(token_look(&token, 1));
	put("two");
	assert_true(token_look(&token, 2));
	assert_false(token_look(&token, 3));
	assert_string_equal(token_get(&token, 3), "two");
	token_clear(&token);
}

static void a_file_that_makes_no_sense_leaves_the_old_token(void **state)
{
	static const char *const texts[] = {"", "\n", "two\nlines", "a b", "caf\xc3\xa9", "\x01"};
	struct token token;
	struct err err;
	size_t i;

	(void)state;
	put("one");
	assert_int_equal(token_init(&token, path, NULL, 0, &err), 0);
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct token other;

		put(texts[i]);
		assert_false(token_look(&token, 0));
		assert_string_equal(token_get(&token, 0), "one");
		assert_int_equal(token_init(&other, path, NULL, 0, &err), -EINVAL);
		token_clear(&other);
	}
	token_clear(&token);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_fixed_token_stays),
	    cmocka_unit_test(a_file_is_looked_at_once_a_minute),
	    cmocka_unit_test(a_refusal_makes_us_look_at_once),
	    cmocka_unit_test(a_file_that_makes_no_sense_leaves_the_old_token),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
