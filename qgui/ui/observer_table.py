"""The legend of the ranges plot: what each observer chooses and what it costs."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QPainter, QPixmap

from qgui.core.plan import Choice
from qgui.core.recipe import ObserverKind
from qgui.ui import formatting
from qgui.ui.choices import observer_label, observer_sentence, short_observer_label
from qgui.ui.layer_model import Index
from qgui.ui.plots import pen
from qgui.ui.theme import OBSERVER_DASHES, Theme


class ObserverColumn(enum.IntEnum):
    """The columns in their order."""

    OBSERVER = 0
    LOW = 1
    HIGH = 2
    SCALE = 3
    ZERO_POINT = 4
    SQNR = 5
    CLIPPED = 6
    USE = 7


class ObserverModel(QAbstractTableModel):
    """One row for each observer.

    Signals:
        shown: An observer and whether its lines are shown.

    Args:
        theme: For the sample of each line.
        parent: Qt parent.
    """

    shown = Signal(object, bool)

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._choices: list[Choice] = []
        self._used: ObserverKind | None = None
        self._hidden: set[ObserverKind] = set()
        self._can_use = True
        theme.changed.connect(self._on_theme_changed)

    def show_choices(self, choices: Sequence[Choice], used: ObserverKind | None, can_use: bool) -> None:
        """Show what observers choose; rows are replaced only where their number differs."""
        if len(choices) != len(self._choices):
            self.beginResetModel()
            self._choices, self._used, self._can_use = list(choices), used, can_use
            self.endResetModel()
            return
        self._choices, self._used, self._can_use = list(choices), used, can_use
        if choices:
            self.dataChanged.emit(self.index(0, 0), self.index(len(choices) - 1, len(ObserverColumn) - 1))

    def choice(self, row: int) -> Choice:
        """Return the choice in a row."""
        return self._choices[row]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._choices)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(ObserverColumn)

    def flags(self, index: Index) -> Qt.ItemFlag:
        flags = super().flags(index)
        return flags | Qt.ItemFlag.ItemIsUserCheckable if index.column() == ObserverColumn.OBSERVER else flags

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(ObserverColumn):
            return None
        titles = (
            (self.tr("Observer"), self.tr("Tick an observer to show its range in the plot.")),
            (self.tr("Min"), self.tr("Least value that can be represented.")),
            (self.tr("Max"), self.tr("Greatest value that can be represented.")),
            (self.tr("Scale"), self.tr("Distance of two neighbouring levels.")),
            (self.tr("Zero pt."), self.tr("Zero point: the integer level that stands for zero.")),
            (self.tr("SQNR dB"), self.tr("Predicted signal to quantization noise ratio; more is better.")),
            (self.tr("Clipped"), self.tr("Share of the values outside the range.")),
            ("", self.tr("Use this observer for the layer.")),
        )
        if role == Qt.ItemDataRole.DisplayRole:
            return titles[section][0]
        if role == Qt.ItemDataRole.TextAlignmentRole and section not in {ObserverColumn.OBSERVER, ObserverColumn.USE}:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Qt.ItemDataRole.ToolTipRole:
            return titles[section][1]
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        choice, column = self._choices[index.row()], ObserverColumn(index.column())
        kind = choice.observer.kind
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self._text(choice, column)
            case Qt.ItemDataRole.ToolTipRole:
                return self._tool_tip(choice, column)
            case Qt.ItemDataRole.CheckStateRole if column is ObserverColumn.OBSERVER:
                return Qt.CheckState.Unchecked if kind in self._hidden else Qt.CheckState.Checked
            case Qt.ItemDataRole.DecorationRole if column is ObserverColumn.OBSERVER:
                return self._sample(kind)
            case Qt.ItemDataRole.TextAlignmentRole if column not in {ObserverColumn.OBSERVER, ObserverColumn.USE}:
                return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            case Qt.ItemDataRole.FontRole if kind is self._used:
                font = QFont()
                font.setBold(True)
                return font
            case Qt.ItemDataRole.ForegroundRole if column is ObserverColumn.USE and kind is not self._used:
                return QColor(self._theme.colours.accent)
        return None

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        if role != Qt.ItemDataRole.CheckStateRole or index.column() != ObserverColumn.OBSERVER:
            return False
        kind = self._choices[index.row()].observer.kind
        visible = Qt.CheckState(value) == Qt.CheckState.Checked
        (self._hidden.discard if visible else self._hidden.add)(kind)
        at = self.index(index.row(), index.column())
        self.dataChanged.emit(at, at, [role])
        self.shown.emit(kind, visible)
        return True

    def _text(self, choice: Choice, column: ObserverColumn) -> str:
        qparams = choice.qparams
        match column:
            case ObserverColumn.OBSERVER:
                return short_observer_label(choice.observer.kind)
            case ObserverColumn.LOW:
                return formatting.number(float(qparams.low[0]))
            case ObserverColumn.HIGH:
                return formatting.number(float(qparams.high[0]))
            case ObserverColumn.SCALE:
                return formatting.number(float(qparams.scale[0]))
            case ObserverColumn.ZERO_POINT:
                return str(int(qparams.zero_point[0]))
            case ObserverColumn.SQNR:
                return self.tr("exact") if choice.sqnr_db >= 200 else formatting.number_fixed(choice.sqnr_db, 1)
            case ObserverColumn.CLIPPED:
                return formatting.small_percent(choice.clipped)
            case ObserverColumn.USE if choice.observer.kind is self._used:
                return self.tr("✓ in use")
            case ObserverColumn.USE:
                return self.tr("Use") if self._can_use else ""

    def _tool_tip(self, choice: Choice, column: ObserverColumn) -> str:
        if column is ObserverColumn.SCALE:
            return self.tr("scale {value}").format(value=formatting.scale(float(choice.qparams.scale[0])))
        if column is ObserverColumn.USE and choice.observer.kind is not self._used:
            return self.tr("Use {name} for this layer.").format(name=observer_label(choice.observer.kind))
        return observer_sentence(choice.observer.kind)

    def _sample(self, kind: ObserverKind) -> QPixmap:
        pixmap = QPixmap(QSize(28, 12))
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        painter.setPen(pen(self._theme.observer_colour(kind), 2, OBSERVER_DASHES[kind]))
        painter.drawLine(0, 6, 28, 6)
        painter.end()
        return pixmap

    def _on_theme_changed(self) -> None:
        if self._choices:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._choices) - 1, len(ObserverColumn) - 1))
