#include "base/base64.h"

#include "base/mem.h"

#include <limits.h>
#include <openssl/evp.h>
#include <string.h>

enum { BASE64_MAX = INT_MAX / 2 };

bool base64_encode(const void *bytes, size_t n, struct buf *ret)
{
	CLEANUP(mem_freep) char *text = NULL;
	size_t len = (n + 2) / 3 * 4;

	if (n > BASE64_MAX || len > ret->max - ret->len)
		return false;
	text = mem_alloc(len + 1, 1);
	EVP_EncodeBlock((unsigned char *)text, bytes, (int)n);
	return buf_add(ret, text, len);
}

static size_t base64_padding(const char *text, size_t n)
{
	if (n == 0 || text[n - 1] != '=')
		return 0;
	return text[n - 2] == '=' ? 2 : 1;
}

int base64_decode(const char *text, size_t n, struct buf *ret, struct err *err)
{
	static const char alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	CLEANUP(mem_freep) char *bytes = NULL;
	size_t padding, len;

	if (n > BASE64_MAX || n % 4 != 0)
		return err_set(err, -EINVAL, "base64 text of %zu characters is cut off", n);
	padding = base64_padding(text, n);
	/* libcrypto lets spaces and line ends pass at both ends, and padding anywhere. */
	if (strspn(text, alphabet) != n - padding)
		return err_set(err, -EINVAL, "a character is none of base64's");
	len = n / 4 * 3;
	bytes = mem_alloc(len + 1, 1);
	if (EVP_DecodeBlock((unsigned char *)bytes, (const unsigned char *)text, (int)n) < 0)
		return err_set(err, -EINVAL, "the base64 text cannot be read");
	if (!buf_add(ret, bytes, len - padding))
		return err_set(err, -EFBIG, "more than %zu bytes in base64", ret->max);
	return 0;
}
