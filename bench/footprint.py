"""Memory, processor time and sizes of the programs; what an idle cluster costs."""
import os
import time
from collections import Counter
from pathlib import Path

from labkit import controller

FIELDS = {"pss": "Pss", "rss": "Rss", "anon": "Anonymous"}
IDLE_S = 60
_FIND = """for p in /proc/[0-9]*; do read -r c < $p/comm || continue; [ "$c" = hauberk-agent ] && { echo ${p#/proc/}; exit; }; done; exit 1"""
# Nanoseconds on a processor of all threads, and how often they slept of their own accord.
_USE = """cat /proc/PID/task/*/schedstat; grep -h ^voluntary /proc/PID/task/*/status"""


def _memory(text):
    found = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines() if line.endswith("kB")}
    return {k: found[v] for k, v in FIELDS.items()}


def _use(text):
    """(ns, sleeps)"""
    lines = text.splitlines()
    return (sum(int(line.split()[0]) for line in lines if not line.startswith("v")),
            sum(int(line.split()[1]) for line in lines if line.startswith("v")))


class Processes:
    def __init__(self, b):
        self.b = b
        self.agents = {n: b.lab.exec(n, "/bin/sh", "-c", _FIND).stdout.strip() for n in b.names}

    @property
    def controller(self):
        return self.b.lab.status()["controller"]["pid"]

    def agent_memory(self):
        return [_memory(self.b.lab.exec(n, "cat", f"/proc/{pid}/smaps_rollup").stdout) for n, pid in self.agents.items()]

    def controller_memory(self):
        return _memory(Path(f"/proc/{self.controller}/smaps_rollup").read_text())

    def agent_use(self):
        return [_use(self.b.lab.exec(n, "/bin/sh", "-c", _USE.replace("PID", pid)).stdout) for n, pid in self.agents.items()]

    def controller_use(self):
        tasks = list(Path(f"/proc/{self.controller}/task").iterdir())
        return _use("".join((t / "schedstat").read_text() for t in tasks) +
                    "".join(line + "\n" for t in tasks for line in (t / "status").read_text().splitlines() if line.startswith("vol")))


def memory(b, rows, suffix=""):
    p = Processes(b)
    agents, ours = p.agent_memory(), p.controller_memory()
    for field in FIELDS:
        rows.add(f"agent_{field}{suffix}_kib", "KiB", [a[field] for a in agents])
        rows.add(f"controller_{field}{suffix}_kib", "KiB", [ours[field]])


def idle(b, rows, suffix=""):
    """A minute in which nobody changes anything."""
    time.sleep(2)
    p, api = Processes(b), b.audit.mark()
    agents, ours = p.agent_use(), p.controller_use()
    time.sleep(IDLE_S)
    later, ours_later = p.agent_use(), p.controller_use()
    entries = b.audit.entries(api)
    count = Counter(e.kind for e in entries)
    rows.add(f"agent_cpu_idle_minute{suffix}_ms", "ms", [(y[0] - x[0]) / 1e6 for x, y in zip(agents, later)])
    rows.add(f"agent_wakeups_idle_minute{suffix}", "wakeups", [y[1] - x[1] for x, y in zip(agents, later)])
    rows.add(f"controller_cpu_idle_minute{suffix}_ms", "ms", [(ours_later[0] - ours[0]) / 1e6])
    rows.add(f"controller_wakeups_idle_minute{suffix}", "wakeups", [ours_later[1] - ours[1]])
    if not suffix:
        rows.add("api_writes_idle_minute", "writes", [count["write"]])
        rows.add("api_reads_idle_minute", "reads", [count["read"]])
        rows.add("api_lease_writes_idle_minute", "writes", [count["lease"]])
        rows.add("api_events_idle_minute", "events", [count["event"]])
    unexpected = [str(e) for e in entries if e.kind == "write"]
    if unexpected:
        print("  writes of an idle minute:", *unexpected, sep="\n    ")


def with_profiles(b, rows, n=100, rules=20):
    import many     # which imports this module, through changes

    names = [f"hundred-{i:03}" for i in range(n)]
    many.apply(b, names, rules, "h")
    time.sleep(3)
    memory(b, rows, f"_{n}_profiles")
    idle(b, rows, f"_{n}_profiles")
    many.delete(b, names)


def sizes(rows):
    for program in ("hauberk-controller", "hauberk-agent", "hauberk-sandbox", "kubectl-hauberk"):
        rows.add(f"size_{program.replace('-', '_')}_kib", "KiB", [os.path.getsize(controller.bin_dir() / program) / 1024])
