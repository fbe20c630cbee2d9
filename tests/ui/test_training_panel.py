"""The training panel: what it shows, what its buttons do, and what they say when they can do nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import ui_samples
from pytestqt.qtbot import QtBot

from qgui.core import decisions, legality, messages
from qgui.core.recipe import Mode
from qgui.core.training import Training
from qgui.core.training_run import StepPoint, TrainingUpdate
from qgui.ui.actions import ActionId
from qgui.ui.document import Document
from qgui.ui.main_window import MainWindow
from qgui.ui.theme import ThemeName
from qgui.ui.training_panel import TrainingPanel
from qgui.ui.training_watch import TrainingState, TrainingWatch

LONG = Training(epochs=10, learning_rate=1e-3)


@pytest.fixture
def trainable(qtbot: QtBot, opened: MainWindow) -> MainWindow:
    """The window with a layer in mode qat and a training that only ends when it is asked to."""
    opened.document.decide("Mode", ["head"], decisions.mode_edit(Mode.QAT, "x86"))
    opened.document.change_training("Training", LONG)
    qtbot.waitUntil(opened.actions_by_id[ActionId.TRAIN].isEnabled)
    opened.workbench.show_training()
    return opened


def panel_of(window: MainWindow) -> TrainingPanel:
    return window.workbench.training_panel


def in_state(window: MainWindow, state: TrainingState) -> Callable[[], bool]:
    return lambda: window.training.watch.state is state


def started(qtbot: QtBot, window: MainWindow) -> TrainingPanel:
    """Start the training and wait until it has told its first epoch."""
    panel = panel_of(window)
    panel.start.click()
    qtbot.waitUntil(lambda: bool(window.training.watch.records))
    qtbot.waitUntil(panel.pause.isEnabled)
    return panel


def test_that_training_is_refused_with_a_reason_until_a_layer_is_qat(qtbot: QtBot, opened: MainWindow) -> None:
    panel = panel_of(opened)
    opened.workbench.show_training()
    qtbot.waitUntil(lambda: "No layer is in mode qat" in panel.banner.label.text())
    for button in (panel.start, panel.pause, panel.resume, panel.cancel, panel.keep, panel.measure):
        assert not button.isEnabled()
        assert button.toolTip(), button.objectName()
    assert "mode qat" in opened.actions_by_id[ActionId.TRAIN].toolTip()


def test_that_all_layers_can_be_given_to_the_training_at_once(qtbot: QtBot, opened: MainWindow) -> None:
    panel = panel_of(opened)
    opened.workbench.show_training()
    qtbot.waitUntil(lambda: panel.banner.button.text() == "Train all layers")
    panel.banner.button.click()
    document = opened.document
    assert document.model is not None
    reasons = {layer.name: legality.mode_reasons(layer, "x86")[Mode.QAT] for layer in document.model.layers}
    weighted = [layer for layer in document.model.layers if layer.weight_shape and not reasons[layer.name]]
    assert weighted
    assert all(document.recipe.rule(layer.name).mode is Mode.QAT for layer in weighted)
    qtbot.waitUntil(panel.start.isEnabled)
    document.undo_stack.undo()
    assert not document.trains


def test_that_training_calibrates_first_and_shows_its_curves(
    qtbot: QtBot, trainable: MainWindow, heard: Callable[[], list[str]]
) -> None:
    panel = started(qtbot, trainable)
    assert heard()[-2:] == ["Calibrate", "Train"]
    assert trainable.workbench.tabs.currentWidget() is panel
    watch = trainable.training.watch
    assert [record.epoch for record in watch.records] == [0, 1]
    assert watch.loss.steps == [1, 2, 3, 4]
    qtbot.waitUntil(lambda: "01:05 left" in panel.status.text())
    assert "Best so far: epoch 1, accuracy 95.0 %" in panel.status.text()
    assert [line.label for line in panel.score._lines] == ["float", "static int8"]
    panel.cancel.click()
    qtbot.waitUntil(in_state(trainable, TrainingState.STOPPED))


def test_that_a_training_is_paused_changed_resumed_and_kept(qtbot: QtBot, trainable: MainWindow) -> None:
    panel = started(qtbot, trainable)
    assert not panel.form.learning_rate.isEnabled()
    panel.pause.click()
    qtbot.waitUntil(in_state(trainable, TrainingState.PAUSED))
    qtbot.waitUntil(panel.form.learning_rate.isEnabled)
    assert not panel.form.epochs.isEnabled()
    assert "paused" in panel.form.epochs.toolTip()
    before = trainable.document.recipe
    panel.form.learning_rate.setValue(2e-4)
    assert trainable.document.recipe == before
    panel.resume.click()
    qtbot.waitUntil(in_state(trainable, TrainingState.RUNNING))
    with qtbot.waitSignal(trainable.workflow.step_finished, check_params_cb=lambda step: step == "quantize"):
        panel.keep.click()
    assert trainable.training.watch.state is TrainingState.ENDED
    (change,) = trainable.document.recipe.training.steering
    assert change.learning_rate == 2e-4
    assert trainable.document.result is not None
    assert not trainable.document.result_stale
    trainable.document.undo_stack.undo()
    assert trainable.document.recipe.training == LONG


def test_that_the_best_state_of_a_cancelled_training_can_be_kept(
    qtbot: QtBot, trainable: MainWindow, heard: Callable[[], list[str]]
) -> None:
    panel = started(qtbot, trainable)
    panel.cancel.click()
    qtbot.waitUntil(in_state(trainable, TrainingState.STOPPED))
    assert trainable.document.result is None
    qtbot.waitUntil(panel.keep.isEnabled)
    with qtbot.waitSignal(trainable.workflow.step_finished, check_params_cb=lambda step: step == "quantize"):
        panel.keep.click()
    assert heard()[-1] == "KeepTraining"
    assert trainable.document.result is not None


def test_that_an_interrupted_training_is_offered_and_goes_on(
    qtbot: QtBot, trainable: MainWindow, heard: Callable[[], list[str]]
) -> None:
    folder = trainable.training.folder
    folder.mkdir(parents=True)
    kept = ui_samples.checkpoint(trainable.document.recipe)
    (folder / "training.json").write_bytes(messages.msgspec.json.encode(kept))
    trainable.training._look()
    panel = panel_of(trainable)
    qtbot.waitUntil(lambda: "interrupted after epoch 1 of 10" in panel.banner.label.text())
    assert trainable.training.watch.loss.steps == [1, 2, 3, 4]
    assert panel.resume.isEnabled()
    panel.resume.click()
    qtbot.waitUntil(in_state(trainable, TrainingState.RUNNING))
    qtbot.waitUntil(lambda: "Train" in heard())
    panel.cancel.click()
    qtbot.waitUntil(in_state(trainable, TrainingState.STOPPED))


def test_that_the_check_of_the_conversion_is_shown_with_its_causes(qtbot: QtBot, trainable: MainWindow) -> None:
    trainable.document.change_training("Training", Training(epochs=1))
    with qtbot.waitSignal(trainable.workflow.step_finished, check_params_cb=lambda step: step == "quantize"):
        trainable.actions_by_id[ActionId.TRAIN].trigger()
    panel = panel_of(trainable)
    qtbot.waitUntil(lambda: "Saturation" in panel.warning.label.text())
    assert "95.0 % in int8" in panel.status.text()
    assert "already" in panel.keep.toolTip()


def test_that_the_time_is_estimated_before_the_start(qtbot: QtBot, trainable: MainWindow) -> None:
    panel = panel_of(trainable)
    panel.measure.click()
    qtbot.waitUntil(lambda: "About 04:10" in panel.status.text())
    trainable.document.change_training("Training", Training(epochs=2))
    qtbot.waitUntil(lambda: "About" not in panel.status.text())


def test_that_a_failed_training_is_told_and_the_panel_is_usable_again(qtbot: QtBot, trainable: MainWindow) -> None:
    trainable.document.change_training("Training", Training(loss="nan"))
    with qtbot.waitSignal(trainable.workflow.failed):
        trainable.actions_by_id[ActionId.TRAIN].trigger()
    panel = panel_of(trainable)
    qtbot.waitUntil(panel.start.isEnabled)
    assert "stem.conv" in panel.status.text()


def test_that_a_setting_is_one_undo_step(qtbot: QtBot, trainable: MainWindow) -> None:
    form, document = panel_of(trainable).form, trainable.document
    form.epochs.setValue(3)
    form.epochs.setValue(4)
    assert document.recipe.training.epochs == 4
    form.optimizer.chosen.emit("adamw")
    assert document.recipe.training.optimizer == "adamw"
    document.undo_stack.undo()
    document.undo_stack.undo()
    assert document.recipe.training == LONG
    qtbot.waitUntil(lambda: form.epochs.value() == 10)


def test_that_settings_left_alone_say_what_is_chosen(qtbot: QtBot, trainable: MainWindow) -> None:
    trainable.document.change_training("Training", Training())
    form = panel_of(trainable).form
    qtbot.waitUntil(lambda: form.epochs.text().startswith("automatic ("))
    assert form.batch_size.text().startswith("automatic (")
    assert form.loss.currentText() == "automatic (cross-entropy)"
    form.choose_loss_file("mine.py")
    assert trainable.document.recipe.training.loss == "mine.py:loss"
    qtbot.waitUntil(lambda: form.own.text() == "mine.py:loss")


def test_that_the_help_says_when_training_is_worth_it(trainable: MainWindow) -> None:
    panel = panel_of(trainable)
    panel.help_button.setChecked(True)
    assert "Try static int8 first" in panel.help.label.text()
    panel.help_button.setChecked(False)
    assert not panel.help.isVisible()


def test_that_the_range_of_the_selected_layer_moves_over_its_histogram(qtbot: QtBot, trainable: MainWindow) -> None:
    panel = started(qtbot, trainable)
    trainable.layer_panel.select(["stem.conv"])
    qtbot.waitUntil(panel.track._marks[1].isVisible)
    assert panel.track._marks[1].value() == 5.5
    assert "scale 0.02157" in panel._titles[3].text()
    trainable.layer_panel.select(["weird.fc"])
    qtbot.waitUntil(lambda: not panel.track._marks[1].isVisible())
    panel.cancel.click()
    qtbot.waitUntil(in_state(trainable, TrainingState.STOPPED))


def test_that_a_hundred_thousand_steps_are_told_ten_times_a_second_and_stay_small(
    qtbot: QtBot, document: Document
) -> None:
    watch = TrainingWatch(document)
    drawn: list[int] = []
    watch.changed.connect(lambda: drawn.append(watch.step))
    watch.begin()
    for first in range(0, 100_000, 500):
        points = tuple(StepPoint(step, 1.0, 1.0, 1e-3, 0.5) for step in range(first + 1, first + 501))
        watch.take(TrainingUpdate(first + 500, 100_000, 0, 1, points=points))
    with qtbot.waitSignal(watch.changed):
        watch.take(TrainingUpdate(100_000, 100_000, 0, 1))
    assert len(watch.loss) <= 1024
    assert watch.loss.steps[-1] == 100_000
    assert len(drawn) < 60


def test_that_a_worker_lost_while_training_leaves_a_checkpoint_to_go_on_with(
    qtbot: QtBot, trainable: MainWindow, tmp_path: Path
) -> None:
    panel = started(qtbot, trainable)
    process = trainable.client._process
    assert process is not None
    with qtbot.waitSignals([trainable.workflow.failed, trainable.client.ready]):
        process.kill()
    qtbot.waitUntil(panel.resume.isEnabled)
    assert "interrupted after epoch 1" in panel.banner.label.text()


def test_that_another_theme_leaves_the_unit_of_the_score(qtbot: QtBot, trainable: MainWindow) -> None:
    axis = panel_of(trainable).score.getAxis("left")
    qtbot.waitUntil(lambda: axis.labelText == "accuracy in %")
    trainable.theme.choose(ThemeName.DARK)
    assert axis.labelText == "accuracy in %"
