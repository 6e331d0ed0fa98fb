"""What Argo CD would call the health of an AppArmorProfile: config/argocd/health.lua, run by Lua as Argo CD runs it."""
import json
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "config/argocd/health.lua"
STEPS = [{"nodes": 1, "soakSeconds": 600}, {"nodes": 5, "soakSeconds": -1}]


def lua(value):
    if isinstance(value, dict):
        return "{" + ",".join(f"[{json.dumps(k)}]={lua(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ",".join(map(lua, value)) + "}"
    return json.dumps(value)


def health(obj):
    program = f"obj = {lua(obj)}\nlocal h = (function()\n{SCRIPT.read_text()}\nend)()\nprint(h.status)\nprint(h.message)"
    return subprocess.run(["lua5.4", "-"], input=program, capture_output=True, text=True, check=True).stdout.splitlines()


def profile(generation=2, ready=("False", "RolloutInProgress"), stalled="False", rollout=None, steps=None):
    conditions = [{"type": "Ready", "status": ready[0], "reason": ready[1], "message": "of Ready"},
                  {"type": "Progressing", "status": "True", "reason": "x", "message": "of Progressing"},
                  {"type": "Stalled", "status": stalled, "reason": "x", "message": "of Stalled"}]
    return {"metadata": {"generation": generation}, "spec": {"rollout": {"steps": steps or []}},
            "status": {"observedGeneration": 2, "conditions": conditions, "rollout": rollout or {}}}


@pytest.mark.parametrize("obj, is_", [
    (profile(ready=("True", "RolloutComplete")), ["Healthy", "of Ready"]),
    (profile(), ["Progressing", "of Ready"]),
    (profile(stalled="True", ready=("False", "NodesFailed")), ["Degraded", "of Stalled"]),
    (profile(ready=("False", "RolloutPaused"), rollout={"phase": "Paused"}), ["Suspended", "of Progressing"]),
    (profile(rollout={"phase": "Soaking", "step": {"index": 0}}, steps=STEPS), ["Progressing", "of Ready"]),
    (profile(rollout={"phase": "Soaking", "step": {"index": 1}}, steps=STEPS), ["Suspended", "of Progressing"]),
    (profile(rollout={"phase": "Progressing", "step": {"index": 1}}, steps=STEPS), ["Progressing", "of Ready"]),
    (profile(rollout={"phase": "Progressing", "step": {"index": 2}}, steps=STEPS), ["Progressing", "of Ready"]),
    (profile(generation=3, ready=("True", "RolloutComplete")), ["Progressing", "Waiting for the Hauberk controller to see this change"]),
    ({"metadata": {"generation": 1}, "spec": {}, "status": {"observedGeneration": -1}},
     ["Progressing", "Waiting for the Hauberk controller to see this change"]),
    ({"metadata": {"generation": 1}, "spec": {}, "status": {"observedGeneration": 1}}, ["Progressing", "Waiting for the nodes"]),
    ({"metadata": {}, "spec": {}}, ["Progressing", "Waiting for the Hauberk controller to see this change"]),
])
def test_health(obj, is_):
    assert health(obj) == is_
