"""Which rows of the layer table are selected, worked out once for each selection."""

from __future__ import annotations

from PySide6.QtCore import QItemSelectionModel, QObject

from qgui.ui.layer_filter import LayerFilter
from qgui.ui.layer_tree import Row

#: Qt asks range by range whether a cell is selected; a selection over so many modules has as many ranges.
_MANY_RANGES = 32


class SelectedRows(QObject):
    """The selected rows of a view.

    Args:
        selection: The selection of the view.
        layers: What the view shows.
    """

    def __init__(self, selection: QItemSelectionModel, layers: LayerFilter) -> None:
        super().__init__(selection)
        self._selection, self._layers = selection, layers
        self._rows: tuple[Row, ...] | None = None
        self._numbers: frozenset[int] = frozenset()
        #: Whether Qt needs longer than a frame to find out which cells are selected.
        self.scattered = False
        for changed in (selection.selectionChanged, layers.modelReset, layers.layoutChanged):
            changed.connect(self._forget)

    def _forget(self) -> None:
        self._rows = None

    def rows(self) -> tuple[Row, ...]:
        """Return the selected rows in no certain order."""
        if self._rows is None:
            # Not `selectedRows`, which asks for each row whether another range holds it too.
            ranges = self._selection.selection()
            self.scattered = ranges.count() > _MANY_RANGES
            layers, source = self._layers, self._layers.layer_model
            found = [
                source.row(layers.mapToSource(layers.index(place, 0, parent)))
                for ranged in map(ranges.at, range(ranges.count()))
                for parent in (ranged.parent(),)
                for place in range(ranged.top(), ranged.bottom() + 1)
            ]
            self._rows = tuple(row for row in found if row is not None)
            self._numbers = frozenset(row.number for row in self._rows)
        return self._rows

    def holds(self, row: Row) -> bool:
        """Whether a row is selected."""
        self.rows()
        return row.number in self._numbers
