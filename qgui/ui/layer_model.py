"""The item model of the layer table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from PySide6.QtCore import QAbstractItemModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from qgui.ui.document import Document, RecipeChange
from qgui.ui.layer_cells import NUMBERS, RIGHT, Column, LayerCells
from qgui.ui.layer_tree import Row, build
from qgui.ui.theme import Theme

Index = QModelIndex | QPersistentModelIndex

# Views ask for these for every row; making them anew each time would be what takes longest.
_BY_NUMBER = tuple(Column)
_COLUMNS = len(Column)
_SELECTABLE = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
_EDITABLE = _SELECTABLE | Qt.ItemFlag.ItemIsEditable
_SELECTABLE_END = _SELECTABLE | Qt.ItemFlag.ItemNeverHasChildren
_EDITABLE_END = _EDITABLE | Qt.ItemFlag.ItemNeverHasChildren
#: Where rows of more parents change, views are told once that all did: each range costs them as much as a redraw.
_RANGES_AT_ONCE = 20
_EDITED = frozenset({Column.MODE, Column.OBSERVER, Column.WEIGHTS})


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
        self._flat = False
        self.cells = LayerCells(document, theme, self)
        self._answers = self.cells.answers
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
        return self.index_of_row(row) if row else QModelIndex()

    def index_of_row(self, row: Row) -> QModelIndex:
        """Return the index of a row's name cell."""
        return self.createIndex(row.position, Column.NAME, row.number)

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
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < _COLUMNS:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.cells.titles()[section][0]
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.cells.titles()[section][1]
        if role == Qt.ItemDataRole.TextAlignmentRole and section in NUMBERS:
            return RIGHT
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        answer = self._answers(role)
        if answer is None or not index.isValid():
            return None
        return answer(self._rows[index.internalId()], _BY_NUMBER[index.column()])

    # Changes

    def _index_layers(self) -> None:
        self._by_layer = {row.layer.name: row for row in self._rows if row.layer is not None}
        layers = self._document.model.layers if self._document.model is not None else ()
        self._shape = [(layer.name, layer.group) for layer in layers]

    def begin_anew(self) -> None:
        """Let views ask for every row again."""
        self.beginResetModel()
        self.endResetModel()

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
        self._emit_all(Column.NAME, Column.RULE)

    def _on_recipe_changed(self, change: RecipeChange) -> None:
        rows = [self._by_layer[name] for name in change.layers if name in self._by_layer]
        if len({id(row.parent) for row in rows}) > _RANGES_AT_ONCE:
            self._emit_all(Column.MODE, Column.RULE)
            return
        above: dict[int, Row] = {}
        for row in rows:
            parent = row.parent
            while parent is not None and parent is not self._root and parent.number not in above:
                above[parent.number] = parent
                parent = parent.parent
        self._emit(rows, Column.MODE, Column.WEIGHTS)
        self._emit(rows, Column.RULE, Column.RULE)
        self._emit([row for row in above.values() if row.layer is None], Column.MODE, Column.MODE)

    def _on_results_changed(self) -> None:
        document = self._document
        results = (
            id(document.comparison),
            document.comparison_stale,
            id(document.measured),
            document.measured_stale,
        )
        if results != self._results:
            self._results = results
            self._emit_all(Column.SQNR, Column.GAP)

    def _on_theme_changed(self) -> None:
        self._emit_all(Column.NAME, Column.RULE)

    def _emit_all(self, first: Column, last: Column) -> None:
        """Say that columns changed in all rows, by the first level: `LayerView` then redraws as a whole."""
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
