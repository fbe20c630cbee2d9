"""How much memory a runtime needs with a model: `python -m qgui.engine.resident RUNTIME FILE INPUTS THREADS [ENGINE]`.

Run in a fresh process: the runtime is imported, the high-water mark of resident memory reset where the system can, then
the model is loaded and run. No other runtime is imported, so that none counts that the model would not need.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

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


def onnxruntime_session(path: str, inputs: Inputs, threads: int) -> Callable[[], Any]:
    """Return what runs an ONNX file in ONNX Runtime on so many threads.

    Raises:
        ImportError: ONNX Runtime is not installed.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = _named(inputs, [entry.name for entry in session.get_inputs()])
    return lambda: session.run(None, feed)[0]


def openvino_request(path: str, inputs: Inputs, threads: int) -> Callable[[], Any]:
    """Return what runs an ONNX or OpenVINO file in OpenVINO on so many threads, for inputs of these shapes.

    What is not int8 is computed in float32; by itself OpenVINO would take bfloat16 where the processor has it.

    Raises:
        ImportError: OpenVINO is not installed.
    """
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    feed = _named(inputs, [entry.get_any_name() for entry in model.inputs])
    model.reshape({name: list(value.shape) for name, value in feed.items()})
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    return lambda: request.infer(feed, share_inputs=True, share_outputs=True)[0]


def _named(inputs: Inputs, names: Sequence[str]) -> Inputs:
    """Return inputs under the names that a file has for them; by their order where it has others."""
    if set(names) <= set(inputs):
        return {name: inputs[name] for name in names}
    return dict(zip(names, inputs.values(), strict=True))


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
    if runtime == "onnxruntime":
        import onnxruntime  # noqa: F401

        return lambda: onnxruntime_session(path, inputs, threads)
    if runtime == "openvino":
        import openvino  # noqa: F401

        return lambda: openvino_request(path, inputs, threads)
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
