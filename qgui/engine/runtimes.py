"""Float and int8 in every runtime of this machine: same input, threads and batch size, all in one run."""

from __future__ import annotations

import importlib.util
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from qgui.core import ranges
from qgui.core.errors import Cancelled, QguiError
from qgui.core.language import say
from qgui.core.runtimes import RUNTIMES, RuntimeResult, RuntimeTable, in_order
from qgui.engine import backends, comparison, fresh_process, latency, machine, resident
from qgui.engine.batch import Batch
from qgui.engine.check_samples import by_name
from qgui.engine.fx import plain, quantized
from qgui.engine.fx.quantized import QuantizedModel
from qgui.engine.latency import Variant
from qgui.engine.outputs import main_output
from qgui.engine.progress import Progress
from qgui.engine.session import Session

Subject = Literal["float", "quantized"]


@dataclass
class Prepared:
    """A model that is loaded in a runtime.

    Attributes:
        run: Runs it once and returns its output.
        size: Size in bytes of what is stored of it.
        file: What a fresh process loads; None where it cannot be stored.
    """

    run: Callable[[], Any]
    size: int
    file: Path | None = None


@dataclass
class Runtime:
    """A model in a runtime, before it is loaded.

    Attributes:
        key: Key in `qgui.core.runtimes.RUNTIMES`.
        subject: `float` or `quantized`.
        backend: Quantized engine of torch, empty where there is none.
        prepare: Loads the model.
    """

    key: str
    subject: Subject
    backend: str
    prepare: Callable[[], Prepared]


@dataclass
class _Loaded:
    """A loaded model with what its first run showed."""

    runtime: Runtime
    prepared: Prepared
    sqnr_db: float

    @property
    def variant(self) -> Variant:
        return Variant(self.runtime.subject, self.runtime.key, self.runtime.backend, self.prepared.run)


def measure(
    session: Session,
    progress: Progress,
    threads: int = 1,
    batch_size: int = 1,
    runs: int = 20,
    with_memory: bool = True,
    only: Callable[[Runtime], bool] = lambda _: True,
) -> RuntimeTable:
    """Load float and quantized model in every runtime, time all in alternation, then measure memory one by one.

    Before each timed run comes one that is not: caches then hold the model's own weights, and the threads of the
    runtime before have gone to sleep.

    Args:
        session: Holds a quantized model and data.
        progress: Told after every step.
        threads: Threads that every runtime is given.
        batch_size: Samples of each run.
        runs: Timed runs of each.
        with_memory: Whether to load each model once more in a fresh process to see how much memory that takes.
        only: Says which of the runtimes are measured.

    Raises:
        QguiError: Nothing is quantized.
        Cancelled: The person asked to stop.
    """
    recipe = session.quantized_model.recipe
    batch = session.latency_batch(batch_size)
    with torch.inference_mode():
        reference = main_output(batch.run(session.opened_model.loaded.module)).float()
    with tempfile.TemporaryDirectory(prefix="qgui-runtimes-") as place:
        folder = Path(place)
        np.savez(folder / "inputs.npz", **arrays_of(session, batch))
        rows: list[RuntimeResult] = []
        loaded: list[_Loaded] = []
        wanted = [entry for entry in runtimes(session, folder, batch, threads, progress) if only(entry)]
        for number, runtime in enumerate(wanted):
            progress.step(say("Loading runtimes"), number, len(wanted))
            try:
                loaded.append(_loaded(runtime, reference, threads))
            except Cancelled:
                raise
            except Exception as error:
                rows.append(_failed(runtime, error))
        variants = [entry.variant for entry in loaded]
        times = latency.measure(variants, threads, runs, progress, settle=True)
        for number, (entry, collected) in enumerate(zip(loaded, times, strict=True)):
            progress.step(say("Measuring memory"), number, len(loaded))
            memory = _memory(entry, folder, threads, progress) if with_memory else {}
            rows.append(
                RuntimeResult(
                    entry.runtime.key,
                    entry.runtime.subject,
                    entry.runtime.backend,
                    latency.latency_of(entry.variant, collected),
                    peak_bytes=memory.get("peak"),
                    base_bytes=memory.get("base"),
                    file_bytes=entry.prepared.size,
                    sqnr_db=entry.sqnr_db,
                )
            )
        progress.step(say("Measuring memory"), len(loaded), len(loaded))
    return RuntimeTable(recipe.digest(), threads, batch_size, in_order(_without_repeated(rows)))


def arrays_of(session: Session, batch: Batch) -> resident.Inputs:
    """Return the inputs of a batch by the names of the parameters of `forward`, in the order of the batch."""
    found = by_name(session.opened_model.given, batch)
    order = [name for name in batch.inputs if name in found] if isinstance(batch.inputs, dict) else list(found)
    return {name: found[name] for name in order}


def runtimes(session: Session, folder: Path, batch: Batch, threads: int, progress: Progress) -> list[Runtime]:
    """Return every runtime that could run float or quantized model; those that are missing say so when prepared.

    Args:
        session: Holds a quantized model and data.
        folder: Where files may be written.
        batch: What is run.
        threads: Threads that runtimes other than torch are started with.
        progress: Told while converting.
    """
    others = list(session.check_batches(comparison.CHECKED_SAMPLES))
    float_model = session.opened_model.loaded.module
    found = _in_torch("float", "", lambda: float_model, folder, batch, others)
    found.append(Runtime("optimized", "float", "", lambda: _optimized(float_model, folder, batch, others)))
    for backend in machine.backends():
        found += _in_torch("quantized", backend, _built(session, backend, progress), folder, batch, others)
    inputs = arrays_of(session, batch)
    subjects: tuple[Subject, Subject] = ("float", "quantized")
    for subject in subjects:
        for key in machine.OTHER_RUNTIMES:
            found.append(Runtime(key, subject, "", _elsewhere(session, key, subject, folder, inputs, threads)))
    return found


def _elsewhere(
    session: Session, key: str, subject: Subject, folder: Path, inputs: resident.Inputs, threads: int
) -> Callable[[], Prepared]:
    return lambda: load_elsewhere(session, key, subject, folder, inputs, threads)


def load_elsewhere(
    session: Session, key: str, subject: Subject, folder: Path, inputs: resident.Inputs, threads: int
) -> Prepared:
    """Write a model as ONNX, where that is not done yet, and load it in a runtime that takes such files.

    Raises:
        QguiError: The runtime is not installed, or ONNX cannot express the model.
    """
    if importlib.util.find_spec(key) is None:
        raise QguiError(
            say("No {runtime}", runtime=RUNTIMES[key]),
            say("{runtime} is not installed", runtime=RUNTIMES[key]),
            f"pip install {key}",
        )
    # The ONNX exporter takes a second to import.
    from qgui.engine import onnx_model

    path = folder / f"{subject}.onnx"
    if not path.exists():
        with plain.quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (onnx_model.write_float if subject == "float" else onnx_model.write_quantized)(session, path)
    return Prepared(resident.other_program(key, str(path), inputs, threads), path.stat().st_size, path)


def _built(session: Session, backend: str, progress: Progress) -> Callable[[], nn.Module]:
    """Return what converts the model for an engine, once; for that of the recipe it is there already."""
    result = session.quantized_model
    made: list[QuantizedModel] = [result] if backend == result.recipe.backend else []

    def build() -> nn.Module:
        if not made:
            recipe = backends.untrained(result.recipe)
            moved = backends.for_backend(recipe, backend, session.opened_model.description)
            made.append(session.build(moved, progress, with_effects=False)[0])
        return made[0].module

    return build


def _in_torch(
    subject: Subject,
    backend: str,
    build: Callable[[], nn.Module],
    folder: Path,
    batch: Batch,
    others: list[Batch],
) -> list[Runtime]:
    def eager() -> Prepared:
        model = build()
        return Prepared(lambda: batch.run(model, copy=False), quantized.size_bytes(model))

    def traced() -> Prepared:
        program, _ = latency.torchscript(build(), backend, batch, others)
        path = folder / f"{subject}-{backend or 'float'}.pt"
        return _stored(program, path, batch, backend)

    return [Runtime("eager", subject, backend, eager), Runtime("torchscript", subject, backend, traced)]


def _optimized(model: nn.Module, folder: Path, batch: Batch, others: list[Batch]) -> Prepared:
    """Return a float model with its channels last and its weights packed for this processor beforehand."""
    program, inputs = latency.channels_last(model, batch, others)
    stored = _stored(program, folder / "float-channels-last.pt", batch, "")
    with plain.quiet():
        packed = torch.jit.optimize_for_inference(program)
    return Prepared(lambda: packed(*inputs), stored.size, stored.file)


def _stored(program: torch.jit.ScriptModule, path: Path, batch: Batch, backend: str) -> Prepared:
    with plain.engine(backend or torch.backends.quantized.engine), plain.quiet():
        program.save(str(path))
    tensors = tuple(batch.tensors)
    return Prepared(lambda: program(*tensors), path.stat().st_size, path)


def _loaded(runtime: Runtime, reference: torch.Tensor, threads: int) -> _Loaded:
    """Load a model and run it once."""
    with latency.pinned_threads(threads):
        prepared = runtime.prepare()
        with torch.inference_mode(), plain.engine(runtime.backend or torch.backends.quantized.engine):
            output = prepared.run()
    tensor = torch.from_numpy(np.array(output)) if isinstance(output, np.ndarray) else main_output(output)
    noise = float((reference - tensor.float()).double().square().sum())
    return _Loaded(runtime, prepared, ranges.decibel(float(reference.double().square().sum()), noise))


def _failed(runtime: Runtime, error: Exception) -> RuntimeResult:
    told = f"{error.why}. {error.next_step}".strip() if isinstance(error, QguiError) else str(error).strip()
    problem = told.splitlines()[0] if told else type(error).__name__
    return RuntimeResult(runtime.key, runtime.subject, runtime.backend, problem=problem)


def _without_repeated(rows: list[RuntimeResult]) -> list[RuntimeResult]:
    """Leave out what fails in a runtime for the same reason as in the one before it."""
    told: set[tuple[str, str, str]] = set()
    kept = []
    for row in rows:
        reason = (row.subject, row.backend, row.problem)
        if not row.problem or reason not in told:
            kept.append(row)
        told.add(reason)
    return kept


def _memory(entry: _Loaded, folder: Path, threads: int, progress: Progress) -> dict[str, int]:
    """Return resident memory in bytes of a fresh process, before the model and at its peak."""
    file = entry.prepared.file
    if file is None:
        return {}
    arguments = [entry.runtime.key, str(file), str(folder / "inputs.npz"), str(threads), entry.runtime.backend]
    command = fresh_process.fresh_python("-m", "qgui.engine.resident", *arguments)
    found = fresh_process.found_by(command, progress, threads)
    return {} if "problem" in found else {name: int(value) for name, value in found.items()}
