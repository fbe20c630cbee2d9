"""Dialogs while something runs, and what they say when it fails."""

from typing import TypeVar

import pytest
from PySide6.QtWidgets import QCheckBox, QDialog, QLabel, QPushButton
from pytestqt.qtbot import QtBot

from qgui.core.messages import Failed
from qgui.core.recipe import DataReference, ModelReference
from qgui.ui.actions import ActionId
from qgui.ui.dialogs.failure import FailureDialog, ThemedIcon, sentence
from qgui.ui.main_window import MainWindow
from qgui.ui.theme import Theme, ThemeName

T = TypeVar("T")


def open_and_export(qtbot: QtBot, window: MainWindow, source: str) -> QDialog:
    """Quantize a model, open the export dialog and begin."""
    with qtbot.waitSignal(window.workflow.step_finished, check_params_cb=lambda step: step == "data"):
        window.open_model(ModelReference(source), DataReference("example:digits"))
    with qtbot.waitSignal(window.workflow.step_finished, check_params_cb=lambda step: step == "quantize"):
        window.workflow.quantize()
    qtbot.waitUntil(window.actions_by_id[ActionId.EXPORT].isEnabled)
    window.actions_by_id[ActionId.EXPORT].trigger()
    dialog = window.findChild(QDialog, "exportDialog")
    assert isinstance(dialog, QDialog)
    child(dialog, QPushButton, "exportStart").click()
    return dialog


def child(parent: QDialog, kind: type[T], name: str) -> T:
    found = parent.findChild(kind, name)
    assert isinstance(found, kind), name
    return found


def test_that_an_export_tells_how_far_it_is_and_can_be_cancelled(qtbot: QtBot, window: MainWindow) -> None:
    dialog = open_and_export(qtbot, window, "example:lingering")
    message, stop = child(dialog, QLabel, "exportMessage"), child(dialog, QPushButton, "exportStop")
    qtbot.waitUntil(lambda: message.text() == "Exporting: 1 of 3 done …")
    box = child(dialog, QCheckBox, "export_recipe")
    assert not box.isEnabled()
    assert "cancel it" in box.toolTip()
    with qtbot.waitSignal(window.workflow.settled):
        stop.click()
        assert message.text() == "Stopping …"
    assert stop.isHidden()
    assert box.isEnabled()
    assert "JSON" in box.toolTip()
    assert child(dialog, QPushButton, "exportStart").isEnabled()
    dialog.accept()


def test_that_a_failure_after_the_export_dialog_was_closed_is_told_as_any_other(
    qtbot: QtBot, window: MainWindow
) -> None:
    open_and_export(qtbot, window, "example:lingering").accept()
    qtbot.waitUntil(lambda: window.findChild(QDialog, "exportDialog") is None)
    with qtbot.waitSignal(window.workflow.settled):
        window.workflow.cancel()
    with qtbot.waitSignal(window.workflow.failed):
        window.workflow.open_data(DataReference("example:empty"))
    failure = window.findChild(QDialog, "failureDialog")
    assert isinstance(failure, QDialog)
    failure.accept()


def test_that_a_failure_stands_once_in_the_log(window: MainWindow) -> None:
    window.client.failed.emit(None, Failed(what="Could not do it", why="no reason"))
    assert window.workbench.log_panel.text().count("Could not do it") == 1


def test_that_the_log_tells_what_was_opened_and_with_which_engine(opened: MainWindow) -> None:
    text = opened.workbench.log_panel.text()
    assert "The engine is ready: PyTorch 2.14.1 on A processor (AVX2), backends x86, onednn, qnnpack." in text
    assert "Opened digits-cnn: 11 layers, 5.8 k parameters." in text
    assert "Opened example:digits: 100 samples to calibrate, 1697 to evaluate." in text


@pytest.mark.parametrize(
    ("reason", "read"),
    [
        ("forward raised", "Forward raised."),
        ("nets.py:build raised it", "nets.py:build raised it."),
        ("/tmp/a.pt is damaged", "/tmp/a.pt is damaged."),
        ("label 50 is out of range!", "Label 50 is out of range!"),
        ("", ""),
    ],
)
def test_that_a_reason_becomes_a_sentence_and_names_stay_as_they_are(reason: str, read: str) -> None:
    assert sentence(reason) == read


def test_that_the_icon_of_an_open_dialog_follows_the_theme(qtbot: QtBot, theme: Theme) -> None:
    dialog = FailureDialog(Failed(what="a", why="b"), theme)
    qtbot.addWidget(dialog)
    icon = dialog.findChild(ThemedIcon)
    assert icon is not None
    before = icon.pixmap().toImage()
    theme.choose(ThemeName.DARK)
    assert icon.pixmap().toImage() != before
