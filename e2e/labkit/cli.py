"""The command line: `e2e/lab COMMAND`. Parses, calls api.Lab, prints."""
import argparse
import os
import subprocess
import sys

from . import nodes
from .api import Lab
from .ui import LabError

DESCRIPTION = """A real Kubernetes cluster on this machine, to try Hauberk on: the real control plane on the host, and
nodes that are QEMU machines with an AppArmor kernel, a real kubelet, containerd and runc."""

EPILOG = """examples:
  e2e/lab up                            two nodes, kernels 6.1 and 6.12
  e2e/lab kubectl get nodes
  e2e/lab exec node-1 -- cat /sys/kernel/security/apparmor/profiles
  e2e/lab up --nodes 2 --bare 3         three more nodes that hold nothing but the agent
  e2e/lab up --bare 1 --node-option bare-1:append=apparmor=0
  e2e/lab kill controller               and later: e2e/lab start controller
  e2e/lab down"""


def parser():
    p = argparse.ArgumentParser(prog="e2e/lab", description=DESCRIPTION, epilog=EPILOG,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--dir", help="the lab's directory (default: $HAUBERK_LAB_DIR, else build/lab of the repository); "
                                      "several labs can run, each in its own")
    sub = p.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name, run, text, **kw):
        c = sub.add_parser(name, parents=[common], help=text, description=text, **kw)
        c.set_defaults(run=run)
        return c

    c = command("up", up, "start what is not running; ends with KUBECONFIG=PATH")
    c.add_argument("--nodes", type=int, default=2, metavar="N", help="nodes with a real kubelet (default 2)")
    c.add_argument("--bare", type=int, default=0, metavar="N", help="nodes that run the agent alone and boot in 2 s (default 0)")
    c.add_argument("--kernels", default=",".join(nodes.KERNELS), metavar="LIST",
                   help="kernel series; nodes take them in turn (default %(default)s)")
    c.add_argument("--node-option", action="append", default=[], metavar="NODE:KEY=VALUE",
                   help="an odd node: append=TEXT (more kernel command line, such as apparmor=0), kernel=SERIES, memory=MB")
    c.add_argument("--controller-arg", action="append", default=[], metavar="ARG", help="one more argument for hauberk-controller, as --controller-arg=--name=value")
    c.add_argument("--no-hauberk", action="store_true", help="the cluster alone: no CRDs, no controller, no agents")

    c = command("exec", execute, "run a command on a node: its output and its exit code come back")
    c.add_argument("node")
    c.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND...")

    for name, run, text in (
            ("kill", kill, "SIGKILL to controller, apiserver or another process; power off a node. It stays down"),
            ("start", start, "start again what `kill` ended; a node boots from its disk as after a power loss"),
            ("pause", pause, "stop a node's processors"),
            ("resume", resume, "let a paused node run on")):
        c = command(name, run, text)
        c.add_argument("name", metavar="controller|apiserver|NODE" if name in ("kill", "start") else "NODE")

    c = command("logs", logs, "print a process's log, or a node's console")
    c.add_argument("name", metavar="controller|apiserver|NODE")
    c.add_argument("-f", "--follow", action="store_true", help="go on printing as it grows")

    c = command("kubectl", kubectl, "kubectl with the lab's credentials", add_help=False)
    c.add_argument("argv", nargs=argparse.REMAINDER, metavar="ARGS...")

    c = command("profiles", profiles, "what a node's kernel holds: name, mode and hash of each AppArmor profile")
    c.add_argument("node")
    command("status", status, "processes of the lab")
    command("down", down, "end every process of the lab; its logs stay")
    return p


def node_options(texts):
    options = {}
    for text in texts:
        node, colon, pair = text.partition(":")
        key, equals, value = pair.partition("=")
        if not colon or not equals or key not in nodes.OPTIONS:
            raise LabError(f"--node-option {text}: not of the form NODE:KEY=VALUE with KEY one of {', '.join(nodes.OPTIONS)}")
        options.setdefault(node, {})[key] = value
    return options


def up(lab, a):
    lab.up(a.nodes, a.bare, [k for k in a.kernels.split(",") if k], node_options(a.node_option),
           hauberk=not a.no_hauberk, controller_args=a.controller_arg)
    print(f"KUBECONFIG={lab.kubeconfig}")


def _after_dashes(argv):
    return argv[1:] if argv[:1] == ["--"] else argv


def execute(lab, a):
    argv = _after_dashes(a.argv)
    if not argv:
        raise LabError("exec: no command given: e2e/lab exec NODE -- COMMAND...")
    lab.state.need_node(a.node)
    return nodes.guest(lab.state, a.node).stream(argv)


def kill(lab, a):
    lab.kill(a.name)


def start(lab, a):
    lab.start(a.name)


def pause(lab, a):
    lab.pause(a.name)


def resume(lab, a):
    lab.resume(a.name)


def logs(lab, a):
    path = lab.log_path(a.name)
    sys.stdout.flush()
    return subprocess.call(["tail", "-n", "+1", *(["-F"] if a.follow else []), str(path)])


def kubectl(lab, a):
    if not lab.kubeconfig.exists():
        raise LabError(f"no lab runs in {lab.state.dir}: start one with `e2e/lab up`")
    argv, env = lab.kubectl_command(*_after_dashes(a.argv))
    os.execve(argv[0], argv, env)


def profiles(lab, a):
    for name, p in sorted(lab.profiles(a.node).items()):
        print(f"{name}\t{p['mode']}\t{p['sha'] or '-'}")


def status(lab, _):
    for name, s in lab.status().items():
        print(f"{name}\t{'running, pid ' + str(s['pid']) if s['pid'] else 'down, exit code ' + str(s['exit'])}"
              + (f"\tstarted again {s['restarts']} times" if s["restarts"] else ""))


def down(lab, _):
    lab.down()


def main(argv=None):
    argv = sys.argv[1:] if argv is None else argv
    # kubectl takes what follows as it is, --help and options of the same name included; only a --dir in front is ours.
    if argv[:1] == ["kubectl"]:
        ours = 3 if argv[1:2] == ["--dir"] else 2 if argv[1:2] and argv[1].startswith("--dir=") else 1
        argv = [*argv[:ours], "--", *argv[ours:]]
    a = parser().parse_args(argv)
    try:
        return a.run(Lab(a.dir), a) or 0
    except LabError as e:
        print(f"lab: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; what this command had started is ended", file=sys.stderr)
        return 130
    except BrokenPipeError:
        return 141
