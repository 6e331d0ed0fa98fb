#include "model_kernel.h"

#include "api/sync_family.h"
#include "keeper_priv.h"
#include "unit.h"

#include <sys/wait.h>

#define BOOT "11111111-2222-3333-4444-555555555555"

enum { PATIENCE_MS = 20000 };

/* The disk, and waits that are over at once where a test does not look at them. */
static bool disk_full;
static bool wait_long;

int __real_file_replace(const char *path, const void *bytes, size_t n, mode_t mode,
			struct err *err);
int __wrap_file_replace(const char *path, const void *bytes, size_t n, mode_t mode,
			struct err *err);
int64_t __wrap_unit_backoff_ms(struct unit *u, uint64_t random);

int __wrap_file_replace(const char *path, const void *bytes, size_t n, mode_t mode, struct err *err)
{
	if (disk_full)
		return err_set(err, -ENOSPC, "cannot write %s: %s", path, strerror(ENOSPC));
	return __real_file_replace(path, bytes, n, mode, err);
}

int64_t __wrap_unit_backoff_ms(struct unit *u, uint64_t random)
{
	(void)u, (void)random;
	return wait_long ? 3600000 : 1;
}

struct fixture {
	uv_loop_t loop;
	struct model model;
	char *dir;
	char *copy; /* of the folder, as it was at some moment */
	struct keeper *keeper;
	struct sync_report report;
	bool is_off;
};

static struct fixture *the_fixture; /* for the model's callbacks */

static void on_changed(void *data)
{
	(void)data;
}

static void start(struct fixture *f, const char *dir)
{
	struct err err;

	assert_int_equal(keeper_new(
			     &(struct keeper_spec){
				 .loop = &f->loop,
				 .state_dir = dir,
				 .boot_id = BOOT,
				 .kernel = f->is_off ? NULL : &f->model.kernel,
				 .off_reason = "AppArmor is off",
				 .fetcher = &f->model.fetcher,
				 .cache_max_bytes = 1 << 20,
				 .changed = on_changed,
				 .data = f,
			     },
			     &f->keeper, &err),
			 0);
}

static void stop(struct fixture *f)
{
	keeper_close(STEAL(f->keeper));
	while (uv_run(&f->loop, UV_RUN_NOWAIT) != 0)
		;
}

static int setup(void **state)
{
	struct fixture *f = MEM_NEW(struct fixture);

	disk_full = wait_long = false;
	uv_loop_init(&f->loop);
	model_init(&f->model, &f->loop);
	dir_setup((void **)&f->dir);
	dir_setup((void **)&f->copy);
	start(f, f->dir);
	*state = the_fixture = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	stop(f);
	sync_report_clear(&f->report);
	dir_teardown((void **)&f->dir);
	dir_teardown((void **)&f->copy);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	free(f);
	return 0;
}

/* What is told, as a list of items; the last one has no name. */
static void tell_as(struct fixture *f, bool is_old, struct sync_item *items)
{
	struct sync_item *copy;
	size_t n = 0;

	while (items[n].name)
		n++;
	copy = mem_alloc(n, sizeof(*copy));
	memcpy(copy, items, n * sizeof(*copy));
	keeper_tell(f->keeper, copy, n, is_old);
}

#define tell(f_, ...) tell_as((f_), false, (struct sync_item[]){__VA_ARGS__, {0}})
#define tell_old(f_, ...) tell_as((f_), true, (struct sync_item[]){__VA_ARGS__, {0}})
#define tell_nothing(f_) tell_as((f_), false, (struct sync_item[]){{0}})

static const struct sync_status *status(struct fixture *f, const char *name)
{
	size_t i;

	sync_report_clear(&f->report);
	keeper_report(f->keeper, &f->report);
	for (i = 0; i < f->report.n; i++)
		if (strcmp(f->report.items[i].name, name) == 0)
			return &f->report.items[i];
	return NULL;
}

static void on_alarm(uv_timer_t *timer)
{
	(void)timer;
	fail_msg("it did not come to that within %d ms", PATIENCE_MS);
}

static void run_until_state(struct fixture *f, const char *name, enum sync_state expected)
{
	const struct sync_status *s;
	uv_timer_t alarm;

	uv_timer_init(&f->loop, &alarm);
	uv_timer_start(&alarm, on_alarm, PATIENCE_MS, 0);
	while (!(s = status(f, name)) || s->state != expected || keeper_is_busy(f->keeper))
		uv_run(&f->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&alarm, NULL);
	uv_run(&f->loop, UV_RUN_NOWAIT);
}

static void expect_kernel(struct fixture *f, const char *name, char digit)
{
	const struct model_profile *p = model_find(&f->model, name);

	assert_int_equal(p ? p->digit : 0, digit);
}

static void look(struct fixture *f)
{
	keeper_look(f->keeper);
}

/* It says that the kernel holds just this, which is dropped. */
static void expect_family(struct fixture *f, struct sync_item item)
{
	const struct sync_status *s = status(f, item.name);
	struct sync_family family;

	sync_family_expect(item.hashes, item.n_hashes, item.mode, &family);
	assert_true(sync_family_fits(&family, s->digest));
	assert_int_equal(s->n_hashes, 0);
	sync_item_clear(&item);
}

/* ---- loading ---- */

static void what_is_told_is_fetched_loaded_and_read_back(void **state)
{
	struct fixture *f = *state;
	const struct sync_status *s;

	tell(f, model_item("api", 'b', NULL), model_item("web", 'a', "web//kid"));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	run_until_state(f, "api", SYNC_STATE_LOADED);
	expect_kernel(f, "web//kid", 'a');
	s = status(f, "web");
	assert_string_equal(s->revision, "aaaaaaaaaaaa");
	assert_string_equal(s->target, "aaaaaaaaaaaa");
	assert_string_equal(s->kernel_mode, "enforce");
	assert_string_equal(s->uid, "uid-1");
	expect_family(f, model_item("web", 'a', "web//kid"));
	assert_int_equal(f->model.n_replaced, 2);
	assert_int_equal(f->report.n, 2);
	assert_true(f->report.apparmor_enabled);
}

/* The artefact of an item, as it comes with the set. */
static struct sync_enclosed enclosed_of(const struct sync_item *item, const char *line)
{
	struct sync_enclosed e = {.bytes = mem_strdup(line), .n = strlen(line)};

	memcpy(e.sha256, item->artefact, sizeof(e.sha256));
	return e;
}

static void offer(struct fixture *f, struct sync_enclosed e)
{
	struct sync_enclosed *array = MEM_NEW(struct sync_enclosed);

	*array = e;
	keeper_offer(f->keeper, array, 1);
}

static void what_comes_with_the_set_is_not_fetched(void **state)
{
	struct fixture *f = *state;
	struct sync_item web = model_item("web", 'a', NULL);

	offer(f, enclosed_of(&web, "web a"));
	tell(f, web);
	run_until_state(f, "web", SYNC_STATE_LOADED);
	expect_kernel(f, "web", 'a');
	assert_int_equal(f->model.n_fetched, 0);
	/* It is on disk for the next start, as if it had been fetched. */
	stop(f);
	start(f, f->dir);
	model_unload(&f->model, "web");
	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	assert_int_equal(f->model.n_fetched, 0);
	assert_int_equal(f->model.n_replaced, 2);
}

static void what_comes_with_the_set_and_is_not_what_it_says_is_fetched(void **state)
{
	struct fixture *f = *state;
	struct sync_item web = model_item("web", 'a', NULL);

	offer(f, enclosed_of(&web, "web b"));
	tell(f, web);
	run_until_state(f, "web", SYNC_STATE_LOADED);
	expect_kernel(f, "web", 'a');
	assert_int_equal(f->model.n_fetched, 1);
}

static void an_update_is_one_replace(void **state)
{
	struct fixture *f = *state;

	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	tell(f, model_item("web", 'b', NULL));
	assert_string_equal(status(f, "web")->revision, "aaaaaaaaaaaa");
	assert_int_equal(status(f, "web")->state, SYNC_STATE_PENDING);
	run_until_state(f, "web", SYNC_STATE_LOADED);
	expect_kernel(f, "web", 'b');
	assert_int_equal(f->model.n_replaced, 2);
	assert_int_equal(f->model.n_removed, 0);
}

static void what_nobody_changed_is_not_read_again(void **state)
{
	struct fixture *f = *state;

	tell(f, model_item("api", 'b', NULL), model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	run_until_state(f, "api", SYNC_STATE_LOADED);
	f->model.n_ops = 0;
	tell(f, model_item("api", 'b', NULL), model_item("web", 'c', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	look(f);
	/* The replace, and the one profile read back. */
	assert_int_equal(f->model.n_ops, 2);
	/* One look at each as soon as somebody else was there, all the same. */
	f->model.revision++;
	look(f);
	assert_int_equal(f->model.n_ops, 3);
}

static void an_agent_that_starts_again_loads_nothing_again(void **state)
{
	struct fixture *f = *state;

	tell(f, model_item("api", 'b', NULL), model_item("web", 'a', "web//kid"));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	stop(f);
	start(f, f->dir);
	tell(f, model_item("api", 'b', NULL), model_item("web", 'a', "web//kid"));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	run_until_state(f, "api", SYNC_STATE_LOADED);
	assert_int_equal(f->model.n_replaced, 2);
	assert_int_equal(f->model.n_fetched, 2);
}

static void a_former_revision_comes_from_disk(void **state)
{
	struct fixture *f = *state;

	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	tell(f, model_item("web", 'b', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	expect_kernel(f, "web", 'a');
	assert_int_equal(f->model.n_fetched, 2);
}

static void one_failure_does_not_hold_up_another(void **state)
{
	struct fixture *f = *state;

	wait_long = true;
	f->model.stalled = 's';
	f->model.missing = 'm';
	f->model.corrupt = 'c';
	tell(f, model_item("corrupt", 'c', NULL), model_item("good", 'g', NULL),
	     model_item("missing", 'm', NULL), model_item("stalled", 's', NULL));
	while (status(f, "good")->state != SYNC_STATE_LOADED ||
	       status(f, "missing")->state != SYNC_STATE_FAILED ||
	       status(f, "corrupt")->state != SYNC_STATE_FAILED)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(status(f, "missing")->reason, SYNC_REASON_FETCH_FAILED);
	assert_int_equal(status(f, "corrupt")->reason, SYNC_REASON_BAD_ARTEFACT);
	assert_int_equal(status(f, "stalled")->state, SYNC_STATE_PENDING);
	assert_true(keeper_is_busy(f->keeper));
	assert_int_equal(f->model.n_replaced, 1);
	model_release(&f->model);
	run_until_state(f, "stalled", SYNC_STATE_LOADED);
}

static void wrong_bytes_never_reach_the_kernel(void **state)
{
	struct fixture *f = *state;

	wait_long = true;
	f->model.corrupt = 'c';
	tell(f, model_item("web", 'c', NULL));
	run_until_state(f, "web", SYNC_STATE_FAILED);
	assert_int_equal(status(f, "web")->reason, SYNC_REASON_BAD_ARTEFACT);
	assert_int_equal(f->model.n_replaced, 0);
}

static void a_policy_that_is_none_never_reaches_the_kernel(void **state)
{
	struct fixture *f = *state;
	struct sync_item item = model_item("!web", 'a', NULL);

	wait_long = true;
	mem_replace(&item.name, mem_strdup("web"));
	tell(f, item);
	run_until_state(f, "web", SYNC_STATE_FAILED);
	assert_int_equal(status(f, "web")->reason, SYNC_REASON_BAD_ARTEFACT);
	assert_string_equal(status(f, "web")->message, "not a policy");
	assert_int_equal(f->model.n_replaced, 0);
}

static void a_name_that_could_brick_the_kernel_is_refused(void **state)
{
	struct fixture *f = *state;
	char name[SYNC_NAME_MAX];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	tell(f, make_item(name, 'a', NULL));
	run_until_state(f, name, SYNC_STATE_FAILED);
	assert_int_equal(status(f, name)->reason, SYNC_REASON_LOAD_FAILED);
	assert_int_equal(f->model.n_fetched, 0);
	/* No other try is made. */
	assert_int_equal(((struct unit *)map_get(&f->keeper->units, name))->phase, UNIT_RESTING);
}

static void a_kernel_that_made_something_else_of_it_is_not_loaded(void **state)
{
	struct fixture *f = *state;

	wait_long = true;
	f->model.is_lying = true;
	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_FAILED);
	assert_int_equal(status(f, "web")->reason, SYNC_REASON_VERIFY_FAILED);
	assert_string_equal(status(f, "web")->revision, "");
	/* Ours all the same: it can be replaced and removed. */
	f->model.is_lying = false;
	tell(f, model_item("web", 'b', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
}

static void a_change_of_mind_drops_what_is_under_way(void **state)
{
	struct fixture *f = *state;

	f->model.stalled = 'a';
	tell(f, model_item("web", 'a', NULL));
	uv_run(&f->loop, UV_RUN_ONCE);
	assert_non_null(f->model.waiting);
	tell(f, model_item("web", 'b', NULL));
	assert_null(f->model.waiting);
	run_until_state(f, "web", SYNC_STATE_LOADED);
	expect_kernel(f, "web", 'b');
	assert_int_equal(f->model.n_replaced, 1);
}

/* ---- the record ---- */

static void nothing_is_loaded_that_cannot_be_recorded(void **state)
{
	struct fixture *f = *state;

	disk_full = true;
	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_FAILED);
	assert_int_equal(status(f, "web")->reason, SYNC_REASON_DISK_FULL);
	assert_int_equal(f->model.n_replaced, 0);
	disk_full = false;
	run_until_state(f, "web", SYNC_STATE_LOADED);
}

static void copy_folder(struct model *m)
{
	CLEANUP(mem_freep)
	char *command = mem_printf("cp -r %s/. %s", the_fixture->dir, the_fixture->copy);

	(void)m;
	assert_int_equal(system(command), 0); // NOLINT(cert-env33-c): our own folders
}

static void an_agent_that_dies_before_it_loads_owns_nothing(void **state)
{
	struct fixture *f = *state;

	f->model.before = copy_folder;
	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	stop(f);
	/* As it was then, and somebody else loads one. */
	model_unload(&f->model, "web");
	model_load(&f->model, "web f");
	start(f, f->copy);
	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_FAILED);
	assert_int_equal(status(f, "web")->reason, SYNC_REASON_NAME_CONFLICT);
	expect_kernel(f, "web", 'f');
}

static void an_agent_that_dies_after_it_loaded_knows_its_own(void **state)
{
	struct fixture *f = *state;

	f->model.after = copy_folder;
	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	stop(f);
	f->model.after = NULL;
	start(f, f->copy);
	tell(f, model_item("web", 'b', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	expect_kernel(f, "web", 'b');
	tell(f, make_absent("web"));
	run_until_state(f, "web", SYNC_STATE_ABSENT);
	expect_kernel(f, "web", 0);
}

/* It dies after it loaded one and before that was noted, and again before it loads the next. */
static void what_is_to_be_loaded_next_is_not_all_that_is_known_as_ours(void **state)
{
	struct fixture *f = *state;

	f->model.after = copy_folder;
	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	stop(f);
	f->model.after = NULL;
	start(f, f->copy);
	f->model.missing = 'b';
	wait_long = true;
	tell(f, model_item("web", 'b', NULL));
	run_until_state(f, "web", SYNC_STATE_FAILED);
	assert_int_equal(status(f, "web")->reason, SYNC_REASON_FETCH_FAILED);
	stop(f);
	start(f, f->copy);
	tell(f, model_item("web", 'c', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	expect_kernel(f, "web", 'c');
}

static void a_lost_disk_unloads_nothing(void **state)
{
	struct fixture *f = *state;

	tell(f, model_item("api", 'b', NULL), model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	run_until_state(f, "api", SYNC_STATE_LOADED);
	stop(f);
	start(f, f->copy);
	tell(f, make_absent("api"), model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	run_until_state(f, "api", SYNC_STATE_ABSENT);
	expect_kernel(f, "api", 'b');
	assert_int_equal(f->model.n_removed, 0);
	assert_int_equal(f->model.n_replaced, 2);
}

/* ---- whose it is ---- */

static void what_is_not_ours_is_left_alone_until_it_goes(void **state)
{
	struct fixture *f = *state;

	model_load(&f->model, "web f");
	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_FAILED);
	assert_int_equal(status(f, "web")->reason, SYNC_REASON_NAME_CONFLICT);
	assert_string_equal(status(f, "web")->revision, "");
	assert_int_equal(status(f, "web")->n_hashes, 0);
	assert_int_equal(f->model.n_fetched, 0);
	tell(f, make_absent("web"));
	run_until_state(f, "web", SYNC_STATE_ABSENT);
	expect_kernel(f, "web", 'f');
	tell(f, model_item("web", 'a', NULL));
	model_unload(&f->model, "web");
	look(f);
	run_until_state(f, "web", SYNC_STATE_LOADED);
	assert_int_equal(f->model.n_removed, 0);
}

static void what_is_not_ours_can_be_adopted(void **state)
{
	struct fixture *f = *state;
	struct sync_item item = model_item("web", 'a', NULL);

	model_load(&f->model, "web f");
	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_FAILED);
	item.adopt = true;
	tell(f, item);
	run_until_state(f, "web", SYNC_STATE_LOADED);
	expect_kernel(f, "web", 'a');
	assert_int_equal(f->model.n_removed, 0);
}

static void what_is_not_ours_is_not_removed_either_where_it_is_what_was_told(void **state)
{
	struct fixture *f = *state;

	model_load(&f->model, "web a");
	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	expect_family(f, model_item("web", 'a', NULL));
	assert_int_equal(f->model.n_replaced, 0);
	tell(f, make_absent("web"));
	run_until_state(f, "web", SYNC_STATE_ABSENT);
	expect_kernel(f, "web", 'a');
	tell(f, model_item("web", 'b', NULL));
	run_until_state(f, "web", SYNC_STATE_FAILED);
	assert_int_equal(status(f, "web")->reason, SYNC_REASON_NAME_CONFLICT);
	expect_kernel(f, "web", 'a');
}

static void nothing_is_loaded_while_nobody_can_tell_what_the_kernel_holds(void **state)
{
	struct fixture *f = *state;
	int i;

	f->model.stalled = 'a';
	tell(f, model_item("web", 'a', NULL));
	uv_run(&f->loop, UV_RUN_ONCE);
	model_load(&f->model, "web f");
	f->model.is_blind = true;
	model_release(&f->model);
	for (i = 0; i < 20; i++)
		uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(f->model.n_replaced, 0);
	f->model.is_blind = false;
	run_until_state(f, "web", SYNC_STATE_FAILED);
	assert_int_equal(status(f, "web")->reason, SYNC_REASON_NAME_CONFLICT);
	expect_kernel(f, "web", 'f');
}

static void a_foreign_one_that_comes_at_the_last_moment_is_seen(void **state)
{
	struct fixture *f = *state;

	f->model.stalled = 'a';
	tell(f, model_item("web", 'a', NULL));
	uv_run(&f->loop, UV_RUN_ONCE);
	model_load(&f->model, "web f");
	model_release(&f->model);
	run_until_state(f, "web", SYNC_STATE_FAILED);
	assert_int_equal(status(f, "web")->reason, SYNC_REASON_NAME_CONFLICT);
	expect_kernel(f, "web", 'f');
}

static void ours_that_somebody_changed_is_loaded_again(void **state)
{
	struct fixture *f = *state;

	wait_long = true;
	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	model_load(&f->model, "web f");
	look(f);
	assert_int_equal(status(f, "web")->state, SYNC_STATE_DRIFTED);
	assert_string_equal(status(f, "web")->revision, "");
	assert_string_equal(status(f, "web")->kernel_mode, "enforce");
	assert_non_null(strstr(status(f, "web")->message, "somebody else"));
	/* It is no drift any more as soon as something else is told. */
	tell(f, model_item("web", 'b', NULL));
	assert_int_equal(status(f, "web")->state, SYNC_STATE_PENDING);
	stop(f);
	wait_long = false;
	start(f, f->dir);
	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	model_unload(&f->model, "web");
	look(f);
	assert_int_equal(status(f, "web")->state, SYNC_STATE_DRIFTED);
	assert_string_equal(status(f, "web")->kernel_mode, "");
	run_until_state(f, "web", SYNC_STATE_LOADED);
	expect_kernel(f, "web", 'a');
}

/* ---- removing ---- */

static void removal_is_told_and_never_inferred(void **state)
{
	struct fixture *f = *state;

	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	tell_nothing(f);
	run_until_state(f, "web", SYNC_STATE_ORPHAN);
	assert_string_equal(status(f, "web")->revision, "aaaaaaaaaaaa");
	assert_string_equal(status(f, "web")->uid, "uid-1");
	stop(f);
	start(f, f->dir);
	tell_nothing(f);
	run_until_state(f, "web", SYNC_STATE_ORPHAN);
	tell(f, make_absent("web"));
	run_until_state(f, "web", SYNC_STATE_ABSENT);
	expect_kernel(f, "web", 0);
	tell_nothing(f);
	assert_null(status(f, "web"));
}

static void a_set_of_before_says_what_to_load_and_not_what_to_remove(void **state)
{
	struct fixture *f = *state;

	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	stop(f);
	start(f, f->dir);
	tell_old(f, model_item("api", 'b', NULL), make_absent("web"));
	run_until_state(f, "api", SYNC_STATE_LOADED);
	assert_int_equal(status(f, "web")->state, SYNC_STATE_PENDING);
	expect_kernel(f, "web", 'a');
	keeper_confirm(f->keeper);
	run_until_state(f, "web", SYNC_STATE_ABSENT);
	expect_kernel(f, "web", 0);
}

/* A process that ends when it is told, and is waited for at once. */
static pid_t spawn(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		pause();
		_exit(0);
	}
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void what_is_in_use_drains_until_its_tasks_end(void **state)
{
	struct fixture *f = *state;
	const struct sync_status *s;
	pid_t pid = spawn();

	tell(f, model_item("web", 'a', "web//kid"));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	model_find(&f->model, "web//kid")->holder = pid;
	tell(f, make_absent("web"));
	run_until_state(f, "web", SYNC_STATE_DRAINING);
	s = status(f, "web");
	assert_int_equal(s->n_holders, 1);
	assert_string_equal(s->message, "in use by 1 process");
	assert_string_equal(s->holders[0].command, "nginx");
	assert_string_equal(s->holders[0].pod_uid, "pod-1");
	assert_int_equal(s->holders[0].pid, pid);
	assert_string_equal(s->revision, "aaaaaaaaaaaa");
	assert_int_equal(f->model.n_removed, 0);
	model_find(&f->model, "web//kid")->holder = 0;
	end(pid);
	run_until_state(f, "web", SYNC_STATE_ABSENT);
	expect_kernel(f, "web", 0);
}

static void a_draining_profile_may_be_wanted_again(void **state)
{
	struct fixture *f = *state;

	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	model_find(&f->model, "web")->holder = getpid();
	tell(f, make_absent("web"));
	run_until_state(f, "web", SYNC_STATE_DRAINING);
	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	assert_int_equal(f->model.n_replaced, 1);
	assert_int_equal(f->model.n_removed, 0);
}

static void nothing_is_removed_where_tasks_cannot_be_seen(void **state)
{
	struct fixture *f = *state;

	wait_long = true;
	tell(f, model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	f->model.tasks_unknown = true;
	tell(f, make_absent("web"));
	run_until_state(f, "web", SYNC_STATE_FAILED);
	assert_int_equal(status(f, "web")->reason, SYNC_REASON_REMOVE_FAILED);
	expect_kernel(f, "web", 'a');
}

static void children_that_vanish_from_the_text_are_removed(void **state)
{
	struct fixture *f = *state;

	tell(f, model_item("web", 'a', "web//old"));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	tell(f, model_item("web", 'b', "web//new"));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	expect_kernel(f, "web//old", 0);
	expect_kernel(f, "web//new", 'b');
	assert_int_equal(f->model.n_removed, 1);
	expect_family(f, model_item("web", 'b', "web//new"));
}

static void a_child_in_use_stays_until_its_tasks_end(void **state)
{
	struct fixture *f = *state;
	pid_t pid = spawn();

	tell(f, model_item("web", 'a', "web//old"));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	model_find(&f->model, "web//old")->holder = pid;
	tell(f, model_item("web", 'b', NULL));
	run_until_state(f, "web", SYNC_STATE_LOADED);
	expect_kernel(f, "web//old", 'a');
	assert_non_null(strstr(status(f, "web")->message, "child"));
	expect_family(f, model_item("web", 'b', NULL));
	model_find(&f->model, "web//old")->holder = 0;
	end(pid);
	while (model_find(&f->model, "web//old"))
		uv_run(&f->loop, UV_RUN_ONCE);
	run_until_state(f, "web", SYNC_STATE_LOADED);
	assert_string_equal(status(f, "web")->message, "");
}

/* ---- faults ---- */

/* Whatever operation of the kernel fails once, in the end all is as it was told. */
static void each_fault_of_the_kernel_is_overcome(void **state)
{
	struct fixture *f = *state;
	int n = 0;

	do {
		f->model.n_ops = 0;
		f->model.fail_op = ++n;
		tell(f, model_item("api", 'a', NULL), model_item("web", 'a', "web//old"));
		run_until_state(f, "web", SYNC_STATE_LOADED);
		tell(f, make_absent("api"), model_item("web", 'b', NULL));
		run_until_state(f, "api", SYNC_STATE_ABSENT);
		run_until_state(f, "web", SYNC_STATE_LOADED);
		expect_kernel(f, "api", 0);
		expect_kernel(f, "web", 'b');
		tell(f, make_absent("web"));
		run_until_state(f, "web", SYNC_STATE_ABSENT);
		expect_kernel(f, "web", 0);
	} while (f->model.n_ops >= f->model.fail_op);
	assert_true(n > 10);
}

static void a_kernel_without_apparmor_fails_all_with_the_reason(void **state)
{
	struct fixture *f = *state;

	stop(f);
	f->is_off = true;
	start(f, f->copy);
	tell(f, make_absent("api"), model_item("web", 'a', NULL));
	run_until_state(f, "web", SYNC_STATE_FAILED);
	assert_int_equal(status(f, "web")->reason, SYNC_REASON_APPARMOR_OFF);
	assert_string_equal(status(f, "web")->message, "AppArmor is off");
	assert_int_equal(status(f, "api")->state, SYNC_STATE_ABSENT);
	assert_false(f->report.apparmor_enabled);
	assert_string_equal(f->report.apparmor_reason, "AppArmor is off");
	keeper_look(f->keeper);
	keeper_confirm(f->keeper);
	/* Names that come and go leave nothing behind. */
	tell(f, model_item("web", 'a', NULL));
	assert_int_equal(f->keeper->units.n, 1);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_is_told_is_fetched_loaded_and_read_back),
	    TEST(what_comes_with_the_set_is_not_fetched),
	    TEST(what_comes_with_the_set_and_is_not_what_it_says_is_fetched),
	    TEST(an_update_is_one_replace),
	    TEST(what_nobody_changed_is_not_read_again),
	    TEST(an_agent_that_starts_again_loads_nothing_again),
	    TEST(a_former_revision_comes_from_disk),
	    TEST(one_failure_does_not_hold_up_another),
	    TEST(wrong_bytes_never_reach_the_kernel),
	    TEST(a_policy_that_is_none_never_reaches_the_kernel),
	    TEST(a_name_that_could_brick_the_kernel_is_refused),
	    TEST(a_kernel_that_made_something_else_of_it_is_not_loaded),
	    TEST(a_change_of_mind_drops_what_is_under_way),
	    TEST(nothing_is_loaded_that_cannot_be_recorded),
	    TEST(an_agent_that_dies_before_it_loads_owns_nothing),
	    TEST(an_agent_that_dies_after_it_loaded_knows_its_own),
	    TEST(what_is_to_be_loaded_next_is_not_all_that_is_known_as_ours),
	    TEST(a_lost_disk_unloads_nothing),
	    TEST(what_is_not_ours_is_left_alone_until_it_goes),
	    TEST(what_is_not_ours_can_be_adopted),
	    TEST(what_is_not_ours_is_not_removed_either_where_it_is_what_was_told),
	    TEST(nothing_is_loaded_while_nobody_can_tell_what_the_kernel_holds),
	    TEST(a_foreign_one_that_comes_at_the_last_moment_is_seen),
	    TEST(ours_that_somebody_changed_is_loaded_again),
	    TEST(removal_is_told_and_never_inferred),
	    TEST(a_set_of_before_says_what_to_load_and_not_what_to_remove),
	    TEST(what_is_in_use_drains_until_its_tasks_end),
	    TEST(a_draining_profile_may_be_wanted_again),
	    TEST(nothing_is_removed_where_tasks_cannot_be_seen),
	    TEST(children_that_vanish_from_the_text_are_removed),
	    TEST(a_child_in_use_stays_until_its_tasks_end),
	    TEST(each_fault_of_the_kernel_is_overcome),
	    TEST(a_kernel_without_apparmor_fails_all_with_the_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
