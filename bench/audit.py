"""The API server's audit log: who wrote and read what, and when.

A write is an answered create, update, patch or delete of a stored object. TokenReviews and other reviews store nothing; Events
and the Lease are counted apart. Watches are answered when they end, so they are no reads here.
"""
from tail import Tail, stamp

CONTROLLER = "system:serviceaccount:hauberk-system:hauberk-controller"
WRITES = ("create", "update", "patch", "delete", "deletecollection")
READS = ("get", "list")
NOT_STORED = ("tokenreviews", "subjectaccessreviews", "selfsubjectreviews")


class Entry:
    def __init__(self, line):
        ref = line.get("objectRef", {})
        self.verb, self.user = line["verb"], line["user"]["username"]
        self.resource, self.subresource, self.name = ref.get("resource"), ref.get("subresource"), ref.get("name") or ""
        self.status = line.get("responseStatus", {}).get("code")
        self.received, self.answered = stamp(line["requestReceivedTimestamp"]), stamp(line["stageTimestamp"])

    @property
    def kind(self):
        """write, event, lease, review, read or other."""
        if self.resource in NOT_STORED:
            return "review"
        if self.verb in READS:
            return "read"
        if self.verb not in WRITES:
            return "other"
        return {"events": "event", "leases": "lease"}.get(self.resource, "write")

    def concerns(self, profile):
        """ControllerRevisions and Events are named after their profile."""
        return self.name == profile or self.name.startswith((profile + "-", profile + "."))

    def __repr__(self):
        return f"{self.verb} {self.resource}{'/' + self.subresource if self.subresource else ''} {self.name} {self.status}"


class Audit(Tail):
    def entries(self, mark, user=CONTROLLER):
        return [e for e in map(Entry, self.since(mark)) if user in (None, e.user)]

    def received(self, mark, verbs, profile):
        """When the API server got somebody else's (kubectl's) request."""
        found = [e.received for e in self.entries(mark, None)
                 if e.user != CONTROLLER and e.verb in verbs and e.resource == "apparmorprofiles" and e.name == profile]
        return found[0] if found else None
