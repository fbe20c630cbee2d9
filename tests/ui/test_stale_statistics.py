"""Leaving samples out, agreeing to finite values only, and what the window does about statistics that became stale."""

from collections.abc import Callable

import ui_samples
from PySide6.QtWidgets import QDialog, QPushButton
from pytestqt.qtbot import QtBot

from qgui.core.recipe import DataReference, ModelReference
from qgui.ui.actions import ActionId
from qgui.ui.document import Document
from qgui.ui.main_window import MainWindow
from qgui.ui.steps import next_step


def step(window: MainWindow, name: str) -> object:
    return {"signal": window.workflow.step_finished, "check_params_cb": lambda finished: finished == name}


def test_that_leaving_a_sample_out_makes_the_statistics_stale_and_undoing_fresh(calibrated: Document) -> None:
    assert calibrated.statistics_stale == ""
    calibrated.leave_out(17)
    assert "sample 17 was left out" in calibrated.statistics_stale
    assert calibrated.recipe.data.excluded == (17,)
    assert calibrated.undo_stack.undoText() == "Leave out sample 17"
    following = next_step(calibrated)
    assert following is not None
    assert following[0] is ActionId.CALIBRATE
    assert "sample 17" in following[1]
    calibrated.undo_stack.undo()
    assert calibrated.statistics_stale == ""
    assert calibrated.recipe.data.excluded == ()


def test_that_a_sample_is_taken_back(calibrated: Document) -> None:
    calibrated.leave_out(17)
    calibrated.leave_out(4)
    calibrated.leave_out(4)
    assert calibrated.recipe.data.excluded == (4, 17)
    calibrated.take_back(17)
    calibrated.take_back(17)
    assert calibrated.recipe.data.excluded == (4,)
    assert calibrated.undo_stack.count() == 3
    while calibrated.undo_stack.canUndo():
        calibrated.undo_stack.undo()
    assert calibrated.recipe.data.excluded == ()


def test_that_results_are_stale_once_a_sample_is_left_out(calibrated: Document) -> None:
    calibrated.set_result(ui_samples.result(calibrated.recipe))
    calibrated.leave_out(17)
    assert calibrated.result_stale
    calibrated.undo_stack.undo()
    assert not calibrated.result_stale


def test_that_the_last_sample_stays(qtbot: QtBot, calibrated: Document) -> None:
    for sample in range(19):
        calibrated.leave_out(sample)
    with qtbot.waitSignal(calibrated.notice) as signal:
        calibrated.leave_out(19)
    assert "at least one sample has to be left" in signal.args[0]
    assert len(calibrated.recipe.data.excluded) == 19


def test_that_a_decision_about_other_data_does_not_reach_new_data(calibrated: Document) -> None:
    calibrated.leave_out(17)
    calibrated.open_data(ui_samples.data(), DataReference("other.npz"))
    calibrated.undo_stack.undo()
    calibrated.undo_stack.redo()
    assert calibrated.recipe.data == DataReference("other.npz")


def test_that_a_banner_says_why_the_statistics_are_stale_and_calibrates_again(
    qtbot: QtBot, opened: MainWindow, heard: Callable[[], list[str]]
) -> None:
    with qtbot.waitSignal(**step(opened, "quantize")):
        opened.actions_by_id[ActionId.QUANTIZE].trigger()
    stale = opened.workbench.stale
    assert not stale.isVisible()
    opened.document.leave_out(17)
    qtbot.waitUntil(stale.isVisible)
    assert "sample 17 was left out" in stale.label.text()
    assert stale.button.isEnabled()
    with qtbot.waitSignal(**step(opened, "calibrate")):
        stale.button.click()
    qtbot.waitUntil(lambda: not stale.isVisible())
    assert opened.document.ranges is not None
    assert 17 not in opened.document.ranges.record.samples
    assert heard().count("Calibrate") == 2


def test_that_comparing_calibrates_and_quantizes_again_where_the_statistics_are_stale(
    qtbot: QtBot, opened: MainWindow, heard: Callable[[], list[str]]
) -> None:
    with qtbot.waitSignal(**step(opened, "compare")):
        opened.actions_by_id[ActionId.COMPARE].trigger()
    opened.document.leave_out(17)
    with qtbot.waitSignal(**step(opened, "compare")):
        opened.actions_by_id[ActionId.COMPARE].trigger()
    assert heard()[-3:] == ["Calibrate", "Quantize", "Compare"]
    assert not opened.document.comparison_stale


def open_with_nan(qtbot: QtBot, window: MainWindow) -> QDialog:
    with qtbot.waitSignal(**step(window, "data")):
        window.open_model(ModelReference("example:nan"), DataReference("example:digits"))
    qtbot.waitUntil(window.actions_by_id[ActionId.QUANTIZE].isEnabled)
    with qtbot.waitSignal(window.workflow.consent_needed):
        window.actions_by_id[ActionId.QUANTIZE].trigger()
    dialog = window.findChild(QDialog, "consentDialog")
    assert dialog is not None
    return dialog


def button(dialog: QDialog, name: str) -> QPushButton:
    found = dialog.findChild(QPushButton, name)
    assert found is not None
    return found


def test_that_agreeing_to_finite_values_records_it_and_goes_on(qtbot: QtBot, window: MainWindow) -> None:
    dialog = open_with_nan(qtbot, window)
    assert button(dialog, "consentStop").isDefault()
    with qtbot.waitSignal(**step(window, "quantize")):
        button(dialog, "consentFinite").click()
    assert window.document.recipe.data.finite_only
    assert window.document.undo_stack.undoText() == "Finite values only"
    window.document.undo_stack.undo()
    assert not window.document.recipe.data.finite_only


def test_that_declining_leaves_everything_as_it_was(qtbot: QtBot, window: MainWindow) -> None:
    dialog = open_with_nan(qtbot, window)
    button(dialog, "consentStop").click()
    assert not window.document.recipe.data.finite_only
    assert window.document.ranges is None
    assert window.document.undo_stack.count() == 0
