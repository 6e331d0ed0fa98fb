"""A few calls to the API server without a kubectl process each: what the lab itself asks and writes."""
import http.client
import json
import ssl
import threading

from .ui import LabError

MERGE = "application/merge-patch+json"


class ApiError(LabError):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Api:
    """The lab's administrator. Connections are kept, one a thread."""

    def __init__(self, state):
        self.port, self.pki, self.local = state.port("apiserver"), state.pki, threading.local()

    def _tls(self):
        tls = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
        tls.load_cert_chain(self.pki / "admin.crt", self.pki / "admin.key")
        return tls

    def _connect(self, timeout):
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self._tls(), timeout=timeout)

    def call(self, method, path, body=None, content_type="application/json", timeout=15):
        """Returns the parsed answer; raises ApiError with its status, or 0 where the server could not be reached."""
        for fresh in (False, True):
            conn = getattr(self.local, "conn", None)
            if conn is None or fresh:
                conn = self.local.conn = self._connect(timeout)
            try:
                conn.request(method, path, None if body is None else json.dumps(body), {
                    "Content-Type": content_type, "Accept": "application/json", "User-Agent": "hauberk-lab"})
                answer = conn.getresponse()
                data = answer.read()
                break
            except (OSError, http.client.HTTPException) as e:
                conn.close()
                self.local.conn = None
                # A kept connection may have been closed by a restart of the server: once more on a new one.
                if fresh or isinstance(e, ConnectionRefusedError):
                    raise ApiError(0, f"the lab's API server does not answer: {e}") from e
        if answer.status >= 300:
            try:
                message = json.loads(data).get("message", "")
            except ValueError:
                message = data.decode(errors="replace")
            raise ApiError(answer.status, f"{method} {path}: {answer.status} {message}")
        if "json" not in (answer.headers.get("Content-Type") or ""):
            return data.decode()
        return json.loads(data)

    def get(self, path, **kw):
        return self.call("GET", path, **kw)

    def find(self, path):
        """As get(), and None for what does not exist."""
        try:
            return self.get(path)
        except ApiError as e:
            if e.status == 404:
                return None
            raise

    def post(self, path, body):
        return self.call("POST", path, body)

    def patch(self, path, body, content_type=MERGE):
        return self.call("PATCH", path, body, content_type)

    def delete(self, path, **options):
        return self.call("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", **options})

    def ready(self):
        try:
            return self.get("/readyz", timeout=2) == "ok"
        except ApiError:
            return False

    def watch(self, path):
        """Yields (type, object) from a list and the watch that follows it; ends when the server closes the watch."""
        listed = self.get(path)
        for item in listed["items"]:
            yield "ADDED", item
        conn = self._connect(timeout=330)
        try:
            joint = "&" if "?" in path else "?"
            conn.request("GET", f"{path}{joint}watch=1&timeoutSeconds=300&resourceVersion={listed['metadata']['resourceVersion']}")
            answer = conn.getresponse()
            if answer.status != 200:
                raise ApiError(answer.status, f"watch {path}: {answer.status} {answer.read(500).decode(errors='replace')}")
            for line in answer:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event["type"], event["object"]
        except (OSError, http.client.HTTPException, ValueError):
            return
        finally:
            conn.close()
