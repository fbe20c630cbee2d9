"""The published rows on this machine: what each still needs, and running one."""

from __future__ import annotations

import datetime
import importlib.metadata
import time
from collections.abc import Callable
from pathlib import Path

import torch

import qgui
from qgui.core.benchmarks import BenchmarkResult, BenchmarkSettings, Missing, RowState
from qgui.core.errors import QguiError
from qgui.core.extras import how_to_install
from qgui.core.published import BERT_TOKENS, ROWS, PublishedRow, row_of
from qgui.core.recipe import Mode
from qgui.engine import benchmark_accuracy, benchmark_latency, bert, machine, pretrained
from qgui.engine.fx import plain
from qgui.engine.progress import Progress

#: Where PyTorch's tutorial on dynamic quantization offers the fine-tuned BERT that was published.
FINE_TUNED_BERT = "https://download.pytorch.org/tutorial/MRPC.zip"


def versions() -> dict[str, str]:
    """Return the versions of what the figures depend on."""
    found = {"qgui": qgui.__version__, "torch": str(torch.__version__)}
    for package in ("torchvision", "transformers"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def states(settings: BenchmarkSettings) -> tuple[RowState, ...]:
    """Return for every published row whether it can be run, what it lacks, and what running it does."""
    return tuple(state(row, settings) for row in ROWS)


def state(row: PublishedRow, settings: BenchmarkSettings) -> RowState:
    """Return whether a row can be run with some settings."""
    if row.table == "latency":
        return RowState(row.key, (), _latency_plan(row, settings))
    if row.is_text:
        return RowState(row.key, tuple(_missing_text(settings)), _text_plan(settings))
    missing = []
    if not settings.images:
        missing.append(Missing("images", "Choose the folder of ImageNet validation images."))
    elif not Path(settings.images).expanduser().is_dir():
        why = f"There is no folder {settings.images}: choose that of the ImageNet validation images."
        missing.append(Missing("images", why))
    weights = pretrained.published(row.name)
    wanted = pretrained.find(weights, settings.weights) is None
    if wanted and not settings.download:
        why = (
            f"The weights are not on this machine: let them be downloaded ({weights.megabytes:.0f} MB), or choose the "
            f"folder that holds {weights.file}."
        )
        missing.append(Missing("weights", why))
    size = weights.megabytes if wanted else 0.0
    return RowState(row.key, tuple(missing), _image_plan(row, settings), size)


def run(
    key: str, settings: BenchmarkSettings, progress: Progress, say: Callable[[str], None] = lambda _: None
) -> BenchmarkResult:
    """Run a row; missing weights are downloaded first where the person agreed.

    Args:
        key: Of the row.
        settings: With what it is run.
        progress: Told after every step.
        say: Told what is done and how long it will take.

    Raises:
        QguiError: Something is missing, or the row cannot be run.
        Cancelled: The person asked to stop.
    """
    row, began = row_of(key), time.monotonic()
    lacking = state(row, settings).needs
    if lacking:
        raise QguiError(f"Could not run {row.title} ({row.table})", "something is missing", lacking)
    plain.silence()
    figures, accuracy = None, None
    if row.table == "latency":
        measured = benchmark_latency.measure(row, settings, progress)
        figures, notes = measured.figures, measured.notes
    else:
        weights = None if row.is_text else _weights(row, settings, progress)
        accuracy, notes = benchmark_accuracy.measure(row, settings, weights, progress, say)
    return BenchmarkResult(
        key=key,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        cpu=machine.describe().cpu,
        versions=versions(),
        seconds=time.monotonic() - began,
        latency=figures,
        accuracy=accuracy,
        notes=notes,
    )


def _weights(row: PublishedRow, settings: BenchmarkSettings, progress: Progress) -> Path:
    weights = pretrained.published(row.name)
    found = pretrained.find(weights, settings.weights) or pretrained.download(weights, progress)
    progress.step("Checking the weights", 0, 0)
    pretrained.check(weights, found)
    return found


def _latency_plan(row: PublishedRow, settings: BenchmarkSettings) -> str:
    threads = "one thread" if settings.threads == 1 else f"{settings.threads} threads"
    if row.is_text:
        kind = "transformers' BERT-base" if bert.has_transformers() else "an encoder of BERT-base's shape in torch.nn"
        return f"Measures {kind} with random weights: {BERT_TOKENS} tokens, batch 1, {threads}."
    return f"Measures the model on an image of 224 × 224, batch 1, {threads}; random weights take the same time."


def _image_plan(row: PublishedRow, settings: BenchmarkSettings) -> str:
    count = f"{settings.limit}" if settings.limit else "all other"
    if row.mode is not Mode.QAT:
        return f"Calibrates on {settings.calibrate} images and evaluates {count} images."
    if not settings.training_images:
        return f"Quantizes statically, not as published, and evaluates {count} images."
    return (
        f"Trains on {settings.training_images} images with distillation from the float model (some minutes; how many "
        f"is measured and logged before it begins) and evaluates {count} images."
    )


def _text_plan(settings: BenchmarkSettings) -> str:
    count = f"{settings.limit}" if settings.limit else "all"
    return f"Quantizes the fine-tuned BERT dynamically and evaluates {count} sentence pairs of {BERT_TOKENS} tokens."


def _missing_text(settings: BenchmarkSettings) -> list[Missing]:
    missing = []
    if not bert.has_transformers():
        why = f"The package transformers is not installed. {how_to_install('transformers')}"
        missing.append(Missing("package", why))
    if not settings.mrpc:
        missing.append(Missing("mrpc", "Choose the file dev.tsv of GLUE's MRPC."))
    elif not Path(settings.mrpc).expanduser().is_file():
        missing.append(Missing("mrpc", f"There is no file {settings.mrpc}: choose the dev.tsv of GLUE's MRPC."))
    if not settings.bert:
        why = (
            f"Choose the folder of a BERT fine-tuned on MRPC; the published one is unpacked from {FINE_TUNED_BERT} "
            "(PyTorch publishes no hash of it, so it is not downloaded from here)."
        )
        missing.append(Missing("bert", why))
    elif not Path(settings.bert).expanduser().is_dir():
        missing.append(Missing("bert", f"There is no folder {settings.bert}: choose that of the fine-tuned BERT."))
    return missing
