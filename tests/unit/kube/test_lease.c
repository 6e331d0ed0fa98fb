#include "kube/lease.h"

#include "script_server.h"

#define LEASE(version_, holder_)                                                           \
	"{\"kind\":\"Lease\",\"metadata\":{\"name\":\"l\",\"resourceVersion\":\"" version_ \
	"\"},\"spec\":{\"holderIdentity\":\"" holder_                                      \
	"\",\"acquireTime\":\"2026-01-01T00:00:00.000000Z\",\"leaseTransitions\":4}}"
#define OK(body_) REPLY("200 OK", body_)

struct replica {
	uv_loop_t loop;
	struct script_server server;
	struct kube_client *client;
	struct kube_lease *lease;
	char trace[512];
	bool release_when_elected;
	bool released;
};

static void say(struct replica *r, const char *word, const char *detail)
{
	size_t n = strlen(r->trace);

	snprintf(r->trace + n, sizeof(r->trace) - n, "%s %s; ", word, detail);
}

static void on_released(void *data)
{
	struct replica *r = data;

	r->released = true;
}

static void on_elected(void *data, int64_t epoch)
{
	struct replica *r = data;
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)epoch);
	say(r, "elected", text);
	if (r->release_when_elected)
		kube_lease_release(STEAL(r->lease), on_released, r);
}

static void on_lost(void *data, const char *why)
{
	say(data, "lost", why);
}

static void on_leader(void *data, const char *identity)
{
	say(data, "leader", identity);
}

/* Until the script was played and the trace is as expected; at most ten seconds. */
static void play(struct replica *r, const struct script_step *steps, const char *trace)
{
	const struct kube_lease_spec spec = {
	    .name = "l",
	    .identity = "me",
	    .on_elected = on_elected,
	    .on_lost = on_lost,
	    .on_leader = on_leader,
	    .data = r,
	};
	int64_t began_ms = clock_mono_ms();

	uv_loop_init(&r->loop);
	script_start(&r->server, steps);
	r->client = script_client(&r->server, &r->loop, NULL);
	r->lease = kube_lease_start(r->client, &spec);
	while ((strcmp(r->trace, trace) != 0 || steps[r->server.n_requests].reply ||
		(r->release_when_elected && !r->released)) &&
	       clock_mono_ms() - began_ms < 10000)
		uv_run(&r->loop, UV_RUN_NOWAIT);
	if (r->lease)
		kube_lease_close(r->lease);
	script_close(r->client, &r->loop);
	script_stop(&r->server);
	assert_string_equal(r->trace, trace);
}

static void a_lease_that_is_not_there_is_created(void **state)
{
	static const struct script_step steps[] = {
	    {"GET /apis/coordination.k8s.io/v1/namespaces/default/leases/l HTTP",
	     REPLY("404 Not Found", "{}"), false, 0},
	    {"POST /apis/coordination.k8s.io/v1/namespaces/default/leases?fieldManager=",
	     REPLY("201 Created", LEASE("1", "me")), false, 0},
	    {0}};
	struct replica r = {0};

	(void)state;
	play(&r, steps, "leader ; elected 1767225600000; leader me; ");
}

static void a_race_for_the_creation_may_be_lost(void **state)
{
	static const struct script_step steps[] = {
	    {NULL, REPLY("404 Not Found", "{}"), false, 0},
	    {"POST", REPLY("409 Conflict", "{\"reason\":\"AlreadyExists\"}"), false, 0},
	    {"GET", OK(LEASE("1", "you")), false, 0},
	    {0}};
	struct replica r = {0};

	(void)state;
	play(&r, steps, "leader ; leader you; ");
}

static void a_released_lease_is_taken_for_the_version_that_was_read(void **state)
{
	static const struct script_step steps[] = {
	    {NULL, OK(LEASE("7", "")), false, 0},
	    {"{\"metadata\":{\"resourceVersion\":\"7\"},\"spec\":{\"holderIdentity\":\"me\","
	     "\"leaseDurationSeconds\":15,\"acquireTime\":\"",
	     OK(LEASE("8", "me")), false, 0},
	    {"{\"metadata\":{\"resourceVersion\":\"8\"},\"spec\":{\"renewTime\":\"",
	     OK(LEASE("9", "me")), false, 0},
	    {0}};
	struct replica r = {0};

	(void)state;
	play(&r, steps, "leader ; elected 1767225600000; leader me; ");
	/* Two seconds as the protocol has them; how late, is the machine's affair. */
	assert_in_range(r.server.came_ms[2] - r.server.came_ms[1], 1990, 30000);
}

static void a_renewal_that_meets_another_holder_is_a_loss(void **state)
{
	static const struct script_step steps[] = {
	    {NULL, OK(LEASE("7", "")), false, 0},
	    {"PATCH", OK(LEASE("8", "me")), false, 0},
	    {"PATCH", REPLY("409 Conflict", "{\"reason\":\"Conflict\"}"), false, 0},
	    {"GET", OK(LEASE("9", "you")), false, 0},
	    {0}};
	struct replica r = {0};

	(void)state;
	play(&r, steps,
	     "leader ; elected 1767225600000; leader me; lost the lease is another's, or was "
	     "deleted; ");
}

static void a_renewal_that_meets_another_version_goes_on_from_it(void **state)
{
	static const struct script_step steps[] = {
	    {NULL, OK(LEASE("7", "")), false, 0},
	    {"PATCH", OK(LEASE("8", "me")), false, 0},
	    {"PATCH", REPLY("409 Conflict", "{\"reason\":\"Conflict\"}"), false, 0},
	    {"GET", OK(LEASE("9", "me")), false, 0},
	    {"{\"metadata\":{\"resourceVersion\":\"9\"}", OK(LEASE("10", "me")), false, 0},
	    {0}};
	struct replica r = {0};

	(void)state;
	play(&r, steps, "leader ; elected 1767225600000; leader me; ");
}

static void a_release_takes_our_name_out(void **state)
{
	static const struct script_step steps[] = {
	    {NULL, OK(LEASE("7", "")), false, 0},
	    {"PATCH", OK(LEASE("8", "me")), false, 0},
	    {"\"holderIdentity\":\"\",\"leaseDurationSeconds\":1}", OK(LEASE("9", "")), false, 0},
	    {0}};
	struct replica r = {.release_when_elected = true};

	(void)state;
	play(&r, steps, "leader ; elected 1767225600000; ");
	assert_true(r.released);
}

static void a_release_that_gets_no_answer_ends_all_the_same(void **state)
{
	static const struct script_step steps[] = {{NULL, OK(LEASE("7", "")), false, 0},
						   {"PATCH", OK(LEASE("8", "me")), false, 0},
						   {"PATCH", "HTTP/1.1", true, 0},
						   {0}};
	struct replica r = {.release_when_elected = true};

	(void)state;
	play(&r, steps, "leader ; elected 1767225600000; ");
	assert_true(r.released);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_lease_that_is_not_there_is_created),
	    cmocka_unit_test(a_race_for_the_creation_may_be_lost),
	    cmocka_unit_test(a_released_lease_is_taken_for_the_version_that_was_read),
	    cmocka_unit_test(a_renewal_that_meets_another_holder_is_a_loss),
	    cmocka_unit_test(a_renewal_that_meets_another_version_goes_on_from_it),
	    cmocka_unit_test(a_release_takes_our_name_out),
	    cmocka_unit_test(a_release_that_gets_no_answer_ends_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
