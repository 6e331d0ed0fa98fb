#include "model_kernel.h"

#include "base/buf.h"
#include "base/container_of.h"

enum { MODEL_LINE = 128 };

struct fetch {
	struct model *model;
	uv_timer_t timer;
	char hash[SHA256_HEX];
	fetch_done_fn done;
	void *ctx;
};

/* All lines that were made into items, by hash. */
static struct {
	char hash[SHA256_HEX];
	char line[MODEL_LINE];
	char digit;
} store[256];
static size_t n_stored;

/* The walker of compiled policy has tests of its own; '!' stands for what it refuses. */
int __wrap_policy_blob_parse(const char *bytes, size_t n, struct policy_blob *ret, struct err *err);
int __wrap_policy_blob_check(const struct policy_blob *blob, const char *name,
			     enum profile_mode mode, struct err *err);

int __wrap_policy_blob_parse(const char *bytes, size_t n, struct policy_blob *ret, struct err *err)
{
	(void)ret;
	return n > 0 && bytes[0] == '!' ? err_set(err, -EINVAL, "not a policy") : 0;
}

int __wrap_policy_blob_check(const struct policy_blob *blob, const char *name,
			     enum profile_mode mode, struct err *err)
{
	(void)blob, (void)name, (void)mode, (void)err;
	return 0;
}

struct model_profile *model_find(struct model *m, const char *name)
{
	size_t i;

	for (i = 0; i < MODEL_PROFILES; i++)
		if (strcmp(m->profiles[i].name, name) == 0)
			return &m->profiles[i];
	return NULL;
}

static void model_put(struct model *m, const char *name, char digit)
{
	struct model_profile *p = model_find(m, name);

	if (!p)
		p = model_find(m, "");
	assert_non_null(p);
	if (!p)
		abort(); /* more profiles than a test needs */
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->digit = digit;
	p->mode = "enforce";
}

void model_load(struct model *m, const char *line)
{
	CLEANUP(mem_freep) char *copy = mem_strdup(line);
	char *save = NULL;
	const char *name = strtok_r(copy, " ", &save);
	const char *digit = strtok_r(NULL, " ", &save);
	const char *child;

	model_put(m, name, *digit);
	while ((child = strtok_r(NULL, " ", &save)))
		model_put(m, child, *digit);
	m->revision++;
}

void model_unload(struct model *m, const char *name)
{
	size_t n = strlen(name);
	size_t i;

	for (i = 0; i < MODEL_PROFILES; i++)
		if (strcmp(m->profiles[i].name, name) == 0 ||
		    (strncmp(m->profiles[i].name, name, n) == 0 &&
		     strncmp(m->profiles[i].name + n, "//", 2) == 0))
			m->profiles[i] = (struct model_profile){0};
	m->revision++;
}

/* ---- the kernel's operations ---- */

static int model_op(struct model *m, struct err *err)
{
	if (++m->n_ops == m->fail_op)
		return err_set(err, -ENOMEM, "the fault that was ordered");
	return 0;
}

static void model_read(struct model *m, const char *name, struct aafs_tree *tree)
{
	size_t n = strlen(name);
	int pass;
	size_t i;

	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < MODEL_PROFILES; i++) {
			const struct model_profile *p = &m->profiles[i];
			bool is_top = strcmp(p->name, name) == 0;
			struct aafs_profile *out;

			if (pass == 0 ? !is_top
				      : strncmp(p->name, name, n) != 0 ||
					    strncmp(p->name + n, "//", 2) != 0)
				continue;
			tree->items = mem_resize(tree->items, tree->n + 1, sizeof(*tree->items));
			out = &tree->items[tree->n++];
			*out = (struct aafs_profile){.name = mem_strdup(p->name)};
			snprintf(out->mode, sizeof(out->mode), "%s", p->mode);
			fill_hash(out->sha256, sizeof(out->sha256), p->digit);
		}
	}
}

static int model_scan(void *data, aafs_wanted_fn wanted, aafs_found_fn found, void *ctx,
		      struct err *err)
{
	struct model *m = data;
	size_t i;

	if (model_op(m, err) < 0)
		return err->code;
	for (i = 0; i < MODEL_PROFILES; i++) {
		const char *name = m->profiles[i].name;
		struct aafs_tree tree = {0};

		if (!*name || strstr(name, "//") || !wanted(ctx, name))
			continue;
		model_read(m, name, &tree);
		found(ctx, &tree);
		aafs_tree_clear(&tree);
	}
	return 0;
}

static int model_revision(void *data, int64_t *value, struct err *err)
{
	struct model *m = data;

	if (m->is_blind)
		return err_set(err, -EIO, "nobody can tell");
	*value = m->revision;
	return 0;
}

static int model_replace(void *data, const void *bytes, size_t n, struct err *err)
{
	struct model *m = data;
	CLEANUP(mem_freep) char *line = mem_strndup(bytes, n);

	if (model_op(m, err) < 0)
		return err->code;
	if (m->before)
		m->before(m);
	model_load(m, line);
	m->n_replaced++;
	if (m->is_lying)
		model_find(m, "web")->digit = 'f';
	if (m->after)
		m->after(m);
	return 0;
}

static int model_remove(void *data, const char *name, struct err *err)
{
	struct model *m = data;

	if (model_op(m, err) < 0)
		return err->code;
	if (!model_find(m, name))
		return err_set(err, -ENOENT, "there is none");
	model_unload(m, name);
	m->n_removed++;
	return 0;
}

static void model_use(const struct map *uses, const char *name, int64_t pid)
{
	struct tasks_use *use = map_get(uses, name);

	if (!use)
		return;
	use->n++;
	if (use->n_holders == SYNC_HOLDERS_MAX)
		return;
	use->holders[use->n_holders++] = (struct sync_holder){
	    .pod_uid = mem_strdup("pod-1"), .command = mem_strdup("nginx"), .pid = pid};
}

static int model_tasks(void *data, const struct map *uses, struct err *err)
{
	struct model *m = data;
	size_t i;

	if (model_op(m, err) < 0)
		return err->code;
	if (m->tasks_unknown)
		return err_set(err, -EPERM, "hostPID is missing");
	for (i = 0; i < MODEL_PROFILES; i++) {
		CLEANUP(mem_freep) char *name = mem_strdup(m->profiles[i].name);
		char *end;

		if (!m->profiles[i].holder)
			continue;
		model_use(uses, name, m->profiles[i].holder);
		end = strstr(name, "//");
		if (end) {
			*end = '\0';
			model_use(uses, name, m->profiles[i].holder);
		}
	}
	return 0;
}

/* ---- artefacts ---- */

struct sync_item model_item(const char *name, char digit, const char *child)
{
	struct sync_item item = make_item(name, digit, child);
	char line[MODEL_LINE];
	size_t i;

	snprintf(line, sizeof(line), "%s %c%s%s", name, digit, child ? " " : "",
		 child ? child : "");
	sha256_hex(line, strlen(line), item.artefact);
	item.artefact_size = (int64_t)strlen(line);
	for (i = 0; i < n_stored; i++)
		if (strcmp(store[i].hash, item.artefact) == 0)
			return item;
	memcpy(store[n_stored].line, line, sizeof(line));
	memcpy(store[n_stored].hash, item.artefact, sizeof(item.artefact));
	store[n_stored++].digit = digit;
	return item;
}

static void fetch_on_closed(uv_handle_t *handle)
{
	free(container_of(handle, struct fetch, timer));
}

static void fetch_on_timer(uv_timer_t *timer)
{
	struct fetch *f = container_of(timer, struct fetch, timer);
	struct model *m = f->model;
	struct buf bytes = BUF_INIT(4096);
	struct err err;
	int code = 0;
	size_t i;

	for (i = 0; i < n_stored && strcmp(store[i].hash, f->hash) != 0;)
		i++;
	assert_true(i < n_stored);
	buf_add_str(&bytes, store[i].line);
	m->n_fetched++;
	if (store[i].digit == m->missing)
		code = err_set(&err, -EIO, "the controller answered 404");
	if (store[i].digit == m->corrupt)
		bytes.data[0] ^= 1;
	uv_close((uv_handle_t *)timer, fetch_on_closed);
	f->done(f->ctx, code, &bytes, &err);
	buf_clear(&bytes);
}

static struct fetch *fetch_start(void *data, const char *hash, int64_t size, fetch_done_fn done,
				 void *ctx)
{
	struct model *m = data;
	struct fetch *f = MEM_NEW(struct fetch);
	size_t i;

	(void)size;
	f->model = m;
	f->done = done;
	f->ctx = ctx;
	memcpy(f->hash, hash, sizeof(f->hash));
	uv_timer_init(m->loop, &f->timer);
	for (i = 0; i < n_stored; i++) {
		if (strcmp(store[i].hash, hash) == 0 && store[i].digit == m->stalled) {
			m->waiting = f;
			return f;
		}
	}
	uv_timer_start(&f->timer, fetch_on_timer, 0, 0);
	return f;
}

static void fetch_cancel(void *data, struct fetch *f)
{
	struct model *m = data;

	if (m->waiting == f)
		m->waiting = NULL;
	uv_close((uv_handle_t *)&f->timer, fetch_on_closed);
}

void model_release(struct model *m)
{
	struct fetch *f = STEAL(m->waiting);

	m->stalled = 0;
	uv_timer_start(&f->timer, fetch_on_timer, 0, 0);
}

void model_init(struct model *m, uv_loop_t *loop)
{
	*m = (struct model){
	    .kernel = {.data = m,
		       .scan = model_scan,
		       .revision = model_revision,
		       .replace = model_replace,
		       .remove = model_remove,
		       .tasks = model_tasks},
	    .fetcher = {.data = m, .start = fetch_start, .cancel = fetch_cancel},
	    .loop = loop,
	};
}
