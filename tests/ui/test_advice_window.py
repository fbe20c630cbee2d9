"""The advice for the open model is reached from everywhere, follows what is decided, and is taken piece by piece."""

import ui_samples
from PySide6.QtCore import QUrl
from pytestqt.qtbot import QtBot

from qgui.core import decisions
from qgui.core.recipe import Mode
from qgui.core.results import BackendTiming
from qgui.ui.actions import ActionId
from qgui.ui.advice_window import AdviceWindow, PieceRow
from qgui.ui.main_window import MainWindow


def advice_of(window: MainWindow) -> AdviceWindow:
    window.actions_by_id[ActionId.ADVICE].trigger()
    found = window.findChild(AdviceWindow)
    assert found is not None
    return found


def row_of(window: AdviceWindow, section: str, piece: str) -> PieceRow:
    return next(row for shown, key, row in window.rows() if (shown, key) == (section, piece))


def test_that_the_banner_of_a_fresh_model_explains_its_advice(opened: MainWindow) -> None:
    assert opened.workbench.notice.isVisible()
    opened.workbench.why.click()
    window = opened.findChild(AdviceWindow)
    assert window is not None
    assert window.isVisible()
    window.close()


def test_that_other_notices_do_not_ask_why(opened: MainWindow) -> None:
    opened.workbench.tell("Something else.")
    assert not opened.workbench.why.isVisible()


def test_that_the_guide_leads_to_the_advice(opened: MainWindow) -> None:
    opened.help.show_page("modes")
    guide = opened.help._guide
    assert guide is not None
    assert "qgui:advice" in guide.text.toHtml()
    guide.text.anchorClicked.emit(QUrl("qgui:advice"))
    window = opened.findChild(AdviceWindow)
    assert window is not None
    assert window.isVisible()
    for shown in (window, guide):
        shown.close()


def test_that_without_a_model_the_advice_says_why_it_is_not_there(window: MainWindow) -> None:
    action = window.actions_by_id[ActionId.ADVICE]
    assert not action.isEnabled()
    assert "Open a model" in action.toolTip()


def test_that_a_piece_is_taken_with_one_press_and_taken_back_with_one_step(opened: MainWindow) -> None:
    window = advice_of(opened)
    row = row_of(window, "accuracy", "correct_bias")
    before = opened.document.recipe
    row.take.click()
    assert opened.document.recipe.rule("stem.conv").correct_bias
    assert opened.document.undo_stack.undoText() == "Bias correction"
    opened.document.undo_stack.undo()
    assert opened.document.recipe == before
    window.close()


def test_that_the_advice_follows_the_decisions_and_keeps_its_rows(qtbot: QtBot, opened: MainWindow) -> None:
    window = advice_of(opened)
    row = row_of(window, "layers", "convolution")
    assert row.take.isHidden()
    assert not row.done.isHidden()
    backend = opened.document.recipe.backend
    opened.document.decide("Mode", ["stem.conv"], decisions.mode_edit(Mode.FLOAT, backend))
    qtbot.waitUntil(row.take.isVisible)
    assert row.take.text() == "Make 1 layer static"
    row.take.click()
    qtbot.waitUntil(row.done.isVisible)
    assert opened.document.recipe.rule("stem.conv").mode is Mode.STATIC
    window.close()


def test_that_measured_backends_stand_in_the_advice_and_the_fastest_is_taken(qtbot: QtBot, opened: MainWindow) -> None:
    window = advice_of(opened)
    row = row_of(window, "backend", "timing")
    assert not row.job.isHidden()
    timings = (BackendTiming("onednn", "eager", 1.0, 30.0), BackendTiming("x86", "eager", 3.0, 30.0))
    opened.document.set_timings(timings, opened.document.recipe)
    qtbot.waitUntil(row.take.isVisible)
    row.take.click()
    assert opened.document.recipe.backend == "onednn"
    assert not opened.document.timings_stale
    opened.document.decide("Mode", ["stem.conv"], decisions.mode_edit(Mode.FLOAT, "onednn"))
    assert opened.document.timings_stale
    qtbot.waitUntil(row.job.isVisible)
    window.close()


def test_that_what_was_compared_stands_in_the_advice(qtbot: QtBot, opened: MainWindow) -> None:
    window = advice_of(opened)
    with qtbot.waitSignal(opened.workflow.step_finished, check_params_cb=lambda step: step == "compare"):
        row_of(window, "accuracy", "worst").job.click()
    qtbot.waitUntil(lambda: "speed" in {piece for _, piece, _ in window.rows()})
    worst = row_of(window, "accuracy", "worst")
    assert not worst.take.isHidden()
    assert "as measured" in worst.text.text()
    assert "times as fast" in row_of(window, "backend", "speed").text.text()
    window.close()


def test_that_calibrating_leads_to_the_best_observers(qtbot: QtBot, opened: MainWindow) -> None:
    window = advice_of(opened)
    row = row_of(window, "ranges", "observer")
    with qtbot.waitSignal(opened.workflow.step_finished, check_params_cb=lambda step: step == "calibrate"):
        row.job.click()
    qtbot.waitUntil(lambda: row.job.text() == "Best per layer")
    with qtbot.waitSignal(opened.workbench.ranges_panel.best.ended):
        row.job.click()
    assert opened.workbench.tabs.currentWidget() is opened.workbench.ranges_panel
    window.close()


def test_that_closing_the_model_leaves_a_sentence(qtbot: QtBot, opened: MainWindow) -> None:
    window = advice_of(opened)
    opened.document.close_model()
    qtbot.waitUntil(window.nothing.isVisible)
    window.close()


def test_that_a_large_model_is_explained_within_one_turn_of_the_event_loop(opened: MainWindow) -> None:
    opened.document.open_model(ui_samples.large_model(2000), opened.document.recipe.model, opened.document.recipe.data)
    window = advice_of(opened)
    assert row_of(window, "layers", "convolution").title.text() == "2000 convolutions (Conv2d)"
    window.close()
