"""One function per export format: each writes into the staging folder and says how the file is opened again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qgui.core import recipe_file
from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.engine import latency, onnx_model
from qgui.engine.check_samples import CheckSamples
from qgui.engine.fresh_process import fresh_python
from qgui.engine.fx import plain, script
from qgui.engine.session import Session

#: What holds of the outputs: the same kernels compute them, others do in float, others do in int8, or there are none.
Kind = Literal["same", "float", "int8", "none"]


@dataclass
class Written:
    """An export that lies in the staging folder.

    Attributes:
        names: File or folder names, all of which are put in place.
        opened: The file that is opened again.
        check: Command that opens it in a fresh process and prints JSON.
        kind: How its outputs are compared.
        outputs: Where that process stores what it computes, None where it computes nothing.
        note: What a person should know about it.
        runtime: Which of `onnx_programs` opens it, empty for none.
    """

    names: tuple[str, ...]
    opened: Path
    check: list[str]
    kind: Kind
    outputs: Path | None = None
    note: str = ""
    runtime: str = ""


@dataclass
class Task:
    """What an exporter works on.

    Attributes:
        session: Holds a quantized model and data.
        ready: Folder whose contents are put in place.
        scratch: Folder for what is needed on the way only.
        samples: What each file has to reproduce.
        threads: Threads of the fresh process.
    """

    session: Session
    ready: Path
    scratch: Path
    samples: CheckSamples
    threads: int


def torchscript(task: Task) -> Written:
    """Write the traced and frozen int8 model.

    Raises:
        NotTraceable: It cannot become one program.
    """
    path, outputs = task.ready / "model.pt", task.scratch / "torchscript.npz"
    result = task.session.quantized_model
    one = next(task.session.check_batches(1))
    program, note = latency.torchscript(result.module, result.recipe.backend, one, task.samples.batches[:8])
    with plain.engine(result.recipe.backend):
        program.save(str(path))
    check = fresh_python(
        *("-m", "qgui.engine.verify", "torchscript", str(path), str(task.samples.for_torch)),
        *("--outputs", str(outputs), "--threads", str(task.threads)),
    )
    return Written((path.name,), path, check, "same", outputs, note)


def recipe(task: Task) -> Written:
    """Write the decisions."""
    path = task.ready / "recipe.json"
    recipe_file.save(task.session.quantized_model.recipe, path)
    check = fresh_python("-m", "qgui.engine.verify", "recipe", str(path), str(task.samples.for_torch))
    return Written((path.name,), path, check, "none")


def plain_script(task: Task) -> Written:
    """Write the script in plain PyTorch with its weights."""
    place, outputs = task.ready / "script", task.scratch / "script.npz"
    place.mkdir()
    opened = task.session.opened_model
    path = script.write(
        place,
        opened.reference,
        opened.loaded.module,
        task.session.quantized_model,
        opened.given,
        opened.graphs is not None,
    )
    check = fresh_python(str(path), "--check", str(task.samples.for_torch), "--outputs", str(outputs))
    return Written((place.name,), path, check, "same", outputs)


def onnx(task: Task) -> Written:
    """Write the int8 model as ONNX."""
    path = task.ready / "model.onnx"
    onnx_model.write_quantized(task.session, path)
    return _by_runtime(task, path, "onnx", "int8")


def float_onnx(task: Task) -> Written:
    """Write the float model as ONNX."""
    path = task.ready / "model_float.onnx"
    onnx_model.write_float(task.session, path)
    return _by_runtime(task, path, "onnx", "float")


def openvino(task: Task) -> Written:
    """Write the int8 model as OpenVINO's intermediate representation."""
    from qgui.engine import openvino_model

    place = task.ready / "openvino"
    place.mkdir()
    source = task.ready / "model.onnx"
    if not source.exists():
        source = task.scratch / "model.onnx"
        onnx_model.write_quantized(task.session, source)
    path = openvino_model.write(source, place / "model.xml")
    return _by_runtime(task, path, "openvino", "int8", (place.name,))


def _by_runtime(task: Task, path: Path, runtime: str, kind: Kind, names: tuple[str, ...] = ()) -> Written:
    outputs = task.scratch / f"{path.parent.name}-{path.stem}.npz"
    beside = onnx_model.data_beside(path)
    names = names or tuple(part.name for part in (path, beside) if part.exists())
    check = fresh_python(
        *("-m", "qgui.engine.onnx_programs", runtime, str(path), str(task.samples.for_runtimes), str(outputs)),
        *("--threads", str(task.threads)),
    )
    return Written(names, path, check, kind, outputs, runtime=runtime)


#: Every format of `core.formats` by its key.
WRITERS: dict[str, Callable[[Task], Written]] = {
    "torchscript": torchscript,
    "onnx": onnx,
    "openvino": openvino,
    "float-onnx": float_onnx,
    "script": plain_script,
    "recipe": recipe,
}


def not_possible(error: Exception) -> str:
    """Return why a model cannot be written in a format, as a sentence."""
    if isinstance(error, QguiError):
        return say("Not possible: {why}. {next_step}", why=error.why, next_step=error.next_step).strip()
    return say("Not possible: {error}.", error=error)
