"""A bare node: a kernel and an initramfs that hold the agent and nothing else. It boots in seconds and keeps nothing.

What a kubelet would do for it is done by barekubelet.py on the host, a process a node.
"""
import shutil
import sys
import time
from pathlib import Path

from . import cache, debs, guest, nodedisk, qemu, savedstate
from .ui import LabError, say

MEMORY_MB = 256
AGENT = "usr/bin/hauberk-agent"
MODULES = ("failover net_failover virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_net "
           "virtio_console").split()


def build(spec):
    """A directory with vmlinuz and initrd.gz. The agent is put in later: it changes more often than the rest."""
    kernel_dir = debs.kernel(spec["kernel"])
    init = nodedisk.GUEST / "bare-init"

    def make(out):
        tree = out / "tree"
        for d in ("bin", "usr/bin", "etc"):
            (tree / d).mkdir(parents=True)
        shutil.copy2(debs.busybox(), tree / "bin/busybox")
        shutil.copy2(nodedisk.guest_programs() / "guestd", tree / "usr/bin/guestd")
        shutil.copy2(init, tree / "init")
        (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        nodedisk.install_modules(tree, kernel_dir, MODULES)
        nodedisk.cpio_gz(tree, out / "initrd.gz")
        shutil.copy2(kernel_dir / "vmlinuz", out / "vmlinuz")
        shutil.rmtree(tree)

    return cache.entry(f"bare-{spec['kernel']}", cache.digest(init, kernel_dir.name, (kernel_dir / "version").read_text(), *MODULES,
                                                              str(nodedisk.guest_programs().name), Path(__file__)), make)


def agent_files(bin_dir):
    """A gzipped cpio of the agent and its libraries, which the kernel unpacks on top of the initramfs."""
    agent = bin_dir / "hauberk-agent"

    def make(out):
        nodedisk.copy_program(out / "tree", agent, f"/{AGENT}")
        certificates = Path("/etc/ssl/openssl.cnf")
        if certificates.exists():
            (out / "tree/etc/ssl").mkdir(parents=True)
            shutil.copy2(certificates, out / "tree/etc/ssl")
        nodedisk.cpio_gz(out / "tree", out / "agent.gz", level=1)
        shutil.rmtree(out / "tree")

    return cache.entry("bare-agent", cache.digest(agent, Path(__file__)), make) / "agent.gz"


def start(state, daemon, name, spec, bin_dir):
    """Boots the machine, always anew, and starts its kubelet's stand-in."""
    d = state.node_dir(name)
    d.mkdir(parents=True, exist_ok=True)
    boot = build(spec)
    with open(d / "initrd.gz", "wb") as out:
        out.write((boot / "initrd.gz").read_bytes())
        if bin_dir:
            out.write(agent_files(bin_dir).read_bytes())
    daemon.call("kill", name=f"{name}-kubelet")
    for attempt in range(1, savedstate.TRIES + 1):
        daemon.start(name, qemu.argv(d, boot / "vmlinuz", d / "initrd.gz", spec.get("append", ""), int(spec.get("memory") or MEMORY_MB), cpus=1))
        try:
            savedstate.wait_for_life(guest.Guest(name, d), lambda: None if daemon.running(name) else 1, savedstate.BOOT_S)
            break
        except LabError as e:
            daemon.call("kill", name=name)
            if attempt == savedstate.TRIES:
                raise
            say(f"{e}; booting it again")
    guest.Guest(name, d).shell(f"date -s @{int(time.time())} >/dev/null; hostname {name}")
    daemon.start(f"{name}-kubelet", [sys.executable, "-m", "labkit.barekubelet", state.dir, name],
                 env={"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}, restart=True)


def put_agent(state, name, bin_dir):
    """A new build of the agent into a running bare node, whole or not at all."""
    guest.Guest(name, state.node_dir(name)).shell(f"cat > /{AGENT}.new && chmod 755 /{AGENT}.new && mv /{AGENT}.new /{AGENT}",
                                                  stdin=(bin_dir / "hauberk-agent").read_bytes())
