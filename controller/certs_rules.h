#pragma once

/*
 * What to do about the CA and the serving certificate, given what the Secret and the ConfigMap hold
 * and the time. Pure, but for the keys that it makes.
 *
 * A rotation of the CA, none of whose steps an agent notices:
 *
 *     CA at 2/3 of its life     a next CA is made; the ConfigMap carries both
 *     5 minutes after that      the next CA signs a leaf and becomes the signing one; its
 *                               predecessor stays in the ConfigMap, without its key
 *     its last leaf has ended   the old CA goes from Secret and ConfigMap
 *
 * When a CA was published stands in the ConfigMap itself, so that a ConfigMap that somebody deleted
 * starts the 5 minutes anew.
 */

#include "base/err.h"
#include "base/js.h"

#include <stdbool.h>
#include <stdint.h>

#define CERTS_PUBLISHED_ANNOTATION "hauberk.dev/next-ca-published"

enum {
	CERTS_CA_DAYS = 365,
	CERTS_LEAF_DAYS = 90,
	CERTS_PUBLISHED_MS = 5 * 60 * 1000, /* from a CA's publication to its first leaf's use */
};

/* What there is. All is borrowed. */
struct certs_view {
	struct json_object *secret;     /* NULL: absent */
	struct json_object *config_map; /* NULL: absent */
	const char *dns_name;           /* "hauberk-controller.hauberk-system.svc" */
	bool leader;
	int64_t now_ms;
};

enum certs_action {
	CERTS_NOTHING,
	CERTS_CREATE_SECRET,     /* CA and leaf, both new */
	CERTS_REMAKE_SECRET,     /* the same in place of a Secret that is of no use */
	CERTS_RENEW_LEAF,        /* a new leaf of the signing CA */
	CERTS_MAKE_NEXT_CA,      /* … which is not used yet */
	CERTS_SWITCH_CA,         /* the next CA becomes the signing one, with a leaf of its own */
	CERTS_DROP_OLD_CA,       /* its last leaf has ended */
	CERTS_CREATE_CONFIG_MAP, /* absent */
	CERTS_UPDATE_CONFIG_MAP, /* not what the Secret says */
};

struct certs_decision {
	enum certs_action action;
	const char *why; /* for the log: what was found; "" for CERTS_NOTHING */
	bool is_damage;  /* `why` is about contents that should not have been there */
	bool has_leaf;   /* the Secret's leaf is fit to be served */
	int64_t next_ms; /* decide again then, if nothing changes before; INT64_MAX: never */
	char *bundle;    /* the CAs to trust; NULL while the Secret is of no use. Owned */
};

/* One thing to do: it is asked again when that is done. The caller clears *ret. */
void certs_decide(const struct certs_view *view, struct certs_decision *ret);

void certs_decision_clear(struct certs_decision *decision);

/* The Secret's or ConfigMap's `data` after `action`, which is not CERTS_NOTHING. Keys that are not
 * ours are kept. The result is the caller's. */
int certs_make_secret_data(const struct certs_view *view, enum certs_action action,
			   struct json_object **ret, struct err *err);

/* The ConfigMap's `data` and `metadata.annotations` as a merge patch, or what a new one starts
 * with. */
struct json_object *certs_make_config_map(const struct certs_view *view, const char *bundle);

/* The text of one key of a Secret, decoded; NULL where it is absent or no text. The caller frees
 * it. */
char *certs_secret_text(struct json_object *secret, const char *key);

const char *certs_action_name(enum certs_action action);
