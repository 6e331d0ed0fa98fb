"""One lab for all tests: a node with a 6.1 kernel and one with a 6.12, and Hauberk on them.

The lab in HAUBERK_LAB_DIR is used, and left running where it ran before. HAUBERK_KEEP_LAB=1 leaves it running in any case. Tests
restore what they disturb, and those that take the whole cluster apart come last. HAUBERK_E2E_BARE=1, for a quick look while
working on something: two bare nodes instead, which boot in seconds; tests that need a kubelet are skipped.
"""
import os
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / "e2e"))

from harness import Cluster  # noqa: E402
from labkit.api import Lab  # noqa: E402

_KEY = pytest.StashKey()


def pytest_configure(config):
    config.addinivalue_line("markers", "disturbs: kills controller or agents, so that new processes at its end are no crash")
    config.addinivalue_line("markers", "kubelet: runs pods, or needs a kubelet in another way")
    config.addinivalue_line("markers", "takes_apart(n): takes the whole cluster apart and puts it together again: runs after all others, by n")


def pytest_collection_modifyitems(items):
    def place(item):
        mark = item.get_closest_marker("takes_apart")
        return mark.args[0] if mark else 0
    items.sort(key=place)


@pytest.fixture(scope="session")
def lab():
    lab = Lab(os.environ.get("HAUBERK_LAB_DIR") or REPO / "build" / "test-lab")
    stays = lab.is_up() or bool(os.environ.get("HAUBERK_KEEP_LAB"))
    bare = bool(os.environ.get("HAUBERK_E2E_BARE"))
    lab.up(nodes_wanted=0 if bare else 2, bare=2 if bare else 0, kernels=["6.1", "6.12"], tie=not stays)
    yield lab
    if not stays:
        lab.down()


@pytest.fixture(scope="session")
def whole_cluster(lab, request):
    request.config.stash[_KEY] = cluster = Cluster(lab)
    return cluster


@pytest.fixture
def cluster(whole_cluster, request):
    """The cluster, with nothing of other tests in it. After the test what it applied is deleted, and nothing of ours has crashed."""
    if request.node.get_closest_marker("kubelet") and not whole_cluster.has_kubelets:
        pytest.skip("bare nodes have no kubelet")
    disturbs = request.node.get_closest_marker("disturbs") or request.node.get_closest_marker("takes_apart")
    before = None if disturbs else whole_cluster.health()
    yield whole_cluster
    whole_cluster.clean_up()
    after = {} if before is None else whole_cluster.health()
    assert not before or {who: after.get(who) for who in before} == before, "a program of ours ended and was started again"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    cluster = item.config.stash.get(_KEY, None)
    if report.failed and cluster and {"cluster", "whole_cluster"} & set(getattr(item, "fixturenames", ())):
        try:
            report.sections.append(("Hauberk", cluster.explain()))
        except Exception as e:  # noqa: BLE001 - the failure itself must be shown
            report.sections.append(("Hauberk", f"nothing more can be told: {e}"))
