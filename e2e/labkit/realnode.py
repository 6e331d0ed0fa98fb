"""A node with a real kubelet: resumed from a saved machine, or booted from its own disk."""
import io
import json
import tarfile
import time
from datetime import datetime

from . import certs, guest, nodedisk, qemu, savedstate
from .kubeapi import Api
from .ui import LabError, say, wait_until

READY_S = 240      # a busy machine emulates slowly


def build(spec, base_image):
    """Everything that starting this node needs, made or found in the cache: (boot files, saved state or None)."""
    boot = nodedisk.boot_files(spec["kernel"], base_image)
    return boot, None if is_odd(spec) else savedstate.saved(spec["kernel"], boot)


def is_odd(spec):
    """What a saved machine cannot be given afterwards."""
    return bool(spec.get("append")) or int(spec.get("memory") or qemu.MEMORY_MB) != qemu.MEMORY_MB


def first_start(state, daemon, name, spec, built, image_tar):
    """A new node: an overlay on the shared disk, its identity, a machine, the agent's image, and the kubelet."""
    d = state.node_dir(name)
    d.mkdir(parents=True, exist_ok=True)
    boot, held = built
    certs.node(state.pki, name)
    for attempt in (1, 2, 3):
        _forget_disk(d)
        resumed = held is not None and attempt == 1
        backing, fmt = (held / "held.qcow2", "qcow2") if resumed else (boot / "disk.img", "raw")
        qemu.image("create", "-q", "-f", "qcow2", "-b", backing, "-F", fmt, d / "disk.qcow2")
        _launch(state, daemon, name, spec, boot, held / "held.state" if resumed else None)
        try:
            _wait_alive(state, daemon, name, savedstate.BOOT_S)
            node = guest.Guest(name, d)
            if not resumed:
                # A disk that was never held has its images in files yet.
                node.shell("until [ -S /run/containerd/containerd.sock ]; do sleep 0.1; done; "
                           "for i in /images/*.tar; do ctr -n k8s.io images import $i >/dev/null || exit 1; done", timeout=300)
            node.shell(f"date -s @{int(time.time())} >/dev/null")
            node.shell("tar -xf - -C /", stdin=_seed(state, name, spec))
            if image_tar:
                import_image(state, name, image_tar)
            node.shell("/join </dev/null >/dev/null 2>&1 &")
            return
        except LabError as e:
            daemon.call("kill", name=name)
            if attempt == 3:
                raise
            say(f"{e}; starting it again{' by a cold boot' if resumed else ''}")


def start_again(state, daemon, name, spec):
    """As after a power loss: from its own disk; the kubelet starts by itself, with what it had."""
    boot = _recorded_boot(state, name)
    for attempt in (1, 2, 3):
        _launch(state, daemon, name, spec, boot, None)
        try:
            _wait_alive(state, daemon, name, savedstate.BOOT_S)
            return
        except LabError as e:
            daemon.call("kill", name=name)
            if attempt == 3:
                raise
            say(f"{e}; booting it again")


def wait_ready(state, daemon, name, since):
    """Until the cluster calls the node Ready, on word from a kubelet started after `since` (a wall clock time)."""
    api = Api(state)

    def ready():
        if not daemon.running(name):
            raise LabError(f"{name}: the machine ended (its console: {state.node_dir(name)}/console)")
        lease = api.find(f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{name}")
        if not lease or _epoch(lease["spec"]["renewTime"]) < since:
            return False
        node = api.find(f"/api/v1/nodes/{name}")
        return node and any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))
    wait_until(ready, READY_S, f"{name} to be Ready (its kubelet: `e2e/lab exec {name} -- tail /var/log/kubelet.log`)", every_s=0.1)


def import_image(state, name, tar):
    """Brings the agent's image to the node's containerd; the layers below came with the disk."""
    node = guest.Guest(name, state.node_dir(name))
    with open(tar, "rb") as f:
        run = node.run(["/bin/sh", "-c", "cat > /tmp/agent.tar && ctr -n k8s.io images import /tmp/agent.tar; s=$?; rm -f /tmp/agent.tar; exit $s"],
                       stdin=f.read(), timeout=120)
    if run.returncode:
        raise LabError(f"{name}: containerd did not take the agent's image: {run.stderr.strip() or run.stdout.strip()}")


def _epoch(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _forget_disk(d):
    for path in d.glob("*"):
        if path.name != "console":
            path.unlink()


def _launch(state, daemon, name, spec, boot, incoming):
    d = state.node_dir(name)
    (d / "boot").unlink(missing_ok=True)
    (d / "boot").symlink_to(boot)
    address = node_ip(name)
    port = state.port(f"kubelet-{name}")
    daemon.start(name, qemu.argv(d, boot / "vmlinuz", boot / "initrd.gz", spec.get("append", ""),
                                 int(spec.get("memory") or qemu.MEMORY_MB), disk="file=disk.qcow2,format=qcow2", incoming=incoming,
                                 forward=(port, address, port)))


def _recorded_boot(state, name):
    return (state.node_dir(name) / "boot").resolve()


def node_ip(name):
    """Each machine has a network of its own, so an address need not be unique; but people compare them."""
    return f"10.0.2.{14 + int(name.rsplit('-', 1)[1])}"


def _wait_alive(state, daemon, name, timeout_s):
    savedstate.wait_for_life(guest.Guest(name, state.node_dir(name)), lambda: None if daemon.running(name) else 1, timeout_s)


def _seed(state, name, spec):
    port = state.port(f"kubelet-{name}")
    kubeconfig = {
        "apiVersion": "v1", "kind": "Config", "current-context": "lab",
        "clusters": [{"name": "lab", "cluster": {"server": f"https://10.0.2.2:{state.port('apiserver')}",
                                                 "certificate-authority": "/seed/ca.crt"}}],
        "users": [{"name": "lab", "user": {"client-certificate": "/seed/node.crt", "client-key": "/seed/node.key"}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}]}
    files = {
        "env": f"NODE={name}\nNODE_IP={node_ip(name)}\nSERVICE_IP=10.0.0.1\nAPI_PORT={state.port('apiserver')}\nKUBELET_PORT={port}\n".encode(),
        "kubeconfig": json.dumps(kubeconfig).encode(),
        "ca.crt": (state.pki / "ca.crt").read_bytes(),
        "node.crt": (state.pki / f"{name}.crt").read_bytes(),
        "node.key": (state.pki / f"{name}.key").read_bytes(),
    }
    buf = io.BytesIO()
    with tarfile.open(fileobj=buf, mode="w") as t:
        for file, data in files.items():
            info = tarfile.TarInfo(f"seed/{file}")
            info.size, info.mode, info.mtime = len(data), 0o600, int(time.time())
            t.addfile(info, io.BytesIO(data))
    return buf.getvalue()
