"""The panels at the sides move, come back as they were, and are reset."""

from pathlib import Path

from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from qgui.ui.actions import ActionId
from qgui.ui.main_window import MainWindow
from qgui.ui.settings import Settings
from qgui.ui.theme import Theme


def test_that_resetting_the_layout_brings_moved_and_closed_docks_back(qtbot: QtBot, opened: MainWindow) -> None:
    docks = opened.docks
    width = docks.layers.width()
    opened.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, docks.layers)
    docks.inspector.close()
    opened.actions_by_id[ActionId.RESET_LAYOUT].trigger()
    assert opened.dockWidgetArea(docks.layers) is Qt.DockWidgetArea.LeftDockWidgetArea
    assert opened.dockWidgetArea(docks.inspector) is Qt.DockWidgetArea.RightDockWidgetArea
    assert docks.layers.isVisible()
    assert docks.inspector.isVisible()
    qtbot.waitUntil(lambda: abs(docks.layers.width() - width) < 40)


def test_that_resetting_the_layout_of_an_empty_window_shows_no_empty_panels(window: MainWindow) -> None:
    window.actions_by_id[ActionId.RESET_LAYOUT].trigger()
    assert not window.docks.layers.isVisible()


def test_that_docks_come_back_where_they_were(
    qtbot: QtBot, opened: MainWindow, settings: Settings, theme: Theme, tmp_path: Path
) -> None:
    opened.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, opened.docks.layers)
    opened.docks.remember()
    again = MainWindow(settings, theme, state_folder=tmp_path / "other")
    qtbot.addWidget(again)
    assert again.dockWidgetArea(again.docks.layers) is Qt.DockWidgetArea.RightDockWidgetArea
    again.close_without_asking()
