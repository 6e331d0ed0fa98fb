"""What is measured of a fleet, in the order in which it happens."""
import json
import time
from collections import Counter

import members
import texts
from agents import Agents
from audit import Audit
from cluster import PATH, Kubectl, Watch
from labkit.controller import NAMESPACE
from labkit.ui import LabError, wait_until
from process import Process
from tail import stamp

PARTS = ("rollouts", "idle", "restart", "kill")
RULES = 20
TRAILING_S = 1.5            # counters of status may follow a second later
CONNECT_S, ROLLOUT_S = 300, 300
FACTS_OF_A_NODE = "apparmornodes"
LEASE = "hauberk-controller"
QUIET_S = 3


class Fleet:
    def __init__(self, args, lab, rows, scratch):
        self.args, self.lab, self.rows, self.scratch = args, lab, rows, scratch
        self.n, self.api = args.agents, lab.api()
        self.kubectl, self.agents = Kubectl(lab), None
        self.watch, self.audit = Watch(self.api), None
        self.has_rollouts = self._knows_rollouts()

    def _knows_rollouts(self):
        crd = self.api.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/apparmorprofiles.hauberk.dev")
        return "rollout" in crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]

    def row(self, name, unit, *values):
        self.rows.add(name, unit, values)

    def manifest(self, name, salt, steps=0):
        obj = texts.manifest(name, RULES, salt)
        if self.has_rollouts:
            # All that a rollout may do at once: what is measured is the way, not the waiting.
            obj["spec"]["rollout"] = {"maxUnavailable": "100%", "steps": [{"nodes": f"{100 * (i + 1) // (steps + 1)}%"} for i in range(steps)]}
        return obj

    def writes(self, mark):
        return [e for e in self.audit.entries(mark) if e.kind == "write"]


def run(args, lab, rows, scratch):
    f = Fleet(args, lab, rows, scratch)
    print(f"{f.n} nodes, pods and tokens", flush=True)
    members.make(f.api, f.n, scratch / "agents")
    members.authority(f.api, scratch / "ca.pem")
    f.audit = Audit(lab.audit_log)
    try:
        measure(f)
    finally:
        if f.agents:
            f.agents.end()


def measure(f):
    wanted = f.args.only or PARTS
    connect(f)
    base(f)
    if "rollouts" in wanted:
        rollouts(f)
    if "idle" in wanted:
        idle(f)
    if "restart" in wanted:
        restart(f, "", lambda: f.lab.stop("controller"))
    if "kill" in wanted:
        restart(f, "_after_kill", lambda: f.lab.kill("controller"))
    end = f.agents.now()
    f.row("bad_artefacts", "artefacts", end["bad_artefacts"])
    f.row("broken_connections", "connections", end["broken"])


def settle(f, quiet_s=3, timeout_s=300):
    """Until the controller has written nothing for a while."""
    def quiet():
        last = max((e.answered for e in f.audit.entries(0) if e.kind == "write"), default=0)
        return time.time() - last > quiet_s
    wait_until(quiet, timeout_s, "the controller to have nothing left to write", every_s=0.5)


def served(f, mark, timeout_s=CONNECT_S):
    """When the last agent was served, which is when its token has been reviewed: its report is taken in the same moment. All are
    when so many tokens have been, each agent has a poll that is held, and nothing has been asked for a while. To a controller that
    was just started every token is new."""
    def quiet():
        counts = f.agents.now()
        reviews = [e.answered for e in f.audit.entries(mark) if e.kind == "review" and e.status == 201]
        last = max([counts.get("asked_us", 0) / 1e6, *reviews])
        done = len(reviews) >= f.n and counts.get("polling") == f.n and time.time() - last > QUIET_S
        return last if done else None
    return wait_until(quiet, timeout_s, f"{f.n} agents to be served", every_s=0.5)


def lease_taken(f):
    lease = f.api.get(f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{LEASE}")
    return stamp(lease["spec"]["acquireTime"])


def connect(f):
    """All agents at once, which the controller has never seen."""
    process, began = Process(f.lab), time.time()
    cpu, mark = process.cpu_s(), f.audit.mark()
    f.agents = Agents(f.lab, f.scratch / "agents", f.scratch / "ca.pem", f.args.load_ms, f.args.fail_permille, f.args.drop_permille,
                      f.lab.state.logs / "fleet-agents.log")
    at = served(f, mark)
    settle(f)
    counts, entries = f.agents.now(), f.audit.entries(mark)
    f.row("connect_all_s", "s", at - began)
    f.row("connect_controller_cpu_s", "s", process.cpu_s() - cpu)
    f.row("connect_refusals", "answers", counts["turned_away"])
    f.row("connect_token_reviews", "reviews", sum(e.kind == "review" for e in entries))
    f.row("connect_api_refusals", "answers", sum(e.status == 429 for e in entries))
    f.row("connect_node_writes", "writes", sum(e.kind == "write" and e.resource == FACTS_OF_A_NODE for e in entries))
    f.row("connect_other_writes", "writes", sum(e.kind == "write" and e.resource != FACTS_OF_A_NODE for e in entries))
    f.row("connect_settled_s", "s", max((e.answered for e in entries if e.kind == "write"), default=began) - began)
    print(f"  served after {at - began:.1f} s: {counts}", flush=True)


def base(f):
    """The profiles that are there all the time."""
    names = [f"base-{i:04}" for i in range(f.args.profiles)]
    if not names:
        return
    file = texts.write(f.scratch / "base.json", *(f.manifest(n, "a") for n in names))
    t0, process = f.kubectl.start("apply", "-f", str(file))
    ready = max(f.watch.wait_ready(n, 1, ROLLOUT_S) for n in names)
    f.kubectl.end(process)
    settle(f)
    f.row("all_profiles_ready_s", "s", ready - t0)
    print(f"  {len(names)} profiles Ready after {ready - t0:.1f} s", flush=True)


def one(f, name, generation, salt, steps=0):
    """One apply up to Ready: {what: value}."""
    file = texts.write(f.scratch / "one.json", f.manifest(name, salt, steps))
    process, before, mark = Process(f.lab), f.agents.now(), f.audit.mark()
    process.forget_peak()
    cpu = process.cpu_s()
    t0, kubectl = f.kubectl.start("apply", "-f", str(file))
    ready = f.watch.wait_ready(name, generation, ROLLOUT_S)
    f.kubectl.end(kubectl)
    time.sleep(TRAILING_S)
    after, entries = f.agents.now(), f.audit.entries(mark)
    written = [e for e in entries if e.kind == "write" and e.subresource == "status" and e.name == name and e.received <= ready]
    return {"kubectl_s": (f.audit.received(mark, ("create", "patch", "update"), name) or t0) - t0,
            "reported_s": after["reported_us"] / 1e6 - t0,
            "confirmed_s": written[-1].received - t0 if written else None, "ready_s": ready - t0,
            "writes": sum(e.kind == "write" for e in entries), "status_writes": sum(e.kind == "write" and e.subresource == "status" for e in entries),
            "events": sum(e.kind == "event" for e in entries), "node_writes": sum(e.kind == "write" and e.resource == FACTS_OF_A_NODE for e in entries),
            "reviews": sum(e.kind == "review" for e in entries),
            "cpu_s": process.cpu_s() - cpu, "peak_mib": process.peak_rss_mib(), "loads": after["loads"] - before["loads"],
            "reports": after["reports"] - before["reports"], "fetches": after["fetches"] - before["fetches"], "enclosed": after["enclosed"] - before["enclosed"],
            "object_kib": len(json.dumps(f.api.get(f"{PATH}/{name}"), separators=(",", ":"))) / 1024,
            "status_kib": len(json.dumps(f.api.get(f"{PATH}/{name}")["status"], separators=(",", ":"))) / 1024}


def rollouts(f):
    installs, updates = [], []
    for i in range(f.args.rollouts):
        name = f"rollout-{i}"
        installs.append(one(f, name, 1, f"a{time.time_ns()}"))
        updates.append(one(f, name, 2, f"b{time.time_ns()}", f.args.steps))
        for word, found in (("install", installs[-1]), ("update", updates[-1])):
            print(f"  {word} {i + 1}: " + ", ".join(f"{k} {v:.4g}" for k, v in found.items() if v is not None), flush=True)
        remove(f, name)
    for prefix, found in (("apply", installs), ("update", updates)):
        for key in ("kubectl_s", "reported_s", "confirmed_s", "ready_s"):
            f.row(f"{prefix}_to_{key}", "s", *(s[key] for s in found))
    both = installs + updates
    f.row("loads_twice", "loads", *(max(0, s["loads"] - f.n) for s in both))
    f.row("reports_per_agent", "reports", *(s["reports"] / f.n for s in both))
    f.row("enclosed_per_agent", "artefacts", *(s["enclosed"] / f.n for s in both))
    f.row("fetches_per_agent", "fetches", *(s["fetches"] / f.n for s in both))
    for row, unit, key in (("api_writes_per_rollout", "writes", "writes"), ("api_status_writes_per_rollout", "writes", "status_writes"),
                           ("api_node_writes_per_rollout", "writes", "node_writes"), ("api_events_per_rollout", "events", "events"),
                           ("api_token_reviews_per_rollout", "reviews", "reviews"), ("controller_cpu_s_per_rollout", "s", "cpu_s"),
                           ("controller_peak_rss_mib", "MiB", "peak_mib"), ("profile_object_kib", "KiB", "object_kib"),
                           ("profile_status_kib", "KiB", "status_kib")):
        f.row(row, unit, *(s[key] for s in both))


def remove(f, name):
    t0, process = f.kubectl.start("delete", "apparmorprofile", name)
    gone = f.watch.wait_gone(name, ROLLOUT_S)
    f.kubectl.end(process)
    f.row("delete_to_gone_s", "s", gone - t0)
    settle(f)


def idle(f):
    """Nobody changes anything. Agents go on with their polls, and their tokens are looked at anew every other minute."""
    process, mark, began = Process(f.lab), f.audit.mark(), time.monotonic()
    cpu, before = process.cpu_s(), f.agents.now()
    time.sleep(f.args.idle_seconds)
    seconds = time.monotonic() - began
    used, after, entries = process.cpu_s() - cpu, f.agents.now(), f.audit.entries(mark)
    f.row("idle_controller_cpu_percent", "%", 100 * used / seconds)
    f.row("idle_controller_rss_mib", "MiB", process.rss_mib())
    f.row("idle_syncs_per_minute", "syncs", 60 * (after["syncs"] - before["syncs"]) / seconds)
    f.row("api_writes_idle", "writes", sum(e.kind == "write" for e in entries))
    f.row("api_reads_idle", "reads", sum(e.kind == "read" for e in entries))
    f.row("api_lease_writes_idle_minute", "writes", 60 * sum(e.kind == "lease" for e in entries) / seconds)
    f.row("api_token_reviews_idle_minute", "reviews", 60 * sum(e.kind == "review" for e in entries) / seconds)
    for e in entries:
        if e.kind == "write":
            print("  a write while nothing changed:", e)


def restart(f, suffix, stop):
    """The controller ends and is started again, while all agents want to be served."""
    old, before, mark = Process(f.lab), f.agents.now(), f.audit.mark()
    memory = old.rss_mib()
    stop()
    began = time.time()
    f.lab.start("controller")
    at, leading = served(f, mark), lease_taken(f)
    settle(f)
    process, after, entries = Process(f.lab), f.agents.now(), f.audit.entries(mark)
    f.row(f"reconnect_all{suffix}_s", "s", at - (leading if suffix else began))
    f.row(f"reconnect{suffix}_lease_s", "s", leading - began)
    f.row(f"reconnect{suffix}_controller_cpu_s", "s", process.cpu_s())
    f.row(f"reconnect{suffix}_controller_peak_rss_mib", "MiB", process.peak_rss_mib())
    f.row(f"reconnect{suffix}_refusals", "answers", after["turned_away"] - before["turned_away"])
    f.row(f"reconnect{suffix}_broken_connections", "connections", after["broken"] - before["broken"])
    f.row(f"reconnect{suffix}_loads", "loads", after["loads"] - before["loads"])
    f.row(f"reconnect{suffix}_sets", "sets", after["sets"] - before["sets"])
    f.row(f"reconnect{suffix}_api_writes", "writes", sum(e.kind == "write" for e in entries))
    f.row(f"reconnect{suffix}_api_refusals", "answers", sum(e.status == 429 for e in entries))
    f.row(f"reconnect{suffix}_token_reviews", "reviews", sum(e.kind == "review" for e in entries))
    f.row(f"memory_after_reconnect{suffix}_ratio", "", process.rss_mib() / memory)
    print(f"  started again{suffix.replace('_', ' ')}: all served {at - began:.1f} s after the start, {at - leading:.1f} s after the Lease", flush=True)
    for resource, number in Counter((e.verb, e.resource) for e in entries if e.kind == "write").items():
        print("  writes meanwhile:", *resource, number)
    f.row(f"memory_before_reconnect{suffix}_mib", "MiB", memory)
    if after["loads"] != before["loads"]:
        raise LabError(f"{after['loads'] - before['loads']} loads although nothing had changed")
