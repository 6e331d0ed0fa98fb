"""The process of simulated agents: what it has counted so far, and waiting for what it shall count."""
import json
import subprocess
import threading
import time

from labkit import controller
from labkit.ui import LabError

ENDS_AFTER_S = 3600


class Agents:
    def __init__(self, lab, members, ca, load_ms, fail_permille, drop_permille, log):
        self.news, self.counts = threading.Condition(), {}
        with open(log, "wb") as errors:
            self.process = subprocess.Popen([
                str(controller.bin_dir() / "fleet-agents"), f"--agents={members}", f"--ca={ca}", f"--address={lab.controller_address}",
                f"--load-ms={load_ms}", f"--fail-permille={fail_permille}", f"--drop-permille={drop_permille}",
                f"--seconds={ENDS_AFTER_S}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self):
        for line in self.process.stdout:
            counts = json.loads(line)
            with self.news:
                self.counts = counts
                self.news.notify_all()
        with self.news:
            self.counts = {"ended": True}
            self.news.notify_all()

    def now(self):
        with self.news:
            return dict(self.counts)

    def wait(self, check, timeout_s, what):
        """The counts once check(counts) is true."""
        deadline = time.monotonic() + timeout_s
        with self.news:
            while not (self.counts and "ended" not in self.counts and check(self.counts)):
                if "ended" in self.counts:
                    raise LabError(f"the agents' process ended while the bench waited for {what}")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise LabError(f"waited {timeout_s} s in vain for {what}: {self.counts}")
                self.news.wait(left)
            return dict(self.counts)

    def end(self):
        self.process.stdin.close()      # which tells it to end
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
