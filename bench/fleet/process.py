"""The controller's process: memory and time on a processor."""
from pathlib import Path


def _field(text, name):
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name + ":"))


class Process:
    """As it runs now; a controller that was started again is another one."""

    def __init__(self, lab):
        self.proc = Path("/proc") / str(lab.status()["controller"]["pid"])

    def cpu_s(self):
        return sum(int((t / "schedstat").read_text().split()[0]) for t in (self.proc / "task").iterdir()) / 1e9

    def rss_mib(self):
        return _field((self.proc / "smaps_rollup").read_text(), "Rss") / 1024

    def peak_rss_mib(self):
        return _field((self.proc / "status").read_text(), "VmHWM") / 1024

    def forget_peak(self):
        (self.proc / "clear_refs").write_text("5")
