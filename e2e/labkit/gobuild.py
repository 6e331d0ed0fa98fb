"""Kubernetes, containerd and runc, built from Go modules that go.sum pins."""
import os
import shutil
import subprocess
from pathlib import Path

from . import cache
from .ui import LabError, step

HERE = Path(__file__).resolve().parent.parent / "cluster"
KUBERNETES = "1.36.3"
CONTAINERD = "2.2.9"

_K8S_VERSION = "k8s.io/component-base/version"
_K8S_LDFLAGS = " ".join([
    f"-X {_K8S_VERSION}.gitVersion=v{KUBERNETES}",
    f"-X {_K8S_VERSION}.gitMajor={KUBERNETES.split('.')[0]}",
    f"-X {_K8S_VERSION}.gitMinor={KUBERNETES.split('.')[1]}",
])

# name: (module directory, packages, tags, extra ldflags, cgo, what to call it)
BUILDS = {
    "controlplane": ("kubernetes", ["./controlplane"], "", _K8S_LDFLAGS, False,
                     f"the control plane, Kubernetes {KUBERNETES} (4 minutes the first time on two cores)"),
    "kubectl": ("kubernetes", ["k8s.io/kubernetes/cmd/kubectl"], "", _K8S_LDFLAGS, False, f"kubectl {KUBERNETES}"),
    "node": ("kubernetes", ["./node"], "", _K8S_LDFLAGS, False, f"the kubelet {KUBERNETES}"),
    "containerd": ("containerd", [
        "github.com/containerd/containerd/v2/cmd/containerd",
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        "github.com/containerd/containerd/v2/cmd/ctr",
        "github.com/containernetworking/plugins/plugins/ipam/host-local",
        "github.com/containernetworking/plugins/plugins/main/bridge",
        "github.com/containernetworking/plugins/plugins/main/loopback",
    ], "no_btrfs no_devmapper no_zfs", f"-X github.com/containerd/containerd/v2/version.Version={CONTAINERD}", False,
        f"containerd {CONTAINERD} and its network plugins"),
    # Only runc needs cgo: it joins namespaces before the Go runtime starts its threads.
    "runc": ("runc", ["github.com/opencontainers/runc"], "seccomp netgo osusergo",
             "-linkmode external -extldflags -static", True, "runc"),
}


def binaries(name):
    """Returns the directory that holds what `name` builds. Builds it where the cache lacks it."""
    module, packages, tags, ldflags, cgo, title = BUILDS[name]

    def make(out):
        if not shutil.which("go"):
            raise LabError("the Go toolchain is needed to build Kubernetes, and there is no `go` on PATH: install it and run again")
        with step(f"building {title}"):
            # Lowest priority: this may run for minutes on a machine that somebody works on.
            run = subprocess.run(
                ["nice", "-n", "10", "go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly", "-tags", tags,
                 "-ldflags", f"-s -w {ldflags}", "-o", f"{out}/", *packages],
                cwd=HERE / module, env={**os.environ, "CGO_ENABLED": "1" if cgo else "0"},
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if run.returncode:
                tail = "\n".join(run.stdout.splitlines()[-15:])
                raise LabError(f"building {title} failed:\n{tail}")

    # What lies in the module and goes into this build: its pinned modules, and its own package where that is local.
    inputs = [HERE / module / "go.mod", HERE / module / "go.sum", *(HERE / module / p for p in packages if p.startswith("./"))]
    return cache.entry(f"go-{name}", cache.digest(*inputs, *packages, tags, ldflags, str(cgo)), make)


def kubectl():
    return binaries("kubectl") / "kubectl"
