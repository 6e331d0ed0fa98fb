"""class Lab: everything that a lab can do. The command line and the tests are both thin callers of it.

    lab = Lab("/tmp/x")
    lab.up(nodes=2, tie=True)            # tie: the lab ends with this process, however that ends
    lab.kubectl("get", "nodes").stdout
    lab.exec("node-1", "cat", "/proc/version").stdout
    lab.profiles("node-1")["webapp"]     # {"mode": "enforce", "sha": "…"}: what that kernel says
    lab.kill("controller"); lab.start("controller")
    lab.down()
"""
import os
import shutil
import subprocess

from . import controller, controlplane, daemon, gobuild, nodes
from .controlplane import tail_of
from .kubeapi import Api
from .state import DEFAULT_DIR, State, exclusive
from .ui import LabError, say, wait_until


class Lab:
    def __init__(self, directory=None):
        self.state = State(directory or os.environ.get("HAUBERK_LAB_DIR") or DEFAULT_DIR)
        self._tied = None

    # -- paths and clients ---------------------------------------------------------------------------------------------

    @property
    def kubeconfig(self):
        return self.state.kubeconfig

    @property
    def audit_log(self):
        """One JSON object a line, one line a request that the API server answered."""
        return self.state.audit_log

    @property
    def token_signing_key(self):
        """The private key (PEM) that signs this cluster's service account tokens."""
        return self.state.pki / "sa.key"

    @property
    def controller_url(self):
        """The controller's loopback listener: what `kubectl hauberk --controller` takes."""
        self.state.read()
        return f"http://127.0.0.1:{self.state.port('controller-view')}"

    @property
    def controller_address(self):
        """HOST:PORT on this host where the controller serves the agents; nodes reach the same port at 10.0.2.2."""
        self.state.read()
        return f"127.0.0.1:{self.state.port('controller')}"

    def api(self):
        return Api(self.state)

    def nodes(self):
        self.state.read()
        return dict(self.state.nodes)

    def is_up(self):
        return daemon.alive(self.state.dir)

    def _daemon(self):
        self.state.read()
        return daemon.Daemon(self.state.dir)

    # -- life ------------------------------------------------------------------------------------------------------------

    def up(self, nodes_wanted=2, bare=0, kernels=None, options=None, hauberk=True, tie=False, controller_args=(),
           without_controllers=()):
        """Starts what is not running. Whatever ends this call early ends what it had started, too.

        `without_controllers`: of Kubernetes' own, such as node-lifecycle-controller; read when the control plane starts."""
        state = self.state
        with exclusive(state):
            if not self.is_up():
                self._wipe()
            state.make()
            plan = nodes.plan(state, nodes_wanted, bare, kernels or nodes.KERNELS, options or {})
            without = set() if hauberk else {"controller", "agent"}
            without |= {w for w in os.environ.get("HAUBERK_LAB_WITHOUT", "").split(",") if w}
            if hauberk:
                controller.check_built(without, plan)
            gobuild.binaries("controlplane")
            gobuild.kubectl()
            built, agent_image = nodes.build(state, plan, "agent" not in without)
            controlplane.prepare(state, without_controllers)
            d = daemon.Daemon(state.dir, spawn=True)
            try:
                controlplane.start(state, d)
                nodes.start_all(state, d, plan, built, agent_image, "agent" not in without,
                                lambda: hauberk and controller.install(self, d, without, controller_args))
                if plan and "agent" not in without:
                    nodes.wait_agents(state)
                d.call("tie" if tie else "commit")
                if tie:
                    self._tied = d
            finally:
                if self._tied is not d:
                    d.close()
        return self

    def down(self):
        with exclusive(self.state):
            if self.is_up():
                d = self._daemon()
                d.call("shutdown")
                d.close()
                wait_until(lambda: not self.is_up(), 10, "the supervisor to end")
                say("all processes of the lab have ended")
            else:
                say("no lab runs here")
            if self._tied:
                self._tied.close()
                self._tied = None
            # Logs and the audit log stay for whoever asks what happened; the next `up` starts from nothing.
            for path in self.state.dir.glob("*"):
                if path.name not in ("lock", "logs", "audit.log", "nodes"):
                    _remove(path)
            for path in self.state.nodes_dir.glob("*/*"):
                if path.name != "console":
                    _remove(path)
            self.state.ports, self.state.nodes = {}, {}

    def _wipe(self):
        if self.state.file.exists():
            say("cleaning up after a lab that did not end with `down`")
        for path in self.state.dir.glob("*"):
            if path.name != "lock":
                _remove(path)
        self.state.ports, self.state.nodes = {}, {}

    # -- processes -------------------------------------------------------------------------------------------------------

    def kill(self, name):
        """SIGKILL (a node: power off). It stays down until start()."""
        with exclusive(self.state):
            d = self._daemon()
            if name in self.state.nodes:
                nodes.power_off(self.state, d, name)
            else:
                self._need_process(d, name)
                d.call("kill", name=name)
            d.close()

    def stop(self, name, grace_s=10):
        """SIGTERM and the time to end in order, then SIGKILL. Stays down until start()."""
        with exclusive(self.state):
            d = self._daemon()
            self._need_process(d, name)
            answer = d.call("kill", name=name, signal=15, grace=grace_s)
            d.close()
            return answer.get("exit")

    def start(self, name, controller_args=None):
        with exclusive(self.state):
            d = self._daemon()
            if name in self.state.nodes:
                nodes.boot(self.state, d, name)
            elif name in controlplane.PARTS:
                controlplane.start_part(self.state, d, name)
            elif name == "controller":
                controller.start(self.state, d, controller_args)
            else:
                self._need_process(d, name)
                d.start(name)
            d.call("commit")
            d.close()

    def status(self):
        """{process: {"pid", "exit", "restarts"}}"""
        d = self._daemon()
        try:
            return d.status()
        finally:
            d.close()

    def _need_process(self, d, name):
        known = d.status()
        if name not in known:
            raise LabError(f"there is nothing named {name} in this lab (there are: {', '.join(sorted(known))})")

    def log_path(self, name):
        if name in self.nodes():
            return self.state.node_dir(name) / "console"
        path = self.state.logs / f"{name}.log"
        if not path.exists():
            known = sorted(p.stem for p in self.state.logs.glob("*.log"))
            raise LabError(f"there is no log of {name} (logs: {', '.join(known + sorted(self.state.nodes)) or 'none'})")
        return path

    def logs(self, name, lines=None):
        path = self.log_path(name)
        return path.read_text(errors="replace") if lines is None else tail_of(path, lines)

    # -- cluster ---------------------------------------------------------------------------------------------------------

    def kubectl_command(self, *args):
        """(argv, environment) of a kubectl with the lab's credentials; finds the plugin `kubectl hauberk` too."""
        path = os.pathsep.join([str(controller.bin_dir()), os.environ.get("PATH", "")])
        env = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path, "HAUBERK_CONTROLLER": self.controller_url}
        return [str(gobuild.kubectl()), *args], env

    def kubectl(self, *args, stdin=None, check=True, timeout=120):
        argv, env = self.kubectl_command(*args)
        feed = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        run = subprocess.run(argv, env=env, **feed, capture_output=True, text=True, timeout=timeout, check=False)
        if check and run.returncode:
            raise LabError(f"kubectl {' '.join(args)}: exit code {run.returncode}: {run.stderr.strip()}")
        return run

    def apply(self, text, *args):
        return self.kubectl("apply", *args, "-f", "-", stdin=text)

    # -- nodes -----------------------------------------------------------------------------------------------------------

    def exec(self, node, *argv, stdin=b"", check=True, timeout=60):
        """Runs a command as root on a node: a CompletedProcess with str stdout and stderr."""
        self.state.read()
        self.state.need_node(node)
        run = nodes.guest(self.state, node).run(argv, stdin=stdin, timeout=timeout)
        if check and run.returncode:
            raise LabError(f"{node}: {' '.join(argv)}: exit code {run.returncode}: {run.stderr.strip() or run.stdout.strip()}")
        return run

    def profiles(self, node):
        """{name: {"mode", "sha"}}: top-level profiles of the node's kernel and, named a//b, their children."""
        self.state.read()
        self.state.need_node(node)
        return nodes.profiles(self.state, node)

    def pause(self, node):
        """Stops the node's processors: it is silent, and its connections stay open."""
        self.state.need_node(node)
        nodes.monitor(self.state, node, "stop")

    def resume(self, node):
        self.state.need_node(node)
        nodes.monitor(self.state, node, "cont")


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
