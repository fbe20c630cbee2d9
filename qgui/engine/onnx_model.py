"""A model as ONNX: `write_quantized(session, path)` and `write_float(session, path)` write one file each.

The int8 model is written with QuantizeLinear and DequantizeLinear at the tensors that the recipe quantizes, with the
integers, scales and zero points of the int8 module in the program. Nodes and tensors have the names that the layers
have in QGUI: the value of layer NAME, as the layers behind read it, is the tensor NAME. The first axis of inputs and
outputs, the batch, has any length. Inputs have the names of the parameters of `forward`.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from google.protobuf.message import EncodeError
from onnx import helper
from torch import nn

import qgui
from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.engine import latency
from qgui.engine.fx import describe
from qgui.engine.fx.marks import DOMAIN, Marks
from qgui.engine.fx.quantized import node_of_layer
from qgui.engine.fx.stand_in import stand_in
from qgui.engine.onnx_cleaning import clean
from qgui.engine.onnx_layers import Writer
from qgui.engine.outputs import MainOutput
from qgui.engine.session import Session

#: Version of the operators; 17 brought LayerNormalization, and OpenVINO and ONNX Runtime know it well.
OPSET = 17
OUTPUT = "output"
#: Bytes of weights that go into the ONNX file itself.
ONE_FILE = 2**31 - 2**24


def write_quantized(session: Session, path: Path) -> None:
    """Write the int8 model as ONNX with QuantizeLinear and DequantizeLinear.

    Args:
        session: Holds a quantized model and data.
        path: Where the file goes; it must not be there yet.

    Raises:
        QguiError: The model has operators that ONNX does not express, or branches on the data.
        OSError: The disk is full or the folder cannot be written.
    """
    _save(quantized(session), path)


def write_float(session: Session, path: Path) -> None:
    """Write the float model as ONNX, for reference: BatchNorm folded, nothing rounded.

    Raises:
        QguiError: The model has operators that ONNX does not express, or branches on the data.
        OSError: The disk is full or the folder cannot be written.
    """
    _save(floating(session), path)


def quantized(session: Session) -> onnx.ModelProto:
    """Return the int8 model with QuantizeLinear and DequantizeLinear.

    Raises:
        QguiError: Nothing is quantized, the model has operators that ONNX does not express, or branches on the data.
    """
    result = session.quantized_model
    opened = session.opened_model
    names: dict[str, str] = {}
    if opened.graphs is not None and isinstance(result.module, torch.fx.GraphModule):
        nodes = node_of_layer(opened.description, opened.graphs, result.module)
        names = {node: layer for layer, node in nodes.items()}
    facts = {"qgui.recipe_hash": result.recipe.digest(), "qgui.backend": result.recipe.backend}
    return _model(session, result.module, names, result.recipe.backend, facts)


def floating(session: Session) -> onnx.ModelProto:
    """Return the float model, BatchNorm folded.

    Raises:
        QguiError: The model has operators that ONNX does not express, or branches on the data.
    """
    opened = session.opened_model
    model: nn.Module = opened.loaded.module
    names: dict[str, str] = {}
    if opened.graphs is not None:
        model = opened.graphs.fused
        names = {layer.tensor: layer.name for layer in opened.description.layers if layer.tensor}
    return _model(session, model, names, "", {})


def data_beside(path: Path) -> Path:
    """Return where the weights of an ONNX file lie that is too large to be one file."""
    return path.with_name(f"{path.name}.data")


def _save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model; the weights of a large one go into a file beside it, as protobuf allows 2 GB."""
    size = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if size <= ONE_FILE:
        onnx.checker.check_model(model)
        onnx.save(model, path)
        return
    beside = data_beside(path).name
    onnx.save(model, path, save_as_external_data=True, location=beside)
    onnx.checker.check_model(str(path))


def _model(
    session: Session, model: nn.Module, names: Mapping[str, str], backend: str, facts: Mapping[str, str]
) -> onnx.ModelProto:
    """Return what a model computes as ONNX."""
    module, marks = stand_in(model, names, backend)
    with tempfile.TemporaryDirectory() as folder:
        traced, branches = _traced(session, module.eval(), marks, Path(folder))
    if branches:
        _refuse_branches(session, model, backend)
    try:
        written = _written(traced, marks)
        clean(written.graph)
    except EncodeError as error:
        why = say("one weight alone has more than 2 GB, which protobuf does not allow")
        raise QguiError(say("Could not export to ONNX"), why, say("Export TorchScript.")) from error
    version = helper.make_opsetid("", OPSET)
    del written.opset_import[:]
    written.opset_import.append(version)
    if any(node.domain for node in written.graph.node):
        written.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    written.producer_name, written.producer_version = "QGUI", qgui.__version__
    helper.set_model_props(written, {**facts, "qgui.model": session.opened_model.reference.source})
    return written


def _inputs(session: Session, size: int) -> tuple[list[str], tuple[torch.Tensor, ...]]:
    batch = session.latency_batch(size)
    given = session.opened_model.given
    names = [name for name in given if not isinstance(batch.inputs, dict) or name in batch.inputs]
    return names, batch.positional(names)


def _traced(session: Session, module: nn.Module, marks: Marks, folder: Path) -> tuple[onnx.ModelProto, bool]:
    """Run PyTorch's exporter on a stand-in, after two runs that show which axes follow the batch.

    Returns:
        The traced model, and whether it branches on the values of tensors.
    """
    names, inputs = _inputs(session, 2)
    whole = MainOutput(module, tuple(names) if session.opened_model.graphs is None else ())
    path = folder / "traced.onnx"
    with torch.no_grad(), _as_written(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            for size in (2, 3):
                whole(*_inputs(session, size)[1])
            torch.onnx.export(
                whole,
                inputs,
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=names,
                output_names=[OUTPUT],
                dynamic_axes={name: {0: "batch"} for name in (*names, OUTPUT)},
                custom_opsets={DOMAIN: 1} if marks.table else None,
            )
        except (OSError, QguiError):
            raise
        except Exception as error:
            raise _not_expressible(session, error) from error
    return onnx.load(path), any("Python boolean" in str(warning.message) for warning in caught)


@contextmanager
def _as_written() -> Iterator[None]:
    """Let attention be computed operation by operation, and the exporter print nothing."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    torch._C._jit_set_onnx_log_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _not_expressible(session: Session, error: Exception) -> QguiError:
    """Return why PyTorch's exporter stopped, with the layers that compute what ONNX lacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    why = lines[0] if lines else type(error).__name__
    found = re.search(r"aten::(\w+)", why)
    graphs = session.opened_model.graphs
    if found and graphs is not None:
        names = {layer.node: layer.name for layer in session.opened_model.description.layers}
        operator = found[1].strip("_")
        kinds = {n.name: describe.type_of(n, graphs.canonical).lower() for n in graphs.canonical.graph.nodes}
        layers = [names.get(node, node) for node, kind in kinds.items() if kind == operator]
        where = say(", in {layers}", layers=", ".join(layers)) if layers else ""
        why = say("ONNX has no operator for aten::{found}{where}", found=found[1], where=where)
    hint = say("Export TorchScript, or write this part of the model with other operations.")
    return QguiError(say("Could not export to ONNX"), why, hint, str(error))


def _refuse_branches(session: Session, model: nn.Module, backend: str) -> None:
    """Refuse a model whose control flow depends on the data, as far as other inputs show it."""
    batches = list(session.check_batches(8))
    try:
        latency.torchscript(model, backend, batches[0], batches)
    except latency.NotTraceable as error:
        hint = say("Export the Python script, which runs the model's own code.")
        raise QguiError(say("Could not export to ONNX"), str(error), hint) from error


def _written(traced: onnx.ModelProto, marks: Marks) -> onnx.ModelProto:
    """Return the traced model with each mark replaced by the operators for which it stands, and all named."""
    ranks = _ranks(traced.graph)
    outputs = {value.name for value in traced.graph.output}
    inputs = [value.name for value in traced.graph.input]
    writer = Writer([*inputs, *outputs])
    renamed = {name: name for name in (*inputs, *outputs, "")}
    for tensor in traced.graph.initializer:
        name = writer.free(tensor.name.removeprefix("model.model."))
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
