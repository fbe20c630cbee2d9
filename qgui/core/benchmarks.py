"""Our own figures for the published rows: what is asked, what was found, and the file in which results are kept."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec
import platformdirs

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.recipe_file import write_atomically
from qgui.core.results import Interval

_Z95 = 1.959963984540054


class BenchmarkSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """With what the rows are run.

    Attributes:
        images: Folder of ImageNet's validation images; empty where there is none.
        mrpc: The `dev.tsv` of GLUE's MRPC.
        bert: Folder of a BERT fine-tuned on MRPC, with its tokenizer.
        weights: Folder with files of torchvision's weights; torch's own cache is looked at too.
        download: Whether the person agreed that missing weights of torchvision are downloaded.
        limit: Images or sentence pairs to evaluate, chosen by the seed; 0 for all.
        calibrate: Images that calibrate and are not evaluated.
        training_images: Images that train the row published with QAT and are not evaluated; 0 for static instead.
        seed: Seed of the division of the images.
        threads: Threads while measuring latency.
        runs: Timed runs of each variant.
    """

    images: str = ""
    mrpc: str = ""
    bert: str = ""
    weights: str = ""
    download: bool = False
    limit: int = 0
    calibrate: int = 100
    training_images: int = 512
    seed: int = 0
    threads: int = 1
    runs: int = 30


class Missing(msgspec.Struct, frozen=True):
    """Something without which a row cannot be run.

    Attributes:
        kind: What it is.
        sentence: What to do about it.
    """

    kind: Literal["images", "weights", "mrpc", "bert", "package"]
    sentence: str


class RowState(msgspec.Struct, frozen=True):
    """Whether a row can be run with some settings.

    Attributes:
        key: Of the row.
        missing: What is missing; empty where the row can be run.
        plan: What running it does, as a sentence.
        download_mb: Megabytes that running it downloads once the person agrees; 0 for none.
    """

    key: str
    missing: tuple[Missing, ...]
    plan: str
    download_mb: float = 0.0

    @property
    def needs(self) -> str:
        """What is missing, as sentences."""
        return " ".join(missing.sentence for missing in self.missing)


class TimedVariant(msgspec.Struct, frozen=True):
    """Latency of one variant of a model, in turn with the others.

    Attributes:
        name: What was timed, for instance `float eager`.
        quantized: Whether it is int8.
        median_ms: Median in milliseconds.
        p95_ms: 95th percentile in milliseconds.
        runs: Number of timed runs.
    """

    name: str
    quantized: bool
    median_ms: float
    p95_ms: float
    runs: int


class LatencyFigures(msgspec.Struct, frozen=True):
    """What a latency row came to.

    Attributes:
        variants: Everything that was timed, float eager first.
        backend: Quantized engine, the fastest of this machine for the model.
        threads: Threads that were pinned.
        batch_size: Samples in a run.
    """

    variants: tuple[TimedVariant, ...]
    backend: str
    threads: int
    batch_size: int = 1

    @property
    def eager(self) -> TimedVariant:
        """Float eager, against which the published speed-ups are."""
        return self.variants[0]

    @property
    def best_float(self) -> TimedVariant:
        """The fastest float variant."""
        return min((v for v in self.variants if not v.quantized), key=lambda v: v.median_ms)

    @property
    def int8(self) -> TimedVariant:
        """The fastest int8 variant."""
        return min((v for v in self.variants if v.quantized), key=lambda v: v.median_ms)

    @property
    def speedup(self) -> float:
        """Float eager divided by int8, as published."""
        return self.eager.median_ms / self.int8.median_ms

    @property
    def speedup_over_best(self) -> float:
        """The fastest float variant divided by int8."""
        return self.best_float.median_ms / self.int8.median_ms


class AccuracyFigures(msgspec.Struct, frozen=True):
    """What an accuracy row came to, in shares between 0 and 1.

    Attributes:
        float_value: Top-1 accuracy or F1 of the float model.
        int8_value: Of the quantized model on the same samples.
        float_interval: Its 95 % interval; None for F1.
        int8_interval: Its 95 % interval; None for F1.
        delta: int8 minus float with its paired interval; None where it cannot be had.
        samples: Number of samples evaluated.
        mode: How it was quantized.
        backend: Quantized engine.
        output_sqnr_db: Of the model's output in dB.
    """

    float_value: float
    int8_value: float
    float_interval: Interval | None
    int8_interval: Interval | None
    delta: Interval | None
    samples: int
    mode: str
    backend: str
    output_sqnr_db: float


class BenchmarkResult(msgspec.Struct, frozen=True):
    """A row that was run.

    Attributes:
        key: Of the published row.
        date: When, as ISO 8601 in UTC.
        cpu: The processor.
        versions: Program or package to version.
        seconds: How long it took.
        latency: Of a latency row.
        accuracy: Of an accuracy row.
        notes: What the person should know.
    """

    key: str
    date: str
    cpu: str
    versions: dict[str, str]
    seconds: float
    latency: LatencyFigures | None = None
    accuracy: AccuracyFigures | None = None
    notes: tuple[str, ...] = ()


def why_stale(result: BenchmarkResult, cpu: str, versions: Mapping[str, str]) -> str:
    """Return why a kept result does not hold for this machine any more; empty where it does."""
    if result.cpu != cpu:
        return say("it was measured on another processor ({cpu})", cpu=result.cpu)
    other = [
        say(
            "{name} was {before} and is {now}", name=name, before=result.versions.get(name, say("missing")), now=version
        )
        for name, version in versions.items()
        if result.versions.get(name) != version
    ]
    return "; ".join(other)


def day_of(result: BenchmarkResult) -> str:
    """Return the day on which a result was measured, in the person's time zone."""
    return datetime.datetime.fromisoformat(result.date).astimezone().strftime("%Y-%m-%d %H:%M")


def share_interval(right: int, samples: int) -> Interval:
    """Return a share with its 95 % interval by Wilson ("Probable inference", 1927), which holds near 0 and 1 too."""
    share, z2 = right / samples, _Z95 * _Z95
    middle = (share + z2 / (2 * samples)) / (1 + z2 / samples)
    spread = _Z95 * math.sqrt(share * (1 - share) / samples + z2 / (4 * samples * samples)) / (1 + z2 / samples)
    return Interval(share, max(middle - spread, 0.0), min(middle + spread, 1.0))


def results_file() -> Path:
    """Return where results are kept: in the person's data folder."""
    return Path(platformdirs.user_data_dir("qgui", appauthor=False)) / "benchmarks.json"


def load(path: Path) -> dict[str, BenchmarkResult]:
    """Return the kept results by the key of their row; none where there is no file.

    Raises:
        QguiError: The file cannot be read.
    """
    if not path.is_file():
        return {}
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=list[BenchmarkResult])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        hint = say("Move {path} away; the rows can be run again.", path=path)
        raise QguiError(say("Could not read the kept benchmark results"), str(error), hint) from error
    return {result.key: result for result in kept}


def keep(path: Path, results: Iterable[BenchmarkResult]) -> dict[str, BenchmarkResult]:
    """Add results to those that are kept, each in place of the one before for its row, and return all.

    Raises:
        QguiError: The file cannot be read or written; it stays as it was.
    """
    kept = load(path) | {result.key: result for result in results}
    content = msgspec.json.format(msgspec.json.encode(list(kept.values())), indent=2)
    write_atomically(path, content + b"\n")
    return kept
