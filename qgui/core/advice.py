"""Which modes a model starts with, and why: the guide PyTorch gives, by kind of network."""

from __future__ import annotations

from collections.abc import Sequence

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.layers import Family, Layer, ModelDescription
from qgui.core.legality import EMBEDDINGS, RECURRENT, default_rule, needs_reduced_range, traits
from qgui.core.recipe import Mode, Rule
from qgui.core.results import BackendTiming, MachineDescription

#: How far below the best engine's SQNR an engine may be and still be chosen for its speed, in dB.
SQNR_SLACK_DB = 10.0

_TRANSFORMER_MARKS = frozenset({"LayerNorm", "layer_norm", "softmax", "Softmax", "MultiheadAttention"})
_ATTENTION_MARKS = frozenset({"softmax", "Softmax", "MultiheadAttention", "scaled_dot_product_attention"})


def family_of(layers: tuple[Layer, ...]) -> Family:
    """Return what kind of network the layers make."""
    types = [layer.type for layer in layers]
    weights = {"conv": 0, "linear": 0, "recurrent": 0}
    for layer in layers:
        if layer.type.startswith("Conv"):
            weights["conv"] += layer.parameters
        elif layer.type.endswith("Linear"):
            weights["linear"] += layer.parameters
        elif layer.type in RECURRENT | {"RNN"}:
            weights["recurrent"] += layer.parameters
    if weights["recurrent"] and weights["recurrent"] >= weights["conv"]:
        return Family.RECURRENT
    attention = any(t in _ATTENTION_MARKS or "attention" in t.lower() or "TransformerEncoder" in t for t in types)
    if attention and any(t in _TRANSFORMER_MARKS or "Transformer" in t for t in types) and weights["linear"]:
        return Family.TRANSFORMER
    if any(t.startswith("Conv") for t in types):
        return Family.CNN
    if weights["linear"]:
        return Family.TRANSFORMER if any("LayerNorm" in t for t in types) else Family.MLP
    return Family.OTHER


def advised_mode(model: ModelDescription) -> tuple[Mode, str]:
    """Return the mode a model starts with and the reason as a sentence."""
    if not model.traced:
        return Mode.DYNAMIC, say("Dynamic quantization needs no trace.")
    match model.family:
        case Family.RECURRENT:
            return Mode.DYNAMIC, say("LSTM and GRU layers spend their time reading weights: dynamic quantization fits.")
        case Family.TRANSFORMER:
            return (
                Mode.DYNAMIC,
                say("Transformer activations vary with the input: dynamic quantization of the Linear layers."),
            )
        case Family.CNN:
            return (
                Mode.STATIC,
                say("Convolutional networks gain most from static quantization; QAT where it costs too much."),
            )
        case _:
            return Mode.STATIC, say("Static quantization is fastest; choose dynamic if the activations vary widely.")


def advised_backend(model: ModelDescription, machine: MachineDescription) -> tuple[str, str]:
    """Return the backend a model starts with and the reason as a sentence.

    Where the default engine would add the products of depthwise convolutions in 16 bits, the first engine that does
    not is better: activations keep all eight bits.
    """
    default = machine.default_backend
    narrow = any(needs_reduced_range(layer, default) for layer in model.layers)
    for name in machine.backends if narrow else ():
        wide = not machine.reduce_range.get(name, False) and name != "qnnpack"
        if wide and not any(needs_reduced_range(layer, name) for layer in model.layers):
            return name, say(
                "{name} adds the products of depthwise convolutions in 32 bits; {default} would need 7 bits.",
                name=name,
                default=default,
            )
    return default, say("The engine that PyTorch recommends for this processor.")


def advised_rules(model: ModelDescription, mode: Mode, backend: str, reduce_range: bool = False) -> dict[str, Rule]:
    """Return a rule for every layer that carries one; embeddings stay float, as in PyTorch's defaults.

    Args:
        model: The loaded model.
        mode: The wished mode of the whole model.
        backend: The quantized engine.
        reduce_range: Whether the CPU needs activations limited to seven bits.
    """
    rules: dict[str, Rule] = {}
    # Thousands of layers are of a few kinds.
    known: dict[tuple[object, ...], Rule] = {}
    for layer in model.layers:
        if layer.head:
            kind = (*traits(layer), layer.feeds_depthwise)
            if kind not in known:
                wished = Mode.FLOAT if layer.type in EMBEDDINGS else mode
                known[kind] = default_rule(layer, wished, backend, reduce_range)
            rules[layer.name] = known[kind]
    return rules


def fastest_backend(timings: Sequence[BackendTiming]) -> str:
    """Return the fastest engine of those that compute rightly: no more than 10 dB further from float than the best.

    Raises:
        QguiError: No engine ran.
    """
    ran = [timing for timing in timings if timing.median_ms is not None]
    if not ran:
        problems = "; ".join(f"{timing.backend}: {timing.problem}" for timing in timings)
        raise QguiError(
            say("Could not choose a backend"),
            say("none of them runs this model ({problems})", problems=problems),
            say("Leave layers float."),
        )
    best = max(timing.sqnr_db or 0.0 for timing in ran)
    near = [timing for timing in ran if (timing.sqnr_db or 0.0) >= best - SQNR_SLACK_DB]
    return min(near, key=lambda timing: timing.median_ms or 0.0).backend
