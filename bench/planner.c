/*
 * What planning costs: 50 profiles on each of 10,000 nodes, all planned anew, and one report at a
 * time for fleets of growing size. The pure parts alone, on memory laid out as the engine has it;
 * nothing is sent, and no node is simulated. The engine keeps counts and queues from one plan to
 * the next, so a plan of its costs the first row and what it grants; that it judges and orders
 * everything anew happens when a controller starts and when a target changes.
 *
 *     bench_planner [NODES [PROFILES]]
 */

#include "base/mem.h"
#include "base/str.h"
#include "controller/engine.h"
#include "controller/placement.h"
#include "controller/rollout_plan.h"
#include "controller/rollout_queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TARGET "222222222222"
#define CURRENT "111111111111"

enum { ROUNDS = 5, NODES = 10000, PROFILES = 50, REPORTS = 200000, ZONES = 3 };

/* One profile on one node. */
struct place {
	struct sync_status report;
	struct placement_state state;
	struct placement_share share;
	struct rollout_entry entry;
	bool told;
};

struct fleet {
	struct place *places;
	size_t n;
	struct placement_counts counts;
	struct rollout_queue queue;
	struct rollout_state state;
};

static const char *const zones[ZONES] = {"zone-a", "zone-b", "zone-c"};
static struct sync_hash hashes[] = {{(char *)"web", "aa", "bb"}};
static struct build build = {
    .state = BUILD_OK, .message = (char *)"", .hashes = hashes, .n_hashes = 1};

/* Time on the processor, which other programs distort less than what the wall's clock says. */
static int64_t spent_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void place_report(struct place *p, const char *revision)
{
	p->report = (struct sync_status){
	    .state = SYNC_STATE_LOADED, .hashes = hashes, .n_hashes = 1, .message = (char *)""};
	snprintf(p->report.revision, sizeof(p->report.revision), "%s", revision);
	snprintf(p->report.target, sizeof(p->report.target), "%s", revision);
}

static void place_judge(struct place *p)
{
	struct placement_facts facts = {
	    .selected = true,
	    .reported = true,
	    .apparmor_enabled = true,
	    .apparmor_reason = "",
	    .assigned = p->told ? TARGET : CURRENT,
	    .waits = !p->told,
	    .build = &build,
	    .report = &p->report,
	};
	struct placement_rollout r = {.target = TARGET, .told = p->told, .settled = true};

	p->state = placement_judge(&facts);
	p->share = placement_share(&facts, &r);
}

static void fleet_count(struct fleet *f, const struct place *p, int sign)
{
	placement_count(&f->counts, &p->state, sign);
	placement_count_share(&f->counts, &p->share, sign);
}

static struct rollout_plan fleet_plan(const struct fleet *f)
{
	struct rollout_spec spec = {
	    .max_unavailable = {25, true},
	    .max_failed = {1, false},
	    .progress_deadline_s = 600,
	    .steps = {{.nodes = {1, false}, .soak_s = 600}, {.nodes = {10, true}, .soak_s = 600}},
	    .n_steps = 2,
	};
	struct rollout_facts facts = {
	    .target = TARGET,
	    .current = CURRENT,
	    .spec = &spec,
	    .state = &f->state,
	    .desired = f->counts.desired,
	    .holding_other = f->counts.holds_other,
	    .next_settled_ms = INT64_MAX,
	    .now_ms = 1000000,
	};

	memcpy(facts.counts, f->counts.by_class, sizeof(facts.counts));
	return rollout_plan(&facts);
}

static void fleet_key(struct fleet *f)
{
	char uid[48];
	size_t i;

	for (i = 0; i < f->n; i++) {
		snprintf(uid, sizeof(uid), "3f1c2b7a-0000-4000-8000-%012zu", i);
		rollout_entry_key(&f->places[i].entry, uid, "9ad2f0c4-1111-4000-8000-0123456789ab",
				  TARGET);
	}
}

static void fleet_init(struct fleet *f, size_t n)
{
	size_t i;

	*f = (struct fleet){.places = mem_alloc(n, sizeof(struct place)), .n = n};
	for (i = 0; i < n; i++)
		place_report(&f->places[i], CURRENT);
}

static void fleet_deinit(struct fleet *f)
{
	rollout_queue_deinit(&f->queue);
	free(f->places);
}

static void fleet_judge(struct fleet *f)
{
	size_t i;

	f->counts = (struct placement_counts){0};
	for (i = 0; i < f->n; i++) {
		place_judge(&f->places[i]);
		fleet_count(f, &f->places[i], 1);
	}
}

static void fleet_order(struct fleet *f)
{
	size_t i;

	rollout_queue_clear(&f->queue);
	for (i = 0; i < f->n; i++)
		rollout_queue_push(&f->queue, &f->places[i].entry, zones[i % ZONES]);
}

static void fleet_order_by_zone(struct fleet *f)
{
	rollout_queue_set_order(&f->queue, true);
}

static void fleet_plan_once(struct fleet *f)
{
	f->state = fleet_plan(f).state;
}

static void fleet_pop_quarter(struct fleet *f)
{
	size_t i;

	for (i = 0; i < f->n / 4; i++)
		rollout_queue_pop(&f->queue);
}

/* The best of the rounds: what else runs on the machine only adds to it. */
static double fleets_ms(struct fleet *fleets, size_t n, void (*part)(struct fleet *),
			void (*before)(struct fleet *))
{
	int64_t best_us = INT64_MAX;
	size_t round, i;

	for (round = 0; round < ROUNDS; round++) {
		int64_t start_us, took_us;

		for (i = 0; before && i < n; i++) {
			rollout_queue_clear(&fleets[i].queue);
			rollout_queue_set_order(&fleets[i].queue, false);
			before(&fleets[i]);
		}
		start_us = spent_us();
		for (i = 0; i < n; i++)
			part(&fleets[i]);
		took_us = spent_us() - start_us;
		best_us = took_us < best_us ? took_us : best_us;
	}
	return (double)best_us / 1000;
}

static void print_part(const char *what, double ms, double full_ms, size_t places)
{
	printf("%-52s %9.3f ms %8.1f ns", what, ms, ms * 1e6 / (double)places);
	if (full_ms > 0)
		printf(" %4.0f %%", 100 * ms / full_ms);
	printf("\n");
}

static void bench_fleets(size_t n_nodes, size_t n_profiles)
{
	CLEANUP(mem_freep) struct fleet *fleets = mem_alloc(n_profiles, sizeof(*fleets));
	size_t i, places = n_nodes * n_profiles;
	double key, judge, order, plan, zone, pop, full;

	for (i = 0; i < n_profiles; i++)
		fleet_init(&fleets[i], n_nodes);
	key = fleets_ms(fleets, n_profiles, fleet_key, NULL);
	judge = fleets_ms(fleets, n_profiles, fleet_judge, NULL);
	order = fleets_ms(fleets, n_profiles, fleet_order, NULL);
	plan = fleets_ms(fleets, n_profiles, fleet_plan_once, NULL);
	zone = fleets_ms(fleets, n_profiles, fleet_order_by_zone, fleet_order);
	pop = fleets_ms(fleets, n_profiles, fleet_pop_quarter, fleet_order);
	full = judge + order + plan;
	printf("%zu nodes x %zu profiles, best of %d          all       each\n", n_nodes,
	       n_profiles, ROUNDS);
	print_part("plan all profiles, from counts that are kept", plan, full, places);
	print_part("judge each report and count all anew", judge, full, places);
	print_part("order all candidates anew", order, full, places);
	print_part("full re-plan of everything: these three", full, full, places);
	print_part("beside it: reckon all keys, once a revision", key, 0, places);
	print_part("beside it: change to the order by zone, once", zone, 0, places);
	print_part("beside it: take a quarter of the candidates out", pop, 0, places);
	for (i = 0; i < n_profiles; i++)
		fleet_deinit(&fleets[i]);
}

/* A node's report changes its class, and so the sums, the queue and the plan. */
static void fleet_take_report(struct fleet *f, struct place *p)
{
	fleet_count(f, p, -1);
	p->told = !p->told;
	place_report(p, p->told ? TARGET : CURRENT);
	place_judge(p);
	fleet_count(f, p, 1);
	if (p->share.class_ == ROLLOUT_OLD)
		rollout_queue_push(&f->queue, &p->entry, zones[(p - f->places) % ZONES]);
	else
		rollout_queue_remove(&f->queue, &p->entry);
	fleet_plan_once(f);
}

static double bench_report_ns(size_t n_nodes)
{
	struct fleet f;
	unsigned int seed = 1;
	int64_t start_us, took_us;
	size_t i;

	fleet_init(&f, n_nodes);
	fleet_key(&f);
	fleet_judge(&f);
	fleet_order(&f);
	start_us = spent_us();
	for (i = 0; i < REPORTS; i++) {
		seed = seed * 1103515245u + 12345u;
		fleet_take_report(&f, &f.places[(seed >> 4) % n_nodes]);
	}
	took_us = spent_us() - start_us;
	fleet_deinit(&f);
	return (double)took_us * 1000 / REPORTS;
}

static void bench_reports(void)
{
	double first_ns = 0;
	size_t n_nodes;

	printf("\none report: judge, count, queue, plan\n");
	for (n_nodes = 100; n_nodes <= 100000; n_nodes *= 10) {
		double ns = bench_report_ns(n_nodes);

		first_ns = first_ns > 0 ? first_ns : ns;
		printf("%8zu nodes %8.0f ns   x %.2f\n", n_nodes, ns, ns / first_ns);
	}
}

int main(int argc, char **argv)
{
	int64_t n_nodes = NODES, n_profiles = PROFILES;

	if (argc > 3 || (argc > 1 && !str_to_i64(argv[1], 1, 1000000, &n_nodes)) ||
	    (argc > 2 && !str_to_i64(argv[2], 1, 1000, &n_profiles))) {
		fprintf(stderr, "usage: bench_planner [NODES [PROFILES]]\n");
		return 2;
	}
	bench_fleets((size_t)n_nodes, (size_t)n_profiles);
	bench_reports();
	return 0;
}
