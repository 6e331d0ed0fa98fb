#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool str_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool str_has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The length of the UTF-8 sequence at `s`, 0 where it is malformed. RFC 3629, section 4. */
static size_t str_utf8_sequence(const unsigned char *s, size_t n)
{
	size_t len, i;
	unsigned char min = 0x80, max = 0xbf; /* of the second byte */

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		len = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		len = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (len > n)
		return 0;
	if (s[0] == 0xe0)
		min = 0xa0;
	else if (s[0] == 0xed)
		max = 0x9f;
	else if (s[0] == 0xf0)
		min = 0x90;
	else if (s[0] == 0xf4)
		max = 0x8f;
	if (s[1] < min || s[1] > max)
		return 0;
	for (i = 2; i < len; i++)
		if (s[i] < 0x80 || s[i] > 0xbf)
			return 0;
	return len;
}

/* How much of it is ASCII, at least, in pieces of eight bytes. */
static size_t str_ascii(const unsigned char *s, size_t n)
{
	size_t i;
	uint64_t eight;

	for (i = 0; i + sizeof(eight) <= n; i += sizeof(eight)) {
		memcpy(&eight, s + i, sizeof(eight));
		if (eight & 0x8080808080808080U)
			break;
	}
	return i;
}

bool str_is_utf8(const char *bytes, size_t n)
{
	const unsigned char *s = (const unsigned char *)bytes;

	while (n > 0) {
		size_t len = str_ascii(s, n);

		if (len == 0)
			len = str_utf8_sequence(s, n);

		if (len == 0)
			return false;
		s += len;
		n -= len;
	}
	return true;
}

void str_make_printable(char *text, size_t max)
{
	unsigned char *s = (unsigned char *)text;
	size_t n = strlen(text);
	size_t i = 0;

	while (i < n) {
		size_t len = str_utf8_sequence(s + i, n - i);

		if (i + (len ? len : 1) > max) {
			while (i > max - 3)
				for (i--; (s[i] & 0xc0) == 0x80;)
					i--;
			memcpy(s + i, "...", 4);
			return;
		}
		/* C1 controls (U+0080 to U+009F) are two bytes, c2 80 to c2 9f. */
		if (len == 0 || s[i] < 0x20 || s[i] == 0x7f) {
			s[i] = '?';
			len = 1;
		} else if (len == 2 && s[i] == 0xc2 && s[i + 1] < 0xa0) {
			s[i] = s[i + 1] = '?';
		}
		i += len;
	}
}

void str_hex(const void *bytes, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *s = bytes;
	size_t i;

	for (i = 0; i < n; i++) {
		out[2 * i] = digits[s[i] >> 4];
		out[2 * i + 1] = digits[s[i] & 15];
	}
	out[2 * n] = '\0';
}

bool str_is_hex(const char *text, size_t n)
{
	return text && strlen(text) == n && strspn(text, "0123456789abcdef") == n;
}

bool str_to_i64(const char *text, int64_t min, int64_t max, int64_t *ret)
{
	char *end;
	long long value;

	if (!text || strspn(text, "-0123456789") != strlen(text) || !*text)
		return false;
	errno = 0;
	value = strtoll(text, &end, 10);
	if (errno || *end || value < min || value > max)
		return false;
	*ret = value;
	return true;
}
