"""The values a setting can take, as shown, with the reason against each that a layer may not have."""

from __future__ import annotations

from dataclasses import dataclass

from qgui.core import legality
from qgui.core.language import say
from qgui.core.layers import Layer
from qgui.core.recipe import Mode, ObserverKind, mode_name, observer_name


@dataclass(frozen=True)
class Choice:
    """A value of a setting.

    Attributes:
        value: What is decided by choosing it.
        label: How it is shown.
        reason: Why it is not possible; empty where it is.
    """

    value: object
    label: str
    reason: str = ""


def short_observer_label(kind: ObserverKind) -> str:
    """Return the name of an observer where there is little room."""
    short = {
        ObserverKind.MOVING_AVERAGE: "MovingAvg.",
        ObserverKind.MSE: "MSE",
        ObserverKind.ENTROPY: say("Entropy"),
    }
    return short.get(kind) or observer_name(kind)


def observer_sentence(kind: ObserverKind) -> str:
    """Return what an observer does."""
    sentences = {
        ObserverKind.MINMAX: say("From the least to the greatest value that was seen."),
        ObserverKind.MOVING_AVERAGE: say("Moving average of the least and greatest value of each batch."),
        ObserverKind.PERCENTILE: say("Covers a share of the values and clips the tails."),
        ObserverKind.MSE: say("The range with the least expected squared error."),
        ObserverKind.ENTROPY: say("The range that keeps most of the distribution's information (KL divergence)."),
        ObserverKind.FIXED: say("The range that you typed or dragged."),
    }
    return sentences[kind]


def mode_sentence(mode: Mode) -> str:
    """Return what a mode means."""
    sentences = {
        Mode.FLOAT: say("Computes in float32, as in the original model."),
        Mode.DYNAMIC: say("int8 weights; the range of the input is found for each batch while running."),
        Mode.STATIC: say("int8 weights and activations, with ranges from calibration."),
        Mode.QAT: say("As static, after a short training that lets the weights get used to the rounding."),
    }
    return sentences[mode]


def mode_choices(layer: Layer, backend: str) -> list[Choice]:
    """Return the modes of a layer."""
    return [Choice(mode, mode_name(mode), reason) for mode, reason in legality.mode_reasons(layer, backend).items()]


def scheme_label(qscheme: str) -> str:
    """Return a weight or activation qscheme in words."""
    return {
        "per_tensor_symmetric": say("per-tensor symmetric"),
        "per_tensor_affine": say("per-tensor affine"),
        "per_channel_symmetric": say("per-channel symmetric"),
        "per_channel_affine_float_qparams": say("per-channel affine, float zero point"),
    }[qscheme]


def granularity_label(granularity: str) -> str:
    """Return in words whether each output channel has a scale of its own."""
    return {"per-tensor": say("per-tensor"), "per-channel": say("per-channel")}[granularity]


def weight_choices(layer: Layer, mode: Mode) -> list[Choice]:
    """Return the weight qschemes of a layer."""
    general = "" if legality.has_weight(layer) else say("The layer has no weight to quantize.")
    return [
        Choice(qscheme, scheme_label(qscheme), general or reason)
        for qscheme, reason in legality.weight_schemes(layer, mode).items()
    ]
