#include "base/sha.h"

#include "base/str.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>

/* Looked up by name once: libcrypto would do so for each digest, which takes longer than to hash a
 * short text. They stay until the process ends. */
static const EVP_MD *sha_mds[2];
static pthread_once_t sha_once = PTHREAD_ONCE_INIT;

static void sha_fetch(void)
{
	sha_mds[SHA_1] = EVP_MD_fetch(NULL, "SHA1", NULL);
	sha_mds[SHA_256] = EVP_MD_fetch(NULL, "SHA256", NULL);
}

void sha_hex(enum sha_kind kind, const struct sha_part *parts, size_t n_parts, char *out)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int n = 0;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t i;
	int ok;

	ok = pthread_once(&sha_once, sha_fetch) == 0 && sha_mds[kind] && ctx &&
	     EVP_DigestInit_ex(ctx, sha_mds[kind], NULL);
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
