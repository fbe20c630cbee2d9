"""The report of a comparison: sentences for a terminal, and one self-contained HTML page."""

from __future__ import annotations

import html as markup
from collections.abc import Sequence

from qgui.core.layers import ModelDescription
from qgui.core.results import Accuracy, Comparison, DataDescription, ExportResult, LayerResult, MachineDescription
from qgui.core.training_run import TrainingUpdate, told_score

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1c1c1e;
       background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; text-align: left; border-bottom: 1px solid #d8d8dc }
td.number, th.number { text-align: right } tr.worst td { font-weight: 600 }
.bar { display: inline-block; height: .7em; background: #0072b2; vertical-align: baseline }
.bar.int8 { background: #d55e00 } .note { color: #5a5a60 }
@media print { body { margin: 0 } tr { break-inside: avoid } }
"""


def comparison_lines(comparison: Comparison) -> list[str]:
    """Return what a comparison found, a sentence a line."""
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
        for latency in comparison.latencies
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


def html(
    model: ModelDescription,
    data: DataDescription,
    machine: MachineDescription,
    comparison: Comparison,
    exports: Sequence[ExportResult],
    pictures: Sequence[tuple[str, str]] = (),
) -> str:
    """Return a self-contained page.

    Args:
        model: The model.
        data: The data.
        machine: Where it was measured.
        comparison: What was measured.
        exports: What was exported.
        pictures: Caption and `data:` address of each picture.
    """
    facts = [
        ("Model", f"{model.title} ({model.source}), {model.parameters:,} parameters"),
        ("Data", f"{data.source}: {data.calibration} samples for calibration, {data.evaluation} for evaluation"),
        ("Machine", f"{machine.cpu}, {machine.cores} cores, {machine.capability}, torch {machine.torch_version}"),
        ("Backend", f"{comparison.backend}, {comparison.threads} threads, batch size {comparison.batch_size}"),
        ("Recipe", comparison.recipe_hash),
    ]
    sentences = "".join(f"<li>{markup.escape(line)}</li>" for line in comparison_lines(comparison))
    shown = "".join(
        f'<figure><img src="{address}" alt="{markup.escape(caption)}" style="max-width:100%">'
        f"<figcaption>{markup.escape(caption)}</figcaption></figure>"
        for caption, address in pictures
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{markup.escape(model.title)} - QGUI report</title>"
        f"<style>{_STYLE}</style><h1>{markup.escape(model.title)}: float and quantized</h1>"
        f"<table>{''.join(_fact(*fact) for fact in facts)}</table>"
        f"<h2>What was measured</h2><ul>{sentences}</ul>"
        f"<h2>Latency</h2>{_latency_table(comparison)}"
        f"<h2>Exports</h2>{_export_table(exports)}"
        f"<h2>Layers</h2>{_layer_table(comparison.layers)}"
        f"{'<h2>Pictures</h2>' if shown else ''}{shown}</html>\n"
    )


def _metric_name(accuracy: Accuracy) -> str:
    return "Top-1 accuracy" if accuracy.top1 is not None else accuracy.metric_name


def _score(accuracy: Accuracy) -> str:
    if accuracy.top1 is not None:
        return f"{100 * accuracy.top1:.2f} %"
    return f"{accuracy.metric:.4g}" if accuracy.metric is not None else "-"


def _fact(name: str, value: str) -> str:
    return f"<tr><th>{markup.escape(name)}</th><td>{markup.escape(value)}</td></tr>"


def _rows(header: Sequence[tuple[str, bool]], rows: Sequence[Sequence[str]]) -> str:
    def classed(is_number: bool) -> str:
        return " class=number" if is_number else ""

    top = "".join(f"<th{classed(is_number)}>{markup.escape(name)}</th>" for name, is_number in header)
    body = "".join(
        "<tr>" + "".join(f"<td{classed(n)}>{cell}</td>" for cell, (_, n) in zip(row, header, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _latency_table(comparison: Comparison) -> str:
    greatest = max(latency.median_ms for latency in comparison.latencies)
    rows = []
    for x in comparison.latencies:
        kind = " int8" if x.subject == "quantized" else ""
        bar = f'<span class="bar{kind}" style="width:{16 * x.median_ms / greatest:.2f}rem"></span>'
        rows.append(
            (x.subject, x.runtime, f"{x.median_ms:.2f}", f"{x.p95_ms:.2f}", f"{x.min_ms:.2f}", str(x.runs), bar)
        )
    header = [("model", False), ("runtime", False), ("median ms", True), ("p95 ms", True), ("fastest ms", True)]
    return _rows([*header, ("runs", True), ("", False)], rows)


def _export_table(exports: Sequence[ExportResult]) -> str:
    if not exports:
        return "<p class=note>Nothing was exported.</p>"
    rows = [
        (
            e.format,
            markup.escape(e.path),
            f"{e.size_bytes / 1e6:.2f}",
            "verified" if e.verified else "not verified",
            "" if e.max_abs_diff is None else f"{e.max_abs_diff:.3g}",
            markup.escape(e.message),
        )
        for e in exports
    ]
    header = [("format", False), ("file", False), ("MB", True), ("opened again", False), ("greatest difference", True)]
    return _rows([*header, ("", False)], rows)


def _layer_table(layers: Sequence[LayerResult]) -> str:
    def told(value: float | None, digits: int) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    rows = [
        (
            markup.escape(layer.name),
            markup.escape(layer.type),
            layer.mode.value,
            layer.observer,
            layer.weight_granularity,
            "" if layer.scale is None else f"{layer.scale:.6g}",
            "" if layer.zero_point is None else str(layer.zero_point),
            told(layer.sqnr_db, 1),
            told(layer.float_ms, 3),
            told(layer.quantized_ms, 3),
        )
        for layer in layers
    ]
    header = [("layer", False), ("type", False), ("mode", False), ("observer", False), ("weight", False)]
    numbers = [("scale", True), ("zero point", True), ("SQNR dB", True), ("float ms", True), ("quantized ms", True)]
    return _rows([*header, *numbers], rows)
