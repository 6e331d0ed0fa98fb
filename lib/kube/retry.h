#pragma once

/*
 * What an answer means and whether to ask again. Pure.
 */

#include "kube/client.h"

/* From the HTTP status and the body's metav1.Status, NULL where there is none. */
enum kube_outcome kube_outcome_of(int http_status, struct json_object *status);

/* How long to wait before try number `tries_made` + 1, or -1: do not try again. The server's
 * Retry-After counts where it names one (at most 60 s of it), else 200 ms x 2 up to 10 s, with
 * jitter 1.0. */
int64_t kube_retry_ms(enum kube_outcome outcome, const char *method, unsigned int tries_made,
		      unsigned int max_tries, int64_t retry_after_ms, uint64_t random);
