"""How much memory a runtime needs with a model: `python -m qgui.engine.resident RUNTIME FILE INPUTS THREADS [ENGINE]`.

Run in a fresh process: the runtime is imported, the high-water mark of resident memory reset where the system can, then
the model is loaded and run. No other runtime is imported, so that none counts that the model would not need.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from qgui.engine import onnx_programs

#: Runs after loading; the first may take less than the later ones.
_RUNS = 3
_STATUS = Path("/proc/self/status")

Inputs = dict[str, Any]


def torch_program(path: str, inputs: Inputs, engine: str, *, optimized: bool) -> Callable[[], Any]:
    """Return what runs a TorchScript program."""
    import torch

    if engine:
        torch.backends.quantized.engine = engine
    program = torch.jit.load(path)
    if optimized:
        program = torch.jit.optimize_for_inference(program)
    tensors = [torch.from_numpy(value) for value in inputs.values()]

    def run() -> Any:
        with torch.inference_mode():
            return program(*tensors)

    return run


def other_program(runtime: str, path: str, inputs: Inputs, threads: int) -> Callable[[], Any]:
    """Return what runs an ONNX file in ONNX Runtime or OpenVINO on so many threads, for inputs of these shapes.

    Raises:
        QguiError: The runtime cannot run the file.
    """
    file = Path(path)
    if runtime == "openvino":
        shapes = {name: value.shape for name, value in inputs.items()}
        program = onnx_programs.open_openvino(file, threads, shapes=shapes)
    else:
        program = onnx_programs.open_onnx(file, threads)
    return lambda: next(iter(program(inputs).values()))


def main(arguments: Sequence[str]) -> int:
    """Print resident memory in bytes, before the model and at its peak, as one JSON object."""
    runtime, path, stored, threads, *engine = arguments
    with np.load(stored) as file:
        inputs = {name: file[name] for name in file.files}
    found: dict[str, object]
    try:
        run = _imported(runtime, path, inputs, int(threads), engine[0] if engine else "")
        _forget_peak()
        base = psutil.Process().memory_info().rss
        call = run()
        for _ in range(_RUNS):
            call()
        found = {"base": base, "peak": max(_peak(), base)}
    except Exception as error:
        lines = str(error).strip().splitlines()
        found = {"problem": lines[0] if lines else type(error).__name__}
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def _imported(runtime: str, path: str, inputs: Inputs, threads: int, engine: str) -> Callable[[], Callable[[], Any]]:
    """Import a runtime, and return what loads the model in it."""
    if runtime in ("onnxruntime", "openvino"):
        importlib.import_module(runtime)
        return lambda: other_program(runtime, path, inputs, threads)
    import torch

    torch.set_num_threads(threads)
    return lambda: torch_program(path, inputs, engine, optimized=runtime == "optimized")


def _forget_peak() -> None:
    """Set the high-water mark back to what is resident now, where the system can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak() -> int:
    """Return the greatest resident memory in bytes.

    On Linux not that of `getrusage`, which a process inherits from the one that started it.
    """
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    greatest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return greatest if sys.platform == "darwin" else greatest * 1024


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
