#pragma once

/*
 * A small certificate authority: one CA, serving certificates under it. ECDSA P-256.
 *
 * Source: RFC 5280; names are given to OpenSSL as values, never as configuration text.
 */

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct tls_pair {
	char *cert_pem;
	char *key_pem;
};

/* A self-signed CA named `common_name`, valid from five minutes before `now_ms` for `days`. */
int tls_make_ca(const char *common_name, int64_t now_ms, int days, struct tls_pair *ret,
		struct err *err);

/* A serving certificate for the DNS names (NULL-terminated), signed by `ca`, which it does not
 * outlive. */
int tls_make_leaf(const struct tls_pair *ca, const char *const *dns_names, int64_t now_ms, int days,
		  struct tls_pair *ret, struct err *err);

/* When the first certificate of a PEM text ends, ms since 1970. */
int tls_not_after(const char *cert_pem, int64_t *ret_ms, struct err *err);

/* 0 when a PEM text begins with a certificate, and `key_pem`, unless NULL, holds its key. */
int tls_check(const char *cert_pem, const char *key_pem, struct err *err);

/* True when `leaf_pem` was signed by one of the certificates of `ca_pem`, bears `dns_name`, and its
 * key is `key_pem`. */
bool tls_leaf_fits(const char *ca_pem, const char *leaf_pem, const char *key_pem,
		   const char *dns_name);

/* Frees what a pair holds, and wipes the key. */
void tls_pair_clear(struct tls_pair *pair);
