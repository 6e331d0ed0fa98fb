"""What is removed, what is not, and what is never touched: policy in use, policy of others, and an agent or a whole Hauberk that goes away."""
import time

import pytest

from harness import (ADOPT, NODE_OBJECTS, POD_S, PROFILES, changed, condition, has_reason, is_ready, node_states, pod, policy, profile)
from labkit.controller import NAMESPACE
from labkit.ui import wait_until

SLEEP = "while :; do sleep 1000; done"


def confined(cluster, pod_name):
    return cluster.kubectl("exec", pod_name, "--", "cat", "/proc/1/attr/current").stdout.strip()


@pytest.mark.kubelet
def test_a_profile_in_use_stays_until_its_pods_end(cluster):
    name = cluster.name("used")
    manifest = profile(name)
    pods = {node: f"{name}-{node}" for node in cluster.nodes}
    cluster.apply(manifest)
    cluster.wait_ready(name)
    cluster.apply(*(pod(p, node, name, SLEEP) for node, p in pods.items()))
    cluster.kubectl("wait", "--for=condition=Ready", f"--timeout={POD_S}s", *(f"pod/{p}" for p in pods.values()), timeout=POD_S + 10)
    cluster.delete(name)

    def draining(obj):
        message = condition(obj).get("message", "")
        return {n: s["state"] for n, s in node_states(obj).items()} == dict.fromkeys(pods, "Draining") and \
            all(node in message and f"default/{p}" in message for node, p in pods.items())
    obj = cluster.wait(name, draining, "Draining, with nodes and pods named")
    assert condition(obj)["status"] == "False"
    cluster.check_kernels(manifest)
    for p in pods.values():
        assert confined(cluster, p) == f"{name} (enforce)"

    # One pod ends: its node lets go, the other still holds.
    cluster.api.delete(f"/api/v1/namespaces/default/pods/{pods['node-1']}", gracePeriodSeconds=1)
    obj = cluster.wait(name, lambda o: list(node_states(o)) == ["node-2"], "node-1 to let go")
    assert "node-1" not in condition(obj)["message"] and f"default/{pods['node-2']}" in condition(obj)["message"]
    cluster.check_kernels(absent=[name], nodes=["node-1"])
    cluster.check_kernels(manifest, nodes=["node-2"])
    assert confined(cluster, pods["node-2"]) == f"{name} (enforce)"

    cluster.api.delete(f"/api/v1/namespaces/default/pods/{pods['node-2']}", gracePeriodSeconds=1)
    cluster.wait_gone(name)
    cluster.check_kernels(absent=[name])


@pytest.fixture
def by_hand(cluster):
    """Loads a policy on every node as an administrator would, and removes it after the test."""
    names = []

    def load(name, text):
        names.append(name)
        cluster.everywhere(lambda node: cluster.load_by_hand(node, text))
    yield load
    for name in names:
        for node, kernel in cluster.kernels().items():
            if name in kernel:
                cluster.unload_by_hand(node, name)


def conflicts_on(nodes):
    def check(obj):
        return has_reason("NodesFailed")(obj) and \
            {n: (s["state"], s["reason"]) for n, s in node_states(obj).items() if "reason" in s} == dict.fromkeys(nodes, ("Failed", "NameConflict"))
    return check


def test_a_profile_that_somebody_else_loaded_is_not_touched(cluster, by_hand):
    name = cluster.name("foreign")
    by_hand(name, policy(name, "deny /opt/foreign r,"))
    before, revisions = cluster.kernels(), cluster.revisions()
    manifest = profile(name, "deny /etc/shadow r,")
    cluster.apply(manifest)
    obj = cluster.wait(name, conflicts_on(cluster.nodes), "NameConflict on both nodes")
    assert condition(obj)["reason"] == "NodesFailed" and "did not load" in condition(obj)["message"] and obj["status"]["failureReasons"] == [{"reason": "NameConflict", "count": 2}]
    # Neither an update nor a deletion touches it.
    cluster.apply(changed(manifest, "deny /etc/group r,"))
    cluster.wait(name, lambda o: conflicts_on(cluster.nodes)(o) and o["metadata"]["generation"] == 2, "NameConflict again")
    cluster.kubectl("delete", "aap", name, "--timeout=100s")
    cluster.check_unchanged(before, revisions)


def test_a_conflict_ends_when_the_other_profile_goes(cluster, by_hand):
    name = cluster.name("yielding")
    by_hand(name, policy(name, "deny /opt/foreign r,"))
    manifest = profile(name, "deny /etc/shadow r,")
    cluster.apply(manifest)
    cluster.wait(name, conflicts_on(cluster.nodes), "NameConflict on both nodes")
    for node in cluster.nodes:
        cluster.unload_by_hand(node, name)
    cluster.wait_ready(name)
    cluster.check_kernels(manifest)


def test_a_profile_that_somebody_else_loaded_is_adopted_on_request(cluster, by_hand):
    name = cluster.name("adopted")
    by_hand(name, policy(name, "deny /opt/foreign r,"))
    manifest = profile(name, "deny /etc/shadow r,")
    cluster.apply(manifest)
    cluster.wait(name, conflicts_on(cluster.nodes), "NameConflict on both nodes")
    revisions = cluster.revisions()
    cluster.kubectl("annotate", "aap", name, f"{ADOPT}=true")
    cluster.wait_ready(name)
    cluster.check_kernels(manifest)
    assert cluster.revisions() == {n: r + 1 for n, r in revisions.items()}, "replaced in one step"
    cluster.kubectl("delete", "aap", name, "--timeout=100s")
    cluster.check_kernels(absent=[name])


@pytest.mark.kubelet
@pytest.mark.disturbs
def test_agents_that_stop_and_are_upgraded_unload_nothing(cluster):
    name = cluster.name("upgrade")
    manifest = profile(name, "deny /etc/shadow r,")
    cluster.apply(manifest)
    cluster.wait_ready(name)
    kernels, revisions, mark = cluster.kernels(), cluster.revisions(), cluster.profiles.mark()
    before = {n: p["metadata"]["uid"] for n, p in cluster.agent_pods().items()}
    # As an upgrade does: another template, so every pod is stopped and made anew.
    cluster.kubectl("-n", NAMESPACE, "rollout", "restart", "daemonset/hauberk-agent")
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", "daemonset/hauberk-agent", f"--timeout={POD_S}s", timeout=POD_S + 10)
    assert not set(before.values()) & {p["metadata"]["uid"] for p in cluster.agent_pods().values()}
    # The new ones have been heard, and are told of the next change.
    second = profile(cluster.name("upgrade-next"))
    cluster.apply(second)
    cluster.wait_ready(second["metadata"]["name"])
    cluster.check_kernels(manifest, second)
    assert cluster.revisions() == {n: r + 1 for n, r in revisions.items()}
    after = cluster.kernels()
    assert all(after[n].items() >= kernels[n].items() for n in cluster.nodes)
    # An upgrade is no news about a profile, but where a new agent takes longer than 150 s to come, as on a machine with much else to do.
    said = {(s["state"], s.get("reason")) for e in cluster.profiles.since(mark, name) for s in node_states(e.obj).values()}
    assert said <= {("Loaded", None), ("Pending", "AgentAway")}
    cluster.wait_ready(name)


@pytest.mark.parametrize("between", [True, False], ids=["a second later", "at once"])
def test_of_two_objects_for_one_name_the_older_has_it(cluster, between):
    kernel_name, older, newer = cluster.name("shared"), cluster.name("older"), cluster.name("newer")
    one = profile(older, text=policy(kernel_name, "deny /etc/shadow r,"), profileName=kernel_name)
    two = profile(newer, text=policy(kernel_name, "deny /etc/group r,"), profileName=kernel_name)
    cluster.apply(one)
    cluster.wait_ready(older)
    # Age is counted in whole seconds; of two that are made in one, that has it which is served.
    if between:
        wait_until(lambda: time.time() >= created(cluster, older) + 1, 3, "a second to pass")
    cluster.apply(two)
    obj = cluster.wait(newer, has_reason("NameConflict"), "NameConflict")
    assert older in condition(obj)["message"] and condition(obj, "Stalled")["status"] == "True" and condition(obj, "Accepted")["status"] == "False"
    assert is_ready(cluster.get(older))
    cluster.check_kernels(one)

    # The older goes, and the newer takes over.
    cluster.kubectl("delete", "aap", older, "--timeout=100s")
    cluster.wait_ready(newer)
    cluster.check_kernels(two)
    # The newer may go while it waits, too.
    cluster.apply(one)
    cluster.wait(older, has_reason("NameConflict"), "NameConflict the other way round")
    cluster.kubectl("delete", "aap", older, "--timeout=100s")
    cluster.check_kernels(two)


def created(cluster, name):
    stamp = cluster.get(name)["metadata"]["creationTimestamp"]
    return time.mktime(time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone


# -- uninstalling ----------------------------------------------------------------------------------------------------------------

def crd_is_gone(cluster):
    return cluster.api.find("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/apparmorprofiles.hauberk.dev") is None


def namespace_is_gone(cluster):
    return cluster.api.find(f"/api/v1/namespaces/{NAMESPACE}") is None


@pytest.fixture
def installed(cluster):
    """Two profiles, one of them in use, on both nodes; Hauberk is installed again after the test, and finds them there."""
    used, idle = profile(cluster.name("used")), profile(cluster.name("idle"))
    name = used["metadata"]["name"]
    cluster.apply(used, idle)
    cluster.wait_ready(name, idle["metadata"]["name"])
    cluster.apply(pod(f"{name}-pod", "node-1", name, SLEEP))
    cluster.kubectl("wait", "--for=condition=Ready", f"--timeout={POD_S}s", f"pod/{name}-pod", timeout=POD_S + 10)
    kernels, revisions = cluster.kernels(), cluster.revisions()
    yield used, idle
    assert confined(cluster, f"{name}-pod") == f"{name} (enforce)"
    cluster.check_unchanged(kernels, revisions)
    if namespace_is_gone(cluster):
        # The controller of the lab is no pod, so it outlives its service account; its token is worth nothing any more.
        cluster.lab.kill("controller")
    cluster.lab.up(nodes_wanted=2)
    # What is there is recognised, and not loaded a second time.
    cluster.apply(used, idle)
    cluster.wait_ready(name, idle["metadata"]["name"])
    assert cluster.revisions() == revisions


@pytest.mark.kubelet
@pytest.mark.takes_apart(2)
def test_uninstalled_with_the_verb(cluster, installed):
    out = cluster.kubectl("hauberk", "uninstall", "--yes", timeout=200).stdout
    assert "CustomResourceDefinition apparmorprofiles.hauberk.dev" in out
    assert crd_is_gone(cluster) and namespace_is_gone(cluster)
    assert cluster.api.find(NODE_OBJECTS) is None
    left = [o["metadata"]["name"] for kind in ("clusterroles", "clusterrolebindings")
            for o in cluster.api.get(f"/apis/rbac.authorization.k8s.io/v1/{kind}")["items"] if "hauberk" in o["metadata"]["name"]]
    assert left == []
    # Once more is no error.
    cluster.kubectl("hauberk", "uninstall", "--yes")


@pytest.mark.kubelet
@pytest.mark.takes_apart(3)
def test_uninstalled_by_deleting_the_definition(cluster, installed):
    cluster.kubectl("delete", "crd", "apparmorprofiles.hauberk.dev", "--timeout=180s")
    assert crd_is_gone(cluster)


@pytest.mark.kubelet
@pytest.mark.takes_apart(4)
def test_uninstalled_by_deleting_the_namespace(cluster, installed):
    cluster.kubectl("delete", "namespace", NAMESPACE, "--timeout=180s")
    assert namespace_is_gone(cluster)
    # The objects are there, and whoever deletes them now need not wait for a controller that is no more.
    names = [m["metadata"]["name"] for m in installed]
    wait_until(lambda: not any(cluster.get(n)["metadata"].get("finalizers") for n in names), 30, "the finalizers to be taken off")
    cluster.kubectl("delete", "aap", *names, "--timeout=30s")
    assert all(cluster.api.find(f"{PROFILES}/{n}") is None for n in names)
