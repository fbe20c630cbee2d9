"""The quantized model: which of its nodes computes which layer, and what became of each layer."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import torch
from torch import fx, nn

from qgui.core import legality
from qgui.core.language import say
from qgui.core.layers import Layer, ModelDescription
from qgui.core.recipe import Mode, Recipe
from qgui.core.results import LayerResult, StepEffect, TensorQParams
from qgui.engine.fx import plain
from qgui.engine.fx.describe import Graphs
from qgui.engine.fx.qat import Trained


@dataclass
class QuantizedModel:
    """A quantized model and how it came about.

    Attributes:
        module: What runs; a graph module, or the person's module where it does not trace.
        decisions: What the lowering was told.
        recipe: The recipe from which it was made.
        float_weights: State dict of the canonical graph after training and better rounding, None where it is unchanged.
        trained: What training left, None where nothing was trained.
        effects: Layer path to what the steps better than rounding do there.
    """

    module: nn.Module
    decisions: plain.Decisions
    recipe: Recipe
    float_weights: dict[str, torch.Tensor] | None = None
    trained: Trained | None = None
    effects: Mapping[str, tuple[StepEffect, ...]] = field(default_factory=dict)


def node_of_layer(description: ModelDescription, graphs: Graphs, quantized: fx.GraphModule) -> dict[str, str]:
    """Return for every head layer the node of the quantized graph that computes it.

    Modules keep their names; functions are matched by their order, which lowering keeps.
    """
    own = [n for n in graphs.fused.graph.nodes if n.op in ("call_function", "call_method")]
    theirs = [n for n in quantized.graph.nodes if n.op in ("call_function", "call_method") and not converts(n)]
    pairs = {a.name: b.name for a, b in zip(own, theirs, strict=False)} if len(own) == len(theirs) else {}
    modules = {n.name for n in quantized.graph.nodes if n.op == "call_module"}
    inputs = {n.name for n in quantized.graph.nodes if n.op == "placeholder"}
    found = {}
    for layer in description.layers:
        if not layer.head or not layer.node:
            continue
        if layer.node in modules or layer.node in inputs:
            found[layer.name] = layer.node
        elif layer.node in pairs:
            found[layer.name] = pairs[layer.node]
    return found


def converts(node: fx.Node) -> bool:
    """Whether a node only quantizes or dequantizes its input."""
    return node.target is torch.quantize_per_tensor or node.target == "dequantize"


def conversions(module: nn.Module) -> int:
    """Return the number of quantize and dequantize operations in one forward pass."""
    return sum(converts(node) for node in module.graph.nodes) if isinstance(module, fx.GraphModule) else 0


def layer_results(
    description: ModelDescription, graphs: Graphs | None, quantized: QuantizedModel
) -> tuple[LayerResult, ...]:
    """Return what became of every layer that carries a rule, read off the quantized model itself."""
    module = quantized.module
    traced = graphs is not None and isinstance(module, fx.GraphModule)
    nodes = node_of_layer(description, graphs, module) if traced else {}  # type: ignore[arg-type]
    by_name = {node.name: node for node in module.graph.nodes} if traced else {}  # type: ignore[union-attr]
    folded = set(quantized.decisions["folded"])
    results = []
    for layer in description.layers:
        if not layer.head:
            continue
        if layer.kind == "inside":
            results.append(_inside_result(layer, module, quantized.recipe))
        elif layer.node in folded:
            results.append(
                LayerResult(layer.name, layer.type, Mode.STATIC, quantized_type=say("folded into its input"))
            )
        else:
            node = by_name.get(nodes.get(layer.name, ""))
            results.append(_traced_result(layer, node, module, quantized))
    return tuple(_with_effects(result, quantized.effects) for result in results)


def _with_effects(result: LayerResult, effects: Mapping[str, tuple[StepEffect, ...]]) -> LayerResult:
    found = effects.get(result.name)
    return msgspec.structs.replace(result, effects=found) if found else result


def _traced_result(layer: Layer, node: fx.Node | None, module: nn.Module, quantized: QuantizedModel) -> LayerResult:
    rule = quantized.recipe.rule(layer.name)
    if node is None:
        return LayerResult(layer.name, layer.type, Mode.FLOAT)
    target = plain.called(node, module)
    kind = _kind_of(target) if target is not None else str(getattr(node.target, "__name__", node.target))
    if is_dynamic(target):
        return LayerResult(
            layer.name, layer.type, Mode.DYNAMIC, quantized_type=say("dynamic {kind}", kind=kind), **_weight_of(target)
        )
    qparams = plain.qparams_of(node, module)  # type: ignore[arg-type]
    if qparams is None:
        return LayerResult(layer.name, layer.type, Mode.FLOAT, quantized_type=kind)
    trained = rule.mode is Mode.QAT and layer.type in legality.QAT_TYPES
    return LayerResult(
        layer.name,
        layer.type,
        Mode.QAT if trained else Mode.STATIC,
        scale=qparams[0],
        zero_point=qparams[1],
        observer=rule.activation.observer.kind.value,
        quantized_type=say("quantized {kind}", kind=kind),
        **_weight_of(target),
    )


def _inside_result(layer: Layer, module: nn.Module, recipe: Recipe) -> LayerResult:
    target = module.get_submodule(layer.name)
    if is_dynamic(target):
        kind = say("dynamic {kind_of}", kind_of=_kind_of(target))
        return LayerResult(layer.name, layer.type, Mode.DYNAMIC, quantized_type=kind, **_weight_of(target))
    return LayerResult(layer.name, layer.type, Mode.FLOAT, quantized_type=type(target).__name__)


def _kind_of(module: nn.Module) -> str:
    return "Linear" if isinstance(module, plain.FullRangeDynamicLinear) else type(module).__name__


def is_dynamic(module: nn.Module | None) -> bool:
    """Whether a module is one of PyTorch's dynamically quantized ones, or an embedding with int8 weights."""
    kind = type(module)
    return (
        isinstance(module, plain.FullRangeDynamicLinear)
        or ".quantized.dynamic." in kind.__module__
        or (kind.__name__ in legality.EMBEDDINGS and ".quantized." in kind.__module__)
    )


def _weight_of(module: nn.Module | None) -> dict[str, Any]:
    """Return granularity, scales and zero points of a quantized module's weight."""
    weight = getattr(module, "weight", None)
    if not callable(weight):
        return {"weight_granularity": "per-tensor"} if is_dynamic(module) else {}
    value = weight()
    if not isinstance(value, torch.Tensor) or not value.is_quantized:
        # float16 weights are unpacked as float32.
        dtype = getattr(getattr(module, "_packed_params", None), "dtype", None) or getattr(value, "dtype", None)
        return {"weight_granularity": str(dtype).removeprefix("torch.")} if dtype is not None else {}
    if value.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        return {
            "weight_granularity": "per-tensor",
            "weight_scale": (float(value.q_scale()),),
            "weight_zero_point": (float(value.q_zero_point()),),
        }
    return {
        "weight_granularity": "per-channel",
        "weight_scale": tuple(value.q_per_channel_scales().tolist()),
        "weight_zero_point": tuple(float(z) for z in value.q_per_channel_zero_points().tolist()),
    }


def tensor_results(decisions: Mapping[str, Any]) -> tuple[TensorQParams, ...]:
    """Return scale and zero point of every activation that the lowering asked for."""
    return tuple(
        TensorQParams(
            name,
            decided["scale"],
            decided["zero_point"],
            (decided["quant_min"] - decided["zero_point"]) * decided["scale"],
            (decided["quant_max"] - decided["zero_point"]) * decided["scale"],
        )
        for name, decided in decisions["tensors"].items()
    )


def size_bytes(module: nn.Module) -> int:
    """Return the size of a state dict as `torch.save` writes it."""
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    return buffer.tell()
