#pragma once

/*
 * An answer of the controller that is not 200, in words.
 */

#include "base/err.h"

#include <stdbool.h>

struct http_response;

/* Fill in `err` with what went wrong, the controller's own sentence included, and return -EIO.
 * `res` is one without success: an error, or a status other than 200. */
int reply_explain(const struct http_response *res, struct err *err);

enum { REPLY_LEADER_MAX = 256 };

/* The address in a 503 from a replica that does not lead; false where there is none. */
bool reply_leader(const struct http_response *res, char ret[REPLY_LEADER_MAX]);

/* Pure: true for "host:port", with an IPv6 address in brackets. */
bool reply_is_address(const char *text);
