"""Where a range is computed: what each observer chooses from statistics, and what the choice costs.

A `Distribution` is a set of points with masses, one row per channel (one row for a whole tensor). Every observer
maps it to bounds; `assess` says what the bounds cost in rounding and clipping.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.qparams import Grid, QParams, qparams_of_range, weight_grid
from qgui.core.recipe import Observer, ObserverKind, WeightSetting
from qgui.core.statistics import TensorStatistics, rebin

#: Above this many points, over all channels, a range is searched in fewer steps.
_MANY_POINTS = 200_000
#: Ratio that stands for "no noise at all".
NO_NOISE_DB = 200.0

Float64 = npt.NDArray[np.float64]
Bounds = tuple[Float64, Float64]


@dataclass(frozen=True, eq=False)
class Distribution:
    """Where the values of a tensor lie.

    Attributes:
        points: Shape `(channels, n)`, ascending in each row.
        mass: Shape `(channels, n)`. How many elements lie at each point; exact zeros are not among them.
        zeros: Shape `(channels,)`. Number of elements that are exactly zero and cost nothing.
        width: Shape `(channels,)`. Width over which the mass of a point is spread; 0 where points are elements.
        low: Shape `(channels,)`. Least element.
        high: Shape `(channels,)`. Greatest element.
        batch_min: Shape `(channels, batches)`, float32, least element of every batch.
        batch_max: Shape `(channels, batches)`, float32, greatest element of every batch.
    """

    points: Float64
    mass: Float64
    zeros: Float64
    width: Float64
    low: Float64
    high: Float64
    batch_min: npt.NDArray[np.float32]
    batch_max: npt.NDArray[np.float32]

    @property
    def channels(self) -> int:
        """Number of rows."""
        return len(self.points)

    def row(self, channel: int) -> Distribution:
        """Return the distribution of one channel alone."""
        one = slice(channel, channel + 1)
        return Distribution(
            self.points[one],
            self.mass[one],
            self.zeros[one],
            self.width[one],
            self.low[one],
            self.high[one],
            self.batch_min[one],
            self.batch_max[one],
        )

    @property
    def energy(self) -> Float64:
        """Sum of squares, per channel."""
        spread = self.width[:, None] ** 2 / 12
        result: Float64 = (self.mass * (self.points**2 + spread)).sum(axis=1)
        return result

    @property
    def elements(self) -> Float64:
        """Number of elements, per channel."""
        result: Float64 = self.mass.sum(axis=1) + self.zeros
        return result


def of_activation(statistics: TensorStatistics) -> Distribution:
    """Return the distribution of an activation from its calibration statistics.

    The histogram is scaled to the exact number of elements, and its outermost bins end at the exact extremes.

    Raises:
        QguiError: The tensor held no finite value.
    """
    if statistics.elements == 0:
        raise QguiError(
            say("Could not choose a range"),
            say("the activation holds no finite value"),
            say("Look for the layer that makes NaN."),
        )
    mass = statistics.counts.copy()
    held = mass.sum()
    zeros = statistics.zeros * held
    width = (statistics.high - statistics.low) / len(mass)
    points = statistics.centers
    if width > 0 and statistics.low <= 0.0 <= statistics.high:
        bin_of_zero = min(int((0.0 - statistics.low) / width), len(mass) - 1)
        mass[bin_of_zero] = max(mass[bin_of_zero] - zeros, 0.0)
    elif zeros:
        mass[:] = 0.0
    scale = statistics.elements / held if held else 0.0
    return Distribution(
        points=points[None],
        mass=mass[None] * scale,
        zeros=np.array([zeros * scale]),
        width=np.array([width]),
        low=np.array([statistics.minimum]),
        high=np.array([statistics.maximum]),
        batch_min=statistics.batch_min[None],
        batch_max=statistics.batch_max[None],
    )


def of_weight(weight: npt.NDArray[np.float32], per_channel: bool, points: int = 2048) -> Distribution:
    """Return the distribution of a weight from its elements.

    Args:
        weight: Shape `(channels, elements)`, output channels first, finite.
        per_channel: Whether each channel has a row of its own.
        points: Above this many elements a row becomes a histogram.
    """
    rows = weight if per_channel else weight.reshape(1, -1)
    low, high = rows.min(axis=1), rows.max(axis=1)
    extremes = {
        "low": low.astype(np.float64),
        "high": high.astype(np.float64),
        "batch_min": low[:, None],
        "batch_max": high[:, None],
    }
    zero: Float64 = np.count_nonzero(rows == 0, axis=1).astype(np.float64)
    if rows.shape[1] <= points:
        ordered = np.sort(rows, axis=1).astype(np.float64)
        present = np.where(ordered != 0.0, 1.0, 0.0)
        return Distribution(ordered, present, zero, np.zeros(len(rows)), **extremes)
    width = np.maximum((extremes["high"] - extremes["low"]) / points, np.finfo(np.float64).tiny)
    bins = np.minimum(((rows - low[:, None]) / width[:, None]).astype(np.int64), points - 1)
    bins += np.arange(len(rows))[:, None] * points
    counted = np.bincount(bins.ravel(), weights=(rows != 0).ravel(), minlength=len(rows) * points)
    mass = counted.astype(np.float64)
    centers = extremes["low"][:, None] + (np.arange(points)[None] + 0.5) * width[:, None]
    return Distribution(centers, mass.reshape(len(rows), points), zero, width, **extremes)


def choose(observer: Observer, distribution: Distribution, grid: Grid) -> Bounds:
    """Return the bounds that an observer chooses, each of shape `(channels,)`.

    Args:
        observer: Which observer, with its parameters.
        distribution: Where the values lie.
        grid: The integers on which the range will be laid.

    Raises:
        QguiError: A fixed range is empty.
    """
    match observer.kind:
        case ObserverKind.MINMAX:
            return distribution.low, distribution.high
        case ObserverKind.MOVING_AVERAGE:
            return _moving_average(distribution, observer.averaging_constant)
        case ObserverKind.PERCENTILE:
            return _percentile(distribution, observer.percentile)
        case ObserverKind.MSE:
            held = _without_empty_points(distribution)
            return _search(held, grid, lambda qparams: _squared_error(held, qparams))
        case ObserverKind.ENTROPY:
            held, n = _without_empty_points(distribution), distribution.points.shape[1]
            return _search(held, grid, lambda qparams: _divergences(held, qparams, n))
        case ObserverKind.FIXED:
            return _fixed(distribution, observer)


def chosen_qparams(observer: Observer, distribution: Distribution, grid: Grid, per_channel: bool = False) -> QParams:
    """Return scale and zero point of the range that an observer chooses."""
    low, high = choose(observer, distribution, grid)
    return qparams_of_range(low, high, grid, per_channel)


def weight_qparams(distribution: Distribution, setting: WeightSetting) -> QParams:
    """Return scale and zero point of a weight: what the observer chooses, and the bounds fixed for single channels.

    Args:
        distribution: Where the weight's values lie, with one row per output channel where the setting is per channel.
        setting: The weight setting.

    Raises:
        QguiError: A fixed bound is for a channel that is not there or leaves no room, or the scale is per tensor.
    """
    grid = weight_grid(setting)
    low, high = choose(setting.observer, distribution, grid)
    if setting.channel_bounds:
        low, high = low.copy(), high.copy()
        for channel, bound in checked_channel_bounds(setting, distribution.channels):
            low[channel], high[channel] = -bound, bound
    return qparams_of_range(low, high, grid, setting.per_channel)


def checked_channel_bounds(setting: WeightSetting, channels: int) -> tuple[tuple[int, float], ...]:
    """Return the bounds that a setting fixes for single channels.

    Raises:
        QguiError: One is for a channel that is not there or leaves no room, or the setting has no scale per channel.
    """
    what = say("Could not use the bounds of single channels")
    if setting.channel_bounds and setting.qscheme != "per_channel_symmetric":
        why = say("the weight is {qscheme}, and only per_channel_symmetric weights have them", qscheme=setting.qscheme)
        raise QguiError(what, why, say("Reset the bounds, or choose one symmetric scale per channel."))
    seen: set[int] = set()
    for channel, bound in setting.channel_bounds:
        if not 0 <= channel < channels:
            why = say(
                "there is no output channel {channel}: the weight has {channels}, counted from 0",
                channel=channel,
                channels=channels,
            )
            raise QguiError(what, why, say("Reset the bounds of this layer, or correct the recipe."))
        if not (np.isfinite(bound) and bound > 0.0):
            why = say("the bound {bound:g} of channel {channel} is not a number above 0", bound=bound, channel=channel)
            raise QguiError(what, why, say("Type or drag a bound that leaves room around zero."))
        if channel in seen:
            raise QguiError(
                what,
                say("channel {channel} has two bounds", channel=channel),
                say("Reset the bounds, or correct the recipe."),
            )
        seen.add(channel)
    return setting.channel_bounds


@dataclass(frozen=True, eq=False)
class Assessment:
    """What a range costs. Arrays of shape `(channels,)` unless said otherwise.

    Attributes:
        rounding: Expected sum of squared rounding errors.
        clipping: Sum of squared clipping errors.
        clipped_low: Share of elements below the range, 0 to 1.
        clipped_high: Share of elements above the range, 0 to 1.
        energy: Sum of squares of the elements.
        elements: Number of elements.
    """

    rounding: Float64
    clipping: Float64
    clipped_low: Float64
    clipped_high: Float64
    energy: Float64
    elements: Float64

    @functools.cached_property
    def error(self) -> float:
        """Expected sum of squared errors of the whole tensor."""
        return float((self.rounding + self.clipping).sum())

    @property
    def clipping_share(self) -> float:
        """Share of the squared error that clipping causes, 0 to 1; the rest is rounding."""
        return float(self.clipping.sum()) / self.error if self.error > 0.0 else 0.0

    @functools.cached_property
    def sqnr_db(self) -> float:
        """Predicted signal to quantization noise ratio of the whole tensor in dB."""
        return decibel(float(self.energy.sum()), self.error)

    @property
    def clipped(self) -> float:
        """Share of all elements outside the range, 0 to 1."""
        elements = float(self.elements.sum())
        return float(((self.clipped_low + self.clipped_high) * self.elements).sum() / elements) if elements else 0.0


def assess(distribution: Distribution, qparams: QParams) -> Assessment:
    """Return what a scale and zero point cost on a distribution."""
    error, outside_low, outside_high = _errors(distribution, qparams)
    clipped = outside_low | outside_high
    mass, elements = distribution.mass, np.maximum(distribution.elements, 1.0)
    weighted = mass * error
    return Assessment(
        rounding=np.where(clipped, 0.0, weighted).sum(axis=1),
        clipping=np.where(clipped, weighted, 0.0).sum(axis=1),
        clipped_low=(mass * outside_low).sum(axis=1) / elements,
        clipped_high=(mass * outside_high).sum(axis=1) / elements,
        energy=distribution.energy,
        elements=distribution.elements,
    )


def divergence(distribution: Distribution, qparams: QParams) -> float:
    """Return the information in nats that a scale and zero point lose on a whole tensor: the criterion of Entropy."""
    return float(_divergences(distribution, qparams)[0])


def decibel(signal: float, noise: float) -> float:
    """Return the ratio of two energies in dB, at most 200 (no noise); 0 where there is no signal."""
    if signal <= 0.0:
        return 0.0 if noise > 0.0 else NO_NOISE_DB
    return NO_NOISE_DB if noise <= 0.0 else min(float(10 * np.log10(signal / noise)), NO_NOISE_DB)


def _moving_average(distribution: Distribution, constant: float) -> Bounds:
    low, high = distribution.batch_min[:, 0], distribution.batch_max[:, 0]
    weight = np.float32(constant)
    for batch in range(1, distribution.batch_min.shape[1]):
        low = low + weight * (distribution.batch_min[:, batch] - low)
        high = high + weight * (distribution.batch_max[:, batch] - high)
    return low.astype(np.float64), high.astype(np.float64)


def _percentile(distribution: Distribution, percentile: float) -> Bounds:
    tail = (100.0 - percentile) / 200.0
    low, high = np.empty(distribution.channels), np.empty(distribution.channels)
    for row in range(distribution.channels):
        points, mass = distribution.points[row], distribution.mass[row]
        half = distribution.width[row] / 2
        at_zero = int(np.searchsorted(points, 0.0))
        mass = np.insert(mass, at_zero, distribution.zeros[row])
        starts, ends = points - half, points + half
        starts, ends = np.insert(starts, at_zero, 0.0), np.insert(ends, at_zero, 0.0)
        low[row] = _quantile(starts, ends, mass, tail)
        high[row] = -_quantile(-ends[::-1], -starts[::-1], mass[::-1], tail)
    return np.maximum(low, distribution.low), np.minimum(high, distribution.high)


def _quantile(starts: Float64, ends: Float64, mass: Float64, share: float) -> float:
    cumulated = np.cumsum(mass)
    if cumulated[-1] <= 0:
        return 0.0
    target = share * cumulated[-1]
    at = int(np.searchsorted(cumulated, target, side="right"))
    at = min(at, len(mass) - 1)
    before = cumulated[at] - mass[at]
    within = (target - before) / mass[at] if mass[at] > 0 else 0.0
    return float(starts[at] + within * (ends[at] - starts[at]))


def _fixed(distribution: Distribution, observer: Observer) -> Bounds:
    if not (np.isfinite(observer.low) and np.isfinite(observer.high)) or observer.low >= observer.high:
        raise QguiError(
            say("Could not use the fixed range"),
            say("its lower bound {low:g} is not below its upper bound {high:g}", low=observer.low, high=observer.high),
            say("Type or drag bounds that leave room between them."),
        )
    return np.full(distribution.channels, observer.low), np.full(distribution.channels, observer.high)


def _without_empty_points(distribution: Distribution) -> Distribution:
    """Return a one-row distribution without the points that have no mass: they add nothing to any criterion."""
    if distribution.channels != 1:
        return distribution
    present = distribution.mass[0] > 0
    return replace(distribution, points=distribution.points[:, present], mass=distribution.mass[:, present])


def _search(distribution: Distribution, grid: Grid, criterion_of: Callable[[QParams], Float64]) -> Bounds:
    """Return the bounds of least criterion: both ends shrunk together or either alone, then each in turn, finer."""
    full_low, full_high = np.minimum(distribution.low, 0.0), np.maximum(distribution.high, 0.0)
    if grid.symmetric:
        full_high = np.maximum(-full_low, full_high)
        full_low = -full_high
    best_low, best_high = np.ones(distribution.channels), np.ones(distribution.channels)
    best = criterion_of(qparams_of_range(full_low, full_high, grid, distribution.channels > 1))
    tried = {(1.0, 1.0)}

    def attempt(low_share: Float64, high_share: Float64) -> None:
        nonlocal best
        if distribution.channels == 1:
            shares = (float(low_share[0]), float(high_share[0]))
            if shares in tried:
                return
            tried.add(shares)
        qparams = qparams_of_range(full_low * low_share, full_high * high_share, grid, distribution.channels > 1)
        cost = criterion_of(qparams)
        better = cost < best * (1 - 1e-9)
        best = np.where(better, cost, best)
        best_low[better] = low_share[better]
        best_high[better] = high_share[better]

    ones = np.ones(distribution.channels)
    # Thousands of channels share the time that one tensor may take; their bounds are chosen a little more coarsely.
    many = distribution.points.size > _MANY_POINTS
    for share in np.geomspace(0.1 if many else 0.02, 1.0, 12 if many else 40)[:-1]:
        attempt(ones * share, ones * share)
    two_sided = not grid.symmetric and bool(np.any(full_low < 0)) and bool(np.any(full_high > 0))
    # GELU and the like end sharply on one side only: there the ends must not shrink together.
    for share in np.geomspace(0.1, 1.0, 6 if many else 14)[:-1] if two_sided else ():
        attempt(ones, ones * share)
        attempt(ones * share, ones)
    for reach in (0.12, 0.04) if many else (0.3, 0.15, 0.07, 0.03):
        factors = 1.0 + np.linspace(-reach, reach, 5 if many else 13)
        for factor in factors:
            if two_sided:
                attempt(np.minimum(best_low * factor, 1.0), best_high.copy())
                attempt(best_low.copy(), np.minimum(best_high * factor, 1.0))
            else:
                share = np.minimum(best_high * factor, 1.0)
                attempt(share, share)
    return full_low * best_low, full_high * best_high


def _errors(
    distribution: Distribution, qparams: QParams
) -> tuple[Float64, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    grid = qparams.grid
    scale = qparams.scale.astype(np.float64)[:, None]
    zero_point = qparams.zero_point.astype(np.float64)[:, None]
    steps = np.rint(distribution.points / scale + (zero_point if grid.float_zero_point else 0.0))
    if not grid.float_zero_point:
        steps = steps + zero_point
    below, above = steps < grid.quant_min, steps > grid.quant_max
    restored = (np.clip(steps, grid.quant_min, grid.quant_max) - zero_point) * scale
    # Mass is spread over a bin. While a bin is narrower than a step, the exact mean of the squared error is that of
    # its centre plus width²/12; a bin wider than a step holds many steps, whose mean is step²/12.
    width = distribution.width[:, None]
    error = (distribution.points - restored) ** 2 + width**2 / 12
    inside = ~(below | above)
    error = np.where(inside & (width > scale), scale**2 / 12, error)
    return error, below, above


def _squared_error(distribution: Distribution, qparams: QParams) -> Float64:
    error, _, _ = _errors(distribution, qparams)
    result: Float64 = (distribution.mass * error).sum(axis=1)
    return result


def _divergences(distribution: Distribution, qparams: QParams, bins: int = 0) -> Float64:
    """Return KL(P || Q): P the distribution, Q what is left when each level's mass is spread over its points.

    `bins` is how many points there are with those that have no mass, where these were left out.
    As in Migacz, "8-bit Inference with TensorRT" (GTC 2017): what lies outside counts to the outermost level.
    """
    grid = qparams.grid
    channels, n = distribution.points.shape
    scale = qparams.scale.astype(np.float64)[:, None]
    steps = np.rint(distribution.points / scale) + qparams.zero_point.astype(np.float64)[:, None]
    outside = (steps < grid.quant_min) | (steps > grid.quant_max)
    levels = np.clip(steps, grid.quant_min, grid.quant_max).astype(np.int64) - grid.quant_min
    flat = (levels + np.arange(channels)[:, None] * grid.levels).ravel()
    present = (distribution.mass > 0) & ~outside
    size = channels * grid.levels
    mass_of_level = np.bincount(flat, weights=distribution.mass.ravel(), minlength=size)
    points_of_level = np.bincount(flat, weights=present.ravel(), minlength=size)
    share = mass_of_level / np.maximum(points_of_level, 1.0)
    restored = np.where(present, share[flat].reshape(channels, n), 0.0)
    total = np.maximum(distribution.mass.sum(axis=1, keepdims=True), 1e-300)
    floor = 1e-4 / (bins or n)
    p = distribution.mass / total
    q = np.maximum(restored / total, floor)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * np.log(p / q), 0.0)
    result: Float64 = terms.sum(axis=1)
    return result


def histogram_of(distribution: Distribution, bins: int = 256) -> tuple[Float64, Float64]:
    """Return counts and edges of a one-row distribution for showing."""
    low, high = float(distribution.low[0]), float(distribution.high[0])
    if distribution.width[0] > 0:
        n = distribution.points.shape[1]
        start = float(distribution.points[0, 0] - distribution.width[0] / 2)
        end = float(distribution.points[0, -1] + distribution.width[0] / 2)
        return rebin(distribution.mass[0], start, end, start, end, min(bins, n)), np.linspace(
            start, end, min(bins, n) + 1
        )
    counts, edges = np.histogram(distribution.points[0], bins=bins, range=(low, high), weights=distribution.mass[0])
    return counts.astype(np.float64), edges
