"""Which weighted layers can be scaled against each other, channel by channel, without changing what a model computes.

A channel that leaves one layer divided by a factor and enters the next one multiplied by it changes nothing, as long as
what lies between is positively homogeneous and keeps channels apart: `f(s * x) = s * f(x)` for `s > 0`. That holds for
ReLU and pooling, not for ReLU6 or sigmoid (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", ICCV 2019, section 4.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from torch import fx, nn

from qgui.core.language import say
from qgui.core.layers import Shape
from qgui.engine import columns
from qgui.engine.fx import fold, plain

_HOMOGENEOUS = (nn.ReLU, nn.LeakyReLU, nn.Identity)
_HOMOGENEOUS_FUNCTIONS = frozenset({"relu", "leaky_relu", "contiguous", "detach"})
_POOLS = (
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
)
_POOL_FUNCTIONS = frozenset(
    f"{kind}_pool{size}d" for kind in ("max", "avg", "adaptive_avg", "adaptive_max") for size in (1, 2, 3)
)
_CUTS = frozenset({"ReLU6", "relu6", "Hardtanh", "hardtanh", "clamp"})
#: Readers that ask for the shape alone.
_SHAPES = frozenset({"size", "getattr", "dim", "shape"})


class _Where(Enum):
    """Where the channels of a tensor lie."""

    SECOND = say("dimension 1 of a feature map")
    LAST = say("the last dimension")
    FLAT = say("dimension 1 of two")


@dataclass(frozen=True)
class Link:
    """Two layers of which one reads the other's channels.

    Attributes:
        first: Node of the layer whose output channels are divided.
        second: Node of the layer whose input channels are multiplied.
    """

    first: str
    second: str


class _Apart(Exception):
    """Why a layer cannot be scaled against what reads it."""


def find(
    canonical: fx.GraphModule, fused: fx.GraphModule, values: Mapping[str, Shape]
) -> tuple[tuple[Link, ...], dict[str, str]]:
    """Return the links of a model, and for every other layer that begins none why that is so.

    Args:
        canonical: The canonical graph.
        fused: The same with Conv+BN+ReLU fused.
        values: Node name to shape of its output for a sample; empty where none is known.

    Returns:
        The links in the order of the graph, and node name to the reason as a sentence.
    """
    nodes = {node.name: node for node in canonical.graph.nodes}
    uses = _uses(canonical)
    links, reasons = [], {}
    for node in fused.graph.nodes:
        module = columns.weighted(plain.called(node, fused))
        if module is None:
            continue
        try:
            if max(uses.get(id(p), 0) for p in module_parameters(nodes[node.name], canonical)) > 1:
                raise _Apart(say("Its weight is used more than once."))
            _refuse_norm_without_scale(nodes[node.name], canonical)
            second = _reader(node, fused, values)
            if max(uses.get(id(p), 0) for p in module_parameters(nodes[second.name], canonical)) > 1:
                raise _Apart(say("The weight of {target} behind it is used more than once.", target=second.target))
            links.append(Link(node.name, second.name))
        except _Apart as reason:
            reasons[node.name] = str(reason)
    return tuple(links), reasons


def module_parameters(node: fx.Node, module: fx.GraphModule) -> list[nn.Parameter]:
    """Return the parameters of the module that a node calls."""
    target = plain.called(node, module)
    return list(target.parameters()) if target is not None else []


def _uses(canonical: fx.GraphModule) -> dict[int, int]:
    """Return how often each parameter is used: by calls, or under several names."""
    uses: dict[int, int] = {}
    for node in canonical.graph.nodes:
        for parameter in module_parameters(node, canonical):
            uses[id(parameter)] = uses.get(id(parameter), 0) + 1
    return uses


def _refuse_norm_without_scale(node: fx.Node, canonical: fx.GraphModule) -> None:
    norm = fold.norm_behind(node, canonical)
    if norm is not None and not norm.affine:
        raise _Apart(say("The BatchNorm behind it has no weight that could be scaled."))


def _reader(node: fx.Node, fused: fx.GraphModule, values: Mapping[str, Shape]) -> fx.Node:
    """Return the weighted node that alone reads another's channels.

    Raises:
        _Apart: There is none, or something between the two is in the way.
    """
    first = columns.weighted(plain.called(node, fused))
    assert first is not None
    where = _Where.LAST if isinstance(first, nn.Linear) else _Where.SECOND
    channels = first.out_features if isinstance(first, nn.Linear) else first.out_channels
    outer, current = plain.called(node, fused), node
    if isinstance(outer, nn.Sequential) and not all(isinstance(m, _HOMOGENEOUS) for m in list(outer)[1:]):
        raise _Apart(say("{kind} cannot be scaled.", kind=type(outer).__name__))
    while True:
        readers = [user for user in current.users if plain.name_of(user) not in _SHAPES]
        if any(reader.op == "output" for reader in readers):
            raise _Apart(say("Its output is what the model gives."))
        if len(readers) != 1:
            raise _Apart(
                say("{count} layers read its output, and they would all have to be scaled alike.", count=len(readers))
            )
        reader = readers[0]
        second = columns.weighted(plain.called(reader, fused))
        if second is not None:
            _refuse_misfit(second, where, channels, reader)
            return reader
        where = _behind(reader, current, where, channels, fused, values)
        current = reader


def _refuse_misfit(second: columns.Weighted, where: _Where, channels: int, reader: fx.Node) -> None:
    linear = isinstance(second, nn.Linear)
    inputs = second.in_features if isinstance(second, nn.Linear) else second.in_channels
    fits = where in (_Where.LAST, _Where.FLAT) if linear else where is _Where.SECOND
    if not fits or inputs % channels or (inputs != channels and where is not _Where.FLAT):
        raise _Apart(say("{target} does not read its channels one by one.", target=reader.target))


def _behind(
    reader: fx.Node,
    source: fx.Node,
    where: _Where,
    channels: int,
    fused: fx.GraphModule,
    values: Mapping[str, Shape],
) -> _Where:
    """Return where the channels lie behind an operation.

    Raises:
        _Apart: It does not let factors through.
    """
    target, name = plain.called(reader, fused), plain.name_of(reader)
    if isinstance(target, _HOMOGENEOUS) or name in _HOMOGENEOUS_FUNCTIONS:
        return where
    if (isinstance(target, _POOLS) or name in _POOL_FUNCTIONS) and where is _Where.SECOND:
        return where
    if name == "mean" and where is _Where.SECOND:
        return _behind_mean(reader, source, values)
    if isinstance(target, nn.Flatten) or name in ("flatten", "view", "reshape"):
        return _behind_flatten(reader, source, where, channels, target, values)
    kind = type(target).__name__ if target is not None else name
    if kind in _CUTS:
        raise _Apart(
            say("{kind} behind it cuts at a fixed value, which scaled channels would reach sooner or later.", kind=kind)
        )
    raise _Apart(say("{kind} behind it does not let factors of single channels through.", kind=kind))


def _behind_mean(reader: fx.Node, source: fx.Node, values: Mapping[str, Shape]) -> _Where:
    shape = values.get(source.name)
    given = plain.argument(reader, 1, "dim")
    dims = [given] if isinstance(given, int) else list(given or [])
    if shape is None or not dims or not all(isinstance(dim, int) for dim in dims):
        raise _Apart(say("The mean behind it takes dimensions that are not known."))
    if {dim % len(shape) for dim in dims} != set(range(2, len(shape))):
        raise _Apart(say("The mean behind it does not keep channels apart."))
    return _Where.SECOND if plain.argument(reader, 2, "keepdim", False) else _Where.FLAT


def _behind_flatten(
    reader: fx.Node, source: fx.Node, where: _Where, channels: int, target: Any, values: Mapping[str, Shape]
) -> _Where:
    before, after = values.get(source.name), values.get(reader.name)
    if before is not None and after is not None and before == after:
        return where
    flattens = plain.name_of(reader) == "flatten" or isinstance(target, nn.Flatten)
    if flattens and where is _Where.SECOND:
        start = target.start_dim if target is not None else plain.argument(reader, 1, "start_dim", 0)
        end = target.end_dim if target is not None else plain.argument(reader, 2, "end_dim", -1)
        if (start, end) == (1, -1):
            return _Where.FLAT
    if before is not None and after is not None and where is _Where.SECOND:
        count = 1
        for length in before[1:]:
            count *= length
        if before[1] == channels and after == (before[0], count):
            return _Where.FLAT
    raise _Apart(say("The reshaping behind it does not keep channels apart."))
