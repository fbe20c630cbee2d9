"""The item model of the layer table."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import Any

from PySide6.QtCore import QAbstractItemModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QColor, QFont

from qgui.core import legality
from qgui.core.layers import Layer
from qgui.core.recipe import AUTOMATIC_OBSERVERS, Mode
from qgui.ui import formatting
from qgui.ui.choices import Choice, mode_choices, short_observer_label, weight_choices
from qgui.ui.document import Document, RecipeChange
from qgui.ui.layer_tree import Row, build
from qgui.ui.theme import Theme

Index = QModelIndex | QPersistentModelIndex


class Column(enum.IntEnum):
    """The columns in their order."""

    NAME = 0
    TYPE = 1
    MODE = 2
    OBSERVER = 3
    SQNR = 4
    FLOAT_MS = 5
    INT8_MS = 6
    WEIGHTS = 7
    OUTPUT = 8
    PARAMETERS = 9
    MACS = 10


#: The row itself, a `layer_tree.Row`.
ROW_ROLE = Qt.ItemDataRole.UserRole
#: What a column sorts by: a number or a text.
SORT_ROLE = Qt.ItemDataRole.UserRole + 1
#: The possible values of a cell, a list of `Choice`; None where it cannot be edited.
CHOICES_ROLE = Qt.ItemDataRole.UserRole + 2
#: The mode of a row as `Mode`, None where there is none or several.
MODE_ROLE = Qt.ItemDataRole.UserRole + 3

# Views ask for these for every row; making them anew each time would be what takes longest.
_COLUMNS = len(Column)
_SELECTABLE = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
_EDITABLE = _SELECTABLE | Qt.ItemFlag.ItemIsEditable
_SELECTABLE_END = _SELECTABLE | Qt.ItemFlag.ItemNeverHasChildren
_EDITABLE_END = _EDITABLE | Qt.ItemFlag.ItemNeverHasChildren
_EDITED = frozenset({Column.MODE, Column.OBSERVER, Column.WEIGHTS})
_NUMBERS = frozenset({Column.SQNR, Column.FLOAT_MS, Column.INT8_MS, Column.PARAMETERS, Column.MACS})
_MEASURED = frozenset({Column.SQNR, Column.FLOAT_MS, Column.INT8_MS})
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
#: Below this ratio a layer is pointed out.
POOR_SQNR_DB = 15.0


class LayerModel(QAbstractItemModel):
    """Layers as a tree by module path, or as one list.

    Args:
        document: Whose layers.
        theme: For marks and colours.
        parent: Qt parent.
    """

    def __init__(self, document: Document, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._document = document
        self._theme = theme
        self._flat = False
        self._italic = QFont()
        self._italic.setItalic(True)
        self._root, self._rows = build(document.model, self._flat)
        self._by_layer: dict[str, Row] = {}
        self._shape: list[tuple[str, str]] = []
        self._results: tuple[object, ...] = ()
        self._index_layers()
        document.model_changed.connect(self._rebuild)
        document.model_described.connect(self._on_described)
        document.recipe_changed.connect(self._on_recipe_changed)
        document.results_changed.connect(self._on_results_changed)
        theme.changed.connect(self._on_theme_changed)

    # Shape

    @property
    def flat(self) -> bool:
        """Whether the layers stand in one list."""
        return self._flat

    def set_flat(self, flat: bool) -> None:
        """Show one list or the tree."""
        if flat != self._flat:
            self._flat = flat
            self._rebuild()

    def rows(self) -> Sequence[Row]:
        """Return all rows in order."""
        return self._rows

    def index_of(self, layer: str) -> QModelIndex:
        """Return the index of a layer's name cell, an invalid one where there is no such layer."""
        row = self._by_layer.get(layer)
        return self.createIndex(row.position, Column.NAME, row.number) if row else QModelIndex()

    def row(self, index: Index) -> Row | None:
        """Return the row of an index."""
        return self._rows[index.internalId()] if index.isValid() else None

    def top(self, position: int) -> Row:
        """Return a row of the first level."""
        return self._root.rows[position]

    def index(self, row: int, column: int, parent: Index = QModelIndex()) -> QModelIndex:  # noqa: B008
        if parent.isValid() and parent.column() != 0:
            return QModelIndex()
        rows = (self._rows[parent.internalId()] if parent.isValid() else self._root).rows
        if 0 <= row < len(rows) and 0 <= column < _COLUMNS:
            return self.createIndex(row, column, rows[row].number)
        return QModelIndex()

    def parent(self, index: Index = QModelIndex()) -> QModelIndex:  # type: ignore[override]  # noqa: B008
        if not index.isValid():
            return QModelIndex()
        above = self._rows[index.internalId()].parent
        if above is None or above is self._root:
            return QModelIndex()
        return self.createIndex(above.position, 0, above.number)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        if not parent.isValid():
            return len(self._root.rows)
        return len(self._rows[parent.internalId()].rows) if parent.column() == 0 else 0

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return _COLUMNS

    def flags(self, index: Index) -> Qt.ItemFlag:
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        row = self._rows[index.internalId()]
        decided = index.column() in _EDITED and row.layer is not None and row.layer.head
        if row.rows:
            return _EDITABLE if decided else _SELECTABLE
        return _EDITABLE_END if decided else _SELECTABLE_END

    def hasChildren(self, parent: Index = QModelIndex()) -> bool:  # noqa: B008
        return bool(self._rows[parent.internalId()].rows) if parent.isValid() else bool(self._root.rows)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(Column):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._headers()[section][0]
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._headers()[section][1]
        if role == Qt.ItemDataRole.TextAlignmentRole and section in _NUMBERS:
            return _RIGHT
        return None

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return (
            (self.tr("Layer"), self.tr("Module or function of the traced model, in the order in which they run.")),
            (self.tr("Type"), self.tr("Class of the module or name of the function.")),
            (self.tr("Mode"), self.tr("How the layer computes: float, dynamic, static or QAT.")),
            (self.tr("Observer"), self.tr("Which observer chooses the range of the layer's output.")),
            (self.tr("SQNR dB"), self.tr("Signal to quantization noise ratio of the output, measured when comparing.")),
            (self.tr("float ms"), self.tr("Median time in the float model in milliseconds.")),
            (self.tr("int8 ms"), self.tr("Median time in the quantized model in milliseconds.")),
            (self.tr("Weights"), self.tr("Whether each output channel of the weight has its own scale.")),
            (self.tr("Output"), self.tr("Shape of the output for one sample.")),
            (self.tr("Parameters"), self.tr("Number of parameters.")),
            (self.tr("MACs"), self.tr("Multiply-accumulate operations for one sample.")),
        )

    # Cells

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        row, column = self._rows[index.internalId()], Column(index.column())
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return self._text(row, column)
            case Qt.ItemDataRole.ForegroundRole:
                return self._foreground(row, column)
            case Qt.ItemDataRole.TextAlignmentRole:
                return _RIGHT if column in _NUMBERS else None
            case Qt.ItemDataRole.ToolTipRole:
                return self._tool_tip(row, column)
            case Qt.ItemDataRole.DecorationRole:
                return self._decoration(row) if column is Column.NAME else None
            case Qt.ItemDataRole.FontRole:
                stale = column in _MEASURED and self._document.comparison_stale
                return self._italic if stale or (row.layer is not None and not row.layer.head) else None
            case Qt.ItemDataRole.AccessibleTextRole:
                return f"{self._headers()[column][0]}: {self._text(row, column) or formatting.NOTHING}"
        if role == ROW_ROLE:
            return row
        if role == SORT_ROLE:
            return self._sort_key(row, column)
        if role == CHOICES_ROLE:
            return self.choices(row.layer, column) if row.layer is not None else None
        if role == MODE_ROLE:
            return self.mode(row)
        return None

    def choices(self, layer: Layer, column: Column) -> list[Choice]:
        """Return the possible values of a layer's cell with the reasons against those it may not have."""
        rule = self._document.recipe.rule(layer.name)
        if column is Column.MODE:
            return mode_choices(layer, self._document.recipe.backend)
        if column is Column.WEIGHTS:
            return weight_choices(layer, rule.mode)
        if column is Column.OBSERVER:
            reason = "" if legality.has_activation(layer) else self.tr("Its output has no range to choose.")
            return [Choice(kind, short_observer_label(kind), reason) for kind in AUTOMATIC_OBSERVERS]
        return []

    def mode(self, row: Row) -> Mode | None:
        """Return the mode of a layer, or the one that all weights in a module have."""
        if row.layer is not None:
            return self._document.recipe.rule(row.layer.name).mode if row.layer.head else None
        heads = list(row.heads())
        weighted = [layer for layer in heads if legality.has_weight(layer)] or heads
        modes = {self._document.recipe.rule(layer.name).mode for layer in weighted}
        return modes.pop() if len(modes) == 1 else None

    def _text(self, row: Row, column: Column) -> str:
        if column is Column.NAME:
            return row.label
        if column is Column.MODE:
            return self._mode_text(row)
        layer = row.layer
        if layer is None:
            if column is Column.PARAMETERS:
                return formatting.count(sum(layer.parameters for layer in row.layers()))
            return ""
        match column:
            case Column.TYPE:
                return layer.type
            case Column.OBSERVER:
                return self._observer_text(layer)
            case Column.WEIGHTS:
                return self._weights_text(layer)
            case Column.PARAMETERS:
                return formatting.count(layer.parameters) if layer.parameters else ""
            case Column.MACS:
                return formatting.count(layer.macs) if layer.macs else ""
            case Column.OUTPUT:
                return formatting.shape(layer.output_shape) if layer.output_shape else ""
        value = self._measured(layer, column)
        if value is None:
            return ""
        if column is Column.SQNR:
            return self.tr("exact") if value >= 200 else formatting.number_fixed(value, 1)
        return formatting.number(value, 3)

    def _mode_text(self, row: Row) -> str:
        if row.layer is not None and not row.layer.head:
            return self.tr("fused into {head}").format(head=formatting.short_path(row.layer.group))
        mode = self.mode(row)
        return mode.value if mode is not None else self.tr("mixed")

    def _observer_text(self, layer: Layer) -> str:
        rule = self._document.recipe.rule(layer.name)
        if not layer.head or rule.mode not in {Mode.STATIC, Mode.QAT}:
            return ""
        if layer.type in legality.FIXED_QPARAMS:
            return self.tr("prescribed")
        if not legality.has_activation(layer):
            return ""
        owner = self._owner(layer)
        if owner is not None and owner != layer.name:
            return self.tr("as {layer}").format(layer=formatting.short_path(owner))
        return short_observer_label(rule.activation.observer.kind)

    def _owner(self, layer: Layer) -> str | None:
        """Return the layer whose setting decides the range of this one's output."""
        owner = self._document.owner_of(layer)
        return owner.layer if owner is not None else None

    def _weights_text(self, layer: Layer) -> str:
        rule = self._document.recipe.rule(layer.name)
        if not layer.head or not legality.has_weight(layer) or rule.mode is Mode.FLOAT:
            return ""
        return rule.weight.dtype if rule.weight.dtype == "float16" else rule.weight.granularity

    def _measured(self, layer: Layer, column: Column) -> float | None:
        result = self._document.layer_result(layer.name)
        if result is None:
            return None
        match column:
            case Column.SQNR:
                return result.sqnr_db
            case Column.FLOAT_MS:
                return result.float_ms
            case _:
                return result.quantized_ms

    def _sort_key(self, row: Row, column: Column) -> float | str:
        layer = row.layer
        match column:
            case Column.NAME:
                return row.path
            case Column.PARAMETERS:
                return float(sum(entry.parameters for entry in row.layers()))
            case Column.MACS:
                return float(layer.macs) if layer else 0.0
            case Column.SQNR | Column.FLOAT_MS | Column.INT8_MS:
                value = self._measured(layer, column) if layer else None
                nothing = float("inf") if column is Column.SQNR else -1.0
                return nothing if value is None else value
        return self._text(row, column)

    def _foreground(self, row: Row, column: Column) -> QColor | None:
        colours = self._theme.colours
        if row.layer is None or not row.layer.head:
            return QColor(colours.faint) if column is not Column.NAME or row.layer is not None else None
        if column is Column.SQNR:
            value = self._measured(row.layer, column)
            return QColor(colours.bad) if value is not None and value < POOR_SQNR_DB else None
        if column is Column.INT8_MS and self._slower(row.layer):
            return QColor(colours.bad)
        return None

    def _slower(self, layer: Layer) -> bool:
        result = self._document.layer_result(layer.name)
        if result is None or result.float_ms is None or result.quantized_ms is None:
            return False
        return result.quantized_ms > 1.1 * result.float_ms and result.mode is not Mode.FLOAT

    def _decoration(self, row: Row) -> Any:
        if row.layer is None:
            return None
        if not row.layer.head:
            return self._theme.icon("link", self._theme.colours.faint)
        return self._theme.icon("lock") if row.layer.leaf_reason else None

    def _tool_tip(self, row: Row, column: Column) -> str | None:
        layer = row.layer
        if layer is None:
            return self.tr("{path}: {count} layers").format(path=row.path, count=sum(1 for _ in row.heads()))
        if not layer.head:
            return self.tr("Fused into {head}: it follows the mode of that layer.").format(head=layer.group)
        match column:
            case Column.NAME:
                return "\n".join(filter(None, [layer.name, layer.fusion, leaf_sentence(layer)]))
            case Column.MODE:
                reasons = legality.mode_reasons(layer, self._document.recipe.backend)
                lines = [f"{mode}: {reason}" for mode, reason in reasons.items() if reason]
                return "\n".join(lines) or self.tr("Every mode is possible.")
            case Column.OBSERVER if layer.type in legality.FIXED_QPARAMS:
                return self.tr("PyTorch prescribes scale and zero point of {type}.").format(type=layer.type)
            case Column.OBSERVER:
                owner = self._owner(layer)
                if owner is not None and owner != layer.name:
                    return self.tr("{type} keeps the range of {owner}.").format(type=layer.type, owner=owner)
            case Column.INT8_MS if self._slower(layer):
                return self.tr("Slower than in float: this layer leaves the fast kernels of the backend.")
            case Column.SQNR if self._document.comparison_stale:
                return self.tr("Measured before the last decisions. Compare again.")
        return self._text(row, column) or None

    # Changes

    def _index_layers(self) -> None:
        self._by_layer = {row.layer.name: row for row in self._rows if row.layer is not None}
        layers = self._document.model.layers if self._document.model is not None else ()
        self._shape = [(layer.name, layer.group) for layer in layers]

    def _rebuild(self) -> None:
        self.beginResetModel()
        self._root, self._rows = build(self._document.model, self._flat)
        self._index_layers()
        self.endResetModel()

    def _on_described(self) -> None:
        """Take fuller descriptions of the same layers; only other layers make another tree."""
        layers = self._document.model.layers if self._document.model is not None else ()
        if [(layer.name, layer.group) for layer in layers] != self._shape:
            self._rebuild()
            return
        for layer in layers:
            self._by_layer[layer.name].layer = layer
        self._emit_all(Column.NAME, Column.MACS)

    def _on_recipe_changed(self, change: RecipeChange) -> None:
        rows = [self._by_layer[name] for name in change.layers if name in self._by_layer]
        above: dict[int, Row] = {}
        for row in rows:
            parent = row.parent
            while parent is not None and parent is not self._root and parent.number not in above:
                above[parent.number] = parent
                parent = parent.parent
        self._emit(rows, Column.MODE, Column.WEIGHTS)
        self._emit([row for row in above.values() if row.layer is None], Column.MODE, Column.MODE)

    def _on_results_changed(self) -> None:
        document = self._document
        results = (id(document.result), id(document.comparison), document.comparison_stale)
        if results != self._results:
            self._results = results
            self._emit_all(Column.SQNR, Column.INT8_MS)

    def _on_theme_changed(self) -> None:
        self._emit_all(Column.NAME, Column.MACS)

    def _emit_all(self, first: Column, last: Column) -> None:
        """Say that columns changed in all rows: a view redraws as a whole when told of the first level."""
        if self._root.rows:
            self._emit(self._root.rows, first, last)

    def _emit(self, rows: Iterable[Row], first: Column, last: Column) -> None:
        """Say that cells changed: one range for each parent row."""
        by_parent: dict[int, list[Row]] = {}
        for row in rows:
            by_parent.setdefault(id(row.parent), []).append(row)
        for group in by_parent.values():
            top = min(group, key=lambda row: row.position)
            bottom = max(group, key=lambda row: row.position)
            self.dataChanged.emit(
                self.createIndex(top.position, first, top.number),
                self.createIndex(bottom.position, last, bottom.number),
            )


def leaf_sentence(layer: Layer) -> str:
    """Return why a layer is a leaf, empty where it is none."""
    return f"Not traced: {layer.leaf_reason}" if layer.leaf_reason else ""
