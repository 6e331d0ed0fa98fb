"""The samples are read as examples, so they are run as such: every command that the pods' files promise, and what it says."""
import json
from pathlib import Path

import pytest

from harness import POD_S

SAMPLES = Path(__file__).resolve().parents[2] / "config" / "samples"
BUSYBOX = "/bin/busybox"
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"

# Object and pod have one name. label: what its first process runs under; commands: (arguments, exit code, what it says).
EXPECTED = {
    "web-server": ("web-server (enforce)", [
        (["wget", "-qO-", "http://127.0.0.1:8080/usr/share/nginx/html/index.html"], 0, "served by a confined web server"),
        (["wget", "-qO-", "http://127.0.0.1:8080/etc/hostname"], 1, "404 Not Found"),
        (["cat", "/etc/hostname"], 1, "Permission denied"),
    ]),
    "database": ("database (enforce)", [
        (["sh", "-c", "/bin/busybox cp /bin/busybox /var/lib/postgresql/payload && echo written"], 0, "written"),
        (["sh", "-c", "/var/lib/postgresql/payload id"], 126, "Permission denied"),
        (["touch", "/mnt/elsewhere/file"], 1, "Permission denied"),
    ]),
    "api-service": ("api-service (enforce)", [
        (["wget", "-qO-", "http://127.0.0.1:8080/version.json"], 0, '"service": "confined"'),
        (["env", BUSYBOX, "id"], 126, "Permission denied"),
        (["cat", TOKEN], 1, "Permission denied"),
    ]),
    "learning": ("learning.web-server (complain)", [
        (["cat", "/etc/hostname"], 0, "learning"),
        (["cat", TOKEN], 1, "Permission denied"),
    ]),
}


@pytest.fixture
def samples(cluster):
    """All samples and their pods, as a user applies them. Gone again afterwards, pods first, for a profile in use stays."""
    try:
        cluster.kubectl("apply", "-k", str(SAMPLES))
        cluster.wait_ready(*EXPECTED)
        cluster.kubectl("apply", "-k", str(SAMPLES / "pods"))
        pods = [f"pod/{name}" for name in EXPECTED]
        cluster.kubectl("wait", "--for=condition=Ready", f"--timeout={POD_S}s", *pods, timeout=POD_S + 10)
        yield
    finally:
        cluster.kubectl("delete", "--ignore-not-found", "-k", str(SAMPLES / "pods"), timeout=POD_S)
        cluster.kubectl("delete", "--ignore-not-found", "-k", str(SAMPLES), timeout=POD_S)


@pytest.mark.kubelet
def test_each_sample_confines_the_program_that_it_is_for(cluster, samples):
    wrong = []
    for name, (label, commands) in EXPECTED.items():
        current = cluster.kubectl("exec", name, "--", BUSYBOX, "cat", "/proc/1/attr/current").stdout.strip()
        if current != label:
            wrong.append(f"{name} runs under {current!r}, not {label!r}")
        for argv, code, words in commands:
            run = cluster.kubectl("exec", name, "--", BUSYBOX, *argv, check=False)
            if run.returncode != code or words not in run.stdout + run.stderr:
                wrong.append(f"{name}: {argv} ended with {run.returncode} and said {run.stdout + run.stderr!r}, not {code} and {words!r}")
    assert not wrong, "\n".join(wrong)


def test_lint_finds_nothing_wrong_with_the_samples(cluster):
    files = sorted(str(f) for f in SAMPLES.glob("*.yaml") if f.name != "kustomization.yaml")
    assert len(files) == len(EXPECTED)
    run = cluster.kubectl("hauberk", "lint", "-o", "json", *files, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    said = json.loads(run.stdout)
    assert {p["object"] for p in said["profiles"]} == set(EXPECTED) and said["findings"] == []
    assert {c["features"] for p in said["profiles"] for c in p["compiled"] if c["verdict"] == "Compiled"} == {"6.1", "6.12"}
