#include "base/sha.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void digests_are_those_of_the_standard(void **state)
{
	static const struct sha_part abc = {"abc", 3};
	char out[SHA256_HEX];

	(void)state;
	/* FIPS 180-4, examples. */
	sha_hex(SHA_1, &abc, 1, out);
	assert_string_equal(out, "a9993e364706816aba3e25717850c26c9cd0d89d");
	sha256_hex("abc", 3, out);
	assert_string_equal(out,
			    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_hex("", 0, out);
	assert_string_equal(out,
			    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void parts_count_as_one_text(void **state)
{
	static const struct sha_part parts[] = {{"a", 1}, {"", 0}, {"bc", 2}};
	char whole[SHA256_HEX], pieces[SHA256_HEX];

	(void)state;
	sha256_hex("abc", 3, whole);
	sha_hex(SHA_256, parts, 3, pieces);
	assert_string_equal(whole, pieces);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(digests_are_those_of_the_standard),
	    cmocka_unit_test(parts_count_as_one_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
