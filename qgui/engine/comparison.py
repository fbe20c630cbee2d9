"""Float against quantized: accuracy, latency, size, and each layer."""

from __future__ import annotations

from qgui.core.language import say
from qgui.core.results import Comparison, Island, LayerResult
from qgui.engine import latency, score
from qgui.engine.fx import layer_times, profile, quantized
from qgui.engine.latency import Variant
from qgui.engine.progress import Progress
from qgui.engine.session import Session

_PROFILE_SAMPLES = 32
_PROFILE_RUNS = 11
#: Samples on which a trace that froze branches must agree with the model.
CHECKED_SAMPLES = 8


def compare(session: Session, progress: Progress, threads: int = 1, batch_size: int = 1, runs: int = 30) -> Comparison:
    """Measure float against quantized: accuracy, latency, size, and each layer.

    Raises:
        QguiError: Nothing is quantized yet, or a model raises.
        Cancelled: The person asked to stop.
    """
    model, opened, result = session.opened_model, session.opened_data, session.quantized_model
    module = model.loaded.module
    scores = score.score(
        module,
        session.run_quantized,
        opened.batches(opened.evaluation),
        len(opened.evaluation),
        opened.reference.metric,
        progress,
    )
    variants, notes = _variants(session, batch_size)
    times = latency.measure(variants, threads, runs, progress)
    latencies = tuple(latency.latency_of(v, t) for v, t in zip(variants, times, strict=True))
    notes += [*scores.notes, *model.description.notes, *opened.notes]
    layers, islands = _profiled(session, threads, progress)
    before = min((x for x in latencies if x.subject == "float"), key=lambda x: x.median_ms)
    best = min((x for x in latencies if x.subject == "quantized"), key=lambda x: x.median_ms)
    same = {}
    for runtime in ("eager", "torchscript"):
        pair = [x for x in latencies if x.runtime == runtime]
        if len(pair) == 2:
            same[runtime] = pair[0].median_ms / pair[1].median_ms
    return Comparison(
        recipe_hash=result.recipe.digest(),
        backend=result.recipe.backend,
        threads=threads,
        batch_size=batch_size,
        float_accuracy=scores.float_accuracy,
        quantized_accuracy=scores.quantized_accuracy,
        accuracy_delta=scores.delta,
        agreement=scores.agreement,
        output_sqnr_db=scores.sqnr_db,
        latencies=latencies,
        speedup=before.median_ms / best.median_ms,
        speedup_same_runtime=same,
        float_bytes=quantized.size_bytes(module),
        quantized_bytes=quantized.size_bytes(result.module),
        layers=layers,
        islands=islands,
        notes=tuple(notes),
    )


def _variants(session: Session, batch_size: int) -> tuple[list[Variant], list[str]]:
    """Return float and quantized, eager and as TorchScript, on one batch."""
    batch, others = session.latency_batch(batch_size), list(session.check_batches(CHECKED_SAMPLES))
    result = session.quantized_model
    before, why = latency.in_torch("float", session.opened_model.loaded.module, "", batch, others)
    after, note = latency.in_torch("quantized", result.module, result.recipe.backend, batch, others)
    return [*before, *after], list(dict.fromkeys(filter(None, (why, note))))


def _profiled(session: Session, threads: int, progress: Progress) -> tuple[tuple[LayerResult, ...], tuple[Island, ...]]:
    model, opened, result = session.opened_model, session.opened_data, session.quantized_model
    progress.step(say("Measuring layers"), 0, 2)
    graphs = session.graphs_for(result.recipe)
    rows = quantized.layer_results(model.description, graphs, result)
    samples = list(opened.batches(opened.evaluation[:_PROFILE_SAMPLES]))
    batch = session.latency_batch(1)
    sqnr: dict[str, float] = {}
    float_ms: dict[str, float] = {}
    int8_ms: dict[str, float] = {}
    islands: tuple[Island, ...] = ()
    if graphs is not None:
        sqnr = profile.layer_sqnr(model.description, graphs, result, samples)
        progress.step(say("Measuring layers"), 1, 2)
        with latency.pinned_threads(threads):
            times = layer_times.measure(model.description, graphs, result, batch, _PROFILE_RUNS)
        float_ms, int8_ms, islands = times.float_ms, times.quantized_ms, times.islands
    else:
        names = [layer.name for layer in model.description.layers if layer.kind == "inside"]
        with latency.pinned_threads(threads):
            watched = profile.inside_profile(
                model.loaded.module, result.module, names, [batch] * _PROFILE_RUNS, result.recipe.backend
            )
        for name, (ratio, before, after) in watched.items():
            sqnr[name], float_ms[name], int8_ms[name] = ratio, before, after
    progress.step(say("Measuring layers"), 2, 2)
    return profile.with_profile(rows, sqnr, float_ms, int8_ms), islands
