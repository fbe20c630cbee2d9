"""Exporting: each format is written beside its place, opened again in a fresh process, compared, then put in place.

All come into place together at the end, so that a failure or a cancelled job leaves every earlier file as it was.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from qgui.core import formats as known
from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.layers import ModelDescription
from qgui.core.recipe import Recipe
from qgui.core.results import ExportResult
from qgui.engine import check_samples, fidelity, latency, onnx_programs
from qgui.engine.check_samples import CheckSamples
from qgui.engine.exporters import WRITERS, Task, Written, not_possible
from qgui.engine.fidelity import Fidelity
from qgui.engine.fresh_process import found_by, fresh_python
from qgui.engine.progress import Progress
from qgui.engine.session import Session
from qgui.engine.staging import staged

#: Greatest difference that still counts as the same, relative to the greatest output, where the same kernels compute.
TOLERANCE = 1e-5
#: Another runtime's float kernels add in another order, and differ by no more than this in dB.
FLOAT_DB = 60.0
#: Another runtime's int8 kernels round now and then to the next level. That is right with this ratio in dB, or where
#: the difference has at most twice the energy of what int8 costs the model at all.
INT8_DB = 40.0
_ROUNDING_DB = 3.0


def refuse_impossible(model: ModelDescription, recipe: Recipe, formats: Sequence[str]) -> None:
    """Raise before any work is done for formats that cannot carry a model quantized as a recipe says.

    Raises:
        QguiError: The runtime of a format is missing, or layers cannot be written in it; they are named.
    """
    for name in formats:
        why, hint = known.why_not(name, model, recipe)
        if why:
            raise QguiError(say("Could not export as {title}", title=known.BY_KEY[name].title), why, hint)


def refuse_unknown(formats: Sequence[str]) -> None:
    """Raise for a format that there is not.

    Raises:
        QguiError: A format is unknown.
    """
    unknown = [name for name in formats if name not in known.BY_KEY]
    if unknown:
        raise QguiError(
            say("Could not export"),
            say("there is no format '{unknown}'", unknown=unknown[0]),
            say("Choose from {KEYS}.", KEYS=", ".join(known.KEYS)),
        )


def export(
    session: Session, folder: Path, formats: Sequence[str], progress: Progress, threads: int = 1
) -> tuple[ExportResult, ...]:
    """Write the quantized model in the wished formats.

    Args:
        session: Holds a quantized model and data.
        folder: Where the files go; it is made where it is missing.
        formats: Some of `core.formats`.
        progress: Told before every format.
        threads: Threads with which the written files are run.

    Raises:
        QguiError: A format is unknown or cannot carry the model, the disk is full, or nothing is quantized. Earlier
            files are untouched.
        Cancelled: The person asked to stop.
    """
    refuse_unknown(formats)
    refuse_impossible(session.opened_model.description, session.quantized_model.recipe, formats)
    try:
        with staged(folder) as staging:
            samples = check_samples.write(session, staging.scratch, progress)
            task = Task(session, staging.ready, staging.scratch, samples, threads)
            results = []
            for index, name in enumerate(formats):
                progress.step(say("Exporting"), index, len(formats))
                results.append(_exported(task, name, folder, progress))
            progress.step(say("Exporting"), len(formats), len(formats))
            staging.commit()
        return tuple(results)
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
        hint = say("Free some space or choose another folder; earlier files are as they were.")
        raise QguiError(say("Could not export to {folder}", folder=folder), why, hint) from error


def _exported(task: Task, name: str, folder: Path, progress: Progress) -> ExportResult:
    """Write one format and return what a fresh process found in it, under the path that it will have."""
    before = set(task.ready.iterdir())
    try:
        written = WRITERS[name](task)
    except (latency.NotTraceable, QguiError) as error:
        for left in set(task.ready.iterdir()) - before:
            _remove(left)
        return ExportResult(name, "", 0, False, None, not_possible(error))
    found = found_by(written.check, progress, task.threads)
    result = ExportResult(
        name,
        str(folder / written.opened.relative_to(task.ready)),
        sum(_size(task.ready / part) for part in written.names),
        verified=False,
        max_abs_diff=None,
        latency_ms=found.get("latency_ms"),
        threads=task.threads,
    )
    if "problem" in found:
        message = say("The fresh process could not open it: {problem}", problem=found["problem"])
        return _replaced(result, message=f"{message} {written.note}".strip())
    if written.kind == "none":
        same = found.get("recipe_hash") == task.session.quantized_model.recipe.digest()
        return _replaced(
            result,
            verified=same,
            message=say("Read again with the same hash.") if same else say("Read again with another hash."),
        )
    return _compared(task, written, result, progress)


def _compared(task: Task, written: Written, result: ExportResult, progress: Progress) -> ExportResult:
    assert written.outputs is not None
    stored = [next(iter(sample.values())) for sample in onnx_programs.load_samples(written.outputs)]
    samples = task.samples
    expected = samples.floating if written.kind == "float" else samples.quantized
    found = fidelity.of_outputs(expected[: len(stored)], stored)
    verified = _faithful(written, found, samples)
    parting = "" if verified or written.kind == "float" else _parting_layer(task, written, progress)
    message = say("The fresh process computes other outputs.")
    if verified and written.kind != "int8":
        message = say("Same outputs in a fresh process.")
    elif verified:
        message = say("Same outputs in a fresh process, but for rounding to the next level here and there.")
    if parting:
        message += say(" The first layer where they part: {parting}.", parting=parting)
    return _replaced(
        result,
        verified=verified,
        max_abs_diff=found.max_abs_diff,
        message=f"{message} {written.note}".strip(),
        agreement=found.agreement,
        sqnr_db=found.sqnr_db,
        samples=samples.count,
        parting_layer=parting,
    )


def _replaced(result: ExportResult, **changes: Any) -> ExportResult:
    return msgspec.structs.replace(result, **changes)


def _faithful(written: Written, found: Fidelity, samples: CheckSamples) -> bool:
    """Whether outputs differ no more than the kernels that computed them explain."""
    if written.kind == "same":
        greatest = max(float(np.abs(output).max(initial=0.0)) for output in samples.quantized)
        return found.max_abs_diff <= TOLERANCE * max(greatest, 1e-12)
    if written.kind == "float":
        return found.sqnr_db >= FLOAT_DB
    cost = fidelity.of_outputs(samples.floating, samples.quantized).sqnr_db
    return found.sqnr_db >= min(INT8_DB, cost - _ROUNDING_DB)


def _parting_layer(task: Task, written: Written, progress: Progress) -> str:
    """Return the first layer whose values another runtime computes otherwise; empty where that is not known."""
    if not written.runtime:
        return ""
    values = check_samples.layer_values(task.session, task.samples.batches[0])
    if not values:
        return ""
    one, outputs = task.scratch / "layers.npz", task.scratch / "layer-values.npz"
    names = task.session.opened_model.given
    onnx_programs.save_samples(one, [check_samples.by_name(names, task.samples.batches[0])])
    command = fresh_python("-m", "qgui.engine.onnx_programs", written.runtime, str(written.opened), str(one))
    told = found_by([*command, str(outputs), "--values", *values], progress, task.threads)
    if "problem" in told:
        return ""
    (stored,) = onnx_programs.load_samples(outputs)
    # The last layer's values are the output of the file.
    last = list(values)[-1]
    return fidelity.parting_layer(values, stored | ({last: stored["output"]} if last not in stored else {}))


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
