"""Training from the window: the jobs, what steers them, and where their checkpoints lie."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
from PySide6.QtCore import QObject, Signal

from qgui.core import messages
from qgui.core.errors import QguiError
from qgui.core.training import Steering
from qgui.core.training_run import Checkpoint, TrainingEstimate, read_checkpoint, run_key
from qgui.ui.document import Document
from qgui.ui.jobs import Job
from qgui.ui.later import Later
from qgui.ui.recovery import state_folder
from qgui.ui.training_watch import TrainingState, TrainingWatch
from qgui.ui.worker_client import WorkerClient
from qgui.ui.workflow import Workflow

#: Runs whose checkpoints are kept; older ones go.
_KEPT_RUNS = 5


class TrainingWork(QObject):
    """Starts, steers and ends trainings of the document's recipe.

    Signals:
        estimated: A `TrainingEstimate`, or None where the last one no longer holds.
        checkpoint_changed: There is another checkpoint for the recipe, or none.
        began: A training is on its way to the worker.

    Args:
        document: What is trained.
        client: The worker.
        workflow: For calibration and results.
        folder: Where checkpoints are kept, by default in the person's state folder.
        parent: Qt parent.
    """

    estimated = Signal(object)
    checkpoint_changed = Signal()
    began = Signal()

    def __init__(
        self,
        document: Document,
        client: WorkerClient,
        workflow: Workflow,
        folder: Path | None = None,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._document = document
        self._client = client
        self._workflow = workflow
        self._root = folder or state_folder().parent / "training"
        self._look_later = Later(self._look, self)
        self.watch = TrainingWatch(self)
        self.checkpoint: Checkpoint | None = None
        self.problem = ""
        client.training_progressed.connect(self.watch.take)
        document.recipe_changed.connect(self._on_recipe)
        document.model_changed.connect(self._on_model)
        document.data_changed.connect(self._on_recipe)

    @property
    def folder(self) -> Path:
        """Where the checkpoint of the present recipe belongs."""
        return self._root / run_key(self._document.recipe)

    # Jobs

    def start(self, resume: bool = False) -> None:
        """Train, or go on from the checkpoint of this recipe; calibrates first where ranges are missing."""
        if self._document.ranges is None:
            self._workflow.calibrate(then=lambda: self.start(resume))
            return
        recipe, folder = self._document.recipe, self.folder
        self.problem = ""
        self._make_room(folder)
        self.watch.begin()
        command = messages.Train(recipe=recipe, folder=str(folder), resume=resume)
        job = Job(command, self.tr("Training")).success(self._take).stopped(self._on_stopped)
        self._client.submit(job.failure(self._on_failed))
        self.began.emit()

    def keep_best(self) -> None:
        """End the running training, or take the checkpoint of one that was stopped, and keep the best state."""
        if self.watch.running:
            self._client.steer("finish")
            return
        if self._document.ranges is None:
            self._workflow.calibrate(then=self.keep_best)
            return
        command = messages.KeepTraining(recipe=self._document.recipe, folder=str(self.folder))
        job = Job(command, self.tr("Keeping the best state")).success(self._take)
        self._client.submit(job)

    def estimate(self) -> None:
        """Measure a few steps; calibrates first where ranges are missing."""
        if self._document.ranges is None:
            self._workflow.calibrate(then=self.estimate)
            return

        def told(event: messages.TrainingEstimated) -> None:
            found: TrainingEstimate = event.estimate
            self.estimated.emit(found)

        command = messages.EstimateTraining(recipe=self._document.recipe)
        self._client.submit(Job(command, self.tr("Measuring steps")).success(told))

    # Steering

    def pause(self) -> None:
        """Let the training rest after its present step."""
        self.watch.set_state(TrainingState.PAUSING)
        self._client.steer("pause")

    def resume(self, change: Steering | None = None) -> None:
        """Go on with the paused training, with other settings where some are given."""
        self._client.steer("resume", change)

    def cancel(self) -> None:
        """Stop the training; its best state so far can still be kept."""
        self._client.cancel()

    # Outcomes

    def _take(self, event: messages.Trained) -> None:
        steering = event.outcome.settings.steering
        training = self._document.recipe.training
        if steering != training.steering:
            steered = msgspec.structs.replace(training, steering=steering)
            self._document.change_training(self.tr("Change of the training while paused"), steered)
        self.watch.end(event.outcome)
        self._workflow.adopt(event.result)
        self._look()

    def _on_stopped(self) -> None:
        self.watch.set_state(TrainingState.STOPPED)
        self._look()

    def _on_failed(self, event: messages.Failed) -> None:
        self.problem = f"{event.what}: {event.why}. {event.next_step}"
        self.watch.set_state(TrainingState.STOPPED)
        self._look()
        self._workflow.failed.emit(event)

    def _on_recipe(self) -> None:
        self.estimated.emit(None)
        self._look_later.ask()

    def _on_model(self) -> None:
        self.problem = ""
        self.watch.reset()
        self._on_recipe()

    def _look(self) -> None:
        """See whether there is a checkpoint of this recipe."""
        found = None
        if self._document.model is not None and self._document.trains:
            try:
                found = read_checkpoint(self.folder)
            except QguiError:
                found = None
        if found != self.checkpoint or self.watch.state is TrainingState.STOPPED:
            self.checkpoint = found
            self.checkpoint_changed.emit()

    def _make_room(self, coming: Path) -> None:
        """Remove the oldest runs, so that only a few are kept."""
        if not self._root.is_dir():
            return
        others = [entry for entry in self._root.iterdir() if entry.is_dir() and entry != coming]
        others.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
        for old in others[_KEPT_RUNS - 1 :]:
            shutil.rmtree(old, ignore_errors=True)
