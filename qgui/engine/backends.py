"""Which engine of this machine runs a model fastest: all converted, all measured in alternation."""

from __future__ import annotations

import msgspec
import numpy as np
import torch

from qgui.core import fitting, legality, ranges
from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.layers import ModelDescription
from qgui.core.recipe import Mode, Recipe
from qgui.core.results import BackendTiming
from qgui.engine import comparison, latency, machine
from qgui.engine.batch import Batch
from qgui.engine.fx import plain
from qgui.engine.fx.quantized import QuantizedModel
from qgui.engine.latency import Variant
from qgui.engine.outputs import main_output
from qgui.engine.progress import Progress
from qgui.engine.session import Session


def measure(
    session: Session, recipe: Recipe, progress: Progress, threads: int = 1, batch_size: int = 1, runs: int = 15
) -> tuple[BackendTiming, ...]:
    """Convert for every engine of the machine, time all in alternation, and return them, fastest first.

    Activations are limited to seven bits where an engine needs it. Engines that do not run come last. Layers that are
    to be trained are measured as they are: training changes numbers, not the time they take.
    """
    model, opened = session.opened_model, session.opened_data
    batch = session.latency_batch(batch_size)
    others = list(session.check_batches(comparison.CHECKED_SAMPLES))
    check = next(opened.batches(opened.evaluation[: opened.reference.batch_size]))
    with torch.inference_mode():
        reference = main_output(check.run(model.loaded.module)).float()
    variants: list[Variant] = []
    ratios: dict[str, float] = {}
    problems: list[BackendTiming] = []
    for name in machine.backends():
        progress.step(say("Converting"), len(ratios) + len(problems), len(machine.backends()))
        try:
            moved = for_backend(untrained(recipe), name, model.description)
            built, _ = session.build(moved, progress, with_effects=False)
            ratios[name] = output_sqnr(built, check, reference)
            variants += latency.in_torch("quantized", built.module, name, batch, others)[0]
        except (QguiError, RuntimeError) as error:
            problems.append(BackendTiming(name, "", None, problem=str(error).splitlines()[0]))
    times = latency.measure(variants, threads, runs, progress)
    best: dict[str, BackendTiming] = {}
    for variant, collected in zip(variants, times, strict=True):
        timing = BackendTiming(variant.backend, variant.runtime, float(np.median(collected)), ratios[variant.backend])
        known = best.get(variant.backend)
        if known is None or (known.median_ms or 0.0) > (timing.median_ms or 0.0):
            best[variant.backend] = timing
    return (*sorted(best.values(), key=lambda t: t.median_ms or 0.0), *problems)


def for_backend(recipe: Recipe, backend: str, model: ModelDescription) -> Recipe:
    """Return a recipe for another engine: illegal settings corrected, reduce range as that engine needs it."""
    everywhere = machine.needs_reduced_range(backend)
    layers = {layer.name: layer for layer in model.layers}
    rules = {}
    bare = recipe.without_patterns()
    for name, rule in bare.rules.items():
        if name not in layers:
            continue
        narrow = everywhere or legality.needs_reduced_range(layers[name], backend)
        activation = msgspec.structs.replace(rule.activation, reduce_range=narrow)
        rules[name] = msgspec.structs.replace(rule, activation=activation)
    moved = msgspec.structs.replace(bare, backend=backend, rules=rules)
    return fitting.fitted(moved, model.layers, everywhere).recipe


def untrained(recipe: Recipe) -> Recipe:
    """Return a recipe in which layers in mode qat are static."""
    rules = recipe.rules.items()
    static = {name: msgspec.structs.replace(rule, mode=Mode.STATIC) for name, rule in rules if rule.mode is Mode.QAT}
    return recipe.with_rules(static)


def output_sqnr(built: QuantizedModel, batch: Batch, reference: torch.Tensor) -> float:
    """Return how far the output of a quantized model is from the float one, in dB."""
    with torch.inference_mode(), plain.engine(built.recipe.backend):
        output = main_output(batch.run(built.module)).float()
    noise = float((reference - output).double().square().sum())
    return ranges.decibel(float(reference.double().square().sum()), noise)
