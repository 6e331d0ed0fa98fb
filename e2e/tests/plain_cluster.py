"""A control plane with no node and no Hauberk, for tests that ask the API server alone. One for all of a test run."""
import atexit
import functools
import pathlib
import shutil
import sys
import tempfile

REPO = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "e2e"))

from labkit.api import Lab  # noqa: E402


@functools.cache
def plain_cluster():
    # Not below pytest's own directory: the lab's sockets need a short path.
    directory = tempfile.mkdtemp(prefix="hauberk-plain-")
    lab = Lab(directory)
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    atexit.register(lab.down)
    lab.up(nodes_wanted=0, hauberk=False, tie=True)
    lab.kubectl("apply", "-k", str(REPO / "crds"))
    lab.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "-l", "app.kubernetes.io/name=hauberk")
    return lab
