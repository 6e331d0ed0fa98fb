"""What a node with a real kubelet boots from: its disk, its initrd, and the images that its containerd starts with."""
import os
import re
import shutil
import subprocess
from pathlib import Path

from . import cache, debs, gobuild, image
from .ui import LabError, step

GUEST = Path(__file__).resolve().parent.parent / "guest"
DISK_SIZE = "3G"     # sparse
RECIPE = "1"         # to be raised with a change of this file that changes a disk
GUEST_FILES = ("node-init", "join", "initrd-init", "modules", "containerd.toml", "bridge.conflist", "kubelet.yaml")
PAUSE = "hauberk.dev/pause:1"
BUSYBOX = "hauberk.dev/busybox:1"
# Programs of this machine that the nodes need in full: busybox has a mount of its own, which knows too little for a kubelet.
HOST_PROGRAMS = ("mount", "umount", "apparmor_parser")


def compile_static(source, out):
    run = subprocess.run(["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-o", str(out), str(source)], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, check=False)
    if run.returncode:
        raise LabError(f"compiling {source.name} failed:\n{run.stderr}")


def guest_programs():
    """guestd and pause, static."""
    def make(out):
        compile_static(GUEST / "guestd.c", out / "guestd")
        compile_static(GUEST / "pause.c", out / "pause")
    return cache.entry("guest", cache.digest(GUEST / "guestd.c", GUEST / "pause.c"), make)


def applets(busybox):
    return subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True).stdout.split()


def write_images(out):
    """pause.tar and busybox.tar: what any pod needs, and what tests and samples run."""
    busybox = debs.busybox()
    image.write(out / "pause.tar", PAUSE, image.layer([("pause", guest_programs() / "pause", 0o755)]), {"Entrypoint": ["/pause"]})
    links = [(f"bin/{a}", "busybox") for a in applets(busybox) if a != "busybox"]
    files = [("bin/busybox", busybox, 0o755), ("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n", 0o644),
             ("etc/group", b"root:x:0:\nnogroup:x:65534:\n", 0o644), ("tmp/.keep", b"", 0o644), ("www/index.html", b"hello\n", 0o644)]
    image.write(out / "busybox.tar", BUSYBOX, image.layer(files, links), {"Entrypoint": ["/bin/sh"], "Env": ["PATH=/bin"]})


def modules_of(kernel_dir, names):
    """(path below kernel/…, bytes) of modules that are not built in, unpacked."""
    tree = next((kernel_dir / "modules").iterdir())
    found = []
    for name in names:
        for path in tree.rglob(f"{name}.ko*"):
            data = path.read_bytes()
            if path.suffix == ".xz":
                data = subprocess.run(["xz", "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout
            found.append((str(path.relative_to(tree)).removesuffix(".xz"), data))
    return found


def cpio_gz(tree, out, level=9):
    with open(out, "wb") as f:
        find = subprocess.Popen(["find", ".", "-mindepth", "1"], cwd=tree, stdout=subprocess.PIPE)
        cpio = subprocess.Popen(["cpio", "-o", "-H", "newc", "--quiet", "-R", "0:0"], cwd=tree, stdin=find.stdout, stdout=subprocess.PIPE)
        gzip = subprocess.Popen(["gzip", "-n", f"-{level}"], stdin=cpio.stdout, stdout=f)
        if any([gzip.wait(), cpio.wait(), find.wait()]):
            raise LabError(f"packing {out} failed")


def copy_program(root, source, target=None):
    """A program and the libraries it is linked with, at the same places in another tree."""
    source = str(source)
    target = Path(root) / (target or source).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    shutil.copy2(source, target)
    listed = subprocess.run(["ldd", source], capture_output=True, text=True, check=False).stdout
    missing = re.findall(r"(\S+) => not found", listed)
    if missing:
        raise LabError(f"{source} needs libraries that this machine lacks: {', '.join(missing)}")
    for lib in re.findall(r"(/\S+) \(0x", listed):
        copy = Path(root) / lib.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.exists():
            shutil.copy2(os.path.realpath(lib), copy)


def host_program(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not found:
        raise LabError(f"{name} is not installed: `tools/install-deps lab` installs what the lab needs")
    return found


def _initrd(kernel_dir, work, out):
    tree = work / "initrd"
    (tree / "bin").mkdir(parents=True)
    (tree / "lib").mkdir()
    shutil.copy2(debs.busybox(), tree / "bin/busybox")
    for path, data in modules_of(kernel_dir, ["virtio", "virtio_ring", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci",
                                              "virtio_blk"]):
        (tree / "lib" / Path(path).name).write_bytes(data)
    shutil.copy2(GUEST / "initrd-init", tree / "init")
    cpio_gz(tree, out)


def install_modules(root, kernel_dir, names):
    """Modules, plain and with their dependencies listed, as busybox's modprobe wants them."""
    release = (kernel_dir / "release").read_text().strip()
    tree = next((kernel_dir / "modules").iterdir())
    target = root / "lib/modules" / release
    target.mkdir(parents=True)
    for path, data in modules_of(kernel_dir, names):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(data)
    for name in ("modules.builtin", "modules.order"):
        shutil.copy2(tree / name, target)
    subprocess.run([str(debs.busybox()), "depmod", "-b", str(root), release], check=True)


def _root(kernel_dir, root, image_tars):
    for d in ("bin sbin usr/bin usr/sbin usr/local/bin etc/apparmor etc/apparmor.d etc/containerd etc/cni/net.d opt/cni/bin proc sys dev "
              "run tmp var/lib var/log var/tmp seed images root").split():
        (root / d).mkdir(parents=True, exist_ok=True)
    busybox = debs.busybox()
    shutil.copy2(busybox, root / "bin/busybox")
    for a in applets(busybox):
        if a != "busybox":
            (root / "bin" / a).symlink_to("busybox")
    for name in HOST_PROGRAMS:
        copy_program(root, host_program(name), f"/bin/{name}")
    (root / "sbin/apparmor_parser").symlink_to("../bin/apparmor_parser")
    for part in ("abstractions", "tunables", "abi"):
        shutil.copytree(f"/etc/apparmor.d/{part}", root / "etc/apparmor.d" / part, symlinks=True)
    (root / "etc/apparmor/parser.conf").write_text("")
    go = {name: gobuild.binaries(name) for name in ("node", "containerd", "runc")}
    for path in (go["node"] / "node", go["runc"] / "runc", *(go["containerd"] / n for n in ("containerd", "containerd-shim-runc-v2", "ctr"))):
        shutil.copy2(path, root / "usr/local/bin")
    for name in ("bridge", "host-local", "loopback"):
        shutil.copy2(go["containerd"] / name, root / "opt/cni/bin")
    shutil.copy2(guest_programs() / "guestd", root / "usr/local/bin")
    for tar in image_tars:
        shutil.copy2(tar, root / "images")

    install_modules(root, kernel_dir, (GUEST / "modules").read_text().split())
    for name, place in (("node-init", "init"), ("join", "join"), ("containerd.toml", "etc/containerd/config.toml"),
                        ("bridge.conflist", "etc/cni/net.d/10-bridge.conflist"), ("kubelet.yaml", "etc/kubelet.yaml")):
        shutil.copy2(GUEST / name, root / place)
    for name, text in (("etc/passwd", "root::0:0:root:/root:/bin/sh\n"), ("etc/group", "root:x:0:\n"), ("etc/hosts", "127.0.0.1 localhost\n"),
                       ("etc/os-release", 'ID=hauberk-lab\nPRETTY_NAME="Hauberk lab node"\n'), ("etc/resolv.conf", "nameserver 10.0.2.3\n")):
        (root / name).write_text(text)


def boot_files(series, extra_images=()):
    """A directory with vmlinuz, initrd.gz and disk.img for a kernel series. extra_images: (tar, key) to have on the disk."""
    kernel_dir = debs.kernel(series)
    inputs = [*(GUEST / name for name in GUEST_FILES), RECIPE, (kernel_dir / "version").read_text(), debs.busybox().parent.name, guest_programs().name, DISK_SIZE]
    inputs += [str(gobuild.binaries(name).name) for name in ("node", "containerd", "runc")]
    inputs += [key for _, key in extra_images]

    def make(out):
        with step(f"making the disk of nodes with kernel {(kernel_dir / 'release').read_text().strip()}"):
            work = out / "work"
            (work / "root").mkdir(parents=True)
            (work / "images").mkdir()
            write_images(work / "images")
            tars = sorted((work / "images").glob("*.tar")) + [tar for tar, _ in extra_images]
            _initrd(kernel_dir, work, out / "initrd.gz")
            _root(kernel_dir, work / "root", tars)
            as_root = [] if os.geteuid() == 0 else ["unshare", "--map-root-user"]    # so that all files are root's
            subprocess.run([*as_root, host_program("mke2fs"), "-q", "-t", "ext4", "-d", str(work / "root"), str(out / "disk.img"), DISK_SIZE],
                           check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            shutil.copy2(kernel_dir / "vmlinuz", out / "vmlinuz")
            shutil.rmtree(work)

    return cache.entry(f"disk-{series}", cache.digest(*inputs), make)
