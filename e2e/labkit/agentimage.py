"""The image that the nodes run, made without a container engine: Debian's base, the runtime's packages, our programs.

Base and packages are the Dockerfile's `runtime` stage, run by buildah once and kept. The programs are one small layer on top of
it, put there as the Dockerfile's last stage does, but from this machine's release build: compiling inside the image gives the
same programs where this machine runs the image's release of Debian, and costs minutes and a gigabyte of copies a time. The node
machines hold the runtime's layers in their saved state, so a new build of the agent reaches them in a second or two.
"""
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import cache, debs, image
from .state import REPO
from .ui import LabError, step

NAME = "hauberk.dev/hauberk:0.1.0"
RUNTIME_NAME = "hauberk.dev/runtime:0.1.0"
RELEASE = "bookworm"
PROGRAMS = {
    "hauberk-agent": "usr/bin/hauberk-agent", "hauberk-controller": "usr/bin/hauberk-controller",
    "kubectl-hauberk": "usr/bin/kubectl-hauberk", "hauberk-sandbox": "usr/libexec/hauberk/hauberk-sandbox",
}
# What debian:12-slim leaves out, too, and what only tells when the base was made.
_SLIM = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/lib/apt/lists", "var/cache/apt", "var/cache/debconf",
         "var/log", "debootstrap")


def as_root(argv):
    """debootstrap and buildah's chroot isolation are root's."""
    if os.geteuid() == 0:
        return argv
    if shutil.which("sudo"):
        return ["sudo", *argv]
    raise LabError("building the agent's image without a container engine takes root: run as root or install sudo")


def run(*argv, cwd=None):
    env = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin", "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run([str(a) for a in argv], cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    if done.returncode:
        raise LabError(f"{argv[0]} failed:\n" + "\n".join(done.stdout.splitlines()[-15:]))
    return done.stdout.strip()


def need(program, path=None):
    if not shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
        raise LabError(f"{program} is not installed: `tools/install-deps image` installs what building the image needs")


def base():
    """A tar of a minimal Debian that gets its packages from where this machine does."""
    def make(out):
        need("debootstrap")
        with step("making the image's base from Debian packages"):
            root = Path(tempfile.mkdtemp(prefix="root-", dir=out))
            main, _ = debs.mirrors()
            run(*as_root(["debootstrap", "--variant=minbase", "--include=ca-certificates", f"--keyring={debs.KEYRING}", RELEASE, str(root), main]))
            sources = out / "sources.list"
            sources.write_text(debs.sources(RELEASE))
            run(*as_root(["cp", str(sources), str(root / "etc/apt/sources.list")]))
            run(*as_root(["sh", "-c", 'cd "$1" && shift && for d; do rm -rf "$d"; mkdir -p "$d"; done && rmdir debootstrap', "-", str(root), *_SLIM]))
            run(*as_root(["chmod", "755", str(root)]))
            run(*as_root(["tar", "-C", str(root), "--sort=name", "--mtime=@0", "--numeric-owner", "-cf", str(out / "base.tar"), "."]))
            run(*as_root(["rm", "-rf", str(root)]))

    return cache.entry("image-base", cache.digest("2", RELEASE, debs.ARCH, *_SLIM), make) / "base.tar"


def buildah(store, *argv):
    # vfs, because overlay mounts need more rights than a build container usually has.
    return run(*as_root(["buildah", "--root", str(store / "root"), "--runroot", str(store / "run"), "--storage-driver", "vfs", *map(str, argv)]))


def build_stage(out, target, name, base_tar):
    """Runs the Dockerfile up to a stage and writes it to out as an OCI archive."""
    need("buildah")
    store = Path(tempfile.mkdtemp(prefix="buildah-", dir=out.parent))
    try:
        container = buildah(store, "from", "scratch").splitlines()[-1]
        buildah(store, "add", container, base_tar, "/")
        buildah(store, "commit", "--rm", container, "localhost/base:1")
        with tempfile.TemporaryDirectory() as empty:
            context = REPO if target == "image" else empty
            buildah(store, "bud", "--isolation", "chroot", "--target", target, "--build-arg", "BASE=localhost/base:1", "--timestamp", "0",
                    "-t", "localhost/hauberk:1", "-f", REPO / "Dockerfile", context)
        buildah(store, "push", "--disable-compression", "localhost/hauberk:1", f"oci-archive:{out}:{name}")
    finally:
        run(*as_root(["rm", "-rf", str(store)]))
    run(*as_root(["chmod", "644", str(out)]))


def runtime():
    """(OCI archive, key) of the Dockerfile's runtime stage."""
    base_tar = base()

    def make(out):
        with step("installing the image's runtime packages"):
            build_stage(out / "stage.tar", "runtime", RUNTIME_NAME, base_tar)
            # Written once more by our own hand, so that its index carries the name that containerd takes.
            image.rename(out / "stage.tar", out / "runtime.tar", RUNTIME_NAME)
            (out / "stage.tar").unlink()

    path = cache.entry("image-runtime", cache.digest(stage_text("runtime"), base_tar.parent.name, "2"), make)
    return path / "runtime.tar", path.name


def stage_text(name):
    """The Dockerfile's lines of one stage: an edit of another one must not cost everybody a rebuild."""
    text, found = [], False
    for line in (REPO / "Dockerfile").read_text().splitlines():
        if line.startswith("FROM "):
            found = line.endswith(f" AS {name}")
        if found and line.strip() and not line.startswith("#"):
            text.append(line)
    return "\n".join(text)


@functools.cache
def host_is_release():
    return f"VERSION_CODENAME={RELEASE}" in Path("/etc/os-release").read_text().split()


def assemble(bin_dir, whole=False):
    """(tar, key) of the image with a build's programs. whole: with the runtime's layers, for who does not have them."""
    if not host_is_release():
        raise LabError(f"this machine does not run Debian {RELEASE}, as the image does, so its own build may not run there: "
                       f"build the image in full with `tools/build-image --full`")
    present = {n: bin_dir / n for n in PROGRAMS if (bin_dir / n).exists()}
    if "hauberk-agent" not in present:
        raise LabError(f"no hauberk-agent in {bin_dir}: build first")
    archive, runtime_key = runtime()

    def make(out):
        files = [(PROGRAMS[n], stripped(path), 0o755) for n, path in present.items()]
        files += [(lib.lstrip("/"), Path(lib), 0o755) for lib in sorted(set().union(*(sanitizers(p) for p in present.values())))]
        image.append(out / "image.tar", NAME, archive, image.layer(files), {}, whole)

    kind = "image-whole" if whole else "image-top"
    path = cache.entry(kind, cache.digest(runtime_key, *(x for n, p in sorted(present.items()) for x in (n, p)), Path(__file__)), make)
    return path / "image.tar", path.name


def stripped(path):
    """Symbols stay on the host, as with the Dockerfile's `install --strip`."""
    if sanitizers(path) or path.read_bytes()[:4] != b"\x7fELF":
        return path
    with tempfile.TemporaryDirectory() as d:
        run("strip", "-o", f"{d}/stripped", path)
        return Path(d, "stripped").read_bytes()


@functools.cache
def sanitizers(path):
    """The sanitizers' libraries that a program was built with: the image's packages do not bring them."""
    listed = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False).stdout
    return frozenset(w for line in listed.splitlines() for w in line.split() if w.startswith("/") and ("san.so" in w or "libgcc_s" in w or "libstdc++" in w)
                     and "san.so" in listed)
