"""hauberk-controller on this host, under its own service account, and the manifests that it and the agents need."""
import os
import shlex
import socket
import sys
import time
from pathlib import Path

from . import cache, certs
from .controlplane import tail_of
from .kubeapi import Api
from .state import CONTROLLER_PORT, REPO
from .ui import LabError, say, wait_until

NAMESPACE = "hauberk-system"
ACCOUNT = "hauberk-controller"
TOKEN_SECONDS = 3600
CRDS = ("apparmorprofiles.hauberk.dev", "apparmornodes.hauberk.dev")


def build_dir():
    return Path(os.environ.get("HAUBERK_BUILD") or REPO / "build" / "release").absolute()


def bin_dir():
    return build_dir() / "bin"


def check_built(without, plan):
    """Says early, before anything is started, that a program is missing."""
    needed = [] if "controller" in without else ["hauberk-controller", "hauberk-sandbox"]
    needed += ["hauberk-agent"] if plan and "agent" not in without else []
    missing = [n for n in needed if not (bin_dir() / n).exists()]
    if missing:
        raise LabError(f"{', '.join(missing)} not in {bin_dir()}: build first (`cmake --preset release && cmake --build --preset "
                       f"release`), name another build with HAUBERK_BUILD=DIR, start the cluster alone with --no-hauberk, or leave "
                       f"a part out with HAUBERK_LAB_WITHOUT=controller,agent")


def renew_token(state, api=None):
    """A token of the controller's service account, written whole, as a kubelet writes a projected one."""
    answer = (api or Api(state)).post(f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token", {
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": TOKEN_SECONDS}})
    path = state.controller_dir / "token"
    temp = path.with_suffix(".new")
    temp.write_text(answer["status"]["token"])
    temp.chmod(0o600)
    os.replace(temp, path)


def argv(state, extra=()):
    port, local = state.port("controller", CONTROLLER_PORT), state.port("controller-local")
    view = state.port("controller-view")
    return [bin_dir() / "hauberk-controller", "--kubeconfig", state.controller_dir / "kubeconfig", "--namespace", NAMESPACE,
            "--listen", f"127.0.0.1:{port}", "--local-listen", f"127.0.0.1:{local}", "--advertise", f"10.0.2.2:{port}",
            "--view-listen", f"127.0.0.1:{view}",
            "--max-connections-per-address", "0",  # all nodes, and all simulated agents, come from this host
            "--data-dir", state.controller_dir / "data", "--sandbox", bin_dir() / "hauberk-sandbox",
            *shlex.split(os.environ.get("HAUBERK_CONTROLLER_ARGS", "")), *extra]


def start(state, daemon, extra=None):
    """Starts the controller and waits until it serves. `extra` None: as it was started before."""
    version = cache.digest(*(p for p in (bin_dir() / "hauberk-controller", bin_dir() / "hauberk-sandbox") if p.exists()))
    built = state.controller_dir / "build"
    if daemon.running("controller"):
        if built.read_text() == version:
            return
        say("hauberk-controller was built anew: starting it again")
        daemon.call("kill", name="controller", signal=15, grace=10)
    built.write_text(version)
    file = state.controller_dir / "extra-args"
    if extra is None:
        extra = file.read_text().splitlines() if file.exists() else []
    file.write_text("".join(f"{a}\n" for a in extra))
    api = Api(state)
    renew_token(state, api)
    certs.kubeconfig(state.controller_dir / "kubeconfig", f"https://127.0.0.1:{state.port('apiserver')}", state.pki / "ca.crt",
                     {"tokenFile": state.controller_dir / "token"})
    (state.controller_dir / "data").mkdir(exist_ok=True)
    daemon.start("controller", argv(state, extra), restart=True, term=True)
    if not daemon.running("tokens"):
        daemon.start("tokens", [sys.executable, "-m", "labkit.tokens", state.dir], restart=True,
                     env={"PYTHONPATH": str(Path(__file__).resolve().parent.parent)})
    began = time.monotonic()

    def serving():
        child = daemon.status()["controller"]
        if child["pid"] is None and child["restarts"] >= 2:
            raise LabError(f"hauberk-controller ends again and again (exit code {child['exit']}); its last words:\n"
                           f"{tail_of(state.logs / 'controller.log')}")
        return child["pid"] and not free_to_bind(state.port("controller"))
    wait_until(serving, 30, f"hauberk-controller to listen (see {state.logs}/controller.log)")
    say(f"hauberk-controller serves after {time.monotonic() - began:.1f} s")


def free_to_bind(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) != 0


def install(lab, daemon, without, extra_args):
    """The project's own manifests, CRDs first, then config/lab, and the controller."""
    state = lab.state
    crds, config = REPO / "crds", REPO / "config" / "lab"
    for path in (crds, config):
        if not (path / "kustomization.yaml").exists():
            raise LabError(f"{path.relative_to(REPO)}/kustomization.yaml is missing; --no-hauberk starts the cluster alone")
    lab.kubectl("apply", "-k", str(crds))
    lab.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", *CRDS)
    lab.kubectl("apply", "-k", str(_overlay(state, config)))
    say("CRDs, rights and the agent's DaemonSet are in place")
    if "controller" not in without:
        start(state, daemon, list(extra_args) or None)


def _overlay(state, config):
    """config/lab itself, where this lab's controller has the port that it names; else the same with another port."""
    port = state.port("controller", CONTROLLER_PORT)
    if port == CONTROLLER_PORT:
        return config
    layer = state.dir / "config"
    layer.mkdir(exist_ok=True)
    for name in ("controller-address.yaml", "kustomization.yaml"):
        text = (config / name).read_text().replace(f":{CONTROLLER_PORT}", f":{port}")
        (layer / name).write_text(text.replace("../default", os.path.relpath(config.parent / "default", layer)))
    return layer
