"""How the steps better than rounding are called, and what they do in one sentence."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication

from qgui.core.recipe import Step


def tr(text: str) -> str:
    """Return a text in the language of the window."""
    return QCoreApplication.translate("step_texts", text)


def step_label(step: Step) -> str:
    """Return how a step is called."""
    return {
        "equalize": tr("Cross-layer equalization"),
        "correct_bias": tr("Bias correction"),
        "adaround": tr("AdaRound"),
    }[step]


def step_sentence(step: Step) -> str:
    """Return what a step does."""
    return {
        "equalize": tr("Scales channels of this layer against those of its neighbour, so that one scale fits all."),
        "correct_bias": tr("Lets the bias take up the mean error that rounding the weight makes."),
        "adaround": tr("Learns from the calibration samples whether each weight is rounded up or down."),
    }[step]
