"""Programs and machines that die in the middle. Whatever died: in the end status and kernels say what spec says, nothing was loaded
twice, nothing was unloaded, and at no moment was a profile called Ready that a node did not hold."""
import shutil
import time

import pytest

from harness import (POD_S, STATE_DIR, changed, condition, fat_policy, is_ready, large_policy, node_states, profile)
from labkit.ui import wait_until

OUTAGE_S = 60
pytestmark = pytest.mark.disturbs


def ready_events(cluster, mark, name, generation):
    return [e for e in cluster.profiles.since(mark, name) if is_ready(e.obj) and e.obj["metadata"]["generation"] == generation]


def check_never_falsely_ready(cluster, mark, names):
    """What called itself Ready named each of its nodes Loaded, with one revision."""
    for event in cluster.profiles.since(mark):
        if event.name in names and is_ready(event.obj) and condition(event.obj)["reason"] == "RolloutComplete":
            status = event.obj["status"]
            nodes = node_states(event.obj)
            assert {n["state"] for n in nodes.values()} == {"Loaded"} and set(nodes) >= set(cluster.nodes), status
            assert {n["revision"] for n in nodes.values()} == {status["updateRevision"]}, status


def check_loaded_once(cluster, node, names):
    """By the word of the agents: no revision of a profile came to a kernel of this node twice. A node that was started anew has a new
    kernel, into which its agent loads what it last knew without waiting for the controller."""
    loads, boot = [], None
    for line in cluster.agent_log(node):
        if line.get("msg") == "starting":
            boot = line["boot"]
        elif line.get("msg") == "profile loaded" and line["profile"] in names:
            loads.append((boot, line["profile"], line["revision"]))
    assert len(loads) == len(set(loads)), loads


# -- agents ------------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("moment", ["between the fetch and the load", "between the load and the reading back"])
def test_an_agent_is_killed(cluster, moment):
    name = cluster.name("agent")
    manifest = profile(name, text=fat_policy(name))
    fetched_before = cluster.everywhere(lambda n: artefacts(cluster, n))
    revisions, mark = cluster.revisions(), cluster.profiles.mark()
    one, two = cluster.nodes
    files = [".replace"] if moment.endswith("load") else [".replace", "policy/profiles"]
    with cluster.agent_dies_opening(one, *files), cluster.agent_dies_opening(two, *files):
        cluster.apply(manifest)
    # The bytes had come, and this is how far the kernels were.
    assert ready_events(cluster, mark, name, 1) == []
    if moment.endswith("load"):
        assert all(artefacts(cluster, n) - fetched_before[n] for n in cluster.nodes)
    cluster.wait_ready(name)
    cluster.check_kernels(manifest)
    assert cluster.revisions() == {n: r + 1 for n, r in revisions.items()}, "loaded once, by one agent or the other"
    check_never_falsely_ready(cluster, mark, {name})


def artefacts(cluster, node):
    return set(cluster.lab.exec(node, "find", f"{STATE_DIR}/policies", "-type", "f").stdout.split())


# -- the controller ------------------------------------------------------------------------------------------------------------------

def test_the_controller_is_killed_while_nodes_load(cluster):
    many = [profile(name, text=large_policy(name)) for name in (cluster.name("storm") for _ in range(24))]
    names = [m["metadata"]["name"] for m in many]
    revisions, mark = cluster.revisions(), cluster.profiles.mark()
    cluster.apply(*many)
    cluster.profiles.wait(lambda now: any("Loaded" in {s["state"] for s in node_states(now[n]).values()} for n in names if n in now), "the first Loaded")
    cluster.lab.kill("controller")
    assert not all(is_ready(cluster.get(n)) for n in names), "it was to be killed in the middle"
    # Spec goes on changing while nobody leads.
    added, removed, updated = profile(cluster.name("storm-late")), names[0], changed(many[1], "deny /etc/group r,")
    cluster.apply(added, updated)
    cluster.delete(removed)
    cluster.lab.start("controller")
    wanted = [*many[2:], updated, added]
    cluster.wait_ready(*(m["metadata"]["name"] for m in wanted))
    cluster.wait_gone(removed)
    cluster.check_kernels(*wanted, absent=[removed])
    check_never_falsely_ready(cluster, mark, {m["metadata"]["name"] for m in wanted})
    for node in cluster.nodes:
        check_loaded_once(cluster, node, names)
        # Each once; the one that was updated and the one that was removed perhaps also before the controller died.
        assert len(wanted) <= cluster.revision(node) - revisions[node] <= len(wanted) + 3


def test_a_new_leader_with_an_empty_disk_unloads_nothing_and_loads_nothing(cluster):
    manifest = profile(cluster.name("leader"), "deny /etc/shadow r,")
    name = manifest["metadata"]["name"]
    cluster.apply(manifest)
    ready = cluster.wait_ready(name)
    kernels, revisions, mark = cluster.kernels(), cluster.revisions(), cluster.audit_mark()
    assert cluster.lab.stop("controller", grace_s=30) == 0, "the controller ends in order"
    data = cluster.lab.state.controller_dir / "data"
    shutil.rmtree(data)
    data.mkdir()
    cluster.lab.start("controller")
    # All agents have been heard and told when the next profile is Ready everywhere.
    fence = profile(cluster.name("leader-next"))
    cluster.apply(fence)
    cluster.wait_ready(fence["metadata"]["name"])
    cluster.check_kernels(manifest, fence)
    assert cluster.revisions() == {n: r + 1 for n, r in revisions.items()}
    after = cluster.kernels()
    assert all(after[n].items() >= kernels[n].items() for n in cluster.nodes)
    others = [w for w in cluster.writes_since(mark) if not w[2].startswith(fence["metadata"]["name"])]
    assert others == [], "a new leader that finds all as it should be has nothing to write"
    assert cluster.get(name)["status"] == ready["status"]


# -- the API server -------------------------------------------------------------------------------------------------------------------

def test_the_api_server_is_down_for_a_minute_while_profiles_change(cluster):
    stays, changes, goes = (profile(cluster.name(w), "deny /etc/shadow r,") for w in ("outage-stays", "outage-changes", "outage-goes"))
    cluster.apply(stays, changes, goes)
    cluster.wait_ready(*(m["metadata"]["name"] for m in (stays, changes, goes)))
    revisions, kernels, mark = cluster.revisions(), cluster.kernels(), cluster.profiles.mark()
    late = changed(changes, "deny /etc/group r,")
    cluster.apply(late)
    cluster.lab.kill("apiserver")
    until = time.monotonic() + OUTAGE_S
    # Meanwhile an agent dies, too. The one that the kubelet starts in its place has nobody to ask, and leaves the kernel as it is.
    old = cluster.agent_pid(cluster.nodes[1])
    cluster.lab.exec(cluster.nodes[1], "kill", "-9", str(old))
    wait_until(lambda: cluster.agent_pid(cluster.nodes[1]) != old, OUTAGE_S, "the next agent", every_s=0.5)
    time.sleep(max(0, until - time.monotonic()))      # the minute is what this test is about
    name = late["metadata"]["name"]
    for node, kernel in cluster.kernels().items():
        rest = {n: p for n, p in kernel.items() if n != name}
        assert rest == {n: p for n, p in kernels[node].items() if n != name}
        assert kernel[name] in (kernels[node][name], cluster.expected(node, late)[name])
    cluster.lab.start("apiserver")
    last = changed(late, "deny /etc/passwd w,")
    fresh = profile(cluster.name("outage-fresh"))
    wait_until(lambda: cluster.api.ready(), 60, "the API server")
    cluster.apply(last, fresh)
    cluster.delete(goes["metadata"]["name"])
    cluster.wait_ready(stays["metadata"]["name"], name, fresh["metadata"]["name"])
    cluster.wait_gone(goes["metadata"]["name"])
    cluster.check_kernels(stays, last, fresh, absent=[goes["metadata"]["name"]])
    check_never_falsely_ready(cluster, mark, {stays["metadata"]["name"], name, fresh["metadata"]["name"]})
    for node in cluster.nodes:
        # `late` or not, `last`, `fresh`, and the removal: nothing twice.
        assert cluster.revision(node) - revisions[node] in (3, 4)


# -- machines ---------------------------------------------------------------------------------------------------------------------------

def test_a_node_loses_power_in_the_middle(cluster):
    other, lost = cluster.nodes
    many = [profile(cluster.name("power"), "deny /etc/shadow r,") for _ in range(3)]
    names = [m["metadata"]["name"] for m in many]
    cluster.apply(*many)
    cluster.wait_ready(*names)
    old = {n: cluster.get(n)["status"]["currentRevision"] for n in names}
    mark = cluster.profiles.mark()
    # To both at once, for what is told to a node that stands still holds up the other by the budget.
    now = [changed(m, "deny /etc/group r,", rollout={"maxUnavailable": "100%"}) for m in many]
    cluster.lab.pause(lost)      # so that it is in the middle of this rollout, and not after it
    try:
        cluster.apply(*now)
        for n in names:
            cluster.wait(n, lambda o, r=old[n]: node_states(o)[other].get("revision") != r and node_states(o)[other]["state"] == "Loaded",
                         "the new revision on the other node")
    finally:
        cluster.lab.kill(lost)
    assert all(ready_events(cluster, mark, n, 2) == [] for n in names), "Ready without a node that has no power"
    cluster.lab.start(lost)
    back = cluster.profiles.mark()
    cluster.wait_ready(*names, timeout_s=POD_S)
    cluster.check_kernels(*now)
    check_never_falsely_ready(cluster, back, set(names))
    check_loaded_once(cluster, lost, names)
    # A kernel that started empty was given each profile once, or twice where the former revision was put in place before the controller was reached.
    assert len(names) <= cluster.revision(lost) <= 2 * len(names) + 1


# -- a cluster restored from nothing ---------------------------------------------------------------------------------------------------

@pytest.mark.kubelet
@pytest.mark.takes_apart(1)
def test_an_api_server_restored_empty_unloads_nothing(cluster):
    manifest = profile(cluster.name("restored"), "deny /etc/shadow r,")
    name = manifest["metadata"]["name"]
    cluster.apply(manifest)
    cluster.wait_ready(name)
    kernels, revisions = cluster.kernels(), cluster.revisions()
    empty_the_api_server(cluster)

    # Nobody asks for the profile now. It is kept, and said to be an orphan, for a person to decide.
    fence = profile(cluster.name("restored-next"))
    cluster.apply(fence)
    cluster.wait_ready(fence["metadata"]["name"], timeout_s=POD_S)
    cluster.check_kernels(manifest, fence)
    after = cluster.kernels()
    assert all(after[n].items() >= kernels[n].items() for n in cluster.nodes)
    assert cluster.revisions() == {n: r + 1 for n, r in revisions.items()}
    for node in cluster.nodes:
        wait_until(lambda n=node: name in orphans(cluster, n), 60, f"{name} among the orphans of {node}")

    # And when the object comes back from Git, it is the same profile again: nothing is loaded, and it can be deleted as any other.
    cluster.apply(manifest)
    cluster.wait_ready(name)
    assert cluster.revisions() == {n: r + 1 for n, r in revisions.items()}
    for node in cluster.nodes:
        wait_until(lambda n=node: name not in orphans(cluster, n), 60, f"{name} to be no orphan of {node} any more")


def empty_the_api_server(cluster):
    """Everything that it knew is lost. Nodes come back by themselves, and Hauberk's own manifests are applied again."""
    lab = cluster.lab
    for part in ("controller", "scheduler", "controller-manager", "apiserver", "etcd"):
        lab.kill(part)
    shutil.rmtree(lab.state.dir / "etcd")
    for part in ("etcd", "apiserver", "controller-manager", "scheduler"):
        lab.start(part)
    # Nodes register when their kubelet starts. Their agents' pods are none of this cluster's, so they end, and new ones come.
    cluster.everywhere(lambda n: lab.exec(n, "/bin/sh", "-c", "for p in $(pidof node); do grep -q kubelet /proc/$p/cmdline && kill $p; done; true"))
    for node in cluster.nodes:
        wait_until(lambda n=node: cluster.api.find(f"/api/v1/nodes/{n}"), POD_S, f"{node} to register", every_s=0.3)
    lab.up(nodes_wanted=2)


def orphans(cluster, node):
    obj = cluster.api.find(f"/apis/hauberk.dev/v1alpha1/apparmornodes/{node}") or {}
    return {e.get("profile") for e in obj.get("status", {}).get("exceptions", []) if e["reason"] == "Orphan"}
