"""The published tables and ours beside them, in words and numbers as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from qgui.core.benchmarks import BenchmarkResult, RowState, day_of, why_stale
from qgui.core.language import say
from qgui.core.published import SOURCE, SOURCE_URL, PublishedRow, Table
from qgui.core.report.sentences import told_threads
from qgui.core.results import Interval

HEADERS: dict[Table, tuple[str, ...]] = {
    "latency": (
        "model",
        "mode",
        "published ms",
        "faster",
        "here ms",
        "faster",
        "than best float",
        "measured",
    ),
    "accuracy": ("model", "mode", "published", "here", "difference", "samples", "measured"),
}
#: Names of the cells of a line.
COLUMNS: dict[Table, tuple[str, ...]] = {
    "latency": ("title", "mode", "published", "speedup", "here", "faster", "faster_than_best", "measured"),
    "accuracy": ("title", "mode", "published", "here", "difference", "samples", "measured"),
}
NOTHING = "-"


def table_label(table: Table) -> str:
    """Return what a table of published figures is about."""
    return {"latency": say("latency"), "accuracy": say("accuracy")}[table]


def value(row: PublishedRow, number: float) -> str:
    """Return a figure of a row with as many digits as were published."""
    if row.table == "latency":
        return f"{number:.3g}" if number < 100 else f"{number:.0f}"
    return f"{number:.3f}" if row.is_text else f"{100 * number:.1f}"


def published_pair(row: PublishedRow) -> str:
    """Return the published figures, float before int8."""
    unit = " %" if row.table == "accuracy" and not row.is_text else ""
    return f"{value(row, row.float_value)} → {value(row, row.int8_value)}{unit}"


def times(ratio: float | None) -> str:
    """Return by what something is faster."""
    return NOTHING if ratio is None else f"{ratio:.1f}×"


def plain_difference(row: PublishedRow, value: float) -> str:
    """Return a difference in points or as F1, with its sign."""
    text = f"{value:+.3f}" if row.is_text else say("{value:+.1f} points", value=100 * value)
    return text.replace("-", "\u2212")


def difference(row: PublishedRow, interval: Interval | None) -> str:
    """Return int8 minus float with its interval, in points or as F1."""
    if interval is None:
        return NOTHING
    factor, digits = (1.0, 3) if row.is_text else (100.0, 1)
    low, middle, high = (f"{factor * x:+.{digits}f}" for x in (interval.low, interval.value, interval.high))
    return say("{middle} ({low} to {high})", middle=middle, low=low, high=high).replace("-", "\u2212")


def cells(row: PublishedRow, result: BenchmarkResult | None) -> tuple[str, ...]:
    """Return a line of the table: the row as published and what was found here."""
    start: tuple[str, ...] = (row.title, row.mode.value, published_pair(row))
    if row.table == "latency":
        start = (*start, times(row.speedup))
        if result is None or result.latency is None:
            return (*start, *[NOTHING] * 4)
        found = result.latency
        pair = f"{value(row, found.eager.median_ms)} → {value(row, found.int8.median_ms)}"
        return (*start, pair, times(found.speedup), times(found.speedup_over_best), day_of(result))
    if result is None or result.accuracy is None:
        return (*start, *[NOTHING] * 4)
    accuracy = result.accuracy
    unit = "" if row.is_text else " %"
    pair = f"{value(row, accuracy.float_value)} → {value(row, accuracy.int8_value)}{unit}"
    return (*start, pair, difference(row, accuracy.delta), f"{accuracy.samples}", day_of(result))


def remarks(row: PublishedRow, result: BenchmarkResult | None, stale: str) -> list[str]:
    """Return what the person should know about a row that was run, a sentence each."""
    if result is None:
        return []
    told = []
    if stale:
        told.append(say("Stale: {stale}.", stale=stale))
    if result.latency is not None:
        found = result.latency
        told.append(
            say(
                "{name} on {backend}, {threads}, batch {batch_size}; the best float here is {best} with {median} ms.",
                name=found.int8.name,
                backend=found.backend,
                threads=told_threads(found.threads),
                batch_size=found.batch_size,
                best=found.best_float.name.removeprefix("float "),
                median=value(row, found.best_float.median_ms),
            )
        )
    if result.accuracy is not None and result.accuracy.float_interval is not None:
        spans = (result.accuracy.float_interval, result.accuracy.int8_interval)
        low, high = (
            say("{low:.1f} to {high:.1f} %", low=100 * s.low, high=100 * s.high) for s in spans if s is not None
        )
        told.append(say("95 % interval: float {low}, int8 {high}.", low=low, high=high))
    return [*told, *result.notes]


def answer(
    rows: Sequence[PublishedRow],
    results: Mapping[str, BenchmarkResult],
    states: Mapping[str, RowState],
    cpu: str,
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Return both tables as the JSON object of the command line."""
    entries = []
    for row in rows:
        result = results.get(row.key)
        entry: dict[str, Any] = {
            "table": row.table,
            "row": row.name,
            "title": row.title,
            "mode": row.mode.value,
            "published": {
                "float": row.float_value,
                "int8": row.int8_value,
                "speedup": row.speedup,
                "device": row.device,
                "note": row.note,
            },
            "missing": [missing.sentence for missing in states[row.key].missing],
            "result": None,
            "stale": "",
        }
        if result is not None:
            entry["result"] = msgspec.to_builtins(result)
            entry["stale"] = why_stale(result, cpu, versions)
            if result.latency is not None:
                entry["speedup"] = result.latency.speedup
                entry["speedup_over_best_float"] = result.latency.speedup_over_best
        entries.append(entry)
    source = {"title": SOURCE, "url": SOURCE_URL}
    return {"source": source, "cpu": cpu, "versions": dict(versions), "rows": entries}
