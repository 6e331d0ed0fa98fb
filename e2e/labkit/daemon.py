"""The caller's side of supervisor.py: find the lab's daemon, start it, talk to it."""
import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from .ui import LabError


def alive(directory):
    """Whether a supervisor runs in this directory. Its lock tells, because the kernel drops it with the process."""
    try:
        with open(Path(directory) / "supervisor.lock", "r+") as f:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True


class Daemon:
    """One connection. What was started over it and not committed ends with it."""

    def __init__(self, directory, spawn=False):
        self.directory = Path(directory)
        self.lock = threading.Lock()     # nodes start in threads
        if spawn and not alive(directory):
            log = self.directory / "logs" / "supervisor.log"
            with open(log, "ab") as out:
                run = subprocess.run([sys.executable, "-m", "labkit.supervisor", str(self.directory)], check=False,
                                     cwd=Path(__file__).resolve().parent.parent, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                     start_new_session=True)
            if run.returncode:
                raise LabError(f"the lab's supervisor did not start: {log} says why")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Through /proc, because a socket's address has room for 107 bytes only and a path can be longer.
        try:
            fd = os.open(self.directory, os.O_PATH | os.O_DIRECTORY)
            try:
                self.sock.connect(f"/proc/self/fd/{fd}/supervisor.sock")
            finally:
                os.close(fd)
        except OSError as e:
            raise LabError(f"no lab runs in {self.directory}: start one with `e2e/lab up`") from e
        self.reader = self.sock.makefile("rb")

    def call(self, op, **fields):
        try:
            with self.lock:
                self.sock.sendall(json.dumps({"op": op, **fields}).encode() + b"\n")
                line = self.reader.readline()
        except OSError as e:
            raise LabError(f"the lab's supervisor went away: {e}") from e
        if not line:
            if op == "shutdown":
                return {"ok": True}
            raise LabError("the lab's supervisor went away in the middle of a request")
        answer = json.loads(line)
        if not answer["ok"]:
            raise LabError(answer["error"])
        return answer

    def start(self, name, argv=None, env=None, restart=False, term=False):
        fields = {"name": name, "provisional": True}
        if argv is not None:
            fields |= {"argv": [str(a) for a in argv], "env": env, "restart": restart, "term": term,
                       "log": str(self.directory / "logs" / f"{name}.log")}
        return self.call("start", **fields)

    def status(self):
        return self.call("status")["children"]

    def running(self, name):
        return (self.status().get(name) or {}).get("pid") is not None

    def close(self):
        self.reader.close()
        self.sock.close()
