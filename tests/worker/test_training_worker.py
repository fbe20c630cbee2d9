"""Training in the worker process: told, paused, resumed, cancelled in time, and gone on with after a crash."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from worker_process import Worker

from qgui.core import advice, messages
from qgui.core.recipe import DataReference, Mode, ModelReference, Recipe, Rule
from qgui.core.training import Steering, Training
from qgui.core.training_run import CHECKPOINT, read_checkpoint, training_key

DATA = DataReference("example:digits", calibrate=48, evaluate=48)
CNN = ModelReference("example:digits-cnn")
SHORT = Training(epochs=2, batch_size=8, samples=40, loss="distill")
LONG = Training(epochs=200, batch_size=8, samples=40, loss="distill")


def ready(worker: Worker, tmp_path: Path, settings: Training) -> Recipe:
    """Open and calibrate the example, and return a recipe whose layers are to be trained."""
    worker.do(messages.OpenModel, model=CNN)
    data = worker.do(messages.OpenData, data=DATA)
    assert isinstance(data, messages.DataOpened), data
    assert data.model is not None
    worker.do(messages.Calibrate, path=str(tmp_path / "s.npz"))
    rules = advice.advised_rules(data.model, Mode.QAT, "x86")
    return Recipe(model=CNN, data=DATA, backend="x86", rules=rules, training=settings)


def told(worker: Worker, wanted: Callable[[messages.TrainingProgress], bool]) -> messages.TrainingProgress:
    """Return the first report of a training that is wanted."""
    found = worker.until(lambda event: isinstance(event, messages.TrainingProgress) and wanted(event))
    assert isinstance(found, messages.TrainingProgress)
    return found


def test_a_training_tells_its_steps_and_ends_with_a_checked_model(worker: Worker, tmp_path: Path) -> None:
    recipe = ready(worker, tmp_path, SHORT)
    job = worker.start(messages.Train, recipe=recipe, folder=str(tmp_path / "t"))
    first = told(worker, lambda event: event.update.references is not None)
    assert first.job == job
    assert first.update.settings is not None
    points = list(first.update.points)
    records = list(first.update.records)

    def ended(event: messages.AnyEvent) -> bool:
        if isinstance(event, messages.TrainingProgress):
            points.extend(event.update.points)
            records.extend(event.update.records)
        return isinstance(event, messages.Trained | messages.Failed)

    found = worker.until(ended)
    assert isinstance(found, messages.Trained), found
    assert [point.step for point in points] == list(range(1, 9))
    assert [record.epoch for record in records] == [0, 1, 2]
    assert found.outcome.key == training_key(recipe)
    assert found.outcome.check is not None
    assert found.outcome.check.agreement == 1.0
    assert found.result.recipe_hash == recipe.digest()
    again = worker.do(messages.Quantize, recipe=recipe)
    assert isinstance(again, messages.Quantized), again
    assert again.result.layers == found.result.layers
    assert not any(progress.phase == "Training" for progress in worker.progress)


def test_the_time_is_estimated_before_the_start(worker: Worker, tmp_path: Path) -> None:
    recipe = ready(worker, tmp_path, SHORT)
    found = worker.do(messages.EstimateTraining, recipe=recipe)
    assert isinstance(found, messages.TrainingEstimated), found
    assert found.estimate.steps == 8
    assert found.estimate.seconds > 0


def test_a_training_is_paused_changed_resumed_and_finished(worker: Worker, tmp_path: Path) -> None:
    recipe = ready(worker, tmp_path, LONG)
    job = worker.start(messages.Train, recipe=recipe, folder=str(tmp_path / "t"))
    told(worker, lambda event: bool(event.update.points))
    worker.send(messages.SteerTraining(job=job, action="pause"))
    resting = told(worker, lambda event: event.update.paused)
    change = Steering(0, 2e-6, 1, 0)
    worker.send(messages.SteerTraining(job=job, action="resume", change=change))
    going = told(worker, lambda event: event.update.settings is not None)
    assert going.update.settings is not None
    assert going.update.settings.steering[-1].learning_rate == 2e-6
    assert going.update.settings.steering[-1].step == resting.update.step
    worker.send(messages.SteerTraining(job=job, action="finish"))
    found = worker.answer(job)
    assert isinstance(found, messages.Trained), found
    assert not found.outcome.complete


@pytest.mark.parametrize("paused", [False, True])
def test_a_training_is_cancelled_within_three_seconds_and_its_best_state_kept(
    worker: Worker, tmp_path: Path, paused: bool
) -> None:
    recipe = ready(worker, tmp_path, LONG)
    job = worker.start(messages.Train, recipe=recipe, folder=str(tmp_path / "t"))
    told(worker, lambda event: event.update.epoch >= 1)
    if paused:
        worker.send(messages.SteerTraining(job=job, action="pause"))
        told(worker, lambda event: event.update.paused)
    began = time.monotonic()
    worker.send(messages.Cancel(job=job))
    assert isinstance(worker.answer(job), messages.Stopped)
    assert time.monotonic() - began < 3.0
    kept = worker.do(messages.KeepTraining, recipe=recipe, folder=str(tmp_path / "t"))
    assert isinstance(kept, messages.Trained), kept
    assert kept.outcome.check is not None


def test_a_training_goes_on_in_another_process_after_its_own_was_killed(
    fresh_worker: Callable[[], Worker], tmp_path: Path
) -> None:
    folder = tmp_path / "t"
    first = fresh_worker()
    recipe = ready(first, tmp_path, Training(epochs=6, batch_size=8, samples=40, loss="distill"))
    first.start(messages.Train, recipe=recipe, folder=str(folder))
    told(first, lambda event: event.update.epoch >= 2)
    first.process.kill()
    first.process.wait()
    assert (folder / CHECKPOINT).exists()
    found = read_checkpoint(folder)
    assert found is not None
    assert 2 <= found.epoch < 6
    second = fresh_worker()
    ready(second, tmp_path, SHORT)
    job = second.start(messages.Train, recipe=recipe, folder=str(folder), resume=True)
    begun = told(second, lambda event: event.update.references is not None)
    assert begun.update.epoch == found.epoch
    assert [record.epoch for record in begun.update.records] == list(range(found.epoch + 1))
    ended = second.answer(job)
    assert isinstance(ended, messages.Trained), ended
    assert ended.outcome.records[-1].epoch == 6


def test_a_checkpoint_of_another_recipe_is_refused_and_the_worker_goes_on(worker: Worker, tmp_path: Path) -> None:
    recipe = ready(worker, tmp_path, SHORT)
    assert isinstance(worker.do(messages.Train, recipe=recipe, folder=str(tmp_path / "t")), messages.Trained)
    other = recipe.with_rules({"stem.0": Rule()})
    refused = worker.do(messages.Train, recipe=other, folder=str(tmp_path / "t"), resume=True)
    assert isinstance(refused, messages.Failed)
    assert "another recipe" in refused.why
    assert isinstance(worker.do(messages.Quantize, recipe=recipe), messages.Quantized)
