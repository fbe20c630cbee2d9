"""Programs of ONNX Runtime and OpenVINO, without torch.

Run as a module with KIND, FILE, SAMPLES and OUTPUTS, in a fresh process, it opens an exported file, runs it on stored
samples, stores what it computes, and prints the median time of one sample.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qgui.core.errors import QguiError
from qgui.core.extras import how_to_install
from qgui.core.language import say

Arrays = dict[str, npt.NDArray[Any]]
#: Takes the inputs by name and returns the outputs by name.
Program = Callable[[Mapping[str, npt.NDArray[Any]]], Arrays]
#: Float layers stay float32: on some processors OpenVINO would compute them in bfloat16 unasked.
_OPENVINO = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
#: Characters of an error that are told.
_TOLD = 300
_WARM_UP = 3
_RUNS = 20


def open_onnx(path: Path, threads: int = 1, values: Sequence[str] = ()) -> Program:
    """Open an ONNX file in ONNX Runtime on the CPU.

    Args:
        path: The file.
        threads: Threads that one operator may use.
        values: Names of tensors inside the graph to return too; those that it does not have are left out.

    Raises:
        QguiError: ONNX Runtime cannot run it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        source = _with_outputs(path, values) if values else str(path)
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise QguiError(say("Could not open the ONNX file"), _first_line(error), say("Export it again.")) from error
    known = {value.name for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        found = session.run(None, {name: array for name, array in inputs.items() if name in known})
        return dict(zip(names, found, strict=True))

    return run


def open_openvino(
    path: Path, threads: int = 1, values: Sequence[str] = (), shapes: Mapping[str, Sequence[int]] | None = None
) -> Program:
    """Open an OpenVINO IR (`.xml`) or an ONNX file in OpenVINO on the CPU; arguments as for `open_onnx`.

    Args:
        path: The file.
        threads: Threads that one inference may use.
        values: Names of tensors inside to return too.
        shapes: Shapes to which its inputs are fixed, by name; None for any batch.

    Raises:
        QguiError: OpenVINO is not installed, or cannot run the file.
    """
    try:
        import openvino
    except ImportError as error:
        hint = how_to_install("openvino")
        raise QguiError(say("Could not open the OpenVINO file"), say("OpenVINO is not installed"), hint) from error
    try:
        core = openvino.Core()
        model = core.read_model(str(path))
        there = {name for node in model.get_ops() for output in node.outputs() for name in output.get_names()}
        model.add_outputs([value for value in values if value in there])
        if shapes is not None:
            names = {name for value in model.inputs for name in value.names}
            model.reshape({name: list(shape) for name, shape in shapes.items() if name in names})
        settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, **_OPENVINO}
        request = core.compile_model(model, "CPU", settings).create_infer_request()
    except Exception as error:
        raise QguiError(say("Could not open the OpenVINO file"), _first_line(error), say("Export it again.")) from error
    known = {name for value in request.model_inputs for name in value.names}
    wanted = {"output", *values}

    def run(inputs: Mapping[str, npt.NDArray[Any]]) -> Arrays:
        found = request.infer({name: array for name, array in inputs.items() if name in known})
        return {name: np.array(array) for value, array in found.items() for name in value.names & wanted}

    return run


OPENERS: dict[str, Callable[[Path, int, Sequence[str]], Program]] = {"onnx": open_onnx, "openvino": open_openvino}


def _with_outputs(path: Path, values: Sequence[str]) -> bytes:
    import onnx

    model = onnx.load(path)
    there = {name for node in model.graph.node for name in node.output} - {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=value) for value in values if value in there)
    whole: bytes = model.SerializeToString()
    return whole


def _first_line(error: Exception) -> str:
    """Return what an error says first; OpenVINO says before where in its own code it was raised."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith("Exception from src")] or lines
    return told[0][:_TOLD] if told else type(error).__name__


def save_samples(path: Path, samples: Sequence[Mapping[str, npt.NDArray[Any]]]) -> None:
    """Store the inputs of samples by name.

    Raises:
        OSError: The file cannot be written.
    """
    np.savez(path, **{f"{index}/{name}": array for index, s in enumerate(samples) for name, array in s.items()})  # type: ignore[arg-type]


def load_samples(path: Path) -> list[Arrays]:
    """Return the inputs of samples, or what a program computed from them."""
    samples: dict[int, Arrays] = {}
    with np.load(path) as stored:
        for key in stored.files:
            index, _, name = key.partition("/")
            samples.setdefault(int(index), {})[name] = stored[key]
    return [samples[index] for index in sorted(samples)]


def main(arguments: Sequence[str]) -> int:
    """Run a file on samples; print time or problem as one JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=sorted(OPENERS))
    parser.add_argument("file", type=Path)
    parser.add_argument("samples", type=Path)
    parser.add_argument("outputs", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--values", nargs="*", default=(), help="tensors inside to store too")
    given = parser.parse_args(arguments)
    try:
        samples = load_samples(given.samples)
        program = OPENERS[given.kind](given.file, given.threads, given.values)
        save_samples(given.outputs, [program(sample) for sample in samples])
        found: dict[str, Any] = {"latency_ms": _latency(program, samples[0])}
    except QguiError as error:
        found = {"problem": error.why}
    except Exception as error:
        found = {"problem": _first_line(error)}
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def _latency(program: Program, sample: Arrays) -> float:
    times = []
    for turn in range(-_WARM_UP, _RUNS):
        began = time.perf_counter()
        program(sample)
        if turn >= 0:
            times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
