"""From a recipe to the decisions that the lowering carries out: modes and numbers per node."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from qgui.core import legality, ranges
from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.layers import Layer, ModelDescription
from qgui.core.plan import ActivationRanges
from qgui.core.qparams import QParams
from qgui.core.recipe import Mode, Recipe, WeightSetting
from qgui.engine.fx import plain
from qgui.engine.fx.describe import Graphs


class ChosenTensors(dict[str, dict[str, Any]]):
    """Scale and zero point per tensor, computed when the lowering asks for a tensor."""

    def __init__(self, activations: ActivationRanges | None, recipe: Recipe) -> None:
        super().__init__()
        self._activations = activations
        self._recipe = recipe

    def __missing__(self, tensor: str) -> dict[str, Any]:
        if self._activations is None:
            raise QguiError(
                say("Could not quantize"),
                say("a static layer needs ranges and nothing is calibrated"),
                say("Calibrate first."),
            )
        qparams = self._activations.chosen(tensor, self._recipe)
        decided = {
            "scale": float(qparams.scale[0]),
            "zero_point": int(qparams.zero_point[0]),
            "quant_min": qparams.grid.quant_min,
            "quant_max": qparams.grid.quant_max,
        }
        self[tensor] = decided
        return decided


def decisions_of(
    description: ModelDescription, graphs: Graphs | None, recipe: Recipe, activations: ActivationRanges | None
) -> plain.Decisions:
    """Return what `plain.lower` is to do.

    Args:
        description: The loaded model.
        graphs: Its graphs, None where it does not trace.
        recipe: The person's decisions.
        activations: Ranges of the activations, None where nothing is calibrated.

    Raises:
        QguiError: A static layer needs statistics and there are none.
    """
    decisions: plain.Decisions = {
        "backend": recipe.backend,
        "leaves": list(graphs.leaves) if graphs else [],
        "layers": {},
        "tensors": ChosenTensors(activations, recipe),
        "folded": [],
        "inside": {},
    }
    heads = {layer.name: layer.node for layer in description.layers}
    for layer in description.layers:
        mode = recipe.rule(layer.group or layer.name).mode
        if mode is Mode.FLOAT or layer.kind == "input" or (layer.leaf_reason and layer.kind != "inside"):
            continue
        if not layer.head:
            decisions["layers"][layer.node] = {"follows": heads[layer.group]}
            continue
        decision = _decision(layer, recipe, graphs)
        if layer.kind == "inside":
            decisions["inside"][layer.name] = decision
        else:
            decisions["layers"][layer.node] = decision
    if graphs is not None:
        _leave_mixed_joins_float(graphs, decisions)
        decisions["folded"] = _folded(graphs, decisions, description)
    return decisions


def _decision(layer: Layer, recipe: Recipe, graphs: Graphs | None) -> dict[str, Any]:
    rule = recipe.rule(layer.name)
    mode = "dynamic" if rule.mode is Mode.DYNAMIC else "static"
    decision: dict[str, Any] = {"mode": mode}
    if mode == "dynamic":
        decision["reduce_range"] = rule.activation.reduce_range
    if legality.has_weight(layer):
        decision["weight"] = {"dtype": rule.weight.dtype, "qscheme": rule.weight.qscheme}
        weight = float_weight(graphs, layer) if graphs is not None and layer.node else None
        numbers = rule.weight.dtype == "qint8" and layer.type not in legality.RECURRENT
        if weight is not None and numbers:
            try:
                qparams = weight_qparams(weight, rule.weight)
            except QguiError as error:
                raise QguiError(error.what, f"{layer.name}: {error.why}", error.next_step) from error
            decision["weight"] |= {
                "scale": qparams.scale.tolist(),
                "zero_point": qparams.zero_point.tolist(),
                "quant_min": qparams.grid.quant_min,
                "quant_max": qparams.grid.quant_max,
            }
    return decision


def float_weight(graphs: Graphs, layer: Layer) -> npt.NDArray[np.float32] | None:
    """Return a layer's weight as it is quantized, BatchNorm folded: shape `(channels, elements)`."""
    node = next((n for n in graphs.fused.graph.nodes if n.name == layer.node), None)
    module = plain.called(node, graphs.fused) if node is not None else None
    if isinstance(module, nn.Sequential):
        module = module[0]
    weight = getattr(module, "weight", None)
    if not isinstance(weight, torch.Tensor):
        return None
    return channel_rows(weight.detach(), layer.type)


def channel_rows(weight: torch.Tensor, kind: str) -> npt.NDArray[np.float32]:
    """Return a weight with one row per output channel."""
    if kind in legality.TRANSPOSED_CONVOLUTIONS:
        weight = weight.transpose(0, 1)
    rows: npt.NDArray[np.float32] = weight.reshape(weight.shape[0], -1).float().contiguous().numpy()
    return rows


def weight_qparams(rows: npt.NDArray[np.float32], setting: WeightSetting) -> QParams:
    """Return scale and zero point that a setting's observer chooses for a weight.

    Args:
        rows: Shape `(channels, elements)`.
        setting: The weight setting.

    Raises:
        QguiError: The weight holds NaN or infinite values, or a bound fixed for one channel does not fit it.
    """
    if not np.isfinite(rows).all():
        raise QguiError(
            say("Could not quantize a weight"),
            say("it holds NaN or infinite values"),
            say("Load weights that trained to the end."),
        )
    return ranges.weight_qparams(ranges.of_weight(rows, setting.per_channel), setting)


def _leave_mixed_joins_float(graphs: Graphs, decisions: plain.Decisions) -> None:
    """Leave a cat float where one input has a prescribed scale: all its inputs would have to share it."""
    for node in graphs.canonical.graph.nodes:
        if plain.name_of(node) not in ("cat", "stack") or node.name not in decisions["layers"]:
            continue
        sources = [a for a in node.args[0] if hasattr(a, "op")] if isinstance(node.args[0], (list, tuple)) else []
        if any(isinstance(plain.called(source, graphs.canonical), plain.FIXED_MODULES) for source in sources):
            del decisions["layers"][node.name]


def _folded(graphs: Graphs, decisions: plain.Decisions, description: ModelDescription) -> list[str]:
    """Return the ReLU6 calls that a convolution's int8 range makes superfluous."""
    tensors = {tensor.name for tensor in description.tensors}
    folded = []
    for node in graphs.fused.graph.nodes:
        if not isinstance(plain.called(node, graphs.fused), nn.ReLU6):
            continue
        source = node.args[0]
        convolution = plain.called(source, graphs.fused)
        alone = len(source.users) == 1 and isinstance(convolution, (nn.Conv1d, nn.Conv2d, nn.Conv3d))
        static = all(decisions["layers"].get(name, {}).get("mode") == "static" for name in (source.name, node.name))
        if not (alone and static and source.name in tensors):
            continue
        decided = decisions["tensors"][source.name]
        high = (decided["quant_max"] - decided["zero_point"]) * decided["scale"]
        low = (decided["quant_min"] - decided["zero_point"]) * decided["scale"]
        if low >= 0.0 and high <= 6.0 + decided["scale"] / 2 and decided["quant_max"] == 255:
            folded.append(node.name)
    return folded
