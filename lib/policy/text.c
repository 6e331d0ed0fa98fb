#include "policy/text.h"

#include "base/sha.h"
#include "base/str.h"

#include <stdint.h>
#include <string.h>

static size_t text_line_of(const char *text, const char *at)
{
	size_t line = 1;

	for (; text < at; text++)
		line += *text == '\n';
	return line;
}

/* A line feed is never part of a longer character, so each line can be asked by itself. */
static size_t text_line_not_utf8(const char *text, size_t n)
{
	const char *start = text;
	const char *end = text + n;
	size_t line = 1;

	while (start < end) {
		const char *stop = memchr(start, '\n', (size_t)(end - start));

		stop = stop ? stop + 1 : end;
		if (!str_is_utf8(start, (size_t)(stop - start)))
			return line;
		start = stop;
		line++;
	}
	return 0;
}

int policy_text_check(const char *text, size_t n, size_t *ret_line, struct err *err)
{
	const char *at;
	size_t unused;

	if (!ret_line)
		ret_line = &unused;
	*ret_line = 0;
	if (n == 0)
		return err_set(err, -EINVAL, "the policy is empty: it must define a profile");
	if (n > POLICY_TEXT_MAX)
		return err_set(err, -EINVAL,
			       "the policy has %zu bytes and may have %d: split it into several "
			       "profiles, or leave out comments",
			       n, POLICY_TEXT_MAX);
	at = memchr(text, '\0', n);
	if (at) {
		*ret_line = text_line_of(text, at);
		return err_set(
		    err, -EINVAL,
		    "line %zu: the policy holds a NUL byte, where the compiler would stop "
		    "reading",
		    *ret_line);
	}
	if (!str_is_utf8(text, n)) {
		*ret_line = text_line_not_utf8(text, n);
		return err_set(err, -EINVAL, "line %zu: the policy is not valid UTF-8", *ret_line);
	}
	at = memmem(text, n, "\xef\xbf\xbd", 3);
	if (at) {
		*ret_line = text_line_of(text, at);
		return err_set(
		    err, -EINVAL,
		    "line %zu: the policy holds U+FFFD, which stands where a byte was lost "
		    "on the way: it was not UTF-8 when it was sent",
		    *ret_line);
	}
	return 0;
}

void policy_revision(const char *name, const char *text, size_t n_text, enum profile_mode mode,
		     const char *compiler_id, char out[PROFILE_REVISION_SIZE])
{
	const char *mode_name = profile_mode_name(mode);
	struct sha_part parts[8] = {
	    [1] = {name, strlen(name)},
	    [3] = {text, n_text},
	    [5] = {mode_name, strlen(mode_name)},
	    [7] = {compiler_id, strlen(compiler_id)},
	};
	uint8_t lengths[4][8];
	char hex[SHA256_HEX];
	size_t i, j;

	for (i = 0; i < 4; i++) {
		for (j = 0; j < 8; j++)
			lengths[i][j] = (uint8_t)((uint64_t)parts[2 * i + 1].n >> (8 * j));
		parts[2 * i] = (struct sha_part){lengths[i], sizeof(lengths[i])};
	}
	sha_hex(SHA_256, parts, 8, hex);
	memcpy(out, hex, PROFILE_REVISION_SIZE - 1);
	out[PROFILE_REVISION_SIZE - 1] = '\0';
}
