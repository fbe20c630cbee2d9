"""The operators of ONNX that stand in the place of a mark: QuantizeLinear and DequantizeLinear around what computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from qgui.engine.fx.marks import Mark, Scale, Weight

_INT32 = np.iinfo(np.int32)


class Writer:
    """Collects nodes and initializers, and keeps their names unique."""

    def __init__(self, taken: Sequence[str] = ()) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self._taken = set(taken)
        self._nodes: set[str] = set()

    def free(self, name: str) -> str:
        """Return the name for a value, with a number behind it where it is taken, and take it."""
        return _taken(name, self._taken)

    def free_node(self, name: str) -> str:
        """Return the name for a node, with a number behind it where it is taken, and take it."""
        return _taken(name, self._nodes)

    def store(self, name: str, values: npt.NDArray[Any]) -> str:
        """Add an initializer and return its name."""
        name = self.free(name)
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name)
        return name

    def node(self, kind: str, inputs: Sequence[str], name: str, output: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        output = output or self.free(f"{name}/{kind}")
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=self.free_node(name), **attributes))
        return output

    def write(self, mark: Mark, inputs: Sequence[str], outputs: Sequence[str], ranks: Sequence[int]) -> None:
        """Write the operators of a mark."""
        _WRITERS[mark.kind](self, mark, inputs, outputs, ranks)


def _taken(name: str, taken: set[str]) -> str:
    candidate, count = name, 1
    while candidate in taken:
        candidate, count = f"{name}_{count}", count + 1
    taken.add(candidate)
    return candidate


def _rounded(writer: Writer, mark: Mark, value: str, output: str) -> None:
    """Quantize and dequantize a value, as an int8 tensor stores it."""
    assert mark.output is not None
    numbers = _scale(writer, mark.name, mark.output)
    stored = writer.node("QuantizeLinear", (value, *numbers), f"{mark.name}/quantize")
    writer.node("DequantizeLinear", (stored, *numbers), f"{mark.name}/dequantize", output)


def _scale(writer: Writer, name: str, scale: Scale) -> tuple[str, str]:
    return (
        writer.store(f"{name}/scale", np.array(scale.scale, np.float32)),
        writer.store(f"{name}/zero_point", np.array(scale.zero_point, np.uint8)),
    )


def _finished(writer: Writer, mark: Mark, value: str, output: str) -> None:
    """Clamp and round what a layer computed."""
    if mark.relu:
        value = writer.node("Relu", (value,), f"{mark.name}/relu")
    if mark.output is not None:
        _rounded(writer, mark, value, output)
    else:
        writer.node("Identity", (value,), f"{mark.name}/identity", output)


def _value(writer: Writer, mark: Mark, inputs: Sequence[str], outputs: Sequence[str], ranks: Sequence[int]) -> None:
    _finished(writer, mark, inputs[0], outputs[0])


def _dequantized(writer: Writer, name: str, weight: Weight, axis: int | None = None) -> str:
    """Store an int8 weight, and return it as float."""
    whole = weight.axis is None
    numbers = (
        writer.store(name, weight.values),
        writer.store(f"{name}/scale", weight.scale[0] if whole else weight.scale),
        writer.store(f"{name}/zero_point", (weight.zero_point[0] if whole else weight.zero_point).astype(np.int8)),
    )
    attributes = {} if whole else {"axis": weight.axis if axis is None else axis}
    return writer.node("DequantizeLinear", numbers, f"{name}/dequantize", **attributes)


def _bias(writer: Writer, mark: Mark, weight: Weight, bias: npt.NDArray[np.float32] | None) -> list[str]:
    """Return the bias as int32 steps of input scale times weight scale; as float where a number does not fit."""
    if bias is None:
        return []
    assert mark.source is not None
    name = f"{mark.name}.bias"
    scale = np.broadcast_to(np.float32(mark.source.scale) * weight.scale, bias.shape).astype(np.float32)
    steps = np.rint(bias.astype(np.float64) / scale)
    if np.abs(steps).max(initial=0) > _INT32.max:
        return [writer.store(name, bias)]
    whole = weight.axis is None
    numbers = (
        writer.store(name, steps.astype(np.int32)),
        writer.store(f"{name}/scale", scale[0] if whole else scale),
        writer.store(f"{name}/zero_point", np.zeros((() if whole else scale.shape), np.int32)),
    )
    return [writer.node("DequantizeLinear", numbers, f"{name}/dequantize", **({} if whole else {"axis": 0}))]


def _conv(writer: Writer, mark: Mark, inputs: Sequence[str], outputs: Sequence[str], ranks: Sequence[int]) -> None:
    (weight,), (bias,) = mark.weights, mark.biases
    kind = "ConvTranspose" if mark.kind == "conv_transpose" else "Conv"
    given = (inputs[0], _dequantized(writer, f"{mark.name}.weight", weight), *_bias(writer, mark, weight, bias))
    value = writer.node(kind, given, mark.name, **mark.attributes)
    _finished(writer, mark, value, outputs[0])


def _linear(writer: Writer, mark: Mark, inputs: Sequence[str], outputs: Sequence[str], ranks: Sequence[int]) -> None:
    (weight,), (bias,) = mark.weights, mark.biases
    if ranks[0] == 2:
        given = (inputs[0], _dequantized(writer, f"{mark.name}.weight", weight), *_bias(writer, mark, weight, bias))
        value = writer.node("Gemm", given, mark.name, transB=1)
    else:
        turned = Weight(weight.values.T, weight.scale, weight.zero_point, None if weight.axis is None else 1)
        value = writer.node("MatMul", (inputs[0], _dequantized(writer, f"{mark.name}.weight", turned)), mark.name)
        added = _bias(writer, mark, weight, bias)
        value = writer.node("Add", (value, *added), f"{mark.name}/add") if added else value
    _finished(writer, mark, value, outputs[0])


_WRITERS: dict[str, Callable[[Writer, Mark, Sequence[str], Sequence[str], Sequence[int]], None]] = {
    "value": _value,
    "conv": _conv,
    "conv_transpose": _conv,
    "linear": _linear,
}
