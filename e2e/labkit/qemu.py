"""The QEMU machine that every node is: one command line, so that what was saved can be resumed."""
import functools
import os
import subprocess

from . import guest
from .nodedisk import host_program

# No KVM: where it exists at all on small test machines, guests hang with it too often. la57=off: half the page table levels.
CPU = "max,la57=off"
CMDLINE = "console=ttyS0 quiet panic=-1 mitigations=off random.trust_cpu=on apparmor=1 security=apparmor"
MEMORY_MB = 512
CPUS = 2


@functools.cache
def binary():
    return host_program("qemu-system-x86_64")


@functools.cache
def version():
    return subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


def argv(directory, kernel, initrd, append="", memory=MEMORY_MB, cpus=CPUS, disk=None, incoming=None, forward=None):
    """A machine whose console, monitor and command ports are in a node's directory. It is started with that as its
    working directory, because names of sockets are short.

    disk: a -drive value; forward: (host port, guest address, guest port); incoming: file of a saved state.
    """
    # QEMU reads the command line's last word on a matter: apparmor=0 in `append` wins.
    args = [binary(), "-machine", "pc", "-accel", "tcg,thread=multi,tb-size=256", "-cpu", CPU, "-smp", str(cpus), "-m", str(memory),
            "-nodefaults", "-display", "none", "-no-reboot", "-kernel", str(kernel), "-initrd", str(initrd),
            "-append", f"{CMDLINE} {append}".strip(), "-serial", "file:console",
            "-monitor", "unix:monitor,server=on,wait=off"]
    net = "user,id=net,net=10.0.2.0/24"
    if forward:
        net += f",hostfwd=tcp:127.0.0.1:{forward[0]}-{forward[1]}:{forward[2]}"
    args += ["-netdev", net, "-device", "virtio-net-pci,netdev=net,romfile="]
    if disk:
        args += ["-drive", f"{disk},if=virtio,cache=unsafe"]
    args += guest.qemu_args(directory)
    if incoming:
        args += ["-incoming", f"exec:cat {incoming}"]
    # chdir by a shell, so that any parent can start it.
    return ["sh", "-c", 'cd "$1" && shift && exec "$@"', "-", str(directory), *args]


def image(*args):
    subprocess.run([host_program("qemu-img"), *map(str, args)], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   env={**os.environ, "LC_ALL": "C"})
