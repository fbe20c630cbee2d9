"""What a layer with a weight reads, laid out as columns: one for each output position, as matrix products see it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from qgui.engine.fx import plain

#: Lower and upper bound to which the only reader of an output limits it; None where it does not.
Bounds = tuple[float | None, float | None]
Weighted = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear
#: Told the node, its columns of shape `(groups, inputs, positions)` and its outputs `(groups, outputs, positions)`.
Take = Callable[[str, torch.Tensor, torch.Tensor], None]


def weighted(module: nn.Module | None) -> Weighted | None:
    """Return the convolution or linear layer that a module is, or that a fused module begins with."""
    inner = module[0] if isinstance(module, nn.Sequential) and len(module) else module
    return inner if isinstance(inner, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)) else None


def weighted_nodes(fused: fx.GraphModule) -> dict[str, Weighted]:
    """Return the convolutions and linear layers of a fused graph by the names of their nodes."""
    found = {}
    for node in fused.graph.nodes:
        module = weighted(plain.called(node, fused))
        if module is not None:
            found[node.name] = module
    return found


def bounds_of(clamps: Mapping[str, Bounds | None], fused: fx.GraphModule) -> dict[str, Bounds]:
    """Return for every weighted node the bounds to which its output is limited, by fusion or by its only readers.

    Args:
        clamps: Tensor name to the bounds to which its only readers limit it.
        fused: The fused float graph.
    """
    found: dict[str, Bounds] = {}
    for node in fused.graph.nodes:
        module = plain.called(node, fused)
        if weighted(module) is None:
            continue
        with_relu = isinstance(module, nn.Sequential) and any(isinstance(inner, nn.ReLU) for inner in module)
        found[node.name] = (0.0, None) if with_relu else clamps.get(node.name) or (None, None)
    return found


def passes(outputs: torch.Tensor, bounds: Bounds) -> torch.Tensor | None:
    """Return where values get through a clamp, as 0 and 1; None where everything does."""
    low, high = bounds
    if low is None and high is None:
        return None
    inside = torch.ones_like(outputs, dtype=torch.bool)
    if low is not None:
        inside &= outputs > low
    if high is not None:
        inside &= outputs < high
    return inside.to(outputs.dtype)


def columns(module: Weighted, x: torch.Tensor, positions: int, shift: int = 0) -> tuple[torch.Tensor, Any]:
    """Return what a layer reads at a regular grid of its output positions, and where that grid lies in its output.

    Args:
        module: The layer.
        x: Its input; shape `(batch, channels, ...)` for convolutions, `(batch, ..., features)` for linear layers.
        positions: About how many positions of each sample are taken.
        shift: Moves the grid, so that several calls see several positions.

    Returns:
        Shape `(groups, inputs of a group, batch * positions)`, and a function that takes the same positions of the
        layer's output, shape `(groups, outputs of a group, batch * positions)`.
    """
    if isinstance(module, nn.Linear):
        return _of_linear(x, positions, shift)
    padded = _padded(module, x)
    dimensions = len(module.kernel_size)
    dilation, stride = _wide(module.dilation, dimensions), _wide(module.stride, dimensions)
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, module.kernel_size, strict=True)]
    sizes = [(length - span) // s + 1 for length, span, s in zip(padded.shape[2:], spans, stride, strict=True)]
    strides, starts = _grid(sizes, positions, shift)
    view = padded
    for axis in range(dimensions):
        view = view.narrow(2 + axis, starts[axis] * stride[axis], padded.shape[2 + axis] - starts[axis] * stride[axis])
        view = view.unfold(2 + axis, spans[axis], stride[axis] * strides[axis])[..., :: dilation[axis]]
    channels = x.shape[1]
    order = [1, *range(2 + dimensions, 2 + 2 * dimensions), 0, *range(2, 2 + dimensions)]
    groups = module.groups
    rows = view.permute(order).reshape(groups, channels // groups * math.prod(module.kernel_size), -1)
    cut = tuple(slice(start, None, every) for start, every in zip(starts, strides, strict=True))

    def same(output: torch.Tensor) -> torch.Tensor:
        taken = output[(slice(None), slice(None), *cut)]
        return taken.permute(1, 0, *range(2, 2 + dimensions)).reshape(groups, output.shape[1] // groups, -1)

    return rows, same


def _grid(sizes: list[int], positions: int, shift: int) -> tuple[list[int], list[int]]:
    """Return steps and starts of a grid of about so many positions; the shift moves the starts over all places."""
    left = max(positions, 1)
    strides: list[tuple[int, int]] = []
    for axis, size in sorted(enumerate(sizes), key=lambda pair: pair[1]):
        wanted = left ** (1 / (len(sizes) - len(strides)))
        every = max(1, round(size / wanted))
        strides.append((axis, every))
        left = max(1, round(left / -(-size // every)))
    ordered = [every for _, every in sorted(strides)]
    starts = []
    for size, every in zip(sizes, ordered, strict=True):
        reach = min(every, size)
        starts.append(((size - 1) % every // 2 + shift) % reach)
        shift //= reach
    return ordered, starts


def _of_linear(x: torch.Tensor, positions: int, shift: int) -> tuple[torch.Tensor, Any]:
    def cut(tensor: torch.Tensor) -> torch.Tensor:
        tokens = tensor.reshape(tensor.shape[0], -1, tensor.shape[-1]) if tensor.dim() > 1 else tensor[None, None]
        every = max(1, round(tokens.shape[1] / max(positions, 1)))
        start = shift % min(every, tokens.shape[1])
        return tokens[:, start::every].reshape(-1, tensor.shape[-1]).t()[None]

    return cut(x), cut


def _wide(value: Any, dimensions: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (int(value),) * dimensions


def _padded(module: nn.Conv1d | nn.Conv2d | nn.Conv3d, x: torch.Tensor) -> torch.Tensor:
    padding = module._reversed_padding_repeated_twice
    if not any(padding):
        return x
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    return F.pad(x, padding, mode=mode)


class Watching(fx.Interpreter):
    """Runs a fused graph and hands on what its weighted layers read and give at some positions.

    Args:
        fused: The fused float graph.
        wanted: Names of weighted nodes.
        positions: About how many positions of each sample are taken.
        take: Told each node's columns and outputs.
    """

    def __init__(self, fused: fx.GraphModule, wanted: Collection[str], positions: int, take: Take) -> None:
        super().__init__(fused)
        known = weighted_nodes(fused)
        self._wanted = {name: known[name] for name in wanted if name in known}
        self._positions, self._take = positions, take
        self.shift = 0

    def run_node(self, n: fx.Node) -> Any:
        """Run a node, and hand on what it read where it is wanted."""
        value = super().run_node(n)
        watch(self, n, value, self._wanted.get(n.name), self._positions, self._take, self.shift)
        return value


def watch(
    interpreter: fx.Interpreter,
    node: fx.Node,
    value: Any,
    module: Weighted | None,
    positions: int,
    take: Take,
    shift: int = 0,
) -> None:
    """Hand on what one node of a running graph read and gave, where it is a weighted layer with float input."""
    if module is None or not isinstance(value, torch.Tensor):
        return
    source = node.args[0] if node.args else None
    x = interpreter.env.get(source) if isinstance(source, fx.Node) else None
    if not isinstance(x, torch.Tensor) or x.dim() < (2 if isinstance(module, nn.Linear) else value.dim()):
        return
    read, same = columns(module, x, positions, shift)
    take(node.name, read.float(), same(value).float())
