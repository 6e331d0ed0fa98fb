"""The nodes' own kernels, asked without Hauberk: the cross-check of what it says.

apparmorfs' `revision` grows with every load and removal; a reader is woken at once. Its lines come over the node's serial port
and are stamped on this host's clock, which is a few milliseconds late.
"""
import threading
import time

from labkit import nodes
from labkit.ui import LabError


class Kernels:
    def __init__(self, lab, names):
        self.lab, self.moves, self.lock = lab, {n: [] for n in names}, threading.Lock()
        for name in names:
            threading.Thread(target=self._follow, args=(name,), daemon=True).start()

    def _follow(self, name):
        def note(data):
            if data.strip():
                with self.lock:
                    self.moves[name].append(time.time())
        while True:
            try:
                nodes.guest(self.lab.state, name).converse(["cat", "/sys/kernel/security/apparmor/revision"], b"", note, lambda _: None, None)
            except (LabError, OSError):
                time.sleep(0.5)

    def last_to_move(self, since):
        """When the last node's kernel changed its policy first after that moment; None where one did not."""
        with self.lock:
            first = [next((t for t in moves if t >= since), None) for moves in self.moves.values()]
        return None if None in first else max(first)

    def holding(self, profile):
        """The nodes whose kernel lists the profile, in enforce mode."""
        line = f"{profile} (enforce)"
        return {n for n in self.moves
                if line in self.lab.exec(n, "cat", "/sys/kernel/security/apparmor/profiles").stdout.splitlines()}
