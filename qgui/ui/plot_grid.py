"""Plots with their titles in two columns, or below one another where there is little room."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QLabel, QWidget

#: A plot with its axis needs about so many characters.
_PLOT_CHARACTERS = 34


class PlotGrid(QWidget):
    """Arranges plots as the width allows.

    Args:
        legend: What stands above all.
        titled: Title and plot, in order.
        parent: Qt parent.
    """

    def __init__(self, legend: QLabel, titled: Sequence[tuple[QLabel, QWidget]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._legend, self._titled = legend, tuple(titled)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(4, 0, 0, 0)
        self._grid.setSpacing(4)
        self._columns = 0
        self._arrange(2)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange(2 if self.width() >= 2 * _PLOT_CHARACTERS * self.fontMetrics().averageCharWidth() else 1)

    def _arrange(self, columns: int) -> None:
        if columns == self._columns:
            return
        self._columns = columns
        grid = self._grid
        for row in range(grid.rowCount()):
            grid.setRowStretch(row, 0)
        grid.setColumnStretch(1, columns - 1)
        grid.setColumnStretch(0, 1)
        grid.addWidget(self._legend, 0, 0, 1, columns)
        for place, (title, plot) in enumerate(self._titled):
            row, side = 1 + 2 * (place // columns), place % columns
            grid.addWidget(title, row, side)
            grid.addWidget(plot, row + 1, side)
            grid.setRowStretch(row + 1, 1)
