"""Runs float and int8 graph on the same samples and counts what each activation really became."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import torch
from torch import fx

from qgui.core.language import say
from qgui.core.layers import ModelDescription
from qgui.core.measured import MeasuredActivation, MeasuredRatios
from qgui.core.ranges import decibel
from qgui.engine.batch import Batch
from qgui.engine.fx.describe import Graphs
from qgui.engine.fx.plain import engine
from qgui.engine.fx.profile import Watching, folded_into, own_copy
from qgui.engine.fx.quantized import QuantizedModel, converts, node_of_layer
from qgui.engine.progress import Progress


@dataclass
class _Tally:
    """What one int8 value of the graph adds up to over the samples."""

    scale: float
    zero_point: int
    levels: int
    signal: float = 0.0
    noise: float = 0.0
    below: int = 0
    above: int = 0
    counts: torch.Tensor = field(default_factory=lambda: torch.zeros(256, dtype=torch.float64))
    float_counts: torch.Tensor = field(default_factory=lambda: torch.zeros(256, dtype=torch.float64))

    def add(self, reference: torch.Tensor, value: torch.Tensor) -> None:
        """Add one sample: the float value and the int8 value, of one shape."""
        integers = value.int_repr().reshape(-1).to(torch.int64)
        self.counts += torch.bincount(integers, minlength=256)[:256]
        difference = reference - value.dequantize()
        self.signal += float(reference.double().square().sum())
        self.noise += float(difference.double().square().sum())
        steps = reference.reshape(-1).double() / self.scale
        nearest = torch.round(steps) + self.zero_point
        below, above = nearest < 0, nearest > self.levels - 1
        self.below += int(below.sum())
        self.above += int(above.sum())
        inside = nearest[~(below | above)].to(torch.int64)
        self.float_counts += torch.bincount(inside, minlength=256)[:256]


@dataclass(frozen=True)
class _Place:
    """Where a layer's output is int8 in the quantized graph, and what it reads.

    Attributes:
        node: Node that holds the int8 output: the layer's own, or the one that quantizes what it left float.
        reads: Nodes whose values the layer's own node takes.
    """

    node: str
    reads: tuple[str, ...]


def measure(
    description: ModelDescription,
    graphs: Graphs,
    quantized: QuantizedModel,
    predicted: Mapping[str, float],
    batches: Iterable[Batch],
    total: int,
    progress: Progress,
) -> dict[str, MeasuredActivation]:
    """Return for every layer whose output becomes int8 what it became.

    Args:
        description: The loaded model.
        graphs: Its float graphs.
        quantized: The quantized model; one that is no graph has no activations to measure.
        predicted: Tensor name to the SQNR in dB that its range alone has.
        batches: Samples.
        total: Number of samples, for progress.
        progress: Told after every batch.

    Raises:
        Cancelled: The person asked to stop, or something else is to be done.
    """
    module = quantized.module
    if not isinstance(module, fx.GraphModule):
        return {}
    tensors = {tensor.name: tensor for tensor in description.tensors}
    layers = {layer.name: layer for layer in description.layers if layer.tensor in tensors}
    nodes = {name: node for name, node in node_of_layer(description, graphs, module).items() if name in layers}
    layer_of = {node: name for name, node in nodes.items()}
    by_name = {node.name: node for node in module.graph.nodes}
    # Every int8 value is compared with the float output of the layer from which it comes.
    sources = {node.name: layer_of.get(_origin(node).name, "") for node in module.graph.nodes if node.op != "output"}
    places = {name: _place(by_name[node], sources) for name, node in nodes.items()}
    wanted = {node for node, source in sources.items() if source}
    tallies: dict[str, _Tally] = {}
    kept: dict[str, torch.Tensor] = {}
    by_tensor: defaultdict[str, list[str]] = defaultdict(list)
    for name in nodes:
        by_tensor[layers[name].tensor].append(name)

    def keep(node: str, value: torch.Tensor) -> None:
        for name in by_tensor[node]:
            kept[name] = own_copy(value, tensors[node].clamp)

    def compare(node: str, value: torch.Tensor) -> None:
        reference = kept.get(sources[node])
        if not value.is_quantized or value.qscheme() != torch.per_tensor_affine or value.dtype != torch.quint8:
            return
        if reference is None or reference.shape != value.shape:
            return
        if node not in tallies:
            decided = quantized.decisions["tensors"].get(layers[sources[node]].tensor, {})
            levels = int(decided.get("quant_max", 255)) + 1
            tallies[node] = _Tally(float(value.q_scale()), int(value.q_zero_point()), levels)
        tallies[node].add(reference, value)

    reference_run, quantized_run = Watching(graphs.fused, keep, set(by_tensor)), Watching(module, compare, wanted)
    names = [str(node.target) for node in graphs.fused.graph.nodes if node.op == "placeholder"]
    done = 0
    progress.step(say("Measuring activations"), 0, total)
    with torch.inference_mode(), engine(quantized.recipe.backend):
        for batch in batches:
            kept.clear()
            reference_run.run(*batch.positional(names))
            quantized_run.run(*batch.positional(names))
            done += len(batch.indices)
            progress.step(say("Measuring activations"), done, total)
    found = {}
    for name, place in places.items():
        if place.node in tallies:
            tensor = layers[name].tensor
            reads = [tallies[node] for node in place.reads if node in tallies]
            found[name] = _result(name, tensor, tallies[place.node], predicted.get(tensor), reads)
    for name, head in folded_into(description, graphs, quantized).items():
        if head in found and name in layers:
            ratios = msgspec.structs.replace(found[head].ratios, layer=name, tensor=layers[name].tensor)
            found[name] = MeasuredActivation(ratios, found[head].counts, found[head].float_counts)
    return found


def _origin(node: fx.Node) -> fx.Node:
    """Return the node whose value this one holds in another type."""
    while converts(node) and isinstance(node.args[0], fx.Node):
        node = node.args[0]
    return node


def _place(node: fx.Node, sources: Mapping[str, str]) -> _Place:
    quantizing = next((user for user in node.users if user.target is torch.quantize_per_tensor), None)
    reads = tuple(read.name for read in node.all_input_nodes if sources.get(read.name))
    if quantizing is None or node.op != "placeholder":
        # A layer that is computed in float and quantized for its reader keeps what it reads as its inheritance.
        return _Place(node.name if quantizing is None else quantizing.name, reads)
    return _Place(quantizing.name, ())


def _result(layer: str, tensor: str, tally: _Tally, predicted: float | None, reads: list[_Tally]) -> MeasuredActivation:
    inherited = decibel(sum(r.signal for r in reads), sum(r.noise for r in reads)) if reads else None
    ratios = MeasuredRatios(
        layer=layer,
        tensor=tensor,
        scale=tally.scale,
        zero_point=tally.zero_point,
        levels=tally.levels,
        sqnr_db=decibel(tally.signal, tally.noise),
        predicted_db=predicted,
        inherited_db=inherited,
        below=tally.below,
        above=tally.above,
    )
    return MeasuredActivation(ratios, _array(tally.counts, tally.levels), _array(tally.float_counts, tally.levels))


def _array(counts: torch.Tensor, levels: int) -> Any:
    return np.asarray(counts[:levels].numpy(), dtype=np.float64)
