"""What the window knows of a training: curves of bounded size, the two lines, and how it stands."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from PySide6.QtCore import QObject, QTimer, Signal

from qgui.core.training import Training
from qgui.core.training_run import Checkpoint, Curve, EpochRecord, References, TrainingOutcome, TrainingUpdate

#: The plots follow at most ten times a second.
_REFRESH_MS = 100


class TrainingState(enum.Enum):
    """How a training stands."""

    IDLE = "idle"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    ENDED = "ended"
    STOPPED = "stopped"


@dataclass
class RangeTrack:
    """How the range of a tensor moved, over the steps."""

    low: Curve
    high: Curve


class TrainingWatch(QObject):
    """Gathers what a training tells.

    Signals:
        changed: Curves differ; at most ten times a second.
        state_changed: The training stands otherwise.

    Args:
        parent: Qt parent.
    """

    changed = Signal()
    state_changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REFRESH_MS)
        self._timer.timeout.connect(self.changed)
        self.state = TrainingState.IDLE
        self._clear()

    def _clear(self) -> None:
        self.loss, self.score, self.gradient = Curve(), Curve(), Curve()
        self.records: list[EpochRecord] = []
        self.references: References | None = None
        self.settings: Training | None = None
        self.outcome: TrainingOutcome | None = None
        self.ranges: dict[str, RangeTrack] = {}
        self.step = self.total = self.epoch = self.epochs = self.best = 0
        self.seconds_left: float | None = None

    @property
    def running(self) -> bool:
        """Whether a training runs or rests."""
        return self.state in {TrainingState.RUNNING, TrainingState.PAUSING, TrainingState.PAUSED}

    def begin(self) -> None:
        """Forget the training before."""
        self._clear()
        self.set_state(TrainingState.RUNNING)
        self.changed.emit()

    def reset(self) -> None:
        """Forget everything: there is no training."""
        self._clear()
        self._timer.stop()
        self.set_state(TrainingState.IDLE)
        self.changed.emit()

    def set_state(self, state: TrainingState) -> None:
        """Take note of how the training stands."""
        if state is not self.state:
            self.state = state
            self.state_changed.emit()

    def take(self, update: TrainingUpdate) -> None:
        """Take in what a training tells."""
        self.step, self.total = update.step, update.total
        self.epoch, self.epochs, self.best = update.epoch, update.epochs, update.best
        self.settings = update.settings or self.settings
        self.references = update.references or self.references
        self.seconds_left = update.seconds_left
        for point in update.points:
            self.loss.add(point.step, point.loss)
            self.gradient.add(point.step, point.gradient_norm)
            if point.score is not None:
                self.score.add(point.step, point.score)
        self.records += update.records
        for tensor, (low, high) in update.ranges.items():
            track = self.ranges.setdefault(tensor, RangeTrack(Curve(256), Curve(256)))
            track.low.add(update.step, low)
            track.high.add(update.step, high)
        if update.paused:
            self.set_state(TrainingState.PAUSED)
        elif self.state is TrainingState.PAUSED:
            self.set_state(TrainingState.RUNNING)
        if not self._timer.isActive():
            self._timer.start()

    def show_checkpoint(self, found: Checkpoint) -> None:
        """Show the curves of a training that was interrupted."""
        self._clear()
        self.step, self.epoch, self.best = found.step, found.epoch, found.best
        self.epochs = found.settings.epochs
        self.settings, self.references, self.records = found.settings, found.references, list(found.records)
        for point in found.points:
            self.loss.add(point.step, point.loss)
            self.gradient.add(point.step, point.gradient_norm)
            if point.score is not None:
                self.score.add(point.step, point.score)
        self.changed.emit()

    def end(self, outcome: TrainingOutcome) -> None:
        """Take the outcome."""
        self.outcome = outcome
        self.records, self.best, self.settings = list(outcome.records), outcome.best, outcome.settings
        self.references = outcome.references
        self.seconds_left = None
        self.set_state(TrainingState.ENDED)
        self.changed.emit()
