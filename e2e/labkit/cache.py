"""What is expensive to make is made once and kept: Go binaries, kernels, disk images, saved machines.

Each entry is a directory `<kind>-<key>` below the cache's root, where the key is a hash of everything that the entry was
made from. So nothing is ever out of date, a fresh clone finds what another one built, and an entry never changes once it is
there. Making happens beside the final name and under a lock: a run that is killed leaves nothing that looks finished.
"""
import fcntl
import hashlib
import os
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

from .ui import say

UNUSED_DAYS = 14


def root():
    base = os.environ.get("HAUBERK_CACHE")
    if not base:
        base = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "hauberk")
    path = Path(base).absolute()
    path.mkdir(parents=True, exist_ok=True)
    return path


def digest(*parts):
    """A short hash of strings, bytes, files and directories (by content, names and modes; never by time)."""
    h = hashlib.sha256()

    def feed(part):
        if isinstance(part, Path):
            if part.is_symlink():
                h.update(b"l" + os.readlink(part).encode())
            elif part.is_dir():
                for child in sorted(part.iterdir()):
                    if child.name in ("__pycache__",):
                        continue
                    h.update(b"d" + child.name.encode() + b"\0")
                    feed(child)
            else:
                h.update(b"x" if os.access(part, os.X_OK) else b"f")
                with open(part, "rb") as f:
                    h.update(hashlib.file_digest(f, "sha256").digest())
        else:
            data = part if isinstance(part, bytes) else str(part).encode()
            h.update(b"s%d:" % len(data) + data)

    for p in parts:
        feed(p)
    return h.hexdigest()[:16]


@contextmanager
def lock(name, waiting=None):
    """Holds an exclusive lock between processes. It goes away with its holder, however that ends."""
    path = root() / "locks"
    path.mkdir(exist_ok=True)
    with open(path / name, "w") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(waiting or f"another run is making {name}: waiting for it")
            fcntl.flock(f, fcntl.LOCK_EX)
        yield


def entry(kind, key, make):
    """Returns the entry's directory. Where it is missing, make(directory) fills a new one first."""
    final = root() / f"{kind}-{key}"
    if not final.exists():
        with lock(final.name):
            if not final.exists():
                making = root() / f".making-{final.name}"
                shutil.rmtree(making, ignore_errors=True)   # of a run that was killed: we hold its lock
                making.mkdir()
                try:
                    make(making)
                    os.rename(making, final)
                except BaseException:
                    shutil.rmtree(making, ignore_errors=True)
                    raise
                _prune(kind, final)
    os.utime(final)
    return final


def _prune(kind, keep):
    """Drops entries of this kind that nothing has asked for in two weeks."""
    oldest = time.time() - UNUSED_DAYS * 86400
    for other in root().glob(f"{kind}-*"):
        if other != keep and other.stat().st_mtime < oldest:
            say(f"dropping {other.name} from the cache: unused for {UNUSED_DAYS} days")
            shutil.rmtree(other, ignore_errors=True)
