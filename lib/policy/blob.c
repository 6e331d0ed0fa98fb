#include "policy/blob.h"

#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

/* enum aa_code in security/apparmor/include/policy_unpack.h */
enum blob_code {
	BLOB_U8,
	BLOB_U16,
	BLOB_U32,
	BLOB_U64,
	BLOB_NAME, /* of the value that follows it */
	BLOB_STRING,
	BLOB_BYTES,
	BLOB_STRUCT,
	BLOB_STRUCT_END,
	BLOB_LIST,
	BLOB_LIST_END,
	BLOB_ARRAY,
	BLOB_ARRAY_END,
};

enum {
	BLOB_DEPTH_MAX = 32,
	BLOB_FLAG_HAT = 1,
	BLOB_ABI_MASK = 0x3ff, /* K_ABI_MASK; the kernels accept 5 to 9 */
	BLOB_ABI_MIN = 5,
	BLOB_ABI_MAX = 9,
};

struct blob_reader {
	const uint8_t *start, *pos, *end;
	enum blob_code open[BLOB_DEPTH_MAX]; /* what has begun and not ended */
	size_t depth;
};

/* One value, with its name where it has one. */
struct blob_item {
	const char *name; /* NULL: none. NUL-terminated within the blob */
	enum blob_code code;
	uint64_t number;     /* of the fixed-size ones */
	const uint8_t *data; /* of a string, NUL included, or bytes */
	size_t n_data;
};

static int blob_fail(const struct blob_reader *r, const char *what, struct err *err)
{
	return err_set(err, -EINVAL, "the compiled policy is malformed at byte %zu: %s",
		       (size_t)(r->pos - r->start), what);
}

static const uint8_t *blob_take(struct blob_reader *r, size_t n)
{
	const uint8_t *at = r->pos;

	if ((size_t)(r->end - r->pos) < n)
		return NULL;
	r->pos += n;
	return at;
}

static bool blob_take_number(struct blob_reader *r, size_t n, uint64_t *ret)
{
	const uint8_t *at = blob_take(r, n);
	uint64_t number = 0;
	size_t i;

	if (!at)
		return false;
	for (i = 0; i < n; i++)
		number |= (uint64_t)at[i] << (8 * i);
	*ret = number;
	return true;
}

/* A length of `width` bytes, and as many bytes. */
static bool blob_take_sized(struct blob_reader *r, size_t width, struct blob_item *item)
{
	uint64_t n;

	if (!blob_take_number(r, width, &n))
		return false;
	item->data = blob_take(r, n);
	item->n_data = n;
	return item->data != NULL;
}

/* Text as the kernel takes it ends with a NUL; one in the middle would hide what is behind it. */
static bool blob_is_text(const struct blob_item *item)
{
	return item->n_data > 0 &&
	       memchr(item->data, '\0', item->n_data) == item->data + item->n_data - 1;
}

static int blob_read_payload(struct blob_reader *r, struct blob_item *item, struct err *err)
{
	bool ok = true;

	switch (item->code) {
	case BLOB_U8:
		ok = blob_take_number(r, 1, &item->number);
		break;
	case BLOB_U16:
	case BLOB_ARRAY: /* the number of its elements, which stand between it and its end */
		ok = blob_take_number(r, 2, &item->number);
		break;
	case BLOB_U32:
		ok = blob_take_number(r, 4, &item->number);
		break;
	case BLOB_U64:
		ok = blob_take_number(r, 8, &item->number);
		break;
	case BLOB_NAME:
	case BLOB_STRING:
		ok = blob_take_sized(r, 2, item);
		break;
	case BLOB_BYTES:
		ok = blob_take_sized(r, 4, item);
		break;
	case BLOB_STRUCT:
	case BLOB_STRUCT_END:
	case BLOB_LIST:
	case BLOB_LIST_END:
	case BLOB_ARRAY_END:
		break;
	default:
		return blob_fail(r, "a value of an unknown kind", err);
	}
	return ok ? 0 : blob_fail(r, "a value goes beyond the end", err);
}

/* Keep the account of what is open; an end must be the end of what began last. */
static int blob_nest(struct blob_reader *r, enum blob_code code, struct err *err)
{
	switch (code) {
	case BLOB_STRUCT:
	case BLOB_LIST:
	case BLOB_ARRAY:
		if (r->depth == BLOB_DEPTH_MAX)
			return blob_fail(r, "it is nested too deeply", err);
		r->open[r->depth++] = code;
		return 0;
	case BLOB_STRUCT_END:
	case BLOB_LIST_END:
	case BLOB_ARRAY_END:
		/* Each end's code is that of its beginning plus one. */
		if (r->depth == 0 || (int)r->open[r->depth - 1] + 1 != (int)code)
			return blob_fail(r, "an end without its beginning", err);
		r->depth--;
		return 0;
	default:
		return 0;
	}
}

static int blob_read_value(struct blob_reader *r, struct blob_item *item, struct err *err)
{
	const uint8_t *code = blob_take(r, 1);

	if (!code)
		return blob_fail(r, "it ends too early", err);
	item->code = (enum blob_code) * code;
	return blob_read_payload(r, item, err);
}

static int blob_read_item(struct blob_reader *r, struct blob_item *ret, struct err *err)
{
	struct blob_item item = {0};
	int e = blob_read_value(r, &item, err);

	if (e < 0)
		return e;
	if (item.code == BLOB_NAME) {
		const char *name = (const char *)item.data;

		if (!blob_is_text(&item))
			return blob_fail(r, "a name that is no text", err);
		item = (struct blob_item){.name = name};
		e = blob_read_value(r, &item, err);
		if (e < 0)
			return e;
		if (item.code == BLOB_NAME)
			return blob_fail(r, "a name of a name", err);
	}
	e = blob_nest(r, item.code, err);
	if (e == 0)
		*ret = item;
	return e;
}

static bool blob_is(const struct blob_item *item, enum blob_code code, const char *name)
{
	return item->code == code && item->name && strcmp(item->name, name) == 0;
}

static int blob_read_text(struct blob_reader *r, struct blob_item *item, char **ret,
			  struct err *err)
{
	if (item->code != BLOB_STRING || !blob_is_text(item))
		return blob_fail(r, "a text is expected", err);
	mem_replace(ret, mem_strndup((const char *)item->data, item->n_data - 1));
	return 0;
}

/* "flags": whether it is a hat, its mode, whether it audits. */
static int blob_read_flags(struct blob_reader *r, struct policy_blob_profile *p, struct err *err)
{
	struct blob_item flags = {0}, mode = {0};
	int e = blob_read_item(r, &flags, err);

	if (e == 0)
		e = blob_read_item(r, &mode, err);
	if (e < 0)
		return e;
	if (flags.code != BLOB_U32 || mode.code != BLOB_U32)
		return blob_fail(r, "a profile's flags are expected", err);
	p->is_hat = (flags.number & BLOB_FLAG_HAT) != 0;
	p->mode = (uint32_t)mode.number;
	return 0;
}

/* From a profile's name up to and with its flags. What stands there besides the name under which it
 * sees disconnected paths is an attachment, or belongs to one: the kernel's unpack_profile() looks
 * for nothing else. */
static int blob_read_head(struct blob_reader *r, struct policy_blob_profile *p, struct err *err)
{
	struct blob_item item = {0};
	int e = blob_read_item(r, &item, err);

	if (e == 0)
		e = blob_read_text(r, &item, &p->name, err);
	while (e == 0) {
		e = blob_read_item(r, &item, err);
		if (e < 0)
			break;
		if (r->depth == 0)
			return blob_fail(r, "a profile without flags", err);
		if (blob_is(&item, BLOB_STRUCT, "flags"))
			return blob_read_flags(r, p, err);
		if (blob_is(&item, BLOB_STRING, "rename"))
			p->has_rename = true;
		else if (!blob_is(&item, BLOB_STRING, "disconnected"))
			p->has_attachment = true;
	}
	return e;
}

/* Pass over what is left of a profile. */
static int blob_read_rest(struct blob_reader *r, struct err *err)
{
	struct blob_item item = {0};
	int e = 0;

	while (e == 0 && r->depth > 0)
		e = blob_read_item(r, &item, err);
	return e;
}

static void blob_hash(const struct blob_reader *r, struct policy_blob_profile *p)
{
	const uint8_t version[4] = {
	    (uint8_t)p->version,
	    (uint8_t)(p->version >> 8),
	    (uint8_t)(p->version >> 16),
	    (uint8_t)(p->version >> 24),
	};
	const struct sha_part parts[2] = {
	    {version, sizeof(version)},
	    {r->start + p->offset, p->len},
	};

	sha_hex(SHA_1, parts, 2, p->sha1);
	sha_hex(SHA_256, parts, 2, p->sha256);
}

/* The headers in front of a profile: a version word, which may be left out where the one before
 * holds, and a namespace. `item` is what follows them. */
static int blob_read_headers(struct blob_reader *r, struct policy_blob_profile *p,
			     struct blob_item *item, size_t *ret_start, struct err *err)
{
	uint32_t abi;
	int e;

	*ret_start = (size_t)(r->pos - r->start);
	e = blob_read_item(r, item, err);
	if (e == 0 && blob_is(item, BLOB_U32, "version")) {
		p->version = (uint32_t)item->number;
		*ret_start = (size_t)(r->pos - r->start);
		e = blob_read_item(r, item, err);
	}
	abi = p->version & BLOB_ABI_MASK;
	if (e == 0 && (abi < BLOB_ABI_MIN || abi > BLOB_ABI_MAX))
		return blob_fail(r, "its version is not known here", err);
	if (e == 0 && blob_is(item, BLOB_STRING, "namespace")) {
		e = blob_read_text(r, item, &p->ns, err);
		*ret_start = (size_t)(r->pos - r->start);
		if (e == 0)
			e = blob_read_item(r, item, err);
	}
	return e;
}

static int blob_read_profile(struct blob_reader *r, uint32_t version, struct policy_blob_profile *p,
			     struct err *err)
{
	struct blob_item item = {0};
	int e;

	p->version = version;
	e = blob_read_headers(r, p, &item, &p->offset, err);
	if (e < 0)
		return e;
	if (!blob_is(&item, BLOB_STRUCT, "profile"))
		return blob_fail(r, "a profile is expected", err);
	e = blob_read_head(r, p, err);
	if (e == 0)
		e = blob_read_rest(r, err);
	if (e < 0)
		return e;
	p->len = (size_t)(r->pos - r->start) - p->offset;
	p->is_child = strstr(p->name, "//") != NULL;
	blob_hash(r, p);
	return 0;
}

int policy_blob_parse(const char *bytes, size_t n, struct policy_blob *ret, struct err *err)
{
	const uint8_t *start = (const uint8_t *)bytes;
	struct blob_reader r = {.start = start, .pos = start, .end = start + n};
	struct policy_blob blob = {0};
	uint32_t version = 0;
	int e = 0;

	if (n > POLICY_BLOB_MAX)
		return err_set(err, -EINVAL, "the compiled policy has %zu bytes and may have %d", n,
			       POLICY_BLOB_MAX);
	blob.profiles = mem_alloc(POLICY_BLOB_PROFILES_MAX, sizeof(*blob.profiles));
	while (e == 0 && r.pos < r.end) {
		if (blob.n == POLICY_BLOB_PROFILES_MAX) {
			e = err_set(err, -EINVAL,
				    "the policy defines more than %d profiles, hats and children",
				    POLICY_BLOB_PROFILES_MAX);
			break;
		}
		e = blob_read_profile(&r, version, &blob.profiles[blob.n], err);
		version = blob.profiles[blob.n++].version;
	}
	if (e < 0) {
		policy_blob_clear(&blob);
		return e;
	}
	blob.profiles = mem_resize(blob.profiles, blob.n ? blob.n : 1, sizeof(*blob.profiles));
	*ret = blob;
	return 0;
}

void policy_blob_clear(struct policy_blob *blob)
{
	size_t i;

	for (i = 0; i < blob->n; i++) {
		free(blob->profiles[i].name);
		free(blob->profiles[i].ns);
	}
	free(blob->profiles);
	*blob = (struct policy_blob){0};
}

const struct policy_blob_profile *policy_blob_top(const struct policy_blob *blob)
{
	size_t i;

	for (i = 0; i < blob->n; i++)
		if (!blob->profiles[i].is_child)
			return &blob->profiles[i];
	return NULL;
}
