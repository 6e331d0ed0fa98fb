#include "policy/features.h"

#include "policy/features_data.h"

#include <pthread.h>
#include <string.h>

enum { FEATURES_DEPTH_MAX = 8, FEATURES_NAME_MAX = 64 };

struct features_reader {
	const char *start, *pos, *end;
	int depth;
};

static int features_fail(const struct features_reader *r, const char *what, struct err *err)
{
	const char *s;
	size_t line = 1;

	for (s = r->start; s < r->pos && s < r->end; s++)
		line += *s == '\n';
	return err_set(err, -EINVAL, "the feature set is malformed on line %zu: %s", line, what);
}

static bool features_is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       strchr("_-.+", c) != NULL;
}

static bool features_take(struct features_reader *r, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(r->end - r->pos) < n || memcmp(r->pos, word, n) != 0)
		return false;
	r->pos += n;
	return true;
}

static int features_read_name(struct features_reader *r, struct err *err)
{
	const char *start = r->pos;

	while (r->pos < r->end && *r->pos && features_is_name(*r->pos))
		r->pos++;
	if (r->pos == start)
		return features_fail(r, "a name is expected", err);
	if (r->pos - start > FEATURES_NAME_MAX)
		return features_fail(r, "a name is too long", err);
	if (!features_take(r, " {"))
		return features_fail(r, "\" {\" is expected behind a name", err);
	return 0;
}

/* The content of a file: printable, and a line feed at its end only. */
static void features_skip_content(struct features_reader *r)
{
	while (r->pos < r->end && *r->pos >= ' ' && *r->pos <= '~' && *r->pos != '{' &&
	       *r->pos != '}')
		r->pos++;
	features_take(r, "\n");
}

/* Is this the beginning of an entry, rather than of a file's content? */
static bool features_at_entry(const struct features_reader *r)
{
	const char *s = r->pos;

	while (s < r->end && *s && features_is_name(*s))
		s++;
	return s > r->pos && r->end - s >= 2 && s[0] == ' ' && s[1] == '{';
}

static int features_read_set(struct features_reader *r, struct err *err);

static int features_read_entry(struct features_reader *r, struct err *err)
{
	int e = features_read_name(r, err);

	if (e == 0 && features_at_entry(r))
		e = features_read_set(r, err);
	else if (e == 0)
		features_skip_content(r);
	if (e < 0)
		return e;
	if (!features_take(r, "}\n"))
		return features_fail(r, "\"}\" at the end of a line is expected", err);
	return 0;
}

static bool features_same_name(const char *a, const char *b)
{
	while (*a == *b && *a != ' ') {
		a++;
		b++;
	}
	return *a == ' ' && *b == ' ';
}

/* The entries of one folder, until what follows is none. */
static int features_read_set(struct features_reader *r,
			     struct err *err) // NOLINT(misc-no-recursion)
{
	const char *names[FEATURES_MAX / 5]; /* an entry has 5 bytes at least: "a {}\n" */
	size_t n = 0;
	size_t i;
	int e;

	if (++r->depth > FEATURES_DEPTH_MAX)
		return features_fail(r, "it is nested too deeply", err);
	do {
		names[n] = r->pos;
		e = features_read_entry(r, err);
		if (e < 0)
			return e;
		for (i = 0; i < n; i++)
			if (features_same_name(names[i], names[n]))
				return features_fail(r, "a name is there twice", err);
		n++;
	} while (features_at_entry(r));
	r->depth--;
	return 0;
}

int features_check(const char *text, size_t n, struct err *err)
{
	struct features_reader r = {.start = text, .pos = text, .end = text + n};
	int e;

	if (n > FEATURES_MAX)
		return err_set(err, -EINVAL, "the feature set has %zu bytes and may have %d", n,
			       FEATURES_MAX);
	e = features_read_set(&r, err);
	if (e == 0 && r.pos < r.end)
		return features_fail(&r, "something follows its end", err);
	return e;
}

void features_hash(const char *text, size_t n, char out[SHA256_HEX])
{
	sha256_hex(text, n, out);
}

static struct features features_builtins[] = {
    {.release = "6.1", .text = features_6_1, .n = sizeof(features_6_1) - 1},
    {.release = "6.12", .text = features_6_12, .n = sizeof(features_6_12) - 1},
};
enum { FEATURES_BUILTINS = sizeof(features_builtins) / sizeof(features_builtins[0]) };

static void features_hash_builtins(void)
{
	size_t i;

	for (i = 0; i < FEATURES_BUILTINS; i++)
		features_hash(features_builtins[i].text, features_builtins[i].n,
			      features_builtins[i].hash);
}

const struct features *features_builtin_at(size_t i)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, features_hash_builtins);
	return i < FEATURES_BUILTINS ? &features_builtins[i] : NULL;
}

const struct features *features_builtin(const char *release)
{
	const struct features *f;
	size_t i;

	for (i = 0; (f = features_builtin_at(i)); i++)
		if (strcmp(f->release, release) == 0)
			return f;
	return NULL;
}
