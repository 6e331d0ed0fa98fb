"""What a real API server makes of the custom resource definitions: what it lets in, what it refuses and in which words, what
`kubectl explain` and `kubectl get` show."""
import copy
import functools
import json
import re

import pytest
import yaml

from plain_cluster import REPO, plain_cluster
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


def rollout(**fields):
    return spec_of(rollout=fields)


def steps(*nodes, **fields):
    return rollout(steps=[{"nodes": n, **fields} for n in nodes])


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
    "an empty rollout": rollout(),
    "the least of everything": rollout(maxUnavailable=1, maxFailed="1%", minReadySeconds=0, progressDeadlineSeconds=1, paused=True),
    "the most of everything": rollout(maxUnavailable="100%", maxFailed=2147483647, onFailure="Rollback", minReadySeconds=3600,
                                      progressDeadlineSeconds=2147483647),
    "one step": steps(1, soakSeconds=600),
    "a step that waits for a promote": steps("10%", soakSeconds=-1),
    "numbers, then shares": steps(1, 1, 5, "1%", "5%", "10%", "99%", "100%"),
    "numbers and shares in turn, each kind in order": steps("1%", 2, "2%", 3, "30%", 4),
    "32 steps": steps(*range(1, 33)),
    "no step": steps(),
    **{f"a step of {share} %": steps(f"{share}%") for share in (1, 9, 10, 19, 20, 50, 99, 100)},
}


@pytest.mark.parametrize("case", GOOD)
def test_lets_in(api, case):
    dry_run(api, "t", GOOD[case])


def test_defaults(api):
    created = dry_run(api, "t", spec_of())
    assert created["spec"] == {"policy": TEXT, "mode": "Enforce", "state": "Enabled", "revisionHistoryLimit": 10}


ROLLOUT = {"maxUnavailable": "25%", "maxFailed": 1, "onFailure": "Pause", "paused": False, "minReadySeconds": 0, "progressDeadlineSeconds": 600}


@pytest.mark.parametrize("given, stands", [
    (None, None), ({}, ROLLOUT), ({"paused": None}, ROLLOUT), ({"maxUnavailable": 3}, {**ROLLOUT, "maxUnavailable": 3}),
    ({"steps": [{"nodes": 1}]}, {**ROLLOUT, "steps": [{"nodes": 1, "soakSeconds": 0}]}),
])
def test_defaults_of_a_rollout(api, given, stands):
    """None for the whole: whether a rollout was given at all makes a difference at a first installation."""
    assert dry_run(api, "t", spec_of(rollout=given))["spec"].get("rollout") == stands


def written_down():
    """Each rollout that a page of ours shows, also where a sample has it in a comment."""
    page, sample = (REPO / path for path in ("docs/rollouts.md", "config/samples/api-service.yaml"))
    for i, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S)):
        found = yaml.safe_load(block)
        yield pytest.param(found.get("spec", found)["rollout"], id=f"{page.name}-{i}")
    comment = re.search(r"^  # rollout:\n(  #   .*\n)+", sample.read_text(), re.M)[0]
    yield pytest.param(yaml.safe_load(comment.replace("  # ", ""))["rollout"], id=sample.name)


@pytest.mark.parametrize("shown", list(written_down()))
def test_lets_in_what_the_documentation_shows(api, shown):
    assert shown["steps"] and dry_run(api, "t", spec_of(rollout=shown))


# -- what is refused: (metadata.name, spec, what the answer must say) ------------------------------------------------------

CHARACTERS = ["spec.profileName", "1 to 200 of the characters"]
RESERVED = ["spec.profileName", "is reserved", "choose another name"]
KEY = ["is not a label key", "PREFIX/NAME"]
AMOUNT = ["use a number of nodes, 1 or more, or a share of them from '1%' to '100%'"]
DISORDER = ["spec.rollout.steps", "out of order", "write the smaller numbers first"]

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

    **{f"{field} of {value!r}": ("t", rollout(**{field: value}), [f"spec.rollout.{field}", *AMOUNT])
       for field in ("maxUnavailable", "maxFailed")
       for value in (0, -1, 2147483648, "0%", "101%", "1000%", "-5%", "+5%", "05%", "5", "%", "", "5%\n", " 5%", "5.5%", "half")},
    **{f"a step of {value!r}": ("t", steps(1, value), ["spec.rollout.steps[1].nodes", *AMOUNT])
       for value in (0, -1, 2147483648, "0%", "00%", "101%", "110%", "1000%", "-5%", "05%", "5", "%", "", "5%\n", "5.5%", "half")},
    "half a node": ("t", rollout(maxUnavailable=1.5), ["spec.rollout.maxUnavailable", "integer,string"]),
    "half a node in a step": ("t", steps(1.5), ["spec.rollout.steps[0].nodes", "integer,string"]),
    "a share of 18 characters": ("t", rollout(maxFailed="0" * 16 + "5%"), ["spec.rollout.maxFailed", "Too long"]),
    "a rollout that is a list": ("t", spec_of(rollout=[]), ["spec.rollout", "of type object"]),
    "a rollout with a misspelt field": ("t", rollout(maxUnavailble=1), ['unknown field "spec.rollout.maxUnavailble"']),
    "denials, which nobody counts yet": ("t", steps(1, maxDenials=0), ['unknown field "spec.rollout.steps[0].maxDenials"']),
    "an unknown way to fail": ("t", rollout(onFailure="Undo"), ["spec.rollout.onFailure", '"Pause", "Rollback"']),
    "paused in words": ("t", rollout(paused="yes"), ["spec.rollout.paused", "of type boolean"]),
    "a negative minReadySeconds": ("t", rollout(minReadySeconds=-1), ["spec.rollout.minReadySeconds", "greater than or equal to 0"]),
    "minReadySeconds of more than an hour": ("t", rollout(minReadySeconds=3601, progressDeadlineSeconds=9999),
                                             ["spec.rollout.minReadySeconds", "less than or equal to 3600"]),
    "no time to come forward": ("t", rollout(progressDeadlineSeconds=0), ["spec.rollout.progressDeadlineSeconds", "greater than or equal to 1"]),
    "a deadline before a node can be ready": ("t", rollout(minReadySeconds=600),
                                              ["spec.rollout.progressDeadlineSeconds", "more than minReadySeconds", "raise progressDeadlineSeconds"]),
    "a negative soak": ("t", steps(1, soakSeconds=-2), ["spec.rollout.steps[0].soakSeconds", "-1 to wait for `kubectl hauberk rollout promote`"]),
    "half a second of soak": ("t", steps(1, soakSeconds=1.5), ["spec.rollout.steps[0].soakSeconds", "int32"]),
    "a step of nothing": ("t", rollout(steps=[{"soakSeconds": 1}]), ["spec.rollout.steps[0].nodes", "Required value"]),
    "numbers out of order": ("t", steps(5, 1), DISORDER),
    "shares out of order": ("t", steps("20%", "10%"), DISORDER),
    "shares of one digit out of order": ("t", steps("9%", "8%"), DISORDER),
    "a share of two digits before one of one": ("t", steps("10%", "9%"), DISORDER),
    "all of them, and then a share": ("t", steps("100%", "99%"), DISORDER),
    "out of order over a step of another kind": ("t", steps(5, "50%", 4), DISORDER),
    "33 steps": ("t", steps(*range(1, 34)), ["spec.rollout.steps", "Too many: 33", "at most 32"]),
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


# -- who owns what of a rollout -----------------------------------------------------------------------------------------------

def apply(api, manager, spec, force=False):
    body = manifest("t-shared", spec)
    return api.patch(f"{PROFILES}/t-shared?fieldManager={manager}&force={str(force).lower()}&fieldValidation=Strict", body,
                     "application/apply-patch+yaml")["spec"].get("rollout")


@pytest.fixture
def shared(api):
    yield functools.partial(apply, api)
    api.delete(f"{PROFILES}/t-shared")


def test_fields_of_a_rollout_have_owners_of_their_own(shared):
    """Git owns the budget, a person pauses: neither takes back what the other said."""
    assert shared("git", rollout(maxUnavailable=2)) == {**ROLLOUT, "maxUnavailable": 2}
    assert shared("person", {"rollout": {"paused": True}}) == {**ROLLOUT, "maxUnavailable": 2, "paused": True}
    assert shared("git", rollout(maxUnavailable=3)) == {**ROLLOUT, "maxUnavailable": 3, "paused": True}
    assert shared("person", {"rollout": {"maxFailed": 2}}) == {**ROLLOUT, "maxUnavailable": 3, "maxFailed": 2}


def test_steps_are_one_list_with_one_owner(shared):
    """Merged item by item they would be steps that nobody wrote."""
    assert shared("git", steps(1, "10%", soakSeconds=60))["steps"] == [{"nodes": 1, "soakSeconds": 60}, {"nodes": "10%", "soakSeconds": 60}]
    assert shared("git", steps("50%"))["steps"] == [{"nodes": "50%", "soakSeconds": 0}]
    with pytest.raises(ApiError) as refused:
        shared("person", {"rollout": {"steps": [{"nodes": 5}]}})
    assert refused.value.status == 409 and ".spec.rollout.steps" in str(refused.value)
    assert shared("person", {"rollout": {"steps": [{"nodes": 5}]}}, force=True)["steps"] == [{"nodes": 5, "soakSeconds": 0}]
    assert "steps" not in shared("person", {"rollout": {"maxFailed": 1}})


def test_the_same_again_changes_nothing(api, shared):
    """The API server writes any custom resource at the second apply, whatever its schema: from then on."""
    shared("git", steps(1, "10%"))
    shared("git", steps(1, "10%"))
    before = api.get(f"{PROFILES}/t-shared")["metadata"]
    shared("git", steps(1, "10%"))
    after = api.get(f"{PROFILES}/t-shared")["metadata"]
    assert after["generation"] == 1
    assert after["resourceVersion"] == before["resourceVersion"]


def test_an_annotation_makes_no_new_generation(api, stored):
    """So `kubectl diff` of what is in Git stays clean, and nothing is rolled out anew."""
    created = stored("t-annotated", steps(1))
    changed = change(api, "t-annotated", {"metadata": {"annotations": {"hauberk.dev/rollout-pause": "aaaaaaaaaaaa"}}})
    assert changed["metadata"]["generation"] == created["metadata"]["generation"]
    assert changed["spec"] == created["spec"]


@pytest.mark.parametrize("patch", [{"steps": None}, {"paused": True}, {"maxFailed": "10%"}, None])
def test_a_rollout_may_change_and_go(api, stored, patch):
    stored("t-changing", steps(1, "10%"))
    changed = change(api, "t-changing", {"spec": {"rollout": patch}})
    assert changed["metadata"]["generation"] == 2
    assert ("rollout" in changed["spec"]) == (patch is not None)


# -- status ------------------------------------------------------------------------------------------------------------------

CONDITION = {"type": "Ready", "status": "False", "reason": "NodesFailed", "message": "node-b: no memory",
             "observedGeneration": 1, "lastTransitionTime": "2020-01-01T00:00:00Z"}
STATUS = {
    "observedGeneration": 1, "currentRevision": "aaaaaaaaaaaa", "updateRevision": "bbbbbbbbbbbb", "conditions": [CONDITION],
    "desiredNodes": 2, "updatedNodes": 2, "readyNodes": 1, "failedNodes": 1, "unreachableNodes": 0, "unsupportedNodes": 0,
    "rollout": {"revision": "bbbbbbbbbbbb", "phase": "Soaking", "startedAt": "2020-01-01T00:00:00Z", "restart": "bbbbbbbbbbbb/1",
                "step": {"index": 1, "startedAt": "2020-01-01T00:00:00Z", "hash": "0" * 64}},
    "step": "2/3",
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
    {"failureReasons": [{"reason": f"R{i}", "count": 1} for i in range(17)]}, {"readyNodes": -1}, {"denials": {}},
    {"rollout": {"step": {"index": -1}}}, {"rollout": {"startedAt": "yesterday"}}, {"rollout": {"paused": True}}, {"step": 2},
    {"conditions": [{"type": "Ready", "status": "True"}]}, {"conditions": [CONDITION, CONDITION]},
])
def test_a_wrong_status_is_refused(api, stored, wrong):
    stored("t-wrong", spec_of())
    with pytest.raises(ApiError) as refused:
        api.patch(f"{PROFILES}/t-wrong/status?fieldValidation=Strict", {"status": wrong})
    assert refused.value.status in (400, 422)


def test_the_largest_status_on_the_largest_object(api, stored):
    """262144 bytes of policy, 32 steps and 24 KiB of status: the rules' cost stays within what the API server grants."""
    stored("t-large", {**steps(*[f"{share}%" for share in range(69, 101)]), **GOOD["262144 bytes, one a character"]})
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
    assert heads[8:] == ["REVISION", "STEP", "MESSAGE"]
    assert rows[0][8:] == ["bbbbbbbbbbbb", "2/3", "node-b: no memory"]


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
    assert "seconds" in cluster.kubectl("explain", "aap.spec.rollout.steps.soakSeconds").stdout
    assert "1 or more" in cluster.kubectl("explain", "aap.spec.rollout.maxUnavailable").stdout
    assert "RollingBack" in cluster.kubectl("explain", "aap.status.rollout.phase").stdout
    cluster.kubectl("get", "hauberk")


def test_the_names_in_the_description_are_those_that_are_refused(api):
    crd = api.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/apparmorprofiles.hauberk.dev")
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    rule = next(r["rule"] for r in schema["x-kubernetes-validations"] if "unconfined" in r["rule"])
    said = schema["properties"]["spec"]["properties"]["profileName"]["description"]
    for name in rule.split("'")[1::2]:
        assert name in said, name
