"""What a kernel will say of a policy, worked out here and not by Hauberk: from the node's own feature files, by the
distribution's parser, with nothing of the controller's code or data in between.

The kernel hashes each profile as it unpacks it: the version word of the policy, then the bytes of the profile itself
(aa_calc_profile_hash() in security/apparmor/crypto.c). SHA-1 in a 6.1 kernel, SHA-256 in a 6.12 one.
"""
import functools
import hashlib
import re
import struct
import subprocess
import tempfile

BASE = "/etc/apparmor.d"
# An unnamed field "version" with a 32-bit value; each profile of a compiled policy begins with one.
_VERSION = re.compile(rb"\x04\x08\x00version\x00\x02(....)", re.DOTALL)
_NAME = re.compile(rb"\x04\x08\x00profile\x00\x07\x05(..)", re.DOTALL)
_FEATURES = r"""cd /sys/kernel/security/apparmor/features || exit 1
find . -type f | sort | while read -r f; do printf '%s\0' "$f"; cat "$f"; printf '\0'; done"""


def features_of(lab, node):
    """The node's feature set in the form that the parser takes: folders as `name {…}`, files as `name {content}`."""
    parts = lab.exec(node, "/bin/sh", "-c", _FEATURES).stdout.split("\0")
    tree = {}
    for path, content in zip(parts[::2], parts[1::2]):
        *folders, name = path.removeprefix("./").split("/")
        at = tree
        for folder in folders:
            at = at.setdefault(folder, {})
        at[name] = content
    return _features_text(tree)


def _features_text(tree):
    return "".join(f"{name} {{{value if isinstance(value, str) else _features_text(value)}}}\n" for name, value in sorted(tree.items()))


@functools.cache
def compiled(text, mode, features):
    with tempfile.NamedTemporaryFile("w") as file, tempfile.NamedTemporaryFile() as no_config:
        file.write(features)
        file.flush()
        run = subprocess.run(["apparmor_parser", "--config-file", no_config.name, "-j0", "-QKT", "--kernel-features", file.name,
                              "--policy-features", f"{BASE}/abi/3.0", "-b", BASE, "-S", *(["-C"] if mode == "Complain" else [])],
                             input=text.encode(), capture_output=True, check=False, env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
    assert run.returncode == 0 and run.stdout, run.stderr.decode()
    return run.stdout


def of_blob(blob):
    """{profile: {"sha1", "sha256"}} of each profile in a compiled policy, children included."""
    starts = list(_VERSION.finditer(blob))
    found = {}
    for start, following in zip(starts, [*starts[1:], None]):
        body = blob[start.end():following.start() if following else len(blob)]
        at = _NAME.match(body)
        size = struct.unpack("<H", at.group(1))[0]
        name = body[at.end():at.end() + size].rstrip(b"\0").decode()
        found[name] = {h: hashlib.new(h, start.group(1) + body).hexdigest() for h in ("sha1", "sha256")}
    return found


def expected(lab, node, manifest, features):
    """{profile: {"mode", "sha"}} as lab.profiles() shows them once the node's kernel holds this AppArmorProfile."""
    spec = manifest["spec"]
    mode = spec.get("mode", "Enforce")
    algorithm = "sha256" if lab.nodes()[node]["kernel"] == "6.12" else "sha1"
    return {name: {"mode": mode.lower(), "sha": sums[algorithm]} for name, sums in of_blob(compiled(spec["policy"], mode, features)).items()}
