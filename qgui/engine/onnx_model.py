"""A model as ONNX: `write_quantized(session, path)` and `write_float(session, path)` write one file each.

The int8 model is written with QuantizeLinear and DequantizeLinear at the tensors that the recipe quantizes, with the
integers, scales and zero points of the int8 module in the program. Nodes and tensors have the names that the layers
have in QGUI: the value of layer NAME, as the layers behind read it, is the tensor NAME. The first axis of inputs and
outputs, the batch, has any length. Inputs have the names of the parameters of `forward`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import helper
from torch import nn

import qgui
from qgui.core.errors import QguiError
from qgui.engine.batch import Batch
from qgui.engine.fx import plain
from qgui.engine.fx.marks import DOMAIN, Marks
from qgui.engine.fx.quantized import node_of_layer
from qgui.engine.fx.stand_in import stand_in
from qgui.engine.onnx_cleaning import clean
from qgui.engine.onnx_layers import Writer
from qgui.engine.outputs import main_output
from qgui.engine.session import Session

#: Version of the operators; 17 brought LayerNormalization, and OpenVINO and ONNX Runtime know it well.
OPSET = 17
OUTPUT = "output"


def write_quantized(session: Session, path: Path) -> None:
    """Write the int8 model as ONNX with QuantizeLinear and DequantizeLinear.

    Args:
        session: Holds a quantized model and data.
        path: Where the file goes; it must not be there yet.

    Raises:
        QguiError: The model has operators that ONNX does not express.
        OSError: The disk is full or the folder cannot be written.
    """
    result = session.quantized_model
    opened = session.opened_model
    names: dict[str, str] = {}
    if opened.graphs is not None and isinstance(result.module, torch.fx.GraphModule):
        nodes = node_of_layer(opened.description, opened.graphs, result.module)
        names = {node: layer for layer, node in nodes.items()}
    module, marks = stand_in(result.module, names, result.recipe.backend)
    facts = {"qgui.recipe_hash": result.recipe.digest(), "qgui.backend": result.recipe.backend}
    _save(_model(session, module, marks, facts), path)


def write_float(session: Session, path: Path) -> None:
    """Write the float model as ONNX, for reference: BatchNorm folded, nothing rounded.

    Raises:
        QguiError: The model has operators that ONNX does not express.
        OSError: The disk is full or the folder cannot be written.
    """
    opened = session.opened_model
    model: nn.Module = opened.loaded.module
    names: dict[str, str] = {}
    if opened.graphs is not None:
        model = opened.graphs.fused
        names = {layer.tensor: layer.name for layer in opened.description.layers if layer.tensor}
    module, marks = stand_in(model, names, torch.backends.quantized.engine)
    _save(_model(session, module, marks, {}), path)


def _save(model: onnx.ModelProto, path: Path) -> None:
    onnx.save(model, path)


def _model(session: Session, module: nn.Module, marks: Marks, facts: Mapping[str, str]) -> onnx.ModelProto:
    """Return the checked ONNX model of what a stand-in computes."""
    traced = _traced(session, module.eval(), marks)
    written = _written(traced, marks)
    clean(written.graph)
    version = helper.make_opsetid("", OPSET)
    del written.opset_import[:]
    written.opset_import.append(version)
    if any(node.domain for node in written.graph.node):
        written.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    written.producer_name, written.producer_version = "QGUI", qgui.__version__
    helper.set_model_props(written, {**facts, "qgui.model": session.opened_model.reference.source})
    onnx.checker.check_model(written)
    return written


def _inputs(session: Session, size: int) -> tuple[list[str], tuple[torch.Tensor, ...], Batch]:
    batch = session.latency_batch(size)
    names = [name for name in session.opened_model.given if not isinstance(batch.inputs, dict) or name in batch.inputs]
    return names, batch.positional(names), batch


def _traced(session: Session, module: nn.Module, marks: Marks) -> onnx.ModelProto:
    """Run PyTorch's exporter on a stand-in, after two runs that show which axes follow the batch."""
    names, inputs, _ = _inputs(session, 2)
    whole = _MainOutput(module, names if session.opened_model.graphs is None else [])
    with torch.no_grad(), plain.quiet():
        for size in (2, 3):
            whole(*_inputs(session, size)[1])
        buffer = io.BytesIO()
        try:
            torch.onnx.export(
                whole,
                inputs,
                buffer,  # type: ignore[arg-type]
                dynamo=False,
                opset_version=OPSET,
                input_names=names,
                output_names=[OUTPUT],
                dynamic_axes={name: {0: "batch"} for name in (*names, OUTPUT)},
                custom_opsets={DOMAIN: 1},
            )
        except torch.onnx.errors.UnsupportedOperatorError as error:
            raise QguiError("Could not export to ONNX", str(error).splitlines()[0], "") from error
    return onnx.load_from_string(buffer.getvalue())


class _MainOutput(nn.Module):
    """Returns the tensor that is scored; takes the inputs in the order of their names."""

    def __init__(self, module: nn.Module, keywords: Sequence[str]) -> None:
        super().__init__()
        self.module = module
        self._keywords = keywords

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return one float tensor."""
        if self._keywords:
            return main_output(self.module(**dict(zip(self._keywords, inputs, strict=True))))
        return main_output(self.module(*inputs))


def _written(traced: onnx.ModelProto, marks: Marks) -> onnx.ModelProto:
    """Return the traced model with each mark replaced by the operators for which it stands, and all named."""
    ranks = _ranks(traced.graph)
    outputs = {value.name for value in traced.graph.output}
    inputs = [value.name for value in traced.graph.input]
    writer = Writer([*inputs, *outputs])
    renamed = {name: name for name in (*inputs, *outputs, "")}
    for tensor in traced.graph.initializer:
        name = writer.free(tensor.name.removeprefix("module.model."))
        renamed[tensor.name] = tensor.name = name
        writer.initializers[name] = tensor
    waiting: list[onnx.NodeProto] = []
    for node in traced.graph.node:
        if node.op_type != "Mark" or node.domain != DOMAIN:
            waiting.append(node)
            continue
        mark = marks.table[helper.get_node_attr_value(node, "key").decode()]
        named = writer.free(mark.name) if mark.output is not None or mark.kind != "value" else ""
        _name_all(writer, waiting, mark.name, renamed)
        waiting = []
        given = [renamed[name] for name in node.input]
        results = []
        for place, output in enumerate(node.output):
            name = output if output in outputs else (named if not place and named else writer.free(mark.name))
            renamed[output] = name
            results.append(name)
        writer.write(mark, given, results, [ranks.get(name, 0) for name in node.input])
    _name_all(writer, waiting, "end", renamed)
    del traced.graph.node[:], traced.graph.initializer[:], traced.graph.value_info[:]
    traced.graph.node.extend(writer.nodes)
    traced.graph.initializer.extend(writer.initializers.values())
    traced.graph.name = "qgui"
    return traced


def _name_all(writer: Writer, nodes: Sequence[onnx.NodeProto], layer: str, renamed: dict[str, str]) -> None:
    """Name the exporter's nodes after the layer at whose mark they end."""
    for node in nodes:
        node.name = writer.free_node(f"{layer}/{node.op_type}")
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
        for place, name in enumerate(node.output):
            renamed.setdefault(name, writer.free(f"{layer}/{node.op_type}/output"))
            node.output[place] = renamed[name]
        writer.nodes.append(node)


def _ranks(graph: onnx.GraphProto) -> dict[str, int]:
    values = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: len(value.type.tensor_type.shape.dim) for value in values}


def input_feed(names: Sequence[str], batch: Batch) -> dict[str, Any]:
    """Return the inputs of a batch by name, as ONNX Runtime takes them."""
    return {name: value.numpy() for name, value in zip(names, batch.positional(names), strict=True)}
