"""The nodes of a lab, whatever their kind: which there shall be, what they need, starting and stopping them."""
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from . import guest as guest_module
from . import agentimage, barenode, cache, realnode
from .controller import NAMESPACE, bin_dir
from .guest import Guest
from .kubeapi import Api
from .ui import LabError, say, wait_until

KERNELS = ["6.1", "6.12"]
OPTIONS = ("append", "kernel", "memory")

# Prints each directory's name, mode and hash, children included; their names are joined with // as the kernel does.
_PROFILES = r"""
walk() { for p in "$1"/*/; do [ -f "$p/name" ] || continue; read -r n < "$p/name"; read -r m < "$p/mode"
 h=; for f in sha256 sha1; do [ -f "$p/$f" ] && { read -r h < "$p/$f"; break; }; done
 printf '%s\t%s\t%s\n' "$2$n" "$m" "$h"; [ -d "$p/profiles" ] && walk "$p/profiles" "$2$n//"; done; }
[ -d /sys/kernel/security/apparmor ] || exit 3
walk /sys/kernel/security/apparmor/policy/profiles ""
exit 0
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


def build(state, plan, with_agent):
    """Makes or finds what nodes start from: ({name: boot files and saved state}, the agent's image as (tar, key) or None)."""
    real = [name for name, spec in plan.items() if spec["kind"] == "node"]
    # The agent's runtime is on every disk, so that a cluster alone and one with Hauberk share their saved machines.
    below = [agentimage.runtime()] if real else []
    fresh = [name for name in real if name not in state.nodes]
    # One kernel's machine beside the other's: making one does not fill two processors.
    with ThreadPoolExecutor() as pool:
        built = dict(zip(fresh, pool.map(lambda name: realnode.build(plan[name], below), fresh)))
    for name, spec in plan.items():
        if spec["kind"] == "bare":
            barenode.build(spec)
    return built, agentimage.assemble(bin_dir()) if with_agent and real else None


def _start(state, daemon, name, spec, built, image, with_agent):
    if spec["kind"] == "bare":
        barenode.start(state, daemon, name, spec, bin_dir() if with_agent else None)
    elif built is None:
        realnode.start_again(state, daemon, name, spec)
    else:
        realnode.first_start(state, daemon, name, spec, built, image and image[0])


def start_all(state, daemon, plan, built, image, with_agent, meanwhile):
    """Starts what does not run, calls meanwhile(), and returns when all are Ready."""
    began = time.monotonic()
    running = {n for n, c in daemon.status().items() if c["pid"]}
    todo = [n for n in plan if n not in running]
    failures = {}

    def one(name):
        try:
            since = time.time()
            _start(state, daemon, name, plan[name], built.get(name), image, with_agent)
            realnode.wait_ready(state, daemon, name, since)
            say(f"{name} (kernel {plan[name]['kernel']}) is Ready after {time.monotonic() - began:.1f} s")
        except BaseException as e:  # noqa: BLE001 - carried to the caller's thread
            failures[name] = e

    for name in todo:
        if plan[name]["kind"] == "node":
            state.port(f"kubelet-{name}")
    threads = [threading.Thread(target=one, args=(n,), daemon=True) for n in todo]
    for t in threads:
        t.start()
    meanwhile()
    for t in threads:
        t.join()
    for e in failures.values():
        raise e
    if with_agent:
        _update_agents(state, [n for n in state.nodes if n not in todo], image)
    agent = _agent_digest() if with_agent else None
    for n in todo:
        plan[n]["agent"] = agent
    state.nodes.update({n: plan[n] for n in todo})
    state.write()


def _agent_digest():
    path = bin_dir() / "hauberk-agent"
    return cache.digest(path) if path.exists() else None


def _update_agents(state, names, image):
    """A build of the agent that is newer than what nodes run goes to them, and their pods are made anew."""
    now = _agent_digest()
    stale = [n for n in names if state.nodes[n].get("agent") != now]
    for name in stale:
        if state.nodes[name]["kind"] == "bare":
            barenode.put_agent(state, name, bin_dir())
        else:
            realnode.import_image(state, name, image[0])
        state.nodes[name]["agent"] = now
    if stale:
        api = Api(state)
        for name in stale:
            for pod in _agent_pods(api, name):
                api.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}")
        say(f"{', '.join(stale)}: brought the new build of the agent")


def _agent_pods(api, name=None):
    where = f"&fieldSelector=spec.nodeName%3D{name}" if name else ""
    listed = api.get(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app.kubernetes.io/component%3Dagent{where}")
    return [p for p in listed["items"] if not p["metadata"].get("deletionTimestamp")]


def wait_agents(state, timeout_s=120):
    """Until the agent's pod is Ready on every node. A pod that will not is told of, not raised: one may want to see why."""
    api, began = Api(state), time.monotonic()

    def missing():
        ready = {p["spec"].get("nodeName") for p in _agent_pods(api)
                 if any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"].get("conditions", []))}
        return sorted(set(state.nodes) - ready)

    try:
        wait_until(lambda: not missing(), timeout_s, "the agents' pods", every_s=0.2)
        say(f"the agent runs on every node, {time.monotonic() - began:.1f} s later")
    except LabError:
        say(f"the agent's pod is not Ready on {', '.join(missing())}: `e2e/lab kubectl -n {NAMESPACE} describe pods` may tell why")


def boot(state, daemon, name):
    """Starts a node again that was powered off."""
    if daemon.running(name):
        return
    since = time.time()
    spec = state.nodes[name]
    _start(state, daemon, name, spec, None, None, spec.get("agent") is not None)
    realnode.wait_ready(state, daemon, name, since)


def power_off(state, daemon, name):
    if state.nodes[name]["kind"] == "bare":
        daemon.call("kill", name=f"{name}-kubelet")
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
