"""What a real API server makes of config/: whether it takes everything, what the accounts may and may not do with the rights that they
are given there, and whether the samples' pods are as careful as their profiles."""
import json

import pytest

from plain_cluster import REPO, plain_cluster

ACCOUNTS = "system:serviceaccount:hauberk-system:"


@pytest.fixture(scope="module")
def cluster():
    lab = plain_cluster()
    lab.kubectl("apply", "-k", str(REPO / "config/lab"))
    return lab


def get(cluster, *args):
    return json.loads(cluster.kubectl("get", *args, "-o", "json").stdout)


def test_an_apply_changes_nothing_a_second_time(cluster):
    cluster.kubectl("diff", "-k", str(REPO / "config/lab"))
    cluster.kubectl("diff", "-k", str(REPO / "crds"))


def test_the_lab_differs_in_the_address_alone(cluster):
    built = [cluster.kubectl("kustomize", str(REPO / "config" / d)).stdout for d in ("lab", "default")]
    added, removed = (set(a.splitlines()) - set(b.splitlines()) for a, b in (built, built[::-1]))
    assert {a.strip() for a in added} == {"- args:", "- --controller-address=10.0.2.2:8443"}
    assert {r.strip() for r in removed} == {"- args: []"}


# -- rights ----------------------------------------------------------------------------------------------------------------

def may(cluster, account, verb, path):
    """Asked with the very attributes of a request: a get of a namespace, for one, is checked as inside that namespace."""
    group, resource, *rest = path.split(" ")
    resource, _, subresource = resource.partition("/")
    where = dict(zip(("namespace", "name"), rest))
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {
        "user": ACCOUNTS + account, "groups": ["system:serviceaccounts", "system:serviceaccounts:hauberk-system", "system:authenticated"],
        "resourceAttributes": {"group": "" if group == "core" else group, "resource": resource, "subresource": subresource, "verb": verb,
                               **{k: "" if v == "-" else v for k, v in where.items()}}}}
    answer = cluster.api().post("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return answer["status"]["allowed"]


# verb, "group resource[/subresource] namespace name"
NEEDED = [
    *[(verb, "hauberk.dev apparmorprofiles - p") for verb in ("get", "list", "watch", "patch")],
    ("patch", "hauberk.dev apparmorprofiles/status - p"),
    *[(verb, "hauberk.dev apparmornodes - n") for verb in ("get", "list", "watch", "create", "patch")],
    ("patch", "hauberk.dev apparmornodes/status - n"),
    *[(verb, "core nodes - n") for verb in ("get", "list", "watch")], ("list", "core pods -"),
    ("create", "authentication.k8s.io tokenreviews -"),
    ("get", "apiextensions.k8s.io customresourcedefinitions - apparmorprofiles.hauberk.dev"), *[(verb, "core namespaces - hauberk-system") for verb in ("get", "list", "watch")],
    ("create", "coordination.k8s.io leases hauberk-system"),
    *[(verb, "coordination.k8s.io leases hauberk-system hauberk-controller") for verb in ("get", "patch")],
    ("create", "core secrets hauberk-system"), ("create", "core configmaps hauberk-system"),
    *[(verb, f"core {what}") for verb in ("get", "list", "watch", "patch")
      for what in ("secrets hauberk-system hauberk-controller-tls", "configmaps hauberk-system hauberk-ca")],
    ("create", "apps controllerrevisions hauberk-system"),
    *[(verb, "apps controllerrevisions hauberk-system r") for verb in ("get", "list", "watch", "patch", "delete")],
    ("create", "core events default"), ("patch", "core events default e"),
]

REFUSED = [
    ("delete", "hauberk.dev apparmorprofiles - p"), ("create", "hauberk.dev apparmorprofiles - p"), ("update", "hauberk.dev apparmorprofiles - p"),
    ("delete", "hauberk.dev apparmornodes - n"), ("list", "core secrets hauberk-system"), ("get", "core secrets hauberk-system other"),
    ("get", "core secrets default hauberk-controller-tls"), ("get", "core configmaps hauberk-system other"), ("list", "core configmaps -"),
    ("patch", "core nodes - n"), ("patch", "core nodes/status - n"), ("get", "core nodes/proxy - n"), ("create", "core pods default"),
    ("delete", "core pods default p"), ("create", "core pods/exec default p"), ("create", "core serviceaccounts/token hauberk-system hauberk-agent"),
    ("patch", "coordination.k8s.io leases hauberk-system other"), ("create", "coordination.k8s.io leases kube-system"),
    ("get", "apiextensions.k8s.io customresourcedefinitions - others.example.com"), ("delete", "apiextensions.k8s.io customresourcedefinitions - apparmorprofiles.hauberk.dev"),
    ("get", "core namespaces default default"), ("list", "core namespaces -"), ("delete", "core namespaces - hauberk-system"), ("create", "core events kube-system"), ("delete", "apps controllerrevisions default"),
    # What it does with a patch it need not do with an update.
    *[("update", what) for what in (
        "hauberk.dev apparmorprofiles/status - p", "hauberk.dev apparmorprofiles/finalizers - p", "hauberk.dev apparmornodes - n",
        "hauberk.dev apparmornodes/status - n", "coordination.k8s.io leases hauberk-system hauberk-controller",
        "core secrets hauberk-system hauberk-controller-tls", "core configmaps hauberk-system hauberk-ca",
        "apps controllerrevisions hauberk-system r", "core events default e")],
    # Nor does it ask for these.
    ("get", "hauberk.dev apparmorprofiles/status - p"), ("get", "hauberk.dev apparmornodes/status - n"), ("get", "core pods default p"),
    ("list", "coordination.k8s.io leases hauberk-system hauberk-controller"), ("create", "events.k8s.io events default"),
    ("get", "apiextensions.k8s.io customresourcedefinitions - apparmornodes.hauberk.dev"),
]


@pytest.mark.parametrize("verb, path", NEEDED)
def test_controller_may(cluster, verb, path):
    assert may(cluster, "hauberk-controller", verb, path)


@pytest.mark.parametrize("verb, path", REFUSED)
def test_controller_may_not(cluster, verb, path):
    assert not may(cluster, "hauberk-controller", verb, path)


@pytest.mark.parametrize("verb, path", NEEDED)
def test_agent_may_not(cluster, verb, path):
    assert not may(cluster, "hauberk-agent", verb, path)


def test_agent_has_no_right_that_every_account_has_not(cluster):
    def rights(user):
        review = cluster.kubectl("auth", "can-i", "--list", "-n", "hauberk-system", "--as", user, "--as-group", "system:serviceaccounts",
                                 "--as-group", "system:authenticated")
        return sorted(review.stdout.splitlines())
    assert rights(ACCOUNTS + "hauberk-agent") == rights(ACCOUNTS + "nobody")


def test_rights_for_people_come_with_the_usual_roles(cluster):
    verbs = {}
    for role in ("view", "edit", "admin"):
        verbs[role] = {v for rule in get(cluster, "clusterrole", role)["rules"] if "apparmorprofiles" in rule.get("resources", []) for v in rule["verbs"]}
    assert verbs["view"] == {"get", "list", "watch"}
    assert verbs["edit"] == verbs["view"] | {"create", "update", "patch", "delete"}
    assert verbs["admin"] == verbs["edit"] | {"deletecollection"}


# -- the rest of config/ -----------------------------------------------------------------------------------------------------

def test_flow_schemas_find_their_priority_level(cluster):
    for name in ("hauberk-controller", "hauberk-controller-lease"):
        conditions = {c["type"]: c["status"] for c in get(cluster, "flowschema", name)["status"]["conditions"]}
        assert conditions["Dangling"] == "False"


def test_agent_has_the_least_privilege(cluster):
    spec = get(cluster, "-n", "hauberk-system", "daemonset", "hauberk-agent")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "runAsUser": 0, "runAsGroup": 0, "privileged": False, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["MAC_ADMIN"]}, "appArmorProfile": {"type": "Unconfined"}}
    assert spec["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    assert spec["automountServiceAccountToken"] is False and "ports" not in container and "hostIPC" not in spec
    assert {v["hostPath"]["path"] for v in spec["volumes"] if "hostPath" in v} == {"/sys/kernel/security", "/var/lib/hauberk"}


# -- samples -----------------------------------------------------------------------------------------------------------------

def test_samples_are_taken(cluster):
    cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-k", str(REPO / "config/samples"))


def test_sample_pods_pass_the_strictest_pod_security(cluster):
    cluster.kubectl("create", "namespace", "strict")
    cluster.kubectl("label", "namespace", "strict", "pod-security.kubernetes.io/enforce=restricted")
    try:
        cluster.kubectl("-n", "strict", "create", "serviceaccount", "default", check=False)
        cluster.kubectl("-n", "strict", "apply", "--dry-run=server", "--validate=strict", "-k", str(REPO / "config/samples/pods"))
    finally:
        cluster.kubectl("delete", "namespace", "strict", "--wait=false")


def test_each_sample_pod_names_a_sample_profile(cluster):
    def listed(directory):
        text = cluster.kubectl("create", "--dry-run=client", "-o", "json", "-k", str(REPO / directory)).stdout
        # A List, or one document after the other, as kubectl pleases.
        decoder, objects = json.JSONDecoder(), []
        while text.strip():
            value, end = decoder.raw_decode(text.lstrip())
            text = text.lstrip()[end:]
            objects += value["items"] if value["kind"] == "List" else [value]
        return objects
    profiles = {o["spec"].get("profileName", o["metadata"]["name"]) for o in listed("config/samples")}
    pods = {o["spec"]["securityContext"]["appArmorProfile"]["localhostProfile"] for o in listed("config/samples/pods") if o["kind"] == "Pod"}
    assert pods == profiles and len(pods) == 4
