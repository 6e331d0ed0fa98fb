#include "controller/certs_rules.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/sha.h"
#include "base/str.h"
#include "kube/patch.h"
#include "net/tls.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum { CERTS_TEXT_MAX = 65536 };

#define CERTS_DAY_MS ((int64_t)86400 * 1000)

/* What the Secret holds, read. The texts are owned; each is NULL where it is absent or unreadable.
 */
struct certs_held {
	char *ca, *ca_key;     /* the key also where it is not the certificate's */
	char *next, *next_key; /* both or none */
	char *old, *old_leaf;
	char *leaf, *leaf_key;
	bool has_ca_key;                  /* it is the certificate's */
	bool has_leaf;                    /* it fits CA, key and name, and has not ended */
	bool has_next_keys, has_old_keys; /* keys of that name are there, readable or not */
	int64_t ca_end_ms, leaf_end_ms, old_leaf_end_ms;
};

/* Reading. */

static char *certs_decode(const char *base64)
{
	size_t n = strlen(base64);
	char *text;
	int len;

	if (n == 0 || n % 4 != 0 || n > CERTS_TEXT_MAX)
		return NULL;
	text = mem_alloc(n / 4 * 3 + 1, 1);
	len = EVP_DecodeBlock((unsigned char *)text, (const unsigned char *)base64, (int)n);
	if (len > 0 && base64[n - 1] == '=')
		len -= base64[n - 2] == '=' ? 2 : 1;
	if (len > 0 && memchr(text, '\0', (size_t)len) == NULL) {
		text[len] = '\0';
		return text;
	}
	free(text);
	return NULL;
}

static struct json_object *certs_encode(const char *text)
{
	size_t n = strlen(text);
	CLEANUP(mem_freep) char *base64 = mem_alloc(n / 3 * 4 + 5, 1);

	EVP_EncodeBlock((unsigned char *)base64, (const unsigned char *)text, (int)n);
	return js_text(base64);
}

char *certs_secret_text(struct json_object *secret, const char *key)
{
	struct json_object *value = js_get(js_object(secret, "data"), key);

	return json_object_is_type(value, json_type_string)
		   ? certs_decode(json_object_get_string(value))
		   : NULL;
}

/* A certificate that can be read, and where `key` is not NULL with that key; else NULL. */
static char *certs_read_cert(struct json_object *secret, const char *name, const char *key)
{
	char *pem = certs_secret_text(secret, name);
	struct err err;

	if (pem && tls_check(pem, key, &err) == 0)
		return pem;
	free(pem);
	return NULL;
}

static int64_t certs_end(const char *pem)
{
	int64_t end = 0;
	struct err err;

	return pem && tls_not_after(pem, &end, &err) == 0 ? end : 0;
}

static bool certs_has_key(struct json_object *secret, const char *key)
{
	return js_get(js_object(secret, "data"), key) != NULL;
}

static void certs_read(const struct certs_view *view, struct certs_held *h)
{
	struct json_object *secret = view->secret;
	struct err err;

	*h = (struct certs_held){
	    .ca = certs_read_cert(secret, "ca.crt", NULL),
	    .ca_key = certs_secret_text(secret, "ca.key"),
	    .next_key = certs_secret_text(secret, "ca-next.key"),
	    .old = certs_read_cert(secret, "ca-old.crt", NULL),
	    .old_leaf = certs_read_cert(secret, "tls-old.crt", NULL),
	    .leaf = certs_read_cert(secret, "tls.crt", NULL),
	    .leaf_key = certs_secret_text(secret, "tls.key"),
	    .has_next_keys =
		certs_has_key(secret, "ca-next.crt") || certs_has_key(secret, "ca-next.key"),
	    .has_old_keys =
		certs_has_key(secret, "ca-old.crt") || certs_has_key(secret, "tls-old.crt"),
	};
	if (h->next_key)
		h->next = certs_read_cert(secret, "ca-next.crt", h->next_key);
	h->ca_end_ms = certs_end(h->ca);
	h->leaf_end_ms = certs_end(h->leaf);
	h->old_leaf_end_ms = certs_end(h->old_leaf);
	h->has_ca_key = h->ca && h->ca_key && tls_check(h->ca, h->ca_key, &err) == 0;
	h->has_leaf = h->ca && h->leaf && h->leaf_key && h->leaf_end_ms > view->now_ms &&
		      tls_leaf_fits(h->ca, h->leaf, h->leaf_key, view->dns_name);
}

static void certs_held_clear(struct certs_held *h)
{
	struct tls_pair pairs[] = {
	    {h->ca, h->ca_key}, {h->next, h->next_key}, {h->leaf, h->leaf_key}};
	size_t i;

	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		tls_pair_clear(&pairs[i]);
	free(h->old);
	free(h->old_leaf);
}

/* All CAs to trust, the signing one first. */
static char *certs_bundle(const struct certs_held *h)
{
	const char *cas[] = {h->ca, h->next, h->old};
	struct buf bundle = BUF_INIT((size_t)4 * CERTS_TEXT_MAX);
	size_t i;

	for (i = 0; i < 3; i++) {
		if (!cas[i])
			continue;
		buf_add_str(&bundle, cas[i]);
		if (bundle.data[bundle.len - 1] != '\n')
			buf_add_str(&bundle, "\n");
	}
	return buf_steal(&bundle);
}

/* Deciding. */

/* After two thirds of its life, and up to a thirtieth of it earlier, so that not all clusters of
 * one day renew on one day; the same moment each time it is asked. */
static int64_t certs_renewal_ms(const char *pem, int64_t end_ms, int days)
{
	int64_t life = days * CERTS_DAY_MS;
	char hash[SHA256_HEX];

	sha256_hex(pem, strlen(pem), hash);
	hash[8] = '\0';
	return end_ms - life / 3 - (int64_t)(strtoull(hash, NULL, 16) % (uint64_t)(life / 30));
}

/* When the CA that is to come was published; INT64_MAX where that is not known, or not over yet by
 * our clock. */
static int64_t certs_published_ms(const struct certs_view *view)
{
	struct json_object *annotations = js_object(view->config_map, "metadata.annotations");
	struct json_object *value = js_get(annotations, CERTS_PUBLISHED_ANNOTATION);
	int64_t when;

	if (!json_object_is_type(value, json_type_string) ||
	    !clock_parse(json_object_get_string(value), &when) || when > view->now_ms)
		return INT64_MAX;
	return when;
}

static const char *certs_published_bundle(const struct certs_view *view)
{
	struct json_object *value = js_get(js_object(view->config_map, "data"), "ca.crt");

	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

static void certs_do(struct certs_decision *d, enum certs_action action, const char *why)
{
	if (d->action != CERTS_NOTHING)
		return;
	d->action = action;
	d->why = why;
}

static void certs_mend(struct certs_decision *d, enum certs_action action, const char *why)
{
	d->is_damage = d->is_damage || d->action == CERTS_NOTHING;
	certs_do(d, action, why);
}

static void certs_wait_until(struct certs_decision *d, int64_t when_ms)
{
	if (when_ms < d->next_ms)
		d->next_ms = when_ms;
}

/* What agents trust. */
static void certs_decide_config_map(const struct certs_view *view, const struct certs_held *h,
				    struct certs_decision *d)
{
	if (!view->config_map)
		certs_do(d, CERTS_CREATE_CONFIG_MAP, "there is no ConfigMap");
	else if (!view->leader)
		return;
	else if (strcmp(certs_published_bundle(view), d->bundle) != 0)
		certs_do(d, CERTS_UPDATE_CONFIG_MAP, "the ConfigMap has other CAs than the Secret");
	else if (h->next && certs_published_ms(view) == INT64_MAX)
		certs_do(d, CERTS_UPDATE_CONFIG_MAP,
			 "the ConfigMap does not say since when it has the next CA");
}

static void certs_decide_rotation(const struct certs_view *view, const struct certs_held *h,
				  struct certs_decision *d)
{
	int64_t renewal = certs_renewal_ms(h->ca, h->ca_end_ms, CERTS_CA_DAYS);

	if (h->has_old_keys && (!h->old || h->old_leaf_end_ms <= view->now_ms))
		certs_do(d, CERTS_DROP_OLD_CA, "the last leaf of the old CA has ended");
	else if (h->has_old_keys)
		certs_wait_until(d, h->old_leaf_end_ms);
	if (h->next && d->action == CERTS_NOTHING) {
		int64_t use = certs_published_ms(view) + CERTS_PUBLISHED_MS;

		if (view->now_ms >= use)
			certs_do(d, CERTS_SWITCH_CA, "the next CA was published 5 minutes ago");
		else
			certs_wait_until(d, use);
	} else if (!h->next && !h->has_ca_key) {
		certs_mend(d, CERTS_MAKE_NEXT_CA, "the CA's key cannot be read or is another's");
	} else if (!h->next && view->now_ms >= renewal) {
		certs_do(d, CERTS_MAKE_NEXT_CA, "the CA is past two thirds of its life");
	} else if (!h->next) {
		certs_wait_until(d, renewal);
	}
}

/* A leaf does not outlive its CA: where the CA's end is near, a new leaf gains nothing. */
static void certs_decide_leaf(const struct certs_view *view, const struct certs_held *h,
			      struct certs_decision *d)
{
	int64_t renewal = certs_renewal_ms(h->leaf, h->leaf_end_ms, CERTS_LEAF_DAYS);
	int64_t new_end = view->now_ms + CERTS_LEAF_DAYS * CERTS_DAY_MS;

	if (new_end > h->ca_end_ms)
		new_end = h->ca_end_ms;
	if (view->now_ms < renewal)
		certs_wait_until(d, renewal);
	else if (h->has_ca_key && new_end > h->leaf_end_ms + CERTS_DAY_MS)
		certs_do(d, CERTS_RENEW_LEAF, "the leaf is past two thirds of its life");
	else
		certs_wait_until(d, h->leaf_end_ms);
}

static void certs_decide_held(const struct certs_view *view, const struct certs_held *h,
			      struct certs_decision *d)
{
	if (!h->ca || h->ca_end_ms <= view->now_ms || (!h->has_leaf && !h->has_ca_key)) {
		if (!view->leader)
			return;
		if (h->ca && h->ca_end_ms <= view->now_ms)
			certs_do(d, CERTS_REMAKE_SECRET, "the CA has ended");
		else
			certs_mend(d, CERTS_REMAKE_SECRET,
				   h->ca ? "neither the leaf nor the CA's key is of use"
					 : "the CA's certificate is absent or cannot be read");
		return;
	}
	d->has_leaf = h->has_leaf;
	d->bundle = certs_bundle(h);
	if (!h->has_leaf && view->leader)
		certs_mend(d, CERTS_RENEW_LEAF,
			   "the leaf is absent, ended, or does not fit its CA, key or name");
	if (!h->next && h->has_next_keys && view->leader)
		certs_mend(d, CERTS_MAKE_NEXT_CA, "the next CA cannot be read");
	certs_decide_config_map(view, h, d);
	if (!view->leader)
		return;
	certs_decide_rotation(view, h, d);
	if (h->has_leaf)
		certs_decide_leaf(view, h, d);
}

void certs_decide(const struct certs_view *view, struct certs_decision *ret)
{
	struct certs_held held;

	*ret = (struct certs_decision){.why = "", .next_ms = INT64_MAX};
	if (!view->secret) {
		certs_do(ret, CERTS_CREATE_SECRET, "there is no Secret");
		return;
	}
	certs_read(view, &held);
	certs_decide_held(view, &held, ret);
	certs_held_clear(&held);
}

void certs_decision_clear(struct certs_decision *decision)
{
	free(decision->bundle);
	decision->bundle = NULL;
}

/* Making. */

static void certs_put(struct json_object *data, const char *key, const char *text)
{
	if (text)
		js_put(data, key, certs_encode(text));
	else
		json_object_object_del(data, key);
}

static int certs_make_ca(const struct certs_view *view, struct tls_pair *ret, struct err *err)
{
	char when[CLOCK_TEXT_MAX];
	CLEANUP(mem_freep) char *name = NULL;

	/* Each has a name of its own, for people and for verifiers that look by name. */
	clock_format(view->now_ms, when);
	name = mem_printf("Hauberk CA %s", when);
	return tls_make_ca(name, view->now_ms, CERTS_CA_DAYS, ret, err);
}

/* A leaf of `ca`, put in. */
static int certs_put_leaf(const struct certs_view *view, const struct tls_pair *ca,
			  struct json_object *data, struct err *err)
{
	const char *const names[] = {view->dns_name, NULL};
	struct tls_pair leaf = {0};
	int r = tls_make_leaf(ca, names, view->now_ms, CERTS_LEAF_DAYS, &leaf, err);

	if (r == 0) {
		certs_put(data, "tls.crt", leaf.cert_pem);
		certs_put(data, "tls.key", leaf.key_pem);
	}
	tls_pair_clear(&leaf);
	return r;
}

static void certs_put_ca(struct json_object *data, const struct tls_pair *ca)
{
	certs_put(data, "ca.crt", ca->cert_pem);
	certs_put(data, "ca.key", ca->key_pem);
}

static void certs_put_next(struct json_object *data, const char *cert, const char *key)
{
	certs_put(data, "ca-next.crt", cert);
	certs_put(data, "ca-next.key", key);
}

static void certs_put_old(struct json_object *data, const char *ca, const char *leaf)
{
	certs_put(data, "ca-old.crt", ca);
	certs_put(data, "tls-old.crt", leaf);
}

/* Everything new. */
static int certs_put_all(const struct certs_view *view, struct json_object *data, struct err *err)
{
	struct tls_pair ca = {0};
	int r = certs_make_ca(view, &ca, err);

	if (r == 0)
		r = certs_put_leaf(view, &ca, data, err);
	if (r == 0) {
		certs_put_ca(data, &ca);
		certs_put_next(data, NULL, NULL);
		certs_put_old(data, NULL, NULL);
	}
	tls_pair_clear(&ca);
	return r;
}

static int certs_put_new_next(const struct certs_view *view, struct json_object *data,
			      struct err *err)
{
	struct tls_pair ca = {0};
	int r = certs_make_ca(view, &ca, err);

	if (r == 0)
		certs_put_next(data, ca.cert_pem, ca.key_pem);
	tls_pair_clear(&ca);
	return r;
}

static int certs_put_switched(const struct certs_view *view, const struct certs_held *h,
			      struct json_object *data, struct err *err)
{
	struct tls_pair next = {h->next, h->next_key};
	int r = certs_put_leaf(view, &next, data, err);

	if (r < 0)
		return r;
	certs_put_ca(data, &next);
	certs_put_next(data, NULL, NULL);
	certs_put_old(data, h->ca, h->leaf);
	return 0;
}

static int certs_put_action(const struct certs_view *view, enum certs_action action,
			    struct json_object *data, struct err *err)
{
	struct certs_held held;
	int r = 0;

	certs_read(view, &held);
	if (action == CERTS_RENEW_LEAF) {
		struct tls_pair ca = {held.ca, held.ca_key};

		r = certs_put_leaf(view, &ca, data, err);
	} else if (action == CERTS_SWITCH_CA) {
		r = certs_put_switched(view, &held, data, err);
	} else if (action == CERTS_MAKE_NEXT_CA) {
		r = certs_put_new_next(view, data, err);
	} else if (action == CERTS_DROP_OLD_CA) {
		certs_put_old(data, NULL, NULL);
	} else {
		r = certs_put_all(view, data, err);
	}
	certs_held_clear(&held);
	return r;
}

int certs_make_secret_data(const struct certs_view *view, enum certs_action action,
			   struct json_object **ret, struct err *err)
{
	struct json_object *old = js_object(view->secret, "data");
	struct json_object *data = old ? merge_patch_apply(NULL, old) : js_new();
	int r = certs_put_action(view, action, data, err);

	if (r < 0)
		json_object_put(data);
	else
		*ret = data;
	return r;
}

/* Since when the next CA has been published: not before the ConfigMap has it. */
static struct json_object *certs_make_published(const struct certs_view *view, const char *next)
{
	int64_t when = certs_published_ms(view);
	char text[CLOCK_TEXT_MAX];

	if (when == INT64_MAX || !strstr(certs_published_bundle(view), next))
		when = view->now_ms;
	clock_format(when, text);
	return js_text(text);
}

struct json_object *certs_make_config_map(const struct certs_view *view, const char *bundle)
{
	struct json_object *obj = js_new(), *data = js_new();
	struct json_object *metadata = js_new(), *annotations = js_new();
	CLEANUP(mem_freep) char *key = certs_secret_text(view->secret, "ca-next.key");
	CLEANUP(mem_freep)
	char *next = key ? certs_read_cert(view->secret, "ca-next.crt", key) : NULL;

	js_put_str(data, "ca.crt", bundle);
	if (next)
		js_put(annotations, CERTS_PUBLISHED_ANNOTATION, certs_make_published(view, next));
	else if (view->config_map)
		js_put(annotations, CERTS_PUBLISHED_ANNOTATION, NULL);
	js_put(metadata, "annotations", annotations);
	js_put(obj, "metadata", metadata);
	js_put(obj, "data", data);
	return obj;
}

const char *certs_action_name(enum certs_action action)
{
	static const char *const names[] = {
	    [CERTS_NOTHING] = "nothing",
	    [CERTS_CREATE_SECRET] = "make the CA and the serving certificate",
	    [CERTS_REMAKE_SECRET] = "make the CA and the serving certificate anew",
	    [CERTS_RENEW_LEAF] = "renew the serving certificate",
	    [CERTS_MAKE_NEXT_CA] = "make the next CA",
	    [CERTS_SWITCH_CA] = "take the next CA into use",
	    [CERTS_DROP_OLD_CA] = "drop the old CA",
	    [CERTS_CREATE_CONFIG_MAP] = "publish the CA",
	    [CERTS_UPDATE_CONFIG_MAP] = "publish the CAs anew",
	};

	return names[action];
}
