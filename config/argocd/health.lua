-- Health of an AppArmorProfile for Argo CD, which calls a kind that it does not know healthy at once. Install it as the key
-- resource.customizations.health.hauberk.dev_AppArmorProfile of the ConfigMap argocd-cm:
--
--   kubectl -n argocd patch configmap argocd-cm --type merge --patch \
--     "$(jq -Rs '{data: {"resource.customizations.health.hauberk.dev_AppArmorProfile": .}}' config/argocd/health.lua)"
--
-- Degraded where a person has to act, Healthy where every node was read back, Suspended where the rollout waits for a person who
-- asked to be waited for, Progressing until then.
local function condition(name)
  for _, c in ipairs(obj.status and obj.status.conditions or {}) do
    if c.type == name then
      return c
    end
  end
  return {}
end

local function health(status, message)
  return { status = status, message = message }
end

-- A step with soakSeconds: -1 stands until somebody says promote. index counts from 0, Lua from 1.
local function awaits_promote()
  local rollout = obj.status.rollout or {}
  local steps = obj.spec.rollout and obj.spec.rollout.steps or {}
  local step = rollout.step and steps[(rollout.step.index or 0) + 1]
  return rollout.phase == "Soaking" and step and step.soakSeconds == -1
end

local generation = obj.metadata.generation or 0
if not obj.status or (obj.status.observedGeneration or -1) < generation then
  return health("Progressing", "Waiting for the Hauberk controller to see this change")
end
if condition("Stalled").status == "True" then
  return health("Degraded", condition("Stalled").message)
end
if condition("Ready").status == "True" then
  return health("Healthy", condition("Ready").message)
end
if condition("Ready").reason == "RolloutPaused" or awaits_promote() then
  return health("Suspended", condition("Progressing").message or condition("Ready").message)
end
return health("Progressing", condition("Ready").message or "Waiting for the nodes")
