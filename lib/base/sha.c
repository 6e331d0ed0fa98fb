#include "base/sha.h"

#include "base/str.h"

#include <openssl/evp.h>
#include <stdlib.h>

void sha_hex(enum sha_kind kind, const struct sha_part *parts, size_t n_parts, char *out)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int n = 0;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t i;
	int ok;

	ok = ctx && EVP_DigestInit_ex(ctx, kind == SHA_1 ? EVP_sha1() : EVP_sha256(), NULL);
	for (i = 0; ok && i < n_parts; i++)
		ok = EVP_DigestUpdate(ctx, parts[i].bytes, parts[i].n);
	if (!ok || !EVP_DigestFinal_ex(ctx, digest, &n))
		abort(); /* out of memory, or a libcrypto without the hash: nothing can go on */
	EVP_MD_CTX_free(ctx);
	str_hex(digest, n, out);
}

void sha256_hex(const void *bytes, size_t n, char out[SHA256_HEX])
{
	struct sha_part part = {bytes, n};

	sha_hex(SHA_256, &part, 1, out);
}
