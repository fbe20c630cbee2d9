"""The values a setting can take, as shown, with the reason against each that a layer may not have."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QCoreApplication

from qgui.core import legality
from qgui.core.layers import Layer
from qgui.core.recipe import Mode, ObserverKind


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


_OBSERVER_LABELS = {
    ObserverKind.MINMAX: "MinMax",
    ObserverKind.MOVING_AVERAGE: "MovingAverage",
    ObserverKind.PERCENTILE: "Percentile",
    ObserverKind.MSE: "Histogram (MSE)",
    ObserverKind.ENTROPY: "Entropy (KL)",
    ObserverKind.FIXED: "Fixed",
}


def observer_label(kind: ObserverKind) -> str:
    """Return the name of an observer."""
    return _OBSERVER_LABELS[kind]


def short_observer_label(kind: ObserverKind) -> str:
    """Return the name of an observer where there is little room."""
    return {
        ObserverKind.MOVING_AVERAGE: "MovingAvg.",
        ObserverKind.MSE: "MSE",
        ObserverKind.ENTROPY: "Entropy",
    }.get(kind, _OBSERVER_LABELS[kind])


def observer_sentence(kind: ObserverKind) -> str:
    """Return what an observer does."""
    sentences = {
        ObserverKind.MINMAX: translate("From the least to the greatest value that was seen."),
        ObserverKind.MOVING_AVERAGE: translate("Moving average of the least and greatest value of each batch."),
        ObserverKind.PERCENTILE: translate("Covers a share of the values and clips the tails."),
        ObserverKind.MSE: translate("The range with the least expected squared error."),
        ObserverKind.ENTROPY: translate("The range that keeps most of the distribution's information (KL divergence)."),
        ObserverKind.FIXED: translate("The range that you typed or dragged."),
    }
    return sentences[kind]


def mode_sentence(mode: Mode) -> str:
    """Return what a mode means."""
    sentences = {
        Mode.FLOAT: translate("Computes in float32, as in the original model."),
        Mode.DYNAMIC: translate("int8 weights; the range of the input is found for each batch while running."),
        Mode.STATIC: translate("int8 weights and activations, with ranges from calibration."),
        Mode.QAT: translate("As static, after a short training that lets the weights get used to the rounding."),
    }
    return sentences[mode]


def mode_choices(layer: Layer, backend: str) -> list[Choice]:
    """Return the modes of a layer."""
    return [Choice(mode, mode.value, reason) for mode, reason in legality.mode_reasons(layer, backend).items()]


def scheme_label(qscheme: str) -> str:
    """Return a weight or activation qscheme in words."""
    return {
        "per_tensor_symmetric": translate("per-tensor symmetric"),
        "per_tensor_affine": translate("per-tensor affine"),
        "per_channel_symmetric": translate("per-channel symmetric"),
        "per_channel_affine_float_qparams": translate("per-channel affine, float zero point"),
    }[qscheme]


def weight_choices(layer: Layer, mode: Mode) -> list[Choice]:
    """Return the weight qschemes of a layer."""
    general = "" if legality.has_weight(layer) else translate("The layer has no weight to quantize.")
    return [
        Choice(qscheme, scheme_label(qscheme), general or reason)
        for qscheme, reason in legality.weight_schemes(layer, mode).items()
    ]


def translate(text: str) -> str:
    """Return a text in the language of the window."""
    return QCoreApplication.translate("choices", text)
