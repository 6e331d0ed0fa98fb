"""Many profiles in one kubectl apply."""
import time

import texts
from changes import TRAILING_S, ms


def _names(word, n):
    return [f"{word}-{i:03}" for i in range(n)]


def apply(b, names, rules, salt):
    """Applies them and waits for all: (start, when the last was loaded on the last node, when the last was Ready)."""
    file = texts.write(b.scratch / "many.json", *(texts.manifest(n, rules, salt) for n in names))
    log = b.steps.mark()
    t0, process = b.kubectl.start("apply", "-f", str(file))
    ready = max(b.watch.wait_ready(n, 1) for n in names)
    b.kubectl.end(process)
    kubectl_done = time.time()
    first = {}
    for at, e in b.steps.of(log, "profile reported", state="Loaded"):
        first.setdefault((e["profile"], e["node"]), at)
    loaded = max(first[n, node] for n in names for node in b.names)
    return t0, loaded, ready, kubectl_done


def delete(b, names):
    t0, process = b.kubectl.start("delete", "apparmorprofiles", *names)
    gone = max(b.watch.wait_gone(n) for n in names)
    b.kubectl.end(process)
    return t0, gone


def run(b, rows, times, n=50, rules=10):
    found = []
    for i in range(times):
        names = _names(f"fifty{i}", n)
        api, log = b.audit.mark(), b.steps.mark()
        t0, loaded, ready, done = apply(b, names, rules, f"s{i}-{time.time_ns()}")
        time.sleep(TRAILING_S)
        entries = b.audit.entries(api)
        sent = [e.answered for e in b.audit.entries(api, None) if e.verb == "create" and e.name in names]
        compiles = len(b.steps.of(log, "compiled"))
        d0, gone = delete(b, names)
        found.append({"loaded": ms(t0, loaded), "ready": ms(t0, ready), "gone": ms(d0, gone), "kubectl": ms(t0, max(sent, default=t0)),
                      "writes": sum(e.kind == "write" for e in entries), "reads": sum(e.kind == "read" for e in entries),
                      "events": sum(e.kind == "event" for e in entries), "compiles": compiles})
        print(f"  {i + 1} of {times}: loaded {found[-1]['loaded']:.0f} ms, Ready {found[-1]['ready']:.0f} ms, "
              f"{found[-1]['writes']} writes, kubectl's last create answered after {found[-1]['kubectl']:.0f} ms", flush=True)
        time.sleep(TRAILING_S)
    for name, unit, key in (("fifty_profiles_loaded_ms", "ms", "loaded"), ("fifty_profiles_ready_ms", "ms", "ready"),
                            ("fifty_profiles_kubectl_ms", "ms", "kubectl"), ("fifty_profiles_gone_ms", "ms", "gone"),
                            ("fifty_profiles_api_writes", "writes", "writes"), ("fifty_profiles_api_reads", "reads", "reads"),
                            ("fifty_profiles_events", "events", "events"), ("fifty_profiles_compiles", "compiles", "compiles")):
        rows.add(name, unit, [f[key] for f in found])
