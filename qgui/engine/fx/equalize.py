"""Cross-layer equalization: weights of neighbouring layers scaled against each other, channel by channel.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.1: channel
`i` between two layers is divided by `s_i = sqrt(r1_i / r2_i)`, where `r1_i` and `r2_i` are the ranges of the weights
that write and read it; then both are `sqrt(r1_i * r2_i)`, and one scale fits all channels better. Repeated over all
pairs until nothing moves. The float function stays what it is.

One thing is added: a channel is enlarged no further than to where the largest channel of its tensor already reaches.
Weights near zero beside a bias that is not (a channel that hardly varies) would else blow the activation up.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import fx, nn

from qgui.core import ranges
from qgui.core.layers import ModelDescription
from qgui.core.qparams import quantize_dequantize
from qgui.core.recipe import Recipe
from qgui.core.results import StepEffect
from qgui.engine import columns
from qgui.engine.fx import decide, fold, plain
from qgui.engine.fx.describe import Graphs
from qgui.engine.fx.links import Link

#: Rounds over all pairs at the most; tens are enough for networks of usual depth.
ROUNDS = 200
#: Factors that move less than this in a round have converged.
TOLERANCE = 1e-4


def links_of(description: ModelDescription, pairs: Iterable[tuple[str, str]]) -> tuple[Link, ...]:
    """Return pairs of layers as links between their nodes, in the order of the graph."""
    wanted = set(pairs)
    nodes = {layer.name: layer.node for layer in description.layers}
    found = [pair for layer in description.layers for pair in layer.equalizable if pair[0] == layer.name]
    return tuple(Link(nodes[first], nodes[second]) for first, second in found if (first, second) in wanted)


def equalized(graphs: Graphs, links: Sequence[Link]) -> Graphs:
    """Return the graphs of a model with equalized weights; its own are left as they are.

    Args:
        graphs: Graphs of the model.
        links: Which layers to scale against each other.
    """
    factors = factors_of(graphs, links)
    canonical = copy.deepcopy(graphs.canonical)
    nodes = {node.name: node for node in canonical.graph.nodes}
    with torch.no_grad():
        for link, factor in factors.items():
            _divide_outputs(nodes[link.first], canonical, factor)
            _multiply_inputs(nodes[link.second], canonical, factor)
    with plain.quiet():
        return Graphs(canonical, plain.fused(canonical, graphs.leaves), graphs.leaves, graphs.values)


def factors_of(graphs: Graphs, links: Sequence[Link]) -> dict[Link, torch.Tensor]:
    """Return by what each channel between two layers is divided: shape `(channels,)`, float64, positive."""
    modules = columns.weighted_nodes(graphs.fused)
    nodes = {node.name: node for node in graphs.canonical.graph.nodes}
    names = {name for link in links for name in (link.first, link.second)}
    weights = {name: _rows(modules[name]) for name in names}
    factors = {link: torch.ones(weights[link.first].shape[0], dtype=torch.float64) for link in links}
    least = {link: _least_factor(nodes[link.first], graphs.canonical) for link in links}
    for _ in range(ROUNDS):
        moved = 0.0
        for link in links:
            step = _step(weights[link.first], weights[link.second], modules[link.second])
            step = torch.maximum(step, least[link] / factors[link])
            factors[link] *= step
            weights[link.first] = weights[link.first] / step[:, None]
            weights[link.second] = weights[link.second] * _spread(step, modules[link.second])
            moved = max(moved, float(step.log().abs().max()))
        if moved < TOLERANCE:
            break
    return factors


def _rows(module: columns.Weighted) -> torch.Tensor:
    """Return a weight as `(outputs, inputs of a group * kernel)`, float64."""
    return module.weight.detach().double().reshape(module.weight.shape[0], -1)


def _spread(factor: torch.Tensor, module: columns.Weighted) -> torch.Tensor:
    """Return the factor of every element of a weight whose input channels have factors: broadcasts over `_rows`."""
    if isinstance(module, nn.Linear):
        return factor.repeat_interleave(module.in_features // len(factor))[None]
    kernel = module.weight[0, 0].numel()
    by_group = factor.reshape(module.groups, -1).repeat_interleave(kernel, dim=1)
    return by_group.repeat_interleave(module.out_channels // module.groups, dim=0)


def _step(first: torch.Tensor, second: torch.Tensor, module: columns.Weighted) -> torch.Tensor:
    """Return the factors that make the ranges of both sides of each channel equal; 1 where a side is all zero."""
    writes = first.abs().amax(1)
    if isinstance(module, nn.Linear):
        reads = second.abs().amax(0).reshape(len(writes), -1).amax(1)
    else:
        kernel = module.weight[0, 0].numel()
        groups = second.abs().reshape(module.groups, module.out_channels // module.groups, -1, kernel)
        reads = groups.amax((1, 3)).reshape(-1)
    step = torch.sqrt(writes / reads)
    return torch.where((writes > 0) & (reads > 0) & torch.isfinite(step), step, torch.ones_like(step))


def _least_factor(node: fx.Node, canonical: fx.GraphModule) -> torch.Tensor:
    """Return by how little each channel may be divided so that it reaches no further than the largest does now."""
    norm = fold.norm_behind(node, canonical)
    module = plain.called(node, canonical)
    assert isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear))
    if norm is not None:
        # BatchNorm tells mean and standard deviation of what it gives: its shift and its scale.
        reach = norm.bias.detach().abs().double() + 3 * norm.weight.detach().abs().double()
    elif module.bias is not None:
        reach = module.bias.detach().abs().double()
    else:
        reach = torch.zeros(module.weight.shape[0], dtype=torch.float64)
    return reach / reach.max().clamp_min(torch.finfo(torch.float64).tiny)


def _divide_outputs(node: fx.Node, canonical: fx.GraphModule, factor: torch.Tensor) -> None:
    norm = fold.norm_behind(node, canonical)
    if norm is not None:
        norm.weight.copy_(norm.weight.double() / factor)
        norm.bias.copy_(norm.bias.double() / factor)
        return
    module = plain.called(node, canonical)
    assert isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear))
    module.weight.copy_((_rows(module) / factor[:, None]).reshape(module.weight.shape))
    if module.bias is not None:
        module.bias.copy_(module.bias.double() / factor)


def _multiply_inputs(node: fx.Node, canonical: fx.GraphModule, factor: torch.Tensor) -> None:
    module = plain.called(node, canonical)
    assert isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear))
    module.weight.copy_((_rows(module) * _spread(factor, module)).reshape(module.weight.shape))


def effects(
    description: ModelDescription, before: Graphs, after: Graphs, recipe: Recipe
) -> Mapping[str, tuple[StepEffect, ...]]:
    """Return for every equalized layer the SQNR of its rounded weight before and after.

    Both are in the units of the layer as it was: the error of the equalized weight is scaled back, so that channels
    count as much as they count for the model.

    Args:
        description: The model.
        before: Its graphs.
        after: Its graphs with equalized weights.
        recipe: How the weights are rounded.
    """
    found = {}
    for layer in description.layers:
        rule = recipe.rule(layer.name)
        if not (rule.equalize and layer.equalizable):
            continue
        old, new = decide.float_weight(before, layer), decide.float_weight(after, layer)
        if old is None or new is None or np.array_equal(old, new):
            continue
        # Where the weight is zero, so is the equalized one, and rounding leaves both.
        ratio = np.divide(old, new, out=np.ones_like(old), where=new != 0)
        ratios = []
        for weight, back in ((old, np.ones_like(old)), (new, ratio)):
            qparams = decide.weight_qparams(weight, rule.weight)
            rounded = quantize_dequantize(weight if rule.weight.per_channel else weight.ravel(), qparams)
            error = (rounded.reshape(weight.shape) - weight) * back
            ratios.append(ranges.decibel(float(np.square(old, dtype=np.float64).sum()), float(np.square(error).sum())))
        found[layer.name] = (StepEffect("equalize", ratios[0], ratios[1]),)
    return found
