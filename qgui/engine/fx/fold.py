"""Other weights for a canonical graph: BatchNorm is folded into them already, so that they are used as they are."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import fx, nn

from qgui.engine.fx import plain

#: A weight in the layer's own shape, and its bias.
WeightAndBias = tuple[torch.Tensor, torch.Tensor]


def with_weights(graph: fx.GraphModule, weights: Mapping[str, WeightAndBias]) -> fx.GraphModule:
    """Return a copy of a canonical graph in which some layers have the given folded weights and biases.

    A BatchNorm behind such a layer becomes the identity, with the bias as its shift.

    Args:
        graph: Canonical graph in evaluation mode.
        weights: Node name to weight and bias, BatchNorm folded.
    """
    fresh = copy.deepcopy(graph)
    nodes = {node.name: node for node in fresh.graph.nodes}
    with torch.no_grad():
        for name, (weight, bias) in weights.items():
            node = nodes[name]
            layer = plain.called(node, fresh)
            assert isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d))
            # A parameter of its own: another layer may share the one that was there.
            layer.weight = nn.Parameter(weight.reshape(layer.weight.shape).clone())
            norm = norm_behind(node, fresh)
            if norm is None:
                layer.bias = nn.Parameter(bias.clone())
            else:
                if layer.bias is not None:
                    layer.bias = nn.Parameter(torch.zeros_like(layer.bias))
                _become_identity(norm, bias)
    return fresh


def norm_behind(node: fx.Node, graph: fx.GraphModule) -> nn.modules.batchnorm._BatchNorm | None:
    """Return the BatchNorm that alone reads a node and can be folded into it, None where there is none."""
    readers = list(node.users)
    norm = plain.called(readers[0], graph) if len(readers) == 1 else None
    return norm if isinstance(norm, nn.modules.batchnorm._BatchNorm) and norm.running_var is not None else None


def _become_identity(norm: nn.modules.batchnorm._BatchNorm, shift: torch.Tensor) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0 - norm.eps)
    if norm.affine:
        norm.weight.fill_(1.0)
        norm.bias.copy_(shift)
    else:
        norm.running_mean.copy_(-shift)
