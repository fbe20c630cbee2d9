"""The strip of steps: what is done, what is next, what has to be done again."""

from collections.abc import Iterable

import pytest
import ui_samples
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from qgui.core import decisions
from qgui.core.recipe import Mode
from qgui.ui.actions import ActionId
from qgui.ui.document import Document
from qgui.ui.main_window import MainWindow
from qgui.ui.steps import STEPS, StepState, step_title, steps_now


def states(document: Document) -> list[str]:
    return [step.state.value for step in steps_now(document)]


def following(document: Document) -> list[str]:
    return [step_title(step.action) for step in steps_now(document) if step.following]


def test_that_an_empty_document_offers_the_model_only(qapp: object) -> None:
    document = Document()
    assert states(document) == ["next"] + ["waiting"] * 6
    document.deleteLater()


def test_that_each_step_done_offers_the_one_after_it(calibrated: Document, tmp_path: object) -> None:
    assert states(calibrated) == ["done"] * 4 + ["next", "waiting", "waiting"]
    calibrated.set_result(ui_samples.result(calibrated.recipe))
    assert following(calibrated) == ["Compare"]
    calibrated.set_comparison(ui_samples.comparison(calibrated.recipe))
    assert following(calibrated) == ["Export"]
    calibrated.set_exports(ui_samples.exports(tmp_path))  # type: ignore[arg-type]
    assert states(calibrated) == ["done"] * 7
    assert following(calibrated) == []


def test_that_a_decision_makes_what_follows_stale_and_undo_makes_it_right_again(
    calibrated: Document, tmp_path: object
) -> None:
    calibrated.set_result(ui_samples.result(calibrated.recipe))
    calibrated.set_comparison(ui_samples.comparison(calibrated.recipe))
    calibrated.set_exports(ui_samples.exports(tmp_path))  # type: ignore[arg-type]
    calibrated.decide("Mode", ["head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    assert states(calibrated) == ["done"] * 4 + ["stale"] * 3
    assert following(calibrated) == ["Quantize"]
    calibrated.set_result(ui_samples.result(calibrated.recipe))
    calibrated.set_comparison(ui_samples.comparison(calibrated.recipe))
    assert following(calibrated) == ["Export"]
    assert "export again" in steps_now(calibrated)[-1].sentence


@pytest.mark.parametrize(("mode", "calibrate"), [(Mode.FLOAT, "unneeded"), (Mode.DYNAMIC, "unneeded")])
def test_that_calibrating_is_not_asked_for_where_no_layer_needs_it(
    calibrated: Document, mode: Mode, calibrate: str
) -> None:
    names: Iterable[str] = [layer.name for layer in calibrated.model.layers] if calibrated.model else []
    calibrated.decide("Mode", names, decisions.mode_edit(Mode.FLOAT, "x86"))
    calibrated.decide("Mode", ["rnn"], decisions.mode_edit(mode, "x86"))
    assert steps_now(calibrated)[STEPS.index(ActionId.CALIBRATE)].state is StepState(calibrate)
    assert following(calibrated) == (["Recipe"] if mode is Mode.FLOAT else ["Quantize"])


def test_that_a_step_is_done_by_key_and_a_step_that_is_not_possible_says_why(qtbot: QtBot, window: MainWindow) -> None:
    buttons = window.bar.steps.buttons
    assert "Open a model first" in buttons[ActionId.QUANTIZE].toolTip()
    assert buttons[ActionId.QUANTIZE].accessibleName() == "Quantize: not yet"
    buttons[ActionId.OPEN_MODEL].setFocus()
    qtbot.keyClick(buttons[ActionId.OPEN_MODEL], Qt.Key.Key_Space)
    assert window.findChild(object, "openModelDialog") is not None


def test_that_a_stale_step_is_marked_in_words(qtbot: QtBot, opened: MainWindow) -> None:
    button = opened.bar.steps.buttons[ActionId.QUANTIZE]
    with qtbot.waitSignal(opened.workflow.step_finished, check_params_cb=lambda step: step == "quantize"):
        button.click()
    qtbot.waitUntil(lambda: button.accessibleName() == "Quantize: done")
    opened.document.decide("Mode", ["head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    qtbot.waitUntil(lambda: button.text() == "Quantize: stale")
    qtbot.waitUntil(lambda: bool(button.property("nextStep")))


def test_that_the_recipe_step_leads_to_the_layer_table(qtbot: QtBot, opened: MainWindow) -> None:
    qtbot.waitUntil(opened.bar.steps.buttons[ActionId.DECIDE].isEnabled)
    opened.bar.steps.buttons[ActionId.DECIDE].click()
    assert opened.focusWidget() is opened.layer_panel.view
