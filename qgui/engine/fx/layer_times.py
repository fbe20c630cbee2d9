"""How long each layer takes in float and in int8, and the float islands between int8 layers."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx

from qgui.core.layers import ModelDescription
from qgui.core.results import Island
from qgui.engine.batch import Batch
from qgui.engine.fx import plain
from qgui.engine.fx.describe import Graphs
from qgui.engine.fx.profile import folded_into
from qgui.engine.fx.quantized import QuantizedModel, converts, node_of_layer


@dataclass
class LayerTimes:
    """Times in ms.

    Attributes:
        float_ms: Layer path to its median in the float graph.
        quantized_ms: Layer path to its median in the quantized graph.
        islands: Float work between int8 layers.
    """

    float_ms: dict[str, float]
    quantized_ms: dict[str, float]
    islands: tuple[Island, ...] = ()


class _Timing(fx.Interpreter):
    """Runs a graph and times each node."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.times: defaultdict[str, list[float]] = defaultdict(list)

    def run_node(self, n: fx.Node) -> Any:
        if n.op in ("placeholder", "get_attr", "output"):
            return super().run_node(n)
        began = time.perf_counter()
        value = super().run_node(n)
        self.times[n.name].append((time.perf_counter() - began) * 1e3)
        return value

    def medians(self) -> dict[str, float]:
        """Return the median of each node without its first run."""
        return {name: float(np.median(times[1:])) for name, times in self.times.items()}


def measure(
    description: ModelDescription, graphs: Graphs, quantized: QuantizedModel, batch: Batch, runs: int
) -> LayerTimes:
    """Time every layer of the float and of the quantized graph, run in alternation.

    The float graph has BatchNorm folded and activation functions fused, as int8 has: its slower form would flatter
    int8. The time of a fused group stands with its head, that of a ReLU6 which int8 ranges replace with the layer
    before it.
    """
    module = quantized.module
    if not isinstance(module, fx.GraphModule):
        return LayerTimes({}, {})
    float_run, quantized_run = _Timing(graphs.fused), _Timing(module)
    names = [str(node.target) for node in graphs.fused.graph.nodes if node.op == "placeholder"]
    inputs = batch.positional(names)
    with torch.inference_mode(), plain.engine(quantized.recipe.backend):
        for _ in range(runs + 1):
            float_run.run(*inputs)
            quantized_run.run(*inputs)
    float_times, times = float_run.medians(), quantized_run.medians()
    float_ms: defaultdict[str, float] = defaultdict(float)
    folded = folded_into(description, graphs, quantized)
    for layer in description.layers:
        if layer.node in float_times:
            head = layer.group or layer.name
            float_ms[folded.get(head, head)] += float_times[layer.node]
    nodes = node_of_layer(description, graphs, module)
    int8_ms = {layer: times[node] for layer, node in nodes.items() if node in times}
    layer_of = {node: layer for layer, node in nodes.items()}
    return LayerTimes(dict(float_ms), int8_ms, islands(module, layer_of, times))


def islands(module: fx.GraphModule, layer_of: Mapping[str, str], times: Mapping[str, float]) -> tuple[Island, ...]:
    """Return the runs of float nodes that lie between dequantize and quantize, in order of execution.

    Args:
        module: The quantized graph.
        layer_of: Node to the layer that it computes.
        times: Node to its time in ms.
    """
    found = []
    for members in _float_components(module):
        entries = [node for node in members if _dequantizes(node)]
        exits = {user for node in members for user in node.users if _quantizes(user)}
        work = [node for node in members if not converts(node)]
        if entries and exits:
            found.append(
                Island(
                    tuple(dict.fromkeys(layer_of[node.name] for node in work if node.name in layer_of)),
                    sum(times.get(node.name, 0.0) for node in entries),
                    sum(times.get(node.name, 0.0) for node in work),
                    sum(times.get(node.name, 0.0) for node in exits),
                )
            )
    return tuple(found)


def _float_components(module: fx.GraphModule) -> list[list[fx.Node]]:
    """Return the float nodes after a dequantize, those that read each other together, in order of execution."""
    groups: dict[fx.Node, list[fx.Node]] = {}
    for node in module.graph.nodes:
        if _dequantizes(node):
            groups[node] = [node]
            continue
        if _quantizes(node) or node.op in ("placeholder", "get_attr", "output"):
            continue
        reads: dict[int, list[fx.Node]] = {
            id(groups[source]): groups[source] for source in node.all_input_nodes if source in groups
        }
        if reads:
            joined = [member for group in reads.values() for member in group]
            joined.append(node)
            for member in joined:
                groups[member] = joined
    return list({id(group): group for group in groups.values()}.values())


def _dequantizes(node: fx.Node) -> bool:
    return converts(node) and not _quantizes(node)


def _quantizes(node: fx.Node) -> bool:
    return node.target is torch.quantize_per_tensor
