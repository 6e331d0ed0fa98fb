#include "controller/identity.h"

#include "base/clock.h"
#include "base/container_of.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/sha.h"

#include <stdlib.h>
#include <string.h>

/*
 * The happy path:
 *
 *  - identity_check() finds or makes the review of that token and joins it.
 *  - The review waits in the queue of its address until fewer than IDENTITY_REVIEWS_MAX are asked
 *    and it is that address's turn, and is sent.
 *  - The answer is judged; the outcome is kept, and each check that joined gets it.
 *
 * What else can happen:
 *
 *  - The outcome is known already, the token is none, or the queue is full: the check goes to
 *    `ready` and is answered in the next turn of the loop.
 *  - The API server cannot be reached: what is queued would wait for nothing, so all of it is
 *    answered UNAVAILABLE at once.
 *  - The last check of a review is cancelled: the review leaves the queue; one that was sent ends
 *    as usual.
 */

#define IDENTITY_PATH "/apis/authentication.k8s.io/v1/tokenreviews"

enum { IDENTITY_TRY_MS = 10 * 1000, IDENTITY_TRIES = 3, IDENTITY_ANSWER_MAX = 1 << 20 };

struct outcomes {
	struct list used;
	size_t n, max;
};

struct identity {
	struct kube_client *client;
	char *namespace_;
	uv_timer_t soon;
	struct map outcomes; /* hash of a token -> struct outcome */
	/* Outcomes, the one that was not used for longest first. Refusals have a list of their own,
	 * so that a flood of bad tokens cannot crowd out the good ones. */
	struct outcomes good, refused;
	struct map reviews; /* hash of a token -> struct review */
	struct map queues;  /* address -> struct queue */
	struct list turns;  /* the same, next turn first */
	size_t n_queued, n_asked;
	struct list ready;             /* checks whose outcome is known */
	char looked_at[SHA256_HEX];    /* the last token that can be one, … */
	struct identity_claims claims; /* … and what it says itself */
	bool unavailable;              /* the last review got no answer */
};

/* What became of a review: in the cache, and on each check until it is told. */
struct outcome {
	unsigned int refs;
	char hash[SHA256_HEX];
	struct list link;
	enum identity_verdict verdict;
	const char *why;
	struct identity_who who;
	int64_t from_ms, until_ms;
};

/* Reviews that were not sent yet, of tokens that came from one address. Never empty. */
struct queue {
	char *from;
	struct list turn;
	struct list reviews;
	size_t n;
};

struct review {
	struct identity *id;
	struct queue *queue; /* NULL: sent */
	char hash[SHA256_HEX];
	struct list link;
	struct list checks;
	struct identity_claims claims;
	char *token;              /* NULL: sent */
	struct kube_request *req; /* NULL: queued */
};

struct identity_check {
	struct list link;
	struct review *review;   /* NULL: ready */
	struct outcome *outcome; /* of a ready one */
	identity_done_fn done;
	void *data;
};

/* Outcomes. */

static struct outcome *outcome_new(enum identity_verdict verdict, const char *why)
{
	struct outcome *o = MEM_NEW(struct outcome);

	o->refs = 1;
	o->verdict = verdict;
	o->why = why;
	list_init(&o->link);
	return o;
}

static void outcome_unref(struct outcome *o)
{
	if (!o || --o->refs > 0)
		return;
	identity_who_clear(&o->who);
	free(o);
}

static const char *identity_text(const char *text)
{
	return text ? text : "";
}

static void outcome_show(const struct outcome *o, struct identity_result *ret)
{
	*ret = (struct identity_result){
	    .verdict = o->verdict,
	    .why = o->why,
	    .service_account = identity_text(o->who.service_account),
	    .node_name = identity_text(o->who.node_name),
	    .node_uid = identity_text(o->who.node_uid),
	    .pod_name = identity_text(o->who.pod_name),
	    .pod_uid = identity_text(o->who.pod_uid),
	};
}

static struct outcomes *identity_list_of(struct identity *id, const struct outcome *o)
{
	return o->verdict == IDENTITY_OK ? &id->good : &id->refused;
}

static void identity_drop(struct identity *id, struct outcome *o)
{
	identity_list_of(id, o)->n--;
	map_del(&id->outcomes, o->hash);
	list_remove(&o->link);
	outcome_unref(o);
}

static void identity_keep(struct identity *id, struct outcome *o, const char *hash)
{
	struct outcome *old = map_get(&id->outcomes, hash);
	struct outcomes *list = identity_list_of(id, o);

	if (old)
		identity_drop(id, old);
	memcpy(o->hash, hash, sizeof(o->hash));
	o->refs++;
	map_put(&id->outcomes, hash, o);
	list_append(&list->used, &o->link);
	if (++list->n > list->max)
		identity_drop(id, container_of(list->used.next, struct outcome, link));
}

/* Also where the clock was set back an outcome is of no use: nobody knows how old it is. */
static struct outcome *identity_find(struct identity *id, const char *hash, int64_t now_ms)
{
	struct outcome *o = map_get(&id->outcomes, hash);

	if (!o)
		return NULL;
	if (now_ms < o->from_ms || now_ms >= o->until_ms) {
		identity_drop(id, o);
		return NULL;
	}
	list_remove(&o->link);
	list_append(&identity_list_of(id, o)->used, &o->link);
	return o;
}

/* Checks. */

static void check_free(struct identity_check *check)
{
	list_remove(&check->link);
	outcome_unref(check->outcome);
	free(check);
}

static void check_ready(struct identity *id, struct identity_check *check, struct outcome *o)
{
	check->review = NULL;
	check->outcome = o;
	o->refs++;
	list_remove(&check->link);
	list_append(&id->ready, &check->link);
}

/* From the loop only. A callback may start and cancel checks. */
static void identity_tell(struct identity *id)
{
	while (!list_is_empty(&id->ready)) {
		struct identity_check *check =
		    container_of(id->ready.next, struct identity_check, link);
		/* A check that was freed has left the list, which the analyzer does not see. */
		struct identity_check told = *check; // NOLINT(clang-analyzer-unix.Malloc)
		struct identity_result res;

		check->outcome = NULL;
		check_free(check);
		outcome_show(told.outcome, &res);
		told.done(told.data, &res);
		outcome_unref(told.outcome);
	}
}

static void identity_on_soon(uv_timer_t *timer)
{
	identity_tell(container_of(timer, struct identity, soon));
}

/* Queues. */

static void review_enqueue(struct review *review, const char *from)
{
	struct identity *id = review->id;
	struct queue *queue = map_get(&id->queues, from);

	if (!queue) {
		queue = MEM_NEW(struct queue);
		queue->from = mem_strdup(from);
		list_init(&queue->reviews);
		list_append(&id->turns, &queue->turn);
		map_put(&id->queues, from, queue);
	}
	list_append(&queue->reviews, &review->link);
	review->queue = queue;
	queue->n++;
	id->n_queued++;
}

static void review_dequeue(struct review *review)
{
	struct identity *id = review->id;
	struct queue *queue = STEAL(review->queue);

	list_remove(&review->link);
	if (!queue)
		return;
	id->n_queued--;
	if (--queue->n > 0)
		return;
	map_del(&id->queues, queue->from);
	list_remove(&queue->turn);
	free(queue->from);
	free(queue);
}

/* The next one whose turn it is; its address goes to the end. */
static struct review *identity_next(struct identity *id)
{
	struct queue *queue = container_of(id->turns.next, struct queue, turn);

	/* What was freed has left the list, which the analyzer does not see. */
	/* NOLINTBEGIN(clang-analyzer-unix.Malloc) */
	list_remove(&queue->turn);
	list_append(&id->turns, &queue->turn);
	return container_of(queue->reviews.next, struct review, link);
	/* NOLINTEND(clang-analyzer-unix.Malloc) */
}

static bool identity_has_room(const struct identity *id, const char *from)
{
	const struct queue *queue = map_get(&id->queues, from);

	return (queue ? queue->n : 0) + id->n_queued < IDENTITY_QUEUE_MAX;
}

/* Reviews. */

static void review_free(struct review *review)
{
	map_del(&review->id->reviews, review->hash);
	review_dequeue(review);
	if (review->token)
		explicit_bzero(review->token, strlen(review->token));
	free(review->token);
	free(review);
}

static void review_end(struct review *review, struct outcome *o)
{
	LIST_FOREACH(item, &review->checks) {
		check_ready(review->id, container_of(item, struct identity_check, link), o);
	}
	review_free(review);
}

/* No queued review would fare better. */
static void identity_give_up(struct identity *id, struct outcome *o)
{
	while (!list_is_empty(&id->turns))
		review_end(identity_next(id), o);
}

/* One line when it begins and one when it ends, however many agents there are. */
static void identity_log_change(struct identity *id, const struct kube_result *res)
{
	bool unavailable = res->outcome != KUBE_OK;

	if (unavailable && !id->unavailable)
		log_warn("tokens of agents cannot be checked: the agents are asked to wait",
			 log_s("why", res->why));
	else if (!unavailable && id->unavailable)
		log_info("tokens of agents can be checked again");
	id->unavailable = unavailable;
}

static struct outcome *review_judge(const struct review *review, const struct kube_result *res)
{
	struct outcome *o =
	    outcome_new(IDENTITY_UNAVAILABLE, "the API server could not be asked about the token: "
					      "try again in a moment");

	if (res->outcome == KUBE_OK)
		o->verdict = identity_judge(res->obj, review->id->namespace_, &o->who, &o->why);
	o->from_ms = clock_wall_ms();
	o->until_ms = o->from_ms + identity_kept_ms(o->verdict, &review->claims, o->from_ms);
	return o;
}

static void identity_send(struct identity *id);

static void review_on_answer(void *data, const struct kube_result *res)
{
	struct review *review = data;
	struct identity *id = review->id;
	struct outcome *o = review_judge(review, res);

	id->n_asked--;
	identity_log_change(id, res);
	if (o->until_ms > o->from_ms)
		identity_keep(id, o, review->hash);
	review_end(review, o);
	if (res->outcome == KUBE_UNREACHABLE)
		identity_give_up(id, o);
	outcome_unref(o);
	identity_send(id);
	identity_tell(id);
}

static struct json_object *review_body(const char *token)
{
	struct json_object *body = js_new(), *spec = js_new(), *audiences = js_new_array();

	js_append(audiences, js_text(IDENTITY_AUDIENCE));
	js_put_str(spec, "token", token);
	js_put(spec, "audiences", audiences);
	js_put_str(body, "apiVersion", "authentication.k8s.io/v1");
	js_put_str(body, "kind", "TokenReview");
	js_put(body, "spec", spec);
	return body;
}

static void review_send(struct review *review)
{
	CLEANUP(js_putp) struct json_object *body = review_body(review->token);
	struct kube_request_spec spec = {
	    .method = "POST",
	    .path = IDENTITY_PATH,
	    .body = body,
	    .timeout_ms = IDENTITY_TRY_MS,
	    .max_body = IDENTITY_ANSWER_MAX,
	    .tries = IDENTITY_TRIES,
	};

	review_dequeue(review);
	explicit_bzero(review->token, strlen(review->token));
	mem_replace(&review->token, NULL);
	review->req = kube_request_start(review->id->client, &spec, review_on_answer, review);
}

static void identity_send(struct identity *id)
{
	while (id->n_asked < IDENTITY_REVIEWS_MAX && !list_is_empty(&id->turns)) {
		id->n_asked++;
		review_send(identity_next(id));
	}
}

static struct review *review_new(struct identity *id, const char *hash, const char *token,
				 const char *from, const struct identity_claims *claims)
{
	struct review *review = MEM_NEW(struct review);

	review->id = id;
	memcpy(review->hash, hash, sizeof(review->hash));
	list_init(&review->link);
	list_init(&review->checks);
	review->claims = *claims;
	review->token = mem_strdup(token);
	map_put(&id->reviews, hash, review);
	review_enqueue(review, from);
	return review;
}

/* One request is looked at three times in a row: when its headers have come, when it is whole, and
 * when its token is to be checked. */
static enum identity_verdict identity_look(struct identity *id, const char *token,
					   const char hash[SHA256_HEX], struct identity_claims *ret,
					   const char **ret_why)
{
	enum identity_verdict verdict;

	if (strcmp(hash, id->looked_at) == 0) {
		*ret = id->claims;
		*ret_why = "";
		return IDENTITY_OK;
	}
	verdict = identity_prejudge(token, ret, ret_why);
	if (verdict == IDENTITY_OK) {
		memcpy(id->looked_at, hash, sizeof(id->looked_at));
		id->claims = *ret;
	}
	return verdict;
}

/* What callers call. */

bool identity_lookup(struct identity *id, const char *token, int64_t now_ms,
		     struct identity_result *ret)
{
	struct identity_claims claims;
	struct outcome known = {0};
	const struct outcome *o;
	char hash[SHA256_HEX];

	sha256_hex(token, strlen(token), hash);
	o = identity_find(id, hash, now_ms);
	if (!o) {
		known.verdict = identity_look(id, token, hash, &claims, &known.why);
		o = &known;
	}
	if (o == &known && known.verdict == IDENTITY_OK)
		return false;
	outcome_show(o, ret);
	return true;
}

/* The answer is known: it comes in the next turn. */
static void identity_answer(struct identity *id, struct identity_check *check,
			    enum identity_verdict verdict, const char *why)
{
	struct outcome *o = outcome_new(verdict, why);

	check_ready(id, check, o);
	outcome_unref(o);
	uv_timer_start(&id->soon, identity_on_soon, 0, 0);
}

/* Join the review of the token, or make it. */
static void identity_join(struct identity *id, struct identity_check *check, const char *token,
			  const char *hash, const char *from, const struct identity_claims *claims)
{
	struct review *review = map_get(&id->reviews, hash);

	if (!review && !identity_has_room(id, from)) {
		identity_answer(id, check, IDENTITY_UNAVAILABLE,
				"too many tokens wait to be checked: try again in a moment");
		return;
	}
	if (!review)
		review = review_new(id, hash, token, from, claims);
	check->review = review;
	list_append(&review->checks, &check->link);
	identity_send(id);
}

struct identity_check *identity_check(struct identity *id, const char *token, const char *from,
				      identity_done_fn done, void *data)
{
	struct identity_check *check = MEM_NEW(struct identity_check);
	struct identity_claims claims;
	struct outcome *o;
	char hash[SHA256_HEX];
	const char *why;
	enum identity_verdict verdict;

	sha256_hex(token, strlen(token), hash);
	verdict = identity_look(id, token, hash, &claims, &why);
	check->done = done;
	check->data = data;
	list_init(&check->link);
	if (verdict != IDENTITY_OK) {
		identity_answer(id, check, verdict, why);
		return check;
	}
	o = identity_find(id, hash, clock_wall_ms());
	if (o) {
		check_ready(id, check, o);
		uv_timer_start(&id->soon, identity_on_soon, 0, 0);
	} else {
		identity_join(id, check, token, hash, from, &claims);
	}
	return check;
}

size_t identity_waiting(const struct identity *id)
{
	return id->n_queued;
}

void identity_cancel(struct identity_check *check)
{
	struct review *review = check->review;

	check_free(check);
	if (!review || review->req || !list_is_empty(&review->checks))
		return;
	review_free(review);
}

/* Life. */

struct identity *identity_new(struct kube_client *client, const char *namespace_)
{
	struct identity *id = MEM_NEW(struct identity);

	id->client = client;
	id->namespace_ = mem_strdup(namespace_);
	list_init(&id->good.used);
	list_init(&id->refused.used);
	id->good.max = IDENTITY_KEPT_MAX;
	id->refused.max = IDENTITY_REFUSED_MAX;
	list_init(&id->turns);
	list_init(&id->ready);
	uv_timer_init(kube_client_loop(client), &id->soon);
	return id;
}

static void identity_free(uv_handle_t *handle)
{
	struct identity *id = container_of(handle, struct identity, soon);

	free(id->namespace_);
	free(id);
}

static void identity_free_checks(struct list *checks)
{
	LIST_FOREACH(item, checks) {
		check_free(container_of(item, struct identity_check, link));
	}
}

static void identity_drop_all(struct identity *id, struct list *used)
{
	LIST_FOREACH(item, used) {
		identity_drop(id, container_of(item, struct outcome, link));
	}
}

void identity_close(struct identity *id)
{
	void *value;
	size_t it = 0;

	while (map_next(&id->reviews, &it, NULL, &value)) {
		struct review *review = value;

		identity_free_checks(&review->checks);
		if (review->req)
			kube_request_cancel(review->req);
		review_free(review);
	}
	identity_free_checks(&id->ready);
	identity_drop_all(id, &id->good.used);
	identity_drop_all(id, &id->refused.used);
	map_clear(&id->reviews, NULL);
	map_clear(&id->queues, NULL);
	map_clear(&id->outcomes, NULL);
	uv_close((uv_handle_t *)&id->soon, identity_free);
}
