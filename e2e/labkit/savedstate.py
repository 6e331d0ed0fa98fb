"""A machine that has booted, with containerd running and its images imported, saved to be resumed any number of times.

A boot and the import take 30 s of emulation; resuming takes 2. The state belongs to no cluster: a node joins after it.
"""
import ctypes
import shlex
import signal
import subprocess
import time
from pathlib import Path

from . import cache, guest, qemu
from .controlplane import tail_of
from .ui import LabError, say, step

BOOT_S = 60          # an emulated boot hangs now and then, and is tried again
TRIES = 3
RECIPE = "1"         # to be raised with a change of this file that changes the state
_prctl = ctypes.CDLL(None).prctl


def saved(series, boot_dir):
    """A directory with held.qcow2 (on top of boot_dir's disk) and held.state."""
    probe = qemu.argv(Path("/x"), "k", "i")      # what the state depends on, less paths

    def make(out):
        with step(f"booting and saving a node with kernel {series}"):
            for attempt in range(1, TRIES + 1):
                try:
                    return _make(boot_dir, out)
                except LabError as e:
                    if attempt == TRIES:
                        raise
                    say(f"{e}; trying again")

    return cache.entry(f"state-{series}", cache.digest(boot_dir.name, qemu.version(), *probe, RECIPE), make)


def _make(boot_dir, out):
    for old in out.iterdir():
        old.unlink()
    # By a relative name, so that a cache can be moved.
    qemu.image("create", "-q", "-f", "qcow2", "-b", f"../{boot_dir.name}/disk.img", "-F", "raw", out / "held.qcow2")
    machine = subprocess.Popen(
        qemu.argv(out, boot_dir / "vmlinuz", boot_dir / "initrd.gz", disk="file=held.qcow2,format=qcow2"),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: _prctl(1, signal.SIGKILL))      # PR_SET_PDEATHSIG: nothing stays when we are killed
    try:
        node = guest.Guest(f"saving {boot_dir.name}", out)
        wait_for_life(node, machine.poll, BOOT_S)
        node.shell("until [ -S /run/containerd/containerd.sock ]; do sleep 0.1; done", timeout=120)
        node.shell("until [ -p /run/kubelet.args ]; do sleep 0.1; done")
        node.shell("for i in /images/*.tar; do ctr -n k8s.io images import $i >/dev/null || exit 1; rm $i; done", timeout=500)
        # Into the page cache, which the state keeps, goes what a node runs first, and nothing else.
        node.shell("sync; echo 3 > /proc/sys/vm/drop_caches; cat /usr/local/bin/* > /dev/null; sync")
        guest.monitor(out, "saving", "migrate_set_parameter max-bandwidth 8G", f"migrate exec:cat>{shlex.quote(str(out / 'held.state'))}",
                      "quit", timeout=300)
        machine.wait(60)
        if not (out / "held.state").stat().st_size:
            raise LabError("QEMU saved an empty machine state")
    finally:
        machine.kill()
        machine.wait()
    for rest in ("console", "monitor", *(f"exec.{i}" for i in range(guest.PORTS)), *(f"exec.{i}.lock" for i in range(guest.PORTS))):
        (out / rest).unlink(missing_ok=True)


def wait_for_life(node, ended, timeout_s):
    """Returns when the guest runs a command; LabError where the machine ends or says nothing for so long."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if ended() is not None:
            raise LabError(f"{node.name}: the machine ended while it booted; its console ends with:\n{tail_of(node.dir / 'console', 5)}")
        if node.answers(timeout=max(0.5, min(5, deadline - time.monotonic()))):
            return
        time.sleep(0.05)
    raise LabError(f"{node.name}: no sign of life within {timeout_s} s of its start")
