"""The cluster as the tests see it: what users do with kubectl on one side, what the kernels hold on the other.

Waiting is for events: a History follows the API server's watch and remembers each version of each object, so that a test can wait
for a state, and can ask afterwards what was said on the way there.
"""
import functools
import itertools
import json
import os
import re
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import kernelhash
from labkit import nodedisk
from labkit.controller import NAMESPACE
from labkit.ui import LabError, wait_until

PROFILES = "/apis/hauberk.dev/v1alpha1/apparmorprofiles"
NODE_OBJECTS = "/apis/hauberk.dev/v1alpha1/apparmornodes"
CONTROLLER = f"system:serviceaccount:{NAMESPACE}:hauberk-controller"
AGENT_LABEL = "labelSelector=app.kubernetes.io%2Fcomponent%3Dagent"
STATE_DIR = "/var/lib/hauberk"          # of the agent, on each node
ADOPT = "hauberk.dev/adopt"
WAIT_S = 120                            # for what takes a second or two: emulation on a busy machine
POD_S = 300                             # for a pod to start, which takes three


# -- objects ---------------------------------------------------------------------------------------------------------------

def policy(name, *rules):
    """A policy under which everything in a container works but for what the rules deny."""
    rules = ("file,", "/** rwlkmix,", "network,", "capability,", "signal,", "ptrace,", "mount,", "umount,", *rules)
    lines = "".join(f"  {r}\n" for r in rules)
    return f"abi <abi/3.0>,\n\nprofile {name} flags=(attach_disconnected, mediate_deleted) {{\n{lines}}}\n"


def large_policy(name, rules=100):
    return policy(name, *(f"deny /srv/{name}/{i}/** wl," for i in range(rules)))


def fat_policy(name):
    """One whose compiled form is too large to come along with the set, so that agents fetch it."""
    hats = (f"^hat{i} {{ {''.join(f'/srv/{name}/{i}/{j}/** r, ' for j in range(20))} }}" for i in range(12))
    return policy(name, *hats)


def profile(name, *rules, text=None, annotations=None, **spec):
    """An AppArmorProfile as a user writes it."""
    meta = {"name": name, **({"annotations": annotations} if annotations else {})}
    return {"apiVersion": "hauberk.dev/v1alpha1", "kind": "AppArmorProfile", "metadata": meta,
            "spec": {"policy": text or policy(spec.get("profileName", name), *rules), **spec}}


def changed(manifest, *rules, **spec):
    """The same object with another text, or with other fields."""
    name = manifest["spec"].get("profileName", manifest["metadata"]["name"])
    return {**manifest, "spec": {**manifest["spec"], **({"policy": policy(name, *rules)} if rules else {}), **spec}}


def pod(name, node, localhost_profile, script):
    """A pod of one shell under a profile."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": {
        "nodeSelector": {"kubernetes.io/hostname": node}, "restartPolicy": "Always", "automountServiceAccountToken": False,
        "enableServiceLinks": False, "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "shell", "image": "hauberk.dev/busybox:1", "imagePullPolicy": "IfNotPresent",
                        "command": ["/bin/sh", "-c", script],
                        "securityContext": {"appArmorProfile": {"type": "Localhost", "localhostProfile": localhost_profile}}}]}}


def condition(obj, kind="Ready"):
    """{"status", "reason", "message", …} of a condition, {} where there is none."""
    return next((c for c in (obj.get("status") or {}).get("conditions", []) if c["type"] == kind), {})


def node_states(obj):
    """{node: its entry in status.nodes}"""
    return {n["name"]: n for n in (obj.get("status") or {}).get("nodes", [])}


def is_current(obj):
    return (obj.get("status") or {}).get("observedGeneration") == obj["metadata"]["generation"]


def is_ready(obj):
    return is_current(obj) and condition(obj).get("status") == "True"


def has_reason(reason, kind="Ready"):
    return lambda obj: is_current(obj) and condition(obj, kind).get("reason") == reason


# -- what the API server said ------------------------------------------------------------------------------------------------

class Event:
    def __init__(self, kind, obj):
        self.at, self.kind, self.obj = time.monotonic(), kind, obj
        self.name = obj["metadata"]["name"]


class History:
    """All versions of all objects of a collection, in the order in which the API server sent them."""

    def __init__(self, api, path):
        self.api, self.path = api, path
        self.events, self.now, self.news = [], {}, threading.Condition()
        self.listed = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()
        assert self.listed.wait(WAIT_S), f"the API server does not list {path}"

    def _follow(self):
        while True:
            try:
                there = {o["metadata"]["uid"]: o for o in self.api.get(self.path)["items"]}
                for name, obj in list(self.now.items()):
                    if obj["metadata"]["uid"] not in there:
                        self._note("DELETED", obj)
                self.listed.set()
                for kind, obj in self.api.watch(self.path):
                    self._note(kind, obj)
            except (LabError, OSError):
                pass      # it may be down, and its files gone, too
            time.sleep(0.1)

    def _note(self, kind, obj):
        with self.news:
            name = obj["metadata"]["name"]
            old = self.now.get(name)
            if kind != "DELETED" and old and old["metadata"]["resourceVersion"] == obj["metadata"]["resourceVersion"]:
                return
            self.events.append(Event(kind, obj))
            if kind == "DELETED":
                self.now.pop(name, None)
            else:
                self.now[name] = obj
            self.news.notify_all()

    def mark(self):
        """A place in the history, for since()."""
        with self.news:
            return len(self.events)

    def since(self, mark, name=None):
        with self.news:
            return [e for e in self.events[mark:] if name in (None, e.name)]

    def wait(self, check, what, timeout_s=WAIT_S):
        """Returns what check() returns once that is true; it is called with self.now at each news."""
        deadline = time.monotonic() + timeout_s
        with self.news:
            while True:
                got = check(self.now)
                if got:
                    return got
                left = deadline - time.monotonic()
                assert left > 0, f"waited {timeout_s} s in vain for {what}"
                self.news.wait(left)


# -- the cluster ---------------------------------------------------------------------------------------------------------------

class Cluster:
    def __init__(self, lab):
        self.lab, self.api = lab, lab.api()
        kinds = {n: spec["kind"] for n, spec in lab.nodes().items()}
        self.has_kubelets = "node" in kinds.values()
        self.nodes = sorted(n for n, kind in kinds.items() if kind == ("node" if self.has_kubelets else "bare"))[:2]
        self.profiles = History(lab.api(), PROFILES)
        self.created = {}        # (kind, name) -> None, of the test that runs, in order
        self._features = {}
        self._numbers = itertools.count(1)

    # -- users -----------------------------------------------------------------------------------------------------------

    def name(self, word):
        """A name that no other test uses, and no test before on these kernels."""
        return f"e2e-{word}-{os.getpid() % 10000}-{next(self._numbers)}"

    def kubectl(self, *args, **kw):
        return self.lab.kubectl(*args, **kw)

    def apply(self, *manifests, **kw):
        """`kubectl apply`; what it creates goes at the end of the test."""
        for m in manifests:
            self.created[m["kind"], m["metadata"]["name"]] = None
        return self.lab.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)}), **kw)

    def get(self, name):
        return self.api.get(f"{PROFILES}/{name}")

    def patch(self, name, **body):
        return self.api.patch(f"{PROFILES}/{name}", body)

    def delete(self, *names):
        """Asks for the deletion of profiles and does not wait for it."""
        for name in names:
            self.api.delete(f"{PROFILES}/{name}")

    def wait(self, name, check, what, timeout_s=WAIT_S):
        """Waits until the profile as the API server has it fits, and returns it."""
        def fits(now):
            return now.get(name) if name in now and check(now[name]) else None
        try:
            return self.profiles.wait(fits, f"{name}: {what}", timeout_s)
        except AssertionError as e:
            raise AssertionError(f"{e}; it says\n{json.dumps(self.profiles.now.get(name, {}).get('status'), indent=1)}") from None

    def wait_ready(self, *names, timeout_s=WAIT_S):
        """Until each is Ready in its present generation. Returns the last."""
        for name in names:
            # What was applied may not have come back by the watch yet.
            generation = self.get(name)["metadata"]["generation"]
            obj = self.wait(name, lambda o, g=generation: o["metadata"]["generation"] >= g and is_ready(o), "Ready", timeout_s)
        return obj

    def wait_gone(self, *names, timeout_s=WAIT_S):
        for name in names:
            self.profiles.wait(lambda now, n=name: n not in now, f"the end of {name}", timeout_s)

    def events(self, name):
        """[(type, reason, message)] of the Events about a profile."""
        listed = self.api.get("/api/v1/namespaces/default/events?fieldSelector=involvedObject.kind%3DAppArmorProfile,involvedObject.name%3D" + name)
        return [(e["type"], e["reason"], e.get("message", "")) for e in listed["items"]]

    # -- machines ---------------------------------------------------------------------------------------------------------

    def next_bare(self, n):
        """Names of n bare nodes that are not there yet."""
        first = 1 + sum(1 for name in self.lab.nodes() if name.startswith("bare-"))
        return [f"bare-{first + i}" for i in range(n)]

    def add_bare(self, names, options):
        """Starts the nodes of next_bare(); of either kernel in turn."""
        self.lab.up(nodes_wanted=2 if self.has_kubelets else 0, bare=int(names[-1].split("-")[1]), kernels=["6.1", "6.12"], options=options)

    def remove_nodes(self, names):
        """Ends machines, and leaves nothing of them in the cluster."""
        for node in names:
            if node in self.lab.nodes():
                self.lab.kill(node)
                if self.api.find(f"/api/v1/nodes/{node}"):
                    self.api.delete(f"/api/v1/nodes/{node}")
                self.lab.state.nodes.pop(node)
                self.lab.state.write()
        # Their agents' pods would be taken away by the garbage collector a while later, in the middle of another test.
        for node, pod in self.agent_pods().items():
            if node in names:
                self.api.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}", gracePeriodSeconds=0)

    # -- kernels ---------------------------------------------------------------------------------------------------------

    def everywhere(self, function, nodes=None):
        """{node: function(node)}, at once on all."""
        nodes = nodes or self.nodes
        with ThreadPoolExecutor() as pool:
            return dict(zip(nodes, pool.map(function, nodes)))

    def kernel(self, node):
        return self.lab.profiles(node)

    def kernels(self, nodes=None):
        return self.everywhere(self.kernel, nodes)

    def revision(self, node):
        """How often the policy of the node's kernel was changed since its boot. A replace by the same policy counts too."""
        run = self.lab.exec(node, "timeout", "2", "/bin/sh", "-c", "read -r n < /sys/kernel/security/apparmor/revision; echo $n", check=False)
        return int(run.stdout or 0)       # where nothing was ever loaded, a read waits for the first load

    def revisions(self, nodes=None):
        return self.everywhere(self.revision, nodes)

    def features(self, node):
        if node not in self._features:
            self._features[node] = kernelhash.features_of(self.lab, node)
        return self._features[node]

    def forget_features(self, node):
        """Its kernel says something else from now on."""
        self._features.pop(node, None)

    def expected(self, node, manifest):
        return kernelhash.expected(self.lab, node, manifest, self.features(node))

    def differences(self, node, *manifests, absent=()):
        """Where the node's kernel does not hold exactly these profiles, and none of those absent. "" where it does."""
        kernel, found = self.kernel(node), []
        for manifest in manifests:
            for name, want in self.expected(node, manifest).items():
                if kernel.get(name) != want:
                    found.append(f"{node}: {name} is {kernel.get(name)}, not {want}")
        found += [f"{node}: {name} is still loaded" for name in absent if name in kernel]
        return "\n".join(found)

    def check_kernels(self, *manifests, absent=(), nodes=None):
        """The kernels hold these profiles: in the mode that is asked for, with the hash that is worked out here."""
        wrong = self.everywhere(lambda n: self.differences(n, *manifests, absent=absent), nodes)
        assert not any(wrong.values()), "\n".join(w for w in wrong.values() if w)

    def check_unchanged(self, kernels, revisions):
        """Nothing was loaded, replaced or removed on any node since these were read."""
        now = self.kernels()
        different = [f"{node}: {name} was {kernels[node].get(name)} and is {now[node].get(name)}" for node in kernels
                     for name in sorted({*kernels[node], *now[node]}) if kernels[node].get(name) != now[node].get(name)]
        assert not different, "\n".join(different)
        assert self.revisions() == revisions

    def load_by_hand(self, node, text):
        """As an administrator does on the node itself, with apparmor_parser."""
        blob = kernelhash.compiled(text, "Enforce", self.features(node))
        self.lab.exec(node, "/bin/sh", "-c", "cat > /tmp/by-hand && cat /tmp/by-hand > /sys/kernel/security/apparmor/.replace", stdin=blob)

    def unload_by_hand(self, node, name):
        self.lab.exec(node, "/bin/sh", "-c", f"printf %s {name} > /sys/kernel/security/apparmor/.remove")

    # -- agents ----------------------------------------------------------------------------------------------------------

    def agent_pods(self):
        """{node: pod} of the agents, but for those that are going."""
        listed = self.api.get(f"/api/v1/namespaces/{NAMESPACE}/pods?{AGENT_LABEL}")
        return {p["spec"]["nodeName"]: p for p in listed["items"] if p["spec"].get("nodeName") and not p["metadata"].get("deletionTimestamp")}

    def agent_pid(self, node):
        """In the machine's own numbers. Waits for it where it is being started again."""
        def pid():
            return self.lab.exec(node, "pidof", "hauberk-agent", check=False).stdout.split()
        return int(wait_until(pid, WAIT_S, f"an agent on {node}", every_s=0.3)[0])

    def agent_log(self, node):
        """What the agent said, parsed; also of containers of this pod that have ended."""
        if not self.has_kubelets:
            lines = self.lab.logs(f"agent-{node}").splitlines()
        else:
            files = f"/var/log/pods/{NAMESPACE}_hauberk-agent-*/agent/*.log"
            text = self.lab.exec(node, "/bin/sh", "-c", f"cat $(ls -rt {files})", check=False).stdout
            lines = [line.split(" ", 3)[-1] for line in text.splitlines()]      # as the runtime writes: time, stream, flag, text
        return [json.loads(line) for line in lines if line.startswith("{")]

    @functools.cached_property
    def _strike(self):
        folder = tempfile.mkdtemp(prefix="hauberk-strike-")
        nodedisk.compile_static(Path(__file__).with_name("strike.c"), Path(folder) / "strike")
        return (Path(folder) / "strike").read_bytes()

    @contextmanager
    def agent_dies_opening(self, node, *suffixes):
        """Inside: the agent of this node is killed when it is about to open a file of these names, in that order. At the end it has been."""
        pid = self.agent_pid(node)
        self.lab.exec(node, "/bin/sh", "-c", "cat > /tmp/strike && chmod 755 /tmp/strike", stdin=self._strike)
        out, attached, done = [], threading.Event(), []

        def heard(data):
            out.append(data.decode(errors="replace"))
            attached.set()

        def run():
            from labkit import nodes
            try:
                done.append(nodes.guest(self.lab.state, node).converse(["/tmp/strike", pid, *suffixes], b"", heard, heard, WAIT_S))
            except LabError as e:
                out.append(str(e))
            attached.set()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        assert attached.wait(WAIT_S) and "watching" in out[0], out
        yield
        thread.join(WAIT_S)
        assert done == [0], f"the agent on {node} was not killed: {''.join(out)}"

    # -- the API server's own record ---------------------------------------------------------------------------------------

    def audit_mark(self):
        """A place in the audit log. A request that is under way is written down after its effect is seen, so the time counts, too."""
        return os.path.getsize(self.lab.audit_log), datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def writes_since(self, mark):
        """[(verb, resource/subresource, name)] of the controller's writes, but for the Lease, Events and TokenReviews."""
        offset, time_text = mark
        with open(self.lab.audit_log, "rb") as f:
            f.seek(offset)
            entries = [json.loads(line) for line in f if line.endswith(b"\n")]
        found = []
        for e in entries:
            ref = e.get("objectRef", {})
            if e["requestReceivedTimestamp"] < time_text:
                continue
            if e["user"]["username"] == CONTROLLER and e["verb"] in ("create", "update", "patch", "delete") and \
               ref.get("resource") not in ("leases", "events", "tokenreviews"):
                found.append((e["verb"], "/".join(filter(None, (ref.get("resource"), ref.get("subresource")))), ref.get("name", "")))
        return found

    # -- before and after a test -------------------------------------------------------------------------------------------

    def health(self):
        """What changes when a program of ours dies: the controller's process, the agents' containers."""
        pods = {f"{node}'s agent": (p["metadata"]["name"], [c["restartCount"] for c in p["status"].get("containerStatuses", [])])
                for node, p in self.agent_pods().items()}
        return {"controller": self.lab.status()["controller"]["pid"], **pods}

    def clean_up(self):
        """Deletes what the test applied, pods first, and waits until it is gone."""
        created, self.created = list(self.created), {}
        for kind, name in created:
            if kind == "Pod" and self.api.find(f"/api/v1/namespaces/default/pods/{name}"):
                self.api.delete(f"/api/v1/namespaces/default/pods/{name}", gracePeriodSeconds=1)
        names = [name for kind, name in created if kind == "AppArmorProfile" and self.api.find(f"{PROFILES}/{name}")]
        self.delete(*names)
        try:
            self.wait_gone(*names)
        except AssertionError:
            for name in names:       # the tests after this one are to start from nothing
                if self.api.find(f"{PROFILES}/{name}"):
                    self.patch(name, metadata={"finalizers": None})
            raise

    def explain(self):
        """For the report of a test that failed."""
        parts = []
        for kind, name in self.created:
            if kind == "AppArmorProfile" and name in self.profiles.now:
                parts.append(f"--- status of {name}\n{json.dumps(self.profiles.now[name].get('status'), indent=1)}")
        parts.append("--- controller\n" + self.lab.logs("controller", 30))
        for node in self.nodes:
            try:
                parts.append(f"--- agent of {node}\n" + "\n".join(json.dumps(line) for line in self.agent_log(node)[-20:]))
            except LabError as e:
                parts.append(f"--- agent of {node}: {e}")
        return "\n".join(parts)


# -- kubectl that goes on ------------------------------------------------------------------------------------------------------

class Following:
    """A kubectl whose lines are waited for, as `kubectl logs -f`."""

    def __init__(self, lab, *args):
        argv, env = lab.kubectl_command(*args)
        self.process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines, self.news = [], threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            with self.news:
                self.lines.append(line.rstrip("\n"))
                self.news.notify_all()

    def wait(self, pattern, start=0, timeout_s=WAIT_S):
        """The number of the first line from `start` on that matches."""
        def found():
            return next((i for i, line in enumerate(self.lines) if i >= start and re.search(pattern, line)), None)
        with self.news:
            assert self.news.wait_for(lambda: found() is not None, timeout_s), f"waited {timeout_s} s in vain for {pattern}; last: {self.lines[-5:]}"
            return found()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
