"""Who is let in at the agents' door, what may be sent there, and that nobody is kept out by those who misbehave."""
import base64
import http.client
import json
import resource
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from harness import NAMESPACE, NODE_OBJECTS, condition, profile
from labkit.ui import LabError, wait_until

AUDIENCE = "hauberk-controller"
SERVER_NAME = f"hauberk-controller.{NAMESPACE}.svc"
NOTHING = "0" * 64


class Door:
    """A caller at the agents' door that verifies as an agent does."""

    def __init__(self, cluster):
        self.cluster, self.api = cluster, cluster.api
        host, port = cluster.lab.controller_address.rsplit(":", 1)
        self.address = (host, int(port))
        ca = self.api.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/hauberk-ca")["data"]["ca.crt"]
        self.tls = ssl.create_default_context(cadata=ca)

    def connect(self, timeout=30):
        raw = socket.create_connection(self.address, timeout=timeout)
        return self.tls.wrap_socket(raw, server_hostname=SERVER_NAME)

    def call(self, token, body=None, path="/v1/sync", method="POST"):
        """(status, parsed answer)"""
        conn = http.client.HTTPConnection(SERVER_NAME)
        conn.sock = self.connect()
        try:
            data = body if isinstance(body, bytes) else json.dumps(body or {"protocol": 1, "epoch": 0}).encode()
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            conn.request(method, path, data, headers)
            answer = conn.getresponse()
            text = answer.read()
            try:
                return answer.status, json.loads(text)
            except ValueError:
                return answer.status, text
        finally:
            conn.close()

    def token(self, account="hauberk-agent", namespace=NAMESPACE, audience=AUDIENCE, bound=None):
        spec = {"audiences": [audience], "expirationSeconds": 600}
        if bound:
            spec["boundObjectRef"] = bound
        answer = self.api.post(f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec})
        return answer["status"]["token"]


class FakeNode:
    """A Node and an agent's pod on it that are objects only. Excluded, so that no profile waits for it."""

    def __init__(self, door, name):
        self.door, self.api, self.name = door, door.api, name
        self.node = self.api.post("/api/v1/nodes", {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"hauberk.dev/exclude": "", "e2e": "fake"}},
            "spec": {"unschedulable": True}})
        self.pod = self.api.post(f"/api/v1/namespaces/{NAMESPACE}/pods", {
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"nodeName": name, "serviceAccountName": "hauberk-agent", "automountServiceAccountToken": False,
                     "tolerations": [{"operator": "Exists"}], "terminationGracePeriodSeconds": 0,
                     "containers": [{"name": "c", "image": "none"}]}})

    def token(self, **kw):
        return self.door.token(bound={"apiVersion": "v1", "kind": "Pod", "name": self.name, "uid": self.pod["metadata"]["uid"]}, **kw)

    def end(self):
        for path in (f"/api/v1/namespaces/{NAMESPACE}/pods/{self.name}", f"/api/v1/nodes/{self.name}"):
            if self.api.find(path):
                self.api.delete(path, gracePeriodSeconds=0)


@pytest.fixture
def door(cluster):
    return Door(cluster)


@pytest.fixture
def fakes(cluster, door):
    made = []

    def make(word="fake"):
        made.append(FakeNode(door, cluster.name(word)))
        return made[-1]

    yield make
    for fake in made:
        fake.end()


def let_in(door, fake):
    """The controller learns of a new Node by its watch, a moment later."""
    token = fake.token()
    return wait_until(lambda: (door.call(token)[0] == 200 and token), 20, "the node to be known")


def signed_with_the_labs_key(lab, like, **claims):
    """A token that is right in all but what the claims change."""
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    def read(text):
        return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))

    head, body, _ = like.split(".")
    signed = part(json.dumps(read(head)).encode()) + b"." + part(json.dumps({**read(body), **claims}).encode())
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in").write_bytes(signed)
        run = subprocess.run(["openssl", "dgst", "-sha256", "-sign", lab.token_signing_key, Path(folder) / "in"], capture_output=True, check=True)
    return (signed + b"." + part(run.stdout)).decode()


def test_an_agent_bound_to_its_pod_and_node_is_let_in(cluster, door, fakes):
    fake = fakes()
    token = let_in(door, fake)
    status, answer = door.call(token)
    assert status == 200 and answer["wantReport"] is True and answer["epoch"] > 0
    # The same claims, signed with the same key: what fails below fails for its own reason.
    assert door.call(signed_with_the_labs_key(cluster.lab, token))[0] == 200


def test_everybody_else_is_turned_away_with_a_sentence(cluster, door, fakes):
    fake, gone = fakes(), fakes("gone")
    let_in(door, fake)
    late = gone.token()
    cluster.api.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{gone.name}", gracePeriodSeconds=0)
    wait_until(lambda: not cluster.api.find(f"/api/v1/namespaces/{NAMESPACE}/pods/{gone.name}"), 20, "the pod to be gone")
    now = int(time.time())
    node_ref = {"apiVersion": "v1", "kind": "Node", "name": fake.name, "uid": fake.node["metadata"]["uid"]}
    cases = {
        "no token": (None, 401),
        "no token at all": ("x", 401),
        "another account": (door.token(account="default", namespace="default"), 403),
        "the controller's account": (door.token(account="hauberk-controller"), 403),
        "another audience": (fake.token(audience="https://kubernetes.default.svc"), 403),
        "unbound": (door.token(), 403),
        "bound to a Node": (door.token(bound=node_ref), 403),
        "expired": (signed_with_the_labs_key(cluster.lab, fake.token(), exp=now - 300, iat=now - 900, nbf=now - 900), 401),   # the API server allows a minute
        "of a deleted pod": (late, 401),
        "a signature that does not fit": (fake.token()[:-8] + "AAAAAAAA", 401),
    }
    wrong = []
    for what, (token, want) in cases.items():
        for path, method in (("/v1/sync", "POST"), (f"/v1/policies/{NOTHING}", "GET")):
            status, answer = door.call(token, path=path, method=method)
            sentence = answer.get("message", "") if isinstance(answer, dict) else ""
            if status != want or len(sentence.split()) < 4 or (token and len(token) > 20 and token in sentence):
                wrong.append(f"{what} at {path}: {status} {answer}, not {want}")
    assert not wrong, "\n".join(wrong)


def test_a_report_counts_for_the_node_that_the_token_is_bound_to_and_no_other(cluster, door, fakes):
    name, fake = cluster.name("bound"), fakes()
    cluster.apply(profile(name))
    ready = cluster.wait_ready(name)
    token = let_in(door, fake)
    lie = {"name": name, "revision": "0" * 12, "target": ready["status"]["updateRevision"], "state": "Failed", "reason": "LoadFailed", "message": "a lie"}
    body = {"protocol": 1, "epoch": 0, "node": cluster.nodes[0], "nodeName": cluster.nodes[0], "reportHash": "1" * 64,
            "report": {"appArmorEnabled": True, "profiles": [lie]}}
    mark = cluster.profiles.mark()
    conn = door.connect()      # the answer is held back, for there is nothing to say to it
    data = json.dumps(body).encode()
    conn.sendall(f"POST /v1/sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
    cluster.patch(name, metadata={"labels": {"e2e": "after-the-lie"}})
    other = cluster.name("after")
    cluster.apply(profile(other))
    cluster.wait_ready(other)
    conn.close()
    for event in cluster.profiles.since(mark, name):
        assert event.obj["status"]["failedNodes"] == 0 and event.obj["status"]["readyNodes"] == len(cluster.nodes), event.obj["status"]


def test_what_is_not_a_sync_is_refused_by_its_cause(cluster, door, fakes):
    token = let_in(door, fakes())
    cases = [
        ("a protocol of the future", 426, "version", {"protocol": 99}),
        ("a truncated JSON", 400, "JSON", b'{"protocol": 1, "epo'),
        ("no JSON", 400, "JSON", b"\x00\xff\xfe"),
        ("another shape", 400, "protocol", {"hello": "there"}),
        ("a feature set of 9 KiB", 400, "featuresText", {"protocol": 1, "features": NOTHING, "featuresText": "f" * 9216}),
        ("a body over the limit", 413, "", b" " * (2 << 20) + b"{}"),
    ]
    wrong = []
    for what, want, word, body in cases:
        try:
            status, answer = door.call(token, body)
        except (OSError, http.client.HTTPException) as e:
            status, answer = type(e).__name__, {}
        message = answer.get("message", "") if isinstance(answer, dict) else ""
        # Who still sends while the answer is on its way may see the connection closed instead of the answer.
        if not (status == want and word in message) and not (want == 413 and status in ("BrokenPipeError", "ConnectionResetError", "SSLEOFError")):
            wrong.append(f"{what}: {status} {answer}, not {want} with {word}")
    assert door.call(token, path="/v1/policies/..%2f..%2fca.key", method="GET")[0] == 404
    assert door.call(token, path="/etc/passwd", method="GET")[0] == 404
    assert not wrong, "\n".join(wrong)


@pytest.mark.disturbs
def test_a_hostile_feature_set_is_the_trouble_of_its_node_alone(cluster, door, fakes):
    import hashlib

    def send(fake, text):
        # As an agent does: its report first, and the text when it is asked for.
        token, digest = let_in(door, fake), hashlib.sha256(text.encode()).hexdigest()
        said = {"protocol": 1, "epoch": 0, "features": digest, "reportHash": "3" * 64}
        status, answer = door.call(token, said | {"report": {"appArmorEnabled": True, "profiles": []}})[:2]
        assert status == 200 and answer.get("wantFeatures"), answer
        door.call(token, said | {"featuresText": text})

    def exceptions(fake):
        found = cluster.api.find(f"{NODE_OBJECTS}/{fake.name}") or {}
        return [e["reason"] for e in (found.get("status") or {}).get("exceptions", [])]

    try:
        odd = fakes("malformed")
        send(odd, "caps {{{{ $(reboot)")
        report = {"protocol": 1, "epoch": 0, "features": "2" * 64, "reportHash": "3" * 64, "report": {"appArmorEnabled": True, "profiles": []}}
        assert door.call(odd.token(), report)[0] == 200
        many = [fakes(f"set{i}") for i in range(33)]
        for i, fake in enumerate(many):
            send(fake, f"caps {{mask {{x{i}\n}}\n}}\n")
        name = cluster.name("beside")
        cluster.apply(profile(name))
        cluster.wait_ready(name)
        last = many[-1]
        wait_until(lambda: "TooManyFeatureSets" in exceptions(last), 30, f"the exception of {last.name}: {exceptions(last)}")
    finally:
        # Feature sets are known until the controller ends.
        cluster.lab.kill("controller")
        cluster.lab.start("controller")


def test_plain_http_and_crowds_that_say_nothing_keep_nobody_out(cluster, door, fakes):
    token = let_in(door, fakes())
    resource.setrlimit(resource.RLIMIT_NOFILE, (12000, max(12000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    with socket.create_connection(door.address, timeout=30) as plain:
        plain.sendall(b"GET /v1/policies/x HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            assert b"200" not in plain.recv(4096)
        except ConnectionResetError:
            pass
    crowd, slow = [], 0.0
    try:
        for i in range(10_000):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(door.address)
            crowd.append(s)
            if i % 1000 == 999:
                start = time.monotonic()
                assert door.call(token)[0] == 200
                slow = max(slow, time.monotonic() - start)
        name = cluster.name("crowded")
        cluster.apply(profile(name))
        cluster.wait_ready(name)
    finally:
        for s in crowd:
            s.close()
    assert door.call(token)[0] == 200
    print(f"the slowest answer within the crowd took {slow:.2f} s")


@pytest.mark.disturbs
def test_a_server_with_a_certificate_of_its_own_gets_not_one_byte(cluster, door, tmp_path):
    """A proxy that took the controller's place on the wire: agents and everybody who verifies turn away."""
    key, cert = tmp_path / "key", tmp_path / "cert"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
                    "-subj", "/CN=proxy", "-addext", f"subjectAltName=DNS:{SERVER_NAME}", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    name = cluster.name("proxied")
    turned_away, heard = [], []
    cluster.lab.kill("controller")
    try:
        listener = socket.create_server(door.address)
        listener.settimeout(120)

        def serve():
            while len(turned_away) < 2:
                try:
                    conn, _ = listener.accept()
                    with tls.wrap_socket(conn, server_side=True) as wrapped:
                        wrapped.settimeout(5)
                        heard.append(wrapped.recv(1))
                except ssl.SSLError as e:
                    turned_away.append(str(e))
                except OSError:
                    return
        thread = threading.Thread(target=serve)
        thread.start()
        thread.join(120)
        listener.close()
    finally:
        cluster.lab.start("controller")
    assert len(turned_away) >= 2, f"no agent came, or one let itself be deceived: {heard}"
    assert not any(heard), "an agent spoke to a server that it could not verify"
    cluster.apply(profile(name))
    cluster.wait_ready(name, timeout_s=240)
    cluster.check_kernels(cluster.profiles.now[name])
    assert condition(cluster.profiles.now[name])["reason"] == "RolloutComplete"
    with pytest.raises((LabError, AssertionError, ssl.SSLError)):
        bad = ssl.create_default_context(cafile=str(cert))
        with socket.create_connection(door.address, timeout=10) as raw:
            bad.wrap_socket(raw, server_hostname=SERVER_NAME)
