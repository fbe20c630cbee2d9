"""Exporting: each format is written beside its place, opened again in a fresh process, compared, then put in place.

All come into place together at the end, so that a failure or a cancelled job leaves every earlier file as it was.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from qgui.core import recipe_file
from qgui.core.errors import QguiError
from qgui.core.results import ExportResult
from qgui.engine import fresh_process, latency
from qgui.engine.fx import plain, script
from qgui.engine.outputs import main_output
from qgui.engine.progress import Progress
from qgui.engine.session import Session

#: Evaluation samples whose outputs a fresh process must reproduce.
CHECKED_SAMPLES = 8
#: Greatest difference that still counts as the same, relative to the greatest output.
TOLERANCE = 1e-5


@dataclass
class _Written:
    """An export that lies in the staging folder.

    Attributes:
        name: File or folder name.
        opened: The file that is opened again.
        check: Command that opens it again in a fresh process and prints JSON.
        note: What a person should know about it.
    """

    name: str
    opened: Path
    check: list[str]
    note: str = ""


def export(session: Session, folder: Path, formats: Sequence[str], progress: Progress) -> tuple[ExportResult, ...]:
    """Write the quantized model in the wished formats.

    Args:
        session: Holds a quantized model and data.
        folder: Where the files go; it is made where it is missing.
        formats: Some of `FORMATS`.
        progress: Told before every format.

    Raises:
        QguiError: A format is unknown, the disk is full, or nothing is quantized. Earlier files are untouched.
        Cancelled: The person asked to stop.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise QguiError("Could not export", f"there is no format '{unknown[0]}'", f"Choose from {', '.join(FORMATS)}.")
    staging = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".qgui-export-", dir=folder))
        scale = _write_samples(session, staging / "samples.pt")
        results, ready = [], []
        for index, name in enumerate(formats):
            progress.step("Exporting", index, len(formats))
            try:
                written = FORMATS[name](session, staging)
            except latency.NotTraceable as error:
                results.append(ExportResult(name, "", 0, False, None, f"Not possible: {error}."))
                continue
            results.append(_checked(session, name, written, staging, folder, scale, progress))
            ready.append(written.name)
        progress.step("Exporting", len(formats), len(formats))
        for name in ready:
            _put_in_place(staging / name, folder / name)
        return tuple(results)
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
        hint = "Free some space or choose another folder; earlier files are as they were."
        raise QguiError(f"Could not export to {folder}", why, hint) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def _checked(
    session: Session, name: str, written: _Written, staging: Path, folder: Path, scale: float, progress: Progress
) -> ExportResult:
    """Return what a fresh process found in a file that lies in the staging folder, under the path it will have."""
    found = fresh_process.answer_of(written.check, progress)
    difference = found.get("max_abs_diff")
    if "problem" in found:
        verified, message = False, f"The fresh process could not open it: {found['problem']}"
    elif difference is None:
        verified = found.get("recipe_hash") == session.quantized_model.recipe.digest()
        message = "Read again with the same hash." if verified else "Read again with another hash."
    else:
        verified = float(str(difference)) <= TOLERANCE * max(scale, 1e-12)
        message = "Same outputs in a fresh process." if verified else "The fresh process computes other outputs."
    return ExportResult(
        name,
        str(folder / written.opened.relative_to(staging)),
        _size(staging / written.name),
        verified,
        None if difference is None else float(str(difference)),
        f"{message} {written.note}".strip(),
    )


def _put_in_place(source: Path, target: Path) -> None:
    """Rename into place; a folder that stands there is put aside first and removed last."""
    if not target.is_dir():
        source.replace(target)
        return
    aside = source.with_name(f"{target.name}.before")
    target.replace(aside)
    try:
        source.replace(target)
    except OSError:
        aside.replace(target)
        raise


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(inner.stat().st_size for inner in path.rglob("*") if inner.is_file())


def _write_samples(session: Session, path: Path) -> float:
    """Store inputs and outputs of the quantized model, and return the greatest absolute output."""
    inputs, outputs = [], []
    with torch.inference_mode():
        for batch in session.check_batches(CHECKED_SAMPLES):
            outputs.append(main_output(session.run_quantized(batch)).float().clone())
            inputs.append(batch.copied())
    torch.save({"inputs": inputs, "outputs": outputs, "backend": session.quantized_model.recipe.backend}, path)
    return max(float(output.abs().max()) for output in outputs)


def _torchscript(session: Session, staging: Path) -> _Written:
    path = staging / "model.pt"
    result = session.quantized_model
    batch = next(session.check_batches(1))
    others = list(session.check_batches(CHECKED_SAMPLES))
    program, note = latency.torchscript(result.module, result.recipe.backend, batch, others)
    with plain.engine(result.recipe.backend):
        program.save(str(path))
    check = fresh_process.fresh_python(
        "-m", "qgui.engine.verify", "torchscript", str(path), str(staging / "samples.pt")
    )
    return _Written("model.pt", path, check, note)


def _recipe(session: Session, staging: Path) -> _Written:
    path = staging / "recipe.json"
    recipe_file.save(session.quantized_model.recipe, path)
    check = fresh_process.fresh_python("-m", "qgui.engine.verify", "recipe", str(path), str(staging / "samples.pt"))
    return _Written("recipe.json", path, check)


def _script(session: Session, staging: Path) -> _Written:
    place = staging / "script"
    place.mkdir()
    opened = session.opened_model
    path = script.write(
        place,
        opened.reference,
        opened.loaded.module,
        session.quantized_model,
        opened.given,
        opened.graphs is not None,
    )
    return _Written("script", path, fresh_process.fresh_python(str(path), "--check", str(staging / "samples.pt")))


#: Every format by name; a new one is a function that writes into the staging folder.
FORMATS: dict[str, Callable[[Session, Path], _Written]] = {
    "torchscript": _torchscript,
    "recipe": _recipe,
    "script": _script,
}
