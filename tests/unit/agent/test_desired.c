#include "agent_test.h"

#include "desired.h"

#define BOOT "11111111-2222-3333-4444-555555555555"
#define EARLIER "99999999-2222-3333-4444-555555555555"

/* What the kernel holds, what we remember and what was told are versions named by one letter: 0 is
 * none. */
struct desired_case {
	const char *says;
	char told; /* 'x': that it shall be absent */
	bool adopt;
	bool is_old;
	char held, next; /* in the record */
	bool earlier;    /* which is of an earlier boot */
	char kernel;
	enum desired_action action;
	char revision; /* of ours, in the kernel */
};

static const struct desired_case cases[] = {
    {"nothing anywhere", 0, 0, 0, 0, 0, 0, 0, DESIRED_NOTHING, 0},
    {"a foreign one that nobody speaks of", 0, 0, 0, 0, 0, 0, 'f', DESIRED_NOTHING, 0},
    {"new", 'a', 0, 0, 0, 0, 0, 0, DESIRED_LOAD, 0},
    {"new, from the set of before", 'a', 0, true, 0, 0, 0, 0, DESIRED_LOAD, 0},
    {"loaded", 'a', 0, 0, 'a', 0, 0, 'a', DESIRED_KEEP, 'a'},
    {"loaded, and the record was lost", 'a', 0, 0, 0, 0, 0, 'a', DESIRED_KEEP, 'a'},
    {"loaded, and we died before we noted it", 'a', 0, 0, 0, 'a', 0, 'a', DESIRED_KEEP, 'a'},
    {"we died before we loaded it", 'a', 0, 0, 0, 'a', 0, 0, DESIRED_LOAD, 0},
    {"we died before, and somebody else loaded one", 'a', 0, 0, 0, 'a', 0, 'f', DESIRED_CONFLICT,
     0},
    {"an update", 'b', 0, 0, 'a', 0, 0, 'a', DESIRED_LOAD, 'a'},
    {"an update under way", 'b', 0, 0, 'a', 'b', 0, 'a', DESIRED_LOAD, 'a'},
    {"an update done, and we died before we noted it", 'b', 0, 0, 'a', 'b', 0, 'b', DESIRED_KEEP,
     'b'},
    {"told the next one while another was loaded unnoted", 'c', 0, 0, 'a', 'b', 0, 'b',
     DESIRED_LOAD, 'b'},
    {"ours, changed by somebody else", 'a', 0, 0, 'a', 0, 0, 'f', DESIRED_LOAD, 0},
    {"ours, removed by somebody else", 'a', 0, 0, 'a', 0, 0, 0, DESIRED_LOAD, 0},
    {"not ours", 'a', 0, 0, 0, 0, 0, 'f', DESIRED_CONFLICT, 0},
    {"not ours: ours was of an earlier boot", 'a', 0, 0, 'a', 0, true, 'f', DESIRED_CONFLICT, 0},
    {"ours by its hash, of an earlier boot", 'b', 0, 0, 'a', 0, true, 'a', DESIRED_LOAD, 'a'},
    {"not ours, to be adopted", 'a', true, 0, 0, 0, 0, 'f', DESIRED_LOAD, 0},
    {"to be removed", 'x', 0, 0, 'a', 0, 0, 'a', DESIRED_REMOVE, 'a'},
    {"to be removed, changed by somebody else", 'x', 0, 0, 'a', 0, 0, 'f', DESIRED_REMOVE, 0},
    {"to be removed, loaded and not noted", 'x', 0, 0, 0, 'a', 0, 'a', DESIRED_REMOVE, 'a'},
    {"to be removed, and gone", 'x', 0, 0, 'a', 0, 0, 0, DESIRED_GONE, 0},
    {"to be removed, and not ours", 'x', 0, 0, 0, 0, 0, 'f', DESIRED_GONE, 0},
    {"to be removed, adopted or not, and not ours", 'x', true, 0, 0, 0, 0, 'f', DESIRED_GONE, 0},
    {"to be removed, says a set of before", 'x', 0, true, 'a', 0, 0, 'a', DESIRED_WAIT, 'a'},
    {"loaded, and nobody speaks of it", 0, 0, 0, 'a', 0, 0, 'a', DESIRED_ORPHAN, 'a'},
    {"loaded, and the set of before does not speak of it", 0, 0, true, 'a', 0, 0, 'a',
     DESIRED_ORPHAN, 'a'},
    {"remembered, and nobody speaks of it", 0, 0, 0, 'a', 0, 0, 0, DESIRED_NOTHING, 0},
    {"remembered, before the first set", 0, 0, true, 'a', 0, 0, 0, DESIRED_WAIT, 0},
    {"remembered of an earlier boot, and there is a foreign one", 0, 0, 0, 'a', 0, true, 'f',
     DESIRED_NOTHING, 0},
};

static void add_profile(struct aafs_tree *tree, const char *name, char digit, const char *mode)
{
	struct aafs_profile *p;

	tree->items = mem_resize(tree->items, tree->n + 1, sizeof(*tree->items));
	p = &tree->items[tree->n++];
	*p = (struct aafs_profile){.name = mem_strdup(name)};
	snprintf(p->mode, sizeof(p->mode), "%s", mode);
	fill_hash(p->sha256, sizeof(p->sha256), digit);
}

static void remember(struct record *record, const struct desired_case *c)
{
	if (c->held) {
		struct sync_item item = make_item("web", c->held, NULL);

		record_confirm(record, &item, c->earlier ? EARLIER : BOOT);
		sync_item_clear(&item);
	}
	if (c->next) {
		struct sync_item item = make_item("web", c->next, NULL);

		record_intend(record, &item);
		sync_item_clear(&item);
	}
}

static void check(const struct desired_case *c)
{
	struct sync_item item =
	    c->told == 'x' ? make_absent("web") : make_item("web", c->told, NULL);
	struct aafs_tree kernel = {0};
	struct record record;
	struct desired d;
	struct desired_facts facts = {.item = c->told ? &item : NULL,
				      .set_is_old = c->is_old,
				      .kernel = &kernel,
				      .boot_id = BOOT};

	record_init(&record, "/nowhere");
	item.adopt = c->adopt;
	remember(&record, c);
	if (c->kernel)
		add_profile(&kernel, "web", c->kernel, "enforce");
	facts.entry = record_get(&record, "web");
	d = desired_decide(&facts);
	if (d.action != c->action || d.revision[0] != c->revision)
		fail_msg("%s: action %d, revision %s", c->says, (int)d.action, d.revision);
	sync_item_clear(&item);
	aafs_tree_clear(&kernel);
	record_deinit(&record);
}

static void each_case_has_its_action(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(&cases[i]);
}

static void a_tree_fits_with_all_hashes_and_a_mode(void **state)
{
	struct sync_item item = make_item("web", 'a', "web//kid");
	struct aafs_tree tree = {0};
	struct err why;

	(void)state;
	assert_false(desired_fits(&tree, item.hashes, item.n_hashes, PROFILE_ENFORCE, &why));
	assert_non_null(strstr(why.msg, "holds no profile web"));
	add_profile(&tree, "web", 'a', "enforce");
	assert_false(desired_fits(&tree, item.hashes, item.n_hashes, PROFILE_ENFORCE, &why));
	assert_non_null(strstr(why.msg, "web//kid"));
	add_profile(&tree, "web//kid", 'b', "kill");
	assert_false(desired_fits(&tree, item.hashes, item.n_hashes, PROFILE_ENFORCE, &why));
	assert_non_null(strstr(why.msg, "bbbb"));
	fill_hash(tree.items[1].sha256, SHA256_HEX, 'a');
	assert_true(desired_fits(&tree, item.hashes, item.n_hashes, PROFILE_ENFORCE, &why));
	assert_false(desired_fits(&tree, item.hashes, item.n_hashes, PROFILE_COMPLAIN, &why));
	assert_non_null(strstr(why.msg, "enforce mode"));
	/* A foreign child does not matter. */
	add_profile(&tree, "web//other", 'f', "unconfined");
	assert_true(desired_fits(&tree, item.hashes, item.n_hashes, PROFILE_ENFORCE, NULL));
	aafs_tree_clear(&tree);
	sync_item_clear(&item);
}

static void a_kernel_may_tell_sha1_or_nothing(void **state)
{
	struct sync_item item = make_item("web", 'a', NULL);
	struct aafs_tree tree = {0};
	struct err why;

	(void)state;
	add_profile(&tree, "web", 'a', "enforce");
	tree.items[0].sha256[0] = '\0';
	assert_false(desired_fits(&tree, item.hashes, item.n_hashes, PROFILE_ENFORCE, &why));
	assert_non_null(strstr(why.msg, "hash_policy"));
	fill_hash(tree.items[0].sha1, SHA1_HEX, 'a');
	assert_true(desired_fits(&tree, item.hashes, item.n_hashes, PROFILE_ENFORCE, &why));
	aafs_tree_clear(&tree);
	sync_item_clear(&item);
}

static void nothing_fits_no_hashes(void **state)
{
	struct aafs_tree tree = {0};

	(void)state;
	assert_false(desired_fits(&tree, NULL, 0, PROFILE_ENFORCE, NULL));
}

static void children_of_former_versions_are_left_over(void **state)
{
	struct sync_item before = make_item("web", 'a', "web//old");
	struct sync_item now = make_item("web", 'b', "web//new");
	struct aafs_tree tree = {0};
	struct record record;
	struct desired_facts facts = {.item = &now, .kernel = &tree, .boot_id = BOOT};

	(void)state;
	record_init(&record, "/nowhere");
	record_confirm(&record, &before, BOOT);
	record_confirm(&record, &now, BOOT);
	facts.entry = record_get(&record, "web");
	add_profile(&tree, "web", 'b', "enforce");
	add_profile(&tree, "web//new", 'b', "enforce");
	add_profile(&tree, "web//foreign", 'f', "enforce");
	assert_null(desired_leftover(&facts, 0));
	add_profile(&tree, "web//old", 'a', "enforce");
	assert_string_equal(desired_leftover(&facts, 0), "web//old");
	assert_null(desired_leftover(&facts, 1));
	/* Not before the new version is in place. */
	fill_hash(tree.items[0].sha256, SHA256_HEX, 'a');
	assert_null(desired_leftover(&facts, 0));
	aafs_tree_clear(&tree);
	sync_item_clear(&before);
	sync_item_clear(&now);
	record_deinit(&record);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_case_has_its_action),
	    cmocka_unit_test(a_tree_fits_with_all_hashes_and_a_mode),
	    cmocka_unit_test(a_kernel_may_tell_sha1_or_nothing),
	    cmocka_unit_test(nothing_fits_no_hashes),
	    cmocka_unit_test(children_of_former_versions_are_left_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
