"""The histogram of a tensor as a table, for those who do not see the plot."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from qgui.ui import formatting
from qgui.ui.layer_model import Index
from qgui.ui.plots import Float64

_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)


class HistogramModel(QAbstractTableModel):
    """Bins with their bounds, their count, and whether the range in use clips them.

    Args:
        parent: Qt parent.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._counts: Float64 = np.zeros(0)
        self._edges: Float64 = np.zeros(1)
        self._bounds: tuple[float, float] | None = None

    def show_histogram(self, counts: Float64, edges: Float64) -> None:
        """Show a histogram.

        Args:
            counts: Shape `(bins,)`.
            edges: Shape `(bins + 1,)`.
        """
        self.beginResetModel()
        self._counts, self._edges = counts, edges
        self.endResetModel()

    def show_bounds(self, bounds: tuple[float, float] | None) -> None:
        """Say of each bin whether it lies within these bounds."""
        if bounds != self._bounds:
            self._bounds = bounds
            if len(self._counts):
                self.dataChanged.emit(self.index(0, 3), self.index(len(self._counts) - 1, 3))

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._counts)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else 4

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or role != Qt.ItemDataRole.DisplayRole:
            return None
        return (self.tr("Value from"), self.tr("Value to"), self.tr("Count"), self.tr("In the range"))[section]

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return _RIGHT if index.column() < 3 else None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(index.row(), index.column())
        if role == Qt.ItemDataRole.AccessibleTextRole:
            title = self.headerData(index.column(), Qt.Orientation.Horizontal)
            return f"{title}: {self._text(index.row(), index.column())}"
        return None

    def _text(self, row: int, column: int) -> str:
        if column < 2:
            return formatting.number(float(self._edges[row + column]), 5)
        if column == 2:
            return f"{round(float(self._counts[row])):,}".replace(",", "\u202f")
        low, high = self._bounds or (-np.inf, np.inf)
        if self._edges[row + 1] <= low or self._edges[row] >= high:
            return self.tr("clipped")
        if self._edges[row] < low or self._edges[row + 1] > high:
            return self.tr("in part")
        return self.tr("yes")


class HistogramTable(QTableView):
    """Shows a `HistogramModel`.

    Args:
        model: The bins.
        parent: Qt parent.
    """

    def __init__(self, model: HistogramModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("histogramTable")
        self.setAccessibleName(self.tr("Histogram as a table"))
        self.setAccessibleDescription(self.tr("The bins of the plot with their bounds and how many values each holds."))
        self.setModel(model)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAlternatingRowColors(True)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 5)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.horizontalHeader().setHighlightSections(False)
