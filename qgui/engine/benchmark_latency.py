"""Latency rows of the published tables: float against the fastest int8 of this machine, all in alternation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from qgui.core.advice import fastest_backend
from qgui.core.benchmarks import BenchmarkSettings, LatencyFigures, TimedVariant
from qgui.core.language import say
from qgui.core.published import BERT_TOKENS, PublishedRow
from qgui.core.recipe import DataReference, Mode, ModelReference
from qgui.core.results import BackendTiming
from qgui.engine import backends, bert, comparison, latency, pretrained
from qgui.engine.batch import Batch
from qgui.engine.latency import NotTraceable, Variant
from qgui.engine.progress import Progress
from qgui.engine.session import Session

_CALIBRATION = 8
#: Share of the processors that others use above which it is said.
_BUSY = 0.15
_LISTENING_S = 0.5


@dataclass
class Measured:
    """A latency row that was run.

    Attributes:
        figures: What was measured.
        backends: Every engine, fastest first.
        notes: What the person should know.
    """

    figures: LatencyFigures
    backends: tuple[BackendTiming, ...]
    notes: tuple[str, ...]


@dataclass
class _Named:
    name: str
    variant: Variant


def sources_of(row: PublishedRow, weights: Path | None) -> tuple[ModelReference, DataReference, str]:
    """Return model and data of a row, and a sentence about the weights."""
    if row.is_text:
        kind = (
            say("transformers' BERT-base") if bert.has_transformers() else say("an encoder of the shape of BERT-base")
        )
        note = say(
            "{kind} with random weights, {bert_tokens} random tokens: the time does not depend on them.",
            kind=kind,
            bert_tokens=BERT_TOKENS,
        )
        model, data = ModelReference("qgui.engine.bert:base"), "qgui.engine.bert:sequences"
        note = note[0].upper() + note[1:]
    else:
        model, data = ModelReference(f"torchvision:{row.name}", str(weights or "")), "random:1x3x224x224"
        kind = say("torchvision's weights") if weights else say("Random weights")
        note = say("{kind}, random images of 224 × 224: the time does not depend on them.", kind=kind)
    return model, DataReference(source=data, calibrate=_CALIBRATION, evaluate=_CALIBRATION), note


def measure(row: PublishedRow, settings: BenchmarkSettings, progress: Progress) -> Measured:
    """Quantize the model of a row as it was published, choose the fastest engine, and time it against float.

    Args:
        row: A row of the latency table.
        settings: Threads, runs, and where weights may lie.
        progress: Told after every step.

    Raises:
        QguiError: The model cannot be quantized here.
        Cancelled: The person asked to stop.
    """
    progress.step(say("Opening the model"), 0, 0)
    weights = None if row.is_text else pretrained.find(pretrained.published(row.name), settings.weights)
    model, data, note = sources_of(row, weights)
    session = Session()
    session.open_model(model)
    session.open_data(data)
    recipe = session.advised_recipe(mode=row.mode)
    if row.mode is not Mode.DYNAMIC:
        session.calibrate(progress, recipe=recipe)
    timings = backends.measure(session, recipe, progress, settings.threads, batch_size=1)
    chosen = fastest_backend(timings)
    session.quantize(backends.for_backend(recipe, chosen, session.opened_model.description), progress)
    notes = [note, *_busy()]
    named, missing = _variants(session)
    times = latency.measure([entry.variant for entry in named], settings.threads, settings.runs, progress)
    timed = []
    for entry, collected in zip(named, times, strict=True):
        found = latency.latency_of(entry.variant, collected)
        quantized = entry.variant.subject == "quantized"
        timed.append(TimedVariant(entry.name, quantized, found.median_ms, found.p95_ms, found.runs))
    figures = LatencyFigures(tuple(timed), chosen, settings.threads)
    return Measured(figures, timings, (*notes, *missing))


def _busy() -> list[str]:
    """Say where other programs use the processors, which makes every figure worse."""
    share = float(psutil.cpu_percent(_LISTENING_S)) / 100
    return (
        [say("Other programs used {share:.0f} % of the processors just before.", share=100 * share)]
        if share > _BUSY
        else []
    )


def _variants(session: Session) -> tuple[list[_Named], list[str]]:
    """Return float eager first, then the other float forms, then int8; and what could not be had."""
    model, result = session.opened_model, session.quantized_model
    batch = session.latency_batch(1)
    backend, module = result.recipe.backend, model.loaded.module
    others = list(session.check_batches(comparison.CHECKED_SAMPLES))
    named = [_Named("float eager", Variant("float", "eager", "", lambda: batch.run(module, copy=False)))]
    notes: list[str] = []

    def add(name: str, build: Callable[[], Variant]) -> None:
        try:
            named.append(_Named(name, build()))
        except NotTraceable as error:
            notes.append(say("{name} is missing: {error}.", name=name, error=error))

    add("float TorchScript", lambda: _traced("float", module, "", batch, others))
    if model.graphs is not None and all(t.dim() == 4 for t in batch.tensors):
        fused = model.graphs.fused
        add("float fused, channels-last, TorchScript", lambda: _channels_last(fused, batch, others))
    quantized = result.module
    named.append(_Named("int8 eager", Variant("quantized", "eager", backend, lambda: batch.run(quantized, copy=False))))
    add("int8 TorchScript", lambda: _traced("quantized", quantized, backend, batch, others))
    return named, notes


def _traced(subject: Any, module: torch.nn.Module, backend: str, batch: Batch, others: list[Batch]) -> Variant:
    script, _ = latency.torchscript(module, backend, batch, others)
    tensors = tuple(batch.tensors)
    return Variant(subject, "torchscript", backend, lambda: script(*tensors))


def _channels_last(model: torch.nn.Module, batch: Batch, others: list[Batch]) -> Variant:
    script, images = latency.channels_last(model, batch, others)
    return Variant("float", "torchscript", "", lambda: script(*images))
