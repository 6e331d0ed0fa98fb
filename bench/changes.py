"""One profile of a hundred rules, installed, updated and deleted again and again: how long each takes, and what it costs the API server."""
import time
from collections import Counter

import footprint
import texts

TRAILING_S = 1.3        # counters of status may follow a second later


class Bench:
    """What all measurements share."""

    def __init__(self, lab, names, kubectl, watch, steps, audit, kernels, scratch):
        self.lab, self.names, self.kubectl, self.watch = lab, names, kubectl, watch
        self.steps, self.audit, self.kernels, self.scratch = steps, audit, kernels, scratch


def ms(a, b):
    return None if a is None or b is None else (b - a) * 1000


def _applied(b, name, file, generation, verbs):
    """One apply, up to Ready: {what: ms}."""
    log, api = b.steps.mark(), b.audit.mark()
    t0, process = b.kubectl.start("apply", "-f", str(file))
    reports = b.steps.wait_reported(log, name, b.names, "Loaded")
    ready = b.watch.wait_ready(name, generation)
    b.kubectl.end(process)
    time.sleep(TRAILING_S)
    loaded, line = max(reports.values(), key=lambda r: r[0])
    revision = line["revision"]
    received = b.audit.received(api, verbs, name)
    seen = b.steps.first(log, "profile seen", profile=name, generation=generation)
    compiled = b.steps.of(log, "compiled", profile=name, revision=revision)
    recorded = b.steps.first(log, "revision recorded", profile=name, revision=revision)
    told = max((b.steps.first(log, "poll answered", node=n) or 0 for n in b.names)) or None
    written = [t for t, e in b.steps.of(log, "status written", profile=name)]
    start = [t for t, e in b.steps.of(log, "status writing", profile=name) if t >= loaded - 0.001]
    end = compiled[-1][0] if compiled else None
    node = {"fetch": line["fetchUs"] / 1000, "load": line["loadUs"] / 1000, "read_back": line["verifyUs"] / 1000}
    return {
        "to_loaded_ms": ms(t0, loaded), "to_ready_ms": ms(t0, ready), "to_kernel_ms": ms(t0, b.kernels.last_to_move(t0)),
        "kubectl_ms": ms(t0, received), "watch_ms": ms(received, seen), "compile_ms": ms(seen, end),
        "compile_run_ms": max((e["ms"] for _, e in compiled), default=None),
        "record_ms": ms(end, recorded), "release_ms": ms(recorded, told),
        "node_ms": ms(told, loaded), "fetch_ms": node["fetch"], "load_ms": node["load"], "read_back_ms": node["read_back"],
        "status_decide_ms": ms(loaded, start[0] if start else None),
        "status_write_ms": ms(start[0] if start else None, next((t for t in written if start and t > start[0]), None)),
        "own_ms": ms(t0, loaded) - ms(t0, received) - ms(seen, end) - node["load"] - node["read_back"],
        "compiles": Counter(e["features"] for _, e in compiled),
        "api": [e for e in b.audit.entries(api)],
        "holding": b.kernels.holding(name),
    }


def _deleted(b, name):
    log, api = b.steps.mark(), b.audit.mark()
    t0, process = b.kubectl.start("delete", "apparmorprofile", name)
    gone = b.watch.wait_gone(name)
    b.kubectl.end(process)
    time.sleep(TRAILING_S)
    received = b.audit.received(api, ("delete",), name)
    absent = b.steps.wait_reported(log, name, b.names, "Absent")
    out = max(t for t, _ in absent.values())
    seen = b.steps.first(log, "profile seen", profile=name)
    told = max((b.steps.first(log, "poll answered", node=n) or 0 for n in b.names)) or None
    return {"to_gone_ms": ms(t0, gone), "kubectl_ms": ms(t0, received), "watch_ms": ms(received, seen), "release_ms": ms(seen, told),
            "node_ms": ms(told, out), "finish_ms": ms(out, gone), "api": [e for e in b.audit.entries(api)],
            "holding": b.kernels.holding(name)}


def _count(sample, kind, name):
    return sum(1 for e in sample["api"] if e.kind == kind and (kind != "write" or e.concerns(name)))


def run(b, rows, samples, rules=100):
    installs, updates, deletes, wrong = [], [], [], []
    processes = footprint.Processes(b)
    agents, ours = processes.agent_use(), processes.controller_use()
    for i in range(samples):
        name, salt = f"bench-{i}", time.time_ns()
        one = texts.write(b.scratch / "install.json", texts.manifest(name, rules, f"a{salt}"))
        two = texts.write(b.scratch / "update.json", texts.manifest(name, rules, f"b{salt}"))
        installs.append((name, _applied(b, name, one, 1, ("create",))))
        updates.append((name, _applied(b, name, two, 2, ("patch", "update"))))
        deletes.append((name, _deleted(b, name)))
        for sample, there in ((installs, True), (updates, True), (deletes, False)):
            if sample[-1][1]["holding"] != (set(b.names) if there else set()):
                wrong.append(f"{name}: the kernels of {sorted(sample[-1][1]['holding'])} hold it")
        print(f"  {i + 1} of {samples}: loaded {installs[-1][1]['to_loaded_ms']:.0f} ms, Ready {installs[-1][1]['to_ready_ms']:.0f} ms, "
              f"own part {installs[-1][1]['own_ms']:.0f} ms, gone {deletes[-1][1]['to_gone_ms']:.0f} ms", flush=True)
    # Of an install, an update and a deletion together: steadier than times where the machine is busy.
    rows.add("agent_cpu_per_three_changes_ms", "ms", [(y[0] - x[0]) / 1e6 / samples for x, y in zip(agents, processes.agent_use())])
    rows.add("controller_cpu_per_three_changes_ms", "ms", [(processes.controller_use()[0] - ours[0]) / 1e6 / samples])
    _add_times(rows, [s for _, s in installs], [s for _, s in updates], [s for _, s in deletes])
    for what, found in (("install", installs), ("update", updates), ("delete", deletes)):
        rows.add(f"api_writes_per_{what}", "writes", [_count(s, "write", n) for n, s in found])
        rows.add(f"api_reads_per_{what}", "reads", [_count(s, "read", n) for n, s in found])
        rows.add(f"api_events_per_{what}", "events", [_count(s, "event", n) for n, s in found])
    rows.add("api_token_reviews_per_change", "reviews", [_count(s, "review", n) for n, s in installs + updates + deletes])
    rows.add("compiles_per_install_per_feature_set", "compiles", [n for _, s in installs for n in s["compiles"].values()])
    if wrong:
        raise AssertionError("what Hauberk said and what the kernels hold differ: " + "; ".join(wrong))
    return {"install": installs, "update": updates, "delete": deletes}


def _add_times(rows, installs, updates, deletes):
    def row(name, found, key):
        rows.add(name, "ms", [s[key] for s in found])

    row("apply_to_loaded_ms", installs, "to_loaded_ms")
    row("apply_to_kernel_ms", installs, "to_kernel_ms")
    row("apply_to_ready_ms", installs, "to_ready_ms")
    row("own_part_ms", installs, "own_ms")
    for part in ("kubectl", "watch", "compile", "compile_run", "record", "release", "node", "fetch", "load", "read_back", "status_decide", "status_write"):
        row(f"apply_part_{part}_ms", installs, f"{part}_ms")
    row("update_to_loaded_ms", updates, "to_loaded_ms")
    row("update_to_ready_ms", updates, "to_ready_ms")
    row("update_own_part_ms", updates, "own_ms")
    row("delete_to_gone_ms", deletes, "to_gone_ms")
    for part in ("kubectl", "watch", "release", "node", "finish"):
        row(f"delete_part_{part}_ms", deletes, f"{part}_ms")
