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
        self.nodes_of(kind, inputs, name, [output], **attributes)
        return output

    def nodes_of(self, kind: str, inputs: Sequence[str], name: str, outputs: Sequence[str], **attributes: Any) -> None:
        """Add a node with any number of outputs; `domain` may be among its attributes."""
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=self.free_node(name), **attributes))

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
    attributes: dict[str, Any] = {} if whole else {"axis": weight.axis if axis is None else axis}
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
    attributes: dict[str, Any] = {} if whole else {"axis": 0}
    return [writer.node("DequantizeLinear", numbers, f"{name}/dequantize", **attributes)]


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


def _dynamic_linear(
    writer: Writer, mark: Mark, inputs: Sequence[str], outputs: Sequence[str], ranks: Sequence[int]
) -> None:
    (weight,), (bias,) = mark.weights, mark.biases
    name = mark.name
    if weight.values.dtype == np.float16:
        half = writer.store(f"{name}.weight", weight.values.T)
        whole = writer.node("Cast", (half,), f"{name}.weight/cast", to=onnx.TensorProto.FLOAT)
        value = writer.node("MatMul", (inputs[0], whole), name)
    else:
        parts = [writer.free(f"{name}/input/{part}") for part in ("int8", "scale", "zero_point")]
        writer.nodes_of("DynamicQuantizeLinear", inputs[:1], f"{name}/input/quantize", parts)
        stored = writer.store(f"{name}.weight", weight.values.T)
        scale = writer.store(f"{name}.weight/scale", weight.scale[0] if weight.axis is None else weight.scale)
        zero_points = weight.zero_point[0] if weight.axis is None else weight.zero_point
        zero_point = writer.store(f"{name}.weight/zero_point", zero_points.astype(np.int8))
        sums = writer.node("MatMulInteger", (parts[0], stored, parts[2], zero_point), name)
        sums = writer.node("Cast", (sums,), f"{name}/cast", to=onnx.TensorProto.FLOAT)
        step = writer.node("Mul", (parts[1], scale), f"{name}/scale")
        value = writer.node("Mul", (sums, step), f"{name}/multiply")
    if bias is not None:
        value = writer.node("Add", (value, writer.store(f"{name}.bias", bias)), f"{name}/add")
    _finished(writer, mark, value, outputs[0])


def _embedding(writer: Writer, mark: Mark, inputs: Sequence[str], outputs: Sequence[str], ranks: Sequence[int]) -> None:
    (weight,) = mark.weights
    name = mark.name
    parts = {"": weight.values, "/scale": weight.scale[:, None], "/zero_point": weight.zero_point[:, None]}
    row, scale, zero_point = (
        writer.node(
            "Gather",
            (writer.store(f"{name}.weight{part}", values if not part else values.astype(np.float32)), inputs[0]),
            f"{name}{part}",
        )
        for part, values in parts.items()
    )
    steps = writer.node("Cast", (row,), f"{name}/cast", to=onnx.TensorProto.FLOAT)
    steps = writer.node("Sub", (steps, zero_point), f"{name}/subtract")
    writer.node("Mul", (steps, scale), f"{name}/multiply", outputs[0])


def _lstm(writer: Writer, mark: Mark, inputs: Sequence[str], outputs: Sequence[str], ranks: Sequence[int]) -> None:
    """Write an LSTM whose weights are int8, or float16 for a float LSTM."""
    count = len(mark.biases)
    name = mark.name
    initial = list(inputs[1:]) or ["", ""]
    bias = writer.store(f"{name}.bias", np.stack([value for value in mark.biases if value is not None]))
    found, hidden, cells = writer.free(f"{name}/LSTM"), *outputs[1:]
    attributes = dict(mark.attributes)
    if mark.weights[0].values.dtype == np.float16:
        halves = [np.stack([w.values for w in mark.weights[start : start + count]]) for start in (0, count)]
        stored = [
            writer.node(
                "Cast",
                (writer.store(f"{name}.weight_{part}", half),),
                f"{name}.weight_{part}/cast",
                to=onnx.TensorProto.FLOAT,
            )
            for part, half in zip(("ih", "hh"), halves, strict=True)
        ]
        writer.nodes_of("LSTM", (inputs[0], *stored, bias, "", *initial), name, (found, hidden, cells), **attributes)
    else:
        weights, numbers = [], []
        for part, start in (("ih", 0), ("hh", count)):
            own = mark.weights[start : start + count]
            each = own[0].axis is not None
            weights.append(writer.store(f"{name}.weight_{part}", np.stack([w.values.T for w in own])))
            scales = np.stack([w.scale if each else w.scale[0] for w in own]).astype(np.float32)
            zeros = np.stack([w.zero_point if each else w.zero_point[0] for w in own]).astype(np.int8)
            numbers += [
                writer.store(f"{name}.weight_{part}/scale", scales),
                writer.store(f"{name}.weight_{part}/zero_point", zeros),
            ]
        given = (inputs[0], *weights, bias, "", *initial, "", *numbers)
        results = (found, hidden, cells)
        writer.nodes_of("DynamicQuantizeLSTM", given, name, results, domain="com.microsoft", **attributes)
    # From (steps, directions, batch, hidden) to (steps, batch, directions * hidden).
    turned = writer.node("Transpose", (found,), f"{name}/transpose", perm=[0, 2, 1, 3])
    shape = writer.store(f"{name}/shape", np.array([0, 0, -1]))
    writer.node("Reshape", (turned, shape), f"{name}/reshape", outputs[0])


_WRITERS: dict[str, Callable[[Writer, Mark, Sequence[str], Sequence[str], Sequence[int]], None]] = {
    "value": _value,
    "conv": _conv,
    "conv_transpose": _conv,
    "linear": _linear,
    "dynamic_linear": _dynamic_linear,
    "embedding": _embedding,
    "lstm": _lstm,
}
