"""How much memory this process may take, when it gives it back, and whether an error says that there was not enough."""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_GIBIBYTE = 1 << 30
#: Parameters of glibc's `mallopt`.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
#: Where glibc's own adjustment of both thresholds ends once large blocks were freed.
_USUAL_TRIM, _USUAL_MMAP = 64 << 20, 32 << 20
_NEVER = (1 << 31) - 1


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


def share_one_arena() -> None:
    """Let all threads that begin later take memory from one place, as `held` needs it; only glibc knows several."""
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_ARENA_MAX, 1)


@contextmanager
def held() -> Iterator[None]:
    """Keep freed memory for the next allocation instead of giving it back to the system each time.

    A training step frees and takes the same large tensors again and again; on Linux, every return and new fetch costs a
    page fault for each 4 KiB. Afterwards everything that is free goes back.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_MMAP_THRESHOLD, _NEVER)
    libc.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_THRESHOLD, _USUAL_MMAP)
        libc.mallopt(_TRIM_THRESHOLD, _USUAL_TRIM)
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
