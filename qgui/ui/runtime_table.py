"""The table of runtimes: the fastest first, with a bar for each median."""

from __future__ import annotations

import enum
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QRect, Qt
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from qgui.core.runtimes import RuntimeResult, RuntimeTable, slow_baseline, spread_of
from qgui.ui import formatting
from qgui.ui.layer_cells import RIGHT
from qgui.ui.layer_model import Index
from qgui.ui.theme import Theme

#: How long the bar of a row is, as a share of the longest.
SHARE_ROLE = Qt.ItemDataRole.UserRole
#: The colour of the bar.
COLOUR_ROLE = Qt.ItemDataRole.UserRole + 1


class RuntimeColumn(enum.IntEnum):
    """The columns in their order."""

    RUNTIME = 0
    MODEL = 1
    MEDIAN = 2
    GAIN = 3
    P95 = 4
    SPREAD = 5
    MEMORY = 6
    FILE = 7
    SQNR = 8


class RuntimeModel(QAbstractTableModel):
    """Every runtime with what was measured.

    Args:
        theme: For the colours of float and int8.
        parent: Qt parent.
    """

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._table: RuntimeTable | None = None

    def show_table(self, table: RuntimeTable | None) -> None:
        """Show other measurements."""
        self.beginResetModel()
        self._table = table
        self.endResetModel()

    @property
    def rows(self) -> tuple[RuntimeResult, ...]:
        """The runtimes as shown."""
        return self._table.rows if self._table is not None else ()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(RuntimeColumn)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(RuntimeColumn):
            return None
        titles = (
            (self.tr("Runtime"), self.tr("What computes the model, with PyTorch's quantized engine.")),
            (self.tr("Model"), self.tr("Float or int8.")),
            (self.tr("Median"), self.tr("Half of the runs take no longer; the bar compares it with the others.")),
            (self.tr("Gain"), self.tr("How many times as fast as the best float.")),
            (self.tr("p95"), self.tr("95 of 100 runs take no longer.")),
            (self.tr("Spread"), self.tr("Within how many milliseconds the middle half of the runs lies.")),
            (
                self.tr("Memory"),
                self.tr("Peak resident memory of a fresh process with runtime and model, while it loads and runs."),
            ),
            (self.tr("File"), self.tr("Size of the stored model.")),
            (self.tr("SQNR"), self.tr("Signal to noise ratio of its output against float in PyTorch.")),
        )
        if role == Qt.ItemDataRole.DisplayRole:
            return titles[section][0]
        if role == Qt.ItemDataRole.TextAlignmentRole and section > RuntimeColumn.MEDIAN:
            return RIGHT
        return titles[section][1] if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or self._table is None:
            return None
        row, column = self.rows[index.row()], RuntimeColumn(index.column())
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self._text(row, column)
            case Qt.ItemDataRole.ToolTipRole:
                return self._tip(row, column)
            case Qt.ItemDataRole.TextAlignmentRole if column > RuntimeColumn.MEDIAN:
                return RIGHT
            case Qt.ItemDataRole.ForegroundRole:
                return self._colour(row, column)
            case _ if role == SHARE_ROLE and column is RuntimeColumn.MEDIAN:
                longest = max((other.median_ms or 0.0 for other in self.rows), default=0.0)
                return (row.median_ms or 0.0) / longest if longest else 0.0
            case _ if role == COLOUR_ROLE:
                colours = self._theme.colours
                return QColor(colours.float_series if row.subject == "float" else colours.int8_series)
        return None

    def _text(self, row: RuntimeResult, column: RuntimeColumn) -> str:
        latency, table = row.latency, self._table
        if column is RuntimeColumn.RUNTIME:
            best = table is not None and row in (table.best("float"), table.best("quantized"))
            return f"★ {row.name}" if best else row.name
        if column is RuntimeColumn.MODEL:
            return self.tr("○ float") if row.subject == "float" else self.tr("● int8")
        if latency is None:
            return row.problem if column is RuntimeColumn.MEDIAN else ""
        match column:
            case RuntimeColumn.MEDIAN:
                return formatting.milliseconds(latency.median_ms)
            case RuntimeColumn.P95:
                return formatting.milliseconds(latency.p95_ms)
            case RuntimeColumn.SPREAD:
                return formatting.milliseconds(spread_of(latency))
            case RuntimeColumn.MEMORY:
                return formatting.NOTHING if row.peak_bytes is None else formatting.size(row.peak_bytes)
            case RuntimeColumn.FILE:
                return formatting.NOTHING if row.file_bytes is None else formatting.size(row.file_bytes)
            case RuntimeColumn.SQNR:
                return formatting.decibel(min(row.sqnr_db, 200.0) if row.sqnr_db is not None else None)
            case RuntimeColumn.GAIN:
                gain = table.speedup_of(row) if table is not None else None
                return f"{formatting.number(gain, 3)} ×"

    def _tip(self, row: RuntimeResult, column: RuntimeColumn) -> str:
        if row.problem:
            return row.problem
        match column:
            case RuntimeColumn.RUNTIME:
                best = self._table is not None and row in (self._table.best("float"), self._table.best("quantized"))
                return self.tr("★ {name}: the fastest of its kind").format(name=row.name) if best else row.name
            case RuntimeColumn.MEMORY if row.peak_bytes is None:
                return self.tr("An eager model is part of the program that built it; see the traced one.")
            case RuntimeColumn.MEMORY if row.model_bytes is not None:
                return self.tr("The model adds {size} to what the runtime alone takes.").format(
                    size=formatting.size(row.model_bytes)
                )
            case RuntimeColumn.GAIN if self._table is not None:
                return slow_baseline(self._table, row) or self.tr("How many times as fast as the best float.")
        return self._text(row, column)

    def _colour(self, row: RuntimeResult, column: RuntimeColumn) -> QColor | None:
        colours = self._theme.colours
        gain = self._table.speedup_of(row) if self._table is not None else None
        if column is not RuntimeColumn.GAIN or row.subject == "float" or gain is None:
            return QColor(colours.faint) if row.problem else None
        return QColor(colours.good) if gain > 1.05 else QColor(colours.bad) if gain < 0.95 else None


class BarDelegate(QStyledItemDelegate):
    """Draws a bar behind the text of a cell."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        cell = QStyleOptionViewItem(option)
        self.initStyleOption(cell, index)
        text, cell.text = cell.text, ""
        style = cell.widget.style()
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, cell, painter, cell.widget)
        share, colour = index.data(SHARE_ROLE) or 0.0, index.data(COLOUR_ROLE)
        gap = cell.fontMetrics.height() // 3
        room = cell.rect.adjusted(gap, 0, -gap, 0)
        label = cell.fontMetrics.horizontalAdvance("00.0000 ms ")
        painter.save()
        if share and isinstance(colour, QColor):
            length = max(2, round(share * (room.width() - label)))
            thickness = cell.fontMetrics.height() // 2
            bar = QRect(room.left() + label, room.center().y() - thickness // 2, length, thickness)
            painter.fillRect(bar, colour)
        elif text:
            label = room.width()
        role = cell.palette.ColorRole
        selected = bool(cell.state & QStyle.StateFlag.State_Selected)
        painter.setPen(cell.palette.color(role.HighlightedText if selected else role.Text))
        place = QRect(room.left(), room.top(), label, room.height())
        told = cell.fontMetrics.elidedText(text, Qt.TextElideMode.ElideRight, label)
        painter.drawText(place, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, told)
        painter.restore()
