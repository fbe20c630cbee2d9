"""Running the command line and looking at what it left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUICK = ("--calibrate", "32", "--evaluate", "48", "--runs", "2")
DIGITS = ("example:digits-cnn", "--data", "example:digits")


@dataclass
class Outcome:
    """What a command left.

    Attributes:
        code: Exit code.
        out: Standard output.
        err: Standard error.
    """

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        lines = self.out.splitlines()
        assert len(lines) == 1, self.out
        found = json.loads(lines[0])
        assert isinstance(found, dict)
        return found

    @property
    def failure(self) -> str:
        """The one line that tells a failure; progress may stand before it."""
        assert self.code == 1, (self.code, self.err)
        assert self.out == ""
        told = [line for line in self.err.splitlines() if line.startswith("qgui: ")]
        assert len(told) == 1, self.err
        assert self.err.splitlines()[-1] == told[0]
        return told[0]


def as_process(*arguments: str, folder: Path | None = None) -> Outcome:
    """Run `python -m qgui` with arguments."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-m", "qgui", *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    return Outcome(done.returncode, done.stdout, done.stderr)
