"""A model as OpenVINO's intermediate representation, made from its ONNX file."""

from __future__ import annotations

from pathlib import Path

import onnx

from qgui.core.errors import QguiError
from qgui.core.extras import how_to_install
from qgui.core.language import say


def write(source: Path, path: Path) -> Path:
    """Write the IR, `.xml` with a `.bin` beside it, and return its path.

    The reader of OpenVINO's runtime is used, not its converter, which would report its use over the network.

    Args:
        source: An ONNX file.
        path: Ends in `.xml`; its folder exists.

    Raises:
        QguiError: OpenVINO is not installed, or does not read the model.
        OSError: The file cannot be written.
    """
    try:
        import openvino
    except ImportError as error:
        hint = how_to_install("openvino")
        raise QguiError(say("Could not export to OpenVINO"), say("OpenVINO is not installed"), hint) from error
    try:
        model = openvino.Core().read_model(str(source))
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        why = lines[-1] if lines else type(error).__name__
        raise QguiError(say("Could not export to OpenVINO"), why, say("Export ONNX."), str(error)) from error
    for fact in onnx.load(source, load_external_data=False).metadata_props:
        model.set_rt_info(fact.value, fact.key.split("."))
    try:
        openvino.save_model(model, str(path), compress_to_fp16=False)
    except RuntimeError as error:
        raise OSError(
            say("OpenVINO could not write {name}: {error}", name=path.name, error=str(error).splitlines()[-1])
        ) from error
    return path
