"""How a change reaches the nodes: canaries, soaks, pauses and ways back, on four machines whose kernels are asked at each stage."""
import json

import pytest

from harness import NODE_OBJECTS, changed, condition, has_reason, is_current, is_ready, node_states, policy, profile
from labkit.ui import wait_until

LABEL = "example.com/fleet"
OLD, NEW, LATER = "deny /etc/shadow r,", "deny /etc/group r,", "deny /etc/passwd w,"
CANARY = [{"nodes": 1, "soakSeconds": -1}]


@pytest.fixture(scope="module")
def machines(whole_cluster):
    """Five bare nodes, of either kernel in turn; the last has AppArmor off. Profiles of these tests select them by a label."""
    names = whole_cluster.next_bare(5)
    whole_cluster.add_bare(names, {names[-1]: {"append": "apparmor=0"}})
    for node in names:
        whole_cluster.api.patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": {LABEL: "" if node != names[-1] else "off"}}})
    wait_until(lambda: all(condition(whole_cluster.api.find(f"{NODE_OBJECTS}/{n}") or {}, "AgentConnected").get("status") == "True" for n in names),
               60, "the agents of the fleet")
    yield names
    whole_cluster.remove_nodes(names)


@pytest.fixture
def fleet(machines):
    return machines[:4]


def fleet_profile(name, *rules, **spec):
    return profile(name, *rules, nodeSelector={"matchLabels": {LABEL: ""}}, **spec)


def installed(cluster, word):
    """A profile on all four, by a first installation that asks nobody."""
    manifest = fleet_profile(cluster.name(word), OLD)
    cluster.apply(manifest)
    cluster.wait_ready(manifest["metadata"]["name"])
    return manifest["metadata"]["name"], manifest


def holders(cluster, nodes, manifest):
    """Those whose kernel holds exactly this."""
    return {n for n, wrong in cluster.everywhere(lambda n: cluster.differences(n, manifest), nodes).items() if not wrong}


def phase(obj):
    return (obj.get("status") or {}).get("rollout", {}).get("phase")


def in_phase(*phases, step=None):
    """In its present generation; `step` is the step's index."""
    def check(obj):
        where = (obj.get("status") or {}).get("rollout", {})
        return is_current(obj) and where.get("phase") in phases and (step is None or where.get("step", {}).get("index") == step) and \
            where.get("revision") == obj["status"]["updateRevision"]
    return check


def wait_phase(cluster, name, *phases, step=None):
    generation = cluster.get(name)["metadata"]["generation"]
    return cluster.wait(name, lambda o: o["metadata"]["generation"] >= generation and in_phase(*phases, step=step)(o), f"{'/'.join(phases)}, step {step}")


def verb(cluster, *args, **kw):
    return cluster.kubectl("hauberk", "rollout", *args, **kw).stdout


def check_budget(cluster, mark, name, most):
    """At no moment were more nodes told and not yet done."""
    for event in cluster.profiles.since(mark, name):
        status = event.obj.get("status") or {}
        if phase(event.obj) in ("Progressing", "Soaking", "Paused"):
            assert status["updatedNodes"] - status["readyNodes"] <= most, status


# -- steps ---------------------------------------------------------------------------------------------------------------------------

def test_one_canary_then_half_then_the_rest(cluster, fleet):
    name, old = installed(cluster, "steps")
    loads, mark = cluster.revisions(fleet), cluster.profiles.mark()
    new = changed(old, NEW, rollout={"maxUnavailable": 2, "steps": [{"nodes": 1, "soakSeconds": 12}, {"nodes": "50%", "soakSeconds": -1}]})
    cluster.apply(new)
    wait_phase(cluster, name, "Soaking", step=0)
    canary = holders(cluster, fleet, new)
    assert len(canary) == 1 and holders(cluster, fleet, old) == set(fleet) - canary
    obj = wait_phase(cluster, name, "Soaking", step=1)
    half = holders(cluster, fleet, new)
    assert canary < half and len(half) == 2 and holders(cluster, fleet, old) == set(fleet) - half
    assert condition(obj)["reason"] == "RolloutInProgress" and condition(obj, "Stalled")["status"] == "False"
    assert "promote" in condition(obj, "Progressing")["message"] and obj["status"]["step"] == "2/2"
    soaks = [e.at for e in cluster.profiles.since(mark, name) if phase(e.obj) == "Soaking"]
    assert soaks[-1] - soaks[0] >= 10, "the canary soaks for twelve seconds, of which the first status may come a moment late"

    assert "step 2 of 2" in verb(cluster, "promote", name)
    cluster.wait_ready(name)
    cluster.check_kernels(new, nodes=fleet)
    assert cluster.revisions(fleet) == {n: r + 1 for n, r in loads.items()}
    check_budget(cluster, mark, name, 2)
    # Whoever applied it finds it as it was.
    assert cluster.kubectl("diff", "-f", "-", stdin=json.dumps(new)).stdout == ""
    assert verb(cluster, "status", name, "-w", "--timeout", "10s")


def test_paused_in_the_middle_edited_and_resumed(cluster, fleet):
    name, old = installed(cluster, "paused")
    loads = cluster.revisions(fleet)
    new = changed(old, NEW, rollout={"steps": CANARY})
    cluster.apply(new)
    wait_phase(cluster, name, "Soaking", step=0)
    verb(cluster, "pause", name)
    obj = wait_phase(cluster, name, "Paused")
    assert condition(obj)["reason"] == "RolloutPaused" and condition(obj, "Stalled")["status"] == "False"
    canary = holders(cluster, fleet, new)
    assert len(canary) == 1

    # Git, too, says to wait, and has another text: nothing of it is told to anybody.
    later = changed(new, LATER, rollout={"steps": CANARY, "paused": True})
    cluster.apply(later)
    wait_phase(cluster, name, "Paused")
    assert holders(cluster, fleet, new) == canary and holders(cluster, fleet, later) == set()
    verb(cluster, "resume", name)
    wait_phase(cluster, name, "Soaking", step=0)
    assert len(holders(cluster, fleet, later)) == 1
    verb(cluster, "promote", name)
    cluster.wait_ready(name)
    cluster.check_kernels(later, nodes=fleet)
    assert cluster.revisions(fleet) == {n: r + 1 + (n in canary) for n, r in loads.items()}
    assert cluster.kubectl("diff", "-f", "-", stdin=json.dumps(later)).stdout == ""


def test_aborted_begun_again_and_undone(cluster, fleet):
    name, old = installed(cluster, "aborted")
    first = cluster.get(name)["status"]["currentRevision"]
    new = changed(old, NEW, rollout={"steps": CANARY})
    cluster.apply(new)
    wait_phase(cluster, name, "Soaking", step=0)
    verb(cluster, "abort", name)
    obj = wait_phase(cluster, name, "Aborted")
    assert condition(obj)["reason"] == "RolledBack" and condition(obj, "Stalled")["status"] == "True"
    cluster.check_kernels(old, nodes=fleet)
    assert cluster.kubectl("hauberk", "rollout", "status", name, "-w", "--timeout", "10s", check=False).returncode == 1

    verb(cluster, "restart", name)
    wait_phase(cluster, name, "Soaking", step=0)
    assert len(holders(cluster, fleet, new)) == 1
    verb(cluster, "promote", name)
    cluster.wait_ready(name)
    cluster.check_kernels(new, nodes=fleet)

    assert first in verb(cluster, "history", name)
    said = verb(cluster, "undo", name)
    assert "spec" in said and cluster.get(name)["spec"]["policy"] == old["spec"]["policy"]
    # It is a rollout as any other.
    wait_phase(cluster, name, "Soaking", step=0)
    verb(cluster, "promote", name)
    obj = cluster.wait_ready(name)
    cluster.check_kernels(old, nodes=fleet)
    assert obj["status"]["currentRevision"] == first


# -- failures --------------------------------------------------------------------------------------------------------------------------

@pytest.fixture
def broken(cluster):
    """Makes loading fail on nodes, until mended: every write of policy meets a full device."""
    done = set()

    def mend(*nodes):
        for node in nodes:
            cluster.lab.exec(node, "umount", "/sys/kernel/security/apparmor/.replace")
            done.discard(node)

    def breaks(*nodes):
        for node in nodes:
            cluster.lab.exec(node, "mount", "--bind", "/dev/full", "/sys/kernel/security/apparmor/.replace")
            done.add(node)
    yield breaks, mend
    mend(*list(done))


def test_a_canary_that_cannot_load_it_is_the_only_node_that_ever_hears_of_it(cluster, fleet, broken):
    breaks, mend = broken
    name, old = installed(cluster, "canary")
    loads, mark = cluster.revisions(fleet), cluster.profiles.mark()
    breaks(*fleet)
    new = changed(old, NEW, rollout={"onFailure": "Pause"})
    cluster.apply(new)
    obj = wait_phase(cluster, name, "Failed")
    failed = [n for n, s in node_states(obj).items() if s["state"] == "Failed"]
    assert len(failed) == 1 and node_states(obj)[failed[0]]["reason"] == "LoadFailed"
    assert condition(obj)["reason"] == "NodesFailed" and failed[0] in condition(obj)["message"] and "ENOSPC" in condition(obj)["message"]
    assert (condition(obj, "Stalled")["status"], condition(obj, "Stalled")["reason"]) == ("True", "FailureBudgetExceeded")
    assert obj["status"]["updatedNodes"] == 1 and obj["status"]["failureReasons"] == [{"reason": "LoadFailed", "count": 1}]
    cluster.check_kernels(old, nodes=fleet)

    # Taken back, mended, tried again.
    cluster.apply(changed(new, NEW, rollout={"onFailure": "Rollback"}))
    obj = wait_phase(cluster, name, "RolledBack")
    assert condition(obj)["reason"] == "RolledBack" and condition(obj, "Stalled")["status"] == "True"
    assert cluster.revisions(fleet) == loads
    assert all(e.obj["status"]["updatedNodes"] <= 1 for e in cluster.profiles.since(mark, name) if phase(e.obj) in ("Progressing", "Failed"))
    mend(*fleet)
    verb(cluster, "restart", name)
    cluster.wait_ready(name)
    cluster.check_kernels(new, nodes=fleet)


def test_a_rollback_puts_the_canary_back(cluster, fleet, broken):
    breaks, _ = broken
    name, old = installed(cluster, "rollback")
    loads = cluster.revisions(fleet)
    new = changed(old, NEW, rollout={"steps": CANARY, "onFailure": "Rollback"})
    cluster.apply(new)
    wait_phase(cluster, name, "Soaking", step=0)
    canary, = holders(cluster, fleet, new)
    breaks(*(n for n in fleet if n != canary))
    verb(cluster, "promote", name)
    obj = wait_phase(cluster, name, "RolledBack")
    cluster.check_kernels(old, nodes=fleet)
    assert cluster.revisions(fleet) == {n: r + (2 if n == canary else 0) for n, r in loads.items()}
    assert "LoadFailed" in condition(obj)["message"], "it says why, though no node fails any more"
    assert not is_ready(obj)


def test_a_nodes_own_trouble_stops_nobody_else(cluster, machines):
    *fleet, off = machines
    foreign, full, *well = fleet
    name = cluster.name("troubles")
    cluster.load_by_hand(foreign, policy(name, "deny /opt/foreign r,"))
    cluster.lab.exec(full, "mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=1", "full", "/var/lib/hauberk")
    try:
        manifest = profile(name, OLD, nodeSelector={"matchExpressions": [{"key": LABEL, "operator": "Exists"}]}, rollout={"maxUnavailable": 1})
        cluster.apply(manifest)
        obj = cluster.wait(name, lambda o: phase(o) == "Complete" and has_reason("NodesFailed")(o), "complete, but for the nodes in trouble")
        states = {n: (s["state"], s.get("reason")) for n, s in node_states(obj).items()}
        assert states == {foreign: ("Failed", "NameConflict"), full: ("Failed", "DiskFull"), off: ("Unsupported", "AppArmorOff"),
                          **dict.fromkeys(well, ("Loaded", None))}
        assert foreign in condition(obj)["message"] and full in condition(obj)["message"] and obj["status"]["unsupportedNodes"] == 1
        cluster.check_kernels(manifest, nodes=well)
    finally:
        cluster.lab.exec(full, "umount", "/var/lib/hauberk")
        cluster.unload_by_hand(foreign, name)
    # They catch up by themselves.
    cluster.wait_ready(name)
    cluster.check_kernels(manifest, nodes=fleet)


FEATURES = "/sys/kernel/security/apparmor/features"


@pytest.fixture
def lacking(cluster, fleet):
    """A node whose kernel does not know ptrace rules: so it says itself, to an agent that starts there."""
    node = fleet[0]

    def restart_agent():
        old = cluster.agent_pid(node)
        cluster.lab.exec(node, "kill", str(old))
        wait_until(lambda: cluster.agent_pid(node) != old, 60, f"the next agent of {node}", every_s=0.5)
        cluster.forget_features(node)
    cluster.lab.exec(node, "/bin/sh", "-c", f"cp -r {FEATURES} /tmp/features && rm -r /tmp/features/ptrace && mount --bind /tmp/features {FEATURES}")
    restart_agent()
    yield node
    cluster.lab.exec(node, "umount", FEATURES)
    restart_agent()


@pytest.mark.disturbs
def test_what_a_kernel_cannot_enforce_is_said_of_its_node(cluster, fleet, lacking, tmp_path):
    name, manifest = installed(cluster, "lacking")
    file, features = tmp_path / "profile.json", tmp_path / "features"
    file.write_text(json.dumps(manifest))
    features.write_text(cluster.features(lacking))
    assert "0 warnings" in cluster.kubectl("hauberk", "lint", str(file)).stdout, "neither of the kernels that it knows by itself minds"
    lint = cluster.kubectl("hauberk", "lint", "--features", str(features), str(file))
    assert "ptrace rules not enforced" in lint.stdout
    said = {n: s.get("message", "") for n, s in node_states(cluster.get(name)).items()}
    assert "ptrace rules not enforced" in said.pop(lacking) and set(said.values()) == {""}
    cluster.check_kernels(manifest, nodes=fleet)


# -- what somebody changes in a kernel -------------------------------------------------------------------------------------------------

def test_what_was_taken_out_of_a_kernel_is_said_and_put_back(cluster, fleet):
    name, manifest = installed(cluster, "drift")
    node, replace = fleet[1], "/sys/kernel/security/apparmor/.replace"
    # Whoever loads policy there now waits.
    cluster.lab.exec(node, "/bin/sh", "-c", f"mkfifo /tmp/wait && mount --bind /tmp/wait {replace}")
    try:
        cluster.unload_by_hand(node, name)
        obj = cluster.wait(name, lambda o: node_states(o)[node]["state"] == "Drifted", "the node to be Drifted")
        assert not is_ready(obj) and node in condition(obj)["message"]
    finally:
        cluster.lab.exec(node, "/bin/sh", "-c", f"umount {replace} && timeout 5 cat /tmp/wait > /dev/null; rm /tmp/wait")
    cluster.wait_ready(name)
    cluster.check_kernels(manifest, nodes=fleet)


# -- several, and a controller that dies ---------------------------------------------------------------------------------------------------

def test_a_stuck_rollout_holds_up_no_other(cluster, fleet):
    stuck, old = installed(cluster, "stuck")
    one, one_old = installed(cluster, "one")
    two, two_old = installed(cluster, "two")
    cluster.apply(changed(old, NEW, rollout={"steps": CANARY}))
    wait_phase(cluster, stuck, "Soaking", step=0)
    one_new, two_new = changed(one_old, NEW), changed(two_old, NEW)
    fresh = fleet_profile(cluster.name("fresh"), OLD)
    cluster.apply(one_new, two_new, fresh)
    cluster.wait_ready(one, two, fresh["metadata"]["name"])
    cluster.check_kernels(one_new, two_new, fresh, nodes=fleet)
    assert phase(cluster.get(stuck)) == "Soaking" and len(holders(cluster, fleet, old)) == 3


@pytest.mark.disturbs
def test_a_controller_that_is_killed_in_each_phase_changes_nothing_about_the_end(cluster, fleet):
    name, old = installed(cluster, "killed")
    loads, mark = cluster.revisions(fleet), cluster.profiles.mark()
    new = changed(old, NEW, rollout={"maxUnavailable": 1, "steps": CANARY})

    def die():
        cluster.lab.kill("controller")
        cluster.lab.start("controller")
        # It has heard every agent when the next profile is Ready everywhere.
        fence = fleet_profile(cluster.name("fence"), OLD)
        cluster.apply(fence)
        cluster.wait_ready(fence["metadata"]["name"])
        cluster.kubectl("delete", "aap", fence["metadata"]["name"], "--timeout=60s")
        for node in loads:
            loads[node] += 2        # the fence's load and removal

    cluster.apply(new)
    wait_phase(cluster, name, "Soaking", step=0)
    canary = holders(cluster, fleet, new)
    die()
    wait_phase(cluster, name, "Soaking", step=0)
    assert holders(cluster, fleet, new) == canary and len(canary) == 1
    verb(cluster, "pause", name)
    wait_phase(cluster, name, "Paused")
    die()
    assert phase(cluster.get(name)) == "Paused" and holders(cluster, fleet, new) == canary
    verb(cluster, "resume", name)
    wait_phase(cluster, name, "Soaking", step=0)
    verb(cluster, "promote", name)
    cluster.wait(name, lambda o: o["status"]["updatedNodes"] > 1, "the second node to be told")
    die()
    cluster.wait_ready(name)
    cluster.check_kernels(new, nodes=fleet)
    assert cluster.revisions(fleet) == {n: r + 1 for n, r in loads.items()}, "each node loaded it once"
    check_budget(cluster, mark, name, 1)


# -- beforehand, and afterwards ----------------------------------------------------------------------------------------------------------

def test_what_is_foretold_is_what_happens(cluster, fleet, tmp_path):
    name, old = installed(cluster, "foretold")
    new = changed(old, NEW, rollout={"maxUnavailable": 1, "steps": CANARY})
    file = tmp_path / "new.json"
    file.write_text(json.dumps(new))
    before = cluster.get(name)
    said = cluster.kubectl("hauberk", "plan", "-f", str(file)).stdout
    assert f"-  {OLD}" in said and f"+  {NEW}" in said
    assert cluster.get(name) == before, "it changes nothing"
    first = min(fleet, key=said.index)
    cluster.apply(new)
    wait_phase(cluster, name, "Soaking", step=0)
    assert holders(cluster, fleet, new) == {first}
    verb(cluster, "promote", name)
    cluster.wait_ready(name)


def test_old_revisions_go_but_none_that_a_node_still_runs(cluster, fleet):
    name, manifest = installed(cluster, "history")
    uid = cluster.get(name)["metadata"]["uid"]

    def kept():
        listed = cluster.api.get("/apis/apps/v1/namespaces/hauberk-system/controllerrevisions")["items"]
        return {r["metadata"]["name"].rsplit("-", 1)[-1] for r in listed if r["metadata"]["ownerReferences"][0]["uid"] == uid}
    revisions = [cluster.get(name)["status"]["currentRevision"]]
    for i in range(4):
        cluster.apply(changed(manifest, f"deny /srv/{i} r,", revisionHistoryLimit=1))
        revisions.append(cluster.wait_ready(name)["status"]["currentRevision"])
    wait_until(lambda: kept() == set(revisions[-2:]), 30, f"only {revisions[-2:]} to be kept, not {kept()}")
    # Also where none is ever complete, for each is edited before. Each has another canary, which keeps it until its turn comes again.
    for i in range(8):
        cluster.apply(changed(manifest, f"deny /srv/early/{i} r,", revisionHistoryLimit=1, rollout={"steps": CANARY}))
        obj = wait_phase(cluster, name, "Soaking", step=0)
    held = {s["revision"] for s in node_states(obj).values()} | {obj["status"]["currentRevision"], obj["status"]["updateRevision"]}
    wait_until(lambda: len(kept() - held) <= 2, 30, f"one former revision and the one before the last to be kept beside {held}")
