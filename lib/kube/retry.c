#include "kube/retry.h"

#include "base/backoff.h"
#include "base/str.h"

#include <string.h>

enum { RETRY_FIRST_MS = 200, RETRY_MAX_MS = 10000, RETRY_AFTER_MAX_MS = 60000 };

static const char *const outcome_words[] = {
    [KUBE_OK] = "ok",
    [KUBE_NOT_FOUND] = "not found",
    [KUBE_CONFLICT] = "conflict",
    [KUBE_ALREADY_EXISTS] = "already exists",
    [KUBE_GONE] = "gone",
    [KUBE_FUTURE] = "version from the future",
    [KUBE_INVALID] = "invalid",
    [KUBE_FORBIDDEN] = "forbidden",
    [KUBE_UNAUTHORIZED] = "unauthorized",
    [KUBE_TOO_MANY] = "too many requests",
    [KUBE_UNAVAILABLE] = "unavailable",
    [KUBE_UNREACHABLE] = "unreachable",
    [KUBE_TOO_LONG] = "too long",
    [KUBE_BAD_ANSWER] = "bad answer",
};

const char *kube_outcome_word(enum kube_outcome outcome)
{
	return outcome_words[outcome];
}

/* The server's watch cache is behind the version that was asked for. It says so with a 504 and this
 * cause; k8s.io/apiserver/pkg/storage/errors.go. */
static bool outcome_is_future(struct json_object *status)
{
	struct json_object *causes = js_array(status, "details.causes");
	size_t i;

	for (i = 0; i < js_len(causes); i++)
		if (str_equal(js_str(js_item(causes, i), "reason"), "ResourceVersionTooLarge"))
			return true;
	return str_has_prefix(js_str_or_empty(status, "message"), "Too large resource version");
}

enum kube_outcome kube_outcome_of(int http_status, struct json_object *status)
{
	const char *reason = js_str_or_empty(status, "reason");

	if (http_status >= 200 && http_status < 300)
		return KUBE_OK;
	if (http_status >= 500)
		return outcome_is_future(status) ? KUBE_FUTURE : KUBE_UNAVAILABLE;
	switch (http_status) {
	case 404:
		return KUBE_NOT_FOUND;
	case 409:
		return str_equal(reason, "AlreadyExists") ? KUBE_ALREADY_EXISTS : KUBE_CONFLICT;
	case 410:
		return KUBE_GONE;
	case 400:
	case 413:
	case 415:
	case 422:
		return KUBE_INVALID;
	case 401:
		return KUBE_UNAUTHORIZED;
	case 403:
		return KUBE_FORBIDDEN;
	case 429:
		return KUBE_TOO_MANY;
	default:
		return KUBE_BAD_ANSWER;
	}
}

static bool retry_may_help(enum kube_outcome outcome, const char *method)
{
	switch (outcome) {
	case KUBE_TOO_MANY:
	case KUBE_UNAVAILABLE:
		return true;
	case KUBE_UNREACHABLE:
		/* It may have been carried out: a second POST would make a second object, or be
		 * told that its own exists already. */
		return strcmp(method, "POST") != 0;
	default:
		return false;
	}
}

int64_t kube_retry_ms(enum kube_outcome outcome, const char *method, unsigned int tries_made,
		      unsigned int max_tries, int64_t retry_after_ms, uint64_t random)
{
	struct backoff wait = {.first_ms = RETRY_FIRST_MS,
			       .max_ms = RETRY_MAX_MS,
			       .factor = 2.0,
			       .jitter = 1.0,
			       .tries = tries_made - 1};

	if (tries_made >= max_tries || !retry_may_help(outcome, method))
		return -1;
	if (retry_after_ms > RETRY_AFTER_MAX_MS)
		return RETRY_AFTER_MAX_MS;
	if (retry_after_ms >= 0)
		return retry_after_ms;
	return (int64_t)backoff_next(&wait, random);
}
