"""The layer table with its filter, its context menu and multi-row edits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from PySide6.QtCore import QItemSelection, QItemSelectionModel, QItemSelectionRange, QModelIndex, QPoint, Qt, Signal
from PySide6.QtWidgets import (
    QLabel,
    QMenu,
    QVBoxLayout,
    QWidget,
)

from qgui.core import decisions, legality
from qgui.core.recipe import Mode, ObserverKind, mode_name, observer_name
from qgui.ui.choices import scheme_label
from qgui.ui.delegates import MODE_MARKS, ChoiceDelegate, ModeDelegate, RowDelegate
from qgui.ui.document import Document
from qgui.ui.filter_row import FilterRow
from qgui.ui.later import Later
from qgui.ui.layer_cells import ROW_ROLE, Column
from qgui.ui.layer_filter import LayerFilter
from qgui.ui.layer_menu import LayerMenu
from qgui.ui.layer_model import LayerModel
from qgui.ui.layer_tree import Row
from qgui.ui.layer_view import LayerView
from qgui.ui.theme import Theme


class LayerPanel(QWidget):
    """Shows layers, lets the person filter and select them, and decide for all that are selected.

    Signals:
        selection_changed: Names of the selected layers, fused and inner ones included; the current one first.

    Args:
        document: Whose layers.
        theme: For marks and colours.
        parent: Qt parent.
    """

    selection_changed = Signal(tuple)

    def __init__(self, document: Document, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._document = document
        self._theme = theme
        self._restoring: tuple[str, ...] = ()
        self._selected: tuple[str, ...] | None = None
        self._summary_later = Later(self._summarize, self)
        self.setObjectName("layerPanel")
        self._filtered: object = None
        self.filter_row = FilterRow(self)
        # Heard before the model of the table does.
        self._decided: tuple[str, ...] = ()
        self._note_decided()
        document.model_changed.connect(self._note_decided)
        document.model_described.connect(self._note_decided)
        document.model_changed.connect(self._begin_anew)
        self.model = LayerModel(document, theme, self)
        self.filter = LayerFilter(self.model, self)
        self.view = LayerView(self.filter, self)
        self.view.setItemDelegate(RowDelegate(self.view))
        self.view.setItemDelegateForColumn(Column.MODE, ModeDelegate(self._apply_cell, theme, self.view))
        for column in (Column.OBSERVER, Column.WEIGHTS):
            self.view.setItemDelegateForColumn(column, ChoiceDelegate(self._apply_cell, self.view))
        self.menu = LayerMenu(document, self)
        self.summary = QLabel(self)
        self.summary.setObjectName("layerSummary")
        self.summary.setProperty("faint", True)
        self._column = layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 2, 4)
        layout.setSpacing(4)
        layout.addWidget(self.filter_row)
        layout.addWidget(self.view, 1)
        layout.addWidget(self.summary)
        self._patterned = False
        self._connect()
        self._on_model_reset()

    def _connect(self) -> None:
        self.filter_row.changed.connect(self._on_criteria)
        self.view.selectionModel().selectionChanged.connect(self._on_selection)
        self.view.selectionModel().currentRowChanged.connect(self._on_selection)
        self.view.customContextMenuRequested.connect(self._show_menu)
        self.view.header().customContextMenuRequested.connect(self._show_header_menu)
        self.view.header().sortIndicatorChanged.connect(self._on_sort)
        self.menu.matching_wanted.connect(self.select_matching)
        self.menu.same_type_wanted.connect(self._select_same_type)
        self.model.modelAboutToBeReset.connect(self._remember_selection)
        self.model.modelReset.connect(self._on_model_reset)
        self._document.recipe_changed.connect(self._summary_later.ask)
        self._document.recipe_changed.connect(self._show_rule_column)
        self._document.model_changed.connect(self._show_rule_column)
        self._document.results_changed.connect(self._sort_again)
        # Heard after the model of the table has its rows.
        self._document.model_changed.connect(self.view.fit_names)

    def comfortable_width(self) -> int:
        """Return the width in which the columns up to SQNR can be read."""
        margins = self._column.contentsMargins()
        return self.view.comfortable_width() + margins.left() + margins.right()

    # Selection

    def selected_rows(self) -> list[Row]:
        """Return the selected rows, the current one first."""
        first = self._current_row()
        return sorted(self.view.selected.rows(), key=lambda row: (row is not first, row.number))

    def selected_layers(self) -> tuple[str, ...]:
        """Return the names of the selected layers; a selected module stands for all layers in it."""
        return self.view.selected.layers(self._current_row())

    def _current_row(self) -> Row | None:
        current = self.view.selectionModel().currentIndex()
        return current.siblingAtColumn(0).data(ROW_ROLE) if current.isValid() else None

    def select(self, names: Iterable[str]) -> None:
        """Select layers by their names and show the first."""
        found = [self.filter.mapFromSource(self.model.index_of(name)) for name in names]
        found = [index for index in found if index.isValid()]
        first = found[0] if found else QModelIndex()
        by_parent: dict[tuple[int, int], list[QModelIndex]] = {}
        for index in found:
            parent = index.parent()
            by_parent.setdefault((parent.row(), parent.internalId()), []).append(index)
        selection = QItemSelection()
        for indexes in by_parent.values():
            # Many small ranges take long to merge.
            for top, bottom in _runs(index.row() for index in indexes):
                parent = indexes[0].parent()
                last = self.filter.index(bottom, len(Column) - 1, parent)
                selection.append(QItemSelectionRange(self.filter.index(top, 0, parent), last))
        flags = QItemSelectionModel.SelectionFlag
        self.view.selectionModel().select(selection, flags.ClearAndSelect)
        if first.isValid():
            self.view.selectionModel().setCurrentIndex(first, flags.NoUpdate)
            self.view.scrollTo(first)

    def select_first(self) -> None:
        """Select the first layer with a weight, so that the panels have something to show; the top stays in sight."""
        layers = self._document.model.layers if self._document.model is not None else ()
        weighted = [layer.name for layer in layers if layer.head and layer.weight_shape]
        self.view.setAutoScroll(False)
        self.select(weighted[:1])
        self.view.setAutoScroll(True)
        self.view.scrollToTop()

    def select_matching(self) -> None:
        """Select every layer that the filter lets through."""
        self.select(self.filter.matching_layers())

    def step(self, direction: int) -> None:
        """Select the next layer that is shown and carries a rule, or with -1 the one before; the focus stays."""
        index = self.view.selectionModel().currentIndex().siblingAtColumn(0)
        while index.isValid():
            index = self.view.indexBelow(index) if direction > 0 else self.view.indexAbove(index)
            row = index.data(ROW_ROLE)
            if row is not None and row.layer is not None and row.layer.head:
                self.select([row.layer.name])
                return

    def focus_filter(self) -> None:
        """Put the cursor into the filter."""
        self.filter_row.focus()

    def _on_selection(self) -> None:
        """Tell of another selection, or of another current layer in it; Qt tells of both for most clicks."""
        names = self.selected_layers()
        if names != self._selected:
            self._selected = names
            self.menu.show_layers(names)
            self.selection_changed.emit(names)
            self._summary_later.ask()

    def _remember_selection(self) -> None:
        self._restoring = self.selected_layers()

    # Decisions

    def _apply_cell(self, index: QModelIndex, value: object) -> None:
        """Apply an edited cell to its layer, or to all selected layers where it is one of them."""
        row = index.siblingAtColumn(0).data(ROW_ROLE)
        if row is None or row.layer is None:
            return
        selected = self.selected_layers()
        names = selected if row.layer.name in selected else (row.layer.name,)
        match Column(index.column()):
            case Column.MODE if isinstance(value, Mode):
                edit = decisions.mode_edit(value, self._document.recipe.backend)
                self._document.decide(self.tr("Mode {mode}").format(mode=mode_name(value)), names, edit)
            case Column.OBSERVER if isinstance(value, ObserverKind):
                label = self.tr("Observer {name}").format(name=observer_name(value))
                owners = self._document.range_owners(names)
                self._document.decide(label, owners, decisions.activation_kind_edit(value))
            case Column.WEIGHTS:
                label = self.tr("Weights {scheme}").format(scheme=scheme_label(str(value)))
                self._document.decide(label, names, decisions.weight_scheme_edit(value))  # type: ignore[arg-type]

    # Menus

    def _show_menu(self, position: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.setToolTipsVisible(True)
        self.menu.fill(menu)
        menu.popup(self.view.viewport().mapToGlobal(position))

    def _select_same_type(self) -> None:
        row = next(iter(self.selected_rows()), None)
        if row is not None and row.layer is not None and self._document.model is not None:
            wanted = row.layer.type
            self.select(layer.name for layer in self._document.model.layers if layer.head and layer.type == wanted)

    def _show_header_menu(self, position: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.setToolTipsVisible(True)
        self.view.fill_menu(menu)
        menu.popup(self.view.header().mapToGlobal(position))

    # Filter and order

    def _on_criteria(self) -> None:
        self.filter.set_criteria(*self.filter_row.criteria())

    def _on_sort(self, section: int, _order: Qt.SortOrder) -> None:
        """A sorted table is one list: the worst layer of the model stands first, not the worst of each module."""
        self.model.set_flat(section >= 0)
        mode = Qt.TextElideMode
        # Where a path stands for a place in the tree, its end tells more than its beginning.
        self.view.setTextElideMode(mode.ElideLeft if section >= 0 else mode.ElideRight)
        if section >= 0:
            self.view.scrollToTop()

    def _sort_again(self) -> None:
        self._offer_surprising()
        header = self.view.header()
        if header.sortIndicatorSection() >= 0:
            self.filter.sort(header.sortIndicatorSection(), header.sortIndicatorOrder())

    def _offer_surprising(self) -> None:
        """Offer the filter for surprising layers where there is something measured; fresh measurements filter anew."""
        measured = self._document.measured
        self.filter_row.offer_surprising(measured is not None)
        if measured is not self._filtered:
            self._filtered = measured
            if self.filter_row.surprising.isChecked():
                self.model.begin_anew()

    def _begin_anew(self) -> None:
        """Show another model as if it were the first: in order of execution, without a filter."""
        self._selected = None
        self.filter_row.clear()
        self.view.forget_folds()
        self.view.sort_by_execution()

    def _on_model_reset(self) -> None:
        self.filter_row.fill_types(self.model.rows())
        self._on_criteria()
        self.view.unfold()
        restored = [name for name in self._restoring if self._document.layer(name) is not None]
        self.select(restored)
        self._summary_later.ask()
        if not restored:
            self._on_selection()

    def _show_rule_column(self) -> None:
        """Show which rule decides a layer as long as there are rules by pattern."""
        patterned = bool(self._document.recipe.patterns)
        if patterned != self._patterned:
            self._patterned = patterned
            self.view.setColumnHidden(Column.RULE, not patterned)

    def _note_decided(self) -> None:
        """Take the layers for which a mode means something."""
        model = self._document.model
        self._decided = tuple(
            layer.name
            for layer in (model.layers if model is not None else ())
            if layer.head and layer.kind != "input" and (legality.has_weight(layer) or legality.has_activation(layer))
        )

    def _summarize(self) -> None:
        model = self._document.model
        if model is None:
            self.summary.setText("")
            return
        recipe, counts = self._document.recipe, dict.fromkeys(Mode, 0)
        for name in self._decided:
            counts[recipe.rule(name).mode] += 1
        parts = [f"{MODE_MARKS[mode]} {number} {mode_name(mode)}" for mode, number in counts.items() if number]
        selected = len(self.selected_layers())
        if selected > 1:
            parts.append(self.tr("{count} selected").format(count=selected))
        self.summary.setText("   ".join(parts))


def _runs(rows: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last of each run of consecutive numbers."""
    first = last = -2
    for row in sorted(set(rows)):
        if row != last + 1:
            if last >= 0:
                yield first, last
            first = row
        last = row
    if last >= 0:
        yield first, last
