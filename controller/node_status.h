#pragma once

/*
 * An AppArmorNode's status: from facts to what the API server should hold. Pure.
 *
 * crds/ has the schema, with the bounds that are kept here: what is too long is cut, what is too
 * much is counted.
 */

#include "api/sync_msg.h"
#include "base/js.h"
#include "base/sha.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	NODE_EXCEPTIONS_MAX = 32,
	NODE_REMOVALS_MAX = SYNC_ITEMS_MAX, /* as many as a node may hold profiles */
	NODE_REVISIONS_MAX = 128,           /* of one pending removal */
};

/* What is not known leaves what the API server holds as it is. */
enum node_truth { NODE_UNKNOWN, NODE_TRUE, NODE_FALSE };

/* One aspect that becomes a condition. */
struct node_aspect {
	enum node_truth truth;
	const char *reason;  /* one CamelCase word; NULL: an ordinary one for the truth */
	const char *message; /* NULL: an ordinary one */
	int64_t since_ms;    /* when the truth last changed, wall clock; 0: now */
};

/* Something out of the ordinary. */
struct node_exception {
	const char *reason;  /* one CamelCase word: "Orphan", "TooManyFeatureSets" */
	const char *profile; /* NULL: it concerns none */
	const char *message;
};

/* A profile that the node has to remove when it returns. */
struct node_removal {
	char *profile;
	char *uid; /* of the AppArmorProfile that was deleted */
	char **revisions;
	size_t n_revisions;
};

/* All is borrowed. A text that is NULL is not known. */
struct node_facts {
	const char *kernel_release;
	const char *agent_version;
	const char *boot_id;
	const char *features; /* SHA-256 of the feature set; "": none */
	struct node_aspect apparmor, agent, drift;
	bool has_exceptions;                     /* false: not known */
	const struct node_exception *exceptions; /* the first NODE_EXCEPTIONS_MAX of them */
	size_t n_exceptions;                     /* that there are */
	const struct node_removal *removals;     /* always known: all that are pending */
	size_t n_removals;
};

/* The status that says so, given the object as the API server holds it (NULL: none). Conditions and
 * fields of others are kept, and the time of a condition's transition where its status stays. The
 * result is the caller's. */
struct json_object *node_status_make(struct json_object *object, const struct node_facts *facts,
				     int64_t now_ms);

/* The object to create for a Node, without status. */
struct json_object *node_status_new_object(const char *node_name, const char *node_uid);

/* Its owner, as metadata.ownerReferences. */
struct json_object *node_status_make_owners(const char *node_name, const char *node_uid);
bool node_status_is_owned_by(struct json_object *object, const char *node_uid);

/* A deep copy that node_facts_free() releases. */
struct node_facts *node_facts_copy(const struct node_facts *facts);
void node_facts_free(struct node_facts *facts);

/* The pending removals in an object; entries that the schema would not let pass are left out. The
 * caller frees *ret with node_removals_free(). */
size_t node_removals_read(struct json_object *object, struct node_removal **ret);
void node_removals_free(struct node_removal *removals, size_t n);
