"""A table of which one row is in use: Return, a double click or the word Use in the last column takes another."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QSize, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QSizePolicy, QTableView, QWidget

from qgui.ui.row_table import set_up_rows

#: The least number of rows that are seen at a time.
_LEAST_ROWS = 3


class ChoiceTable(QTableView):
    """A table from which a row is taken.

    Signals:
        adopted: The row that is to be used.

    Args:
        model: Its last column says Use.
        name: Object name.
        accessible_name: What is listed.
        rows: Number of rows for which there is room, unless the window is low.
        parent: Qt parent.
    """

    adopted = Signal(int)

    def __init__(
        self, model: QAbstractTableModel, name: str, accessible_name: str, rows: int, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._rows = rows
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        set_up_rows(self, name, accessible_name)
        self.setModel(model)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setIconSize(QSize(28, 12))
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        header = self.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.clicked.connect(self._on_clicked)
        self.activated.connect(lambda index: self.adopted.emit(index.row()))
        model.modelReset.connect(self._fit_height)
        self._fit_height()

    def size_columns(self, samples: Sequence[str]) -> None:
        """Give the columns after the first the width of a sample text each, so that other content lays out nothing."""
        header = self.horizontalHeader()
        bold = QFont(self.font())
        bold.setBold(True)
        metrics = QFontMetrics(bold)
        padding = metrics.height() // 2
        header.setMinimumSectionSize(padding)
        for column, sample in enumerate(samples, start=1):
            title = str(self.model().headerData(column, Qt.Orientation.Horizontal))
            width = max(metrics.horizontalAdvance(sample), self.fontMetrics().horizontalAdvance(title)) + padding
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, width)

    def _on_clicked(self, index: QModelIndex) -> None:
        if index.column() == self.model().columnCount() - 1:
            self.adopted.emit(index.row())

    def sizeHint(self) -> QSize:
        return QSize(super().sizeHint().width(), self.maximumHeight())

    def _fit_height(self) -> None:
        """Have the height of all rows, and scroll where there is not as much."""
        rows = max(self._rows, self.model().rowCount())
        self.setMinimumHeight(self._height(_LEAST_ROWS))
        self.setMaximumHeight(self._height(rows))
        self.updateGeometry()

    def _height(self, rows: int) -> int:
        height = self.horizontalHeader().sizeHint().height() + rows * self.verticalHeader().defaultSectionSize()
        return height + 2 * self.frameWidth() + 2
