"""Quantization-aware training: the loop over epochs and steps, from calibrated ranges to the best state."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import psutil
import torch
from torch import nn

from qgui.core.errors import QguiError
from qgui.core.plan import ActivationRanges
from qgui.core.recipe import Mode, Recipe
from qgui.core.training import DISTILL, Steering, Training, parts, resolved, schedule_factor
from qgui.core.training_run import (
    CHECKPOINT_VERSION,
    Checkpoint,
    EpochRecord,
    References,
    StepPoint,
    Thinned,
    TrainingEstimate,
    TrainingOutcome,
    TrainingUpdate,
    run_key,
    training_key,
)
from qgui.engine import collect, training_state
from qgui.engine.batch import Batch
from qgui.engine.data import Data
from qgui.engine.fx import decide, plain
from qgui.engine.fx.qat import SimulatedModel, Trained
from qgui.engine.opened import OpenedModel
from qgui.engine.outputs import main_output
from qgui.engine.progress import Progress
from qgui.engine.training_conditions import deterministic, device_of, int8_kernels, memory_errors
from qgui.engine.training_control import TrainingControl
from qgui.engine.training_failures import Divergence, first_unfinite, not_finite, worthless_loss
from qgui.engine.training_loss import WHAT, Teacher, loss_of
from qgui.engine.training_score import Scored, score_name, scored

Listener = Callable[[TrainingUpdate], None]

PHASE = "Training"
GRADIENT_LIMIT = 1.0
#: Batches whose extremes are taken as those to which the calibrated ranges belong.
_FIRST_BATCHES = 8
_TELL_SECONDS = 0.1
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
            hint = "Use dynamic quantization, which needs no training."
            raise QguiError(WHAT, "the model does not trace, so nothing can be fake-quantized", hint)
        if not any(recipe.rule(x.group or x.name).mode is Mode.QAT for x in model.description.layers):
            raise QguiError(WHAT, "no layer is in mode qat", "Give the layers that are to be trained the mode qat.")
        self._graphs, self._data, self._recipe = model.graphs, data, recipe
        self._progress, self._control, self._listener = progress, control or TrainingControl(), listener
        self.train_samples, self.validation = divided(data, recipe.training)
        self.settings = resolved(recipe.training, len(self.train_samples), data.samples.labelled)
        self._device = device_of(self.settings.device)
        self._loss = loss_of(self.settings, data.samples.labelled)
        self._decisions = decide.decisions_of(model.description, model.graphs, recipe, activations)
        self.simulated = SimulatedModel(
            model.graphs.canonical, model.description, recipe, self._decisions, self.settings
        ).to(self._device)
        self._refuse_single_samples()
        self._teacher = Teacher(model.graphs.canonical, self.simulated.names, self._device)
        self._fingerprint = collect.fingerprint(model.graphs.canonical)
        self._optimizer = self._new_optimizer()
        self._steps_per_epoch = self._count_steps()
        self._run = _Run()
        self._told = _Told()
        self._references: References | None = None

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
        with deterministic(self.settings.seed), memory_errors(self.settings, lambda: self._run.epoch):
            if resume and folder is not None:
                self._resume(folder)
            else:
                self._start(folder)
            self._run.loop_began = time.monotonic()
            self._tell(settings=self.settings, references=self._references, records=tuple(self._run.records))
            while self._run.epoch < self.settings.epochs and not self._control.finishing:
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
        with deterministic(self.settings.seed), memory_errors(self.settings, lambda: 0):
            self._set_phase(0)
            for batch in self._batches(0):
                self._progress.step("Measuring", len(times), _MEASURED_STEPS)
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
        total = self._steps_per_epoch * self.settings.epochs
        # The float model and the int8 model are scored once, the fake-quantized one after every epoch.
        scoring = per_sample * len(self.validation) * (self.settings.epochs + 3)
        held_out = 0 if self.validation == self.train_samples else len(self.validation)
        seconds = step * total + scoring
        return TrainingEstimate(self.settings, len(self.train_samples), held_out, total, step, seconds)

    # Beginning

    def _start(self, folder: Path | None) -> None:
        run = self._run
        static = self._static_scored()
        self.simulated.evaluate()
        self.simulated.learn_extremes()
        with torch.no_grad():
            for number, batch in enumerate(self._batches(0)):
                if number == _FIRST_BATCHES:
                    break
                self._progress.step("Preparing", number, min(_FIRST_BATCHES, self._steps_per_epoch))
                self._forward(batch)
                self.simulated.note_extremes()
        self.simulated.begin()
        began = time.monotonic()
        at_start = self._scored(self.validation, told=self._phase("Scoring the start"))
        name = score_name(at_start)
        teacher = self._float_score(name)
        self._references = References(
            name, at_start.samples, teacher, static.score(name) if static else None, static.sqnr_db if static else None
        )
        loss = at_start.loss
        if not math.isfinite(loss):
            raise self._not_finite(next(self._data.batches(self.validation, self.settings.batch_size)), "loss", loss)
        run.divergence = Divergence(loss, worthless_loss(self.settings, at_start.classes))
        seconds = time.monotonic() - began
        run.records.append(EpochRecord(0, 0, loss, loss, at_start.score(name), at_start.sqnr_db, seconds, _memory()))
        run.best_state = self.simulated.state()
        self._checkpoint(folder)

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
            return self._scored(self.validation, run, self._phase("Scoring static int8"))

    def _float_score(self, name: str) -> float | None:
        if name == "SQNR":
            return None
        if name == "agreement":
            return 1.0
        return self._scored(self.validation, self._teacher.outputs, self._phase("Scoring float")).score("accuracy")

    def _phase(self, name: str) -> Callable[[int, int], None]:
        return lambda done, total: self._progress.step(name, done, total)

    def _resume(self, folder: Path) -> None:
        found = training_state.find(folder, self._recipe, self._fingerprint)
        state = training_state.load(folder, found.state)
        run = self._run
        run.best_state = state if found.best_state == found.state else training_state.load(folder, found.best_state)
        try:
            self.simulated.load_state(state)
            training_state.load_optimizer(self._optimizer, state)
        except (KeyError, RuntimeError, ValueError) as error:
            hint = "Train anew."
            raise QguiError(training_state.WHAT, f"{folder} holds another model's state ({error})", hint) from error
        steering = found.settings.steering if not self._recipe.training.steering else self._recipe.training.steering
        self.settings = msgspec.structs.replace(self.settings, steering=steering)
        run.epoch, run.step, run.records = found.epoch, found.step, list(found.records)
        run.best, run.seconds_before = found.best, found.seconds
        run.first_step = found.step
        run.divergence = Divergence(found.records[0].validation_loss, math.inf)
        self._references = found.references
        for point in found.points:
            run.points.add(point)
        self._told.points = list(found.points)

    # One epoch, one step

    def _epoch(self, folder: Path | None) -> None:
        run, settings = self._run, self.settings
        began, losses = time.monotonic(), []
        for batch in self._batches(run.epoch):
            self._rest()
            if self._control.finishing:
                break
            self._set_phase(run.epoch)
            self._tell_step()
            losses.append(self._step(batch))
            self._refuse_divergence(losses[-1])
            self._tell()
        if not losses:
            return
        run.epoch += 1
        self.simulated.settle()
        self.simulated.evaluate()
        assert self._references is not None
        found = self._scored(self.validation, told=lambda _done, _total: self._tell_step())
        score = found.score(self._references.name)
        loss = float(np.mean(losses))
        seconds = time.monotonic() - began
        record = EpochRecord(run.epoch, run.step, loss, found.loss, score, found.sqnr_db, seconds, _memory())
        if not math.isfinite(found.loss) or self.simulated.unfinite_weight():
            raise self._not_finite(
                next(self._data.batches(self.validation, settings.batch_size)), "validation loss", found.loss
            )
        if self._better(record, run.records[run.best]):
            run.best, run.best_state = run.epoch, self.simulated.state()
        run.records.append(record)
        self._checkpoint(folder)
        self._tell(records=(record,), at_once=True)

    def _tell_step(self) -> None:
        run = self._run
        self._progress.step(PHASE, run.step - run.first_step, self._total_steps - run.first_step)

    def _better(self, record: EpochRecord, than: EpochRecord) -> bool:
        """Whether an epoch beats the best so far: by accuracy where labels are learned, else by the validation loss."""
        if self._references is not None and self._references.name == "accuracy" and self.settings.loss != DISTILL:
            return (record.score, -record.validation_loss) > (than.score, -than.validation_loss)
        return record.validation_loss < than.validation_loss

    def _step(self, batch: Batch, learn: bool = True) -> float:
        """Do one step of the optimizer and return the loss; without `learn` only what takes the time."""
        run = self._run
        teacher = self._teacher.outputs(batch)
        target = batch.target.to(self._device) if batch.target is not None else None
        output = self._forward(batch)
        loss = self._loss(output, teacher, target)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self._not_finite(batch, "loss", value)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        norm = float(nn.utils.clip_grad_norm_(parameters, GRADIENT_LIMIT))
        if not math.isfinite(norm):
            raise self._not_finite(batch, "gradient", norm)
        held = self.settings.at(run.step)
        rate = held.learning_rate * schedule_factor(self.settings.schedule, run.step, self._total_steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate if learn else 0.0
        self._optimizer.step()
        if learn:
            self.simulated.take_over()
            run.step += 1
            found = Scored()
            found.add(output.detach(), teacher, target, value)
            score = found.score(score_name(found)) if found.is_classes else None
            point = StepPoint(run.step, value, norm, rate, score)
            self._told.points.append(point)
            run.points.add(point)
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
        return self.simulated.has_batch_norm and epoch < self.settings.at(self._run.step).freeze_batch_norm

    def _set_phase(self, epoch: int) -> None:
        held = self.settings.at(self._run.step)
        frozen = epoch >= held.freeze_observers
        self.simulated.set_phase(batch_norm_frozen=epoch >= held.freeze_batch_norm, ranges_frozen=frozen)

    def _count_steps(self) -> int:
        return max(math.ceil(len(self.train_samples) / self.settings.batch_size), 1)

    @property
    def _total_steps(self) -> int:
        return self._steps_per_epoch * self.settings.epochs

    def _new_optimizer(self) -> torch.optim.Optimizer:
        settings = self.settings
        weights, others, scales = self.simulated.parameters()
        groups = [
            {"params": weights, "weight_decay": settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
            {"params": scales, "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        if not groups:
            raise QguiError(WHAT, "no layer in mode qat has a weight", "Give a convolution or linear layer mode qat.")
        if settings.optimizer == "sgd":
            return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
        return torch.optim.AdamW(groups, lr=settings.learning_rate)

    # Steering

    def _rest(self) -> None:
        """Wait while the person paused the training, and take over what they changed."""
        began = time.monotonic()
        if self._control.paused:
            self._tell(paused=True, at_once=True)
            self._control.wait(self._progress.check)
            rested = time.monotonic() - began
            self._progress.leave_out(rested)
            self._run.loop_began += rested
            self._tell(at_once=True)
        change = self._control.taken_change()
        if change is not None:
            fresh = Steering(self._run.step, change.learning_rate, change.freeze_observers, change.freeze_batch_norm)
            earlier = tuple(s for s in self.settings.steering if s.step < fresh.step)
            self.settings = msgspec.structs.replace(self.settings, steering=(*earlier, fresh))
            self._tell(settings=self.settings, at_once=True)

    # Telling

    def _tell(
        self,
        settings: Training | None = None,
        references: References | None = None,
        records: tuple[EpochRecord, ...] = (),
        paused: bool = False,
        at_once: bool = False,
    ) -> None:
        now = time.monotonic()
        if not (at_once or settings or records) and now - self._told.at < _TELL_SECONDS:
            return
        run = self._run
        done = run.step - run.first_step
        left = (self._total_steps - run.step) * (now - run.loop_began) / done if done else None
        self._listener(
            TrainingUpdate(
                step=run.step,
                total=self._total_steps,
                epoch=run.epoch,
                epochs=self.settings.epochs,
                settings=settings,
                references=references,
                points=tuple(self._told.points),
                records=records,
                ranges=self.simulated.ranges(),
                best=run.best,
                paused=paused,
                seconds_left=left,
            )
        )
        self._told.points.clear()
        self._told.at = now

    def _checkpoint(self, folder: Path | None) -> None:
        if folder is None:
            return
        run = self._run
        assert self._references is not None
        name, best = f"epoch-{run.epoch:05d}.safetensors", f"best-{run.best:05d}.safetensors"
        checkpoint = Checkpoint(
            version=CHECKPOINT_VERSION,
            run=run_key(self._recipe),
            recipe=self._recipe,
            model=self._fingerprint,
            settings=self.settings,
            references=self._references,
            records=tuple(run.records),
            points=tuple(run.points.kept),
            epoch=run.epoch,
            step=run.step,
            best=run.best,
            state=name,
            best_state=best,
            samples=len(self.train_samples),
            seconds=run.seconds_before + time.monotonic() - run.began,
            saved=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        state = self.simulated.state() | training_state.optimizer_tensors(self._optimizer)
        training_state.write(folder, checkpoint, state, run.best_state)

    def _result(self) -> Result:
        run, settings = self._run, self.settings
        assert self._references is not None
        self.simulated.load_state(run.best_state)
        self.simulated.evaluate()
        trained = self.simulated.trained()
        recipe = msgspec.structs.replace(
            self._recipe, training=msgspec.structs.replace(self._recipe.training, steering=settings.steering)
        )
        outcome = TrainingOutcome(
            key=training_key(recipe),
            settings=settings,
            references=self._references,
            records=tuple(run.records),
            best=run.best,
            step=run.step,
            samples=len(self.train_samples),
            seconds=run.seconds_before + time.monotonic() - run.began,
            complete=run.epoch >= settings.epochs and not self._control.finishing,
        )
        return Result(trained, outcome, self.simulated, self.validation, _sentence(outcome))

    # Bad luck

    def _refuse_single_samples(self) -> None:
        learns = self.settings.freeze_batch_norm > 0 and self.simulated.has_batch_norm
        if learns and min(self.settings.batch_size, len(self.train_samples)) == 1:
            raise QguiError(
                WHAT,
                "a batch of one sample has no variance, and BatchNorm takes its statistics from the batches",
                "Use a batch size of two or more, or freeze BatchNorm from epoch 0.",
            )

    def _refuse_divergence(self, loss: float) -> None:
        run = self._run
        if run.divergence.seen(loss):
            rate = self.settings.at(run.step).learning_rate
            raise run.divergence.failure(run.step, run.epoch, run.best, rate)

    def _not_finite(self, batch: Batch, what: str, value: float) -> QguiError:
        """Return the failure of a loss or gradient that is no number, with the layer in which it begins."""
        run = self._run
        node = self.simulated.unfinite_weight() or first_unfinite(self.simulated.module, self._inputs(batch))
        node = node or self.simulated.unfinite_gradient()
        layer = self.simulated.layer_of(node) if node else ""
        return not_finite(what, value, layer, run.step, run.epoch, run.best if run.records else None)


@dataclass
class _Run:
    """How far a training is."""

    epoch: int = 0
    step: int = 0
    records: list[EpochRecord] = field(default_factory=list)
    points: Thinned = field(default_factory=Thinned)
    best: int = 0
    best_state: dict[str, torch.Tensor] = field(default_factory=dict)
    divergence: Divergence = field(default_factory=Divergence)
    first_step: int = 0
    began: float = field(default_factory=time.monotonic)
    loop_began: float = field(default_factory=time.monotonic)
    seconds_before: float = 0.0


@dataclass
class _Told:
    """What the listener has not been told yet, and when it was told last."""

    points: list[StepPoint] = field(default_factory=list)
    at: float = 0.0


def _memory() -> int:
    return int(psutil.Process(os.getpid()).memory_info().rss)


def _sentence(outcome: TrainingOutcome) -> str:
    """Return what was done as a sentence."""
    settings = outcome.settings
    kinds = {"distill": "distillation from the float model", "cross-entropy": "cross-entropy"}
    done = outcome.records[-1].epoch
    text = (
        f"Trained {done} epochs on {outcome.samples} samples with {kinds.get(settings.loss, settings.loss)}, "
        f"learning rate {settings.learning_rate:g}; the state of epoch {outcome.best} is taken."
    )
    if outcome.best == 0 and done:
        text += " No epoch was better than the start."
    return text
