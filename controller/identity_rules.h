#pragma once

/*
 * What a token says of itself, and what a TokenReview makes of it. Pure.
 *
 * A service account token is a JWT (RFC 7519). Its claims are read without any trust, since nobody
 * has checked its signature yet: they can only shorten the time for which a verdict is kept, and
 * make a refusal that was certain come at once.
 */

#include "base/js.h"

#include <stdbool.h>
#include <stdint.h>

#define IDENTITY_AUDIENCE "hauberk-controller"
#define IDENTITY_ACCOUNT "hauberk-agent"

enum {
	IDENTITY_TOKEN_MAX = 16384, /* bytes; Kubernetes' own are about 1.2 KiB */
	IDENTITY_KEPT_MS = 2 * 60 * 1000,
	IDENTITY_REFUSAL_KEPT_MS = 10 * 1000,
};

enum identity_verdict {
	IDENTITY_OK,
	IDENTITY_INVALID,     /* 401: the API server does not know the token, or not any more */
	IDENTITY_FORBIDDEN,   /* 403: a token that is not one of our agent's pods' */
	IDENTITY_UNAVAILABLE, /* 503: the API server did not say */
};

/* What is read from the token itself. */
struct identity_claims {
	bool has_expiry;
	int64_t expiry_ms; /* since 1970 */
};

/* What can be said without asking anybody: INVALID for what is no JWT (three parts of base64url
 * with a dot in between, the second of which is a JSON object, at most IDENTITY_TOKEN_MAX bytes in
 * all), FORBIDDEN for one that is not for our audience by its own word, which no review can better,
 * OK for one that has to be reviewed. *ret_why is a constant sentence. */
enum identity_verdict identity_prejudge(const char *token, struct identity_claims *ret,
					const char **ret_why);

/* Who it is. All strings are owned, and NULL or "" where the verdict is not OK. */
struct identity_who {
	char *service_account;
	char *node_name, *node_uid;
	char *pod_name, *pod_uid;
};

/* The verdict on a TokenReview that the API server has answered, in which the token was checked for
 * IDENTITY_AUDIENCE: OK only where it is authenticated, `status.audiences` holds that audience, the
 * user is exactly system:serviceaccount:<namespace>:hauberk-agent, and the token is bound to a pod
 * and so to the node it runs on. *ret_why is a constant sentence; *ret is filled in for OK only. */
enum identity_verdict identity_judge(struct json_object *review, const char *namespace_,
				     struct identity_who *ret, const char **ret_why);

/* For how long a verdict holds, in ms; 0: not at all. */
int64_t identity_kept_ms(enum identity_verdict verdict, const struct identity_claims *claims,
			 int64_t now_ms);

void identity_who_clear(struct identity_who *who);
