"""The tree of layers: how it unfolds, sorts and redraws."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QItemSelection, QItemSelectionModel, QItemSelectionRange, QModelIndex, QRect, Qt
from PySide6.QtGui import QActionGroup, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QMenu,
    QStyle,
    QStyleOptionViewItem,
    QTreeView,
    QWidget,
)

from qgui.core.recipe import Mode, mode_name
from qgui.ui.delegates import MODE_MARKS
from qgui.ui.layer_cells import ROW_ROLE, Column
from qgui.ui.layer_filter import LayerFilter
from qgui.ui.layer_model import Index
from qgui.ui.layer_tree import Row
from qgui.ui.selected_rows import SelectedRows

#: Larger models show their first levels only, so that opening stays quick.
_EXPAND_ALL_UP_TO = 1_500
#: What a column has room for, beside its title and, in that of the modes, their names.
_WIDTHS = {
    Column.NAME: "depthwise.0.0",
    Column.TYPE: "BatchNorm2d",
    Column.OBSERVER: "as project.0",
    Column.WEIGHTS: "per-channel",
    Column.OUTPUT: "1 × 2048 × 112 × 112",
    Column.MACS: "11.1 M ▾",
    Column.GAP: "−10.5 ▾",
    Column.RULE: "layer3.*.conv1",
}


class LayerView(QTreeView):
    """The tree of layers, told how keys and headers behave.

    Args:
        layers: What is shown.
        parent: Qt parent.
    """

    def __init__(self, layers: LayerFilter, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layers = layers
        self._folds: dict[str, bool] = {}
        self._unfolding = False
        self.setObjectName("layerView")
        self.setAccessibleName(self.tr("Layers"))
        self.setAccessibleDescription(
            self.tr("Every layer with mode, observer, SQNR and time; F2 changes a cell, the menu key lists what else.")
        )
        self.setUniformRowHeights(True)
        self.setAlternatingRowColors(True)
        self.setAllColumnsShowFocus(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked
            | QAbstractItemView.EditTrigger.EditKeyPressed
            | QAbstractItemView.EditTrigger.SelectedClicked
        )
        self.setExpandsOnDoubleClick(False)
        self.setSortingEnabled(True)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setIndentation(max(12, self.fontMetrics().height() * 3 // 4))
        self._set_up_header()
        self.setModel(layers)
        self.selected = SelectedRows(self.selectionModel(), layers)
        self._size_columns()
        header = self.header()
        header.moveSection(header.visualIndex(Column.RULE), header.visualIndex(Column.MODE) + 1)
        self.setColumnHidden(Column.RULE, True)
        self.expanded.connect(lambda index: self._note_fold(index, True))
        self.collapsed.connect(lambda index: self._note_fold(index, False))

    def _set_up_header(self) -> None:
        header = self.header()
        header.setSortIndicatorClearable(True)
        header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        header.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        header.setStretchLastSection(False)
        header.setSectionsMovable(True)
        header.setFirstSectionMovable(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)

    def dataChanged(self, top_left: Index, bottom_right: Index, roles: Sequence[int] = ()) -> None:
        """Redraw the whole view: the model tells of the first level where all rows changed, Qt redraws just that."""
        super().dataChanged(top_left, bottom_right, list(roles))
        self.viewport().update()

    def selectAll(self) -> None:
        """Select every row that is unfolded, as Qt does, in a hundredth of its time."""
        selection = QItemSelection()
        self._add_rows(selection, QModelIndex())
        self.selectionModel().select(selection, QItemSelectionModel.SelectionFlag.ClearAndSelect)

    def _add_rows(self, selection: QItemSelection, parent: QModelIndex) -> None:
        layers = self._layers
        last = layers.rowCount(parent) - 1
        selection.append(
            QItemSelectionRange(layers.index(0, 0, parent), layers.index(last, layers.columnCount(parent) - 1, parent))
        )
        for place in range(last + 1):
            index = layers.index(place, 0, parent)
            if self.isExpanded(index) and layers.hasChildren(index):
                self._add_rows(selection, index)

    def drawRow(self, painter: QPainter, options: QStyleOptionViewItem, index: Index) -> None:
        """Draw a row; where the selection lies in many modules, without asking Qt for each cell whether it is in it."""
        self.selected.rows()
        if not self.selected.scattered:
            super().drawRow(painter, options, index)
            return
        row = index.data(ROW_ROLE)
        selected = row is not None and self.selected.holds(row)
        indent = self.visualRect(index).left() - self.header().sectionViewportPosition(Column.NAME)
        for column in Column:
            left, width = self.header().sectionViewportPosition(column), self.header().sectionSize(column)
            if self.isColumnHidden(column) or left + width <= 0 or left >= self.viewport().width():
                continue
            cell = QStyleOptionViewItem(options)
            cell.rect = QRect(left, options.rect.top(), width, options.rect.height())
            if selected:
                cell.state |= QStyle.StateFlag.State_Selected
            self.style().drawPrimitive(QStyle.PrimitiveElement.PE_PanelItemViewRow, cell, painter, self)
            if column is Column.NAME:
                cell.rect = cell.rect.adjusted(indent, 0, 0, 0)
                if row is not None and row.rows:
                    self._draw_branch(painter, cell, self.isExpanded(index))
            place = self._layers.sibling(index.row(), column, index)
            self.itemDelegateForIndex(place).paint(painter, cell, place)

    def _draw_branch(self, painter: QPainter, cell: QStyleOptionViewItem, unfolded: bool) -> None:
        """Draw the mark of what can be unfolded, left of a cell."""
        branch = QStyleOptionViewItem(cell)
        branch.rect = QRect(
            cell.rect.left() - self.indentation(), cell.rect.top(), self.indentation(), cell.rect.height()
        )
        branch.state |= QStyle.StateFlag.State_Item | QStyle.StateFlag.State_Children
        if unfolded:
            branch.state |= QStyle.StateFlag.State_Open
        self.style().drawPrimitive(QStyle.PrimitiveElement.PE_IndicatorBranch, branch, painter, self)

    def _size_columns(self) -> None:
        metrics = self.fontMetrics()
        padding = metrics.horizontalAdvance("M") * 5 // 4
        modes = [f"{MODE_MARKS[mode]} {mode_name(mode)}" for mode in Mode]
        for column, (title, _) in enumerate(self._layers.layer_model.cells.titles()):
            samples = [f"{title} ▾", _WIDTHS.get(Column(column), ""), *(modes if column == Column.MODE else ())]
            self.setColumnWidth(column, max(map(metrics.horizontalAdvance, samples)) + padding)

    def comfortable_width(self) -> int:
        """Return the width in which the columns up to SQNR can be read."""
        columns = sum(self.columnWidth(column) for column in range(Column.SQNR + 1))
        return columns + self.verticalScrollBar().sizeHint().width() + 2 * self.frameWidth()

    def fit_names(self) -> None:
        """Give a deep tree the room for its names that a shallow one does not need, within bounds."""
        if self._layers.layer_model.flat:
            return
        metrics = self.fontMetrics()
        room = self.indentation() + metrics.horizontalAdvance("M")
        widest = max((self._name_width(row) for row in self._layers.layer_model.rows()), default=0) + room
        least = metrics.horizontalAdvance(_WIDTHS[Column.NAME]) + metrics.horizontalAdvance("M") * 5 // 4
        self.setColumnWidth(Column.NAME, min(max(widest, least), least * 3 // 2))

    def _name_width(self, row: Row) -> int:
        depth, above = 0, row.parent
        while above is not None:
            depth, above = depth + 1, above.parent
        return depth * self.indentation() + self.fontMetrics().horizontalAdvance(row.label)

    # Order and columns

    def sort_by_execution(self) -> None:
        """Show the tree in the order in which the layers run."""
        self.header().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)

    def fill_menu(self, menu: QMenu) -> None:
        """Fill a menu anew with the orders and columns of the table."""
        menu.clear()
        header = self.header()
        orders = QActionGroup(menu)
        by_execution = menu.addAction(self.tr("Order of &execution"), self.sort_by_execution)
        by_execution.setToolTip(self.tr("Show the tree in the order in which the layers run."))
        by_execution.setCheckable(True)
        by_execution.setChecked(header.sortIndicatorSection() < 0)
        orders.addAction(by_execution)
        for column in Column:
            title, tip = self._title(column)
            text = self.tr("Sort by {column}").format(column=title)
            action = menu.addAction(text)
            action.triggered.connect(lambda _=False, column=column: self._sort_by(column))
            action.setToolTip(tip)
            action.setCheckable(True)
            action.setChecked(header.sortIndicatorSection() == column)
            orders.addAction(action)
        menu.addSeparator()
        for column in list(Column)[1:]:
            title, tip = self._title(column)
            action = menu.addAction(self.tr("Show {column}").format(column=title))
            action.setToolTip(tip)
            action.setCheckable(True)
            action.setChecked(not self.isColumnHidden(column))
            action.toggled.connect(lambda shown, column=column: self.setColumnHidden(column, not shown))

    def _title(self, column: Column) -> tuple[str, str]:
        return self._layers.layer_model.cells.titles()[column]

    def _sort_by(self, column: Column) -> None:
        """Sort by a column, the other way round where it is sorted by it already."""
        header = self.header()
        descending = header.sortIndicatorSection() == column and (
            header.sortIndicatorOrder() == Qt.SortOrder.AscendingOrder
        )
        self.sortByColumn(column, Qt.SortOrder.DescendingOrder if descending else Qt.SortOrder.AscendingOrder)

    # Folding

    def forget_folds(self) -> None:
        """Begin anew, with another model."""
        self._folds.clear()

    def unfold(self) -> None:
        """Unfold what a filter found, else what the person left unfolded; of thousands of rows only the first level."""
        self._unfolding = True
        model = self._layers.layer_model
        if self._layers.active and self._layers.matching <= _EXPAND_ALL_UP_TO:
            self.expandAll()
        elif self._layers.active:
            self.expandToDepth(0)
        elif not model.flat:
            if len(model.rows()) <= _EXPAND_ALL_UP_TO:
                self.expandAll()
            else:
                self.collapseAll()
                self.expandToDepth(0)
            for row in model.rows() if self._folds else ():
                if row.path in self._folds:
                    index = self._layers.mapFromSource(model.index_of_row(row))
                    self.setExpanded(index, self._folds[row.path])
        self._unfolding = False

    def _note_fold(self, index: QModelIndex, unfolded: bool) -> None:
        row = index.data(ROW_ROLE)
        if row is not None and not (self._unfolding or self._layers.active):
            self._folds[row.path] = unfolded
