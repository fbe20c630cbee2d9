"""Quantization-aware training: the loop over epochs and steps, from calibrated ranges to the best state."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from qgui.core.errors import QguiError
from qgui.core.language import say
from qgui.core.plan import ActivationRanges
from qgui.core.recipe import Mode, Recipe
from qgui.core.training import Training, parts, resolved, schedule_factor
from qgui.core.training_run import (
    EpochRecord,
    References,
    TrainingEstimate,
    TrainingOutcome,
    TrainingUpdate,
)
from qgui.engine import collect, memory, training_state
from qgui.engine.batch import Batch
from qgui.engine.data import Data
from qgui.engine.fx import decide, plain
from qgui.engine.fx.qat import SimulatedModel, Trained
from qgui.engine.opened import OpenedModel
from qgui.engine.outputs import is_class_scores, main_output
from qgui.engine.progress import Progress
from qgui.engine.training_conditions import deterministic, device_of, int8_kernels, memory_errors
from qgui.engine.training_control import TrainingControl
from qgui.engine.training_course import Course, Listener, sentence
from qgui.engine.training_failures import first_unfinite, not_finite
from qgui.engine.training_loss import WHAT, Teacher, loss_of
from qgui.engine.training_score import Scored, score_name, scored

PHASE = "Training"
GRADIENT_LIMIT = 1.0
#: Batches whose extremes are taken as those to which the calibrated ranges belong.
_FIRST_BATCHES = 8
_MEASURED_STEPS = 4


def _nothing(_: TrainingUpdate) -> None:
    pass


@dataclass
class Result:
    """What a training left.

    Attributes:
        trained: The best state, to be converted.
        outcome: What it came to.
        simulated: The fake-quantized model in its best state, computing as the int8 model will.
        validation: Samples that validated.
        note: What was done, as a sentence.
    """

    trained: Trained
    outcome: TrainingOutcome
    simulated: SimulatedModel
    validation: list[int]
    note: str


def divided(data: Data, settings: Training) -> tuple[list[int], list[int]]:
    """Return the samples that are trained on and those that validate; none of them is evaluated later.

    Calibration samples come first, then others that are neither evaluated nor excluded. Where calibration samples may
    be evaluated too, only they are taken. Without a validation part the training samples stand for it.
    """
    calibration = [i for i in data.calibration if i not in set(data.reference.excluded)] or data.calibration
    taken = {*calibration, *data.evaluation, *data.reference.excluded}
    others = [] if data.reference.overlap else [i for i in range(len(data.samples)) if i not in taken]
    generator = np.random.default_rng(settings.seed)
    order = [calibration[i] for i in generator.permutation(len(calibration)).tolist()]
    order += [others[i] for i in generator.permutation(len(others)).tolist()]
    train, held = parts(len(order), settings)
    chosen = order[: train + held]
    mixed = [chosen[i] for i in generator.permutation(len(chosen)).tolist()]
    validation = sorted(mixed[:held])
    trained = sorted(mixed[held:])
    return trained, validation or trained


class Trainer:
    """Trains the `qat` layers of one recipe.

    Args:
        model: The open model, which must have a trace.
        data: The open data.
        recipe: The decisions.
        activations: Ranges from the calibration.
        progress: Told after every step.
        control: What the person wants while it runs.
        listener: Told about steps and epochs at most ten times a second.

    Raises:
        QguiError: The recipe, the data or the machine does not allow the training.
    """

    def __init__(
        self,
        model: OpenedModel,
        data: Data,
        recipe: Recipe,
        activations: ActivationRanges | None,
        progress: Progress,
        control: TrainingControl | None = None,
        listener: Listener = _nothing,
    ) -> None:
        if model.graphs is None:
            hint = say("Use dynamic quantization, which needs no training.")
            raise QguiError(WHAT, say("the model does not trace, so nothing can be fake-quantized"), hint)
        if not any(recipe.rule(x.group or x.name).mode is Mode.QAT for x in model.description.layers):
            raise QguiError(
                WHAT, say("no layer is in mode qat"), say("Give the layers that are to be trained the mode qat.")
            )
        self._graphs, self._data, self._recipe = model.graphs, data, recipe
        self._progress, self._control = progress, control or TrainingControl()
        self.train_samples, self.validation = divided(data, recipe.training)
        settings = resolved(recipe.training, len(self.train_samples), data.samples.labelled)
        self._device = device_of(settings.device)
        self._loss = loss_of(settings, data.samples.labelled)
        self._decisions = decide.decisions_of(model.description, model.graphs, recipe, activations)
        simulated = SimulatedModel(model.graphs.canonical, model.description, recipe, self._decisions, settings)
        self.simulated = simulated.to(self._device)
        self.simulated.lay_out([t.to(self._device) for t in data.first.positional(self.simulated.names)])
        self._refuse_single_samples(settings)
        self._teacher = Teacher(model.graphs.canonical, self.simulated.names, self._device)
        self._fingerprint = collect.fingerprint(model.graphs.canonical)
        self._optimizer = _optimizer(self.simulated, settings)
        self._steps_per_epoch = max(math.ceil(len(self.train_samples) / settings.batch_size), 1)
        self.course = Course(settings, self._steps_per_epoch, listener)

    @property
    def settings(self) -> Training:
        """The settings in numbers, with what was changed while paused."""
        return self.course.settings

    # The whole run

    def run(self, folder: Path | None = None, resume: bool = False) -> Result:
        """Train until the last epoch, or until the person ends it, and return the best state.

        Args:
            folder: Where a checkpoint is written after each epoch; None for nowhere.
            resume: Whether to go on from the checkpoint in that folder.

        Raises:
            QguiError: The loss is not finite or diverges, memory runs out, or the checkpoint does not fit.
            Cancelled: The person asked to stop.
        """
        if not resume and folder is not None:
            training_state.remove(folder)
        with (
            deterministic(self.settings.seed),
            memory.held(),
            memory_errors(self.settings, lambda: self.course.epoch),
        ):
            if resume and folder is not None:
                self._resume(folder)
            else:
                self._start(folder)
            self.course.begin_loop()
            self._tell(settings=True, records=tuple(self.course.records))
            while self.course.epoch < self.settings.epochs and not self._control.finishing:
                self._epoch(folder)
        return self._result()

    def kept(self, folder: Path) -> Result:
        """Return the best state that the checkpoint in a folder holds.

        Raises:
            QguiError: There is none, or it belongs to another recipe.
        """
        self._resume(folder)
        return self._result()

    def estimate(self) -> TrainingEstimate:
        """Measure a few steps and a validation batch, and say how long the whole will take; nothing is kept.

        Raises:
            QguiError: The loss cannot be computed.
            Cancelled: The person asked to stop.
        """
        times: list[float] = []
        with deterministic(self.settings.seed), memory.held(), memory_errors(self.settings, lambda: 0):
            self._set_phase(0)
            for batch in self._batches(0):
                self._progress.step(say("Measuring"), len(times), _MEASURED_STEPS)
                began = time.perf_counter()
                self._step(batch, learn=False)
                times.append(time.perf_counter() - began)
                if len(times) == _MEASURED_STEPS:
                    break
            self.simulated.evaluate()
            held = self.validation[: self.settings.batch_size]
            began = time.perf_counter()
            self._scored(held)
            per_sample = (time.perf_counter() - began) / len(held)
        step = float(np.median(times[1:] or times))
        total = self.course.total
        # The float model and the int8 model are scored once, the fake-quantized one after every epoch.
        scoring = per_sample * len(self.validation) * (self.settings.epochs + 3)
        held_out = 0 if self.validation == self.train_samples else len(self.validation)
        seconds = step * total + scoring
        return TrainingEstimate(self.settings, len(self.train_samples), held_out, total, step, seconds)

    # Beginning

    def _start(self, folder: Path | None) -> None:
        static = self._static_scored()
        self.simulated.evaluate()
        self.simulated.learn_extremes()
        with torch.no_grad():
            for number, batch in enumerate(self._batches(0)):
                if number == _FIRST_BATCHES:
                    break
                self._progress.step(say("Preparing"), number, min(_FIRST_BATCHES, self._steps_per_epoch))
                self._forward(batch)
                self.simulated.note_extremes()
        self.simulated.begin()
        began = time.monotonic()
        at_start = self._scored(self.validation, told=self._phase(say("Scoring the start")))
        if not math.isfinite(at_start.loss):
            raise self._not_finite(self._first_validated(), say("loss"), at_start.loss)
        name = score_name(at_start)
        reached = (static.score(name), static.sqnr_db) if static else (None, None)
        references = References(name, at_start.samples, self._float_score(name), *reached)
        self.course.begin(references, at_start, time.monotonic() - began)
        self.course.best_state = self.simulated.state()
        self._checkpoint(folder)

    def _first_validated(self) -> Batch:
        return next(self._data.batches(self.validation, self.settings.batch_size))

    def _static_scored(self) -> Scored | None:
        """Return what the int8 model without training reaches on the validation samples; None where there is none."""
        try:
            module = plain.lower(self._graphs.canonical, self._decisions)
        except QguiError:
            raise
        except Exception:
            return None

        def run(batch: Batch) -> torch.Tensor:
            with plain.engine(self._recipe.backend), int8_kernels():
                return main_output(module(*batch.positional(self.simulated.names))).float().to(self._device)

        with torch.no_grad():
            return self._scored(self.validation, run, self._phase(say("Scoring static int8")))

    def _float_score(self, name: str) -> float | None:
        if name == "SQNR":
            return None
        if name == "agreement":
            return 1.0
        return self._scored(self.validation, self._teacher.outputs, self._phase(say("Scoring float"))).score("accuracy")

    def _phase(self, name: str) -> Callable[[int, int], None]:
        return lambda done, total: self._progress.step(name, done, total)

    def _resume(self, folder: Path) -> None:
        found = training_state.find(folder, self._recipe, self._fingerprint)
        state = training_state.load(folder, found.state)
        best = state if found.best_state == found.state else training_state.load(folder, found.best_state)
        try:
            self.simulated.load_state(state)
            training_state.load_optimizer(self._optimizer, state)
        except (KeyError, RuntimeError, ValueError) as error:
            why = say("{folder} holds another model's state ({error})", folder=folder, error=error)
            raise QguiError(training_state.WHAT, why, say("Train anew.")) from error
        output = self._teacher.outputs(self._first_validated())
        classes = output.shape[1] if is_class_scores(output) else 0
        self.course.go_on(found, self._recipe.training.steering or found.settings.steering, classes)
        self.course.best_state = best

    # One epoch, one step

    def _epoch(self, folder: Path | None) -> None:
        course = self.course
        began, losses = time.monotonic(), []
        for batch in self._batches(course.epoch):
            self._rest()
            if self._control.finishing:
                break
            self._set_phase(course.epoch)
            self._tell_step()
            losses.append(self._step(batch))
            self._refuse_divergence(losses[-1])
            self._tell()
        if not losses:
            return
        self.simulated.settle()
        self.simulated.evaluate()
        found = self._scored(self.validation, told=lambda _done, _total: self._tell_step())
        if self.simulated.unfinite_weight():
            raise self._not_finite(self._first_validated(), say("weight"), math.nan)
        if not math.isfinite(found.loss):
            raise self._not_finite(self._first_validated(), say("validation loss"), found.loss)
        record, best = course.add_epoch(losses, found, time.monotonic() - began)
        if best:
            course.best_state = self.simulated.state()
        self._checkpoint(folder)
        self._tell(records=(record,), at_once=True)

    def _tell_step(self) -> None:
        run = self.course
        self._progress.step(PHASE, run.step - run.first_step, run.total - run.first_step)

    def _step(self, batch: Batch, learn: bool = True) -> float:
        """Do one step of the optimizer and return the loss; without `learn` only what takes the time."""
        teacher = self._teacher.outputs(batch)
        target = batch.target.to(self._device) if batch.target is not None else None
        output = self._forward(batch)
        loss = self._loss(output, teacher, target)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self._not_finite(batch, say("loss"), value)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        norm = float(nn.utils.clip_grad_norm_(parameters, GRADIENT_LIMIT))
        if not math.isfinite(norm):
            raise self._not_finite(batch, say("gradient"), norm)
        step, total = self.course.step, self.course.total
        rate = self.settings.at(step).learning_rate * schedule_factor(self.settings.schedule, step, total)
        for group in self._optimizer.param_groups:
            group["lr"] = rate if learn else 0.0
        self._optimizer.step()
        if learn:
            self.simulated.take_over()
            found = Scored()
            found.add(output.detach(), teacher, target, value)
            self.course.add_step(value, norm, rate, found.score(score_name(found)) if found.is_classes else None)
        return value

    def _forward(self, batch: Batch) -> torch.Tensor:
        return main_output(self.simulated.module(*self._inputs(batch))).float()

    def _inputs(self, batch: Batch) -> list[torch.Tensor]:
        return [tensor.to(self._device) for tensor in batch.positional(self.simulated.names)]

    def _scored(
        self,
        samples: list[int],
        run: Callable[[Batch], torch.Tensor] | None = None,
        told: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> Scored:
        """Return score and loss of the fake-quantized model, or of another one, on samples."""
        batches = self._data.batches(samples, self.settings.batch_size)
        with torch.no_grad():
            return scored(batches, len(samples), run or self._forward, self._teacher.outputs, self._loss, told)

    def _batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch in its seeded order; a single sample is left out where BatchNorm needs more."""
        generator = torch.Generator().manual_seed(self.settings.seed * 1_000_003 + epoch)
        order = torch.randperm(len(self.train_samples), generator=generator).tolist()
        learns = self._norm_learns(epoch)
        for batch in self._data.batches([self.train_samples[i] for i in order], self.settings.batch_size):
            if len(batch.indices) > 1 or not learns or self._steps_per_epoch == 1:
                yield batch

    def _norm_learns(self, epoch: int) -> bool:
        return self.simulated.has_batch_norm and epoch < self.settings.at(self.course.step).freeze_batch_norm

    def _set_phase(self, epoch: int) -> None:
        held = self.settings.at(self.course.step)
        frozen = epoch >= held.freeze_observers
        self.simulated.set_phase(batch_norm_frozen=epoch >= held.freeze_batch_norm, ranges_frozen=frozen)

    # Steering

    def _rest(self) -> None:
        """Wait while the person paused the training, and take over what they changed."""
        began = time.monotonic()
        if self._control.paused:
            self._tell(paused=True, at_once=True)
            self._control.wait(self._progress.check)
            rested = time.monotonic() - began
            self._progress.leave_out(rested)
            self.course.leave_out(rested)
            self._tell(at_once=True)
        change = self._control.taken_change()
        if change is not None:
            self.course.steer(change)
            self._tell(settings=True)

    # Telling

    def _tell(
        self,
        *,
        settings: bool = False,
        records: tuple[EpochRecord, ...] = (),
        paused: bool = False,
        at_once: bool = False,
    ) -> None:
        ranges = self.simulated.ranges
        self.course.tell(ranges, settings=settings, records=records, paused=paused, at_once=at_once)

    def _checkpoint(self, folder: Path | None) -> None:
        if folder is not None:
            checkpoint = self.course.checkpoint(self._recipe, self._fingerprint, len(self.train_samples))
            state = self.simulated.state() | training_state.optimizer_tensors(self._optimizer)
            training_state.write(folder, checkpoint, state, self.course.best_state)

    def _result(self) -> Result:
        self.simulated.load_state(self.course.best_state)
        self.simulated.evaluate()
        trained = self.simulated.trained()
        outcome = self.course.outcome(self._recipe, len(self.train_samples), self._control.finishing)
        return Result(trained, outcome, self.simulated, self.validation, sentence(outcome))

    # Bad luck

    def _refuse_single_samples(self, settings: Training) -> None:
        learns = settings.freeze_batch_norm > 0 and self.simulated.has_batch_norm
        if learns and min(settings.batch_size, len(self.train_samples)) == 1:
            raise QguiError(
                WHAT,
                say("a batch of one sample has no variance, and BatchNorm takes its statistics from the batches"),
                say("Use a batch size of two or more, or freeze BatchNorm from epoch 0."),
            )

    def _refuse_divergence(self, loss: float) -> None:
        run = self.course
        if run.divergence.seen(loss):
            rate = self.settings.at(run.step).learning_rate
            raise run.divergence.failure(run.step, run.epoch, run.best, rate)

    def _not_finite(self, batch: Batch, what: str, value: float) -> QguiError:
        """Return the failure of a loss or gradient that is no number, with the layer in which it begins."""
        run = self.course
        node = self.simulated.unfinite_weight() or first_unfinite(self.simulated.module, self._inputs(batch))
        node = node or self.simulated.unfinite_gradient()
        layer = self.simulated.layer_of(node) if node else ""
        return not_finite(what, value, layer, run.step, run.epoch, run.best if run.records else None)


def _optimizer(simulated: SimulatedModel, settings: Training) -> torch.optim.Optimizer:
    weights, others, scales = simulated.parameters()
    groups = [
        {"params": weights, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
        {"params": scales, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise QguiError(
            WHAT, say("no layer in mode qat has a weight"), say("Give a convolution or linear layer mode qat.")
        )
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
    return torch.optim.AdamW(groups, lr=settings.learning_rate)
