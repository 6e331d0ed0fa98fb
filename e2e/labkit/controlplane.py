"""The real control plane on this host: etcd, kube-apiserver, kube-controller-manager, kube-scheduler."""
import json
import os
import socket

from . import certs, gobuild
from .kubeapi import Api
from .ui import LabError, say, wait_until

MAX_NODES = 128
# One JSON line a request, once, when it is answered: what the benches count.
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "Metadata"}],
}
# Names of processes, in the order of their start. apiserver and etcd stay down when they are killed.
PARTS = ("etcd", "apiserver", "controller-manager", "scheduler")


def node_names():
    """Every node that a lab may have, so that the API server's hosts file is right before a node exists."""
    return [f"{kind}-{i}" for kind in ("node", "bare") for i in range(1, MAX_NODES + 1)]


def prepare(state, without_controllers=()):
    """`without_controllers`: by their names in kube-controller-manager."""
    (state.dir / "controllers").write_text(",".join(["*", *(f"-{c}" for c in without_controllers)]))
    certs.authority(state.pki)
    certs.kubeconfig(state.kubeconfig, f"https://127.0.0.1:{state.port('apiserver')}", state.pki / "ca.crt",
                     {"client-certificate": state.pki / "admin.crt", "client-key": state.pki / "admin.key"})
    (state.dir / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY))
    (state.dir / "hosts").write_text("127.0.0.1 localhost " + " ".join(node_names()) + "\n")
    state.port("etcd")


def _argv(state, part):
    binary = gobuild.binaries("controlplane") / "controlplane"
    pki, config = state.pki, f"--kubeconfig={state.kubeconfig}"
    if part == "etcd":
        return [binary, "etcd", state.dir / "etcd", f"http://127.0.0.1:{state.port('etcd')}"]
    if part == "apiserver":
        # Kubelets are reached by node name (logs, exec, port-forward). QEMU forwards each kubelet's port to this host's
        # loopback, so in the API server's own mount namespace every node's name means just that.
        private = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
        return private + [
            "sh", "-c", 'mount --bind "$1" /etc/hosts && shift && exec "$@"', "-", state.dir / "hosts",
            binary, "apiserver", f"--etcd-servers=http://127.0.0.1:{state.port('etcd')}",
            "--bind-address=127.0.0.1", f"--secure-port={state.port('apiserver')}", "--advertise-address=10.0.2.2",
            f"--tls-cert-file={pki}/apiserver.crt", f"--tls-private-key-file={pki}/apiserver.key",
            f"--client-ca-file={pki}/ca.crt", f"--service-account-key-file={pki}/sa.key",
            f"--service-account-signing-key-file={pki}/sa.key", "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
            "--service-cluster-ip-range=10.0.0.0/24", "--kubelet-preferred-address-types=Hostname",
            f"--kubelet-client-certificate={pki}/kubelet-client.crt", f"--kubelet-client-key={pki}/kubelet-client.key",
            f"--audit-policy-file={state.dir}/audit-policy.json", f"--audit-log-path={state.audit_log}",
            "--audit-log-format=json", "--audit-log-maxsize=4096"]
    if part == "controller-manager":
        return [binary, "controller-manager", config, "--leader-elect=false", "--secure-port=0",
                f"--controllers={(state.dir / 'controllers').read_text()}",
                f"--service-account-private-key-file={pki}/sa.key", f"--root-ca-file={pki}/ca.crt"]
    return [binary, "scheduler", config, "--leader-elect=false", "--secure-port=0"]


def _listening(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def wait_part(state, daemon, part, ready, timeout_s=60):
    def check():
        if not daemon.running(part):
            tail = tail_of(state.logs / f"{part}.log")
            raise LabError(f"{part} ended at its start; its last words:\n{tail}")
        return ready()
    wait_until(check, timeout_s, f"{part} to be ready (see {state.logs}/{part}.log)")


def tail_of(path, lines=12):
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log)"


def start(state, daemon):
    """Starts what is not running and returns when the API server is ready."""
    running = {n for n, c in daemon.status().items() if c["pid"]}
    if running.issuperset(PARTS):
        return
    for part in PARTS:
        start_part(state, daemon, part)
    say("control plane is up")


def start_part(state, daemon, part):
    if daemon.running(part):
        return
    daemon.start(part, _argv(state, part), restart=part in ("controller-manager", "scheduler"))
    if part == "etcd":
        wait_part(state, daemon, part, lambda: _listening(state.port("etcd")))
    elif part == "apiserver":
        wait_part(state, daemon, part, Api(state).ready)
