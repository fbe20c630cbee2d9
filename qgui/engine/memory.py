"""How much memory this process may take, and whether an error says that there was not enough."""

from __future__ import annotations

import importlib
import sys

import torch

_GIBIBYTE = 1 << 30


def can_limit() -> bool:
    """Whether this system limits the memory of a process where it is asked to."""
    return sys.platform.startswith("linux")


def limit(gibibytes: int) -> bool:
    """Let this process take no more memory than given; what is beyond is refused, and the job that asked for it fails.

    Args:
        gibibytes: In GiB, 0 for as much as there is.

    Returns:
        Whether the system limits memory.
    """
    if not can_limit():
        return False
    resource = importlib.import_module("resource")
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = gibibytes * _GIBIBYTE if gibibytes else hard
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard) if soft != resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    return True


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out; torch says so with a `RuntimeError` on the CPU."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)
