"""The nodes of a lab, whatever their kind: which there shall be, what they need, starting and stopping them."""
import threading
import time

from . import guest as guest_module
from . import agentimage, realnode
from .controller import bin_dir
from .guest import Guest
from .kubeapi import Api
from .ui import LabError, say

KERNELS = ["6.1", "6.12"]
OPTIONS = ("append", "kernel", "memory")

# Prints each directory's name, mode and hash, children included; their names are joined with // as the kernel does.
_PROFILES = r"""
walk() { for p in "$1"/*/; do [ -f "$p/name" ] || continue; read -r n < "$p/name"; read -r m < "$p/mode"
 h=; for f in sha256 sha1; do [ -f "$p/$f" ] && { read -r h < "$p/$f"; break; }; done
 printf '%s\t%s\t%s\n' "$2$n" "$m" "$h"; [ -d "$p/profiles" ] && walk "$p/profiles" "$2$n//"; done; }
[ -d /sys/kernel/security/apparmor ] || exit 3
walk /sys/kernel/security/apparmor/policy/profiles ""
"""


def plan(state, wanted, bare, kernels, options):
    """{name: spec} of every node that `up` is to have running, those of this lab already among them."""
    specs = {}
    for kind, count in (("node", wanted), ("bare", bare)):
        for i in range(1, count + 1):
            name = f"{kind}-{i}"
            specs[name] = {"kind": kind, "kernel": kernels[(i - 1) % len(kernels)], **options.get(name, {})}
    unknown = sorted(set(options) - set(specs))
    if unknown:
        raise LabError(f"--node-option for {', '.join(unknown)}: no such node is asked for")
    for name, spec in specs.items():
        old = state.nodes.get(name)
        if old and options.get(name) and any(old.get(k) != v for k, v in options[name].items()):
            raise LabError(f"{name} is there already with other options; `e2e/lab down` first, or take another number")
        if old:
            specs[name] = old
    return {**state.nodes, **specs}


def build(state, plan, hauberk):
    """Makes or finds what the new nodes start from: ({name: boot files and so on}, the agent's image or None)."""
    real = [name for name, spec in plan.items() if spec["kind"] == "node"]
    # The agent's runtime is on every disk, so that a cluster alone and one with Hauberk share their saved machines.
    below = [agentimage.runtime()] if real else []
    built = {name: realnode.build(plan[name], below) for name in real if name not in state.nodes}
    return built, agentimage.assemble(bin_dir()) if hauberk and real else None


def start_all(state, daemon, plan, built, image, meanwhile):
    """Starts what does not run, calls meanwhile(), and returns when all are Ready."""
    began = time.monotonic()
    running = {n for n, c in daemon.status().items() if c["pid"]}
    todo = [n for n in plan if n not in running]
    failures = {}

    def one(name):
        try:
            since = time.time()
            if name in state.nodes:
                realnode.start_again(state, daemon, name, plan[name])
            else:
                realnode.first_start(state, daemon, name, plan[name], built[name], image and image[0])
            realnode.wait_ready(state, daemon, name, since)
            say(f"{name} (kernel {plan[name]['kernel']}) is Ready after {time.monotonic() - began:.1f} s")
        except BaseException as e:  # noqa: BLE001 - carried to the caller's thread
            failures[name] = e

    for name in todo:
        state.port(f"kubelet-{name}")
    threads = [threading.Thread(target=one, args=(n,), daemon=True) for n in todo]
    for t in threads:
        t.start()
    meanwhile()
    for t in threads:
        t.join()
    for e in failures.values():
        raise e
    state.nodes.update({n: plan[n] for n in todo})
    state.write()


def boot(state, daemon, name):
    """Starts a node again that was powered off."""
    if daemon.running(name):
        return
    since = time.time()
    realnode.start_again(state, daemon, name, state.nodes[name])
    realnode.wait_ready(state, daemon, name, since)


def power_off(state, daemon, name):
    daemon.call("kill", name=name)


def guest(state, name):
    return Guest(name, state.node_dir(name))


def monitor(state, name, *commands):
    return guest_module.monitor(state.node_dir(name), name, *commands)


def profiles(state, name):
    run = guest(state, name).run(["/bin/sh", "-c", _PROFILES])
    if run.returncode == 3:
        return {}       # AppArmor is off in that kernel
    if run.returncode:
        raise LabError(f"{name}: reading the kernel's profiles failed: {run.stderr.strip()}")
    found = {}
    for line in run.stdout.splitlines():
        profile, mode, sha = line.split("\t")
        found[profile] = {"mode": mode, "sha": sha}
    return found
