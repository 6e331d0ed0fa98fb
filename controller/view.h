#pragma once

/*
 * The engine's picture as the leader's listener shows it: all nodes of a profile and all profiles
 * of a node, however many, which a bounded status cannot hold. Pure; each answer is sorted by name
 * and belongs to the caller.
 */

#include "controller/engine.h"

/* {name, profileName, uid, generation, mode, status, nodes: [{name, zone?, selected, holds?, told?,
 * state, reason?, message?, since}]}; `status` is what the API server is or will be told, without
 * its nodes. */
struct json_object *view_profile(struct engine *engine, const struct aap *aap, int64_t now_ms);

/* {nodes: [{name, agent, heard?, agentVersion?, kernelRelease?, appArmor?, reason?, profiles:
 * {desired, loaded, pending, failed, draining}}]}; `agent` is Connected, Away, NeverHeard or None
 * (where none is expected). */
struct json_object *view_nodes(struct engine *engine);

/* One of them with, in place of the numbers, profiles: [{name, profileName, selected, holds?,
 * told?, mode?, state, reason?, message?, since}], orphans: [name] and pendingRemovals: [profile].
 */
struct json_object *view_node(struct engine *e, const struct node *node);
