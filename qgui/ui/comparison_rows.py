"""A comparison in words: each row a quantity for float and quantized, and the difference."""

from __future__ import annotations

from dataclasses import dataclass

from qgui.core.language import say
from qgui.core.results import Accuracy, Comparison, Latency
from qgui.ui import formatting


@dataclass(frozen=True)
class ComparisonRow:
    """A quantity of both models.

    Attributes:
        name: What it is, with its unit.
        before: Value of the float model.
        after: Value of the quantized model.
        difference: What became of it.
    """

    name: str
    before: str
    after: str
    difference: str


def comparison_rows(comparison: Comparison) -> list[ComparisonRow]:
    """Return all quantities of a comparison."""
    return [*_accuracy_rows(comparison), *_latency_rows(comparison), *_size_rows(comparison)]


def accuracy_text(accuracy: Accuracy) -> str:
    """Return the main number of an accuracy."""
    if accuracy.metric is not None:
        return formatting.number(accuracy.metric)
    return formatting.percent(accuracy.top1, 2)


def delta_texts(comparison: Comparison) -> tuple[str, str]:
    """Return the paired difference of accuracy and its 95 % interval; empty texts without one."""
    delta = comparison.accuracy_delta
    if delta is None:
        return "", ""
    if comparison.float_accuracy is not None and comparison.float_accuracy.metric is not None:
        low, high = formatting.number(delta.low), formatting.number(delta.high)
        return formatting.number(delta.value), say("{low} to {high}").format(low=low, high=high)
    points = say("{value} points").format(value=formatting.points(delta.value))
    low, high = formatting.points(delta.low), formatting.points(delta.high)
    return points, say("{low} to {high} points").format(low=low, high=high)


def _accuracy_rows(comparison: Comparison) -> list[ComparisonRow]:
    before, after = comparison.float_accuracy, comparison.quantized_accuracy
    rows = []
    if before is not None and after is not None:
        name = say("Accuracy top-1") if before.metric is None else before.metric_name or say("Metric")
        if before.metric is not None or before.top1 is not None:
            difference, interval = delta_texts(comparison)
            rows.append(ComparisonRow(name, accuracy_text(before), accuracy_text(after), difference))
            rows.append(ComparisonRow(say("Paired 95 % interval"), "", "", interval))
        if before.top5 is not None and after.top5 is not None:
            difference = say("{value} points").format(value=formatting.points(after.top5 - before.top5))
            top5 = formatting.percent(before.top5, 2), formatting.percent(after.top5, 2)
            rows.append(ComparisonRow(say("Accuracy top-5"), *top5, difference))
        samples = str(before.samples), str(after.samples)
        rows.append(ComparisonRow(say("Evaluated samples"), *samples, ""))
    if comparison.agreement is not None:
        share = formatting.percent(comparison.agreement, 2)
        rows.append(ComparisonRow(say("Same best class"), "", share, ""))
    if comparison.output_sqnr_db is not None:
        ratio = formatting.decibel(comparison.output_sqnr_db)
        rows.append(ComparisonRow(say("SQNR of the output"), "", ratio, ""))
    return rows


def _latency_rows(comparison: Comparison) -> list[ComparisonRow]:
    rows = []
    for runtime, title in (("eager", "eager"), ("torchscript", "TorchScript")):
        before, after = comparison.latency("float", runtime), comparison.latency("quantized", runtime)
        if before is None and after is None:
            continue
        ratio = comparison.speedup_same_runtime.get(runtime)
        difference = say("{ratio} times faster").format(ratio=formatting.number(ratio, 3)) if ratio else ""
        if ratio is not None and ratio < 1:
            difference = say("{ratio} times slower").format(ratio=formatting.number(1 / ratio, 3))
        rows += [
            ComparisonRow(
                say("Latency {runtime}, median").format(runtime=title),
                *_times(before, after, "median_ms"),
                difference,
            ),
            ComparisonRow(say("Latency {runtime}, p95").format(runtime=title), *_times(before, after, "p95_ms"), ""),
            ComparisonRow(
                say("Latency {runtime}, fastest run").format(runtime=title), *_times(before, after, "min_ms"), ""
            ),
        ]
    before, best = comparison.best_latency("float"), comparison.best_latency("quantized")
    pairs = [(say("Best float against best int8"), before, comparison.speedup)]
    eager = comparison.latency("float", "eager")
    if eager is not None and eager is not before:
        over = comparison.speedup_over_eager
        pairs.append((say("Float eager, a slower float, against best int8"), eager, over))
    return [
        *rows,
        *(
            ComparisonRow(
                name,
                formatting.milliseconds(baseline.median_ms),
                formatting.milliseconds(best.median_ms),
                say("{ratio} times").format(ratio=formatting.number(gain, 3)),
            )
            for name, baseline, gain in pairs
        ),
    ]


def _times(before: Latency | None, after: Latency | None, field: str) -> tuple[str, str]:
    return (
        formatting.milliseconds(getattr(before, field) if before else None),
        formatting.milliseconds(getattr(after, field) if after else None),
    )


def _size_rows(comparison: Comparison) -> list[ComparisonRow]:
    ratio = comparison.float_bytes / max(comparison.quantized_bytes, 1)
    return [
        ComparisonRow(
            say("Size of the state dict on disk"),
            formatting.size(comparison.float_bytes),
            formatting.size(comparison.quantized_bytes),
            say("{ratio} times smaller").format(ratio=formatting.number(ratio, 3)),
        )
    ]
