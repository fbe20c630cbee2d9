"""One model with its data, statistics and quantized form: what the worker and the command line work on."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from qgui.core import advice, legality, statistics
from qgui.core.errors import QguiError
from qgui.core.layers import ModelDescription
from qgui.core.measured import MeasuredActivations
from qgui.core.plan import ActivationRanges
from qgui.core.recipe import (
    DataReference,
    Mode,
    ModelReference,
    Recipe,
)
from qgui.core.results import DataDescription, QuantizeResult
from qgui.core.statistics import CalibrationRecord
from qgui.engine import collect, data, latency, machine, opened, score, sources
from qgui.engine.data import Batch, Data
from qgui.engine.fx import decide, measured, plain, quantized, train
from qgui.engine.fx.describe import Graphs
from qgui.engine.fx.quantized import QuantizedModel
from qgui.engine.opened import OpenedModel
from qgui.engine.progress import Progress


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
        self.model = opened.traced(reference, loaded, self._sample_for(loaded))
        self.record = self.activations = self.result = None
        return self.model.description

    def open_data(self, reference: DataReference) -> tuple[DataDescription, ModelDescription | None]:
        """Open data; where a model is open it is traced again with this data's inputs, which gives all shapes.

        Raises:
            QguiError: The data cannot be opened or does not fit the model.
        """
        fresh = data.open_data(reference)
        described = fresh.describe()
        model = None
        if self.model is not None:
            with torch.inference_mode():
                score.run(self.model.loaded.module, fresh.first)
            model = opened.traced(self.model.reference, self.model.loaded, fresh.first)
        self.data = fresh
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
        sources_of_ranges = {source for tensor in model.description.tensors for source in tensor.sources}
        wanted = {t.name: t.layer or t.name for t in model.description.tensors if t.name in sources_of_ranges}
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
        built, note = self.build(recipe, progress, weights)
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

    def build(
        self, recipe: Recipe, progress: Progress, weights: dict[str, torch.Tensor] | None = None
    ) -> tuple[QuantizedModel, str]:
        """Return the model converted as a recipe says, and what was trained as a sentence; nothing is kept."""
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

    def measure_activations(self, progress: Progress, samples: int = 16) -> MeasuredActivations:
        """Return what the quantized model really produces in each activation, beside the float model.

        Args:
            progress: Told after every sample.
            samples: Number of evaluation samples at most.

        Raises:
            QguiError: Nothing is quantized, or no data is open.
            Cancelled: The person asked to stop.
        """
        model, result, opened = self.opened_model, self.quantized_model, self.opened_data
        chosen = opened.evaluation[:samples]
        layers = {}
        if model.graphs is not None:
            predicted = self._predicted_ratios(result.recipe)
            batches = opened.batches(chosen, 1)
            layers = measured.measure(
                model.description, model.graphs, result, predicted, batches, len(chosen), progress
            )
        return MeasuredActivations(result.recipe.digest(), len(chosen), layers)

    def _predicted_ratios(self, recipe: Recipe) -> dict[str, float]:
        """Return the SQNR in dB that each tensor's range alone has, by the statistics; empty where there are none."""
        ranges, model = self.activations, self.opened_model
        if ranges is None:
            return {}
        names = [tensor.name for tensor in model.description.tensors if tensor.name in self.quantized_tensors]
        return {name: ranges.choice(name, ranges.setting(name, recipe)).sqnr_db for name in names}

    @property
    def quantized_tensors(self) -> set[str]:
        """Tensors for which the lowering asked, and those that share their ranges."""
        asked, ranges = set(self.quantized_model.decisions["tensors"]), self.activations
        if ranges is None:
            return asked
        owners = {ranges.owner(name).name for name in asked}
        return {tensor.name for tensor in self.opened_model.description.tensors if tensor.owner in owners}

    def run_quantized(self, batch: Batch) -> Any:
        """Return the quantized model's outputs for a batch."""
        result = self.quantized_model
        with plain.engine(result.recipe.backend):
            return score.run(result.module, batch)

    def check_batches(self, count: int) -> Iterator[Batch]:
        """Yield the first evaluation samples, each as a batch of one."""
        opened = self.opened_data
        return opened.batches(opened.evaluation[:count], 1)

    def latency_batch(self, batch_size: int) -> Batch:
        """Return evaluation samples as one batch of a size, repeated where there are too few."""
        opened = self.opened_data
        chosen = [opened.evaluation[i % len(opened.evaluation)] for i in range(batch_size)]
        return next(opened.batches(chosen, batch_size))

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
