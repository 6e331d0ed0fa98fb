"""The Node, the Pod and the token of each simulated agent, made in parallel."""
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from labkit.controller import NAMESPACE
from labkit.kubeapi import ApiError
from labkit.ui import LabError, wait_until

ACCOUNT = "hauberk-agent"
AUDIENCE = "hauberk-controller"
CA_CONFIG_MAP = "hauberk-ca"
TOKEN_SECONDS = 4 * 3600
CONNECTIONS = 8
ZONES = 3
NODES, PODS = "/api/v1/nodes", f"/api/v1/namespaces/{NAMESPACE}/pods"
# What would take nodes without a kubelet, and their pods, for dead; and one that writes to each node when a cluster has grown.
WITHOUT_CONTROLLERS = ("node-lifecycle-controller", "taint-eviction-controller", "pod-garbage-collector-controller",
                       "daemonset-controller", "ttl-controller")


def names(n):
    return [f"fleet-{i:05}" for i in range(n)]


def _node(name, i):
    labels = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "kubernetes.io/hostname": name,
              "topology.kubernetes.io/zone": f"zone-{i % ZONES}"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "simulated",
             "lastHeartbeatTime": "2020-01-01T00:00:00Z", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "status": {"conditions": [ready]}}


def _pod(name):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"agent-{name}", "namespace": NAMESPACE},
            "spec": {"nodeName": name, "serviceAccountName": ACCOUNT, "automountServiceAccountToken": False,
                     "containers": [{"name": "agent", "image": "hauberk.dev/hauberk:0.1.0"}]}}


def _token(pod):
    return {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {
        "audiences": [AUDIENCE], "expirationSeconds": TOKEN_SECONDS,
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}}}


def _member(api, name, i):
    api.post(NODES, _node(name, i))
    pod = api.post(PODS, _pod(name))
    answer = api.post(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token", _token(pod))
    return f"{name} {answer['status']['token']}\n"


def make(api, n, path):
    """Writes the file that fleet-agents reads."""
    began, done, lock = time.monotonic(), [0], threading.Lock()

    def one(args):
        line = _member(api, args[1], args[0])
        with lock:
            done[0] += 1
            if done[0] % 1000 == 0:
                print(f"  {done[0]} nodes, pods and tokens after {time.monotonic() - began:.0f} s", flush=True)
        return line

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        lines = list(pool.map(one, enumerate(names(n))))
    path.touch(mode=0o600)
    path.write_text("".join(lines))


def authority(api, path):
    """The controller's CA, from where agents find it."""
    def look():
        try:
            return (api.find(f"/api/v1/namespaces/{NAMESPACE}/configmaps/{CA_CONFIG_MAP}") or {}).get("data", {}).get("ca.crt")
        except ApiError as e:
            raise LabError(str(e)) from e
    path.write_text(wait_until(look, 30, "the controller's CA"))
