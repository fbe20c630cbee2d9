"""Filtering the layer table by text, type, mode and surprise; the rows above a match stay."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QObject, QSortFilterProxyModel, Qt

from qgui.core.recipe import Mode
from qgui.ui.layer_cells import NUMBERS, ROOM_FOR_MARK, SORT_ROLE
from qgui.ui.layer_model import Index, LayerModel
from qgui.ui.layer_tree import Row


class LayerFilter(QSortFilterProxyModel):
    """Lets through the layers that match all criteria.

    Args:
        model: The layer table.
        parent: Qt parent.
    """

    def __init__(self, model: LayerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.layer_model = model
        self._text = ""
        self._type = ""
        self._mode: Mode | None = None
        self._surprising = False
        self._matching: int = 0
        self._accepted: set[int] | None = None
        self.setSortRole(SORT_ROLE)
        self.setSortCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.setDynamicSortFilter(False)
        # Heard before views ask again for rows that may be others by then.
        model.modelAboutToBeReset.connect(self._forget)
        self.setSourceModel(model)

    @property
    def active(self) -> bool:
        """Whether any criterion is set."""
        return bool(self._text or self._type or self._mode or self._surprising)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        title = super().headerData(section, orientation, role)
        marked = role == Qt.ItemDataRole.DisplayRole and section == self.sortColumn() and section in NUMBERS
        return f"{title}{ROOM_FOR_MARK}" if marked else title

    def set_criteria(self, text: str, layer_type: str, mode: Mode | None, surprising: bool = False) -> None:
        """Filter by a part of path or type, by an exact type, by mode, and by surprise; empty values let all through.

        Args:
            text: Part of path or type.
            layer_type: Exact type.
            mode: Exact mode.
            surprising: Whether only layers are wanted whose measured SQNR is off the predicted one.
        """
        wanted = (text.strip().lower(), layer_type, mode, surprising)
        if wanted == (self._text, self._type, self._mode, self._surprising):
            return
        # With thousands of rows, showing and hiding them one by one takes a hundred times as long as beginning anew.
        self._text, self._type, self._mode, self._surprising = wanted
        self.layer_model.begin_anew()

    def filterAcceptsRow(self, source_row: int, source_parent: Index) -> bool:
        if not self.active:
            return True
        above = self.layer_model.row(source_parent)
        row = above.rows[source_row] if above is not None else self.layer_model.top(source_row)
        return row.number in self._found()

    @property
    def matching(self) -> int:
        """How many rows match; those above them do not count."""
        self._found()
        return self._matching

    def _forget(self) -> None:
        self._accepted = None

    def _found(self) -> set[int]:
        """Return the numbers of the rows that match and of those above them, looked up once for all criteria."""
        if self._accepted is None:
            self._accepted, self._matching = set(), 0
            for row in self.layer_model.rows():
                if self._matches(row):
                    self._matching += 1
                    above: Row | None = row
                    while above is not None and above.number not in self._accepted:
                        self._accepted.add(above.number)
                        above = above.parent if above.parent is not None and above.parent.parent is not None else None
        return self._accepted

    def matching_layers(self) -> list[str]:
        """Return the paths of the layers that carry a rule and match, in order."""
        return [
            row.layer.name
            for row in self.layer_model.rows()
            if row.layer is not None and row.layer.head and self._matches(row)
        ]

    def _matches(self, row: Row) -> bool:
        layer = row.layer
        if layer is None:
            return False
        if not layer.head and row.parent is not None and row.parent.layer is not None and self._matches(row.parent):
            return True
        if self._mode is not None and self.layer_model.cells.mode(row) is not self._mode:
            return False
        if self._surprising and not self.layer_model.cells.surprising(layer):
            return False
        if self._type and layer.type != self._type:
            return False
        return self._text in layer.name.lower() or self._text in layer.type.lower()
