"""What a way out of slow int8 comes to, measured before it is taken."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import torch

from qgui.core import decisions
from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.layers import ModelDescription
from qgui.core.recipe import Mode, Recipe
from qgui.core.slowness import WayOut, WayOutEffect
from qgui.engine import backends, comparison, latency, runtimes
from qgui.engine.batch import Batch
from qgui.engine.latency import Variant
from qgui.engine.outputs import main_output
from qgui.engine.progress import Progress
from qgui.engine.session import Session


def taken(recipe: Recipe, way: WayOut, model: ModelDescription) -> Recipe:
    """Return a recipe with a way out taken."""
    if way.kind == "backend":
        return backends.for_backend(recipe, way.backend, model)
    mode = Mode.FLOAT if way.kind == "float" else Mode.STATIC
    bare = recipe.without_patterns()
    return bare.with_rules(decisions.decide(model, bare, way.layers, decisions.mode_edit(mode, bare.backend)).rules)


def measure(
    session: Session,
    recipe: Recipe,
    way: WayOut,
    progress: Progress,
    threads: int = 1,
    batch_size: int = 1,
    runs: int = 15,
) -> WayOutEffect:
    """Time float, the quantized model as it is, and with the way out taken, in alternation; nothing is kept.

    Layers that are to be trained are measured as they are: training changes numbers, not the time they take.

    Raises:
        QguiError: The model as it is cannot be converted.
        Cancelled: The person asked to stop.
    """
    model, opened = session.opened_model, session.opened_data
    recipe = backends.untrained(recipe)
    batch, others = session.latency_batch(batch_size), list(session.check_batches(comparison.CHECKED_SAMPLES))
    check = next(opened.batches(opened.evaluation[: opened.reference.batch_size]))
    with torch.inference_mode():
        reference = main_output(check.run(model.loaded.module)).float()
    progress.step(say("Converting"), 0, 2)
    before, _ = session.build(recipe, progress, with_effects=False)
    progress.step(say("Converting"), 1, 2)
    sides = [
        latency.in_torch("float", model.loaded.module, "", batch, others)[0],
        latency.in_torch("quantized", before.module, recipe.backend, batch, others)[0],
    ]
    after_db, problem = None, ""
    with tempfile.TemporaryDirectory(prefix="qgui-way-out-") as folder:
        try:
            if way.kind == "runtime":
                exported = dataclasses.replace(session, result=before)
                sides.append([_elsewhere(exported, way.runtime, Path(folder), batch, threads)])
            else:
                after, _ = session.build(taken(recipe, way, model.description), progress, with_effects=False)
                after_db = backends.output_sqnr(after, check, reference)
                sides.append(latency.in_torch("quantized", after.module, after.recipe.backend, batch, others)[0])
        except (QguiError, RuntimeError) as error:
            problem = str(error).splitlines()[0]
        all_variants = [variant for side in sides for variant in side]
        times = iter(latency.measure(all_variants, threads, runs, progress, settle=True))
    best = [min(float(np.median(next(times))) for _ in side) for side in sides]
    return WayOutEffect(
        way=way,
        float_ms=best[0],
        before_ms=best[1],
        after_ms=best[2] if not problem else None,
        before_db=backends.output_sqnr(before, check, reference),
        after_db=after_db,
        problem=problem,
    )


def _elsewhere(session: Session, key: str, folder: Path, batch: Batch, threads: int) -> Variant:
    """Return the quantized model of a session in another runtime, run once."""
    inputs = runtimes.arrays_of(session, batch)
    prepared = runtimes.load_elsewhere(session, key, "quantized", folder, inputs, threads)
    prepared.run()
    return Variant("quantized", key, "", prepared.run)
