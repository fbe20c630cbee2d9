"""A model's graph as a file to look at: its ONNX form with layer names, without the values of large weights."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

import onnx

from qgui.core.errors import QguiError
from qgui.core.graphs import GraphFile, GraphKind
from qgui.core.language import say
from qgui.core.recipe import Mode
from qgui.engine import onnx_model
from qgui.engine.session import Session

#: Values of a tensor of more bytes are left out: a picture needs its shape only.
_KEPT_BYTES = 1_024


def write(session: Session, kind: GraphKind, path: Path) -> GraphFile:
    """Write the graph of the float or of the quantized model.

    Args:
        session: Holds a model and data, and a quantized model where that is asked for.
        kind: Which model.
        path: Where the file goes.

    Returns:
        What was written.

    Raises:
        QguiError: ONNX cannot express the model, or nothing is quantized.
        OSError: The disk is full or the folder cannot be written.
    """
    try:
        model = onnx_model.quantized(session) if kind == "quantized" else onnx_model.floating(session)
    except QguiError as error:
        why = say(
            "Its graph is drawn from the ONNX form of the model. {why}",
            why=error.why[:1].upper() + error.why[1:],
        )
        hint = say("Everything else works without it.")
        raise QguiError(say("Could not draw the graph"), why, hint, error.details) from error
    left_out = _leave_out_values(model)
    _note_layers(model, session, kind)
    beside = path.with_suffix(".part")
    onnx.save(model, beside)
    beside.replace(path)
    return GraphFile(kind, str(path), len(model.graph.node), left_out)


def layer_of(node: str, layers: Container[str]) -> str:
    """Return the layer to which a node belongs, empty where it belongs to none.

    Args:
        node: Its name: `LAYER`, `LAYER/what it does`, or `LAYER.weight/what it does`.
        layers: The names of all layers.
    """
    while node and node not in layers:
        rest, slash, _ = node.rpartition("/")
        node = rest if slash else _owner(node)
    return node


def _owner(parameter: str) -> str:
    module, _, name = parameter.rpartition(".")
    return module if name in {"weight", "bias"} else ""


def _leave_out_values(model: onnx.ModelProto) -> int:
    """Drop the values of large tensors, and return how many bytes they took."""
    left_out = 0
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > _KEPT_BYTES:
            left_out += len(tensor.raw_data)
            tensor.ClearField("raw_data")
    return left_out


def _note_layers(model: onnx.ModelProto, session: Session, kind: GraphKind) -> None:
    """Name each node after its layer, and write layer and mode where a viewer shows them among its properties."""
    layers = session.opened_model.description.layers
    names = {layer.node: layer.name for layer in layers if layer.node} | {layer.name: layer.name for layer in layers}
    recipe = session.quantized_model.recipe if kind == "quantized" else None
    for node in model.graph.node:
        known = layer_of(node.name, names)
        if not known:
            continue
        layer = names[known]
        if layer != known:
            node.name = f"{layer}/{node.name}"
        mode = recipe.rule(layer).mode if recipe is not None else Mode.FLOAT
        for key, value in (("layer", layer), ("mode", mode.value)):
            node.metadata_props.add(key=key, value=value)
