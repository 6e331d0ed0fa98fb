"""Commands inside a node: the host's side of guest/guestd.c, over virtio serial ports, so no network is needed."""
import fcntl
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from .ui import LabError

PORTS = 6            # commands at a time
MAX_PAYLOAD = 32768
HELLO_S = 3          # for the answer to a hello, which takes some milliseconds
_HEADER = struct.Struct("<IcI")


def qemu_args(directory):
    """The ports, as QEMU is told of them. Paths are relative to the node's directory: a socket's name is short."""
    args = ["-device", "virtio-serial-pci,id=exec"]
    for i in range(PORTS):
        args += ["-chardev", f"socket,id=exec{i},path=exec.{i},server=on,wait=off",
                 "-device", f"virtserialport,bus=exec.0,chardev=exec{i},name=exec.{i}"]
    return args


class GuestTimeout(LabError):
    pass


class Guest:
    def __init__(self, name, directory):
        self.name, self.dir = name, Path(directory)

    @contextmanager
    def _port(self, session, deadline):
        """A free port of this node, connected, and answering. Other processes see by its lock that it is taken."""
        while True:
            for i in range(PORTS):
                with open(self.dir / f"exec.{i}.lock", "w") as lock:
                    try:
                        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        continue
                    with self._answering(f"exec.{i}", session, deadline) as s:
                        yield s
                    return
            if time.monotonic() > deadline:
                raise GuestTimeout(f"{self.name}: {PORTS} commands run there already")
            time.sleep(0.02)

    def _answering(self, name, session, deadline):
        """QEMU stops passing on what a port of the node says when the node has spoken to somebody who had just gone, and goes on after the
        next one has gone, too. So who is not answered at first hangs up and tries again."""
        while True:
            s = connect(self.dir, name, self.name)
            try:
                s.settimeout(HELLO_S)
                s.sendall(_HEADER.pack(session, b"P", 0))
                buf = b""
                while _HEADER.pack(session, b"P", 0) not in buf:
                    part = s.recv(65536)
                    if not part:
                        raise LabError(f"{self.name}: the machine went away")
                    buf = buf[-_HEADER.size:] + part
                return s
            except TimeoutError:
                s.close()
                if time.monotonic() > deadline:
                    raise GuestTimeout(f"{self.name}: nothing in it answers") from None
            except BaseException:
                s.close()
                raise

    def run(self, argv, stdin=b"", timeout=60, text=True):
        """A CompletedProcess. GuestTimeout where the node says nothing for so long; its command is killed then."""
        out, err = [], []
        code = self.converse(argv, stdin, out.append, err.append, timeout)
        out, err = b"".join(out), b"".join(err)
        if text:
            out, err = out.decode(errors="replace"), err.decode(errors="replace")
        return subprocess.CompletedProcess(argv, code, out, err)

    def shell(self, script, stdin=b"", timeout=60):
        run = self.run(["/bin/sh", "-c", script], stdin, timeout)
        if run.returncode:
            raise LabError(f"{self.name}: `{script}` ended with {run.returncode}: {run.stderr.strip()}")
        return run.stdout

    def stream(self, argv):
        """As run(), with this process's own standard output and error, and its input unless that is a terminal."""
        def writer(f):
            def write(data):
                f.write(data)
                f.flush()
            return write
        source = None if sys.stdin is None or sys.stdin.isatty() else sys.stdin.buffer
        return self.converse(argv, source, writer(sys.stdout.buffer), writer(sys.stderr.buffer), None)

    def answers(self, timeout):
        """Whether the node runs a command within the time."""
        try:
            return self.run(["/bin/true"], timeout=timeout).returncode == 0
        except (LabError, OSError):
            return False

    def converse(self, argv, stdin, on_out, on_err, timeout):
        deadline = time.monotonic() + timeout if timeout is not None else float("inf")
        session = int.from_bytes(os.urandom(4), "little")

        def frame(kind, payload=b""):
            return _HEADER.pack(session, kind, len(payload)) + payload

        with self._port(session, min(deadline, time.monotonic() + 30)) as s:
            command = b"".join(str(a).encode() + b"\0" for a in argv)
            if len(command) > MAX_PAYLOAD:
                raise LabError(f"{self.name}: a command of {len(command)} bytes is too long; put the data on its standard input")
            s.sendall(frame(b"R", command))
            threading.Thread(target=self._feed, args=(s, stdin, frame), daemon=True).start()
            buf, heard = b"", 0
            while True:
                left = deadline - time.monotonic()
                s.settimeout(None if left == float("inf") else max(0.001, left))
                try:
                    if left <= 0:
                        raise TimeoutError
                    data = s.recv(65536)
                except TimeoutError:
                    raise GuestTimeout(f"{self.name}: `{' '.join(map(str, argv))}` did not end within {timeout} s, and has said {heard} bytes") from None
                if not data:
                    raise LabError(f"{self.name}: the machine went away")
                buf += data
                heard += len(data)
                while len(buf) >= _HEADER.size:
                    got, kind, size = _HEADER.unpack_from(buf)
                    if len(buf) < _HEADER.size + size:
                        break
                    payload, buf = buf[_HEADER.size:_HEADER.size + size], buf[_HEADER.size + size:]
                    if got != session:
                        continue     # of the command before ours on this port
                    if kind == b"O":
                        on_out(payload)
                    elif kind == b"E":
                        on_err(payload)
                    elif kind == b"X":
                        return struct.unpack("<I", payload)[0]

    @staticmethod
    def _feed(s, stdin, frame):
        try:
            if stdin is not None and hasattr(stdin, "read1"):
                while data := stdin.read1(MAX_PAYLOAD):
                    s.sendall(frame(b"I", data))
            elif stdin:
                for at in range(0, len(stdin), MAX_PAYLOAD):
                    s.sendall(frame(b"I", stdin[at:at + MAX_PAYLOAD]))
            s.sendall(frame(b"C"))
        except OSError:
            pass     # the command ended before it had read all


def connect(directory, name, who):
    """A socket in a node's directory, through /proc because a socket's path has room for 107 bytes only."""
    s = socket.socket(socket.AF_UNIX)
    try:
        fd = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            s.connect(f"/proc/self/fd/{fd}/{name}")
        finally:
            os.close(fd)
    except OSError as e:
        s.close()
        raise LabError(f"{who}: the machine does not run") from e
    return s


def monitor(directory, who, *commands, timeout=120):
    """Gives commands to a node's QEMU monitor, each after the answer to the one before; returns the answers."""
    answers = []
    with connect(directory, "monitor", who) as s:
        s.settimeout(timeout)

        def until_prompt():
            got = b""
            while not got.endswith(b"(qemu) "):
                part = s.recv(65536)
                if not part:
                    break
                got += part
            return got.decode(errors="replace")

        until_prompt()
        for command in commands:
            s.sendall(command.encode() + b"\n")
            answers.append(until_prompt())
    return answers
