"""How many multiply-accumulate operations (MACs) a layer needs for one sample."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx, nn

from qgui.core import legality
from qgui.core.layers import Shape
from qgui.engine.fx import plain


def macs_of(node: fx.Node, target: Any, shapes: Mapping[str, Shape]) -> int:
    """Return the MACs of a node for one sample of the batch, 0 where they are not known.

    Args:
        node: A call of the graph.
        target: The module it calls, None for a function.
        shapes: Node name to output shape, batch first.
    """
    sources = [shapes.get(a.name) for a in node.args if isinstance(a, fx.Node)]
    source, output = sources[0] if sources else None, shapes.get(node.name)
    if plain.name_of(node) == "matmul" and source and output:
        return math.prod(output) * source[-1] // max(output[0], 1)
    return module_macs(target, source, output)


def module_macs(module: Any, source: Shape | None, output: Shape | None) -> int:
    """Return the MACs of a module for one sample of the batch, 0 where they are not known.

    Args:
        module: The module.
        source: Shape of its first input.
        output: Shape of its first output, batch first.
    """
    if not output:
        return 0
    batch = max(output[0], 1)
    name = type(module).__name__
    if isinstance(module, nn.Linear):
        return int(math.prod(output) * module.in_features // batch)
    if name in legality.CONVOLUTIONS and isinstance(module.weight, torch.Tensor):
        return math.prod(output) * math.prod(module.weight.shape[1:]) // batch
    if name in legality.TRANSPOSED_CONVOLUTIONS and source is not None:
        return int(math.prod(source) * math.prod(module.weight.shape[1:]) // batch)
    if isinstance(module, (nn.LSTM, nn.GRU)) and source is not None:
        steps = math.prod(source[:-1]) // batch if len(source) > 2 else source[0]
        return int(steps) * sum(int(p.numel()) for n, p in module.named_parameters() if n.startswith("weight"))
    return 0
