"""Leave out of an ONNX graph what computes nothing: identities, unused results, clamps that the int8 range makes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

#: Elements of a constant that is computed here; larger ones stay as the exporter wrote them.
_SMALL = 4096
#: What stays although it reads constants alone: a weight is stored as int8.
_KEPT = frozenset({"DequantizeLinear", "QuantizeLinear"})


def clean(graph: onnx.GraphProto) -> None:
    """Simplify a graph in place; what it computes stays the same to the bit."""
    _constants_to_initializers(graph)
    _without_identities(graph)
    _fold(graph)
    _without_clamps(graph)
    _merge_padding(graph)
    _without_rounding_twice(graph)
    _without_unused(graph)


def _constants_to_initializers(graph: onnx.GraphProto) -> None:
    kept = []
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = node.attribute[0].t
            tensor.name = node.output[0]
            graph.initializer.append(tensor)
        else:
            kept.append(node)
    _replace(graph, kept)


def _fold(graph: onnx.GraphProto) -> None:
    """Compute what depends on small constants alone, as the shapes that PyTorch's exporter computes."""
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer if _small(tensor)}
    stored = {tensor.name: tensor for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        given = [name for name in node.input if name]
        if node.op_type == "QuantizeLinear" and all(name in stored for name in given):
            stored[node.output[0]] = tensor = _quantized(node, stored)
            graph.initializer.append(tensor)
            continue
        if node.op_type in _KEPT or node.domain or not all(name in known for name in given) or not node.output:
            kept.append(node)
            continue
        values = ReferenceEvaluator(node).run(None, {name: known[name] for name in given})
        for name, value in zip(node.output, values, strict=False):
            known[name] = np.asarray(value)
            graph.initializer.append(numpy_helper.from_array(known[name], name))
    _replace(graph, kept)


def _quantized(node: onnx.NodeProto, stored: Mapping[str, onnx.TensorProto]) -> onnx.TensorProto:
    """Return a constant as the integers that are read of it: OpenVINO stops at an addition of constants otherwise."""
    value, scale, zero_point = (numpy_helper.to_array(stored[name]) for name in node.input)
    limits = np.iinfo(zero_point.dtype)
    steps = np.clip(np.rint(value / scale) + zero_point, limits.min, limits.max)
    return numpy_helper.from_array(steps.astype(zero_point.dtype), node.output[0])


def _small(tensor: onnx.TensorProto) -> bool:
    return int(np.prod(tensor.dims)) <= _SMALL and tensor.data_type != onnx.TensorProto.FLOAT16


def _merge_padding(graph: onnx.GraphProto) -> None:
    """Let convolutions pad with zeros themselves, asymmetrically too, in place of a Pad that they alone read."""
    uses = _uses(graph)
    renamed, gone = {}, set()
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        chain = _chain_from(node.input[0], uses)
        pad = chain[-1] if chain else None
        if pad is None or pad.op_type != "Pad" or not all(uses.only_reader(n.output[0]) is not None for n in chain):
            continue
        sizes = uses.number(pad.input[1])
        filled = uses.number(pad.input[2]) if len(pad.input) > 2 and pad.input[2] else np.float32(0)
        mode = next((a.s for a in pad.attribute if a.name == "mode"), b"constant")
        pads = next((a for a in node.attribute if a.name == "pads"), None)
        plain = mode == b"constant" and filled is not None and float(filled) == 0.0 and len(pad.input) < 4
        if sizes is None or pads is None or not plain or not _spatial(sizes):
            continue
        half = len(sizes) // 2
        added = [*sizes[2:half], *sizes[half + 2 :]]
        pads.ints[:] = [int(a + b) for a, b in zip(pads.ints, added, strict=True)]
        # Zero is a step of every int8 tensor: it does not matter whether it is padded before or after rounding.
        renamed[pad.output[0]] = pad.input[0]
        gone.add(id(pad))
    _redirect(graph, renamed, gone)


def _chain_from(value: str, uses: _Uses) -> list[onnx.NodeProto]:
    """Return what made a value: the node itself, or Q/DQ and what they round."""
    maker = uses.made.get(value)
    if maker is None or maker.op_type != "DequantizeLinear":
        return [maker] if maker is not None else []
    rounding = uses.made.get(maker.input[0])
    if rounding is None or rounding.op_type != "QuantizeLinear":
        return []
    source = uses.made.get(rounding.input[0])
    return [maker, rounding, source] if source is not None else []


def _spatial(sizes: npt.NDArray[Any]) -> bool:
    half = len(sizes) // 2
    return not (sizes[:2].any() or sizes[half : half + 2].any()) and bool((sizes >= 0).all())


def _equal(first: onnx.NodeProto, second: onnx.NodeProto, uses: _Uses) -> bool:
    pairs = zip(first.input[1:], second.input[1:], strict=True)
    return all(np.array_equal(uses.number(a), uses.number(b)) for a, b in pairs)


def _replace(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    fresh = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(fresh)


@dataclass
class _Uses:
    """Who makes and who reads each value."""

    made: dict[str, onnx.NodeProto]
    read: dict[str, list[onnx.NodeProto]]
    outputs: set[str]
    constants: dict[str, onnx.TensorProto]

    def only_reader(self, name: str) -> onnx.NodeProto | None:
        readers = self.read[name]
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def number(self, name: str) -> Any:
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None


def _uses(graph: onnx.GraphProto) -> _Uses:
    read: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            read[name].append(node)
    made = {name: node for node in graph.node for name in node.output}
    return _Uses(made, read, {v.name for v in graph.output}, {t.name: t for t in graph.initializer})


def _redirect(graph: onnx.GraphProto, renamed: dict[str, str], gone: set[int]) -> None:
    """Let readers of some values read others, and leave out the nodes that made them."""

    def final(name: str) -> str:
        while name in renamed:
            name = renamed[name]
        return name

    kept = [node for node in graph.node if id(node) not in gone]
    for node in kept:
        for place, name in enumerate(node.input):
            node.input[place] = final(name)
    _replace(graph, kept)


def _without_identities(graph: onnx.GraphProto) -> None:
    """Leave identities out; one whose result has a name that counts gives that name to what made its input."""
    uses = _uses(graph)
    taken = {v.name for v in graph.input} | uses.constants.keys() | uses.outputs
    for node in [n for n in graph.node if n.op_type == "Identity"]:
        source, target = node.input[0], node.output[0]
        maker = uses.made.get(source)
        if maker is None or source in taken:
            if target not in uses.outputs:
                _rename_reads(uses, target, source)
                node.op_type = ""
            continue
        maker.output[list(maker.output).index(source)] = target
        uses.made[target] = maker
        _rename_reads(uses, source, target)
        node.op_type = ""
    _replace(graph, [node for node in graph.node if node.op_type])


def _rename_reads(uses: _Uses, before: str, after: str) -> None:
    for reader in uses.read[before]:
        for place, name in enumerate(reader.input):
            if name == before:
                reader.input[place] = after
    uses.read[after] = uses.read[after] + uses.read[before]


def _bounds(node: onnx.NodeProto, uses: _Uses) -> tuple[float, float] | None:
    """Return the bounds of a clamp, None where they are not known or it is none."""
    if node.op_type == "Relu":
        return 0.0, np.inf
    if node.op_type != "Clip":
        return None
    found = []
    for place, default in ((1, -np.inf), (2, np.inf)):
        name = node.input[place] if len(node.input) > place else ""
        value = uses.number(name) if name else default
        if value is None:
            return None
        found.append(float(value))
    return found[0], found[1]


def _without_clamps(graph: onnx.GraphProto) -> None:
    """Leave out clamps before a rounding whose range ends at or inside their bounds."""
    uses = _uses(graph)
    renamed, gone = {}, set()
    for node in graph.node:
        bounds = _bounds(node, uses)
        reader = uses.only_reader(node.output[0]) if bounds else None
        if bounds is None or reader is None or reader.op_type != "QuantizeLinear":
            continue
        scale, zero_point = uses.number(reader.input[1]), uses.number(reader.input[2])
        limits = np.iinfo(zero_point.dtype)
        low, high = (np.rint(np.float32(bound) / scale) + zero_point for bound in bounds)
        if low <= limits.min and high >= limits.max:
            renamed[node.output[0]] = node.input[0]
            gone.add(id(node))
    _redirect(graph, renamed, gone)


def _without_rounding_twice(graph: onnx.GraphProto) -> None:
    """Leave out a rounding of what was just rounded with the same scale and zero point."""
    uses = _uses(graph)
    renamed, gone = {}, set()
    for node in graph.node:
        before = uses.made.get(node.input[0]) if node.op_type == "QuantizeLinear" and node.input else None
        after = uses.only_reader(node.output[0]) if before is not None else None
        if before is None or after is None or before.op_type != "DequantizeLinear" or after.op_type != before.op_type:
            continue
        if _equal(before, node, uses) and after.output[0] not in uses.outputs:
            renamed[after.output[0]] = before.output[0]
            gone |= {id(node), id(after)}
    _redirect(graph, renamed, gone)


def _without_unused(graph: onnx.GraphProto) -> None:
    wanted = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    _replace(graph, kept[::-1])
    initializers = [tensor for tensor in graph.initializer if tensor.name in wanted]
    if len(initializers) < len(graph.initializer):
        fresh = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in initializers]
        del graph.initializer[:]
        graph.initializer.extend(fresh)
