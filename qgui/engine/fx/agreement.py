"""Per layer: how far the int8 model is from the fake-quantized one, and what each layer adds to that itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import fx

from qgui.core.layers import ModelDescription
from qgui.core.ranges import decibel
from qgui.engine.batch import Batch
from qgui.engine.fx import plain
from qgui.engine.fx.describe import Graphs
from qgui.engine.fx.profile import Bounds, clamped
from qgui.engine.fx.qat import SimulatedModel
from qgui.engine.fx.quantized import QuantizedModel, node_of_layer


class _Energies:
    """Sums of squares per layer."""

    def __init__(self) -> None:
        self.signal: defaultdict[str, float] = defaultdict(float)
        self.noise: defaultdict[str, float] = defaultdict(float)

    def add(self, layer: str, expected: torch.Tensor, found: torch.Tensor) -> None:
        self.signal[layer] += float(expected.double().square().sum())
        self.noise[layer] += float((expected - found).double().square().sum())

    def ratio(self, layer: str) -> float:
        return decibel(self.signal[layer], self.noise[layer])


class _Simulated(fx.Interpreter):
    """Runs the fake-quantized graph and keeps the wanted values."""

    def __init__(self, module: fx.GraphModule, wanted: dict[str, str]) -> None:
        super().__init__(module)
        self._wanted = wanted
        self.kept: dict[str, torch.Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        layer = self._wanted.get(n.name)
        if layer is not None and isinstance(value, torch.Tensor):
            self.kept[layer] = value
        return value


class _Converted(fx.Interpreter):
    """Runs the int8 graph and holds layers against kept values; `forced` lets each go on from the kept value."""

    def __init__(self, module: fx.GraphModule, wanted: dict[str, str], clamps: dict[str, Bounds], forced: bool) -> None:
        super().__init__(module)
        self._wanted = wanted
        self._clamps = clamps
        self._forced = forced
        self.expected: dict[str, torch.Tensor] = {}
        self.energies = _Energies()

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        layer = self._wanted.get(n.name)
        expected = self.expected.get(layer) if layer is not None else None
        if layer is None or expected is None or not isinstance(value, torch.Tensor) or value.shape != expected.shape:
            return value
        found = value.dequantize() if value.is_quantized else value
        bounds = self._clamps.get(layer)
        self.energies.add(layer, clamped(expected, bounds), clamped(found, bounds))
        if not self._forced:
            return value
        if not value.is_quantized:
            return expected
        return torch.quantize_per_tensor(expected.contiguous(), value.q_scale(), value.q_zero_point(), value.dtype)


def differences(
    description: ModelDescription,
    graphs: Graphs,
    simulated: SimulatedModel,
    converted: QuantizedModel,
    batches: Iterable[Batch],
) -> dict[str, tuple[float, float]]:
    """Return for every comparable layer the ratio of its fake-quantized output to the difference, in dB.

    Values are compared as their only readers clamp them. The first number is with both models run through, the second
    with the int8 layer given the fake-quantized inputs.

    Args:
        description: The loaded model.
        graphs: Its graphs.
        simulated: The fake-quantized model, on the CPU and evaluating.
        converted: The int8 model made of it.
        batches: Samples.
    """
    module = converted.module
    if not isinstance(module, fx.GraphModule):
        return {}
    nodes = node_of_layer(description, graphs, module)
    rows = [layer for layer in description.layers if layer.kind != "input" and layer.name in nodes]
    tensors = {layer.name: layer.tensor for layer in rows if layer.tensor}
    present = {node.name for node in simulated.module.graph.nodes}
    values = {simulated.observed.get(tensor, tensor): layer for layer, tensor in tensors.items()}
    values = {node: layer for node, layer in values.items() if node in present}
    wanted = {nodes[layer]: layer for layer in values.values()}
    reference = _Simulated(simulated.module, values)
    clamp_of = {tensor.name: tensor.clamp for tensor in description.tensors}
    clamps = {layer: clamp_of.get(tensor) for layer, tensor in tensors.items()}
    free, forced = (_Converted(module, wanted, clamps, forced=forced) for forced in (False, True))
    with torch.no_grad(), plain.engine(converted.recipe.backend), plain.quiet():
        for batch in batches:
            inputs = batch.positional(simulated.names)
            reference.kept.clear()
            reference.run(*inputs)
            for run in (free, forced):
                run.expected = reference.kept
                run.run(*inputs)
    order = [layer.name for layer in description.layers if layer.name in free.energies.signal]
    return {layer: (free.energies.ratio(layer), forced.energies.ratio(layer)) for layer in order}
