"""One model with its data, statistics and quantized form: what the worker and the command line work on."""

from __future__ import annotations

import copy
import inspect
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from qgui.core import advice, legality, ranges, statistics
from qgui.core.errors import QguiError
from qgui.core.layers import ModelDescription
from qgui.core.plan import ActivationRanges, Choice
from qgui.core.qparams import weight_grid
from qgui.core.recipe import (
    AUTOMATIC_OBSERVERS,
    DataReference,
    Mode,
    ModelReference,
    Observer,
    Recipe,
    WeightSetting,
)
from qgui.core.results import BackendTiming, Comparison, DataDescription, QuantizeResult
from qgui.core.statistics import CalibrationRecord
from qgui.engine import collect, data, latency, machine, score, sources
from qgui.engine.data import Batch, Data
from qgui.engine.fx import decide, describe, plain, profile, quantized, train
from qgui.engine.fx.describe import Graphs
from qgui.engine.fx.quantized import QuantizedModel
from qgui.engine.latency import NotTraceable, Variant
from qgui.engine.outputs import main_output
from qgui.engine.progress import Progress

_PROFILE_SAMPLES = 32
_PROFILE_RUNS = 7
#: Samples on which a trace that froze branches must agree with the model.
_CHECKED_SAMPLES = 8


@dataclass
class OpenedModel:
    """A loaded and traced model.

    Attributes:
        reference: Where it came from.
        loaded: The model itself.
        graphs: Its graphs, None where its root does not trace.
        description: What is shown of it.
        given: Names of the forward parameters that the data gives.
    """

    reference: ModelReference
    loaded: sources.LoadedModel
    graphs: Graphs | None
    description: ModelDescription
    given: list[str]


@dataclass
class Session:
    """The state of one piece of work. Each method does one job and leaves all else as it was where it fails."""

    model: OpenedModel | None = None
    data: Data | None = None
    record: CalibrationRecord | None = None
    activations: ActivationRanges | None = None
    result: QuantizedModel | None = None

    def open_model(self, reference: ModelReference, trust: bool = False) -> ModelDescription:
        """Load and trace a model; statistics and quantized model of the one before are dropped.

        Raises:
            NeedsTrust: The file can only be opened by running code that it holds.
            QguiError: It cannot be opened.
        """
        loaded = sources.open_model(reference, trust)
        self.model = _traced(reference, loaded, self._sample_for(loaded))
        self.record = self.activations = self.result = None
        return self.model.description

    def open_data(self, reference: DataReference) -> tuple[DataDescription, ModelDescription | None]:
        """Open data; where a model is open it is traced again with this data's inputs, which gives all shapes.

        Raises:
            QguiError: The data cannot be opened or does not fit the model.
        """
        opened = data.open_data(reference)
        described = opened.describe()
        model = None
        if self.model is not None:
            with torch.inference_mode():
                score.run(self.model.loaded.module, opened.first)
            model = _traced(self.model.reference, self.model.loaded, opened.first)
        self.data = opened
        self.record = self.activations = None
        if model is not None:
            self.model = model
            self.result = None
        return described, model.description if model else None

    def calibrate(self, progress: Progress, threads: int = 0) -> CalibrationRecord:
        """Run the calibration samples once and keep the statistics of every tensor.

        Raises:
            QguiError: There is no trace to observe, or an activation is not finite.
            Cancelled: The person asked to stop.
        """
        model, opened = self.opened_model, self.opened_data
        if model.graphs is None:
            why = "the model does not trace, so its activations cannot be observed"
            raise QguiError("Could not calibrate", why, "Use dynamic quantization, which needs no calibration.")
        wanted = {source for tensor in model.description.tensors for source in tensor.sources}
        batches = opened.batches(opened.calibration)
        with latency.pinned_threads(threads):
            tensors, count = collect.collect(model.graphs.fused, wanted, batches, len(opened.calibration), progress)
        fingerprint = collect.fingerprint(model.graphs.canonical)
        record = CalibrationRecord(tensors, tuple(opened.calibration), count, fingerprint, opened.reference.source)
        self.activations = ActivationRanges(model.description, record)
        self.record = record
        return record

    def use_statistics(self, path: Path) -> None:
        """Take over statistics that an earlier run wrote.

        Raises:
            QguiError: The file cannot be read, or belongs to another model.
        """
        model = self.opened_model
        record = statistics.load(path)
        if model.graphs is not None and record.model != collect.fingerprint(model.graphs.canonical):
            raise QguiError("Could not use the statistics", "they belong to other weights", "Calibrate again.")
        self.activations = ActivationRanges(model.description, record)
        self.record = record

    def quantize(
        self, recipe: Recipe, progress: Progress, weights: dict[str, torch.Tensor] | None = None
    ) -> QuantizeResult:
        """Convert the model as a recipe says, training its `qat` layers first.

        Args:
            recipe: The person's decisions.
            progress: Told after every step.
            weights: What an earlier training left, to be used instead of training again.

        Raises:
            QguiError: Statistics are missing, or PyTorch cannot convert the model so.
            Cancelled: The person asked to stop.
        """
        began = time.monotonic()
        model = self.opened_model
        recipe, changed = legality.corrected_recipe(recipe, model.description.layers)
        notes = [f"Not as in the recipe, because it is not possible: {', '.join(changed)}."] if changed else []
        built, note = self._build(recipe, progress, weights)
        notes += [note] if note else []
        progress.step("Quantizing", 2, 3)
        result = QuantizeResult(
            recipe_hash=recipe.digest(),
            backend=recipe.backend,
            layers=quantized.layer_results(model.description, model.graphs, built),
            tensors=quantized.tensor_results(built.decisions),
            float_bytes=quantized.size_bytes(model.loaded.module),
            quantized_bytes=quantized.size_bytes(built.module),
            conversions=quantized.conversions(built.module),
            seconds=time.monotonic() - began,
            notes=tuple(notes),
        )
        progress.step("Quantizing", 3, 3)
        self.result = built
        return result

    def _build(
        self, recipe: Recipe, progress: Progress, weights: dict[str, torch.Tensor] | None = None
    ) -> tuple[QuantizedModel, str]:
        model = self.opened_model
        decisions = decide.decisions_of(model.description, model.graphs, recipe, self.activations)
        progress.step("Quantizing", 0, 3)
        note = ""
        if model.graphs is None:
            return QuantizedModel(plain.lower_untraced(model.loaded.module, decisions), decisions, recipe), note
        graph = model.graphs.canonical
        if any(rule.mode is Mode.QAT for rule in recipe.rules.values()):
            if weights is None:
                graph, note = train.trained(graph, decisions, self.opened_data, progress)
            else:
                graph = copy.deepcopy(graph)
                graph.load_state_dict(weights)
            weights = {key: value.detach() for key, value in graph.state_dict().items()}
            with plain.quiet():
                again = Graphs(graph, plain.fused(graph, model.graphs.leaves), model.graphs.leaves, model.graphs.values)
            decisions = decide.decisions_of(model.description, again, recipe, self.activations)
        progress.step("Quantizing", 1, 3)
        try:
            module = plain.lower(graph, decisions)
        except QguiError:
            raise
        except Exception as error:
            lines = str(error).strip().splitlines()
            raise QguiError(
                "Could not quantize the model",
                f"PyTorch's conversion for {recipe.backend} failed: {lines[0] if lines else type(error).__name__}",
                "Choose another backend, or leave the layer it names float.",
                str(error),
            ) from error
        return QuantizedModel(module, decisions, recipe, weights), note

    def run_quantized(self, batch: Batch) -> Any:
        """Return the quantized model's outputs for a batch."""
        result = self.quantized_model
        with plain.engine(result.recipe.backend):
            return score.run(result.module, batch)

    def check_batches(self, count: int) -> Iterator[Batch]:
        """Yield the first evaluation samples, each as a batch of one."""
        opened = self.opened_data
        return opened.batches(opened.evaluation[:count], 1)

    def compare(self, progress: Progress, threads: int = 1, batch_size: int = 1, runs: int = 30) -> Comparison:
        """Measure float against quantized: accuracy, latency, size, and each layer.

        Raises:
            QguiError: Nothing is quantized yet, or a model raises.
            Cancelled: The person asked to stop.
        """
        model, opened, result = self.opened_model, self.opened_data, self.quantized_model
        module = model.loaded.module
        scores = score.score(
            module,
            self.run_quantized,
            opened.batches(opened.evaluation),
            len(opened.evaluation),
            opened.reference.metric,
            progress,
        )
        variants, notes = self._variants(batch_size)
        times = latency.measure(variants, threads, runs, progress)
        latencies = tuple(latency.latency_of(v, t) for v, t in zip(variants, times, strict=True))
        notes += [*model.description.notes, *opened.samples.notes]
        layers = self._profiled(threads, progress)
        eager = next(x for x in latencies if x.subject == "float" and x.runtime == "eager")
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
            speedup=eager.median_ms / best.median_ms,
            speedup_same_runtime=same,
            float_bytes=quantized.size_bytes(module),
            quantized_bytes=quantized.size_bytes(result.module),
            layers=layers,
            notes=tuple(notes),
        )

    def _variants(self, batch_size: int) -> tuple[list[Variant], list[str]]:
        """Return float and quantized, eager and as TorchScript, on one batch."""
        model, result = self.opened_model, self.quantized_model
        batch = self._latency_batch(batch_size)
        backend, module = result.recipe.backend, model.loaded.module
        variants = [
            Variant("float", "eager", "", lambda: batch.run(module)),
            Variant("quantized", "eager", backend, lambda: batch.run(result.module)),
        ]
        others = list(self.check_batches(_CHECKED_SAMPLES))
        try:
            before, _ = latency.torchscript(module, "", batch, others)
            after, note = latency.torchscript(result.module, backend, batch, others)
        except NotTraceable as error:
            return variants, [f"No TorchScript: {error}."]
        tensors = tuple(batch.tensors)
        variants.insert(1, Variant("float", "torchscript", "", lambda: before(*tensors)))
        variants.append(Variant("quantized", "torchscript", backend, lambda: after(*tensors)))
        return variants, [note] if note else []

    def _latency_batch(self, batch_size: int) -> Batch:
        opened = self.opened_data
        chosen = [opened.evaluation[i % len(opened.evaluation)] for i in range(batch_size)]
        return next(opened.batches(chosen, batch_size))

    def _profiled(self, threads: int, progress: Progress) -> tuple[Any, ...]:
        model, opened, result = self.opened_model, self.opened_data, self.quantized_model
        progress.step("Measuring layers", 0, 2)
        rows = quantized.layer_results(model.description, model.graphs, result)
        samples = list(opened.batches(opened.evaluation[:_PROFILE_SAMPLES]))
        batch = self._latency_batch(1)
        sqnr: dict[str, float] = {}
        float_ms: dict[str, float] = {}
        int8_ms: dict[str, float] = {}
        if model.graphs is not None:
            sqnr = profile.layer_sqnr(model.description, model.graphs, result, samples)
            progress.step("Measuring layers", 1, 2)
            with latency.pinned_threads(threads):
                float_ms, int8_ms = profile.layer_latency(model.description, model.graphs, result, batch, _PROFILE_RUNS)
        else:
            names = [layer.name for layer in model.description.layers if layer.kind == "inside"]
            with latency.pinned_threads(threads):
                watched = profile.inside_profile(
                    model.loaded.module, result.module, names, [batch] * _PROFILE_RUNS, result.recipe.backend
                )
            for name, (ratio, before, after) in watched.items():
                sqnr[name], float_ms[name], int8_ms[name] = ratio, before, after
        progress.step("Measuring layers", 2, 2)
        return profile.with_profile(rows, sqnr, float_ms, int8_ms)

    def measure_backends(
        self, recipe: Recipe, progress: Progress, threads: int = 1, batch_size: int = 1, runs: int = 15
    ) -> tuple[BackendTiming, ...]:
        """Convert for every engine of the machine, time all in alternation, and return them, fastest first.

        Activations are limited to seven bits where an engine needs it. Engines that do not run come last.
        """
        model, opened = self.opened_model, self.opened_data
        batch = self._latency_batch(batch_size)
        check = next(opened.batches(opened.evaluation[: opened.reference.batch_size]))
        with torch.inference_mode():
            reference = main_output(score.run(model.loaded.module, check)).float()
        variants: list[Variant] = []
        ratios: dict[str, float] = {}
        problems: list[BackendTiming] = []
        for name in machine.backends():
            progress.step("Converting", len(ratios) + len(problems), len(machine.backends()))
            try:
                built, _ = self._build(for_backend(recipe, name, model.description), progress)
                ratios[name] = _ratio(built, check, reference)
                variants += _both_runtimes(built, name, batch, list(self.check_batches(_CHECKED_SAMPLES)))
            except (QguiError, RuntimeError) as error:
                problems.append(BackendTiming(name, "", None, problem=str(error).splitlines()[0]))
        times = latency.measure(variants, threads, runs, progress)
        best: dict[str, BackendTiming] = {}
        for variant, collected in zip(variants, times, strict=True):
            timing = BackendTiming(
                variant.backend, variant.runtime, float(np.median(collected)), ratios[variant.backend]
            )
            known = best.get(variant.backend)
            if known is None or (known.median_ms or 0.0) > (timing.median_ms or 0.0):
                best[variant.backend] = timing
        return (*sorted(best.values(), key=lambda t: t.median_ms or 0.0), *problems)

    def write_weight_ranges(self, layer: str, path: Path) -> None:
        """Write what each observer would choose for a layer's weight, per tensor and per channel, to an `.npz`.

        Raises:
            QguiError: The layer has no weight that can be quantized.
        """
        rows = self.weight_rows(layer)
        if rows is None:
            raise QguiError(
                "Could not show the weight", f"{layer} has no single weight", "Choose a Conv or Linear layer."
            )
        arrays: dict[str, Any] = {"minimum": rows.min(axis=1), "maximum": rows.max(axis=1)}
        arrays["counts"], arrays["edges"] = np.histogram(rows, bins=512)
        for scheme in ("per_tensor_symmetric", "per_channel_symmetric"):
            setting = WeightSetting(qscheme=scheme)
            for choice in self.weight_choices(layer, setting):
                key = f"{setting.granularity}/{choice.observer.kind.value}"
                cost = ranges.assess(ranges.of_weight(rows, setting.per_channel), choice.qparams)
                noise = cost.rounding + cost.clipping
                by_row = [ranges.decibel(float(s), float(n)) for s, n in zip(cost.energy, noise, strict=True)]
                arrays |= {
                    f"{key}/low": choice.qparams.low,
                    f"{key}/high": choice.qparams.high,
                    f"{key}/scale": choice.qparams.scale,
                    f"{key}/zero_point": choice.qparams.zero_point,
                    f"{key}/sqnr_db": np.array(choice.sqnr_db),
                    f"{key}/clipped": np.array(choice.clipped),
                    f"{key}/sqnr_by_row": np.array(by_row),
                }
        temporary = path.with_suffix(".tmp.npz")
        np.savez(temporary, **arrays)
        temporary.replace(path)

    def weight_choices(self, layer: str, setting: WeightSetting) -> list[Choice]:
        """Return what every automatic observer would choose for a layer's weight, and what that costs."""
        rows = self.weight_rows(layer)
        if rows is None:
            return []
        distribution, grid = ranges.of_weight(rows, setting.per_channel), weight_grid(setting)
        found = []
        for kind in AUTOMATIC_OBSERVERS:
            qparams = ranges.chosen_qparams(Observer(kind), distribution, grid, setting.per_channel)
            cost = ranges.assess(distribution, qparams)
            found.append(Choice(Observer(kind), qparams, cost.sqnr_db, cost.clipped))
        return found

    def weight_rows(self, name: str) -> npt.NDArray[np.float32] | None:
        """Return a layer's weight as it is quantized, shape `(channels, elements)`; None where it has no single one."""
        model = self.opened_model
        layer = model.description.layer(name)
        if not legality.has_weight(layer) or layer.type in legality.RECURRENT:
            return None
        if layer.kind != "inside":
            return decide.float_weight(model.graphs, layer) if model.graphs is not None else None
        weight = getattr(model.loaded.module.get_submodule(name), "weight", None)
        return decide.channel_rows(weight.detach(), layer.type) if isinstance(weight, torch.Tensor) else None

    def for_backend(self, recipe: Recipe, backend: str) -> Recipe:
        """Return a recipe moved to another engine of this machine."""
        return for_backend(recipe, backend, self.opened_model.description)

    def advised_recipe(self, backend: str = "", mode: Mode | None = None) -> Recipe:
        """Return the recipe that a model starts with.

        Args:
            backend: The engine, the advised one if empty.
            mode: The mode of all layers, the advised one if None.
        """
        model = self.opened_model
        if not backend:
            backend, _ = advice.advised_backend(model.description, machine.describe())
        wished = mode or advice.advised_mode(model.description)[0]
        narrow = machine.needs_reduced_range(backend)
        reference = self.data.reference if self.data else DataReference()
        return Recipe(
            backend=backend,
            model=model.reference,
            data=reference,
            rules=advice.advised_rules(model.description, wished, backend, narrow),
        )

    def _sample_for(self, loaded: sources.LoadedModel) -> Batch | None:
        """Return a sample that fits the model: of the open data if it fits, else zeros of the shape it is known for."""
        candidates = [self.data.first] if self.data is not None else []
        if loaded.input_shape is not None:
            candidates.append(Batch((torch.zeros(loaded.input_shape),), None, [0]))
        with torch.inference_mode():
            for candidate in candidates:
                try:
                    candidate.run(loaded.module)
                except Exception:
                    continue
                return candidate
        return None

    @property
    def opened_model(self) -> OpenedModel:
        """The open model.

        Raises:
            QguiError: There is none.
        """
        if self.model is None:
            raise QguiError("No model is open", "this needs a model", "Open a model first.")
        return self.model

    @property
    def opened_data(self) -> Data:
        """The open data.

        Raises:
            QguiError: There is none.
        """
        if self.data is None:
            raise QguiError("No data is open", "this needs samples", "Open data first.")
        return self.data

    @property
    def quantized_model(self) -> QuantizedModel:
        """The quantized model.

        Raises:
            QguiError: There is none.
        """
        if self.result is None:
            raise QguiError("Nothing is quantized", "this needs a quantized model", "Quantize first.")
        return self.result


def for_backend(recipe: Recipe, backend: str, model: ModelDescription) -> Recipe:
    """Return a recipe for another engine: illegal settings corrected, reduce range as that engine needs it."""
    everywhere = machine.needs_reduced_range(backend)
    layers = {layer.name: layer for layer in model.layers}
    rules = {}
    for name, rule in recipe.rules.items():
        if name not in layers:
            continue
        narrow = everywhere or legality.needs_reduced_range(layers[name], backend)
        activation = msgspec.structs.replace(rule.activation, reduce_range=narrow)
        rules[name] = msgspec.structs.replace(rule, activation=activation)
    moved = msgspec.structs.replace(recipe, backend=backend, rules=rules)
    return legality.corrected_recipe(moved, model.layers)[0]


def _ratio(built: QuantizedModel, batch: Batch, reference: torch.Tensor) -> float:
    with torch.inference_mode(), plain.engine(built.recipe.backend):
        output = main_output(score.run(built.module, batch)).float()
    noise = float((reference - output).double().square().sum())
    return ranges.decibel(float(reference.double().square().sum()), noise)


def _both_runtimes(built: QuantizedModel, backend: str, batch: Batch, others: list[Batch]) -> list[Variant]:
    variants = [Variant("quantized", "eager", backend, lambda: batch.run(built.module))]
    try:
        script, _ = latency.torchscript(built.module, backend, batch, others)
    except NotTraceable:
        return variants
    tensors = tuple(batch.tensors)
    return [*variants, Variant("quantized", "torchscript", backend, lambda: script(*tensors))]


def _traced(reference: ModelReference, loaded: sources.LoadedModel, sample: Batch | None) -> OpenedModel:
    """Trace a model, check the trace on a sample, and describe it."""
    model = loaded.module
    given = _given(model, sample)
    graphs, note = None, ""
    try:
        inputs = None
        if sample is not None:
            inputs = collect.positional(sample, given)
        graphs = describe.graphs_of(model, given, inputs)
        note = _unfaithful(graphs, model, sample, inputs) if sample is not None and inputs is not None else ""
    except plain.Untraceable as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        note = describe.reason_of(type(model).__name__, cause)
    except Exception as error:
        note = describe.reason_of(type(model).__name__, error)
    if note:
        graphs = None
    return OpenedModel(reference, loaded, graphs, _described(reference, loaded, graphs, note), given)


def _given(model: nn.Module, sample: Batch | None) -> list[str]:
    parameters = inspect.signature(model.forward).parameters
    if sample is None:
        return [n for n, p in parameters.items() if p.default is inspect.Parameter.empty]
    if isinstance(sample.inputs, dict):
        return [name for name in parameters if name in sample.inputs]
    return list(parameters)[: len(sample.inputs)]


def _unfaithful(graphs: Graphs, model: nn.Module, sample: Batch, inputs: tuple[Any, ...]) -> str:
    """Return why the trace does not compute what the model computes; empty where it does."""
    with torch.inference_mode():
        expected = main_output(sample.run(model)).float()
        found = main_output(graphs.canonical(*inputs)).float()
    same = expected.shape == found.shape and torch.allclose(expected, found, rtol=1e-3, atol=1e-4, equal_nan=True)
    return "" if same else f"{type(model).__name__}: its trace gives other outputs than the model itself"


def _described(
    reference: ModelReference, loaded: sources.LoadedModel, graphs: Graphs | None, note: str
) -> ModelDescription:
    model = loaded.module
    if graphs is not None:
        rows = describe.Rows(model, graphs)
        layers, tensors = rows.layers(), rows.tensors()
        leaves = [path for path in graphs.leaves if path]
        many = f"{len(leaves)} modules do" if len(leaves) > 1 else "One module does"
        note = f"{many} not trace and stay whole: {', '.join(leaves[:5])}." if leaves else ""
    else:
        layers, tensors = tuple(describe.inside_rows(model, "")), ()
        note = f"The model does not trace ({note}). Its Linear, recurrent and embedding layers can be dynamic."
    values = [*model.parameters(), *model.buffers()]
    return ModelDescription(
        source=reference.source,
        title=loaded.title,
        family=advice.family_of(layers),
        traced=graphs is not None,
        trace_note=note,
        layers=layers,
        tensors=tensors,
        parameters=sum(p.numel() for p in model.parameters()),
        size_bytes=sum(v.numel() * v.element_size() for v in values),
        pretrained=loaded.pretrained,
        notes=tuple(loaded.notes),
    )
