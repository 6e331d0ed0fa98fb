"""What a person sees while the lab works: one line a step, with the time since the start."""
import sys
import threading
import time
from contextlib import contextmanager

_began = time.monotonic()
_lock = threading.Lock()


class LabError(Exception):
    """A failure that a person can read: the message is a sentence and no traceback is shown."""


def say(text):
    with _lock:
        print(f"lab {time.monotonic() - _began:6.1f}s  {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text, remind_s=30):
    """Announces work that takes long, says that it still goes on, and tells at its end how long it took."""
    say(f"{text} ...")
    began, done = time.monotonic(), threading.Event()

    def remind():
        while not done.wait(remind_s):
            say(f"{text}: still at it after {time.monotonic() - began:.0f} s")

    threading.Thread(target=remind, daemon=True).start()
    try:
        yield
    finally:
        done.set()
    say(f"{text}: done in {time.monotonic() - began:.1f} s")


def wait_until(check, timeout_s, what, every_s=0.05):
    """Polls check() until it returns something true, and returns that. For things that offer no event to wait for."""
    deadline = time.monotonic() + timeout_s
    while True:
        got = check()
        if got:
            return got
        if time.monotonic() > deadline:
            raise LabError(f"waited {timeout_s:.0f} s in vain for {what}")
        time.sleep(every_s)
