"""What a kubelet does, for one bare node: registers it, sends its heartbeats, and runs the agent's pod in it.

Only the DaemonSet's own pod is run, from its own spec: its command, arguments and environment, its projected token (bound to the
pod, renewed in time), its ConfigMaps, its host paths. Any other pod stays Pending: the node's taint keeps them away.
"""
import base64
import datetime
import os
import shlex
import signal
import sys
import threading
import time

from .guest import Guest
from .kubeapi import Api, ApiError
from .state import State
from .ui import LabError

HEARTBEAT_S = 10
PID_FILE = "/run/agent.pid"
TAINT = {"key": "hauberk.dev/bare", "effect": "NoSchedule"}
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


def now(micro=False):
    t = datetime.datetime.now(datetime.timezone.utc)
    return t.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


class Kubelet:
    def __init__(self, directory, name):
        self.state, self.name = State(directory), name
        self.api, self.guest = Api(self.state), Guest(name, self.state.node_dir(name))
        self.agent = None        # the AgentPod that runs

    # -- the node --------------------------------------------------------------------------------------------------------

    def register(self):
        kernel, boot_id = self.guest.shell("uname -r; cat /proc/sys/kernel/random/boot_id").split()
        labels = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": self.name}
        body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name, "labels": labels}, "spec": {"taints": [TAINT]}}
        if not self.api.find(f"/api/v1/nodes/{self.name}"):
            self.api.post("/api/v1/nodes", body)
        room = {"cpu": "1", "memory": "256Mi", "pods": "10", "ephemeral-storage": "64Mi"}
        good = {"KubeletReady": ("Ready", "True"), "KubeletHasSufficientMemory": ("MemoryPressure", "False"),
                "KubeletHasNoDiskPressure": ("DiskPressure", "False"), "KubeletHasSufficientPID": ("PIDPressure", "False")}
        self.api.patch(f"/api/v1/nodes/{self.name}/status", {"status": {
            "capacity": room, "allocatable": room,
            "addresses": [{"type": "InternalIP", "address": "10.0.2.15"}, {"type": "Hostname", "address": self.name}],
            "conditions": [{"type": t, "status": s, "reason": r, "message": "bare node of the lab", "lastHeartbeatTime": now(),
                            "lastTransitionTime": now()} for r, (t, s) in good.items()],
            "nodeInfo": {"kernelVersion": kernel, "bootID": boot_id, "machineID": boot_id.replace("-", ""), "systemUUID": boot_id,
                         "osImage": "Hauberk bare node", "operatingSystem": "linux", "architecture": "amd64",
                         "containerRuntimeVersion": "none://0", "kubeletVersion": "v1.36.3", "kubeProxyVersion": ""}}})

    def heartbeat(self):
        spec = {"holderIdentity": self.name, "leaseDurationSeconds": 40, "renewTime": now(micro=True)}
        try:
            self.api.patch(f"{LEASES}/{self.name}", {"spec": spec})
        except ApiError as e:
            if e.status != 404:
                raise
            self.api.post(LEASES, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                                   "metadata": {"name": self.name, "namespace": "kube-node-lease"}, "spec": spec})

    def beat_for_ever(self):
        """A node that was deleted registers again only when its kubelet starts, as with a real one."""
        while True:
            try:
                self.heartbeat()
            except LabError as e:
                log(f"heartbeat: {e}")
            time.sleep(HEARTBEAT_S)

    # -- its pod ---------------------------------------------------------------------------------------------------------

    def run(self):
        while True:
            try:
                self.register()
                self.heartbeat()
                break
            except ApiError as e:
                log(f"register: {e}")
                time.sleep(1)
        threading.Thread(target=self.beat_for_ever, daemon=True).start()
        while True:
            try:
                seen = set()
                for kind, pod in self.api.watch(f"/api/v1/pods?fieldSelector=spec.nodeName%3D{self.name}"):
                    seen.add(pod["metadata"]["uid"])
                    self.on_pod(kind, pod)
            except LabError as e:
                log(f"watch: {e}")
            time.sleep(0.5)

    def on_pod(self, kind, pod):
        meta = pod["metadata"]
        mine = self.agent is not None and self.agent.uid == meta["uid"]
        if kind == "DELETED" or meta.get("deletionTimestamp"):
            if mine:
                self.agent.stop()
                self.agent = None
            if kind != "DELETED":
                try:
                    self.api.delete(f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}", gracePeriodSeconds=0,
                                    preconditions={"uid": meta["uid"]})
                except ApiError as e:
                    if e.status not in (404, 409):
                        raise
            return
        owners = [o["kind"] for o in meta.get("ownerReferences", [])]
        if mine or "DaemonSet" not in owners or not pod["spec"]["containers"][0]["image"].startswith("hauberk.dev/hauberk:"):
            return
        if self.agent:
            self.agent.stop()
        self.agent = AgentPod(self, pod)
        self.agent.start()


class AgentPod:
    """The agent's container: its files, its process, its status."""

    def __init__(self, kubelet, pod):
        self.kubelet, self.pod, self.api, self.guest = kubelet, pod, kubelet.api, kubelet.guest
        meta = pod["metadata"]
        self.uid, self.name, self.namespace = meta["uid"], meta["name"], meta["namespace"]
        self.path = f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"
        self.container = pod["spec"]["containers"][0]
        self.ended = threading.Event()
        self.restarts, self.started = 0, now()

    def start(self):
        for mount in self.container.get("volumeMounts", []):
            volume = next(v for v in self.pod["spec"]["volumes"] if v["name"] == mount["name"])
            self.mount(volume, mount["mountPath"])
        threading.Thread(target=self.run, daemon=True).start()

    def stop(self):
        self.ended.set()
        grace = self.pod["spec"].get("terminationGracePeriodSeconds", 30)
        # In order first; what then is still there is killed. The thread in run() sees it end.
        self.guest.run(["/bin/sh", "-c", f"read -r p < {PID_FILE} || exit 0; kill -TERM $p; n=0; while kill -0 $p && [ $n -lt {grace * 10} ]; do "
                        f"sleep 0.1; n=$((n + 1)); done; kill -KILL $p"], timeout=grace + 10)

    def argv(self):
        return [*self.container.get("command", ["/usr/bin/hauberk-agent"]), *self.container.get("args", [])]

    def environment(self):
        fields = {"metadata.name": self.name, "metadata.namespace": self.namespace, "metadata.uid": self.uid,
                  "spec.nodeName": self.kubelet.name, "status.hostIP": "10.0.2.15", "status.podIP": "10.0.2.15"}
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        for e in self.container.get("env", []):
            source = e.get("valueFrom", {}).get("fieldRef")
            env[e["name"]] = fields[source["fieldPath"]] if source else e.get("value", "")
        return env

    # -- volumes ---------------------------------------------------------------------------------------------------------

    def write(self, path, data):
        self.guest.shell(f"mkdir -p {shlex.quote(os.path.dirname(path))} && cat > {shlex.quote(path)}.new && chmod 400 {shlex.quote(path)}.new"
                         f" && mv {shlex.quote(path)}.new {shlex.quote(path)}", stdin=data)

    def mount(self, volume, where):
        if "hostPath" in volume:
            source = volume["hostPath"]["path"]
            if source == where:
                self.guest.shell(f"mkdir -p {shlex.quote(source)}")
            else:
                self.guest.shell(f"mkdir -p {shlex.quote(source)} {shlex.quote(os.path.dirname(where))}; "
                                 f"ln -sfn {shlex.quote(source)} {shlex.quote(where)}")
        elif "projected" in volume:
            for source in volume["projected"]["sources"]:
                if "serviceAccountToken" in source:
                    self.token(source["serviceAccountToken"], where)
                elif "configMap" in source:
                    self.config_map(source["configMap"], where)
        elif "configMap" in volume:
            self.config_map(volume["configMap"], where)
        elif "emptyDir" in volume:
            self.guest.shell(f"rm -rf {shlex.quote(where)}; mkdir -p {shlex.quote(where)}")
        else:
            log(f"{self.name}: volume {volume['name']} is of a kind that a bare node does not know")

    def token(self, source, where):
        """Written at once, and again when four fifths of its life are over."""
        account = self.pod["spec"].get("serviceAccountName", "default")
        spec = {"expirationSeconds": source.get("expirationSeconds", 3600),
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": self.name, "uid": self.uid}}
        if source.get("audience"):
            spec["audiences"] = [source["audience"]]

        def renew():
            answer = self.api.post(f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{account}/token",
                                   {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})
            self.write(f"{where}/{source['path']}", answer["status"]["token"].encode())

        renew()

        def keep():
            while not self.ended.wait(spec["expirationSeconds"] * 0.8):
                try:
                    renew()
                except LabError as e:
                    log(f"{self.name}: renewing the token: {e}")
        threading.Thread(target=keep, daemon=True).start()

    def config_map(self, source, where):
        """As it is now, and from then on as it changes. One that does not exist leaves an empty directory."""
        self.guest.shell(f"mkdir -p {shlex.quote(where)}")
        wanted = {i["key"]: i["path"] for i in source["items"]} if source.get("items") else None

        def put(kind, config):
            files = {}
            if kind != "DELETED":
                files = {k: v.encode() for k, v in config.get("data", {}).items()}
                files |= {k: base64.b64decode(v) for k, v in config.get("binaryData", {}).items()}
            if wanted is not None:
                files = {wanted[k]: v for k, v in files.items() if k in wanted}
            for name, data in files.items():
                self.write(f"{where}/{name}", data)
            keep = " ".join(f"! -name {shlex.quote(n)}" for n in files)
            self.guest.shell(f"find {shlex.quote(where)} -type f {keep} -exec rm {{}} +")

        def follow():
            path = f"/api/v1/namespaces/{self.namespace}/configmaps?fieldSelector=metadata.name%3D{source['name']}"
            while not self.ended.is_set():
                try:
                    for kind, config in self.api.watch(path):
                        if self.ended.is_set():
                            return
                        put(kind, config)
                except LabError as e:
                    log(f"{self.name}: ConfigMap {source['name']}: {e}")
                self.ended.wait(0.5)
        threading.Thread(target=follow, daemon=True).start()

    # -- its process -----------------------------------------------------------------------------------------------------

    def run(self):
        delay = 0.2
        command = ["env", "-i", *(f"{k}={v}" for k, v in self.environment().items()),
                   "/bin/sh", "-c", f'echo $$ > {PID_FILE} && exec "$@"', "-", *self.argv()]
        with open(self.kubelet.state.logs / f"agent-{self.kubelet.name}.log", "ab", buffering=0) as out:
            while not self.ended.is_set():
                began = time.monotonic()
                out.write(f"--- lab: start of {self.name}\n".encode())
                self.started = now()
                self.report(running=True)
                try:
                    code = self.guest.converse(command, None, out.write, out.write, None)
                except LabError as e:
                    log(f"{self.name}: {e}")
                    return
                if self.ended.is_set():
                    return
                out.write(f"--- lab: the agent ended with {code}\n".encode())
                self.report(running=False, code=code)
                delay = 0.2 if time.monotonic() - began > 60 else min(10, delay * 2)
                self.ended.wait(delay)
                self.restarts += 1

    def report(self, running, code=0):
        ready = "True" if running else "False"
        state = {"running": {"startedAt": self.started}} if running else {"terminated": {
            "exitCode": code, "startedAt": self.started, "finishedAt": now(), "reason": "Error" if code else "Completed"}}
        try:
            self.api.patch(f"{self.path}/status", {"metadata": {"uid": self.uid}, "status": {
                "phase": "Running", "hostIP": "10.0.2.15", "podIP": "10.0.2.15", "podIPs": [{"ip": "10.0.2.15"}], "startTime": self.started,
                "conditions": [{"type": t, "status": s, "lastTransitionTime": now()} for t, s in
                               (("PodScheduled", "True"), ("Initialized", "True"), ("ContainersReady", ready), ("Ready", ready))],
                "containerStatuses": [{"name": self.container["name"], "image": self.container["image"], "imageID": "", "ready": running,
                                       "started": running, "restartCount": self.restarts, "state": state,
                                       "containerID": f"none://{self.uid}-{self.restarts}"}]}})
        except ApiError as e:
            log(f"{self.name}: status: {e}")


def log(text):
    print(f"{now()} {text}", flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    Kubelet(sys.argv[1], sys.argv[2]).run()
