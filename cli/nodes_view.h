#pragma once

/*
 * What the leader says of nodes, as tables. Pure.
 */

#include "base/js.h"
#include "cli/table.h"

#include <stdint.h>

/* A row for each node of GET /v1/nodes. */
void nodes_table(struct json_object *view, int64_t now_ms, struct table *t);

/* A row for each profile of GET /v1/nodes/NAME. */
void nodes_profiles_table(struct json_object *view, int64_t now_ms, struct table *t);

/* A row for each node of GET /v1/profiles/NAME. */
void nodes_of_profile_table(struct json_object *view, int64_t now_ms, struct table *t);

/* What stands above and below the table of one node: its kernel and agent, and what is out of the
 * ordinary. The caller frees both. */
char *nodes_heading(struct json_object *view, int64_t now_ms);
char *nodes_footing(struct json_object *view);
