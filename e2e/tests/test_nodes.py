"""Which nodes hold a profile: what the selector says, and what becomes of it when nodes come, go, or cannot."""
import pytest

from harness import NODE_OBJECTS, changed, condition, has_reason, is_ready, node_states, profile
from labkit.ui import wait_until


@pytest.fixture
def label(cluster):
    """Labels nodes, and takes the labels off after the test."""
    done = []

    def put(node, key, value):
        done.append((node, key))
        cluster.api.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": {key: value}}})
    yield put
    for node, key in done:
        cluster.api.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": {key: None}}})


def on(obj):
    return {n: s["state"] for n, s in node_states(obj).items()}


def test_the_selector_decides_which_nodes_hold_it(cluster, label):
    one, two = cluster.nodes
    name = cluster.name("selected")
    key = f"example.com/{name}"
    front = profile(name, nodeSelector={"matchLabels": {key: "front"}})

    cluster.apply(front)
    cluster.wait(name, lambda o: is_ready(o) and has_reason("NoMatchingNodes")(o) and on(o) == {}, "Ready on no node at all")
    cluster.check_kernels(absent=[name])
    assert ("Warning", "NoMatchingNodes") in [e[:2] for e in wait_until(lambda: cluster.events(name), 10, "the Event")]

    label(two, key, "front")
    cluster.wait(name, lambda o: is_ready(o) and on(o) == {two: "Loaded"}, "Loaded on the node that was labelled")
    cluster.check_kernels(front, nodes=[two])
    cluster.check_kernels(absent=[name], nodes=[one])

    # The node leaves the selection, another enters it.
    label(one, key, "front")
    label(two, key, "back")
    cluster.wait(name, lambda o: is_ready(o) and on(o) == {one: "Loaded"}, "Loaded on the other node alone")
    cluster.check_kernels(front, nodes=[one])
    cluster.check_kernels(absent=[name], nodes=[two])

    # And the selector itself changes.
    revision = cluster.get(name)["status"]["currentRevision"]
    everywhere = changed(front, nodeSelector={"matchExpressions": [{"key": key, "operator": "Exists"}]})
    cluster.apply(everywhere)
    cluster.wait(name, lambda o: is_ready(o) and on(o) == {one: "Loaded", two: "Loaded"}, "Loaded on both")
    cluster.check_kernels(everywhere)
    nowhere = changed(front, nodeSelector={"matchExpressions": [{"key": key, "operator": "In", "values": ["side"]}]})
    cluster.apply(nowhere)
    cluster.wait(name, lambda o: is_ready(o) and on(o) == {}, "gone from both")
    cluster.check_kernels(absent=[name])
    assert cluster.get(name)["status"]["updateRevision"] == revision, "a selector is no part of the revision"


def test_an_excluded_node_is_left_alone(cluster, label):
    one, two = cluster.nodes
    name = cluster.name("excluded")
    label(one, "hauberk.dev/exclude", "")
    cluster.apply(profile(name))
    cluster.wait(name, lambda o: is_ready(o) and on(o) == {two: "Loaded"}, "Loaded on the node that is not excluded")
    cluster.check_kernels(absent=[name], nodes=[one])


# -- nodes that come and go ------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def late(whole_cluster):
    """Names of four nodes that are still to come: one of either kernel, one with AppArmor off, and one whose kernel keeps no hashes. Afterwards nothing is
    left of them."""
    names = whole_cluster.next_bare(4)
    yield names
    whole_cluster.remove_nodes(names)


def test_nodes_that_join_later_leave_again_or_have_no_apparmor(cluster, late):
    *joining, off, blind = late
    name = cluster.name("late")
    manifest = profile(name, "deny /etc/shadow r,")
    cluster.apply(manifest)
    cluster.wait_ready(name)
    cluster.add_bare(late, {off: {"append": "apparmor=0"}, blind: {"append": "apparmor.hash_policy=0"}})

    obj = cluster.wait(name, lambda o: is_ready(o) and set(on(o)) == {*cluster.nodes, *late}, "Ready with the nodes that joined")
    assert on(obj) == {**dict.fromkeys([*cluster.nodes, *joining], "Loaded"), off: "Unsupported", blind: "Unsupported"}
    assert (obj["status"]["nodesReady"], obj["status"]["unsupportedNodes"]) == ("4/4", 2)
    assert "AppArmor" in node_states(obj)[off]["message"]
    assert "hash_policy=0" in node_states(obj)[blind]["message"]
    cluster.check_kernels(absent=[name], nodes=[blind])
    cluster.check_kernels(manifest, nodes=joining)
    assert {n: cluster.revision(n) for n in joining} == dict.fromkeys(joining, 1), "loaded once each"
    seen = cluster.api.get(f"{NODE_OBJECTS}/{off}")
    assert condition(seen, "AppArmorEnabled")["status"] == "False" and condition(seen, "AgentConnected")["status"] == "True"
    for node in (*joining, *cluster.nodes):
        seen = cluster.api.get(f"{NODE_OBJECTS}/{node}")
        assert condition(seen, "AppArmorEnabled")["status"] == "True"
        assert seen["status"]["kernelRelease"] == cluster.lab.exec(node, "uname", "-r").stdout.strip()
        assert seen["metadata"]["ownerReferences"][0]["kind"] == "Node"
    # Deleted by hand, it comes back as it was.
    cluster.kubectl("delete", "aan", joining[0])
    wait_until(lambda: (cluster.api.find(f"{NODE_OBJECTS}/{joining[0]}") or {}).get("status", {}).get("kernelRelease"), 30,
               "the deleted AppArmorNode to come back", every_s=0.5)

    # A node is taken out of the cluster while its machine goes on: it is named no more, and it keeps what it has.
    gone, stays = joining
    cluster.kubectl("delete", "node", gone)
    obj = cluster.wait(name, lambda o: gone not in on(o), "the deleted node to leave the list")
    assert is_ready(obj) and obj["status"]["nodesReady"] == "3/3"
    second = changed(manifest, "deny /etc/group r,")
    cluster.apply(second)
    cluster.wait_ready(name)
    cluster.check_kernels(second, nodes=[*cluster.nodes, stays])
    cluster.check_kernels(manifest, nodes=[gone])
    # Its AppArmorNode goes with it, by the garbage collector's hand.
    wait_until(lambda: cluster.api.find(f"{NODE_OBJECTS}/{gone}") is None, 60, "the AppArmorNode to go", every_s=0.5)
    # No deletion waits for it either.
    cluster.kubectl("delete", "aap", name, "--timeout=60s")
    cluster.check_kernels(absent=[name], nodes=[*cluster.nodes, stays])
    cluster.check_kernels(manifest, nodes=[gone])


@pytest.mark.disturbs
def test_a_bare_node_that_loses_power_in_the_middle_gets_everything_again(cluster, late):
    """It remembers nothing, neither policy nor what was told: all of it is loaded anew, each profile once."""
    node = late[1]
    name = cluster.name("power")
    first = profile(name, "deny /etc/shadow r,", nodeSelector={"matchLabels": {"kubernetes.io/hostname": node}})
    cluster.apply(first)
    old = cluster.wait_ready(name)["status"]["currentRevision"]
    mark = cluster.profiles.mark()
    cluster.lab.kill(node)
    second = changed(first, "deny /etc/group r,")
    cluster.apply(second)
    cluster.wait(name, lambda o: o["status"].get("updateRevision") != old, "the new revision to be on its way")
    cluster.lab.start(node)
    cluster.wait_ready(name)
    cluster.check_kernels(second, nodes=[node])
    assert cluster.revision(node) == 1, "loaded once"
    for event in cluster.profiles.since(mark, name):
        if is_ready(event.obj) and event.obj["metadata"]["generation"] == 2:
            assert node_states(event.obj)[node]["revision"] != old
