"""Who caused the extremes: samples by their tails, seen larger, left out and taken back."""

from __future__ import annotations

from pathlib import Path

import pytest
import ui_samples
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from qgui.ui.dialogs.sample import SampleDialog
from qgui.ui.main_window import MainWindow
from qgui.ui.sample_model import Entry, SampleModel, Tail, entries_of
from qgui.ui.sample_strip import SampleStrip
from qgui.ui.theme import Theme

LOW, HIGH, NEITHER = Tail.LOW, Tail.HIGH, Tail.NEITHER


def texts(strip: SampleStrip) -> list[str]:
    return [str(strip.model.index(row).data()) for row in range(strip.model.rowCount())]


@pytest.fixture
def strip(qtbot: QtBot, opened: MainWindow) -> SampleStrip:
    """The strip of the head after calibration, with its pictures."""
    with qtbot.waitSignal(opened.workflow.step_finished, check_params_cb=lambda step: step == "calibrate"):
        opened.workflow.calibrate()
    opened.layer_panel.select(["head"])
    opened.workbench.show_ranges()
    strip = opened.workbench.ranges_panel.findChild(SampleStrip, "sampleStrip")
    assert isinstance(strip, SampleStrip)
    qtbot.waitUntil(strip.isVisible)
    qtbot.waitUntil(lambda: strip.model.description(17) is not None)
    return strip


def test_that_the_tails_come_first_and_other_left_out_samples_last() -> None:
    found = entries_of(ui_samples.statistics(0), (17, 12))
    assert found == [
        Entry(3, LOW, -8.0, False),
        Entry(17, HIGH, 9.0, True),
        Entry(4, HIGH, 8.5, False),
        Entry(12, NEITHER, None, True),
    ]


def test_that_the_samples_are_a_sound_item_model(qtmodeltester: ModelTester, theme: Theme, tmp_path: Path) -> None:
    model = SampleModel(theme)
    model.show_entries(entries_of(ui_samples.statistics(0), (12,)))
    model.show_descriptions({s.index: s for s in ui_samples.samples((3, 17, 4, 12), tmp_path)})
    qtmodeltester.check(model)
    model.show_entries([])
    qtmodeltester.check(model)


def test_that_each_sample_tells_the_value_it_caused_and_its_class(strip: SampleStrip) -> None:
    assert texts(strip) == ["#3\n↓ −8", "#17\n↑ 9", "#4\n↑ 8.5"]
    image, vector, gone = (strip.model.index(row).data(Qt.ItemDataRole.ToolTipRole) for row in (1, 2, 0))
    assert "Class 7 (class 7)" in image
    assert "Greatest value 9" in image
    assert "Class 4" in vector
    assert "could not be read: it is gone" in gone
    assert "Least value −8" in gone


def test_that_a_click_shows_the_sample_larger_and_leaves_it_out(qtbot: QtBot, strip: SampleStrip) -> None:
    place = strip.view.visualRect(strip.model.index(1)).center()
    qtbot.mouseClick(strip.view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    dialog = strip.findChild(SampleDialog)
    assert isinstance(dialog, SampleDialog)
    picture = dialog.findChild(QLabel, "samplePicture")
    assert picture.pixmap().width() == 320
    assert dialog.leave.text() == "Leave out"
    dialog.leave.click()
    assert dialog.leave.text() == "Take back"
    dialog.leave.click()
    assert dialog.leave.text() == "Leave out"
    dialog.close()


def test_that_a_sample_that_is_no_image_has_no_picture(strip: SampleStrip) -> None:
    strip.open_sample(strip.model.index(2))
    dialog = strip.findChild(SampleDialog)
    assert isinstance(dialog, SampleDialog)
    assert not dialog.picture.isVisible()
    assert "Sample #4" in dialog.facts.text()
    dialog.close()


def test_that_leaving_out_is_one_undo_step_and_asks_to_calibrate_again(
    qtbot: QtBot, opened: MainWindow, strip: SampleStrip
) -> None:
    strip.view.setCurrentIndex(strip.model.index(1))
    strip.leave.click()
    assert opened.document.recipe.data.excluded == (17,)
    qtbot.waitUntil(opened.workbench.stale.isVisible)
    qtbot.waitUntil(lambda: strip.leave.text() == "Take back")
    assert "1 left out" in strip.title.text()
    assert strip.model.index(1).data(Qt.ItemDataRole.FontRole).strikeOut()
    opened.document.undo_stack.undo()
    assert opened.document.recipe.data.excluded == ()
    qtbot.waitUntil(lambda: strip.leave.text() == "Leave out")


def test_that_delete_leaves_the_sample_out_and_takes_it_back(
    qtbot: QtBot, opened: MainWindow, strip: SampleStrip
) -> None:
    strip.view.setCurrentIndex(strip.model.index(2))
    qtbot.keyClick(strip.view, Qt.Key.Key_Delete)
    assert opened.document.recipe.data.excluded == (4,)
    qtbot.waitUntil(lambda: strip.leave.text() == "Take back")
    qtbot.keyClick(strip.view, Qt.Key.Key_Delete)
    assert opened.document.recipe.data.excluded == ()


def test_that_a_sample_left_out_elsewhere_is_listed_and_taken_back(
    qtbot: QtBot, opened: MainWindow, strip: SampleStrip
) -> None:
    opened.document.leave_out(11)
    qtbot.waitUntil(lambda: texts(strip)[-1] == "#11\nleft out")
    strip.view.setCurrentIndex(strip.model.index(3))
    strip.leave.click()
    assert opened.document.recipe.data.excluded == ()
    qtbot.waitUntil(lambda: strip.model.rowCount() == 3)


def test_that_without_a_selected_sample_the_button_says_why(strip: SampleStrip) -> None:
    assert not strip.leave.isEnabled()
    assert strip.leave.toolTip() == "Select a sample first."


def test_that_the_samples_fold_in_a_low_panel_and_the_plot_keeps_its_height(
    qtbot: QtBot, opened: MainWindow, strip: SampleStrip
) -> None:
    panel = opened.workbench.ranges_panel
    opened.resize(1280, 1000)
    qtbot.waitUntil(strip.view.isVisible)
    opened.resize(1000, 700)
    qtbot.waitUntil(strip.view.isHidden)
    qtbot.waitUntil(lambda: panel.plot.height() >= 160)
    strip.fold.click()
    assert strip.view.isVisible()
