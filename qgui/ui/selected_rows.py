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
        self._names: dict[str, None] | None = None
        #: Whether Qt needs longer than a frame to find out which cells are selected.
        self.scattered = False
        for changed in (selection.selectionChanged, layers.modelReset, layers.layoutChanged):
            changed.connect(self._forget)

    def _forget(self) -> None:
        self._rows = self._names = None

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

    def layers(self, first: Row | None) -> tuple[str, ...]:
        """Return the names of the selected layers in order; a selected module stands for all layers in it.

        Args:
            first: The row whose layers come first, where it is selected.
        """
        if self._names is None:
            ordered = sorted(self.rows(), key=lambda row: row.number)
            self._names = {name: None for row in ordered for name in _names(row)}
        if first is None or not self.holds(first):
            return tuple(self._names)
        return tuple(dict.fromkeys(_names(first)) | self._names)

    def holds(self, row: Row) -> bool:
        """Whether a row is selected."""
        self.rows()
        return row.number in self._numbers


def _names(row: Row) -> list[str]:
    return [layer.name for layer in ([row.layer] if row.layer is not None else row.heads())]
