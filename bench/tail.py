"""Follows a growing file of JSON lines from where it ends now, and lets others wait for a line."""
import json
import threading
import time
from datetime import datetime


def stamp(text):
    """Seconds since 1970 of an RFC 3339 time with microseconds."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Tail:
    def __init__(self, path):
        # Re-entrant: a check may ask for lines itself.
        self.lines, self.news = [], threading.Condition(threading.RLock())
        self.file = open(path, "rb")
        self.file.seek(0, 2)
        self.rest = b""
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self):
        while True:
            data = self.file.read(1 << 20)
            if not data:
                time.sleep(0.005)
                continue
            *whole, self.rest = (self.rest + data).split(b"\n")
            parsed = [json.loads(line) for line in whole if line.startswith(b"{")]
            with self.news:
                self.lines += parsed
                self.news.notify_all()

    def mark(self):
        with self.news:
            return len(self.lines)

    def since(self, mark):
        with self.news:
            return self.lines[mark:]

    def wait(self, check, timeout_s, what):
        """Returns what check(all lines) returns once that is true."""
        deadline = time.monotonic() + timeout_s
        with self.news:
            while True:
                got = check(self.lines)
                if got:
                    return got
                if not self.news.wait(max(0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    raise TimeoutError(f"waited {timeout_s} s in vain for {what}")
