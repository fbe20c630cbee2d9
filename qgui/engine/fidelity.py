"""How faithfully a program computes what a model in this process computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qgui.core import ranges

Array = npt.NDArray[Any]
#: A layer with less than this, in dB, computes something else: rounding alone leaves more.
PARTED_DB = 15.0


@dataclass(frozen=True)
class Fidelity:
    """How outputs agree.

    Attributes:
        max_abs_diff: Greatest absolute difference.
        agreement: Share of samples with the same most likely class; None where outputs are no class scores.
        sqnr_db: Energy of the expected outputs to that of the difference, in dB.
    """

    max_abs_diff: float
    agreement: float | None
    sqnr_db: float


def of_outputs(expected: Sequence[Array], found: Sequence[Array]) -> Fidelity:
    """Compare outputs of the same samples.

    Args:
        expected: What the model in this process computed, one array per batch.
        found: What the other program computed.
    """
    worst, signal, noise, same, rows = 0.0, 0.0, 0.0, 0, 0
    classes = True
    for ours, theirs in zip(expected, found, strict=True):
        if ours.shape != theirs.shape:
            return Fidelity(float("inf"), 0.0 if ours.ndim == 2 else None, 0.0)
        ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
        equal = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
        with np.errstate(invalid="ignore"):
            difference = np.where(equal, 0.0, np.abs(ours - theirs))
        difference = np.where(np.isnan(difference), np.inf, difference)
        worst = max(worst, float(difference.max(initial=0.0)))
        signal += float(np.square(ours[np.isfinite(ours)]).sum())
        noise += float(np.square(difference).sum())
        classes = classes and ours.ndim == 2 and ours.shape[1] > 1
        if classes:
            same += int((ours.argmax(1) == theirs.argmax(1)).sum())
            rows += len(ours)
    agreement = same / rows if classes and rows else None
    return Fidelity(worst, agreement, 0.0 if not np.isfinite(noise) else ranges.decibel(signal, noise))


def parting_layer(expected: Mapping[str, Array], found: Mapping[str, Array]) -> str:
    """Return the first layer whose values are others, or the one that differs most where all are close.

    Args:
        expected: Layer to its values in this process, in the order in which they are computed.
        found: The same from the other program; layers may be missing.
    """
    ratios = {}
    for layer, ours in expected.items():
        if layer not in found or found[layer].shape != ours.shape:
            continue
        ratios[layer] = of_outputs([ours], [found[layer]]).sqnr_db
        if ratios[layer] < PARTED_DB:
            return layer
    return min(ratios, key=lambda layer: ratios[layer], default="")
