"""Reading what the worker wrote about a weight."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qgui.core.errors import QguiError
from qgui.core.recipe import AUTOMATIC_OBSERVERS, ObserverKind

Float64 = npt.NDArray[np.float64]

#: Granularities in the order in which they are shown.
GRANULARITIES = ("per-channel", "per-tensor")


@dataclass(frozen=True)
class WeightChoice:
    """What an observer chooses for a weight.

    Attributes:
        granularity: `per-channel` or `per-tensor`.
        kind: The observer.
        low: Least representable value, one per channel or one.
        high: Greatest representable value, one per channel or one.
        sqnr_db: Signal to quantization noise ratio of the whole weight.
    """

    granularity: str
    kind: ObserverKind
    low: Float64
    high: Float64
    sqnr_db: float


@dataclass(frozen=True)
class WeightRanges:
    """What is known of a weight.

    Attributes:
        minimum: Least element of each output channel.
        maximum: Greatest element of each output channel.
        counts: Histogram over the whole weight.
        edges: Edges of its bins.
        choices: What each observer chooses, per channel and per tensor.
    """

    minimum: Float64
    maximum: Float64
    counts: Float64
    edges: Float64
    choices: tuple[WeightChoice, ...]

    def choice(self, granularity: str, kind: ObserverKind) -> WeightChoice | None:
        """Return what an observer chooses, None where it cannot."""
        for choice in self.choices:
            if choice.granularity == granularity and choice.kind is kind:
                return choice
        return None


def read(path: Path) -> WeightRanges:
    """Return the weight ranges in a file.

    Raises:
        QguiError: The file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: np.atleast_1d(arrays[name]).astype(np.float64) for name in arrays.files}
        choices = [
            WeightChoice(
                granularity,
                kind,
                found[f"{granularity}/{kind}/low"],
                found[f"{granularity}/{kind}/high"],
                float(found[f"{granularity}/{kind}/sqnr_db"][0]),
            )
            for granularity in GRANULARITIES
            for kind in AUTOMATIC_OBSERVERS
            if f"{granularity}/{kind}/low" in found
        ]
        return WeightRanges(found["minimum"], found["maximum"], found["counts"], found["edges"], tuple(choices))
    except (OSError, ValueError, KeyError) as error:
        raise QguiError("Could not read the weight", str(error), "Select the layer again.") from error
