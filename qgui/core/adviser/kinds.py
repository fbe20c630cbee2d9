"""What kinds of layers a model has: how many of each, and which share of parameters and of measured time they make."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from qgui.core import legality
from qgui.core.layers import Layer, ModelDescription
from qgui.core.results import Comparison

_Number = TypeVar("_Number", int, float)


class LayerKind(enum.StrEnum):
    """What a layer does, as far as it matters for how it is quantized."""

    CONVOLUTION = "convolution"
    DEPTHWISE = "depthwise"
    TRANSPOSED = "transposed"
    LINEAR = "linear"
    RECURRENT = "recurrent"
    EMBEDDING = "embedding"
    WHOLE = "whole"
    ARITHMETIC = "arithmetic"
    PRESCRIBED = "prescribed"
    PASSING = "passing"
    OTHER = "other"


class KindShare(msgspec.Struct, frozen=True):
    """The layers of one kind.

    Attributes:
        kind: What they do.
        layers: Those that carry a rule, in order of execution; what is fused into them counts with them.
        parameters: Number of their parameter elements.
        parameter_share: The same as a share of all layers, 0 to 1.
        float_ms: What they take in the float model in milliseconds; None where nothing was measured.
        time_share: The same as a share of all layers, 0 to 1.
    """

    kind: LayerKind
    layers: tuple[Layer, ...]
    parameters: int
    parameter_share: float
    float_ms: float | None = None
    time_share: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The paths of the layers."""
        return tuple(layer.name for layer in self.layers)


def kind_of(layer: Layer) -> LayerKind:
    """Return what a layer does."""
    if layer.leaf_reason:
        return LayerKind.WHOLE
    if layer.type in legality.CONVOLUTIONS:
        return LayerKind.DEPTHWISE if layer.depthwise else LayerKind.CONVOLUTION
    for kind, types in (
        (LayerKind.TRANSPOSED, legality.TRANSPOSED_CONVOLUTIONS),
        (LayerKind.LINEAR, {"Linear", "NonDynamicallyQuantizableLinear"}),
        (LayerKind.RECURRENT, legality.RECURRENT | {"RNN"}),
        (LayerKind.EMBEDDING, legality.EMBEDDINGS),
        (LayerKind.ARITHMETIC, legality.ARITHMETIC),
        (LayerKind.PRESCRIBED, legality.FIXED_QPARAMS),
        (LayerKind.PASSING, legality.CLAMPS | legality.PASS_THROUGH),
    ):
        if layer.type in types:
            return kind
    return LayerKind.OTHER


def kinds_of(model: ModelDescription, comparison: Comparison | None = None) -> tuple[KindShare, ...]:
    """Return the kinds of layers of a model in the order of `LayerKind`.

    Args:
        model: The model.
        comparison: Measured times of its layers, where there are some.
    """
    rows = [layer for layer in model.layers if layer.kind != "input"]
    within = _sums_by((row.inside, row.parameters) for row in rows if row.kind == "inside")
    parameters = _sums(rows, {row.name: max(0, row.parameters - within.get(row.name, 0)) for row in rows})
    times = {result.name: result.float_ms or 0.0 for result in comparison.layers} if comparison is not None else {}
    spent = _sums(rows, {row.name: times.get(row.name, 0.0) for row in rows})
    found: dict[LayerKind, list[Layer]] = {kind: [] for kind in LayerKind}
    for row in rows:
        if row.head:
            found[kind_of(row)].append(row)
    all_parameters, all_ms = sum(parameters.values()), sum(spent.values())
    shares = []
    for kind, layers in found.items():
        if layers:
            count = sum(parameters[layer.name] for layer in layers)
            ms = sum(spent[layer.name] for layer in layers) if all_ms else None
            share = ms / all_ms if ms is not None else None
            shares.append(KindShare(kind, tuple(layers), count, count / max(all_parameters, 1), ms, share))
    return tuple(shares)


def _sums(rows: Iterable[Layer], values: Mapping[str, _Number]) -> dict[str, _Number]:
    """Return for each layer that carries a rule the sum over it and what is fused into it."""
    return _sums_by((row.name if row.head else row.group, values[row.name]) for row in rows)


def _sums_by(pairs: Iterable[tuple[str, _Number]]) -> dict[str, _Number]:
    sums: dict[str, _Number] = {}
    for name, value in pairs:
        sums[name] = sums[name] + value if name in sums else value
    return sums
