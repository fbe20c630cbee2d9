"""The formats in which a model can be exported, what each is for, and what it cannot carry."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import msgspec

from qgui.core.extras import how_to_install
from qgui.core.language import say
from qgui.core.layers import Layer, ModelDescription
from qgui.core.recipe import Mode, Recipe


class Format(msgspec.Struct, frozen=True):
    """An export format.

    Attributes:
        key: Its name on the command line.
        title: Its name on the screen.
        sentence: What it is for.
        file: The file or folder that is written.
        package: The Python package that opens it again, where that is not a part of QGUI; also QGUI's extra.
        default: Whether a person gets it who names no format.
    """

    key: str
    title: str
    sentence: str
    file: str
    package: str = ""
    default: bool = False


FORMATS: tuple[Format, ...] = (
    Format(
        "torchscript",
        "TorchScript",
        say("The int8 model in one file, for torch.jit.load and C++."),
        "model.pt",
        default=True,
    ),
    Format(
        "onnx",
        "ONNX",
        say("The int8 model for ONNX Runtime and other runtimes: QuantizeLinear and DequantizeLinear, any batch size."),
        "model.onnx",
        default=True,
    ),
    Format(
        "openvino",
        say("OpenVINO IR"),
        say("The int8 model for OpenVINO on Intel and other processors."),
        "openvino",
        package="openvino",
    ),
    Format(
        "float-onnx",
        say("ONNX, float"),
        say("The float model as ONNX, to hold the int8 model against it."),
        "model_float.onnx",
    ),
    Format(
        "script",
        say("Python script"),
        say("Plain PyTorch that makes the same model without QGUI."),
        "script",
        default=True,
    ),
    Format("recipe", say("Recipe"), say("Your decisions as JSON, to open again here."), "recipe.json"),
)
BY_KEY = {form.key: form for form in FORMATS}
KEYS = tuple(BY_KEY)
_ONNX = frozenset({"onnx", "openvino"})
#: Layers that no operator of ONNX Runtime computes with int8 weights.
_WITHOUT_INT8 = frozenset({"GRU", "EmbeddingBag"})
_NAMED = 5


def installed(form: Format) -> bool:
    """Whether what opens the format again is installed."""
    return not form.package or find_spec(form.package) is not None


def why_not(key: str, model: ModelDescription, recipe: Recipe) -> tuple[str, str]:
    """Return why a format cannot carry a quantized model, and what can be done; empty where it can.

    Args:
        key: The format.
        model: The model.
        recipe: Its decisions.
    """
    form = BY_KEY[key]
    if not installed(form):
        return say("the package {package} is not installed", package=form.package), how_to_install(form.package)
    if key in _ONNX:
        found = _dynamic(model, recipe, _WITHOUT_INT8)
        if found:
            kinds = say(" and ").join(sorted({layer.type for layer in found}))
            why = say(
                "ONNX Runtime has no int8 {kinds}: {found}", kinds=kinds, found=_listed([layer.name for layer in found])
            )
            return why, say("Make these layers float, or export TorchScript.")
    if key == "openvino":
        found = _dynamic(model, recipe, frozenset({"LSTM"}))
        if found:
            why = say("OpenVINO has no int8 LSTM: {found}", found=_listed([layer.name for layer in found]))
            return why, say("Make these layers float, or export ONNX for ONNX Runtime.")
    return "", ""


def defaults(model: ModelDescription, recipe: Recipe) -> tuple[str, ...]:
    """Return the formats that a person gets who names none: those that can carry the model."""
    return tuple(form.key for form in FORMATS if form.default and not why_not(form.key, model, recipe)[0])


def _dynamic(model: ModelDescription, recipe: Recipe, kinds: frozenset[str]) -> list[Layer]:
    return [
        layer
        for layer in model.layers
        if layer.type in kinds and layer.head and recipe.rule(layer.name).mode is Mode.DYNAMIC
    ]


def _listed(names: Sequence[str]) -> str:
    more = say(" and {count} more", count=len(names) - _NAMED) if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
