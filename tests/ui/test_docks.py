"""The panels at the sides move, come back as they were, and are reset."""

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel
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


def test_that_the_layer_table_has_room_up_to_sqnr_when_it_is_first_seen(qtbot: QtBot, window: MainWindow) -> None:
    window.resize(1280, 800)
    qtbot.waitUntil(lambda: window.width() == 1280)
    window.docks.show(True)
    panel = window.layer_panel
    qtbot.waitUntil(lambda: panel.width() >= min(panel.comfortable_width(), window.width() * 3 // 8))


def test_that_a_page_that_is_not_seen_does_not_widen_the_window(qtbot: QtBot, opened: MainWindow) -> None:
    before = opened.minimumSizeHint().width()
    opened.actions_by_id[ActionId.BENCHMARKS].trigger()
    assert opened.benchmarks is not None
    opened.benchmarks.back.click()
    qtbot.waitUntil(lambda: opened.minimumSizeHint().width() == before)


def test_that_a_narrow_toolbar_leaves_out_words_and_not_the_theme(qtbot: QtBot, opened: MainWindow) -> None:
    opened.docks.show(False)
    for width in (1300, 1000, 1300):
        opened.resize(width, 700)
        qtbot.waitUntil(lambda width=width: opened.bar.width() == width)  # type: ignore[misc]
        qtbot.waitUntil(opened.bar.theme_button.isVisible)
        assert opened.bar.sizeHint().width() <= width
    captions = [label for label in opened.bar.findChildren(QLabel) if label.text() == "Backend"]
    qtbot.waitUntil(captions[0].isVisible)
