"""Reading what the worker wrote about a weight."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.qparams import qparams_of_range, weight_grid
from qgui.core.ranges import Assessment, Distribution, assess
from qgui.core.recipe import AUTOMATIC_OBSERVERS, ObserverKind, WeightSetting

Float64 = npt.NDArray[np.float64]

#: Bins in which a single channel is drawn: it has few elements.
_CHANNEL_BINS = 64
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
        sqnr_by_row: The same of each output channel.
    """

    granularity: str
    kind: ObserverKind
    low: Float64
    high: Float64
    sqnr_db: float
    sqnr_by_row: Float64


@dataclass(frozen=True)
class WeightRanges:
    """What is known of a weight.

    Attributes:
        minimum: Least element of each output channel.
        maximum: Greatest element of each output channel.
        counts: Histogram over the whole weight.
        edges: Edges of its bins.
        choices: What each observer chooses, per channel and per tensor.
        whole: Where all elements lie, one row.
        channels: Where the elements of each output channel lie, one row for each.
    """

    minimum: Float64
    maximum: Float64
    counts: Float64
    edges: Float64
    choices: tuple[WeightChoice, ...]
    whole: Distribution
    channels: Distribution

    @property
    def magnitude(self) -> Float64:
        """Greatest absolute element of each output channel."""
        result: Float64 = np.maximum(np.abs(self.minimum), np.abs(self.maximum))
        return result

    @property
    def setters(self) -> list[int]:
        """The channels that set the range of one scale per tensor: they reach within 1 % of its bound."""
        magnitude = self.magnitude
        reached = np.flatnonzero(magnitude >= 0.99 * magnitude.max(initial=0.0))
        return sorted(reached.tolist(), key=lambda channel: -float(magnitude[channel]))

    def distribution(self, channel: int | None) -> Distribution:
        """Return where the elements of one output channel lie; of the whole weight without one."""
        return self.whole if channel is None else self.channels.row(channel)

    def histogram(self, channel: int | None) -> tuple[Float64, Float64]:
        """Return counts and edges for drawing one output channel, or the whole weight."""
        if channel is None:
            return self.counts, self.edges
        row = self.channels.row(channel)
        low, high = float(row.low[0]), float(row.high[0])
        if not low < high:
            low, high = low - 0.5, high + 0.5
        weights = row.mass[0]
        counts, edges = np.histogram(row.points[0], bins=_CHANNEL_BINS, range=(low, high), weights=weights)
        counts[min(max(int((0.0 - low) / (high - low) * _CHANNEL_BINS), 0), _CHANNEL_BINS - 1)] += row.zeros[0]
        return counts.astype(np.float64), edges

    def used_bounds(self, setting: WeightSetting) -> tuple[Float64, Float64] | None:
        """Return what a setting can represent in each output channel; None where that is not known."""
        grid = weight_grid(setting)
        if setting.observer.kind is ObserverKind.FIXED:
            qparams = qparams_of_range(setting.observer.low, setting.observer.high, grid)
            low, high = qparams.low, qparams.high
        else:
            choice = self.choice(setting.granularity, setting.observer.kind)
            if choice is None:
                return None
            low, high = choice.low, choice.high
        shape = self.minimum.shape
        low, high = np.broadcast_to(low, shape).copy(), np.broadcast_to(high, shape).copy()
        for channel, bound in setting.channel_bounds:
            if 0 <= channel < len(low):
                fixed = qparams_of_range(-bound, bound, grid)
                low[channel], high[channel] = fixed.low[0], fixed.high[0]
        return low, high

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
                found[f"{granularity}/{kind}/sqnr_by_row"],
            )
            for granularity in GRANULARITIES
            for kind in AUTOMATIC_OBSERVERS
            if f"{granularity}/{kind}/low" in found
        ]
        minimum, maximum = found["minimum"], found["maximum"]
        return WeightRanges(
            minimum,
            maximum,
            found["counts"],
            found["edges"],
            tuple(choices),
            _distribution(found, "whole", np.atleast_1d(minimum.min()), np.atleast_1d(maximum.max())),
            _distribution(found, "channels", minimum, maximum),
        )
    except (OSError, ValueError, KeyError) as error:
        raise QguiError(say("Could not read the weight"), str(error), say("Select the layer again.")) from error


def _distribution(found: dict[str, Float64], name: str, low: Float64, high: Float64) -> Distribution:
    points, mass = np.atleast_2d(found[f"{name}/points"]), np.atleast_2d(found[f"{name}/mass"])
    extremes = low.astype(np.float32)[:, None], high.astype(np.float32)[:, None]
    return Distribution(points, mass, found[f"{name}/zeros"], found[f"{name}/width"], low, high, *extremes)


def cost_of_bound(distribution: Distribution, bound: float, setting: WeightSetting) -> tuple[float, Assessment]:
    """Return the scale of a range mirrored at zero, and what the range costs.

    Args:
        distribution: Where the elements lie, one row.
        bound: The bound, above 0.
        setting: The weight setting, for its grid.
    """
    qparams = qparams_of_range(-bound, bound, weight_grid(setting))
    return float(qparams.scale[0]), assess(distribution, qparams)
