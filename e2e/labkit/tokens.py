"""Renews the token that the controller on this host reads, as a kubelet renews a pod's: a process of its own in the lab."""
import sys
import time

from . import controller
from .state import State
from .ui import LabError


def main(directory):
    state = State(directory)
    while True:
        time.sleep(controller.TOKEN_SECONDS * 0.7)
        while True:
            try:
                controller.renew_token(state)
                break
            except LabError as e:
                print(f"renewing the controller's token: {e}; again in 10 s", flush=True)
                time.sleep(10)


if __name__ == "__main__":
    main(sys.argv[1])
