"""What was found, in sentences for a terminal and for the report."""

from __future__ import annotations

from qgui.core.results import Accuracy, Comparison
from qgui.core.training_run import TrainingUpdate, told_score


def comparison_lines(comparison: Comparison, latencies: bool = True) -> list[str]:
    """Return what a comparison found, a sentence a line.

    Args:
        comparison: What was measured.
        latencies: Whether to tell the latency of each variant.
    """
    lines = []
    before, after, delta = comparison.float_accuracy, comparison.quantized_accuracy, comparison.accuracy_delta
    if before is not None and after is not None and delta is not None:
        scale, unit = (1.0, "") if before.top1 is None else (100.0, " points")
        lines.append(
            f"{_metric_name(before)}: float {_score(before)}, quantized {_score(after)} on {before.samples} samples, "
            f"difference {delta.value * scale:+.2f}{unit} "
            f"(95 % interval {delta.low * scale:+.2f} to {delta.high * scale:+.2f})"
        )
    elif comparison.agreement is not None:
        lines.append(f"Same best class as float on {100 * comparison.agreement:.1f} % of the samples (no labels)")
    if comparison.output_sqnr_db is not None:
        lines.append(f"Output SQNR: {comparison.output_sqnr_db:.1f} dB")
    lines.extend(
        f"Latency, {latency.subject} {latency.runtime}: median {latency.median_ms:.2f} ms, "
        f"p95 {latency.p95_ms:.2f} ms, {latency.runs} runs"
        for latency in (comparison.latencies if latencies else ())
    )
    fastest, best = comparison.best_latency("float"), comparison.best_latency("quantized")
    threads = "1 thread" if comparison.threads == 1 else f"{comparison.threads} threads"
    lines.append(
        f"Speed-up: {comparison.speedup:.2f} times against the best float ({fastest.runtime}; quantized {best.runtime} "
        f"on {comparison.backend}, {threads}, batch {comparison.batch_size})"
    )
    if fastest.runtime != "eager" and comparison.speedup_over_eager > comparison.speedup:
        lines.append(f"Speed-up over float eager, a slower float: {comparison.speedup_over_eager:.2f} times")
    for runtime, ratio in comparison.speedup_same_runtime.items():
        lines.append(f"Speed-up, both {runtime}: {ratio:.2f} times")
    ratio = comparison.float_bytes / max(comparison.quantized_bytes, 1)
    lines.append(
        f"Size: {comparison.float_bytes / 1e6:.2f} MB float, {comparison.quantized_bytes / 1e6:.2f} MB quantized "
        f"({ratio:.2f} times smaller)"
    )
    return [*lines, *comparison.notes]


def training_lines(update: TrainingUpdate) -> list[str]:
    """Return what an update of a training says about finished epochs, a sentence a line."""
    lines = []
    if update.references is not None:
        known = update.references
        sides = [("float", known.float_score), ("static int8", known.static_score)]
        told = ", ".join(f"{side} {told_score(known.name, value)}" for side, value in sides if value is not None)
        lines.append(f"{known.name.capitalize()} on {known.samples} validation samples: {told}" if told else "")
    for record in update.records:
        left = f", {update.seconds_left:.0f} s left" if update.seconds_left else ""
        score = f"score {record.score:.4f}, " if record.score != record.sqnr_db else ""
        lines.append(
            f"Epoch {record.epoch} of {update.epochs}: loss {record.loss:.4g}, validation loss "
            f"{record.validation_loss:.4g}, {score}output SQNR {record.sqnr_db:.1f} dB{left}"
        )
    return [line for line in lines if line]


def _metric_name(accuracy: Accuracy) -> str:
    return "Top-1 accuracy" if accuracy.top1 is not None else accuracy.metric_name


def _score(accuracy: Accuracy) -> str:
    if accuracy.top1 is not None:
        return f"{100 * accuracy.top1:.2f} %"
    return f"{accuracy.metric:.4g}" if accuracy.metric is not None else "-"
