"""The item models of the compare panel: all quantities, and the layers."""

from __future__ import annotations

import enum
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt
from PySide6.QtGui import QColor

from qgui.core.recipe import Mode, mode_name
from qgui.core.results import Comparison, LayerResult
from qgui.ui import formatting
from qgui.ui.comparison_rows import ComparisonRow, comparison_rows
from qgui.ui.layer_cells import POOR_SQNR_DB, RIGHT, ROOM_FOR_MARK
from qgui.ui.layer_model import Index
from qgui.ui.theme import Theme


class QuantityModel(QAbstractTableModel):
    """Every quantity for float and quantized.

    Args:
        parent: Qt parent.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: list[ComparisonRow] = []

    def show_comparison(self, comparison: Comparison | None) -> None:
        """Show another comparison."""
        self.beginResetModel()
        self._rows = comparison_rows(comparison) if comparison is not None else []
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else 4

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role == Qt.ItemDataRole.TextAlignmentRole and section in {1, 2}:
            return RIGHT
        if orientation != Qt.Orientation.Horizontal or role != Qt.ItemDataRole.DisplayRole:
            return None
        return (
            ("", self.tr("Float"), self.tr("Quantized"), self.tr("Difference"))[section] if 0 <= section < 4 else None
        )

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row = self._rows[index.row()]
        if role in {Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole}:
            return (row.name, row.before, row.after, row.difference)[index.column()]
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() in {1, 2}:
            return RIGHT
        return None


class ResultColumn(enum.IntEnum):
    """The columns of the layer results in their order."""

    LAYER = 0
    MODE = 1
    SQNR = 2
    FLOAT_MS = 3
    INT8_MS = 4
    SPEEDUP = 5


class LayerResultModel(QAbstractTableModel):
    """What became of each layer, sortable by every column.

    Args:
        theme: For the colour of what is poor.
        parent: Qt parent.
    """

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._given: tuple[LayerResult, ...] = ()
        self._layers: list[LayerResult] = []
        self._sorted: tuple[int, Qt.SortOrder] = (-1, Qt.SortOrder.AscendingOrder)

    def show_comparison(self, comparison: Comparison | None) -> None:
        """Show the layers of another comparison, in the order that was chosen for those before."""
        self.beginResetModel()
        layers = comparison.layers if comparison is not None else ()
        self._given = tuple(x for x in layers if x.sqnr_db is not None or x.float_ms is not None)
        self._layers = self._in_order()
        self.endResetModel()

    def name(self, row: int) -> str:
        """Return the path of the layer in a row."""
        return self._layers[row].name

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._layers)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(ResultColumn)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(ResultColumn):
            return None
        titles = (
            (self.tr("Layer"), self.tr("Path of the layer.")),
            (self.tr("Mode"), self.tr("The mode it has in the quantized model.")),
            (self.tr("SQNR dB"), self.tr("Signal to quantization noise ratio against the float model.")),
            (self.tr("float ms"), self.tr("Median time in the float model in milliseconds.")),
            (self.tr("int8 ms"), self.tr("Median time in the quantized model in milliseconds.")),
            (self.tr("Speedup"), self.tr("Float time divided by int8 time.")),
        )
        if role == Qt.ItemDataRole.DisplayRole:
            marked = section == self._sorted[0] and section >= ResultColumn.SQNR
            return titles[section][0] + (ROOM_FOR_MARK if marked else "")
        if role == Qt.ItemDataRole.TextAlignmentRole and section >= ResultColumn.SQNR:
            return RIGHT
        return titles[section][1] if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        layer, column = self._layers[index.row()], ResultColumn(index.column())
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self._text(layer, column)
            case Qt.ItemDataRole.ToolTipRole if column is ResultColumn.LAYER:
                return self.tr("{name}: {type}, computed by {quantized}").format(
                    name=layer.name, type=layer.type, quantized=layer.quantized_type or layer.type
                )
            case Qt.ItemDataRole.TextAlignmentRole if column >= ResultColumn.SQNR:
                return RIGHT
            case Qt.ItemDataRole.ForegroundRole if self._poor(layer, column):
                return QColor(self._theme.colours.bad)
        return None

    def _poor(self, layer: LayerResult, column: ResultColumn) -> bool:
        if column is ResultColumn.SQNR:
            return layer.sqnr_db is not None and layer.sqnr_db < POOR_SQNR_DB
        ratio = _speedup(layer)
        return column is ResultColumn.SPEEDUP and ratio is not None and ratio < 0.9 and layer.mode is not Mode.FLOAT

    def _text(self, layer: LayerResult, column: ResultColumn) -> str:
        match column:
            case ResultColumn.LAYER:
                return layer.name
            case ResultColumn.MODE:
                return mode_name(layer.mode)
            case ResultColumn.SQNR:
                return formatting.decibel(layer.sqnr_db).removesuffix(" dB")
            case ResultColumn.FLOAT_MS:
                return formatting.number(layer.float_ms, 3)
            case ResultColumn.INT8_MS:
                return formatting.number(layer.quantized_ms, 3)
            case ResultColumn.SPEEDUP:
                ratio = _speedup(layer)
                return f"{formatting.number(ratio, 3)} ×" if ratio is not None else formatting.NOTHING

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        names = [self._layers[index.row()].name for index in before]
        self._sorted = (column, order)
        self._layers = self._in_order()
        places = {layer.name: place for place, layer in enumerate(self._layers)}
        after = [self.index(places[name], index.column()) for name, index in zip(names, before, strict=True)]
        self.changePersistentIndexList(before, after)
        self.layoutChanged.emit()

    def _in_order(self) -> list[LayerResult]:
        column, order = self._sorted
        if column < 0:
            return list(self._given)
        down = order == Qt.SortOrder.DescendingOrder
        known = [layer for layer in self._given if _sort_key(layer, ResultColumn(column)) is not None]
        unknown = [layer for layer in self._given if _sort_key(layer, ResultColumn(column)) is None]
        known.sort(key=lambda layer: _sort_key(layer, ResultColumn(column)), reverse=down)  # type: ignore[arg-type, return-value]
        return known + unknown


def _speedup(layer: LayerResult) -> float | None:
    if not layer.float_ms or not layer.quantized_ms:
        return None
    return layer.float_ms / layer.quantized_ms


def _sort_key(layer: LayerResult, column: ResultColumn) -> float | str | None:
    """Return what a layer is sorted by; None for what is not known and stands last."""
    match column:
        case ResultColumn.LAYER:
            return layer.name
        case ResultColumn.MODE:
            return layer.mode.value
        case ResultColumn.SQNR:
            return layer.sqnr_db
        case ResultColumn.FLOAT_MS:
            return layer.float_ms
        case ResultColumn.INT8_MS:
            return layer.quantized_ms
        case ResultColumn.SPEEDUP:
            return _speedup(layer)
