"""The panels at the sides: where they stand, what is remembered of that, and how it was at first."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QDockWidget, QMainWindow, QWidget

from qgui.ui.inspector import Inspector
from qgui.ui.layer_panel import LayerPanel
from qgui.ui.settings import Settings


class Docks:
    """The layer table and the inspector as docks of a window.

    Args:
        window: The main window.
        layer_panel: Stands at the left at first.
        inspector: Stands at the right at first.
        settings: Remember geometry and state.
    """

    def __init__(self, window: QMainWindow, layer_panel: LayerPanel, inspector: Inspector, settings: Settings) -> None:
        self._window, self._settings, self._panel = window, settings, layer_panel
        self._character = window.fontMetrics().averageCharWidth()
        self._unsized = False
        self.layers = self._dock("layerDock", window.tr("Layers"), layer_panel)
        self.inspector = self._dock("inspectorDock", window.tr("Inspector"), inspector)
        layer_panel.setMinimumWidth(36 * self._character)
        self._place()

    def _dock(self, name: str, title: str, widget: QWidget) -> QDockWidget:
        dock = QDockWidget(title, self._window)
        dock.setObjectName(name)
        dock.setAccessibleName(title)
        dock.setWidget(widget)
        return dock

    def _place(self) -> None:
        self._window.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, self.layers)
        self._window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self.inspector)

    def view_actions(self) -> list[QAction]:
        """Return the actions that show and hide the docks."""
        actions = [self.layers.toggleViewAction(), self.inspector.toggleViewAction()]
        actions[0].setToolTip(self._window.tr("Show or hide the layer table."))
        actions[1].setToolTip(self._window.tr("Show or hide the inspector."))
        return actions

    def show(self, visible: bool) -> None:
        """Show or hide both; where no widths were remembered, they get theirs when they are first seen."""
        self.layers.setVisible(visible)
        self.inspector.setVisible(visible)
        if visible and self._unsized:
            self._unsized = False
            self._resize()

    def restore(self) -> None:
        """Put window and docks where they were at the end of the last run."""
        stored = self._settings.window()
        window = self._window
        if stored is None or not window.restoreGeometry(stored[0]) or not window.restoreState(stored[1]):
            window.resize(max(1280, 200 * self._character), 800)
            # Docks that are hidden take no widths.
            self._unsized = True

    def reset(self, shown: bool) -> None:
        """Put the docks back where they stood at first; the window keeps its size.

        Args:
            shown: Whether they are shown, as they are while a model is.
        """
        for dock in (self.layers, self.inspector):
            dock.setFloating(False)
            self._window.removeDockWidget(dock)
        self._place()
        self._unsized = True
        self.show(shown)

    def remember(self) -> None:
        """Store where window and docks stand."""
        self._settings.set_window(self._window.saveGeometry(), self._window.saveState())

    def _resize(self) -> None:
        # The panels in the middle need the most room, also in a small window.
        table = min(self._panel.comfortable_width(), self._window.width() * 3 // 8)
        widths = [table, 41 * self._character]
        self._window.resizeDocks([self.layers, self.inspector], widths, Qt.Orientation.Horizontal)
