#include "controller/node_status.h"

#include "base/mem.h"

#include <stdlib.h>

static struct node_aspect node_aspect_copy(const struct node_aspect *from)
{
	return (struct node_aspect){
	    .truth = from->truth,
	    .reason = mem_strdup(from->reason),
	    .message = mem_strdup(from->message),
	    .since_ms = from->since_ms,
	};
}

/* How many are there to be read; the others are but counted. */
static size_t node_exceptions_listed(const struct node_facts *facts)
{
	return facts->n_exceptions < NODE_EXCEPTIONS_MAX ? facts->n_exceptions
							 : NODE_EXCEPTIONS_MAX;
}

static const struct node_exception *node_exceptions_copy(const struct node_facts *from)
{
	size_t n = node_exceptions_listed(from), i;
	struct node_exception *copy = mem_alloc(n, sizeof(*copy));

	for (i = 0; i < n; i++)
		copy[i] = (struct node_exception){
		    .reason = mem_strdup(from->exceptions[i].reason),
		    .profile = mem_strdup(from->exceptions[i].profile),
		    .message = mem_strdup(from->exceptions[i].message),
		};
	return copy;
}

static const struct node_removal *node_removals_copy(const struct node_facts *from)
{
	struct node_removal *copy = mem_alloc(from->n_removals, sizeof(*copy));
	size_t i, j;

	for (i = 0; i < from->n_removals; i++) {
		const struct node_removal *r = &from->removals[i];

		copy[i].profile = mem_strdup(r->profile);
		copy[i].uid = mem_strdup(r->uid);
		copy[i].n_revisions = r->n_revisions;
		copy[i].revisions = mem_alloc(r->n_revisions, sizeof(char *));
		for (j = 0; j < r->n_revisions; j++)
			copy[i].revisions[j] = mem_strdup(r->revisions[j]);
	}
	return copy;
}

struct node_facts *node_facts_copy(const struct node_facts *facts)
{
	struct node_facts *copy = MEM_NEW(struct node_facts);

	*copy = *facts;
	copy->kernel_release = mem_strdup(facts->kernel_release);
	copy->agent_version = mem_strdup(facts->agent_version);
	copy->boot_id = mem_strdup(facts->boot_id);
	copy->features = mem_strdup(facts->features);
	copy->apparmor = node_aspect_copy(&facts->apparmor);
	copy->agent = node_aspect_copy(&facts->agent);
	copy->drift = node_aspect_copy(&facts->drift);
	copy->exceptions = node_exceptions_copy(facts);
	copy->removals = node_removals_copy(facts);
	return copy;
}

static void node_aspect_free(const struct node_aspect *aspect)
{
	free((char *)aspect->reason);
	free((char *)aspect->message);
}

void node_facts_free(struct node_facts *facts)
{
	size_t i;

	if (!facts)
		return;
	for (i = 0; i < node_exceptions_listed(facts); i++) {
		free((char *)facts->exceptions[i].reason);
		free((char *)facts->exceptions[i].profile);
		free((char *)facts->exceptions[i].message);
	}
	free((struct node_exception *)facts->exceptions);
	node_removals_free((struct node_removal *)facts->removals, facts->n_removals);
	node_aspect_free(&facts->apparmor);
	node_aspect_free(&facts->agent);
	node_aspect_free(&facts->drift);
	free((char *)facts->kernel_release);
	free((char *)facts->agent_version);
	free((char *)facts->boot_id);
	free((char *)facts->features);
	free(facts);
}
