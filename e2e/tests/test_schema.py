"""What a real API server makes of the custom resource definitions: what it lets in, what it refuses and in which words, what
`kubectl explain` and `kubectl get` show."""
import copy
import json
import re

import pytest

from plain_cluster import plain_cluster
from labkit.kubeapi import ApiError

PROFILES = "/apis/hauberk.dev/v1alpha1/apparmorprofiles"
NODES = "/apis/hauberk.dev/v1alpha1/apparmornodes"
TEXT = "profile t {\n}\n"

cluster = pytest.fixture(scope="module")(plain_cluster)


@pytest.fixture(scope="module")
def api(cluster):
    return cluster.api()


@pytest.fixture
def stored(api):
    """Stores objects, and deletes them after the test."""
    paths = []

    def store(name, spec, kind=PROFILES):
        created = api.post(kind, manifest(name, spec, kind))
        paths.append(f"{kind}/{name}")
        return created
    yield store
    for path in paths:
        api.delete(path)


def manifest(name, spec, kind=PROFILES):
    body = {"apiVersion": "hauberk.dev/v1alpha1", "metadata": {"name": name},
            "kind": "AppArmorProfile" if kind == PROFILES else "AppArmorNode"}
    return body if spec is None else {**body, "spec": spec}


def dry_run(api, name, spec):
    return api.post(f"{PROFILES}?dryRun=All&fieldValidation=Strict", manifest(name, spec))


def spec_of(**fields):
    return {"policy": TEXT, **fields}


def labels(**expression):
    return spec_of(nodeSelector={"matchExpressions": [expression]})


# -- what is let in -------------------------------------------------------------------------------------------------------

GOOD = {
    "the least": spec_of(),
    "262144 bytes, one a character": spec_of(policy=TEXT + "#" + "x" * (262144 - len(TEXT) - 1)),
    "262144 bytes, four a character": spec_of(policy=TEXT + "#" + "x" + "\U0001f512" * ((262144 - len(TEXT) - 2) // 4)),
    "a comment before the profile": spec_of(policy="# why\n\n  profile t { }"),
    "a name of 200 characters": spec_of(profileName="a" * 200),
    "a name with all that is allowed": spec_of(profileName="9a_B.c-D"),
    "a name that only resembles a reserved one": spec_of(profileName="my-unconfined"),
    "a name that begins like a program's": spec_of(profileName="runc2"),
    "complain mode": spec_of(mode="Complain"),
    "disabled": spec_of(state="Disabled"),
    "no history": spec_of(revisionHistoryLimit=0),
    "an empty selector": spec_of(nodeSelector={}),
    "labels": spec_of(nodeSelector={"matchLabels": {"a": "", "kubernetes.io/arch": "amd64", "x.y/Z_z.9": "v_1.2-3"}}),
    "expressions": spec_of(nodeSelector={"matchExpressions": [
        {"key": "zone", "operator": "In", "values": ["a", ""]}, {"key": "zone", "operator": "NotIn", "values": ["b"]},
        {"key": "node-role.kubernetes.io/control-plane", "operator": "DoesNotExist"},
        {"key": "disk", "operator": "Exists", "values": []}]}),
}


@pytest.mark.parametrize("case", GOOD)
def test_lets_in(api, case):
    dry_run(api, "t", GOOD[case])


def test_defaults(api):
    created = dry_run(api, "t", spec_of())
    assert created["spec"] == {"policy": TEXT, "mode": "Enforce", "state": "Enabled", "revisionHistoryLimit": 10}


# -- what is refused: (metadata.name, spec, what the answer must say) ------------------------------------------------------

CHARACTERS = ["spec.profileName", "1 to 200 of the characters"]
RESERVED = ["spec.profileName", "is reserved", "choose another name"]
KEY = ["is not a label key", "PREFIX/NAME"]

BAD = {
    "no policy": ("t", {}, ["spec.policy", "Required value"]),
    "an empty policy": ("t", spec_of(policy=""), ["spec.policy", "defines nothing", "profile NAME"]),
    "a blank policy": ("t", spec_of(policy=" \n\t\r\n"), ["spec.policy", "defines nothing"]),
    "nothing but comments": ("t", spec_of(policy="# a\n   # b\n#"), ["spec.policy", "defines nothing"]),
    "257 KiB, one byte a character": ("t", spec_of(policy="x" * 257 * 1024), ["spec.policy", "262144 bytes"]),
    "257 KiB, two bytes a character": ("t", spec_of(policy=TEXT + "#" + "ä" * (257 * 512)), ["spec.policy", "more than 262144 bytes", "split it"]),
    "one byte too many": ("t", spec_of(policy="ä" + "x" * 262143), ["spec.policy", "more than 262144 bytes"]),
    "NUL": ("t", spec_of(policy=TEXT + "#\0"), ["spec.policy", "U+0000", "save it as UTF-8"]),
    "U+FFFD": ("t", spec_of(policy=TEXT + "#\ufffd"), ["spec.policy", "U+FFFD", "save the file as UTF-8"]),
    "half a surrogate pair": ("t", spec_of(policy=TEXT + "#\ud800"), ["spec.policy", "U+FFFD"]),
    "abstract, which is not there yet": ("t", spec_of(abstract={}), ['unknown field "spec.abstract"']),
    "a misspelt field": ("t", spec_of(nodeSelectors={}), ['unknown field "spec.nodeSelectors"']),
    "a mode in lower case": ("t", spec_of(mode="complain"), ["spec.mode", '"Enforce", "Complain"']),
    "an unknown state": ("t", spec_of(state="Off"), ["spec.state", '"Enabled", "Disabled"']),
    "too much history": ("t", spec_of(revisionHistoryLimit=101), ["spec.revisionHistoryLimit", "less than or equal to 100"]),
    "less than no history": ("t", spec_of(revisionHistoryLimit=-1), ["spec.revisionHistoryLimit", "greater than or equal to 0"]),

    "a name of 201 characters": ("t", spec_of(profileName="a" * 201), ["spec.profileName", "Too long", "200"]),
    "a name of 300 bytes": ("t", spec_of(profileName="a" * 300), ["spec.profileName", "Too long", "200"]),
    "metadata.name too long for a profile": ("a" * 230, spec_of(), ["spec.profileName", "metadata.name is the profile name too", "at most 200"]),
    "an empty name": ("t", spec_of(profileName=""), CHARACTERS),
    "a newline in the name": ("t", spec_of(profileName="a\nb"), CHARACTERS),
    "a newline at the end of the name": ("t", spec_of(profileName="a\n"), CHARACTERS),
    "a space in the name": ("t", spec_of(profileName="a b"), CHARACTERS),
    "a path as the name": ("t", spec_of(profileName="/usr/bin/x"), CHARACTERS),
    "a namespace": ("t", spec_of(profileName=":ns:a"), CHARACTERS),
    "a child's name": ("t", spec_of(profileName="a//b"), CHARACTERS),
    "a stack": ("t", spec_of(profileName="a//&b"), CHARACTERS),
    "a variable": ("t", spec_of(profileName="@{x}"), CHARACTERS),
    "a wildcard": ("t", spec_of(profileName="a*"), CHARACTERS),
    "a dot first": ("t", spec_of(profileName=".."), CHARACTERS),
    "a letter outside ASCII": ("t", spec_of(profileName="ä"), CHARACTERS),
    **{f"the reserved name {name}": ("t", spec_of(profileName=name), [f"'{name}'", *RESERVED]) for name in (
        "unconfined", "kernel_t", "docker-default", "cri-containerd.apparmor.d", "crun-default", "crio-default", "containers-default-0.57.4",
        "nerdctl-default", "buildkit-default", "runc", "crun", "podman", "buildah", "snap.lxd.daemon", "snap-confine", "snap-update-ns.x",
        "lxc-container-default", "lxd-c1_", "incus-c1_", "libvirt-0000", "libvirtd", "virtqemud", "virtxend", "virt-aa-helper")},
    "a reserved metadata.name": ("unconfined", spec_of(), ["'unconfined'", *RESERVED]),

    "a label key with a space": ("t", spec_of(nodeSelector={"matchLabels": {"a b": "c"}}), ["matchLabels", "'a b'", *KEY]),
    "an empty label key": ("t", spec_of(nodeSelector={"matchLabels": {"": "c"}}), ["matchLabels", *KEY]),
    "a label key of 64": ("t", spec_of(nodeSelector={"matchLabels": {"k" * 64: "c"}}), ["matchLabels", *KEY]),
    "a label prefix of 254": ("t", spec_of(nodeSelector={"matchLabels": {"p" * 254 + "/k": "c"}}), ["matchLabels", *KEY]),
    "an upper-case prefix": ("t", spec_of(nodeSelector={"matchLabels": {"A.b/k": "c"}}), ["matchLabels", *KEY]),
    "a label value with a space": ("t", spec_of(nodeSelector={"matchLabels": {"a": "c d"}}), ["matchLabels[a]", "no node would match", "63"]),
    "a label value of 64": ("t", spec_of(nodeSelector={"matchLabels": {"a": "v" * 64}}), ["matchLabels.a", "63"]),
    "a label value that is no string": ("t", spec_of(nodeSelector={"matchLabels": {"a": True}}), ["matchLabels.a", "of type string"]),
    "33 labels": ("t", spec_of(nodeSelector={"matchLabels": {f"k{i}": "" for i in range(33)}}), ["matchLabels", "32"]),
    "In without values": ("t", labels(key="a", operator="In"), ["matchExpressions[0].values", "at least one value"]),
    "NotIn with no value": ("t", labels(key="a", operator="NotIn", values=[]), ["matchExpressions[0].values", "at least one value"]),
    "Exists with values": ("t", labels(key="a", operator="Exists", values=["b"]), ["matchExpressions[0].values", "must be absent"]),
    "DoesNotExist with values": ("t", labels(key="a", operator="DoesNotExist", values=["b"]), ["matchExpressions[0].values", "must be absent"]),
    "Gt, which nodeSelector has not": ("t", labels(key="a", operator="Gt", values=["1"]), ["operator", '"In", "NotIn", "Exists", "DoesNotExist"']),
    "no operator": ("t", labels(key="a"), ["matchExpressions[0].operator", "Required value"]),
    "no key": ("t", labels(operator="Exists"), ["matchExpressions[0].key", "Required value"]),
    "a bad key": ("t", labels(key="-a", operator="Exists"), ["matchExpressions[0].key", "not a label key", "PREFIX/NAME"]),
    "a bad value": ("t", labels(key="a", operator="In", values=["ok", "b c"]), ["matchExpressions[0].values[1]", "no node would match"]),
}


@pytest.mark.parametrize("case", BAD)
def test_refuses(api, case):
    name, spec, words = BAD[case]
    with pytest.raises(ApiError) as refused:
        dry_run(api, name, spec)
    message = str(refused.value)
    assert refused.value.status in (400, 422), message
    for word in words:
        assert word in message
    assert len(message) < 1500, "a refusal repeats what it refuses"


# -- the name is for life --------------------------------------------------------------------------------------------------

def change(api, name, patch, content_type="application/merge-patch+json"):
    return api.patch(f"{PROFILES}/{name}?fieldValidation=Strict", patch, content_type)


@pytest.mark.parametrize("first, then", [
    (None, "other"), ("t-name", "other"), ("t-name", None),
])
def test_name_cannot_change(api, stored, first, then):
    stored("t-fixed", spec_of(**({"profileName": first} if first else {})))
    with pytest.raises(ApiError) as refused:
        change(api, "t-fixed", {"spec": {"profileName": then}})
    assert f"the profile name is '{first or 't-fixed'}' and cannot be changed" in str(refused.value)
    assert "create another AppArmorProfile" in str(refused.value)


def test_name_may_be_spelt_out_and_left_out(api, stored):
    stored("t-spelt", spec_of())
    change(api, "t-spelt", {"spec": {"profileName": "t-spelt"}})
    change(api, "t-spelt", {"spec": {"profileName": None}})


# -- status ------------------------------------------------------------------------------------------------------------------

CONDITION = {"type": "Ready", "status": "False", "reason": "NodesFailed", "message": "node-b: no memory",
             "observedGeneration": 1, "lastTransitionTime": "2020-01-01T00:00:00Z"}
STATUS = {
    "observedGeneration": 1, "currentRevision": "aaaaaaaaaaaa", "updateRevision": "bbbbbbbbbbbb", "conditions": [CONDITION],
    "desiredNodes": 2, "updatedNodes": 2, "readyNodes": 1, "failedNodes": 1, "unreachableNodes": 0, "unsupportedNodes": 0,
    "nodesReady": "1/2", "failureReasons": [{"reason": "OutOfMemory", "count": 1}], "nodesOmitted": 0,
    "nodes": [{"name": "node-b", "state": "Failed", "reason": "OutOfMemory", "message": "no memory", "revision": "aaaaaaaaaaaa",
               "lastTransitionTime": "2020-01-01T00:00:00Z"}],
}


def test_status_of_an_untouched_object_is_behind(api, stored):
    created = stored("t-status", spec_of())
    assert created["status"] == {"observedGeneration": -1}
    assert api.get(f"{PROFILES}/t-status")["status"] == {"observedGeneration": -1}
    assert next(i for i in api.get(PROFILES)["items"] if i["metadata"]["name"] == "t-status")["status"] == {"observedGeneration": -1}


def test_status_given_by_a_user_is_dropped(api, stored):
    body = manifest("t-forged", spec_of())
    body["status"] = STATUS
    created = api.post(PROFILES, body)
    try:
        assert created["status"] == {"observedGeneration": -1}
        assert change(api, "t-forged", {"status": STATUS})["status"] == {"observedGeneration": -1}
    finally:
        api.delete(f"{PROFILES}/t-forged")


def test_status_is_kept_as_written_and_leaves_the_generation(api, stored):
    stored("t-whole", spec_of())
    written = api.patch(f"{PROFILES}/t-whole/status?fieldValidation=Strict", {"status": STATUS})
    assert written["status"] == STATUS
    assert written["metadata"]["generation"] == 1


def test_a_stale_status_is_a_conflict(api, stored):
    version = stored("t-stale", spec_of())["metadata"]["resourceVersion"]
    body = {"metadata": {"resourceVersion": version}, "status": STATUS}
    api.patch(f"{PROFILES}/t-stale/status", body)
    with pytest.raises(ApiError) as refused:
        api.patch(f"{PROFILES}/t-stale/status", {**body, "status": {"nodesOmitted": 1}})
    assert refused.value.status == 409


@pytest.mark.parametrize("wrong", [
    {"nodes": [{"name": "n", "state": "Fine"}]}, {"nodes": [{"name": f"n{i}", "state": "Loaded"} for i in range(101)]},
    {"failureReasons": [{"reason": f"R{i}", "count": 1} for i in range(17)]}, {"readyNodes": -1}, {"rollout": {}}, {"denials": {}},
    {"conditions": [{"type": "Ready", "status": "True"}]}, {"conditions": [CONDITION, CONDITION]},
])
def test_a_wrong_status_is_refused(api, stored, wrong):
    stored("t-wrong", spec_of())
    with pytest.raises(ApiError) as refused:
        api.patch(f"{PROFILES}/t-wrong/status?fieldValidation=Strict", {"status": wrong})
    assert refused.value.status in (400, 422)


def test_the_largest_status_on_the_largest_object(api, stored):
    """262144 bytes of policy and 24 KiB of status: the rules' cost stays within what the API server grants."""
    stored("t-large", GOOD["262144 bytes, one a character"])
    status = copy.deepcopy(STATUS)
    status["nodes"] = [{**STATUS["nodes"][0], "name": f"node-{i}"} for i in range(100)]
    assert len(json.dumps(status)) > 10000
    api.patch(f"{PROFILES}/t-large/status?fieldValidation=Strict", {"status": status})
    change(api, "t-large", {"metadata": {"finalizers": ["hauberk.dev/profile"]}})
    change(api, "t-large", {"metadata": {"finalizers": None}})


def test_a_node_object(api, stored):
    stored("t-node", None, NODES)
    status = {
        "kernelRelease": "6.1.0-18-amd64", "agentVersion": "0.1.0", "bootID": "9a1f3c9e-0000-4000-8000-000000000000",
        "featureSet": {"id": "0123456789ab", "sha256": "0123456789ab" + "0" * 52},
        "conditions": [{**CONDITION, "type": "AppArmorEnabled", "status": "True"}, {**CONDITION, "type": "AgentConnected", "status": "True"}],
        "exceptions": [{"reason": "Orphan", "profile": "old", "message": "no object asks for it"}], "exceptionsOmitted": 0,
        "pendingRemovals": [{"profile": "p", "uid": "u", "revisions": ["aaaaaaaaaaaa"]}],
    }
    assert api.patch(f"{NODES}/t-node/status?fieldValidation=Strict", {"status": status})["status"] == status
    with pytest.raises(ApiError):
        api.patch(f"{NODES}/t-node/status", {"status": {"pendingRemovals": status["pendingRemovals"] * 2}})


# -- what kubectl shows --------------------------------------------------------------------------------------------------------

def table(cluster, *args):
    lines = [line.rstrip() for line in cluster.kubectl("get", *args).stdout.splitlines()]
    heads = list(re.finditer(r"\S+(?: \S+)*", lines[0]))
    starts = [h.start() for h in heads]
    cells = [[line[a:b].strip() for a, b in zip(starts, starts[1:] + [None])] for line in lines[1:]]
    return [h.group() for h in heads], cells


def test_columns_of_a_profile(cluster, api, stored):
    stored("t-columns", spec_of(mode="Complain"))
    assert table(cluster, "aap", "t-columns")[1][0][1:7] == ["Complain", "", "", "", "", ""]
    api.patch(f"{PROFILES}/t-columns/status", {"status": STATUS})
    heads, rows = table(cluster, "aap", "t-columns")
    assert heads == ["NAME", "MODE", "READY", "NODES", "UPDATED", "FAILED", "REASON", "AGE"]
    assert rows[0][:7] == ["t-columns", "Complain", "False", "1/2", "2", "1", "NodesFailed"]
    heads, rows = table(cluster, "aap", "t-columns", "-o", "wide")
    assert heads[8:] == ["REVISION", "MESSAGE"]
    assert rows[0][8:] == ["bbbbbbbbbbbb", "node-b: no memory"]


def test_columns_of_a_node(cluster, api, stored):
    stored("t-node", None, NODES)
    api.patch(f"{NODES}/t-node/status", {"status": {
        "kernelRelease": "6.1.0", "agentVersion": "0.1.0", "featureSet": {"id": "0123456789ab"},
        "exceptions": [{"reason": "Orphan"}, {"reason": "Other"}],
        "conditions": [{**CONDITION, "type": "AppArmorEnabled", "status": "True"}, {**CONDITION, "type": "AgentConnected", "status": "Unknown"}]}})
    heads, rows = table(cluster, "aan", "t-node", "-o", "wide")
    assert heads == ["NAME", "KERNEL", "APPARMOR", "CONNECTED", "FEATURES", "AGENT VERSION", "AGE", "EXCEPTION"]
    assert rows[0][:6] == ["t-node", "6.1.0", "True", "Unknown", "0123456789ab", "0.1.0"]
    assert rows[0][7] == "Orphan"


def undescribed(path, schema):
    if not schema.get("description") and path.count(".") > 1:
        yield path
    for name, field in schema.get("properties", {}).items():
        yield from undescribed(f"{path}.{name}", field)
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), dict):
            yield from undescribed(f"{path}[]", schema[part])


@pytest.mark.parametrize("kind", ["AppArmorProfile", "AppArmorNode"])
def test_every_field_is_described(api, kind):
    """Asked of the document that `kubectl explain` reads."""
    schema = api.get("/openapi/v3/apis/hauberk.dev/v1alpha1")["components"]["schemas"][f"dev.hauberk.v1alpha1.{kind}"]
    assert schema["description"]
    for part in ("spec", "status") if kind == "AppArmorProfile" else ("status",):
        assert list(undescribed(f"{kind}.{part}", {"properties": {part: schema["properties"][part]}})) == []


def test_explain_finds_the_short_names(cluster):
    assert "AppArmor's own language" in cluster.kubectl("explain", "aap.spec.policy").stdout
    assert "uname -r" in cluster.kubectl("explain", "aan.status.kernelRelease").stdout
    cluster.kubectl("get", "hauberk")


def test_the_names_in_the_description_are_those_that_are_refused(api):
    crd = api.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/apparmorprofiles.hauberk.dev")
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    rule = next(r["rule"] for r in schema["x-kubernetes-validations"] if "unconfined" in r["rule"])
    said = schema["properties"]["spec"]["properties"]["profileName"]["description"]
    for name in rule.split("'")[1::2]:
        assert name in said, name
