"""The histogram of each quantized activation with the range it was given, small enough for a page of hundreds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from qgui.core import legality
from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.plan import ActivationRanges, Choice
from qgui.core.recipe import Mode, Recipe
from qgui.core.report.drawing import Drawing
from qgui.core.statistics import Float64, TensorStatistics

#: Bars of a small histogram; the statistics have 2048 bins.
BARS = 64
_WIDTH, _HEIGHT, _BOTTOM = 220.0, 84.0, 14.0


@dataclass(frozen=True)
class Histogram:
    """A small histogram with its caption.

    Attributes:
        layer: Layer path.
        drawing: The histogram, counts on a logarithmic scale, the range marked.
        observer: What chose the range.
        low: Low end of the range.
        high: High end of the range.
        scale: Step between two int8 values.
        zero_point: The int8 value that stands for 0.
        sqnr_db: Predicted ratio in dB.
        clipped: Share of values outside the range.
        trained: Whether a training moved the range on from there.
    """

    layer: str
    drawing: Markup
    observer: str
    low: float
    high: float
    scale: float
    zero_point: int
    sqnr_db: float
    clipped: float
    trained: bool


def histograms(ranges: ActivationRanges, recipe: Recipe) -> Iterator[Histogram]:
    """Yield the histogram of every activation that the recipe gives a range of its own, in execution order."""
    for layer in ranges.model.layers:
        int8 = recipe.rule(layer.name).mode in {Mode.STATIC, Mode.QAT} or layer.kind == "input"
        if not (int8 and layer.head and legality.has_activation(layer)):
            continue
        owner = ranges.owner(layer.tensor)
        if owner.name != layer.tensor or owner.fixed is not None:
            continue
        try:
            choice = ranges.choice(layer.tensor, ranges.setting(layer.tensor, recipe))
        except QguiError:
            continue
        trained = recipe.rule(layer.name).mode is Mode.QAT
        yield _told(layer.name, ranges.statistics(layer.tensor), choice, trained)


def _told(layer: str, statistics: TensorStatistics, choice: Choice, trained: bool) -> Histogram:
    qparams = choice.qparams
    low, high = float(qparams.low[0]), float(qparams.high[0])
    return Histogram(
        layer,
        _drawn(layer, statistics, low, high),
        choice.observer.kind.value,
        low,
        high,
        float(qparams.scale[0]),
        int(qparams.zero_point[0]),
        choice.sqnr_db,
        choice.clipped,
        trained,
    )


def _drawn(layer: str, statistics: TensorStatistics, low: float, high: float) -> Markup:
    left, right = min(low, statistics.low), max(high, statistics.high)
    across = _WIDTH / max(right - left, 1e-30)
    title = say(
        "Histogram of {layer}: values from {minimum:.4g} to {maximum:.4g}, range {low:.4g} to {high:.4g}",
        layer=layer,
        minimum=statistics.minimum,
        maximum=statistics.maximum,
        low=low,
        high=high,
    )
    drawing = Drawing(
        _WIDTH,
        _HEIGHT + _BOTTOM,
        title,
        "histogram",
    )
    drawing.rectangle((low - left) * across, 0, (high - low) * across, _HEIGHT, "range")
    heights = downsampled(statistics.counts) * (_HEIGHT - 4)
    width = (statistics.high - statistics.low) * across
    drawing.steps((statistics.low - left) * across, width, _HEIGHT, heights.tolist(), "counts")
    for value in (low, high):
        drawing.line((value - left) * across, 0, (value - left) * across, _HEIGHT, "bound")
    drawing.text(0, _HEIGHT + 11, f"{left:.3g}", "start", "small")
    drawing.text(_WIDTH, _HEIGHT + 11, f"{right:.3g}", "end", "small")
    return drawing.markup()


def downsampled(counts: Float64, bars: int = BARS) -> Float64:
    """Return the counts of a histogram in fewer bins, as heights between 0 and 1 on a logarithmic scale.

    Args:
        counts: Shape `(bins,)`, a multiple of `bars` long; else the last bins share a bar.
        bars: Bins of the result.

    Returns:
        Shape `(bars,)`. A bar with any value stands out, the fullest is 1.
    """
    edges = np.linspace(0, len(counts), bars + 1).astype(int)[:-1]
    sums = np.add.reduceat(counts, edges)
    greatest = float(sums.max(initial=0.0))
    if greatest <= 0.0:
        return np.zeros(bars)
    least = float(sums[sums > 0].min())
    # The least count that is seen stands one decade above the ground.
    ground = np.log10(least) - 1.0
    heights = (np.log10(np.maximum(sums, least * 0.1)) - ground) / (np.log10(greatest) - ground)
    result: Float64 = np.where(sums > 0, heights, 0.0)
    return result
