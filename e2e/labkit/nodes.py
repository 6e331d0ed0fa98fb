"""Nodes of a lab, whatever their kind."""
from .ui import LabError

KERNELS = ["6.1", "6.12"]
OPTIONS = ("append", "kernel", "memory")


def plan(state, wanted, bare, kernels, options):
    if wanted or bare:
        raise LabError("nodes come with the next commit: e2e/lab up --nodes 0 for now")
    return []


def build(state, plan, hauberk):
    pass


def start_all(state, daemon, plan, meanwhile):
    meanwhile()
