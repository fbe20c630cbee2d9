"""What was found, in sentences for a terminal and for the report."""

from __future__ import annotations

from qgui.core.language import say
from qgui.core.results import Accuracy, Comparison
from qgui.core.training_run import TrainingUpdate, score_name, told_score


def comparison_lines(comparison: Comparison, latencies: bool = True) -> list[str]:
    """Return what a comparison found, a sentence a line.

    Args:
        comparison: What was measured.
        latencies: Whether to tell the latency of each variant.
    """
    lines = []
    before, after, delta = comparison.float_accuracy, comparison.quantized_accuracy, comparison.accuracy_delta
    if before is not None and after is not None and delta is not None:
        scale, unit = (1.0, "") if before.top1 is None else (100.0, say(" points"))
        lines.append(
            say(
                "{metric_name}: float {before}, quantized {quantized} on {samples} samples, "
                "difference {difference:+.2f}{unit} "
                "(95 % interval {low:+.2f} to {high:+.2f})",
                metric_name=_metric_name(before),
                before=_score(before),
                quantized=_score(after),
                samples=before.samples,
                difference=delta.value * scale,
                unit=unit,
                low=delta.low * scale,
                high=delta.high * scale,
            )
        )
    elif comparison.agreement is not None:
        lines.append(
            say(
                "Same best class as float on {agreement:.1f} % of the samples (no labels)",
                agreement=100 * comparison.agreement,
            )
        )
    if comparison.output_sqnr_db is not None:
        lines.append(say("Output SQNR: {output_sqnr_db:.1f} dB", output_sqnr_db=comparison.output_sqnr_db))
    lines.extend(
        say(
            "Latency, {subject} {runtime}: median {median_ms:.2f} ms, p95 {p95_ms:.2f} ms, {runs} runs",
            subject=latency.subject,
            runtime=latency.runtime,
            median_ms=latency.median_ms,
            p95_ms=latency.p95_ms,
            runs=latency.runs,
        )
        for latency in (comparison.latencies if latencies else ())
    )
    fastest, best = comparison.best_latency("float"), comparison.best_latency("quantized")
    lines.append(
        say(
            "Speed-up: {speedup:.2f} times against the best float ({runtime}; quantized {best_runtime} "
            "on {backend}, {threads}, batch {batch_size})",
            speedup=comparison.speedup,
            runtime=fastest.runtime,
            best_runtime=best.runtime,
            backend=comparison.backend,
            threads=told_threads(comparison.threads),
            batch_size=comparison.batch_size,
        )
    )
    if fastest.runtime != "eager" and comparison.speedup_over_eager > comparison.speedup:
        lines.append(
            say(
                "Speed-up over float eager, a slower float: {speedup_over_eager:.2f} times",
                speedup_over_eager=comparison.speedup_over_eager,
            )
        )
    for runtime, ratio in comparison.speedup_same_runtime.items():
        lines.append(say("Speed-up, both {runtime}: {ratio:.2f} times", runtime=runtime, ratio=ratio))
    ratio = comparison.float_bytes / max(comparison.quantized_bytes, 1)
    lines.append(
        say(
            "Size: {float_bytes:.2f} MB float, {quantized_bytes:.2f} MB quantized ({ratio:.2f} times smaller)",
            float_bytes=comparison.float_bytes / 1000000.0,
            quantized_bytes=comparison.quantized_bytes / 1000000.0,
            ratio=ratio,
        )
    )
    return [*lines, *comparison.notes]


def training_lines(update: TrainingUpdate) -> list[str]:
    """Return what an update of a training says about finished epochs, a sentence a line."""
    lines = []
    if update.references is not None:
        known = update.references
        sides = [("float", known.float_score), (say("static int8"), known.static_score)]
        told = ", ".join(f"{side} {told_score(known.name, value)}" for side, value in sides if value is not None)
        lines.append(
            say(
                "{name} on {samples} validation samples: {told}",
                name=_at_start(score_name(known.name)),
                samples=known.samples,
                told=told,
            )
            if told
            else ""
        )
    for record in update.records:
        left = say(", {seconds_left:.0f} s left", seconds_left=update.seconds_left) if update.seconds_left else ""
        score = say("score {score:.4f}, ", score=record.score) if record.score != record.sqnr_db else ""
        lines.append(
            say(
                "Epoch {epoch} of {epochs}: loss {loss:.4g}, validation loss "
                "{validation_loss:.4g}, {score}output SQNR {sqnr_db:.1f} dB{left}",
                epoch=record.epoch,
                epochs=update.epochs,
                loss=record.loss,
                validation_loss=record.validation_loss,
                score=score,
                sqnr_db=record.sqnr_db,
                left=left,
            )
        )
    return [line for line in lines if line]


def _metric_name(accuracy: Accuracy) -> str:
    return say("Top-1 accuracy") if accuracy.top1 is not None else accuracy.metric_name


def _score(accuracy: Accuracy) -> str:
    if accuracy.top1 is not None:
        return f"{100 * accuracy.top1:.2f} %"
    return f"{accuracy.metric:.4g}" if accuracy.metric is not None else "-"


def told_threads(threads: int) -> str:
    """Return a number of threads in words."""
    return say("1 thread") if threads == 1 else say("{threads} threads", threads=threads)


def _at_start(name: str) -> str:
    """Return a name as it stands at the start of a sentence."""
    return name[:1].upper() + name[1:]
