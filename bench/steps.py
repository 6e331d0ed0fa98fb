"""The controller's log as steps in time: what it saw, decided and was told, and when (host clock, microseconds)."""
from tail import Tail, stamp


class Steps(Tail):
    def of(self, mark, msg, **fields):
        """Times and lines of the message, oldest first, with these fields."""
        return [(stamp(e["time"]), e) for e in self.since(mark)
                if e["msg"] == msg and all(e.get(k) == v for k, v in fields.items())]

    def first(self, mark, msg, **fields):
        found = self.of(mark, msg, **fields)
        return found[0][0] if found else None

    def last(self, mark, msg, **fields):
        found = self.of(mark, msg, **fields)
        return found[-1][0] if found else None

    def wait_reported(self, mark, profile, nodes, state, timeout_s=60):
        """{node: (time, line)} of the first report of that state from each node, once all have reported it."""
        def check(_):
            found = {}
            for at, e in self.of(mark, "profile reported", profile=profile, state=state):
                found.setdefault(e["node"], (at, e))
            return found if set(nodes) <= set(found) else None
        return self.wait(check, timeout_s, f"{profile} to be reported {state} by {', '.join(nodes)}")
