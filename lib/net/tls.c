#include "net/tls.h"

#include "base/mem.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * OpenSSL keeps its errors in a queue of the thread, where one that nobody took makes a later TLS
 * call fail for no reason. So each function here leaves the queue empty.
 */

enum {
	TLS_SERIAL_BYTES = 16,
	TLS_KEY_ID_BYTES = 20,
	TLS_COMMON_NAME_MAX = 64, /* RFC 5280, ub-common-name */
	TLS_DNS_NAME_MAX = 253,
	TLS_BACKDATE_S = 300, /* clocks differ */
	TLS_DAY_S = 86400,
};

/* Bits of KeyUsage, RFC 5280, 4.2.1.3 */
enum { TLS_DIGITAL_SIGNATURE = 0, TLS_KEY_CERT_SIGN = 5, TLS_CRL_SIGN = 6 };

static void tls_free_cert(X509 **cert)
{
	X509_free(*cert);
}

static void tls_free_key(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

static void tls_free_bio(BIO **bio)
{
	BIO_free(*bio);
}

static void tls_clear_errors(const int *unused)
{
	(void)unused;
	ERR_clear_error();
}

/* At the start of each public function. */
#define TLS_CLEAR_ERRORS CLEANUP(tls_clear_errors) __attribute__((unused)) int tls_errors = 0

static int tls_fail(struct err *err, const char *what)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	return err_set(err, -EINVAL, "%s: %s", what, reason ? reason : "OpenSSL does not say why");
}

static X509 *tls_read_cert(BIO *bio)
{
	return PEM_read_bio_X509(bio, NULL, NULL, NULL);
}

static X509 *tls_parse_cert(const char *pem)
{
	CLEANUP(tls_free_bio) BIO *bio = BIO_new_mem_buf(pem, -1);

	return bio ? tls_read_cert(bio) : NULL;
}

/* Never asks a terminal for a passphrase, as the default callback would. */
static int tls_no_passphrase(char *buf, int size, int writing, void *data)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)data;
	return -1;
}

static EVP_PKEY *tls_parse_key(const char *pem)
{
	CLEANUP(tls_free_bio) BIO *bio = BIO_new_mem_buf(pem, -1);

	return bio ? PEM_read_bio_PrivateKey(bio, NULL, tls_no_passphrase, NULL) : NULL;
}

static char *tls_bio_text(BIO *bio)
{
	char *bytes;
	long n = BIO_get_mem_data(bio, &bytes);

	return mem_strndup(bytes, (size_t)n);
}

static bool tls_set_serial(X509 *cert)
{
	unsigned char bytes[TLS_SERIAL_BYTES];
	BIGNUM *number;
	bool ok;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	number = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
	BN_free(number);
	return ok;
}

static bool tls_set_times(X509 *cert, int64_t now_ms, int days)
{
	time_t now_s = (time_t)(now_ms / 1000);

	return ASN1_TIME_set(X509_getm_notBefore(cert), now_s - TLS_BACKDATE_S) &&
	       ASN1_TIME_set(X509_getm_notAfter(cert), now_s + (time_t)days * TLS_DAY_S);
}

/* Nothing is worth more than the one that vouches for it. */
static bool tls_end_with_issuer(X509 *cert, const X509 *issuer)
{
	if (ASN1_TIME_compare(X509_get0_notAfter(cert), X509_get0_notAfter(issuer)) <= 0)
		return true;
	return X509_set1_notAfter(cert, X509_get0_notAfter(issuer)) == 1;
}

static bool tls_set_common_name(X509 *cert, const char *name)
{
	return X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), NID_commonName,
					  MBSTRING_UTF8, (const unsigned char *)name, -1, -1,
					  0) == 1;
}

static bool tls_add_key_usage(X509 *cert, const int *bits, size_t n)
{
	ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
	bool ok = usage;

	for (size_t i = 0; ok && i < n; i++)
		ok = ASN1_BIT_STRING_set_bit(usage, bits[i], 1);
	ok = ok && X509_add1_ext_i2d(cert, NID_key_usage, usage, 1, X509V3_ADD_DEFAULT) == 1;
	ASN1_BIT_STRING_free(usage);
	return ok;
}

static bool tls_add_basic_constraints(X509 *cert, bool is_ca)
{
	BASIC_CONSTRAINTS *limits = BASIC_CONSTRAINTS_new();
	bool ok = limits;

	if (ok && is_ca) {
		limits->ca = 0xff;
		limits->pathlen = ASN1_INTEGER_new();
		ok = limits->pathlen && ASN1_INTEGER_set(limits->pathlen, 0);
	}
	ok = ok &&
	     X509_add1_ext_i2d(cert, NID_basic_constraints, limits, 1, X509V3_ADD_DEFAULT) == 1;
	BASIC_CONSTRAINTS_free(limits);
	return ok;
}

static bool tls_add_server_auth(X509 *cert)
{
	EXTENDED_KEY_USAGE *usage = EXTENDED_KEY_USAGE_new();
	bool ok = usage && sk_ASN1_OBJECT_push(usage, OBJ_nid2obj(NID_server_auth)) > 0 &&
		  X509_add1_ext_i2d(cert, NID_ext_key_usage, usage, 0, X509V3_ADD_DEFAULT) == 1;

	EXTENDED_KEY_USAGE_free(usage);
	return ok;
}

/* RFC 7093: the first 160 bits of the SHA-256 of the key. */
static bool tls_add_key_id(X509 *cert)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();
	unsigned int n = 0;
	bool ok =
	    id && X509_pubkey_digest(cert, EVP_sha256(), digest, &n) == 1 &&
	    ASN1_OCTET_STRING_set(id, digest, TLS_KEY_ID_BYTES) == 1 &&
	    X509_add1_ext_i2d(cert, NID_subject_key_identifier, id, 0, X509V3_ADD_DEFAULT) == 1;

	ASN1_OCTET_STRING_free(id);
	return ok;
}

/* What tells two CAs of one name apart while one takes over from the other.
 * (X509_get0_subject_key_id() would note down what it sees in a certificate that is not complete.)
 */
static bool tls_add_issuer_key_id(X509 *cert, const X509 *issuer)
{
	AUTHORITY_KEYID *id = AUTHORITY_KEYID_new();
	bool ok = id;

	if (ok)
		id->keyid = X509_get_ext_d2i(issuer, NID_subject_key_identifier, NULL, NULL);
	ok = ok && id->keyid &&
	     X509_add1_ext_i2d(cert, NID_authority_key_identifier, id, 0, X509V3_ADD_DEFAULT) == 1;
	AUTHORITY_KEYID_free(id);
	return ok;
}

static bool tls_add_dns_name(GENERAL_NAMES *names, const char *text)
{
	ASN1_IA5STRING *value = ASN1_IA5STRING_new();
	GENERAL_NAME *name = GENERAL_NAME_new();

	if (!value || !name || ASN1_STRING_set(value, text, -1) != 1 ||
	    sk_GENERAL_NAME_push(names, name) <= 0) {
		ASN1_IA5STRING_free(value);
		GENERAL_NAME_free(name);
		return false;
	}
	GENERAL_NAME_set0_value(name, GEN_DNS, value);
	return true;
}

static bool tls_add_dns_names(X509 *cert, const char *const *texts, bool critical)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	bool ok = names;

	for (; ok && *texts; texts++)
		ok = tls_add_dns_name(names, *texts);
	ok = ok && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, critical,
				     X509V3_ADD_DEFAULT) == 1;
	GENERAL_NAMES_free(names);
	return ok;
}

static bool tls_is_dns_name(const char *text)
{
	size_t n = strlen(text);

	return n > 0 && n <= TLS_DNS_NAME_MAX &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") ==
		   n;
}

static int tls_write_pair(X509 *cert, EVP_PKEY *key, struct tls_pair *ret, struct err *err)
{
	CLEANUP(tls_free_bio) BIO *cert_text = BIO_new(BIO_s_mem());
	CLEANUP(tls_free_bio) BIO *key_text = BIO_new(BIO_s_secmem());

	if (!cert_text || !key_text || PEM_write_bio_X509(cert_text, cert) != 1 ||
	    PEM_write_bio_PrivateKey(key_text, key, NULL, NULL, 0, NULL, NULL) != 1)
		return tls_fail(err, "cannot write a certificate");
	ret->cert_pem = tls_bio_text(cert_text);
	ret->key_pem = tls_bio_text(key_text);
	return 0;
}

/* What both kinds have in common. */
static X509 *tls_begin(EVP_PKEY *key, int64_t now_ms, int days)
{
	X509 *cert = X509_new();

	if (cert && key && X509_set_version(cert, X509_VERSION_3) == 1 && tls_set_serial(cert) &&
	    tls_set_times(cert, now_ms, days) && X509_set_pubkey(cert, key) == 1 &&
	    tls_add_key_id(cert))
		return cert;
	X509_free(cert);
	return NULL;
}

int tls_make_ca(const char *common_name, int64_t now_ms, int days, struct tls_pair *ret,
		struct err *err)
{
	static const int usage[] = {TLS_KEY_CERT_SIGN, TLS_CRL_SIGN};
	TLS_CLEAR_ERRORS;
	CLEANUP(tls_free_key) EVP_PKEY *key = EVP_EC_gen("P-256");
	CLEANUP(tls_free_cert) X509 *cert = tls_begin(key, now_ms, days);

	if (!cert || !tls_set_common_name(cert, common_name) ||
	    X509_set_issuer_name(cert, X509_get_subject_name(cert)) != 1 ||
	    !tls_add_basic_constraints(cert, true) || !tls_add_key_usage(cert, usage, 2) ||
	    !tls_add_issuer_key_id(cert, cert) || X509_sign(cert, key, EVP_sha256()) <= 0)
		return tls_fail(err, "cannot make a CA");
	return tls_write_pair(cert, key, ret, err);
}

static bool tls_sign_leaf(X509 *cert, X509 *issuer, EVP_PKEY *issuer_key,
			  const char *const *dns_names)
{
	static const int usage[] = {TLS_DIGITAL_SIGNATURE};
	bool has_subject = strlen(dns_names[0]) <= TLS_COMMON_NAME_MAX;

	/* RFC 5280, 4.2.1.6: without a subject the names are critical. */
	return (!has_subject || tls_set_common_name(cert, dns_names[0])) &&
	       X509_set_issuer_name(cert, X509_get_subject_name(issuer)) == 1 &&
	       tls_end_with_issuer(cert, issuer) && tls_add_basic_constraints(cert, false) &&
	       tls_add_key_usage(cert, usage, 1) && tls_add_server_auth(cert) &&
	       tls_add_dns_names(cert, dns_names, !has_subject) &&
	       tls_add_issuer_key_id(cert, issuer) && X509_sign(cert, issuer_key, EVP_sha256()) > 0;
}

int tls_make_leaf(const struct tls_pair *ca, const char *const *dns_names, int64_t now_ms, int days,
		  struct tls_pair *ret, struct err *err)
{
	TLS_CLEAR_ERRORS;
	CLEANUP(tls_free_cert) X509 *issuer = tls_parse_cert(ca->cert_pem);
	CLEANUP(tls_free_key) EVP_PKEY *issuer_key = tls_parse_key(ca->key_pem);
	CLEANUP(tls_free_key) EVP_PKEY *key = EVP_EC_gen("P-256");
	CLEANUP(tls_free_cert) X509 *cert = tls_begin(key, now_ms, days);

	if (!issuer || !issuer_key)
		return tls_fail(err, "cannot read the CA");
	if (!dns_names[0])
		return err_set(err, -EINVAL, "a serving certificate needs a name");
	for (const char *const *name = dns_names; *name; name++) {
		if (!tls_is_dns_name(*name))
			return err_set(err, -EINVAL, "\"%.80s\" is not a DNS name", *name);
	}
	if (!cert || !tls_sign_leaf(cert, issuer, issuer_key, dns_names))
		return tls_fail(err, "cannot make a serving certificate");
	return tls_write_pair(cert, key, ret, err);
}

int tls_not_after(const char *cert_pem, int64_t *ret_ms, struct err *err)
{
	TLS_CLEAR_ERRORS;
	CLEANUP(tls_free_cert) X509 *cert = tls_parse_cert(cert_pem);
	struct tm tm;

	if (!cert || ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1)
		return tls_fail(err, "cannot read the certificate");
	*ret_ms = (int64_t)timegm(&tm) * 1000;
	return 0;
}

int tls_check(const char *cert_pem, const char *key_pem, struct err *err)
{
	TLS_CLEAR_ERRORS;
	CLEANUP(tls_free_cert) X509 *cert = tls_parse_cert(cert_pem);
	CLEANUP(tls_free_key) EVP_PKEY *key = key_pem ? tls_parse_key(key_pem) : NULL;

	if (!cert)
		return tls_fail(err, "cannot read the certificate");
	if (key_pem && !key)
		return tls_fail(err, "cannot read the key");
	if (key && X509_check_private_key(cert, key) != 1)
		return err_set(err, -EINVAL, "the key is not the one of the certificate");
	return 0;
}

static bool tls_is_issued_by(X509 *cert, X509 *issuer)
{
	EVP_PKEY *key = X509_get0_pubkey(issuer);

	return X509_check_issued(issuer, cert) == X509_V_OK && key && X509_verify(cert, key) == 1;
}

bool tls_leaf_fits(const char *ca_pem, const char *leaf_pem, const char *key_pem,
		   const char *dns_name)
{
	TLS_CLEAR_ERRORS;
	CLEANUP(tls_free_cert) X509 *leaf = tls_parse_cert(leaf_pem);
	CLEANUP(tls_free_key) EVP_PKEY *key = tls_parse_key(key_pem);
	CLEANUP(tls_free_bio) BIO *cas = BIO_new_mem_buf(ca_pem, -1);
	bool fits = false;
	X509 *ca;

	if (!leaf || !key || !cas || X509_check_private_key(leaf, key) != 1 ||
	    X509_check_host(leaf, dns_name, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) != 1)
		return false;
	while (!fits && (ca = tls_read_cert(cas))) {
		fits = tls_is_issued_by(leaf, ca);
		X509_free(ca);
	}
	return fits;
}

void tls_pair_clear(struct tls_pair *pair)
{
	if (pair->key_pem)
		OPENSSL_cleanse(pair->key_pem, strlen(pair->key_pem));
	free(pair->cert_pem);
	free(pair->key_pem);
	*pair = (struct tls_pair){0};
}
