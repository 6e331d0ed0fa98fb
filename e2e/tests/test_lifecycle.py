"""What a user does with a profile from its first `kubectl apply` to its deletion, and what the kernels of both nodes hold meanwhile."""
import json
import threading

import pytest

from harness import (Following, NODE_OBJECTS, POD_S, PROFILES, changed, condition, is_ready, node_states, pod, policy, profile)
from labkit.ui import LabError, wait_until

WATCHMAN = "while :; do if read -r line < /etc/group; then echo open; else echo denied; fi; sleep 0.3; done"


def pods_where(cluster, names, check, what):
    """Waits until each pod fits, and returns {name: pod}."""
    found, news = {}, threading.Event()

    def follow():
        while not news.is_set():
            try:
                for kind, obj in cluster.lab.api().watch("/api/v1/namespaces/default/pods"):
                    name = obj["metadata"]["name"]
                    if kind != "DELETED" and name in names and check(obj):
                        found[name] = obj
                    if len(found) == len(names):
                        news.set()
                        return
            except LabError:
                pass

    threading.Thread(target=follow, daemon=True).start()
    assert news.wait(POD_S), f"waited in vain for {what} of {set(names) - set(found)}"
    return found


def waits_for(name):
    def check(obj):
        states = [c["state"].get("waiting", {}) for c in obj.get("status", {}).get("containerStatuses", [])]
        return any(s.get("reason") == "CreateContainerError" and f"profile not found {name}" in s.get("message", "") for s in states)
    return check


def runs(obj):
    return any(c.get("ready") for c in obj.get("status", {}).get("containerStatuses", []))


def container(obj):
    status = obj["status"]["containerStatuses"][0]
    return status["containerID"], status["restartCount"]


@pytest.mark.kubelet
def test_a_pod_waits_for_its_profile_and_an_update_reaches_it_while_it_runs(cluster):
    name = cluster.name("pods")
    pods = {node: f"{name}-{node}" for node in cluster.nodes}
    cluster.apply(*(pod(p, node, name, WATCHMAN) for node, p in pods.items()))
    pods_where(cluster, pods.values(), waits_for(name), "waiting for the profile")

    first = profile(name, "deny /etc/shadow rw,")
    cluster.apply(first)
    cluster.kubectl("wait", "--for=condition=Ready", f"aap/{name}", "--timeout=100s")
    cluster.kubectl("wait", "--for=condition=Ready", f"--timeout={POD_S}s", *(f"pod/{p}" for p in pods.values()), timeout=POD_S + 10)
    before = pods_where(cluster, pods.values(), runs, "running")
    for p in pods.values():
        assert cluster.kubectl("exec", p, "--", "cat", "/proc/1/attr/current").stdout == f"{name} (enforce)\n"

    with Following(cluster.lab, "logs", "-f", f"{name}-node-1") as one, Following(cluster.lab, "logs", "-f", f"{name}-node-2") as two:
        for log in (one, two):
            log.wait("^open$")
        assert "denied" not in one.lines + two.lines
        cluster.apply(changed(first, "deny /etc/shadow rw,", "deny /etc/group r,"))
        for log in (one, two):
            last = log.wait("^denied$")
            # And it stays so: no moment without the profile comes after.
            assert "open" not in log.lines[last:log.wait("^denied$", last + 3)]
    after = pods_where(cluster, pods.values(), runs, "running")
    assert {p: container(obj) for p, obj in after.items()} == {p: container(obj) for p, obj in before.items()}
    cluster.wait_ready(name)


def test_one_profile_through_its_whole_life(cluster):
    name = cluster.name("life")
    start = cluster.revisions()
    loads = 0

    def step(manifest, *checks):
        """Applies, waits, and looks at both kernels: what is wanted, by one load and no more."""
        cluster.apply(manifest)
        obj = cluster.wait_ready(name)
        cluster.check_kernels(manifest)
        assert cluster.revisions() == {n: r + loads for n, r in start.items()}
        assert {n: s["state"] for n, s in node_states(obj).items()} == {n: "Loaded" for n in cluster.nodes}
        assert obj["status"]["nodesReady"] == "2/2" and condition(obj)["reason"] == "RolloutComplete"
        assert obj["status"]["currentRevision"] == obj["status"]["updateRevision"] == node_states(obj)[cluster.nodes[0]]["revision"]
        return obj["status"]["currentRevision"]

    loads = 1
    installed = profile(name, "deny /etc/shadow r,")
    first = step(installed)
    loads = 2
    updated = changed(installed, "deny /etc/shadow r,", "deny /etc/group r,")
    second = step(updated)
    loads = 3
    complaining = changed(updated, mode="Complain")
    third = step(complaining)
    assert {k[name]["mode"] for k in cluster.kernels().values()} == {"complain"}
    loads = 4
    assert step(updated) == second and len({first, second, third}) == 3
    assert {k[name]["mode"] for k in cluster.kernels().values()} == {"enforce"}

    cluster.apply(changed(updated, state="Disabled"))
    cluster.wait(name, lambda o: is_ready(o) and not node_states(o), "Disabled, and on no node")
    cluster.check_kernels(absent=[name])
    loads = 6       # a removal counts as a change of policy too
    assert step(updated) == second

    cluster.kubectl("delete", "aap", name, "--timeout=100s")
    cluster.check_kernels(absent=[name])
    assert cluster.revisions() == {n: r + 7 for n, r in start.items()}


def test_children_and_hats_come_and_go_with_their_profile(cluster):
    name = cluster.name("family")
    family = f"profile {name} {{\n  file,\n  change_profile -> {name}//child,\n  profile child {{\n    file,\n  }}\n  ^hat {{\n    file,\n  }}\n}}\n"
    both = profile(name, text=family)
    cluster.apply(both)
    cluster.wait_ready(name)
    cluster.check_kernels(both)
    assert all({f"{name}//child", f"{name}//hat"} < set(k) for k in cluster.kernels().values())

    one = profile(name, text=family.replace("  ^hat {\n    file,\n  }\n", ""))
    cluster.apply(one)
    cluster.wait_ready(name)
    cluster.check_kernels(one)
    # A replace leaves the hat in the kernel, and no event tells when the agent has taken it away.
    wait_until(lambda: not any(f"{name}//hat" in k for k in cluster.kernels().values()), 10, "the hat to go")


def test_what_kubectl_and_other_tools_ask_is_answered_truly(cluster, tmp_path):
    name = cluster.name("tools")
    manifest = profile(name, "deny /etc/shadow r,")
    file = tmp_path / "profile.json"
    file.write_text(json.dumps(manifest))
    cluster.apply(manifest)
    cluster.kubectl("wait", "--for=condition=Ready", f"aap/{name}", "--timeout=100s")
    cluster.kubectl("wait", "--for=jsonpath={.status.nodesReady}=2/2", f"aap/{name}", "--timeout=100s")
    assert cluster.kubectl("diff", "-f", str(file)).stdout == ""

    # A dry run changes nothing and says what would become of it.
    before, kernels = cluster.get(name), cluster.revisions()
    file.write_text(json.dumps(changed(manifest, "deny /etc/group r,")))
    assert "deny /etc/group" in cluster.kubectl("apply", "--dry-run=server", "-o", "yaml", "-f", str(file)).stdout
    assert "+      deny /etc/group" in cluster.kubectl("diff", "-f", str(file), check=False).stdout
    fields = cluster.kubectl("get", "aap", name, "--no-headers").stdout.split()
    assert fields[:6] == [name, "Enforce", "True", "2/2", "2", "0"] and fields[6] == "RolloutComplete"

    # Another manager takes a field over, and the controller's own are left to it.
    applied = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], "metadata": {"name": name}, "spec": {**manifest["spec"], "mode": "Complain"}}
    cluster.kubectl("apply", "--server-side", "--field-manager=gitops", "--force-conflicts", "-f", "-", stdin=json.dumps(applied))
    obj = cluster.wait_ready(name)
    cluster.check_kernels(applied)
    assert {m["manager"] for m in obj["metadata"]["managedFields"]} >= {"gitops"}
    assert "hauberk.dev/profile" in obj["metadata"]["finalizers"]
    assert (obj["metadata"]["generation"], cluster.revisions()) == (before["metadata"]["generation"] + 1, {n: r + 1 for n, r in kernels.items()})
    # The same again is no change, and so is one that the first manager does not know.
    cluster.kubectl("apply", "--server-side", "--field-manager=gitops", "-f", "-", stdin=json.dumps(applied))
    assert cluster.get(name)["metadata"]["generation"] == obj["metadata"]["generation"]


def test_what_is_applied_and_deleted_at_once_leaves_nothing_behind(cluster):
    """Wherever the deletion overtakes the installation: before a node was told, while it loads, before its report has come."""
    manifests = [profile(cluster.name("hasty"), "deny /etc/shadow r,") for _ in range(6)]
    names = [m["metadata"]["name"] for m in manifests]
    for i, manifest in enumerate(manifests):
        cluster.apply(manifest)
        if i % 2:
            cluster.wait(names[i], lambda o: "hauberk.dev/profile" in o["metadata"].get("finalizers", []), "our finalizer")
        cluster.delete(names[i])
    cluster.wait_gone(*names)
    # What the agents say of it comes after the next profile is Ready.
    fence = profile(cluster.name("hasty-next"))
    cluster.apply(fence)
    cluster.wait_ready(fence["metadata"]["name"])
    cluster.check_kernels(fence, absent=names)
    for node in cluster.nodes:
        said = cluster.api.get(f"{NODE_OBJECTS}/{node}")["status"]
        assert not set(names) & {e.get("profile") for e in said.get("exceptions", []) + said.get("pendingRemovals", [])}


def test_labels_and_annotations_cause_no_work(cluster):
    name, fence = cluster.name("labels"), cluster.name("fence")
    manifest = profile(name, "deny /etc/shadow r,")
    cluster.apply(manifest)
    ready = cluster.wait_ready(name)
    mark, kernels = cluster.audit_mark(), cluster.revisions()
    cluster.kubectl("label", "aap", name, "team=payments")
    cluster.kubectl("annotate", "aap", name, "example.com/note=hello")
    cluster.kubectl("label", "aap", name, "team-")
    # What comes after it on the same watch is done: so the edits have been seen, too.
    cluster.apply(profile(fence, "deny /etc/shadow r,"))
    cluster.wait_ready(fence)
    assert [w for w in cluster.writes_since(mark) if w[2].startswith(name)] == []
    assert cluster.revisions() == {n: r + 1 for n, r in kernels.items()}
    assert cluster.get(name)["status"] == ready["status"]


@pytest.mark.parametrize("late", [0, 1], ids=["6.1", "6.12"])
def test_status_says_loaded_when_the_kernel_has_said_so_and_not_before(cluster, late):
    """A node whose processors stand still cannot load: for as long it is not said to hold what it was sent."""
    late, other = cluster.nodes[late], cluster.nodes[1 - late]
    name = cluster.name("truth")
    first = profile(name, "deny /etc/shadow r,")
    cluster.apply(first)
    old = cluster.wait_ready(name)["status"]["currentRevision"]
    second = changed(first, "deny /etc/group r,", rollout={"maxUnavailable": "100%"})
    mark = cluster.profiles.mark()
    cluster.lab.pause(late)
    try:
        cluster.apply(second)
        cluster.wait(name, lambda o: node_states(o).get(other, {}).get("revision") not in (None, old) and
                     node_states(o)[other]["state"] == "Loaded", f"the new revision on {other}")
        said = cluster.profiles.since(mark, name)
        assert cluster.differences(other, second) == ""
    finally:
        cluster.lab.resume(late)
    new = cluster.wait_ready(name)["status"]["currentRevision"]
    cluster.check_kernels(second)
    assert new != old
    for event in said:
        assert not (is_ready(event.obj) and condition(event.obj)["observedGeneration"] == 2), "called Ready while a node held the former revision"
        assert node_states(event.obj).get(late, {}).get("revision") in (None, old)


def test_the_hash_that_was_predicted_is_the_hash_that_the_kernel_has(cluster):
    """Three that know nothing of each other: what the controller told the agent, the kernel, and this test."""
    name = cluster.name("hash")
    for mode in ("Enforce", "Complain"):
        manifest = profile(name, text=policy(name, "deny /etc/shadow r,").replace("}\n", "  profile child {\n    file,\n  }\n}\n"), mode=mode)
        cluster.apply(manifest)
        cluster.wait_ready(name)
        for node in cluster.nodes:
            kernel = {n: p["sha"] for n, p in cluster.kernel(node).items() if n.split("//")[0] == name}
            # The agent writes the set down when it has nothing more urgent to do.
            told = wait_until(lambda n=node, m=mode: told_hashes(cluster, n, name, m), 30, f"the set on the disk of {node}", every_s=0.3)
            worked_out = {n: p["sha"] for n, p in cluster.expected(node, manifest).items()}
            assert set(kernel) == {name, f"{name}//child"}
            assert kernel == worked_out
            assert kernel == {n: sums["sha256" if len(kernel[n]) == 64 else "sha1"] for n, sums in told.items()}
        assert len({len(p[name]["sha"]) for p in cluster.kernels().values()}) == 2, "one kernel has SHA-1, the other SHA-256"


def told_hashes(cluster, node, name, mode):
    """{profile: {"sha1", "sha256"}} as the controller announced them, from what the agent keeps of its set. None: not written yet."""
    run = cluster.lab.exec(node, "cat", "/var/lib/hauberk/set.json", check=False)
    items = json.loads(run.stdout)["set"] if run.returncode == 0 else []
    return next(({h["name"]: h for h in i["hashes"]} for i in items if i["name"] == name and i["mode"] == mode), None)


def test_a_profile_may_have_another_name_than_its_object(cluster):
    name, kernel_name = cluster.name("object"), cluster.name("Kernel.Name")
    manifest = profile(name, text=policy(kernel_name), profileName=kernel_name)
    cluster.apply(manifest)
    cluster.wait_ready(name)
    cluster.check_kernels(manifest, absent=[name])
    assert cluster.api.find(f"{PROFILES}/{kernel_name}") is None
