#include "net/tls.h"

#include "base/mem.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW_MS INT64_C(1800000000000)
#define DAY_MS INT64_C(86400000)

static const char *const names[] = {"hauberk-controller.hauberk.svc",
				    "hauberk-controller.hauberk.svc.cluster.local", NULL};

struct fixture {
	struct tls_pair ca, other_ca, leaf;
};

static int set_up(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);
	struct err err;

	assert_int_equal(tls_make_ca("hauberk", NOW_MS, 365, &f->ca, &err), 0);
	assert_int_equal(tls_make_ca("hauberk", NOW_MS, 365, &f->other_ca, &err), 0);
	assert_int_equal(tls_make_leaf(&f->ca, names, NOW_MS, 90, &f->leaf, &err), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	tls_pair_clear(&f->ca);
	tls_pair_clear(&f->other_ca);
	tls_pair_clear(&f->leaf);
	free(f);
	return 0;
}

static X509 *parse(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);

	BIO_free(bio);
	assert_non_null(cert);
	return cert;
}

/* As a peer does: the whole chain, the purpose, the name and the time. */
static bool verifies(const char *ca_pem, const char *leaf_pem, const char *name, int64_t now_ms)
{
	X509 *ca = parse(ca_pem), *leaf = parse(leaf_pem);
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *param;
	bool ok;

	X509_STORE_add_cert(store, ca);
	X509_STORE_CTX_init(ctx, store, leaf, NULL);
	param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
	X509_VERIFY_PARAM_set1_host(param, name, 0);
	X509_VERIFY_PARAM_set_time(param, (time_t)(now_ms / 1000));
	ok = X509_verify_cert(ctx) == 1;
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	X509_free(leaf);
	X509_free(ca);
	return ok;
}

static void a_leaf_is_trusted_for_its_names_in_its_time(void **state)
{
	const struct fixture *f = *state;

	assert_true(verifies(f->ca.cert_pem, f->leaf.cert_pem, names[0], NOW_MS));
	assert_true(verifies(f->ca.cert_pem, f->leaf.cert_pem, names[1], NOW_MS + 89 * DAY_MS));
	assert_true(verifies(f->ca.cert_pem, f->leaf.cert_pem, names[0], NOW_MS - 200000));
	assert_false(verifies(f->ca.cert_pem, f->leaf.cert_pem, "elsewhere.svc", NOW_MS));
	assert_false(verifies(f->ca.cert_pem, f->leaf.cert_pem, names[0], NOW_MS + 91 * DAY_MS));
	assert_false(verifies(f->ca.cert_pem, f->leaf.cert_pem, names[0], NOW_MS - 400000));
	assert_false(verifies(f->other_ca.cert_pem, f->leaf.cert_pem, names[0], NOW_MS));
}

static void a_leaf_cannot_sign(void **state)
{
	const struct fixture *f = *state;
	struct tls_pair below = {0};
	struct err err;

	assert_int_equal(tls_make_leaf(&f->leaf, names, NOW_MS, 1, &below, &err), 0);
	assert_false(verifies(f->leaf.cert_pem, below.cert_pem, names[0], NOW_MS));
	assert_false(tls_leaf_fits(f->leaf.cert_pem, below.cert_pem, below.key_pem, names[0]));
	tls_pair_clear(&below);
}

static void what_a_certificate_may_be_used_for_is_in_it(void **state)
{
	const struct fixture *f = *state;
	X509 *ca = parse(f->ca.cert_pem), *leaf = parse(f->leaf.cert_pem);

	assert_int_equal(X509_check_ca(ca), 1);
	assert_int_equal(X509_get_key_usage(ca), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
	assert_int_equal(X509_get_pathlen(ca), 0);
	assert_int_equal(X509_check_ca(leaf), 0);
	assert_int_equal(X509_get_key_usage(leaf), KU_DIGITAL_SIGNATURE);
	assert_int_equal(X509_get_extended_key_usage(leaf), XKU_SSL_SERVER);
	assert_non_null(X509_get0_authority_key_id(leaf));
	assert_int_equal(
	    ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(leaf), X509_get0_subject_key_id(ca)),
	    0);
	X509_free(ca);
	X509_free(leaf);
}

static void no_two_certificates_share_a_serial(void **state)
{
	const struct fixture *f = *state;
	X509 *a = parse(f->ca.cert_pem), *b = parse(f->other_ca.cert_pem);

	assert_int_not_equal(ASN1_INTEGER_cmp(X509_get0_serialNumber(a), X509_get0_serialNumber(b)),
			     0);
	X509_free(a);
	X509_free(b);
}

static void a_leaf_does_not_outlive_its_ca(void **state)
{
	const struct fixture *f = *state;
	int64_t ca_ms = 0, leaf_ms = 0;
	struct tls_pair leaf = {0};
	struct err err;

	assert_int_equal(tls_make_leaf(&f->ca, names, NOW_MS, 1000, &leaf, &err), 0);
	assert_int_equal(tls_not_after(f->ca.cert_pem, &ca_ms, &err), 0);
	assert_int_equal(tls_not_after(leaf.cert_pem, &leaf_ms, &err), 0);
	assert_int_equal(ca_ms, NOW_MS + 365 * DAY_MS);
	assert_int_equal(leaf_ms, ca_ms);
	tls_pair_clear(&leaf);
}

static void a_long_name_makes_no_subject(void **state)
{
	static const char long_name[] = "a-controller-with-a-name-that-is-rather-long."
					"in-a-namespace-with-one-that-is-longer-still.svc";
	const char *const long_names[] = {long_name, NULL};
	const struct fixture *f = *state;
	struct tls_pair leaf = {0};
	struct err err;

	assert_int_equal(tls_make_leaf(&f->ca, long_names, NOW_MS, 90, &leaf, &err), 0);
	assert_true(verifies(f->ca.cert_pem, leaf.cert_pem, long_name, NOW_MS));
	tls_pair_clear(&leaf);
}

/* OpenSSL's configuration text would read some of these as more than a name. */
static void a_name_that_is_none_is_refused(void **state)
{
	static const char *const bad[] = {"",     "a,DNS:b",    "a b", "*.svc",
					  "a\nb", "copy:all=1", "@x"};
	const struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		const char *const list[] = {names[0], bad[i], NULL};
		struct tls_pair leaf = {0};
		struct err err;

		assert_int_equal(tls_make_leaf(&f->ca, list, NOW_MS, 90, &leaf, &err), -EINVAL);
		assert_null(leaf.cert_pem);
	}
}

static void no_name_at_all_is_refused(void **state)
{
	const struct fixture *f = *state;
	const char *const none[] = {NULL};
	struct tls_pair leaf = {0};
	struct err err;

	assert_int_equal(tls_make_leaf(&f->ca, none, NOW_MS, 90, &leaf, &err), -EINVAL);
}

static void a_leaf_fits_one_of_several_cas(void **state)
{
	const struct fixture *f = *state;
	const char *leaf = f->leaf.cert_pem, *key = f->leaf.key_pem;
	CLEANUP(mem_freep) char *both = mem_printf("%s%s", f->other_ca.cert_pem, f->ca.cert_pem);

	assert_true(tls_leaf_fits(both, leaf, key, names[0]));
	assert_true(tls_leaf_fits(f->ca.cert_pem, leaf, key, names[1]));
	assert_false(tls_leaf_fits(f->other_ca.cert_pem, leaf, key, names[0]));
	assert_false(tls_leaf_fits(both, leaf, f->ca.key_pem, names[0]));
	assert_false(tls_leaf_fits(both, leaf, key, "elsewhere.svc"));
	assert_false(tls_leaf_fits("", leaf, key, names[0]));
	assert_false(tls_leaf_fits(both, "", key, names[0]));
	assert_false(tls_leaf_fits(both, leaf, "", names[0]));
}

static void text_that_is_no_certificate_is_an_error_in_words(void **state)
{
	const struct fixture *f = *state;
	const struct tls_pair bad = {.cert_pem = f->ca.cert_pem, .key_pem = f->ca.cert_pem};
	struct tls_pair leaf = {0};
	int64_t ms = 7;
	struct err err;

	assert_int_equal(tls_not_after("nonsense", &ms, &err), -EINVAL);
	assert_int_equal(ms, 7);
	assert_non_null(strstr(err.msg, "cannot read the certificate"));
	assert_int_equal(tls_make_leaf(&bad, names, NOW_MS, 90, &leaf, &err), -EINVAL);
	assert_int_equal(tls_check("nonsense", NULL, &err), -EINVAL);
	assert_int_equal(tls_check(f->ca.cert_pem, "nonsense", &err), -EINVAL);
	assert_int_equal(tls_check(f->ca.cert_pem, f->leaf.key_pem, &err), -EINVAL);
	assert_int_equal(tls_check(f->ca.cert_pem, NULL, &err), 0);
	assert_int_equal(tls_check(f->ca.cert_pem, f->ca.key_pem, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_leaf_is_trusted_for_its_names_in_its_time),
	    cmocka_unit_test(a_leaf_cannot_sign),
	    cmocka_unit_test(what_a_certificate_may_be_used_for_is_in_it),
	    cmocka_unit_test(no_two_certificates_share_a_serial),
	    cmocka_unit_test(a_leaf_does_not_outlive_its_ca),
	    cmocka_unit_test(a_long_name_makes_no_subject),
	    cmocka_unit_test(a_name_that_is_none_is_refused),
	    cmocka_unit_test(no_name_at_all_is_refused),
	    cmocka_unit_test(a_leaf_fits_one_of_several_cas),
	    cmocka_unit_test(text_that_is_no_certificate_is_an_error_in_words),
	};

	return cmocka_run_group_tests_name("tls", tests, set_up, tear_down);
}
