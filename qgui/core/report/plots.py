"""The plots of a report, drawn from what was measured: latency bars, SQNR of the layers, curves of a training."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from qgui.core.language import say
from qgui.core.report.drawing import Drawing, ticks
from qgui.core.results import Latency, LayerResult
from qgui.core.training_run import TrainingOutcome

_WIDTH = 720.0
#: A measured ratio of this many dB or more means that nothing was rounded.
EXACT_DB = 200.0
_TOP_DB = 70.0
#: So many of the worst layers are named in the plot.
_NAMED = 3


def latency_bars(latencies: Sequence[Latency]) -> Markup:
    """Return the medians of all variants as bars, with a line from the fastest run to the 95th percentile."""
    row, left, right = 26.0, 180.0, 110.0
    drawing = Drawing(_WIDTH, row * len(latencies) + 30, say("Latency of each variant in milliseconds"), "plot")
    greatest = max(max(latency.p95_ms, latency.median_ms) for latency in latencies)
    scale = (_WIDTH - left - right) / max(greatest, 1e-9)
    bottom = row * len(latencies) + 4
    for tick in ticks(0.0, greatest):
        drawing.line(left + tick * scale, 0, left + tick * scale, bottom, "grid")
        drawing.text(left + tick * scale, bottom + 14, f"{tick:g}", "middle", "small")
    drawing.text(_WIDTH, bottom + 14, "ms", "end", "small")
    for place, latency in enumerate(latencies):
        y = place * row + 4
        kind = "float" if latency.subject == "float" else "int8"
        tip = say(
            "{variant}: median {median_ms:.3g} ms, p95 {p95_ms:.3g} ms",
            variant=f"{latency.subject} {latency.runtime}",
            median_ms=latency.median_ms,
            p95_ms=latency.p95_ms,
        )
        drawing.text(left - 8, y + 13, f"{latency.subject}, {latency.runtime}", "end")
        drawing.rectangle(left, y, latency.median_ms * scale, 18, f"bar {kind}", tip)
        middle = y + 9
        drawing.line(left + latency.min_ms * scale, middle, left + latency.p95_ms * scale, middle, "whisker", tip)
        drawing.line(left + latency.p95_ms * scale, middle - 4, left + latency.p95_ms * scale, middle + 4, "whisker")
        drawing.text(left + max(latency.p95_ms, latency.median_ms) * scale + 6, y + 13, f"{latency.median_ms:.2f} ms")
    return drawing.markup()


def sqnr_bars(layers: Sequence[LayerResult]) -> Markup | None:
    """Return the measured ratio of every layer in the order in which they run; None where none was measured."""
    measured = [(layer.name, layer.sqnr_db) for layer in layers if layer.sqnr_db is not None]
    measured = [(name, ratio) for name, ratio in measured if math.isfinite(ratio) and ratio < EXACT_DB]
    if not measured:
        return None
    left, top, height = 40.0, 16.0, 170.0
    drawing = Drawing(_WIDTH, top + height + 24, say("Measured SQNR of every quantized layer in dB"), "plot")
    highest = min(max(20.0, *(ratio for _, ratio in measured)), _TOP_DB)
    lowest = min(0.0, *(ratio for _, ratio in measured))
    scale, base = height / (highest - lowest), top + height
    for tick in ticks(lowest, highest):
        y = base - (tick - lowest) * scale
        drawing.line(left, y, _WIDTH, y, "grid")
        drawing.text(left - 6, y + 4, f"{tick:g}", "end", "small")
    drawing.text(0, top - 5, "dB", "start", "small")
    step = (_WIDTH - left) / len(measured)
    worst = sorted(measured, key=lambda entry: entry[1])[:_NAMED]
    for place, (name, ratio) in enumerate(measured):
        tall = (min(ratio, highest) - lowest) * scale
        kind = "bar worst" if (name, ratio) in worst else "bar int8"
        x = left + place * step
        drawing.rectangle(x + step * 0.1, base - tall, step * 0.8, tall, kind, f"{name}: {ratio:.1f} dB")
    told = ", ".join(f"{name} {ratio:.1f} dB" for name, ratio in worst)
    drawing.text(left, base + 18, say("first layer to last; lowest: {told}", told=told), "start", "small")
    return drawing.markup()


def training_curves(training: TrainingOutcome) -> Markup:
    """Return losses and output SQNR over the epochs of a training."""
    half, gap = (_WIDTH - 60) / 2, 60.0
    drawing = Drawing(_WIDTH, 210, say("Loss and output SQNR over the epochs of the training"), "plot")
    records = training.records
    epochs = [record.epoch for record in records]
    losses = [("loss", [record.loss for record in records]), ("validation", [r.validation_loss for r in records])]
    _panel(drawing, 44, half - 44, epochs, losses, say("loss (validation dashed)"), [])
    score, references = training.references.name, training.references
    lines = [("float", references.float_score), ("static", references.static_score)]
    marked = [(name, value) for name, value in lines if value is not None]
    curves = [("score", [record.score for record in records])]
    _panel(
        drawing, half + gap + 20, half - 20, epochs, curves, say("{score} on validation samples", score=score), marked
    )
    return drawing.markup()


def _panel(
    drawing: Drawing,
    left: float,
    width: float,
    epochs: Sequence[int],
    curves: Sequence[tuple[str, Sequence[float]]],
    title: str,
    marks: Sequence[tuple[str, float]],
) -> None:
    """Draw curves over epochs, and level lines with their names."""
    top, height = 24.0, 150.0
    base = top + height
    values = [value for _, curve in curves for value in curve if math.isfinite(value)] + [value for _, value in marks]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    low, high = low - margin, high + margin
    first, last = min(epochs), max(*epochs, min(epochs) + 1)
    across, up = width / (last - first), height / (high - low)
    drawing.text(left, 12, title)
    for tick in ticks(low, high, 4):
        y = base - (tick - low) * up
        drawing.line(left, y, left + width, y, "grid")
        drawing.text(left - 5, y + 4, f"{tick:.3g}", "end", "small")
    for tick in [tick for tick in ticks(first, last) if tick == int(tick)]:
        drawing.text(left + (tick - first) * across, base + 16, f"{tick:g}", "middle", "small")
    drawing.text(left + width, base + 30, say("epoch"), "end", "small")
    for place, (name, value) in enumerate(marks):
        y = base - (value - low) * up
        drawing.line(left, y, left + width, y, f"level {name}")
        side, anchor = (left + width - 2, "end") if place else (left + 2, "start")
        drawing.text(side, y - 4, name, anchor, "small")
    for name, curve in curves:
        points = zip(epochs, curve, strict=True)
        places = [(left + (x - first) * across, base - (y - low) * up) for x, y in points if math.isfinite(y)]
        drawing.curve(places, f"curve {name}")
        for x, y in places if len(places) < 40 else ():
            drawing.dot(x, y, 2.2, f"dot {name}")
