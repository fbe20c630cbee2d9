"""Saving the report from the window."""

from pathlib import Path

import ui_samples
from PySide6.QtWidgets import QDialog, QFileDialog
from pytestqt.qtbot import QtBot

from qgui.core import decisions
from qgui.core.recipe import Mode
from qgui.ui.actions import ActionId
from qgui.ui.main_window import MainWindow


def test_that_the_file_menu_saves_what_is_known(qtbot: QtBot, opened: MainWindow, tmp_path: Path) -> None:
    document = opened.document
    document.set_statistics(ui_samples.record())
    document.set_result(ui_samples.result(document.recipe))
    document.set_comparison(ui_samples.comparison(document.recipe))
    opened.actions_by_id[ActionId.SAVE_REPORT].trigger()
    dialog = opened.findChild(QFileDialog, "saveReportDialog")
    assert dialog is not None
    path = tmp_path / "mine.html"
    with qtbot.waitSignal(opened.report.written):
        dialog.fileSelected.emit(str(path))
    dialog.reject()
    page = path.read_text()
    assert "98.00 %" in page
    assert 'class="histogram"' in page
    assert 'class="warning"' not in page


def test_that_a_report_of_earlier_numbers_says_so(qtbot: QtBot, opened: MainWindow, tmp_path: Path) -> None:
    document = opened.document
    document.set_result(ui_samples.result(document.recipe))
    document.set_comparison(ui_samples.comparison(document.recipe))
    document.decide("Mode", ["head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    with qtbot.waitSignal(opened.report.written):
        opened.report.write(tmp_path / "report.html")
    assert "the decisions have changed since" in (tmp_path / "report.html").read_text()


def test_that_a_report_that_cannot_be_written_is_told(qtbot: QtBot, opened: MainWindow, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with qtbot.waitSignal(opened.report.failed) as signal:
        opened.report.write(tmp_path / "file" / "report.html")
    assert signal.args[0].what.startswith("Could not write")
    dialog = opened.findChild(QDialog, "failureDialog")
    assert dialog is not None
    dialog.accept()


def test_that_every_export_leaves_a_report_beside_it(qtbot: QtBot, opened: MainWindow, tmp_path: Path) -> None:
    with qtbot.waitSignal(opened.report.written, timeout=20_000):
        opened.workflow.export(tmp_path, ("recipe",))
    assert "Exports" in (tmp_path / "report.html").read_text()
