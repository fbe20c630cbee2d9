"""Open a file that torch or QGUI reads in a fresh process: `python -m qgui.engine.verify FORMAT FILE SAMPLES`."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qgui.core import recipe_file
from qgui.core.errors import QguiError
from qgui.engine import onnx_programs

_WARM_UP = 3
_RUNS = 20


def torchscript(path: Path, samples: Path, outputs: Path, threads: int) -> dict[str, object]:
    """Store what a TorchScript program computes from samples, and return the median time of one in ms."""
    import torch

    from qgui.engine.fx import plain

    plain.silence()
    torch.set_num_threads(threads)
    stored = torch.load(samples, weights_only=True)
    with plain.engine(stored["backend"]), torch.inference_mode():
        program = torch.jit.load(str(path))
        given = [list(i.values()) if isinstance(i, dict) else list(i) for i in stored["inputs"]]
        found = [{"output": program(*tensors).float().numpy()} for tensors in given]
        onnx_programs.save_samples(outputs, found)
        return {"latency_ms": _latency(program, given[0])}


def _latency(program: Callable[..., Any], tensors: Sequence[Any]) -> float:
    times = []
    for turn in range(-_WARM_UP, _RUNS):
        began = time.perf_counter()
        program(*tensors)
        if turn >= 0:
            times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)


def main(arguments: Sequence[str]) -> int:
    """Print what the check found as one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["torchscript", "recipe"])
    parser.add_argument("file", type=Path)
    parser.add_argument("samples", type=Path)
    parser.add_argument("--outputs", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    found: dict[str, object]
    try:
        if given.kind == "recipe":
            found = {"recipe_hash": recipe_file.load(given.file).digest()}
        else:
            found = torchscript(given.file, given.samples, given.outputs, given.threads)
    except (RuntimeError, OSError, QguiError) as error:
        found = {"problem": str(error).strip().splitlines()[0]}
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
