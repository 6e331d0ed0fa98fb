#pragma once

/*
 * Query strings, percent-encoded. Pure.
 */

#include "base/buf.h"

#include <stddef.h>

/* Append "key=value", with "&" before it where something stands already. NULL or "" is left out. */
void kube_query_add(struct buf *query, const char *key, const char *value);
