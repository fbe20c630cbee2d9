"""How far a training is: its epochs, its best state, what the listener is told, and what a checkpoint says."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
import psutil
import torch

from qgui.core.language import say
from qgui.core.recipe import Recipe
from qgui.core.training import DISTILL, Steering, Training
from qgui.core.training_run import (
    CHECKPOINT_VERSION,
    Checkpoint,
    EpochRecord,
    References,
    StepPoint,
    Thinned,
    TrainingOutcome,
    TrainingUpdate,
    run_key,
    training_key,
)
from qgui.engine.training_failures import Divergence, worthless_loss
from qgui.engine.training_score import Scored

Listener = Callable[[TrainingUpdate], None]

_TELL_SECONDS = 0.1


@dataclass
class Course:
    """The state of one training.

    Attributes:
        settings: The settings in numbers, with what was changed while paused.
        steps_per_epoch: Optimizer steps of an epoch.
        listener: Told about steps and epochs.
        epoch: Epochs done.
        step: Optimizer steps done.
        records: Every epoch, the start first.
        points: Curve of the steps, thinned.
        best: Epoch of the best state.
        best_state: That state.
        references: The two lines; None before the start is scored.
        divergence: Watches the loss.
        first_step: Step at which this process began.
    """

    settings: Training
    steps_per_epoch: int
    listener: Listener
    epoch: int = 0
    step: int = 0
    records: list[EpochRecord] = field(default_factory=list)
    points: Thinned = field(default_factory=Thinned)
    best: int = 0
    best_state: dict[str, torch.Tensor] = field(default_factory=dict)
    references: References | None = None
    divergence: Divergence = field(default_factory=Divergence)
    first_step: int = 0
    _began: float = field(default_factory=time.monotonic)
    _loop_began: float = field(default_factory=time.monotonic)
    _seconds_before: float = 0.0
    _untold: list[StepPoint] = field(default_factory=list)
    _told_at: float = 0.0

    @property
    def total(self) -> int:
        """Optimizer steps in all."""
        return self.steps_per_epoch * self.settings.epochs

    @property
    def seconds(self) -> float:
        """Time trained, in this and in earlier processes."""
        return self._seconds_before + time.monotonic() - self._began

    def begin(self, references: References, start: Scored, seconds: float) -> None:
        """Take the start as epoch 0."""
        self.references = references
        self.divergence = Divergence(start.loss, worthless_loss(self.settings, start.classes))
        score = start.score(references.name)
        self.records.append(EpochRecord(0, 0, start.loss, start.loss, score, start.sqnr_db, seconds, _memory()))

    def go_on(self, found: Checkpoint, steering: tuple[Steering, ...], classes: int) -> None:
        """Go on where a checkpoint stands."""
        self.settings = msgspec.structs.replace(self.settings, steering=steering)
        self.epoch, self.step, self.records = found.epoch, found.step, list(found.records)
        self.best, self._seconds_before, self.first_step = found.best, found.seconds, found.step
        self.divergence = Divergence(found.records[0].validation_loss, worthless_loss(self.settings, classes))
        self.references = found.references
        for point in found.points:
            self.points.add(point)
        self._untold = list(found.points)

    def begin_loop(self) -> None:
        """Count the time of the steps from now on."""
        self._loop_began = time.monotonic()

    def leave_out(self, seconds: float) -> None:
        """Do not count time in which the training rested when estimating the time left."""
        self._loop_began += seconds

    def add_step(self, loss: float, norm: float, rate: float, score: float | None) -> None:
        """Take a step of the optimizer."""
        self.step += 1
        point = StepPoint(self.step, loss, norm, rate, score)
        self._untold.append(point)
        self.points.add(point)

    def add_epoch(self, losses: list[float], found: Scored, seconds: float) -> tuple[EpochRecord, bool]:
        """Take an epoch; return its record and whether it is the best so far."""
        assert self.references is not None
        self.epoch += 1
        loss, score = sum(losses) / len(losses), found.score(self.references.name)
        record = EpochRecord(self.epoch, self.step, loss, found.loss, score, found.sqnr_db, seconds, _memory())
        better = self._better(record, self.records[self.best])
        self.records.append(record)
        self.best = self.epoch if better else self.best
        return record, better

    def _better(self, record: EpochRecord, than: EpochRecord) -> bool:
        """Whether an epoch beats the best so far: by accuracy where labels are learned, else by the validation loss."""
        if not math.isfinite(record.validation_loss):
            return False
        if self.references is not None and self.references.name == "accuracy" and self.settings.loss != DISTILL:
            return (record.score, -record.validation_loss) > (than.score, -than.validation_loss)
        return record.validation_loss < than.validation_loss

    def steer(self, change: Steering) -> None:
        """Let other settings hold from the next step on."""
        fresh = msgspec.structs.replace(change, step=self.step)
        earlier = tuple(s for s in self.settings.steering if s.step < fresh.step)
        self.settings = msgspec.structs.replace(self.settings, steering=(*earlier, fresh))

    def tell(
        self,
        ranges: Callable[[], dict[str, tuple[float, float]]],
        *,
        settings: bool = False,
        records: tuple[EpochRecord, ...] = (),
        paused: bool = False,
        at_once: bool = False,
    ) -> None:
        """Tell the listener what is new, at most ten times a second unless it has to be told at once.

        Args:
            ranges: Returns the present ends of the ranges that move.
            settings: Whether settings and references are told.
            records: New epochs.
            paused: Whether the training rests.
            at_once: Whether it cannot wait.
        """
        now = time.monotonic()
        if not (at_once or settings or records) and now - self._told_at < _TELL_SECONDS:
            return
        done = self.step - self.first_step
        left = (self.total - self.step) * (now - self._loop_began) / done if done else None
        update = TrainingUpdate(
            step=self.step,
            total=self.total,
            epoch=self.epoch,
            epochs=self.settings.epochs,
            settings=self.settings if settings else None,
            references=self.references if settings else None,
            points=tuple(self._untold),
            records=records,
            ranges=ranges(),
            best=self.best,
            paused=paused,
            seconds_left=left,
        )
        self._untold.clear()
        self._told_at = now
        self.listener(update)

    def checkpoint(self, recipe: Recipe, fingerprint: str, samples: int) -> Checkpoint:
        """Return the readable half of a checkpoint.

        Args:
            recipe: The decisions.
            fingerprint: Of the float weights.
            samples: Samples trained on.
        """
        assert self.references is not None
        return Checkpoint(
            version=CHECKPOINT_VERSION,
            run=run_key(recipe),
            recipe=recipe,
            model=fingerprint,
            settings=self.settings,
            references=self.references,
            records=tuple(self.records),
            points=tuple(self.points.kept),
            epoch=self.epoch,
            step=self.step,
            best=self.best,
            state=f"epoch-{self.epoch:05d}.safetensors",
            best_state=f"best-{self.best:05d}.safetensors",
            samples=samples,
            seconds=self.seconds,
            saved=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def outcome(self, recipe: Recipe, samples: int, finished: bool) -> TrainingOutcome:
        """Return what the training came to.

        Args:
            recipe: The decisions.
            samples: Samples trained on.
            finished: Whether the person ended it before its last epoch.
        """
        assert self.references is not None
        steered = msgspec.structs.replace(recipe.training, steering=self.settings.steering)
        return TrainingOutcome(
            key=training_key(msgspec.structs.replace(recipe, training=steered)),
            settings=self.settings,
            references=self.references,
            records=tuple(self.records),
            best=self.best,
            step=self.step,
            samples=samples,
            seconds=self.seconds,
            complete=self.epoch >= self.settings.epochs and not finished,
        )


def _memory() -> int:
    return int(psutil.Process(os.getpid()).memory_info().rss)


def sentence(outcome: TrainingOutcome) -> str:
    """Return what was done as a sentence."""
    settings = outcome.settings
    kinds = {"distill": say("distillation from the float model"), "cross-entropy": "cross-entropy"}
    done = outcome.records[-1].epoch
    text = say(
        "Trained {done} epochs on {samples} samples with {loss}, "
        "learning rate {learning_rate:g}; the state of epoch {best} is taken.",
        done=done,
        samples=outcome.samples,
        loss=kinds.get(settings.loss, settings.loss),
        learning_rate=settings.learning_rate,
        best=outcome.best,
    )
    if outcome.best == 0 and done:
        text += say(" No epoch was better than the start.")
    return text
