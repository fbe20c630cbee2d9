"""How the steps better than rounding are called, and what they do in one sentence."""

from __future__ import annotations

from qgui.core.language import say
from qgui.core.recipe import Step


def step_label(step: Step) -> str:
    """Return how a step is called."""
    return {
        "equalize": say("Cross-layer equalization"),
        "correct_bias": say("Bias correction"),
        "adaround": say("AdaRound"),
    }[step]


def step_sentence(step: Step) -> str:
    """Return what a step does."""
    return {
        "equalize": say("Scales channels of this layer against those of its neighbour, so that one scale fits all."),
        "correct_bias": say("Lets the bias take up the mean error that rounding the weight makes."),
        "adaround": say("Learns from the calibration samples whether each weight is rounded up or down."),
    }[step]
