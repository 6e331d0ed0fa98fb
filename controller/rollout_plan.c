#include "controller/rollout_plan.h"

struct plan rollout_plan(const struct plan_request *req, enum plan_choice *choices)
{
	size_t i;

	for (i = 0; i < req->n; i++)
		choices[i] = PLAN_TARGET;
	return (struct plan){.next_ms = INT64_MAX, .why = ""};
}
