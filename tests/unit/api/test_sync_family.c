#include "api/sync_family.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct sync_hash promised[] = {
    {(char *)"web", "a1", "a2"},
    {(char *)"web//kid", "b1", "b2"},
};

static bool fits(enum profile_mode mode, struct sync_member one, struct sync_member two, size_t n)
{
	struct sync_member members[] = {one, two};
	struct sync_family family;
	char digest[SHA256_HEX];

	sync_family_expect(promised, 2, mode, &family);
	sync_family_digest(members, n, digest);
	return sync_family_fits(&family, digest);
}

#define M(...) ((struct sync_member){__VA_ARGS__})
#define WEB M("web", "a1", "enforce")
#define KID M("web//kid", "b1", "enforce")

static void what_was_promised_fits_with_either_hash_in_any_order(void **state)
{
	(void)state;
	assert_true(fits(PROFILE_ENFORCE, WEB, KID, 2));
	assert_true(fits(PROFILE_ENFORCE, KID, WEB, 2));
	assert_true(
	    fits(PROFILE_ENFORCE, M("web", "a2", "enforce"), M("web//kid", "b2", "kill"), 2));
	assert_true(
	    fits(PROFILE_COMPLAIN, M("web", "a2", "complain"), M("web//kid", "b2", "complain"), 2));
}

static void whatever_differs_does_not_fit(void **state)
{
	(void)state;
	assert_false(fits(PROFILE_ENFORCE, WEB, KID, 1));
	assert_false(fits(PROFILE_ENFORCE, WEB, WEB, 2));
	assert_false(fits(PROFILE_ENFORCE, WEB, M("web//kid", "b2", "enforce"), 2)); /* a mixture */
	assert_false(fits(PROFILE_ENFORCE, WEB, M("web//kid", "xx", "enforce"), 2));
	assert_false(fits(PROFILE_ENFORCE, WEB, M("web//kin", "b1", "enforce"), 2));
	assert_false(fits(PROFILE_ENFORCE, WEB, M("web//kid", "b1", "complain"), 2));
	assert_false(fits(PROFILE_COMPLAIN, WEB, KID, 2));
	assert_false(fits(PROFILE_ENFORCE, WEB, M("web//kid", "", "enforce"), 2));
}

static void a_hash_that_nobody_knows_is_not_expected(void **state)
{
	struct sync_hash half[] = {{(char *)"web", "", "a2"}, {(char *)"web//kid", "b1", "b2"}};
	struct sync_member members[] = {M("web", "", "enforce"), KID};
	struct sync_family family;
	char digest[SHA256_HEX];

	(void)state;
	sync_family_expect(half, 2, PROFILE_ENFORCE, &family);
	assert_string_equal(family.sha1, "");
	sync_family_digest(members, 2, digest);
	assert_false(sync_family_fits(&family, digest));
	assert_false(sync_family_fits(&family, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_promised_fits_with_either_hash_in_any_order),
	    cmocka_unit_test(whatever_differs_does_not_fit),
	    cmocka_unit_test(a_hash_that_nobody_knows_is_not_expected),
	};

	return cmocka_run_group_tests_name("sync_family", tests, NULL, NULL);
}
