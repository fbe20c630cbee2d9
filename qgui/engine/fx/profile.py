"""Per layer: how far the quantized output is from the float one, and how long each takes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np
import torch
from torch import fx, nn

from qgui.core.layers import ModelDescription
from qgui.core.ranges import decibel
from qgui.core.results import LayerResult
from qgui.engine.batch import Batch
from qgui.engine.fx import plain
from qgui.engine.fx.describe import Graphs
from qgui.engine.fx.quantized import QuantizedModel, node_of_layer

#: Least and greatest value that the only readers of a tensor let through.
Bounds = tuple[float | None, float | None] | None


class Watching(fx.Interpreter):
    """Runs a graph and hands each wanted value on."""

    def __init__(self, module: fx.GraphModule, take: Callable[[str, torch.Tensor], None], wanted: set[str]) -> None:
        super().__init__(module)
        self._take, self._wanted = take, wanted

    def run_node(self, n: fx.Node) -> Any:
        """Compute a node, and hand its value on where it is wanted."""
        value = super().run_node(n)
        if n.name in self._wanted:
            found = value[0] if isinstance(value, tuple) and value else value
            if isinstance(found, torch.Tensor):
                self._take(n.name, found)
        return value


def layer_sqnr(
    description: ModelDescription, graphs: Graphs, quantized: QuantizedModel, batches: Iterable[Batch]
) -> dict[str, float]:
    """Return the measured SQNR in dB of every layer's output; values are compared as their only readers clamp them."""
    module = quantized.module
    if not isinstance(module, fx.GraphModule):
        return {}
    nodes = _ends_of_groups(description, module, node_of_layer(description, graphs, module))
    tensors = {tensor.name: tensor for tensor in description.tensors}
    of_float = {layer.tensor: layer.name for layer in description.layers if layer.tensor and layer.name in nodes}
    of_quantized = {node: layer for layer, node in nodes.items() if layer in of_float.values()}
    clamps = {layer: tensors[name].clamp for name, layer in of_float.items() if name in tensors}
    signal: defaultdict[str, float] = defaultdict(float)
    noise: defaultdict[str, float] = defaultdict(float)
    kept: dict[str, torch.Tensor] = {}

    def keep(name: str, value: torch.Tensor) -> None:
        kept[of_float[name]] = own_copy(value, clamps.get(of_float[name]))

    def compare(name: str, value: torch.Tensor) -> None:
        layer = of_quantized[name]
        reference = kept.pop(layer, None)
        if reference is not None and reference.shape == value.shape:
            restored = value.dequantize() if value.is_quantized else value
            difference = reference - clamped(restored, clamps.get(layer))
            signal[layer] += float(reference.double().square().sum())
            noise[layer] += float(difference.double().square().sum())

    reference_run = Watching(graphs.fused, keep, set(of_float))
    quantized_run = Watching(module, compare, set(of_quantized))
    names = [str(node.target) for node in graphs.fused.graph.nodes if node.op == "placeholder"]
    with torch.inference_mode(), plain.engine(quantized.recipe.backend):
        for batch in batches:
            kept.clear()
            reference_run.run(*batch.positional(names))
            quantized_run.run(*batch.positional(names))
    ratios = {layer: decibel(signal[layer], noise[layer]) for layer in signal}
    for layer, source in folded_into(description, graphs, quantized).items():
        if source in ratios:
            ratios[layer] = ratios[source]
    return ratios


def _ends_of_groups(description: ModelDescription, module: fx.GraphModule, nodes: dict[str, str]) -> dict[str, str]:
    """Return for every layer the node that gives its tensor: a group that stays float ends with a node of its own."""
    present = {node.name for node in module.graph.nodes}
    tensors = {layer.name: layer.tensor for layer in description.layers}
    return {name: tensors[name] if tensors[name] in present else node for name, node in nodes.items()}


def folded_into(description: ModelDescription, graphs: Graphs, quantized: QuantizedModel) -> dict[str, str]:
    """Return for every folded ReLU6 the layer whose int8 range does its work."""
    names = {layer.node: layer.name for layer in description.layers if layer.node}
    nodes = {node.name: node for node in graphs.fused.graph.nodes}
    return {names[name]: names[nodes[name].args[0].name] for name in quantized.decisions["folded"]}


def clamped(value: torch.Tensor, bounds: Bounds) -> torch.Tensor:
    """Return a value as its only readers clamp it; as it is without bounds."""
    if bounds is None or bounds == (None, None):
        return value
    return value.clamp(bounds[0], bounds[1])


def own_copy(value: torch.Tensor, bounds: Bounds) -> torch.Tensor:
    """Return a value as its only readers clamp it, which an in-place operation behind it does not change."""
    found = clamped(value, bounds)
    return found.clone() if found is value else found


def inside_profile(
    float_model: nn.Module, quantized: nn.Module, layers: list[str], batches: list[Batch], backend: str
) -> dict[str, tuple[float, float, float]]:
    """Return SQNR in dB, float ms and quantized ms of modules that forward hooks can watch."""
    kept: dict[str, torch.Tensor] = {}
    signal: defaultdict[str, float] = defaultdict(float)
    noise: defaultdict[str, float] = defaultdict(float)
    times: dict[bool, defaultdict[str, list[float]]] = {False: defaultdict(list), True: defaultdict(list)}
    began: dict[str, float] = {}

    def watch(model: nn.Module, name: str, is_quantized: bool) -> list[Any]:
        def before(*_: Any) -> None:
            began[name] = time.perf_counter()

        def after(_module: nn.Module, _inputs: Any, output: Any) -> None:
            times[is_quantized][name].append((time.perf_counter() - began[name]) * 1e3)
            value = output[0] if isinstance(output, tuple) else output
            if not is_quantized:
                kept[name] = value
            elif name in kept and kept[name].shape == value.shape:
                signal[name] += float(kept[name].double().square().sum())
                noise[name] += float((kept[name] - value).double().square().sum())

        module = model.get_submodule(name)
        return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]

    handles = [h for name in layers for h in (*watch(float_model, name, False), *watch(quantized, name, True))]
    try:
        with torch.inference_mode(), plain.engine(backend):
            for batch in batches:
                batch.run(float_model)
                batch.run(quantized)
    finally:
        for handle in handles:
            handle.remove()
    return {
        name: (
            decibel(signal[name], noise[name]),
            float(np.median(times[False][name])),
            float(np.median(times[True][name])),
        )
        for name in signal
        if times[True][name]
    }


def with_profile(
    results: tuple[LayerResult, ...], sqnr: dict[str, float], float_ms: dict[str, float], int8_ms: dict[str, float]
) -> tuple[LayerResult, ...]:
    """Return layer results with measured SQNR and latency filled in."""
    return tuple(
        msgspec.structs.replace(
            result,
            sqnr_db=sqnr.get(result.name),
            float_ms=float_ms.get(result.name),
            quantized_ms=int8_ms.get(result.name),
        )
        for result in results
    )
