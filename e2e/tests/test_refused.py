"""What may not be loaded is refused with a sentence that names the cause, and nothing anywhere changes by it."""
import os
import re
import secrets
import subprocess

import pytest

from harness import condition, has_reason, policy, profile

FLAGS = "flags=(attach_disconnected)"

# What reads a file that holds a secret, by a line in front that makes the parser quote what it reads next.
LEAKS = ("/etc/shadow", "/proc/self/environ", "/var/run/secrets/kubernetes.io/serviceaccount/token", "../../../../etc/shadow")

DOUBLING = "@{V0}=aaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbb\n" + "".join(f"@{{V{i}}}=@{{V{i - 1}}}x@{{V{i - 1}}}\n" for i in range(1, 31))

REFUSED = [
    ("a syntax error", "ParseError", r"line 3\b", "abi <abi/3.0>,\nprofile {n} {{\n  deni /x r,\n}}\n"),
    ("an unknown capability", "ParseError", r"line 2\b", "profile {n} {{\n  capability fly,\n}}\n"),
    ("an abi that is not there", "ParseError", r"line 1\b", "abi <abi/99.0>,\nprofile {n} {{ }}\n"),
    ("two profiles", "ForbiddenPolicy", r"(?i)two|one|second|exactly", "profile {n} {{ }}\nprofile {n}-2 {{ }}\n"),
    ("another name", "ForbiddenPolicy", r"other-name", "profile other-name {{ }}\n"),
    ("an attachment", "ForbiddenPolicy", r"(?i)attach", "profile {n} /usr/bin/true {{ }}\n"),
    ("a name that attaches", "ForbiddenPolicy", r"(?i)/usr/bin/true|attach|name", "/usr/bin/true {{ }}\n"),
    ("every program", "ForbiddenPolicy", r"(?i)attach", "profile {n} /{{,**}} {{ }}\n"),
    ("a namespace", "ForbiddenPolicy", r"(?i)namespace", "profile :evil:{n} {{ }}\n"),
    ("a reserved name", "ForbiddenPolicy", r"docker-default", "profile docker-default {{ }}\n"),
    ("a name of 300 bytes", "ForbiddenPolicy", r"(?i)long|bytes|nnn.*object is for", "profile " + "n" * 300 + " {{ }}\n"),
    ("a child's name of 300 bytes", "ForbiddenPolicy", r"(?i)long|bytes|name", "profile {n} {{ profile " + "c" * 300 + " {{ }} }}\n"),
    ("a newline in a name", "ForbiddenPolicy", r"(?i)printable|object is for", 'profile "{n}\\012x" {{ }}\n'),
    ("complain under Enforce", "ForbiddenPolicy", r"(?i)complain.*spec\.mode", "profile {n} flags=(complain) {{ }}\n"),
    ("a child that complains", "ForbiddenPolicy", r"(?i)complain", "profile {n} {{ profile c flags=(complain) {{ }} }}\n"),
    ("unconfined", "ForbiddenPolicy", r"(?i)unconfined", "profile {n} flags=(unconfined) {{ }}\n"),
    ("a rule that takes minutes", "ForbiddenPolicy", r"(?i)time|second|cpu|memory", "profile {n} {{ /**a?????????????????? r, }}\n"),
    ("variables that take all memory", "ForbiddenPolicy", r"(?i)memory|time|cpu", DOUBLING.replace("{", "{{").replace("}", "}}") + "profile {n} {{ @{{V30}} r, }}\n"),
    ("more output than a policy may have", "ForbiddenPolicy", r"(?i)large|output|bytes|child|profiles|memory|seconds", "profile {n} {{\n" + "".join(f" ^h{i} {{{{ /a{i} r, }}}}\n" for i in range(6000)) + "}}\n"),
]


def refused(cluster, name, reason, text):
    """Puts the text in, waits for the verdict, and returns Accepted's message."""
    cluster.patch(name, spec={"policy": text})
    generation = cluster.get(name)["metadata"]["generation"]
    obj = cluster.wait(name, lambda o: o["metadata"]["generation"] >= generation and has_reason("InvalidPolicy")(o), "refused")
    accepted, ready, stalled = (condition(obj, kind) for kind in ("Accepted", "Ready", "Stalled"))
    assert (accepted["status"], accepted["reason"]) == ("False", reason), accepted
    assert stalled["status"] == "True"
    assert accepted["message"] in ready["message"]
    return accepted["message"]


def test_each_bad_text_is_refused_by_its_cause_and_leaves_the_revision_before_it_untouched(cluster):
    name = cluster.name("bad")
    good = profile(name)
    cluster.apply(good)
    before = cluster.wait_ready(name)["status"]["updateRevision"]
    loads = cluster.revisions()
    wrong = []
    for what, reason, words, text in REFUSED:
        try:
            message = refused(cluster, name, reason, text.format(n=name))
            if not re.search(words, message):
                wrong.append(f"{what}: {message!r} does not speak of {words}")
            if "\n" in message:
                wrong.append(f"{what}: the message has more than one line")
        except AssertionError as e:
            wrong.append(f"{what}: {e}")
    assert not wrong, "\n".join(wrong)
    assert cluster.get(name)["status"]["updateRevision"] == before
    cluster.check_kernels(good)
    assert cluster.revisions() == loads, "a kernel was written to"


def test_a_text_that_never_was_good_is_loaded_nowhere(cluster):
    name = cluster.name("never-good")
    cluster.apply(profile(name, text=f"profile {name} {{ deni /x r, }}\n"))
    cluster.wait(name, has_reason("InvalidPolicy"), "refused")
    cluster.check_kernels(absent=[name])


def test_no_byte_of_another_file_reaches_a_message(cluster, tmp_path):
    """The canary stands where any process of this machine could read it."""
    secret = "canary" + secrets.token_hex(8)
    canary = tmp_path / "secret"
    canary.write_text(secret + "\n")
    for folder in (tmp_path, *tmp_path.parents):
        os.chmod(folder, os.stat(folder).st_mode | 0o755 if folder != folder.parent else 0o755)
    canary.chmod(0o644)
    name = cluster.name("leak")
    cluster.apply(profile(name))
    cluster.wait_ready(name)
    seen = []
    for path in (*LEAKS, str(canary)):
        for front in ("", "capability\n"):
            text = f'profile {name} {{\n{front}#include "{path}"\n}}\n'
            seen.append(refused(cluster, name, "ParseError", text))
    for message in seen:
        assert secret not in message and "root:" not in message and "PATH=" not in message and "eyJ" not in message, message
        assert not re.search(r"No such file|Permission denied|Is a directory", message), f"the message says what there is: {message}"
    logs = cluster.lab.logs("controller", 2000)
    assert secret not in logs


def test_a_fifo_cannot_hold_the_compiler(cluster, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    name = cluster.name("fifo")
    cluster.apply(profile(name))
    cluster.wait_ready(name)
    refused(cluster, name, "ParseError", f'profile {name} {{\n#include "{fifo}"\n}}\n')


def test_a_bomb_holds_up_no_other_profile(cluster):
    bomb, other = cluster.name("bomb"), cluster.name("beside")
    cluster.apply(profile(bomb, text=f"profile {bomb} {{ /**a?????????????????? r, }}\n"))
    mark = cluster.profiles.mark()
    cluster.apply(profile(other))
    cluster.wait_ready(other)
    told = [e for e in cluster.profiles.since(mark, bomb) if has_reason("InvalidPolicy")(e.obj)]
    assert not told, "the bomb was over before the other profile was Ready"
    cluster.wait(bomb, has_reason("InvalidPolicy"), "refused")


def test_complain_is_asked_for_by_spec_mode(cluster):
    name = cluster.name("mode")
    cluster.apply(profile(name, text=policy(name).replace("flags=(attach", "flags=(complain, attach")))
    obj = cluster.wait(name, has_reason("InvalidPolicy"), "refused")
    assert "spec.mode" in condition(obj, "Accepted")["message"]
    cluster.patch(name, spec={"mode": "Complain"})
    cluster.wait_ready(name)
    assert {k[name]["mode"] for k in cluster.kernels().values()} == {"complain"}


@pytest.mark.disturbs
def test_a_byte_flipped_on_the_controllers_disk_never_reaches_a_kernel(cluster):
    name, late = cluster.name("flipped"), cluster.nodes[-1]
    manifest = profile(name)
    cluster.lab.pause(late)
    try:
        cluster.apply(manifest)
        first = [n for n in cluster.nodes if n != late]
        cluster.wait(name, lambda o: o.get("status", {}).get("readyNodes") == len(first), "loaded on the others")
        cluster.lab.kill("controller")
        files = [p for p in (cluster.lab.state.controller_dir / "data" / "artefacts").rglob("*") if p.is_file()]
        assert files
        for path in files:
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
        cluster.lab.start("controller")
    finally:
        cluster.lab.resume(late)
    cluster.wait_ready(name, timeout_s=240)
    cluster.check_kernels(manifest)


def test_lint_says_the_same_without_a_cluster(cluster, tmp_path):
    """The very same code: its verdict and its words are the controller's."""
    from labkit.controller import bin_dir
    name = cluster.name("lint")
    cluster.apply(profile(name))
    cluster.wait_ready(name)
    text = f"abi <abi/3.0>,\nprofile {name} {{\n  deni /x r,\n}}\n"
    message = refused(cluster, name, "ParseError", text)
    path = tmp_path / "p.aa"
    path.write_text(text)
    run = subprocess.run([bin_dir() / "kubectl-hauberk", "lint", path], capture_output=True, text=True)
    assert run.returncode == 1
    assert re.sub(r"^line \d+(, column \d+)?: ", "", message).rstrip(".") in run.stdout + run.stderr, (message, run.stdout, run.stderr)
    assert re.search(r"p\.aa:3\b", run.stdout + run.stderr)


def test_invalid_utf8_is_refused_by_lint(tmp_path):
    from labkit.controller import bin_dir
    path = tmp_path / "p.aa"
    path.write_bytes(b"profile x {\n  /\xff r,\n}\n")
    run = subprocess.run([bin_dir() / "kubectl-hauberk", "lint", path], capture_output=True, text=True)
    assert run.returncode == 1
    assert "UTF-8" in run.stdout + run.stderr
