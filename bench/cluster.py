"""The two ends of the measurement that a user sees: kubectl at the start, the API server's watch at the end."""
import subprocess
import threading
import time

from labkit.ui import LabError

PATH = "/apis/hauberk.dev/v1alpha1/apparmorprofiles"


class Kubectl:
    """A warm one: it has run before, so that its pages and its discovery cache are there."""

    def __init__(self, lab):
        self.lab = lab
        lab.kubectl("get", "apparmorprofiles")

    def start(self, *args):
        """(the moment of the start, the process)"""
        argv, env = self.lab.kubectl_command(*args)
        began = time.time()
        return began, subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    @staticmethod
    def end(process):
        _, err = process.communicate(timeout=120)
        if process.returncode:
            raise LabError(f"kubectl: {err.strip()}")


def is_ready(obj):
    status = obj.get("status") or {}
    ready = next((c for c in status.get("conditions", []) if c["type"] == "Ready"), {})
    return ready.get("status") == "True" and status.get("observedGeneration") == obj["metadata"]["generation"]


class Watch:
    """When each profile became Ready at its newest generation, and when it was gone, as a watching client learns it."""

    def __init__(self, api):
        self.api, self.news, self.ready, self.gone = api, threading.Condition(), {}, {}
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self):
        while True:
            try:
                for kind, obj in self.api.watch(PATH):
                    self._note(time.time(), kind, obj)
            except (LabError, OSError):     # OSError: the lab is gone
                time.sleep(0.1)

    def _note(self, now, kind, obj):
        name, generation = obj["metadata"]["name"], obj["metadata"]["generation"]
        with self.news:
            if kind == "DELETED":
                self.gone[name] = now
            elif is_ready(obj):
                self.ready.setdefault((name, generation), now)
            self.news.notify_all()

    def wait_ready(self, name, generation, timeout_s=120):
        return self._wait(lambda: self.ready.get((name, generation)), timeout_s, f"{name} to be Ready")

    def wait_gone(self, name, timeout_s=120):
        return self._wait(lambda: self.gone.get(name), timeout_s, f"{name} to be gone")

    def _wait(self, check, timeout_s, what):
        deadline = time.monotonic() + timeout_s
        with self.news:
            while True:
                got = check()
                if got:
                    return got
                if time.monotonic() >= deadline:
                    raise LabError(f"waited {timeout_s} s in vain for {what}")
                self.news.wait(max(0, deadline - time.monotonic()))
