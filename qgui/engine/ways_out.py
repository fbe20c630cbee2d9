"""What a way out of slow int8 comes to, measured before it is taken."""

from __future__ import annotations

import msgspec
import numpy as np
import torch

from qgui.core import legality
from qgui.core.errors import QguiError
from qgui.core.layers import ModelDescription
from qgui.core.recipe import Mode, Recipe
from qgui.core.slowness import WayOut, WayOutEffect
from qgui.engine import backends, comparison, latency
from qgui.engine.fx.quantized import QuantizedModel
from qgui.engine.outputs import main_output
from qgui.engine.progress import Progress
from qgui.engine.session import Session


def taken(recipe: Recipe, way: WayOut, model: ModelDescription) -> Recipe:
    """Return a recipe with a way out taken."""
    if way.kind == "backend":
        return backends.for_backend(recipe, way.backend, model)
    mode = Mode.FLOAT if way.kind == "float" else Mode.STATIC
    rules = {name: msgspec.structs.replace(recipe.rule(name), mode=mode) for name in way.layers}
    return legality.corrected_recipe(recipe.with_rules(rules), model.layers)[0]


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
    progress.step("Converting", 0, 2)
    before, _ = session.build(recipe, progress, with_effects=False)
    progress.step("Converting", 1, 2)
    after: QuantizedModel | None = None
    problem = ""
    try:
        after, _ = session.build(taken(recipe, way, model.description), progress, with_effects=False)
        after_db = backends.output_sqnr(after, check, reference)
    except (QguiError, RuntimeError) as error:
        after, after_db, problem = None, None, str(error).splitlines()[0]
    sides = [latency.in_torch("float", model.loaded.module, "", batch, others)[0]]
    sides += [
        latency.in_torch("quantized", built.module, built.recipe.backend, batch, others)[0]
        for built in (before, after)
        if built is not None
    ]
    times = iter(latency.measure([variant for side in sides for variant in side], threads, runs, progress))
    best = [min(float(np.median(next(times))) for _ in side) for side in sides]
    return WayOutEffect(
        way=way,
        float_ms=best[0],
        before_ms=best[1],
        after_ms=best[2] if after is not None else None,
        before_db=backends.output_sqnr(before, check, reference),
        after_db=after_db,
        problem=problem,
    )
