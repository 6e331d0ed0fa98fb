"""The lab's one daemon: parent of every process of a lab, so that none can be left behind.

Why a daemon: `up` ends, the cluster goes on, and something must start the controller again when it exits. Each child carries
PR_SET_PDEATHSIG, so the kernel kills it when this process ends, however it ends.

The story of one `up`: it connects, starts children over the connection, and says `commit` when the cluster stands. Until
then the children are provisional: they end with the connection, so Ctrl-C, a failure or SIGKILL of `up` leave nothing behind.

Requests and answers are JSON lines on DIR/supervisor.sock:
  start    {name, argv, env?, log, restart?, term?}  or {name} alone: start again what is known by that name
  kill     {name, signal?}     answered when the process is gone; it stays down
  status   {}
  commit   {}
  tie      {}                  as commit, but the whole lab ends when this connection does
  shutdown {}                  ends all children, last started first, then itself
"""
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
TERM_GRACE_S = 5
_prctl = ctypes.CDLL(None, use_errno=True).prctl


class Child:
    def __init__(self, name):
        self.name, self.argv, self.env, self.log = name, None, {}, "/dev/null"
        self.restart = False     # start again when it exits by itself
        self.term = False        # give it SIGTERM and a moment before SIGKILL
        self.proc = None
        self.exit, self.restarts, self.started = None, 0, 0.0
        self.again_at = None     # monotonic time of the next start
        self.kill_at = None      # monotonic time of SIGKILL, after SIGTERM
        self.owner = None        # the connection that it ends with, until commit
        self.waiting = []        # connections that wait for its end

    def running(self):
        return self.proc is not None

    def spawn(self):
        def confine():
            _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])

        with open(self.log, "ab") as log:
            log.write(f"--- lab: start of {self.name}\n".encode())
            log.flush()
            self.proc = subprocess.Popen(self.argv, env={**os.environ, **self.env}, stdin=subprocess.DEVNULL, stdout=log,
                                         stderr=log, start_new_session=True, preexec_fn=confine, close_fds=True)
        self.started, self.exit, self.again_at, self.kill_at = time.monotonic(), None, None, None

    def signal(self, number):
        # A group of its own: what the child started goes with it.
        try:
            os.killpg(self.proc.pid, number)
        except ProcessLookupError:
            pass

    def status(self):
        return {"pid": self.proc.pid if self.proc else None, "exit": self.exit, "restarts": self.restarts}


class Supervisor:
    def __init__(self, directory, listener):
        self.directory, self.listener = directory, listener
        self.children = {}
        self.buffers = {}
        self.fresh = True        # nothing was ever committed: end with the last child
        self.tied = None         # the connection that the whole lab ends with
        self.closing = []        # connections that wait for our end
        self.selector = selectors.DefaultSelector()
        self.selector.register(listener, selectors.EVENT_READ, self.accept)
        wake_r, wake_w = os.pipe()
        os.set_blocking(wake_r, False)
        os.set_blocking(wake_w, False)
        signal.set_wakeup_fd(wake_w)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self.shutdown())
        self.selector.register(wake_r, selectors.EVENT_READ, lambda _: os.read(wake_r, 4096))
        self.ending = False

    def run(self):
        while not (self.ending and not any(c.running() for c in self.children.values())):
            for key, _ in self.selector.select(self.next_timeout()):
                key.data(key.fileobj)
            self.reap()
            self.timers()
        for conn in self.closing:
            self.answer(conn, {"ok": True})

    def next_timeout(self):
        times = [t for c in self.children.values() for t in (c.again_at, c.kill_at) if t is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def timers(self):
        now = time.monotonic()
        for c in self.children.values():
            if c.again_at is not None and now >= c.again_at and not self.ending:
                c.restarts += 1
                c.spawn()
            if c.kill_at is not None and now >= c.kill_at:
                c.kill_at = None
                if c.running():
                    c.signal(signal.SIGKILL)

    def reap(self):
        by_pid = {c.proc.pid: c for c in self.children.values() if c.proc}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in by_pid:
                self.ended(by_pid[pid], os.waitstatus_to_exitcode(status))

    def ended(self, c, code):
        c.signal(signal.SIGKILL)     # whatever it left in its group
        c.proc.returncode = code     # ours to reap, not Popen's
        c.proc, c.exit, c.kill_at = None, code, None
        if c.waiting or self.ending or not c.restart:
            c.restart = False
            c.again_at = None
        else:
            # A kubelet starts again at once, then doubles its delay; a run of a minute clears it.
            lived = time.monotonic() - c.started
            c.restarts = 0 if lived > 60 else c.restarts
            c.again_at = time.monotonic() + min(10.0, 0.1 * 2 ** min(c.restarts, 7))
        for conn in c.waiting:
            self.answer(conn, {"ok": True, "exit": code})
        c.waiting = []

    def accept(self, listener):
        conn, _ = listener.accept()
        self.buffers[conn] = b""
        self.selector.register(conn, selectors.EVENT_READ, self.readable)

    def readable(self, conn):
        try:
            data = conn.recv(65536)
        except OSError:
            data = b""
        if not data:
            return self.disconnected(conn)
        self.buffers[conn] += data
        while conn in self.buffers and b"\n" in self.buffers[conn]:
            line, self.buffers[conn] = self.buffers[conn].split(b"\n", 1)
            try:
                self.request(conn, json.loads(line))
            except (OSError, KeyError, ValueError) as e:
                self.answer(conn, {"ok": False, "error": f"{type(e).__name__}: {e}"})

    def disconnected(self, conn):
        self.selector.unregister(conn)
        conn.close()
        self.buffers.pop(conn, None)
        for c in self.children.values():
            c.waiting = [w for w in c.waiting if w is not conn]
            if c.owner is conn:
                c.owner, c.restart, c.again_at = None, False, None
                if c.running():
                    c.signal(signal.SIGKILL)
        if self.fresh or conn is self.tied:
            self.shutdown()

    def answer(self, conn, message):
        try:
            conn.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass

    def request(self, conn, r):
        op, name = r["op"], r.get("name")
        c = self.children.get(name)
        if op == "start":
            if c is None:
                if "argv" not in r:
                    return self.answer(conn, {"ok": False, "error": f"nothing named {name} was ever started here"})
                c = self.children[name] = Child(name)
            if c.running():
                return self.answer(conn, {"ok": True, "already": True, **c.status()})
            if "argv" in r:
                c.argv, c.env, c.log = r["argv"], r.get("env") or {}, r["log"]
                c.wants_restart, c.term = bool(r.get("restart")), bool(r.get("term"))
            self.children[name] = self.children.pop(name)    # order of the last start
            c.restart, c.restarts = c.wants_restart, 0
            c.owner = conn if self.fresh or r.get("provisional") else None
            c.spawn()
            self.answer(conn, {"ok": True, **c.status()})
        elif op == "kill":
            if c is None or not c.running():
                if c is not None:
                    c.restart, c.again_at = False, None
                return self.answer(conn, {"ok": True, "already": True})
            c.waiting.append(conn)
            number = r.get("signal", signal.SIGKILL)
            c.signal(number)
            if number != signal.SIGKILL:
                c.signal(signal.SIGCONT)
                c.kill_at = time.monotonic() + r.get("grace", TERM_GRACE_S)
        elif op == "status":
            self.answer(conn, {"ok": True, "pid": os.getpid(), "children": {n: k.status() for n, k in self.children.items()}})
        elif op in ("commit", "tie"):
            self.fresh = False
            self.tied = conn if op == "tie" else self.tied
            for k in self.children.values():
                if k.owner is conn:
                    k.owner = None
            self.answer(conn, {"ok": True})
        elif op == "shutdown":
            self.closing.append(conn)
            self.shutdown()
        else:
            self.answer(conn, {"ok": False, "error": f"unknown request {op}"})

    def shutdown(self):
        if self.ending:
            return
        self.ending = True
        self.selector.unregister(self.listener)
        self.listener.close()
        try:
            os.unlink("supervisor.sock")
        except FileNotFoundError:
            pass
        for c in reversed(self.children.values()):
            c.restart, c.again_at = False, None
            if c.running():
                c.signal(signal.SIGTERM if c.term else signal.SIGKILL)
                c.kill_at = time.monotonic() + TERM_GRACE_S if c.term else None


def main(directory):
    # Relative, because a socket's address has room for 107 bytes only.
    os.chdir(directory)
    import fcntl
    lock = os.open("supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another supervisor runs in this directory", file=sys.stderr)
        return 1
    try:
        os.unlink("supervisor.sock")     # of one that was killed: we hold its lock
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind("supervisor.sock")
    os.chmod("supervisor.sock", 0o600)
    listener.listen(64)
    if os.fork():
        os._exit(0)                      # the caller waits for this: the socket is there
    os.setsid()
    _prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with open("supervisor.pid", "w") as f:
        f.write(f"{os.getpid()}\n")
    Supervisor(directory, listener).run()
    os.unlink("supervisor.pid")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
