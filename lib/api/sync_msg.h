#pragma once

/*
 * The agent protocol: what an agent and the controller tell each other.
 *
 *   POST /v1/sync              struct sync_request -> struct sync_response (long-poll)
 *   GET  /v1/policies/{sha256} the bytes of an artefact, immutable
 *
 * A sync is answered at once when the node's set differs from `set_hash`, or when the controller
 * lacks the report or the feature-set text that the request names by hash; else it is held until
 * that becomes true, at most SYNC_HOLD_MS. An answer without a set says that the set did not
 * change.
 *
 * With a set may come names of which it says nothing although the node should hold something: what
 * that is cannot be told yet, or not for this kernel. Of these the node keeps what it was told to
 * load before, so that a set is never smaller only because the controller does not know enough.
 *
 * With a set come the bytes of small artefacts that it names and the node lacks, as far as there is
 * room: the others are fetched.
 *
 * Status codes: 200; 400 malformed; 401 token not valid; 403 token of somebody else; 409 a feature
 * set that is refused; 413 too large; 426 protocol version not spoken here; 503 not leading, not
 * ready, or the token could not be checked. All but 200 carry {"message": sentence}; a 503 of a
 * replica that does not lead carries "leader": "host:port" as well.
 *
 * Unknown fields are ignored, on both sides. Each bound here is enforced by the decoder.
 */

#include "api/profile.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/js.h"
#include "base/sha.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SYNC_PROTOCOL = 1,
	SYNC_HOLD_MS = 60 * 1000,
	SYNC_REQUEST_MAX = 2 << 20,                      /* bytes of a request's body */
	SYNC_REPORT_MAX = SYNC_REQUEST_MAX - (64 << 10), /* of them, the report's */
	SYNC_RESPONSE_MAX = 8 << 20,                     /* bytes of a response's body */
	SYNC_SET_MAX = 7 << 20,                          /* of them, the set's */
	SYNC_ITEM_MAX = 1024,            /* bytes of one item of a set without its hashes */
	SYNC_ITEMS_MAX = 1024,           /* profiles of one node */
	SYNC_HASHES_MAX = 1024,          /* a profile and its children */
	SYNC_SET_HASHES_MAX = 16 * 1024, /* of all profiles of a set */
	SYNC_HOLDERS_MAX = 8,            /* pods named for one draining profile */
	SYNC_NAME_MAX = 253,             /* of a kernel profile; longer ones brick the namespace */
	SYNC_MESSAGE_MAX = 512,
	SYNC_FEATURES_MAX = 8192,
	SYNC_ARTEFACT_MAX = 4 << 20,         /* bytes of a compiled policy */
	SYNC_ENCLOSED_MAX = 32 << 10,        /* bytes of one that comes with its set */
	SYNC_ENCLOSED_TOTAL_MAX = 256 << 10, /* and of all that come with one set */
};

/* Bytes of memory for the JSON of a message, as js_parse_bounded() counts them. Without a bound 2
 * MiB of "{},{}" take 550 MB, and 8 MiB of it 2.2 GB. The worst that is taken, objects within
 * objects, takes 56 MiB and 35 MiB; what agent and controller write takes two thirds of what it
 * counts for.
 *
 * No request that sync_report_fit() lets through counts for more than 51 MiB.
 *
 * A response is for an agent that has 64 MiB for everything (config/agent). No set within
 * SYNC_SET_MAX and SYNC_SET_HASHES_MAX counts for more than 39 MiB. */
enum { SYNC_REQUEST_HEAP_MAX = 64 << 20, SYNC_RESPONSE_HEAP_MAX = 40 << 20 };

/* The kernel's hash of one loaded profile. It has one or the other: SHA-1 up to 6.x, SHA-256 later.
 * In what the controller expects both are set; in what an agent read back, the one that it found.
 */
struct sync_hash {
	char *name; /* as the kernel names it: "web", "web//child" */
	char sha1[SHA1_HEX];
	char sha256[SHA256_HEX];
};

enum sync_want { SYNC_LOADED, SYNC_ABSENT };

/* What the node should hold of one profile. Ordered by name in a set, each name once. */
struct sync_item {
	char *name;
	char *uid; /* of the AppArmorProfile; "" for a pending removal whose object is gone */
	enum sync_want want;
	/* The rest is for SYNC_LOADED alone. */
	char revision[PROFILE_REVISION_SIZE];
	enum profile_mode mode; /* which the kernel must say of the profile and every child */
	bool adopt; /* the object allows to replace a profile of this name that is not ours */
	char artefact[SHA256_HEX];
	int64_t artefact_size;
	struct sync_hash *hashes; /* the profile first, then its children */
	size_t n_hashes;
};

enum sync_state {
	SYNC_STATE_PENDING,  /* not done yet: being fetched, or waiting for a retry */
	SYNC_STATE_LOADED,   /* `revision` read back: hashes of profile and children, and mode */
	SYNC_STATE_FAILED,   /* `reason` and `message` say why; what was loaded before still is */
	SYNC_STATE_DRAINING, /* to be removed, still in use */
	SYNC_STATE_ABSENT,   /* to be removed, and the kernel holds none of ours */
	SYNC_STATE_ORPHAN,   /* we loaded it, the set does not mention it: kept */
	SYNC_STATE_DRIFTED,  /* it was as told; somebody changed or removed it; not mended yet */
};

/* Reasons of a FAILED report, CamelCase, bounded by this table (sync_reasons). */
enum sync_reason {
	SYNC_REASON_NONE,
	SYNC_REASON_NAME_CONFLICT, /* the kernel holds a profile of this name that is not ours */
	SYNC_REASON_FETCH_FAILED,  /* the artefact could not be had */
	SYNC_REASON_BAD_ARTEFACT,  /* its bytes are not those promised */
	SYNC_REASON_LOAD_FAILED,   /* the kernel refused it; the message carries its errno */
	SYNC_REASON_VERIFY_FAILED, /* loaded, but the kernel's hashes or mode are others */
	SYNC_REASON_REMOVE_FAILED,
	SYNC_REASON_DISK_FULL, /* the record could not be written, so nothing was loaded */
	SYNC_REASON_APPARMOR_OFF,
	SYNC_REASON_COUNT,
};

/* What holds a draining profile. */
struct sync_holder {
	char *pod_uid; /* from the task's cgroup; "" where it is no pod's */
	char *command; /* comm of one task, printable */
	int64_t pid;
};

/* One profile of a report. Ordered by name, each name once. */
struct sync_status {
	char *name;
	char *uid;
	char revision[PROFILE_REVISION_SIZE]; /* what the kernel holds of ours; "" for nothing */
	char target[PROFILE_REVISION_SIZE];   /* what the state speaks of: the revision last told */
	enum sync_state state;
	enum sync_reason reason;
	char *message;     /* "" for none */
	char *kernel_mode; /* as the kernel says: "enforce", "complain"; "" while not loaded */
	/* What was read back. Where it is just what was told, its digest (sync_family.h) stands
	 * for the list; "" where it does not. */
	char digest[SHA256_HEX];
	struct sync_hash *hashes;
	size_t n_hashes;
	struct sync_holder *holders;
	size_t n_holders;
	/* How long each part took when it was last done, in microseconds; 0: not done. */
	int64_t fetch_us, load_us, verify_us;
};

struct sync_report {
	struct sync_status *items;
	size_t n;
	bool apparmor_enabled;
	char *apparmor_reason; /* why not; "" */
};

struct sync_request {
	int64_t protocol;
	char *agent_version;
	char *kernel_release;
	char *boot_id;
	char features[SHA256_HEX]; /* hash of the feature-set text; "" where AppArmor is off */
	char *features_text;       /* NULL: not sent */
	int64_t epoch;             /* the highest that it has seen; 0: none */
	char set_hash[SHA256_HEX]; /* of the set last accepted; "" for none */
	char report_hash[SHA256_HEX];
	bool has_report;
	struct sync_report report;
};

/* An artefact that comes with the set. Its bytes are not checked against its name yet. */
struct sync_enclosed {
	char sha256[SHA256_HEX];
	char *bytes;
	size_t n;
};

struct sync_response {
	int64_t protocol;
	int64_t epoch;
	char set_hash[SHA256_HEX];
	bool has_set;
	struct sync_item *items;
	size_t n;
	char **keep; /* names, ordered; none of them also an item's */
	size_t n_keep;
	struct sync_enclosed *enclosed;
	size_t n_enclosed;
	bool want_report;   /* send the report itself next time, even if it did not change */
	bool want_features; /* send the feature-set text next time */
};

/* Encoding gives an object that the caller owns. */
struct json_object *sync_request_encode(const struct sync_request *req);
struct json_object *sync_response_encode(const struct sync_response *res);
struct json_object *sync_report_encode(const struct sync_report *report);
struct json_object *sync_status_encode(const struct sync_status *status);
struct json_object *sync_set_encode(const struct sync_item *items, size_t n);
struct json_object *sync_keep_encode(const char *const *names, size_t n);

/* Append what a response has for its enclosed artefacts, or nothing where there are none: for
 * whoever writes a response out of parts that are text already. False where the buffer is full. */
bool sync_enclosed_print(const struct sync_enclosed *enclosed, size_t n, struct buf *ret);

/* Decoding: -EINVAL with a sentence that names the field. The caller clears *ret. A request of
 * another protocol version decodes with that version and nothing else, so that it can be told so.
 */
int sync_request_decode(struct json_object *obj, struct sync_request *ret, struct err *err);
int sync_response_decode(struct json_object *obj, struct sync_response *ret, struct err *err);

/* Also what an agent keeps on disk. */
int sync_set_decode(struct json_object *array, struct sync_item **ret, size_t *ret_n,
		    struct err *err);

/* Puts into the set of a response, of each name that is to be kept, what stands in the former set
 * to be loaded; names of which nothing does go. What is left is the whole of the new set. */
void sync_response_keep(struct sync_response *res, const struct sync_item *former, size_t n);

/* SHA-256 of the encoded report, without timings. Whoever makes a set or a report makes its hash;
 * to the other side it is a name for what it was sent, which it does not make again, since the two
 * may not understand the same fields. */
void sync_report_hash(const struct sync_report *report, char out[SHA256_HEX]);

/* Make it fit SYNC_REPORT_MAX, by leaving out lists of hashes, and where that is not enough those
 * who hold draining profiles: from the end, so that one that fitted before is the same as before.
 * Neither list decides anything; what profiles there are and their states are always told. */
void sync_report_fit(struct sync_report *report);

const char *sync_state_name(enum sync_state state);
const char *sync_reason_name(enum sync_reason reason); /* "" for none */

void sync_item_clear(struct sync_item *item);
void sync_items_free(struct sync_item *items, size_t n);
void sync_status_clear(struct sync_status *status);
void sync_report_clear(struct sync_report *report);
void sync_request_clear(struct sync_request *req);
void sync_enclosed_free(struct sync_enclosed *enclosed, size_t n);
void sync_response_clear(struct sync_response *res);

/* A deep copy, for what outlives its message. */
void sync_item_copy(const struct sync_item *from, struct sync_item *ret);
size_t sync_hashes_bytes(const struct sync_hash *hashes, size_t n); /* of them, encoded */
void sync_hashes_free(struct sync_hash *hashes, size_t n);
void sync_holders_free(struct sync_holder *holders, size_t n);
void sync_hashes_copy(const struct sync_hash *from, size_t n, struct sync_hash **ret);
