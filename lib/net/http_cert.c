#include "net/http_server_priv.h"

#include "base/mem.h"

#include <gnutls/crypto.h>
#include <stdlib.h>
#include <string.h>

/*
 * GnuTLS reads the chain and the key during a handshake and does not take them over, so each
 * connection keeps a reference to the certificate that it was given: a new one may come meanwhile.
 */

enum { HTTP_MAX_CHAIN = 8 };

struct http_cert {
	unsigned int n_refs;
	unsigned int n_chain;
	gnutls_pcert_st chain[HTTP_MAX_CHAIN];
	gnutls_privkey_t key;
};

struct http_cert *http_cert_ref(struct http_cert *cert)
{
	cert->n_refs++;
	return cert;
}

void http_cert_unref(struct http_cert *cert)
{
	if (!cert || --cert->n_refs > 0)
		return;
	for (unsigned int i = 0; i < cert->n_chain; i++)
		gnutls_pcert_deinit(&cert->chain[i]);
	if (cert->key)
		gnutls_privkey_deinit(cert->key);
	free(cert);
}

static void http_cert_unrefp(struct http_cert **cert)
{
	http_cert_unref(*cert);
}

static gnutls_datum_t http_cert_datum(const char *text)
{
	return (gnutls_datum_t){.data = (unsigned char *)text, .size = (unsigned int)strlen(text)};
}

static bool http_cert_is_pair(const struct http_cert *cert)
{
	unsigned char ours[32], theirs[32];
	size_t n_ours = sizeof(ours), n_theirs = sizeof(theirs);
	gnutls_pubkey_t public;
	bool same;

	if (gnutls_pubkey_init(&public) < 0)
		return false;
	same = gnutls_pubkey_import_privkey(public, cert->key, 0, 0) == 0 &&
	       gnutls_pubkey_get_key_id(public, GNUTLS_KEYID_USE_SHA256, ours, &n_ours) == 0 &&
	       gnutls_pubkey_get_key_id(cert->chain[0].pubkey, GNUTLS_KEYID_USE_SHA256, theirs,
					&n_theirs) == 0 &&
	       n_ours == n_theirs && memcmp(ours, theirs, n_ours) == 0;
	gnutls_pubkey_deinit(public);
	return same;
}

int http_cert_new(const char *cert_pem, const char *key_pem, struct http_cert **ret,
		  struct err *err)
{
	CLEANUP(http_cert_unrefp) struct http_cert *cert = MEM_NEW(struct http_cert);
	gnutls_datum_t cert_text = http_cert_datum(cert_pem), key_text = http_cert_datum(key_pem);
	unsigned int n = HTTP_MAX_CHAIN;
	int rc;

	cert->n_refs = 1;
	rc = gnutls_pcert_list_import_x509_raw(cert->chain, &n, &cert_text, GNUTLS_X509_FMT_PEM, 0);
	if (rc < 0 || n == 0)
		return err_set(err, -EINVAL, "the certificate cannot be read: %s",
			       gnutls_strerror(rc));
	cert->n_chain = n;
	rc = gnutls_privkey_init(&cert->key);
	if (rc >= 0)
		rc = gnutls_privkey_import_x509_raw(cert->key, &key_text, GNUTLS_X509_FMT_PEM, NULL,
						    0);
	if (rc < 0)
		return err_set(err, -EINVAL, "the key of the certificate cannot be read: %s",
			       gnutls_strerror(rc));
	if (!http_cert_is_pair(cert))
		return err_set(err, -EINVAL, "the key is not the one of the certificate");
	*ret = STEAL(cert);
	return 0;
}

/* HKDF (RFC 5869) of the private key; the certificate is the salt. Of TLS 1.3 a ticket's holder
 * learns nothing: each resumption has a key exchange of its own. */
int http_cert_ticket_key(const char *cert_pem, const char *key_pem,
			 unsigned char ret[HTTP_TICKET_KEY_BYTES], struct err *err)
{
	gnutls_datum_t key = http_cert_datum(key_pem), salt = http_cert_datum(cert_pem);
	gnutls_datum_t info = http_cert_datum("hauberk session tickets");
	unsigned char secret[32];
	gnutls_datum_t prk = {secret, sizeof(secret)};
	int rc = gnutls_hkdf_extract(GNUTLS_MAC_SHA256, &key, &salt, secret);

	if (rc >= 0)
		rc = gnutls_hkdf_expand(GNUTLS_MAC_SHA256, &prk, &info, ret, HTTP_TICKET_KEY_BYTES);
	gnutls_memset(secret, 0, sizeof(secret));
	if (rc < 0)
		return err_set(err, -EIO, "cannot make a key for session tickets: %s",
			       gnutls_strerror(rc));
	return 0;
}

/* libmicrohttpd makes its connection the pointer of the session before the handshake. */
int http_cert_on_handshake(gnutls_session_t session, const gnutls_datum_t *ca_names, int n_ca_names,
			   const gnutls_pk_algorithm_t *algorithms, int n_algorithms,
			   gnutls_pcert_st **ret_chain, unsigned int *ret_n_chain,
			   gnutls_privkey_t *ret_key)
{
	struct http_conn *conn = http_conn_of(gnutls_session_get_ptr(session));

	(void)ca_names;
	(void)n_ca_names;
	(void)algorithms;
	(void)n_algorithms;
	http_cert_unref(conn->cert);
	conn->cert = http_cert_ref(conn->server->cert);
	*ret_chain = conn->cert->chain;
	*ret_n_chain = conn->cert->n_chain;
	*ret_key = conn->cert->key;
	return 0;
}
