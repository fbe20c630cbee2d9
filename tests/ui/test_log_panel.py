"""The log is filtered by level and words, and saved."""

from pathlib import Path

import pytest
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from qgui.ui.log_panel import LogPanel
from qgui.ui.theme import Theme


@pytest.fixture
def panel(qtbot: QtBot, theme: Theme) -> LogPanel:
    panel = LogPanel(theme)
    qtbot.addWidget(panel)
    for level, text in (("debug", "loading Torch"), ("info", "torch is loaded"), ("error", "the disk is full")):
        panel.add(level, text)
    return panel


def shown(panel: LogPanel) -> list[str]:
    return [line.split("  ", 1)[-1] for line in panel.view.toPlainText().splitlines()]


def test_that_levels_below_the_chosen_one_are_hidden(panel: LogPanel) -> None:
    assert shown(panel) == ["torch is loaded", "✕ error: the disk is full"]
    panel.level.setCurrentText("debug")
    assert len(shown(panel)) == 3


def test_that_a_search_keeps_the_lines_with_all_words_also_new_ones(panel: LogPanel) -> None:
    panel.search.setText("TORCH load")
    assert shown(panel) == ["torch is loaded"]
    assert panel.hits.text() == "1 line"
    panel.add("info", "nothing of it")
    panel.add("warning", "torch loads slowly")
    assert len(shown(panel)) == 2
    assert panel.hits.text() == "2 lines"
    panel.search.setText("nowhere")
    assert shown(panel) == []
    assert panel.hits.text() == "no line"
    panel.search.clear()
    assert panel.hits.text() == ""
    assert len(shown(panel)) == 4


def test_that_the_whole_log_is_saved_whatever_is_shown(qtbot: QtBot, panel: LogPanel, tmp_path: Path) -> None:
    panel.search.setText("nowhere")
    panel.save.click()
    dialog = panel.findChild(QFileDialog, "saveLogDialog")
    assert dialog is not None
    with qtbot.waitSignal(panel.saved):
        dialog.fileSelected.emit(str(tmp_path / "qgui.log"))
    dialog.reject()
    lines = (tmp_path / "qgui.log").read_text().splitlines()
    assert [line.split(maxsplit=2)[2] for line in lines] == ["loading Torch", "torch is loaded", "the disk is full"]


def test_that_a_log_that_cannot_be_written_says_why(qtbot: QtBot, panel: LogPanel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with qtbot.waitSignal(panel.failed) as failed:
        panel.save_to(tmp_path / "file" / "qgui.log")
    assert "Could not write" in failed.args[0].what
    assert panel.text()
