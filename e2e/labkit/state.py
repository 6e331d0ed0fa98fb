"""A lab's directory: where things lie in it, what is remembered between commands, which ports are its own."""
import fcntl
import json
import os
import socket
from contextlib import contextmanager
from pathlib import Path

from .ui import LabError, say

REPO = Path(__file__).resolve().parent.parent.parent
DEFAULT_DIR = REPO / "build" / "lab"
CONTROLLER_PORT = 8443      # what config/lab tells the agents


class State:
    """Paths, and lab.json: ports and nodes of this lab. Read again at each command, written whole."""

    def __init__(self, directory):
        self.dir = Path(directory).absolute()
        self.logs = self.dir / "logs"
        self.pki = self.dir / "pki"
        self.nodes_dir = self.dir / "nodes"
        self.kubeconfig = self.dir / "kubeconfig"
        self.audit_log = self.dir / "audit.log"
        self.controller_dir = self.dir / "controller"
        self.file = self.dir / "lab.json"
        self.ports = {}
        self.nodes = {}
        self.read()

    def read(self):
        try:
            data = json.loads(self.file.read_text())
        except FileNotFoundError:
            return
        self.ports, self.nodes = data["ports"], data["nodes"]

    def make(self):
        for d in (self.dir, self.logs, self.pki, self.nodes_dir, self.controller_dir):
            d.mkdir(parents=True, exist_ok=True)
        os.chmod(self.pki, 0o700)

    def write(self):
        temp = self.file.with_suffix(".new")
        temp.write_text(json.dumps({"ports": self.ports, "nodes": self.nodes}, indent=2) + "\n")
        os.replace(temp, self.file)

    def port(self, name, prefer=None):
        """The lab's port by that name: chosen free at its first use, the same for the lab's life."""
        if name not in self.ports:
            self.ports[name] = free_port(set(self.ports.values()), prefer)
            self.write()
        return self.ports[name]

    def node_dir(self, name):
        return self.nodes_dir / name

    def need_node(self, name):
        if name not in self.nodes:
            known = ", ".join(sorted(self.nodes)) or "none"
            raise LabError(f"there is no node {name} in this lab (nodes: {known})")
        return self.nodes[name]


def free_port(taken, prefer=None):
    for wanted in ([prefer] if prefer else []) + [0] * 20:
        with socket.socket() as s:
            # As the servers themselves do: a port whose last connections linger is free.
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            port = s.getsockname()[1]
        if port not in taken:
            return port
    raise LabError("no free port on 127.0.0.1")


@contextmanager
def exclusive(state):
    """One command at a time changes a lab."""
    state.dir.mkdir(parents=True, exist_ok=True)
    with open(state.dir / "lock", "w") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another command changes this lab: waiting for it")
            fcntl.flock(f, fcntl.LOCK_EX)
        state.read()
        yield
