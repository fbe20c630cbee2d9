"""What each observer chooses for a weight, per channel and per tensor."""

from __future__ import annotations

import enum
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt
from PySide6.QtGui import QColor, QFont

from qgui.core import legality
from qgui.core.layers import Layer
from qgui.core.recipe import Mode, Rule, WeightSetting, observer_name
from qgui.ui import formatting
from qgui.ui.choices import granularity_label, observer_sentence
from qgui.ui.layer_model import Index
from qgui.ui.theme import Theme
from qgui.ui.weight_file import WeightChoice, WeightRanges


class WeightColumn(enum.IntEnum):
    """The columns in their order."""

    GRANULARITY = 0
    OBSERVER = 1
    LOW = 2
    HIGH = 3
    SQNR = 4
    USE = 5


class WeightTableModel(QAbstractTableModel):
    """One row for each granularity and observer.

    Args:
        theme: For the colour of what can be clicked.
        parent: Qt parent.
    """

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._ranges: WeightRanges | None = None
        self._layer: Layer | None = None
        self._rule = Rule()

    def show_ranges(self, ranges: WeightRanges | None, layer: Layer | None, rule: Rule) -> None:
        """Show the choices for a layer's weight."""
        self.beginResetModel()
        self._ranges, self._layer, self._rule = ranges, layer, rule
        self.endResetModel()

    def show_rule(self, rule: Rule) -> None:
        """Mark what another rule uses."""
        self._rule = rule
        if self.rowCount():
            self.dataChanged.emit(self.index(0, 0), self.index(self.rowCount() - 1, len(WeightColumn) - 1))

    def choice(self, row: int) -> WeightChoice | None:
        """Return the choice in a row."""
        return self._ranges.choices[row] if self._ranges is not None else None

    def reason(self, choice: WeightChoice) -> str:
        """Return why the layer may not have a choice; empty where it may."""
        if self._layer is None:
            return ""
        qscheme = scheme_of(choice)
        setting = WeightSetting("qint8", qscheme)  # type: ignore[arg-type]
        return (
            legality.weight_schemes(self._layer, self._rule.mode)[qscheme]  # type: ignore[index]
            or legality.weight_observers(self._layer, setting)[choice.kind]
        )

    def used(self, choice: WeightChoice) -> bool:
        """Whether the layer's rule takes this choice."""
        weight = self._rule.weight
        return (
            self._rule.mode is not Mode.FLOAT
            and weight.dtype != "float16"
            and weight.per_channel == (choice.granularity == "per-channel")
            and weight.observer.kind is choice.kind
        )

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() or self._ranges is None else len(self._ranges.choices)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(WeightColumn)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(WeightColumn):
            return None
        titles = (
            (self.tr("Scale"), self.tr("One scale for each output channel, or one for the whole weight.")),
            (self.tr("Observer"), self.tr("What chooses the range from the weight.")),
            (self.tr("Min"), self.tr("Least value that can be represented in any channel.")),
            (self.tr("Max"), self.tr("Greatest value that can be represented in any channel.")),
            (self.tr("SQNR dB"), self.tr("Signal to quantization noise ratio of the weight; more is better.")),
            ("", self.tr("Use this for the layer.")),
        )
        if role == Qt.ItemDataRole.DisplayRole:
            return titles[section][0]
        if role == Qt.ItemDataRole.TextAlignmentRole and section in {
            WeightColumn.LOW,
            WeightColumn.HIGH,
            WeightColumn.SQNR,
        }:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return titles[section][1] if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        choice = self.choice(index.row()) if index.isValid() else None
        if choice is None:
            return None
        column = WeightColumn(index.column())
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self._text(choice, column)
            case Qt.ItemDataRole.ToolTipRole:
                return self.reason(choice) or observer_sentence(choice.kind)
            case Qt.ItemDataRole.TextAlignmentRole if column in {
                WeightColumn.LOW,
                WeightColumn.HIGH,
                WeightColumn.SQNR,
            }:
                return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            case Qt.ItemDataRole.FontRole if self.used(choice):
                font = QFont()
                font.setBold(True)
                return font
            case Qt.ItemDataRole.ForegroundRole if self.reason(choice):
                return QColor(self._theme.colours.faint)
            case Qt.ItemDataRole.ForegroundRole if column is WeightColumn.USE and not self.used(choice):
                return QColor(self._theme.colours.accent)
        return None

    def _text(self, choice: WeightChoice, column: WeightColumn) -> str:
        match column:
            case WeightColumn.GRANULARITY:
                return granularity_label(choice.granularity)
            case WeightColumn.OBSERVER:
                return observer_name(choice.kind)
            case WeightColumn.LOW:
                return formatting.number(float(choice.low.min()))
            case WeightColumn.HIGH:
                return formatting.number(float(choice.high.max()))
            case WeightColumn.SQNR:
                return formatting.number_fixed(choice.sqnr_db, 1) if choice.sqnr_db < 200 else self.tr("exact")
            case WeightColumn.USE if self.used(choice):
                return self.tr("✓ in use")
            case WeightColumn.USE:
                return "" if self.reason(choice) or self._rule.mode is Mode.FLOAT else self.tr("Use")


def scheme_of(choice: WeightChoice) -> str:
    """Return the qscheme by which a layer takes a choice."""
    return f"{choice.granularity.replace('-', '_')}_symmetric"
