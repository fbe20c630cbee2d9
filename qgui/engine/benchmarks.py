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
from qgui.core.language import say
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
        missing.append(Missing("images", say("Choose the folder of ImageNet validation images.")))
    elif not Path(settings.images).expanduser().is_dir():
        why = say("There is no folder {images}: choose that of the ImageNet validation images.", images=settings.images)
        missing.append(Missing("images", why))
    weights = pretrained.published(row.name)
    wanted = pretrained.find(weights, settings.weights) is None
    if wanted and not settings.download:
        why = say(
            "The weights are not on this machine: let them be downloaded ({megabytes:.0f} MB), or choose the "
            "folder that holds {file}.",
            megabytes=weights.megabytes,
            file=weights.file,
        )
        missing.append(Missing("weights", why))
    size = weights.megabytes if wanted else 0.0
    return RowState(row.key, tuple(missing), _image_plan(row, settings), size)


def run(
    key: str, settings: BenchmarkSettings, progress: Progress, tell: Callable[[str], None] = lambda _: None
) -> BenchmarkResult:
    """Run a row; missing weights are downloaded first where the person agreed.

    Args:
        key: Of the row.
        settings: With what it is run.
        progress: Told after every step.
        tell: Told what is done and how long it will take.

    Raises:
        QguiError: Something is missing, or the row cannot be run.
        Cancelled: The person asked to stop.
    """
    row, began = row_of(key), time.monotonic()
    lacking = state(row, settings).needs
    if lacking:
        raise QguiError(
            say("Could not run {title} ({table})", title=row.title, table=row.table),
            say("something is missing"),
            lacking,
        )
    plain.silence()
    figures, accuracy = None, None
    if row.table == "latency":
        measured = benchmark_latency.measure(row, settings, progress)
        figures, notes = measured.figures, measured.notes
    else:
        weights = None if row.is_text else _weights(row, settings, progress)
        accuracy, notes = benchmark_accuracy.measure(row, settings, weights, progress, tell)
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
    progress.step(say("Checking the weights"), 0, 0)
    pretrained.check(weights, found)
    return found


def _latency_plan(row: PublishedRow, settings: BenchmarkSettings) -> str:
    threads = say("one thread") if settings.threads == 1 else say("{threads} threads", threads=settings.threads)
    if row.is_text:
        kind = (
            say("transformers' BERT-base")
            if bert.has_transformers()
            else say("an encoder of BERT-base's shape in torch.nn")
        )
        return say(
            "Measures {kind} with random weights: {bert_tokens} tokens, batch 1, {threads}.",
            kind=kind,
            bert_tokens=BERT_TOKENS,
            threads=threads,
        )
    return say(
        "Measures the model on an image of 224 × 224, batch 1, {threads}; random weights take the same time.",
        threads=threads,
    )


def _image_plan(row: PublishedRow, settings: BenchmarkSettings) -> str:
    count = f"{settings.limit}" if settings.limit else say("all other")
    if row.mode is not Mode.QAT:
        return say(
            "Calibrates on {calibrate} images and evaluates {count} images.", calibrate=settings.calibrate, count=count
        )
    if not settings.training_images:
        return say("Quantizes statically, not as published, and evaluates {count} images.", count=count)
    return say(
        "Trains on {training_images} images with distillation from the float model (some minutes; how many "
        "is measured and logged before it begins) and evaluates {count} images.",
        training_images=settings.training_images,
        count=count,
    )


def _text_plan(settings: BenchmarkSettings) -> str:
    count = f"{settings.limit}" if settings.limit else say("all")
    return say(
        "Quantizes the fine-tuned BERT dynamically and evaluates {count} sentence pairs of {bert_tokens} tokens.",
        count=count,
        bert_tokens=BERT_TOKENS,
    )


def _missing_text(settings: BenchmarkSettings) -> list[Missing]:
    missing = []
    if not bert.has_transformers():
        why = say(
            "The package transformers is not installed. {how_to_install}", how_to_install=how_to_install("transformers")
        )
        missing.append(Missing("package", why))
    if not settings.mrpc:
        missing.append(Missing("mrpc", say("Choose the file dev.tsv of GLUE's MRPC.")))
    elif not Path(settings.mrpc).expanduser().is_file():
        missing.append(
            Missing("mrpc", say("There is no file {mrpc}: choose the dev.tsv of GLUE's MRPC.", mrpc=settings.mrpc))
        )
    if not settings.bert:
        why = say(
            "Choose the folder of a BERT fine-tuned on MRPC; the published one is unpacked from {fine_tuned_bert} "
            "(PyTorch publishes no hash of it, so it is not downloaded from here).",
            fine_tuned_bert=FINE_TUNED_BERT,
        )
        missing.append(Missing("bert", why))
    elif not Path(settings.bert).expanduser().is_dir():
        missing.append(
            Missing("bert", say("There is no folder {bert}: choose that of the fine-tuned BERT.", bert=settings.bert))
        )
    return missing
