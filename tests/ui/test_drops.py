"""What is dropped onto the window is opened, or the window says why not while it hovers."""

from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDragLeaveEvent, QDragMoveEvent, QDropEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from qgui.core import recipe_file
from qgui.ui.dialogs.open_data import OpenDataDialog
from qgui.ui.dialogs.open_model import OpenModelDialog
from qgui.ui.drops import DropKind, judged
from qgui.ui.main_window import MainWindow

BUTTON, NO_KEY = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


def mime(*paths: Path) -> QMimeData:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    return data


def hover(window: MainWindow, data: QMimeData) -> bool:
    """Drag something over the window and return whether it may fall."""
    action = Qt.DropAction.CopyAction
    QApplication.sendEvent(window, QDragEnterEvent(QPoint(300, 300), action, data, BUTTON, NO_KEY))
    move = QDragMoveEvent(QPoint(301, 300), action, data, BUTTON, NO_KEY)
    QApplication.sendEvent(window, move)
    return move.isAccepted()


def fall(window: MainWindow, data: QMimeData) -> None:
    event = QDropEvent(QPointF(300, 300), Qt.DropAction.CopyAction, data, BUTTON, NO_KEY)
    QApplication.sendEvent(window, event)


def test_that_a_folder_over_an_empty_window_is_told_to_open_a_model_first(window: MainWindow, tmp_path: Path) -> None:
    data = mime(tmp_path)
    assert not hover(window, data)
    assert window.drops.hint.isVisible()
    assert "Open a model first" in window.drops.hint.text.text()
    QApplication.sendEvent(window, QDragLeaveEvent())
    assert not window.drops.hint.isVisible()


def test_that_a_recipe_falls_and_opens_with_model_and_data(qtbot: QtBot, opened: MainWindow, tmp_path: Path) -> None:
    path = tmp_path / "mine.qgui"
    recipe_file.save(opened.document.recipe, path)
    data = mime(path)
    qtbot.waitUntil(lambda: not opened.client.busy)
    assert hover(opened, data)
    assert opened.drops.hint.text.text() == "Drop to open the recipe mine.qgui."
    with qtbot.waitSignal(opened.workflow.step_finished, check_params_cb=lambda step: step == "data"):
        fall(opened, data)
    assert not opened.drops.hint.isVisible()
    assert opened.document.path == path


def test_that_data_falls_into_the_dialog_that_opens_it(qtbot: QtBot, opened: MainWindow, tmp_path: Path) -> None:
    qtbot.waitUntil(lambda: not opened.client.busy)
    data = mime(tmp_path)
    assert hover(opened, data)
    fall(opened, data)
    dialog = opened.findChild(OpenDataDialog)
    assert dialog is not None
    assert dialog.folder.path == str(tmp_path)


def test_that_code_falls_into_the_dialog_that_asks_for_the_function(window: MainWindow, tmp_path: Path) -> None:
    path = tmp_path / "nets.py"
    path.touch()
    data = mime(path)
    assert hover(window, data)
    fall(window, data)
    dialog = window.findChild(OpenModelDialog)
    assert dialog is not None
    assert dialog.reference().source.startswith(str(path))


@pytest.mark.parametrize(
    ("name", "part"),
    [("notes.txt", "Drop a model"), ("net.safetensors", "holds weights only"), ("net.onnx", "cannot be opened")],
)
def test_that_what_cannot_be_opened_says_so(tmp_path: Path, name: str, part: str) -> None:
    drop = judged([str(tmp_path / name)], "", "")
    assert not drop.useful
    assert part in drop.sentence
    assert name in drop.sentence


def test_that_the_first_useful_of_several_counts(tmp_path: Path) -> None:
    drop = judged(["", str(tmp_path / "a.txt"), str(tmp_path / "b.PT")], "", "")
    assert (drop.kind, Path(drop.path).name) == (DropKind.MODEL, "b.PT")
    assert "files and folders" in judged([""], "", "").sentence


def test_that_nothing_falls_while_a_job_runs(tmp_path: Path) -> None:
    drop = judged([str(tmp_path / "a.pt")], "Calibrating: wait until it is done, or cancel it.", "")
    assert not drop.useful
    assert "Calibrating" in drop.sentence
