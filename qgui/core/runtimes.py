"""The same model in every runtime of this machine, side by side: what was measured and what it comes to."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Literal

import msgspec

from qgui.core.language import say
from qgui.core.results import Latency

#: Every runtime with the name that people know it by.
RUNTIMES = {
    "eager": say("torch eager"),
    "torchscript": say("torch traced"),
    "optimized": say("torch traced, optimized"),
    "onnxruntime": say("ONNX Runtime"),
    "openvino": "OpenVINO",
}
#: A baseline so much slower than the best is called slow.
SLOW_BASELINE = 1.1
#: Fewer runs have no spread.
_FEWEST = 2


class RuntimeResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """One model in one runtime.

    Attributes:
        runtime: Key in `RUNTIMES`.
        subject: `float` or `quantized`.
        backend: Quantized engine of torch, empty where there is none.
        latency: Measured in turn with all others; None where it does not run.
        peak_bytes: Greatest resident memory of a fresh process that loads the runtime and the model and runs it; None
            where that was not measured.
        base_bytes: What of it the process held before it loaded the model.
        file_bytes: Size of the file that is loaded.
        sqnr_db: Ratio of its output against float torch eager in dB.
        problem: Why it does not run.
    """

    runtime: str
    subject: Literal["float", "quantized"]
    backend: str = ""
    latency: Latency | None = None
    peak_bytes: int | None = None
    base_bytes: int | None = None
    file_bytes: int | None = None
    sqnr_db: float | None = None
    problem: str = ""

    @property
    def name(self) -> str:
        """The runtime with its engine, for instance `torch traced, x86`."""
        known = RUNTIMES.get(self.runtime, self.runtime)
        return f"{known}, {self.backend}" if self.backend else known

    @property
    def median_ms(self) -> float | None:
        """Median in milliseconds."""
        return self.latency.median_ms if self.latency is not None else None

    @property
    def model_bytes(self) -> int | None:
        """What the model adds to the memory of the process."""
        if self.peak_bytes is None or self.base_bytes is None:
            return None
        return max(self.peak_bytes - self.base_bytes, 0)


class RuntimeTable(msgspec.Struct, frozen=True):
    """All runtimes, measured in one run.

    Attributes:
        recipe_hash: Hash of the recipe from which the quantized models were made.
        threads: Threads that every runtime was given.
        batch_size: Samples of each run.
        rows: The runtimes; the fastest first, those that do not run last.
        notes: What the person should know.
    """

    recipe_hash: str
    threads: int
    batch_size: int
    rows: tuple[RuntimeResult, ...]
    notes: tuple[str, ...] = ()

    def best(self, subject: str) -> RuntimeResult | None:
        """Return the fastest runtime of `float` or `quantized`, None where none ran."""
        return next((row for row in self.rows if row.subject == subject and row.latency is not None), None)

    @property
    def speedup(self) -> float | None:
        """Best float median divided by best quantized median."""
        return ratio(self.best("float"), self.best("quantized"))

    def speedup_of(self, row: RuntimeResult) -> float | None:
        """Return the best float median divided by the median of a runtime."""
        return ratio(self.best("float"), row)

    def twin(self, row: RuntimeResult) -> RuntimeResult | None:
        """Return the float model in the runtime of a quantized one, None where it was not measured there."""
        for other in self.rows:
            if other.subject == "float" and other.runtime == row.runtime and other.latency is not None:
                return other
        return None


def in_order(rows: Iterable[RuntimeResult]) -> tuple[RuntimeResult, ...]:
    """Return runtimes with the fastest first and those that do not run last."""
    return tuple(sorted(rows, key=lambda row: (row.latency is None, row.median_ms or 0.0)))


def spread_of(latency: Latency) -> float | None:
    """Return within how many milliseconds the middle half of the runs lies; None where the runs are not known."""
    if len(latency.samples_ms) < _FEWEST:
        return None
    low, _, high = statistics.quantiles(latency.samples_ms, n=4, method="inclusive")
    return high - low


def ratio(before: RuntimeResult | None, after: RuntimeResult | None) -> float | None:
    """Return how many times as fast the second is; None where one did not run."""
    if before is None or after is None or not before.median_ms or not after.median_ms:
        return None
    return before.median_ms / after.median_ms


def verdict(table: RuntimeTable) -> str:
    """Return in one sentence what int8 gains over the best float."""
    before, after, gain = table.best("float"), table.best("quantized"), table.speedup
    if before is None or after is None or gain is None:
        return say("Not both models ran, so there is no speed-up to tell.")
    told = (
        say("{gain:.2f} times as fast as", gain=gain)
        if gain >= 1
        else say("{gain:.2f} times slower than", gain=1 / gain)
    )
    return say(
        "The best int8 ({name}, {median_ms:.2f} ms) is {told} the best float "
        "({before_name}, {before_median_ms:.2f} ms).",
        name=after.name,
        median_ms=after.median_ms,
        told=told,
        before_name=before.name,
        before_median_ms=before.median_ms,
    )


def slow_baseline(table: RuntimeTable, row: RuntimeResult) -> str:
    """Return the speed-up of a quantized runtime over float in the same runtime, labelled where that float is slow.

    An empty text stands for no such pair, or for one whose float is about the best.
    """
    twin, best = table.twin(row), table.best("float")
    same, behind = ratio(twin, row), ratio(twin, best)
    if row.subject == "float" or twin is None or same is None or behind is None or behind < SLOW_BASELINE:
        return ""
    return say(
        "{same:.2f} times over {name}, a slow float: {behind:.2f} times the best one's time",
        same=same,
        name=twin.name,
        behind=behind,
    )


def lines(table: RuntimeTable) -> list[str]:
    """Return what was measured, a sentence a line."""
    found = [verdict(table)]
    for row in table.rows:
        subject = "float" if row.subject == "float" else "int8"
        if row.latency is None:
            found.append(f"{row.name}, {subject}: {row.problem}")
            continue
        gain = table.speedup_of(row)
        parts = [
            say("median {median_ms:.2f} ms", median_ms=row.latency.median_ms),
            say("p95 {p95_ms:.2f} ms", p95_ms=row.latency.p95_ms),
        ]
        if gain is not None and row.subject == "quantized":
            parts.append(say("{gain:.2f} times the best float's speed", gain=gain))
        if row.peak_bytes is not None:
            parts.append(say("peak memory {peak_bytes:.0f} MB", peak_bytes=row.peak_bytes / 1000000.0))
        if row.file_bytes is not None:
            parts.append(say("file {file_bytes:.2f} MB", file_bytes=row.file_bytes / 1000000.0))
        found.append(f"{row.name}, {subject}: {', '.join(parts)}")
    return [*found, *table.notes]
