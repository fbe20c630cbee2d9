"""A fresh process that opens an exported file and prints what it found as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

from qgui.core.language import say
from qgui.engine.progress import Progress

_TIME_LIMIT = 600
#: Seconds between two looks at whether the person asked to stop.
_ASKED_EVERY = 0.1


def fresh_python(*arguments: str) -> list[str]:
    """Return the command that runs a module or script of Python in a new process, from a bundle too."""
    if getattr(sys, "frozen", False):
        return [sys.executable, "--python", *arguments]
    return [sys.executable, *arguments]


def found_by(command: list[str], progress: Progress, threads: int = 1) -> dict[str, Any]:
    """Return the JSON object that a process prints last; `problem` says why there is none.

    Raises:
        Cancelled: The person asked to stop.
    """
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": str(threads)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            output, errors = _waited_for(process, progress)
        except subprocess.TimeoutExpired:
            process.kill()
            return {"problem": say("it took longer than {time_limit} s", time_limit=_TIME_LIMIT)}
        except BaseException:
            process.kill()
            raise
    lines = output.strip().splitlines()
    if process.returncode != 0 or not lines:
        told = errors.strip().splitlines()
        return {"problem": told[-1] if told else say("it ended with code {returncode}", returncode=process.returncode)}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def _waited_for(process: subprocess.Popen[str], progress: Progress) -> tuple[str, str]:
    """Return what a process wrote until its end, and ask on the way whether to stop."""
    deadline = time.monotonic() + _TIME_LIMIT
    while True:
        progress.check()
        try:
            return process.communicate(timeout=_ASKED_EVERY)
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                raise
