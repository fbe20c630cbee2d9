"""The table of what int8 loses time with: layers that became slower and float islands, the greatest loss first."""

from __future__ import annotations

import enum
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt
from PySide6.QtGui import QColor

from qgui.core.language import say
from qgui.core.runtimes import RUNTIMES
from qgui.core.slowness import Cause, Explanation, SlowIsland, SlowLayer, WayOut
from qgui.ui import formatting
from qgui.ui.layer_cells import RIGHT
from qgui.ui.layer_model import Index
from qgui.ui.theme import Theme

Finding = SlowLayer | SlowIsland


class SlowColumn(enum.IntEnum):
    """The columns in their order."""

    LAYER = 0
    FLOAT_MS = 1
    INT8_MS = 2
    RATIO = 3
    LOST = 4
    CAUSE = 5
    WAY = 6


def cause_words(cause: Cause) -> str:
    """Return a cause in few words."""
    words = {
        Cause.DEPTHWISE: say("depthwise off the fast path"),
        Cause.GROUPED: say("groups off the fast path"),
        Cause.FOLLOWS: say("after a slow layer"),
        Cause.ENGINE: say("engine made for ARM"),
        Cause.NO_VNNI: say("processor without VNNI"),
        Cause.UNFOLDED_CLAMP: say("clamp not folded"),
        Cause.DYNAMIC: say("input quantized at each call"),
        Cause.SMALL: say("too small to pay"),
        Cause.PLAIN_KERNEL: say("plain int8 kernel"),
        Cause.UNKNOWN: say("not known"),
    }
    return words[cause]


def way_words(way: WayOut) -> str:
    """Return a way out in one or two words."""
    match way.kind:
        case "backend":
            return way.backend
        case "runtime":
            return RUNTIMES[way.runtime]
        case "float":
            return say("leave float")
        case "static":
            return say("make int8")


class SlowModel(QAbstractTableModel):
    """Slow layers and islands.

    Args:
        theme: For the colour of a loss.
        parent: Qt parent.
    """

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._rows: list[Finding] = []

    def show_explanation(self, explanation: Explanation | None) -> None:
        """Show other findings."""
        self.beginResetModel()
        self._rows = explanation.findings if explanation is not None else []
        self.endResetModel()

    def finding(self, row: int) -> Finding | None:
        """Return what stands in a row, None where there is no such row."""
        return self._rows[row] if 0 <= row < len(self._rows) else None

    def layer(self, row: int) -> str:
        """Return the path of the layer in a row, of an island its first; empty where it has none."""
        finding = self._rows[row]
        if isinstance(finding, SlowLayer):
            return finding.name
        return finding.island.layers[0] if finding.island.layers else ""

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(SlowColumn)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(SlowColumn):
            return None
        titles = (
            (self.tr("Layer"), self.tr("Path of the layer; ⇄ marks float work between int8 layers.")),
            (self.tr("float ms"), self.tr("Median time in the float model in milliseconds.")),
            (self.tr("int8 ms"), self.tr("Median time in the quantized model, conversions of an island included.")),
            (self.tr("Ratio"), self.tr("int8 time divided by float time.")),
            (self.tr("Lost ms"), self.tr("int8 time less float time.")),
            (self.tr("Cause"), self.tr("Why, as far as it is known; select the row for the whole sentence.")),
            (self.tr("Way out"), self.tr("What can be done first; all of them are listed below.")),
        )
        if role == Qt.ItemDataRole.DisplayRole:
            return titles[section][0]
        if role == Qt.ItemDataRole.TextAlignmentRole and SlowColumn.FLOAT_MS <= section <= SlowColumn.LOST:
            return RIGHT
        return titles[section][1] if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, column = self._rows[index.row()], SlowColumn(index.column())
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self._text(row, column)
            case Qt.ItemDataRole.ToolTipRole:
                return row.reason if column >= SlowColumn.CAUSE else self._text(row, column)
            case Qt.ItemDataRole.TextAlignmentRole if SlowColumn.FLOAT_MS <= column <= SlowColumn.LOST:
                return RIGHT
            case Qt.ItemDataRole.ForegroundRole if column is SlowColumn.RATIO and row.lost_ms > 0:
                return QColor(self._theme.colours.bad)
        return None

    def _text(self, row: Finding, column: SlowColumn) -> str:
        is_island = isinstance(row, SlowIsland)
        after = row.island.total_ms if isinstance(row, SlowIsland) else row.quantized_ms
        match column:
            case SlowColumn.LAYER if isinstance(row, SlowIsland):
                names = ", ".join(row.island.layers) or self.tr("conversion only")
                return f"⇄ {names}"
            case SlowColumn.LAYER:
                return "" if is_island else self.layer(self._rows.index(row))
            case SlowColumn.FLOAT_MS:
                return formatting.number(row.float_ms, 3)
            case SlowColumn.INT8_MS:
                return formatting.number(after, 3)
            case SlowColumn.RATIO:
                return f"{formatting.number(after / row.float_ms, 3)} ×" if row.float_ms else formatting.NOTHING
            case SlowColumn.LOST:
                return formatting.number(row.lost_ms, 3)
            case SlowColumn.CAUSE:
                return self.tr("float island") if isinstance(row, SlowIsland) else cause_words(row.cause)
            case SlowColumn.WAY:
                return way_words(row.ways[0]) if row.ways else formatting.NOTHING
