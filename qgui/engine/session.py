"""One model with its data, statistics and quantized form: what the worker and the command line work on."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch

from qgui.core import advice, calibration, fitting, statistics
from qgui.core.errors import QguiError
from qgui.core.fitting import Fitted
from qgui.core.language import say
from qgui.core.layers import ModelDescription
from qgui.core.plan import ActivationRanges
from qgui.core.recipe import (
    DataReference,
    Mode,
    ModelReference,
    Recipe,
)
from qgui.core.results import DataDescription, QuantizeResult
from qgui.core.statistics import CalibrationRecord
from qgui.core.training_run import TrainingOutcome, training_key
from qgui.engine import (
    collect,
    columns,
    data,
    latency,
    machine,
    moments,
    opened,
    rounding,
    sources,
    training,
    training_check,
)
from qgui.engine.batch import Batch
from qgui.engine.data import Data
from qgui.engine.fx import decide, equalize, fold, plain, quantized
from qgui.engine.fx.describe import Graphs
from qgui.engine.fx.qat import Trained
from qgui.engine.fx.quantized import QuantizedModel
from qgui.engine.moments import InputMoments, MomentCollector
from qgui.engine.opened import OpenedModel
from qgui.engine.progress import Progress
from qgui.engine.training_control import TrainingControl
from qgui.engine.training_course import Listener


@dataclass
class Session:
    """The state of one piece of work. Each method does one job and leaves all else as it was where it fails."""

    model: OpenedModel | None = None
    data: Data | None = None
    record: CalibrationRecord | None = None
    activations: ActivationRanges | None = None
    moments: dict[str, InputMoments] = field(default_factory=dict)
    learned: rounding.Learned = field(default_factory=rounding.Learned)
    result: QuantizedModel | None = None
    trained: training.Result | None = None
    equalized: tuple[tuple[calibration.Pair, ...], Graphs] | None = None

    def open_model(self, reference: ModelReference, trust: bool = False) -> ModelDescription:
        """Load and trace a model; statistics and quantized model of the one before are dropped.

        Raises:
            NeedsTrust: The file can only be opened by running code that it holds.
            QguiError: It cannot be opened.
        """
        loaded = sources.open_model(reference, trust)
        self.model = opened.traced(reference, loaded, self._sample_for(loaded))
        self.result = self.trained = self.equalized = None
        self.learned = rounding.Learned()
        self._drop_statistics()
        return self.model.description

    def open_data(self, reference: DataReference) -> tuple[DataDescription, ModelDescription | None]:
        """Open data; where a model is open it is traced again with this data's inputs, which gives all shapes.

        Raises:
            QguiError: The data cannot be opened or does not fit the model.
        """
        return self.use_data(data.open_data(reference))

    def use_data(self, fresh: Data) -> tuple[DataDescription, ModelDescription | None]:
        """Take data that are open already, as `open_data` does.

        Raises:
            QguiError: The data does not fit the model.
        """
        described = fresh.describe()
        model = None
        if self.model is not None:
            with torch.inference_mode():
                fresh.first.run(self.model.loaded.module)
            model = opened.traced(self.model.reference, self.model.loaded, fresh.first)
        self.data = fresh
        self._drop_statistics()
        self.trained = None
        if model is not None:
            self.model = model
            self.result = self.equalized = None
        return described, model.description if model else None

    def calibrate(self, progress: Progress, threads: int = 0, recipe: Recipe | None = None) -> CalibrationRecord:
        """Run the calibration samples once and keep the statistics of every tensor.

        Args:
            progress: Told after every batch.
            threads: Threads to use, 0 for torch's default.
            recipe: Says which samples are left out, whether only finite values count, and what is equalized; None for
                the data as it was opened and the weights as they are.

        Raises:
            NeedsConsent: An activation is not finite, and the person has not agreed to leave such values out.
            QguiError: There is no trace to observe, or no sample is left.
            Cancelled: The person asked to stop.
        """
        model, opened = self.opened_model, self.opened_data
        if recipe is not None:
            opened = opened.under(recipe.data)
        graphs = self.graphs_for(recipe)
        if model.graphs is None or graphs is None:
            why = say("the model does not trace, so its activations cannot be observed")
            raise QguiError(
                say("Could not calibrate"), why, say("Use dynamic quantization, which needs no calibration.")
            )
        sources_of_ranges = {source for tensor in model.description.tensors for source in tensor.sources}
        wanted = {t.name: t.layer or t.name for t in model.description.tensors if t.name in sources_of_ranges}
        batches = opened.batches(opened.calibration)
        with latency.pinned_threads(threads):
            inputs = MomentCollector(
                columns.bounds_of({t.name: t.clamp for t in model.description.tensors}, graphs.fused)
            )
            tensors, count = collect.collect(
                graphs.fused,
                wanted,
                batches,
                len(opened.calibration),
                progress,
                inputs,
                opened.reference.finite_only,
            )
        fingerprint = collect.fingerprint(model.graphs.canonical)
        settings = calibration.settings_of(recipe or Recipe(data=opened.reference), model.description.layers)
        source = opened.reference.source
        record = CalibrationRecord(tensors, tuple(opened.calibration), count, fingerprint, source, settings)
        self.activations = ActivationRanges(model.description, record)
        self.data, self.record, self.moments = opened, record, inputs.moments
        return record

    def graphs_for(self, recipe: Recipe | None) -> Graphs | None:
        """Return the graphs that a recipe quantizes: equalized where it says so; None where the model does not trace.

        Statistics, weights shown, quantized model and layer by layer comparison are all of these graphs.
        """
        model = self.opened_model
        pairs = calibration.equalized_pairs(recipe, model.description.layers) if recipe is not None else ()
        if not pairs or model.graphs is None:
            return model.graphs
        if self.equalized is None or self.equalized[0] != pairs:
            links = equalize.links_of(model.description, pairs)
            self.equalized = pairs, equalize.equalized(model.graphs, links)
        return self.equalized[1]

    def model_for(self, recipe: Recipe | None) -> OpenedModel:
        """Return the open model with the weights that a recipe quantizes."""
        return dataclasses.replace(self.opened_model, graphs=self.graphs_for(recipe))

    def save_statistics(self, path: Path) -> None:
        """Write the statistics to a file, and beside it the input means that bias correction needs.

        Raises:
            QguiError: They cannot be written, or there are none.
        """
        if self.record is None:
            raise QguiError(
                say("Nothing is calibrated"), say("there are no statistics to keep"), say("Calibrate first.")
            )
        statistics.save(self.record, path)
        moments.save(self.moments, moments.path_beside(path))

    def use_statistics(self, path: Path) -> None:
        """Take over statistics that an earlier run wrote.

        Raises:
            QguiError: The file cannot be read, or belongs to another model.
        """
        model = self.opened_model
        record = statistics.load(path)
        if model.graphs is not None and record.model != collect.fingerprint(model.graphs.canonical):
            raise QguiError(
                say("Could not use the statistics"), say("they belong to other weights"), say("Calibrate again.")
            )
        beside = moments.path_beside(path)
        found = moments.load(beside) if beside.exists() else {}
        self.activations = ActivationRanges(model.description, record)
        self.record, self.moments = record, found

    def _refuse_stale(self, recipe: Recipe) -> None:
        record, layers = self.record, self.opened_model.description.layers
        if record is None or not any(rule.needs_statistics for rule in recipe.rules.values()):
            return
        wished = calibration.settings_of(recipe, layers)
        why = calibration.why_stale(record.settings, wished, record.samples, bool(record.unfinite))
        if why:
            raise QguiError(
                say("Could not quantize"),
                say("the statistics do not fit the decisions: {why}", why=why),
                say("Calibrate again."),
            )

    def _drop_statistics(self) -> None:
        self.record = self.activations = None
        self.moments = {}

    def quantize(self, recipe: Recipe, progress: Progress, trained: Trained | None = None) -> QuantizeResult:
        """Convert the model as a recipe says, training its `qat` layers first where that was not done yet.

        Args:
            recipe: The person's decisions.
            progress: Told after every step.
            trained: What an earlier training left, to be used instead of training again.

        Raises:
            QguiError: Statistics are missing, or PyTorch cannot convert the model so.
            Cancelled: The person asked to stop.
        """
        began = time.monotonic()
        model = self.opened_model
        found = self.fitted(recipe)
        recipe, notes = found.recipe, [say("Not as in the recipe. {misfit}", misfit=misfit) for misfit in found.misfits]
        self._refuse_stale(recipe)
        built, note = self.build(recipe, progress, trained)
        notes += [*([note] if note else []), *self._conversion_notes(built, progress)]
        progress.step(say("Quantizing"), 2, 3)
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
        progress.step(say("Quantizing"), 3, 3)
        self.result = built
        return result

    def build(
        self, recipe: Recipe, progress: Progress, trained: Trained | None = None, with_effects: bool = True
    ) -> tuple[QuantizedModel, str]:
        """Return the model converted as a recipe says, and what was trained as a sentence; nothing is kept.

        Args:
            recipe: The person's decisions.
            progress: Told after every step.
            trained: What an earlier training left, to be used instead of training again.
            with_effects: Whether to measure what the steps better than rounding do for their layers.
        """
        model = self.opened_model
        graphs = self.graphs_for(recipe)
        decisions = decide.decisions_of(model.description, graphs, recipe, self.activations)
        progress.step(say("Quantizing"), 0, 3)
        note = ""
        if model.graphs is None or graphs is None:
            return QuantizedModel(plain.lower_untraced(model.loaded.module, decisions), decisions, recipe), note
        effects = dict(equalize.effects(model.description, model.graphs, graphs, recipe)) if with_effects else {}
        if any(rule.mode is Mode.QAT for rule in recipe.rules.values()):
            if trained is None:
                result = self._as_trained(recipe, progress)
                trained, note = result.trained, result.note
            graph = copy.deepcopy(graphs.canonical)
            graph.load_state_dict(trained.weights)
            with plain.quiet():
                graphs = Graphs(graph, plain.fused(graph, graphs.leaves), graphs.leaves, graphs.values)
            decisions = decide.decisions_of(model.description, graphs, recipe, self.activations)
            trained.decide(decisions)
        progress.step(say("Quantizing"), 1, 3)
        improved = rounding.improve(
            model.description,
            graphs.fused,
            recipe,
            decisions,
            self.moments,
            self.learned,
            self.data,
            progress,
            with_effects,
        )
        for name, more in improved.effects.items():
            effects[name] = (*effects.get(name, ()), *more)
        graph = fold.with_weights(graphs.canonical, improved.weights) if improved.weights else graphs.canonical
        final = _state_of(graph) if graph is not model.graphs.canonical else None
        try:
            module = plain.lower(graph, decisions)
        except QguiError:
            raise
        except Exception as error:
            lines = str(error).strip().splitlines()
            raise QguiError(
                say("Could not quantize the model"),
                say(
                    "PyTorch's conversion for {backend} failed: {line}",
                    backend=recipe.backend,
                    line=lines[0] if lines else type(error).__name__,
                ),
                say("Choose another backend, or leave the layer it names float."),
                str(error),
            ) from error
        return QuantizedModel(module, decisions, recipe, final, trained, effects), note

    def train(
        self,
        recipe: Recipe,
        progress: Progress,
        folder: Path | None = None,
        resume: bool = False,
        control: TrainingControl | None = None,
        listener: Listener = lambda _: None,
    ) -> tuple[TrainingOutcome, QuantizeResult]:
        """Train the `qat` layers of a recipe, convert, and hold the int8 model against the fake-quantized one.

        Args:
            recipe: The person's decisions.
            progress: Told after every step.
            folder: Where a checkpoint is written after each epoch; None for nowhere.
            resume: Whether to go on from the checkpoint in that folder.
            control: What the person wants while it runs.
            listener: Told about steps and epochs.

        Raises:
            QguiError: The training cannot begin or go on, or PyTorch cannot convert the model.
            Cancelled: The person asked to stop.
        """
        trainer = self.trainer(recipe, progress, control, listener)
        return self._taken(recipe, trainer.run(folder, resume), progress)

    def keep_training(self, recipe: Recipe, folder: Path, progress: Progress) -> tuple[TrainingOutcome, QuantizeResult]:
        """Take the best state of the checkpoint in a folder, convert, and check as after a training.

        Raises:
            QguiError: There is no checkpoint, or it belongs to another recipe.
            Cancelled: The person asked to stop.
        """
        return self._taken(recipe, self.trainer(recipe, progress).kept(folder), progress)

    def trainer(
        self,
        recipe: Recipe,
        progress: Progress,
        control: TrainingControl | None = None,
        listener: Listener = lambda _: None,
    ) -> training.Trainer:
        """Return what trains the `qat` layers of a recipe.

        Raises:
            QguiError: The recipe, the data or the machine does not allow the training.
        """
        recipe = self.fitted(recipe).recipe
        self._refuse_stale(recipe)
        return training.Trainer(
            self.model_for(recipe), self.opened_data, recipe, self.activations, progress, control, listener
        )

    def _taken(
        self, recipe: Recipe, result: training.Result, progress: Progress
    ) -> tuple[TrainingOutcome, QuantizeResult]:
        self.trained = result
        steered = msgspec.structs.replace(recipe.training, steering=result.outcome.settings.steering)
        quantized = self.quantize(msgspec.structs.replace(recipe, training=steered), progress)
        return self.trained.outcome, quantized

    def _as_trained(self, recipe: Recipe, progress: Progress) -> training.Result:
        """Return the training that a recipe asks for: the one that was done, if its decisions are the same."""
        if self.trained is None or self.trained.outcome.key != training_key(recipe):
            self.trained = self.trainer(recipe, progress).run()
        return self.trained

    def _conversion_notes(self, built: QuantizedModel, progress: Progress) -> list[str]:
        """Hold a freshly trained model against its int8 form, and return what the person should know."""
        result = self.trained
        if result is None or built.trained is not result.trained or result.outcome.check is not None:
            return []
        check = training_check.check(self.model_for(built.recipe), self.opened_data, result, built, progress)
        result.outcome = msgspec.structs.replace(result.outcome, check=check)
        return [check.sentence, *check.causes]

    def fitted(self, recipe: Recipe) -> Fitted:
        """Return what a recipe makes of the open model: patterns resolved, what it may not have replaced and told."""
        narrow = machine.needs_reduced_range(recipe.backend)
        return fitting.fitted(recipe, self.opened_model.description.layers, narrow)

    def run_quantized(self, batch: Batch) -> Any:
        """Return the quantized model's outputs for a batch."""
        result = self.quantized_model
        with plain.engine(result.recipe.backend):
            return batch.run(result.module)

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
            own=frozenset(),
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
            raise QguiError(say("No model is open"), say("this needs a model"), say("Open a model first."))
        return self.model

    @property
    def opened_data(self) -> Data:
        """The open data.

        Raises:
            QguiError: There is none.
        """
        if self.data is None:
            raise QguiError(say("No data is open"), say("this needs samples"), say("Open data first."))
        return self.data

    @property
    def quantized_model(self) -> QuantizedModel:
        """The quantized model.

        Raises:
            QguiError: There is none.
        """
        if self.result is None:
            raise QguiError(say("Nothing is quantized"), say("this needs a quantized model"), say("Quantize first."))
        return self.result


def _state_of(graph: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.detach() for key, value in graph.state_dict().items()}
