"""Debian packages, unpacked, without installing them and without touching this machine's package system.

apt works on a configuration directory of its own below the cache. Its sources are those of this machine for Debian's own
archive, with the suite swapped where another release's kernel is wanted; signatures are verified as ever.
"""
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from . import cache
from .ui import LabError, step

ARCH = {"x86_64": "amd64"}.get(platform.machine(), platform.machine())
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Kernel series: the release whose metapackage names the newest kernel of it.
KERNEL_SUITES = {"6.1": "bookworm", "6.12": "trixie"}


def _stanzas():
    """The machine's apt sources as (uri, suite, components), one-line and deb822 style alike."""
    etc = Path("/etc/apt")
    for path in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if not path.is_file():
            continue
        text = re.sub(r"(?m)^\s*#.*\n?", "", path.read_text(errors="replace"))
        if path.suffix == ".list":
            for line in text.splitlines():
                found = re.match(r"deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)", line)
                if found:
                    yield found[1], found[2], found[3].split()
        elif path.suffix == ".sources":
            for block in re.split(r"\n\s*\n", text):
                fields = dict(re.findall(r"(?m)^([\w-]+):\s*(.*)$", block))
                if "deb" in fields.get("Types", "").split() and fields.get("Enabled", "yes").lower() != "no":
                    for uri in fields.get("URIs", "").split():
                        for suite in fields.get("Suites", "").split():
                            yield uri, suite, fields.get("Components", "").split()


def mirrors():
    """(main, security or None): where this machine gets Debian from."""
    main = security = None
    for uri, suite, components in _stanzas():
        if "main" not in components:
            continue
        if re.fullmatch(r"[a-z]+", suite) and suite in ("bookworm", "trixie", "stable", "forky", "testing", "sid", "unstable"):
            main = main or uri
        elif re.fullmatch(r"[a-z]+-security", suite):
            security = security or uri
    if not main:
        raise LabError("no Debian archive among this machine's apt sources (/etc/apt/sources.list, sources.list.d): the lab's kernels "
                       "and its base image come from Debian packages")
    return main, security


def sources(suite):
    """Text of a sources.list for one Debian release on this machine's mirrors."""
    main, security = mirrors()
    lines = [f"deb [signed-by={KEYRING}] {main} {suite} main", f"deb [signed-by={KEYRING}] {main} {suite}-updates main"]
    if security:
        lines.append(f"deb [signed-by={KEYRING}] {security} {suite}-security main")
    return "\n".join(lines) + "\n"


class Apt:
    """apt-get with its own lists, for one Debian release. No root needed."""

    def __init__(self, suite, directory):
        self.dir = Path(directory)
        for d in ("etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d", "etc/trusted.gpg.d", "lists/partial",
                  "cache/archives/partial", "dpkg"):
            (self.dir / d).mkdir(parents=True, exist_ok=True)
        (self.dir / "etc" / "sources.list").write_text(sources(suite))
        (self.dir / "dpkg" / "status").touch()
        # The machine's own settings, such as a proxy, come first; then ours.
        config = "".join(p.read_text(errors="replace") + "\n" for p in sorted(Path("/etc/apt/apt.conf.d").glob("*"))
                         if p.is_file() and "Invoke" not in p.read_text(errors="replace"))
        config += (f'Dir::Etc "{self.dir}/etc";\nDir::State "{self.dir}";\nDir::State::Lists "{self.dir}/lists";\n'
                   f'Dir::State::status "{self.dir}/dpkg/status";\nDir::Cache "{self.dir}/cache";\n'
                   f'APT::Architecture "{ARCH}";\nAPT::Sandbox::User "root";\nAcquire::Languages "none";\n'
                   f'Dir::Log "{self.dir}";\n')
        (self.dir / "apt.conf").write_text(config)

    def _run(self, *argv, cwd=None):
        run = subprocess.run(argv, cwd=cwd, env={**os.environ, "APT_CONFIG": str(self.dir / "apt.conf"), "LC_ALL": "C"},
                             stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if run.returncode:
            raise LabError(f"{' '.join(argv)} failed: {run.stderr.strip()}")
        return run.stdout

    def update(self):
        self._run("apt-get", "-q", "update")

    def depends(self, package):
        found = re.search(r"(?m)^\s*Depends: (linux-image-\S+)", self._run("apt-cache", "depends", package))
        if not found:
            raise LabError(f"the Debian package {package} names no kernel")
        return found[1]

    def fetch(self, package, into):
        """Downloads a package and unpacks it into a directory. Returns its version."""
        self._run("apt-get", "-q", "download", package, cwd=into)
        deb = next(Path(into).glob(f"{package}_*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(deb), str(into)], check=True)
        version = self._run("dpkg-deb", "-f", str(deb), "Version").strip()
        deb.unlink()
        return version


def kernel(series):
    """A directory with the newest Debian cloud kernel of a series: vmlinuz, modules/VERSION/… (plain .ko), version."""
    if series not in KERNEL_SUITES:
        raise LabError(f"kernel {series}: not among those the lab knows ({', '.join(KERNEL_SUITES)})")
    suite = KERNEL_SUITES[series]

    def make(out):
        with step(f"fetching Debian's kernel {series}"):
            work = out / "work"
            tree = out / "tree"
            work.mkdir()
            tree.mkdir()
            apt = Apt(suite, work)
            apt.update()
            package = apt.depends(f"linux-image-cloud-{ARCH}")
            version = apt.fetch(package, tree)
            image = next((tree / "boot").glob("vmlinuz-*"))
            release = image.name.removeprefix("vmlinuz-")
            if not release.startswith(series + "."):
                raise LabError(f"{package} {version} is not of the series {series}")
            os.rename(image, out / "vmlinuz")
            modules = next(p for p in (tree / "lib/modules", tree / "usr/lib/modules") if p.is_dir())
            os.rename(modules, out / "modules")
            (out / "version").write_text(f"{package} {version}\n")
            (out / "release").write_text(release + "\n")
            shutil.rmtree(work)
            shutil.rmtree(tree)

    return cache.entry(f"kernel-{series}", cache.digest("1", ARCH, suite), make)


def busybox():
    """Path of a static busybox."""
    def make(out):
        with step("fetching Debian's busybox"):
            apt = Apt("bookworm", out / "work")
            apt.update()
            (out / "tree").mkdir()
            (out / "version").write_text(apt.fetch("busybox-static", out / "tree") + "\n")
            found = next(p for p in (out / "tree/bin/busybox", out / "tree/usr/bin/busybox") if p.exists())
            os.rename(found, out / "busybox")
            shutil.rmtree(out / "work")
            shutil.rmtree(out / "tree")

    return cache.entry("busybox", cache.digest("1", ARCH), make) / "busybox"
