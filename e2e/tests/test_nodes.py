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
    name = cluster.name("selected")
    key = f"example.com/{name}"
    front = profile(name, nodeSelector={"matchLabels": {key: "front"}})

    cluster.apply(front)
    cluster.wait(name, lambda o: is_ready(o) and has_reason("NoMatchingNodes")(o) and on(o) == {}, "Ready on no node at all")
    cluster.check_kernels(absent=[name])
    assert ("Warning", "NoMatchingNodes") in [e[:2] for e in wait_until(lambda: cluster.events(name), 10, "the Event")]

    label("node-2", key, "front")
    cluster.wait(name, lambda o: is_ready(o) and on(o) == {"node-2": "Loaded"}, "Loaded on the node that was labelled")
    cluster.check_kernels(front, nodes=["node-2"])
    cluster.check_kernels(absent=[name], nodes=["node-1"])

    # The node leaves the selection, another enters it.
    label("node-1", key, "front")
    label("node-2", key, "back")
    cluster.wait(name, lambda o: is_ready(o) and on(o) == {"node-1": "Loaded"}, "Loaded on the other node alone")
    cluster.check_kernels(front, nodes=["node-1"])
    cluster.check_kernels(absent=[name], nodes=["node-2"])

    # And the selector itself changes.
    revision = cluster.get(name)["status"]["currentRevision"]
    everywhere = changed(front, nodeSelector={"matchExpressions": [{"key": key, "operator": "Exists"}]})
    cluster.apply(everywhere)
    cluster.wait(name, lambda o: is_ready(o) and on(o) == {"node-1": "Loaded", "node-2": "Loaded"}, "Loaded on both")
    cluster.check_kernels(everywhere)
    nowhere = changed(front, nodeSelector={"matchExpressions": [{"key": key, "operator": "In", "values": ["side"]}]})
    cluster.apply(nowhere)
    cluster.wait(name, lambda o: is_ready(o) and on(o) == {}, "gone from both")
    cluster.check_kernels(absent=[name])
    assert cluster.get(name)["status"]["updateRevision"] == revision, "a selector is no part of the revision"


def test_an_excluded_node_is_left_alone(cluster, label):
    name = cluster.name("excluded")
    label("node-1", "hauberk.dev/exclude", "")
    cluster.apply(profile(name))
    cluster.wait(name, lambda o: is_ready(o) and on(o) == {"node-2": "Loaded"}, "Loaded on the node that is not excluded")
    cluster.check_kernels(absent=[name], nodes=["node-1"])


# -- nodes that come and go ------------------------------------------------------------------------------------------------------

LATE = {"bare-1": "6.1", "bare-2": "6.12"}
OFF = "bare-3"


@pytest.fixture(scope="module")
def bare_nodes(whole_cluster):
    """Calling it starts three more nodes, one of which has AppArmor off; afterwards nothing is left of them."""
    cluster = whole_cluster

    def start():
        cluster.lab.up(nodes_wanted=2, bare=3, kernels=["6.1", "6.12"], options={OFF: {"append": "apparmor=0"}})
    yield start
    for node in (*LATE, OFF):
        if node in cluster.lab.nodes():
            cluster.lab.kill(node)
            if cluster.api.find(f"/api/v1/nodes/{node}"):
                cluster.api.delete(f"/api/v1/nodes/{node}")
            cluster.lab.state.nodes.pop(node)
    cluster.lab.state.write()


def test_nodes_that_join_later_leave_again_or_have_no_apparmor(cluster, bare_nodes):
    name = cluster.name("late")
    manifest = profile(name, "deny /etc/shadow r,")
    cluster.apply(manifest)
    cluster.wait_ready(name)
    bare_nodes()

    obj = cluster.wait(name, lambda o: is_ready(o) and set(on(o)) == {*cluster.nodes, *LATE, OFF}, "Ready with the nodes that joined")
    assert on(obj) == {**dict.fromkeys([*cluster.nodes, *LATE], "Loaded"), OFF: "Unsupported"}
    assert (obj["status"]["nodesReady"], obj["status"]["unsupportedNodes"]) == ("4/4", 1)
    assert "AppArmor" in node_states(obj)[OFF]["message"]
    cluster.check_kernels(manifest, nodes=list(LATE))
    assert {n: cluster.revision(n) for n in LATE} == dict.fromkeys(LATE, 1), "loaded once each"
    off = cluster.api.get(f"{NODE_OBJECTS}/{OFF}")
    assert condition(off, "AppArmorEnabled")["status"] == "False" and condition(off, "AgentConnected")["status"] == "True"
    for node in (*LATE, *cluster.nodes):
        seen = cluster.api.get(f"{NODE_OBJECTS}/{node}")
        assert condition(seen, "AppArmorEnabled")["status"] == "True"
        assert seen["status"]["kernelRelease"] == cluster.lab.exec(node, "uname", "-r").stdout.strip()
        assert seen["metadata"]["ownerReferences"][0]["kind"] == "Node"

    # A node is taken out of the cluster while its machine goes on: it is named no more, and it keeps what it has.
    gone = "bare-1"
    cluster.kubectl("delete", "node", gone)
    obj = cluster.wait(name, lambda o: gone not in on(o), "the deleted node to leave the list")
    assert is_ready(obj) and obj["status"]["nodesReady"] == "3/3"
    second = changed(manifest, "deny /etc/group r,")
    cluster.apply(second)
    cluster.wait_ready(name)
    cluster.check_kernels(second, nodes=[*cluster.nodes, "bare-2"])
    cluster.check_kernels(manifest, nodes=[gone])
    # Its AppArmorNode goes with it, by the garbage collector's hand.
    wait_until(lambda: cluster.api.find(f"{NODE_OBJECTS}/{gone}") is None, 60, "the AppArmorNode to go", every_s=0.5)
    # No deletion waits for it either.
    cluster.kubectl("delete", "aap", name, "--timeout=60s")
    cluster.check_kernels(absent=[name], nodes=[*cluster.nodes, "bare-2"])
    cluster.check_kernels(manifest, nodes=[gone])


@pytest.mark.disturbs
def test_a_bare_node_that_loses_power_in_the_middle_gets_everything_again(cluster, bare_nodes):
    """It remembers nothing, neither policy nor what was told: all of it is loaded anew, each profile once."""
    node = "bare-2"
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
