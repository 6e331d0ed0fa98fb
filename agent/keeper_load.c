#include "keeper_priv.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sha.h"
#include "policy/blob.h"

#include <stdlib.h>
#include <string.h>

enum { KEEPER_FETCHES_MAX = 4, KEEPER_SLOW_FETCH_MS = 100 };

static bool keeper_needs(void *data, const char *hash)
{
	const struct keeper *k = data;
	size_t it = 0;
	void *value;

	while (map_next(&k->units, &it, NULL, &value)) {
		const struct unit *u = value;

		if (u->has_item && strcmp(u->item.artefact, hash) == 0)
			return true;
	}
	return false;
}

static int keeper_check_bytes(const struct unit *u, const struct buf *bytes, struct err *err)
{
	char hash[SHA256_HEX];

	sha256_hex(buf_text(bytes), bytes->len, hash);
	if ((int64_t)bytes->len != u->item.artefact_size || strcmp(hash, u->item.artefact) != 0)
		return err_set(err, -EBADMSG,
			       "what the controller sent is not the artefact promised: %zu bytes "
			       "with hash %.12s instead of %lld with %.12s",
			       bytes->len, hash, (long long)u->item.artefact_size,
			       u->item.artefact);
	return 0;
}

/* A disk that is full costs a fetch later and nothing else. */
static void keeper_keep_bytes(struct keeper *k, const char *hash, const struct buf *bytes)
{
	struct err err;

	if (policy_cache_put(&k->cache, hash, bytes->data, bytes->len, keeper_needs, k, &err) < 0)
		log_warn("artefact is not kept on disk", log_s("artefact", hash),
			 log_s("error", err.msg));
}

/* ---- what came with the set ---- */

static void keeper_free_bytes(void *value)
{
	buf_clear(value);
	free(value);
}

static void keeper_offer_one(struct keeper *k, struct sync_enclosed *enclosed)
{
	char hash[SHA256_HEX];
	struct buf *bytes;

	sha256_hex(enclosed->bytes, enclosed->n, hash);
	if (strcmp(hash, enclosed->sha256) != 0) {
		log_warn("an artefact that came with the set is not what it is named for",
			 log_s("artefact", &enclosed->sha256[0]), log_s("hash", &hash[0]));
		return;
	}
	bytes = MEM_NEW(struct buf);
	*bytes = (struct buf){.data = STEAL(enclosed->bytes),
			      .len = enclosed->n,
			      .cap = enclosed->n + 1,
			      .max = enclosed->n};
	bytes = map_put(&k->offered, hash, bytes);
	if (bytes)
		keeper_free_bytes(bytes);
}

/* What came with the set before and is not on disk yet goes: it is a cache. */
void keeper_offer(struct keeper *k, struct sync_enclosed *enclosed, size_t n)
{
	size_t i;

	map_clear(&k->offered, keeper_free_bytes);
	for (i = 0; i < n; i++)
		keeper_offer_one(k, &enclosed[i]);
	sync_enclosed_free(enclosed, n);
}

bool keeper_has_bytes(const struct keeper *k, const char *hash)
{
	return map_get(&k->offered, hash) || policy_cache_has(&k->cache, hash);
}

bool keeper_keep_offered(struct keeper *k)
{
	size_t it = 0;
	const char *hash;
	void *value;

	if (!map_next(&k->offered, &it, &hash, &value))
		return false;
	if (keeper_needs(k, hash))
		keeper_keep_bytes(k, hash, value);
	keeper_free_bytes(map_del(&k->offered, hash));
	return true;
}

/* ---- fetching ---- */

static void keeper_on_fetched(void *ctx, int code, struct buf *bytes, const struct err *fetch_err)
{
	struct unit *u = ctx;
	struct keeper *k = u->keeper;
	struct err err;

	k->n_fetches--;
	u->fetch = NULL;
	u->fetch_us = clock_mono_us() - u->fetch_started_us;
	keeper_wake(k);
	if (code < 0) {
		keeper_fail(k, u,
			    code == -EFBIG ? SYNC_REASON_BAD_ARTEFACT : SYNC_REASON_FETCH_FAILED,
			    fetch_err);
		return;
	}
	if (keeper_check_bytes(u, bytes, &err) < 0) {
		keeper_fail(k, u, SYNC_REASON_BAD_ARTEFACT, &err);
		return;
	}
	unit_enter(u, UNIT_READY);
	u->bytes = *bytes;
	*bytes = (struct buf){0};
	keeper_keep_bytes(k, u->item.artefact, &u->bytes);
}

/* One connection is there. Each further one costs a handshake and memory, which is more than most
 * artefacts take, so it is opened only beside those that are slow. */
static unsigned int keeper_fetch_places(const struct keeper *k)
{
	int64_t now_us = clock_mono_us();
	unsigned int places = 1;
	size_t it = 0;
	void *value;

	while (map_next(&k->units, &it, NULL, &value)) {
		const struct unit *u = value;

		if (u->phase == UNIT_FETCHING &&
		    now_us - u->fetch_started_us >= KEEPER_SLOW_FETCH_MS * 1000)
			places++;
	}
	return places < KEEPER_FETCHES_MAX ? places : KEEPER_FETCHES_MAX;
}

static void keeper_on_slow(uv_timer_t *timer)
{
	keeper_wake(container_of(timer, struct keeper, slow));
}

bool keeper_start_fetches(struct keeper *k)
{
	unsigned int before = k->n_fetches, places = keeper_fetch_places(k);
	struct unit *u = NULL;

	while ((u = keeper_find(k, UNIT_QUEUED)) && k->n_fetches < places) {
		k->n_fetches++;
		u->fetch_started_us = clock_mono_us();
		unit_enter(u, UNIT_FETCHING);
		u->fetch = k->fetcher->start(k->fetcher->data, u->item.artefact,
					     u->item.artefact_size, keeper_on_fetched, u);
	}
	if (u && !uv_is_active((uv_handle_t *)&k->slow))
		uv_timer_start(&k->slow, keeper_on_slow, KEEPER_SLOW_FETCH_MS, 0);
	return k->n_fetches > before;
}

static int keeper_check_blob(const struct unit *u, const struct buf *bytes, struct err *err)
{
	struct policy_blob blob = {0};
	int r = policy_blob_parse(bytes->data, bytes->len, &blob, err);

	if (r == 0)
		r = policy_blob_check(&blob, u->name, u->item.mode, err);
	policy_blob_clear(&blob);
	return r;
}

/* Loaded is not enough: read back what the kernel made of it. */
static void keeper_verify(struct keeper *k, struct unit *u)
{
	int64_t start_us = clock_mono_us();
	struct desired_facts facts;
	struct err why;
	int r = keeper_scan_one(k, u, &why);

	u->verify_us = clock_mono_us() - start_us;
	record_confirm(&k->record, &u->item, k->boot_id);
	keeper_note_own_change(k);
	if (r < 0 ||
	    !desired_fits(&u->kernel, u->item.hashes, u->item.n_hashes, u->item.mode, &why)) {
		facts = keeper_facts(k, u);
		u->desired = desired_decide(&facts);
		keeper_fail(k, u, SYNC_REASON_VERIFY_FAILED, &why);
		return;
	}
	keeper_decide(k, u);
	if (u->backoff_for != SYNC_REASON_NONE)
		u->backoff.tries = 0;
	log_info("profile loaded", log_s("profile", u->name), log_s("revision", u->item.revision),
		 log_i("fetch_us", u->fetch_us), log_i("load_us", u->load_us),
		 log_i("verify_us", u->verify_us));
}

static void keeper_load_bytes(struct keeper *k, struct unit *u, const struct buf *bytes)
{
	int64_t start_us;
	struct err err;

	if (keeper_check_blob(u, bytes, &err) < 0) {
		keeper_fail(k, u, SYNC_REASON_BAD_ARTEFACT, &err);
		return;
	}
	start_us = clock_mono_us();
	if (k->kernel->replace(k->kernel->data, bytes->data, bytes->len, &err) < 0) {
		keeper_fail(k, u, SYNC_REASON_LOAD_FAILED, &err);
		return;
	}
	u->load_us = clock_mono_us() - start_us;
	keeper_verify(k, u);
}

/* The bytes are those that came with the set, those just fetched, or those on disk: all have been
 * checked against their hash. */
void keeper_load(struct keeper *k, struct unit *u)
{
	CLEANUP(buf_clear) struct buf bytes = u->bytes;
	const struct buf *offered = map_get(&k->offered, u->item.artefact);
	struct err err;

	u->bytes = (struct buf)BUF_INIT(SYNC_ARTEFACT_MAX);
	if (offered) {
		keeper_load_bytes(k, u, offered);
		return;
	}
	if (bytes.len == 0 && policy_cache_get(&k->cache, u->item.artefact, &bytes, &err) < 0) {
		log_warn("artefact is fetched again", log_s("profile", u->name),
			 log_s("error", err.msg));
		unit_enter(u, UNIT_QUEUED);
		return;
	}
	keeper_load_bytes(k, u, &bytes);
}

/* Nothing is loaded that the record on disk does not know. */
bool keeper_write_intentions(struct keeper *k)
{
	size_t it = 0;
	void *value;
	struct err err;

	if (!k->has_intentions)
		return false;
	if (record_save(&k->record, &err) == 0) {
		k->has_intentions = false;
		return true;
	}
	while (map_next(&k->units, &it, NULL, &value))
		if (((struct unit *)value)->phase == UNIT_READY)
			keeper_fail(k, value, SYNC_REASON_DISK_FULL, &err);
	return false;
}
