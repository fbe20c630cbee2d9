"""The layer table with its filter, its context menu and multi-row edits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PySide6.QtCore import QItemSelection, QItemSelectionModel, QModelIndex, QPoint, Qt, Signal
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMenu,
    QTreeView,
    QVBoxLayout,
    QWidget,
)

from qgui.core import legality
from qgui.core.advice import advised_mode
from qgui.core.recipe import AUTOMATIC_OBSERVERS, Mode, ObserverKind, WeightDtype, WeightScheme
from qgui.ui import decisions
from qgui.ui.choices import mode_sentence, observer_label, observer_sentence, scheme_label
from qgui.ui.delegates import MODE_MARKS, ChoiceDelegate, ModeDelegate, RowDelegate
from qgui.ui.document import Document
from qgui.ui.later import Later
from qgui.ui.layer_cells import ROW_ROLE, Column
from qgui.ui.layer_filter import LayerFilter
from qgui.ui.layer_model import Index, LayerModel
from qgui.ui.layer_tree import Row
from qgui.ui.theme import Theme

#: Larger models show their first levels only, so that opening stays quick.
_EXPAND_ALL_UP_TO = 1_500

_WEIGHT_SCHEMES: tuple[WeightScheme, ...] = ("per_channel_symmetric", "per_tensor_symmetric")
_WEIGHT_DTYPES: tuple[WeightDtype, ...] = ("qint8", "float16")
_WIDTHS = {
    Column.NAME: "depthwise.0.conv",
    Column.TYPE: "BatchNorm2d",
    Column.MODE: "● dynamic",
    Column.OBSERVER: "MovingAvg.",
    Column.SQNR: "SQNR dB",
    Column.FLOAT_MS: "float ms",
    Column.INT8_MS: "int8 ms",
    Column.WEIGHTS: "per-channel",
    Column.OUTPUT: "1 × 2048 × 112 × 112",
    Column.PARAMETERS: "Parameters",
    Column.MACS: "11.1 M",
}


class LayerView(QTreeView):
    """The tree of layers, told how keys and headers behave."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("layerView")
        self.setAccessibleName(self.tr("Layers"))
        self.setToolTip("")
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
        self._summary_later = Later(self._summarize, self)
        self.setObjectName("layerPanel")
        self.model = LayerModel(document, theme, self)
        self.filter = LayerFilter(self.model, self)
        self.view = LayerView(self)
        self.view.setModel(self.filter)
        self.view.setItemDelegate(RowDelegate(self.view))
        self.view.setItemDelegateForColumn(Column.MODE, ModeDelegate(self._apply_cell, theme, self.view))
        for column in (Column.OBSERVER, Column.WEIGHTS):
            self.view.setItemDelegateForColumn(column, ChoiceDelegate(self._apply_cell, self.view))
        self._size_columns()
        self._build_filter_row()
        self.mode_actions = self._build_mode_actions()
        self._connect()
        self._on_model_reset()

    def _build_filter_row(self) -> None:
        self.text = QLineEdit(self)
        self.text.setObjectName("layerFilterText")
        self.text.setAccessibleName(self.tr("Filter layers"))
        self.text.setPlaceholderText(self.tr("Filter by name or type"))
        self.text.setToolTip(self.tr("Show layers whose path or type contains this text (Ctrl+F)."))
        self.text.setClearButtonEnabled(True)
        self.type_box = QComboBox(self)
        self.type_box.setObjectName("layerFilterType")
        self.type_box.setAccessibleName(self.tr("Filter by type"))
        self.type_box.setToolTip(self.tr("Show layers of one type only."))
        self.mode_box = QComboBox(self)
        self.mode_box.setObjectName("layerFilterMode")
        self.mode_box.setAccessibleName(self.tr("Filter by mode"))
        self.mode_box.setToolTip(self.tr("Show layers of one mode only."))
        self.mode_box.addItem(self.tr("All modes"), None)
        for mode in Mode:
            self.mode_box.addItem(f"{MODE_MARKS[mode]} {mode.value}", mode)
        for box in (self.type_box, self.mode_box):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(9)
        self.summary = QLabel(self)
        self.summary.setObjectName("layerSummary")
        self.summary.setProperty("faint", True)
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.text, 1)
        row.addWidget(self.type_box)
        row.addWidget(self.mode_box)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 2, 4)
        layout.setSpacing(4)
        layout.addLayout(row)
        layout.addWidget(self.view, 1)
        layout.addWidget(self.summary)

    def _build_mode_actions(self) -> dict[Mode, QAction]:
        actions = {}
        for number, mode in enumerate(Mode, start=1):
            action = QAction(f"{MODE_MARKS[mode]} {mode.value}", self)
            action.setObjectName(f"setMode_{mode.value}")
            action.setToolTip(mode_sentence(mode))
            action.setShortcut(QKeySequence(f"Ctrl+{number}"))
            action.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
            action.triggered.connect(lambda _=False, mode=mode: self.set_mode(mode))
            self.addAction(action)
            actions[mode] = action
        return actions

    def _connect(self) -> None:
        self.text.textChanged.connect(self._on_criteria)
        self.type_box.currentIndexChanged.connect(self._on_criteria)
        self.mode_box.currentIndexChanged.connect(self._on_criteria)
        self.view.selectionModel().selectionChanged.connect(self._on_selection)
        self.view.selectionModel().currentRowChanged.connect(self._on_selection)
        self.view.customContextMenuRequested.connect(self._show_menu)
        self.view.header().customContextMenuRequested.connect(self._show_header_menu)
        self.view.header().sortIndicatorChanged.connect(self._on_sort)
        self.model.modelAboutToBeReset.connect(self._remember_selection)
        self.model.modelReset.connect(self._on_model_reset)
        self._document.recipe_changed.connect(self._summary_later.ask)
        self._document.results_changed.connect(self._sort_again)

    # Selection

    def selected_rows(self) -> list[Row]:
        """Return the selected rows, the current one first."""
        current = self.view.selectionModel().currentIndex()
        rows: list[Row] = [index.data(ROW_ROLE) for index in self.view.selectionModel().selectedRows()]
        first = current.siblingAtColumn(0).data(ROW_ROLE) if current.isValid() else None
        return sorted(rows, key=lambda row: (row is not first, row.number))

    def selected_layers(self) -> tuple[str, ...]:
        """Return the names of the selected layers; a selected module stands for all layers in it."""
        names: dict[str, None] = {}
        for row in self.selected_rows():
            inner = [row.layer] if row.layer is not None else list(row.heads())
            names.update((layer.name, None) for layer in inner)
        return tuple(names)

    def select(self, names: Iterable[str]) -> None:
        """Select layers by their names and show the first."""
        selection = QItemSelection()
        first = QModelIndex()
        for name in names:
            index = self.filter.mapFromSource(self.model.index_of(name))
            if index.isValid():
                first = first if first.isValid() else index
                selection.select(index, index.siblingAtColumn(len(Column) - 1))
        flags = QItemSelectionModel.SelectionFlag
        self.view.selectionModel().select(selection, flags.ClearAndSelect | flags.Rows)
        if first.isValid():
            self.view.selectionModel().setCurrentIndex(first, flags.NoUpdate)
            self.view.scrollTo(first)

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
        self.text.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.text.selectAll()

    def _on_selection(self) -> None:
        self.selection_changed.emit(self.selected_layers())
        self._summary_later.ask()

    def _remember_selection(self) -> None:
        self._restoring = self.selected_layers()

    # Decisions

    def set_mode(self, mode: Mode) -> None:
        """Give the selected layers a mode."""
        edit = decisions.mode_edit(mode, self._document.recipe.backend)
        self._decide(self.tr("Mode {mode}").format(mode=mode.value), edit)

    def _decide(self, text: str, edit: decisions.Edit) -> None:
        names = self.selected_layers()
        if names:
            self._document.decide(text, names, edit)

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
                self._document.decide(self.tr("Mode {mode}").format(mode=value.value), names, edit)
            case Column.OBSERVER if isinstance(value, ObserverKind):
                label = self.tr("Observer {name}").format(name=observer_label(value))
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
        self.fill_menu(menu)
        menu.popup(self.view.viewport().mapToGlobal(position))

    def fill_menu(self, menu: QMenu) -> None:
        """Fill a menu with what can be decided for the selected layers."""
        names = self.selected_layers()
        title = self.tr("{count} layers").format(count=len(names)) if len(names) != 1 else names[0]
        menu.addSection(title)
        modes = menu.addMenu(self.tr("Set mode"))
        modes.setToolTipsVisible(True)
        modes.addActions(list(self.mode_actions.values()))
        modes.setEnabled(bool(names))
        weights = menu.addMenu(self.tr("Weights"))
        for scheme in _WEIGHT_SCHEMES:
            edit = decisions.weight_scheme_edit(scheme)
            self._add(weights, scheme_label(scheme), edit, self.tr("Scale of the weight, for all selected layers."))
        weights.addSeparator()
        for dtype in _WEIGHT_DTYPES:
            dtype_edit = decisions.weight_dtype_edit(dtype, self._document.recipe.backend)
            self._add(weights, dtype, dtype_edit, self.tr("Type of the stored weight, for all selected layers."))
        observers = menu.addMenu(self.tr("Observer"))
        for kind in AUTOMATIC_OBSERVERS:
            self._add(observers, observer_label(kind), decisions.activation_kind_edit(kind), observer_sentence(kind))
        for entry in (weights, observers):
            entry.setToolTipsVisible(True)
            entry.setEnabled(bool(names))
        menu.addSeparator()
        matching = menu.addAction(self.tr("Select all that match the filter"), self.select_matching)
        matching.setToolTip(self.tr("Select every layer that the filter lets through, to decide for all at once."))
        same = menu.addAction(self.tr("Select all of this type"), self._select_same_type)
        same.setToolTip(self.tr("Select every layer of the type of the current one."))
        same.setEnabled(any(row.layer is not None for row in self.selected_rows()[:1]))
        advised = menu.addAction(self.tr("Set as advised"), self._set_as_advised)
        advised.setToolTip(self.tr("Give the selected layers the rules with which the model was opened."))
        advised.setEnabled(bool(names))

    def _add(self, menu: QMenu, text: str, edit: decisions.Edit, tool_tip: str) -> None:
        title = f"{menu.title()}: {text}"
        action = menu.addAction(text, lambda: self._decide(title, edit))
        action.setToolTip(tool_tip)

    def _select_same_type(self) -> None:
        row = next(iter(self.selected_rows()), None)
        if row is not None and row.layer is not None and self._document.model is not None:
            wanted = row.layer.type
            self.select(layer.name for layer in self._document.model.layers if layer.head and layer.type == wanted)

    def _set_as_advised(self) -> None:
        if self._document.model is None:
            return
        mode, _ = advised_mode(self._document.model)
        backend = self._document.recipe.backend
        self._decide(self.tr("As advised"), decisions.start_edit(mode, backend, self._document.reduce_range(backend)))

    def _show_header_menu(self, position: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for column in list(Column)[1:]:
            title = str(self.model.headerData(column, Qt.Orientation.Horizontal))
            action = menu.addAction(title)
            action.setCheckable(True)
            action.setChecked(not self.view.isColumnHidden(column))
            action.toggled.connect(lambda shown, column=column: self.view.setColumnHidden(column, not shown))
        menu.addSeparator()
        menu.addAction(self.tr("Order of execution"), self.sort_by_execution)
        menu.popup(self.view.header().mapToGlobal(position))

    # Filter and order

    def sort_by_execution(self) -> None:
        """Show the tree in the order in which the layers run."""
        self.view.header().setSortIndicator(-1, Qt.SortOrder.AscendingOrder)

    def _on_criteria(self) -> None:
        mode = self.mode_box.currentData()
        layer_type = self.type_box.currentData() or ""
        self.filter.set_criteria(self.text.text(), layer_type, Mode(mode) if mode else None)
        if self.filter.active:
            self.view.expandAll()
        self._summary_later.ask()

    def _on_sort(self, section: int, _order: Qt.SortOrder) -> None:
        """A sorted table is one list: the worst layer of the model stands first, not the worst of each module."""
        self.model.set_flat(section >= 0)

    def _sort_again(self) -> None:
        header = self.view.header()
        if header.sortIndicatorSection() >= 0:
            self.filter.sort(header.sortIndicatorSection(), header.sortIndicatorOrder())

    def _on_model_reset(self) -> None:
        self._fill_types()
        if not self.model.flat:
            if len(self.model.rows()) <= _EXPAND_ALL_UP_TO:
                self.view.expandAll()
            else:
                self.view.expandToDepth(0)
        restored = [name for name in self._restoring if self._document.layer(name) is not None]
        self.select(restored)
        self._summary_later.ask()
        if not restored:
            self._on_selection()

    def _fill_types(self) -> None:
        chosen = self.type_box.currentData()
        counts: dict[str, int] = {}
        for row in self.model.rows():
            if row.layer is not None and row.layer.head:
                counts[row.layer.type] = counts.get(row.layer.type, 0) + 1
        self.type_box.blockSignals(True)
        self.type_box.clear()
        self.type_box.addItem(self.tr("All types"), "")
        for name, number in sorted(counts.items()):
            self.type_box.addItem(f"{name} ({number})", name)
        self.type_box.setCurrentIndex(max(0, self.type_box.findData(chosen)))
        self.type_box.blockSignals(False)
        self._on_criteria()

    def _summarize(self) -> None:
        model = self._document.model
        if model is None:
            self.summary.setText("")
            return
        counts = dict.fromkeys(Mode, 0)
        for layer in model.layers:
            if layer.head and (legality.has_weight(layer) or legality.has_activation(layer)):
                counts[self._document.recipe.rule(layer.name).mode] += 1
        parts = [f"{MODE_MARKS[mode]} {number} {mode.value}" for mode, number in counts.items() if number]
        selected = len(self.selected_layers())
        if selected > 1:
            parts.append(self.tr("{count} selected").format(count=selected))
        self.summary.setText("   ".join(parts))

    # Appearance

    def comfortable_width(self) -> int:
        """Return the width in which the columns up to SQNR can be read."""
        columns = sum(self.view.columnWidth(column) for column in range(Column.SQNR + 1))
        return columns + self.view.verticalScrollBar().sizeHint().width() + 2 * self.view.frameWidth() + 8

    def _size_columns(self) -> None:
        metrics = self.view.fontMetrics()
        padding = metrics.horizontalAdvance("M") * 5 // 4
        for column, sample in _WIDTHS.items():
            self.view.setColumnWidth(column, metrics.horizontalAdvance(sample) + padding)
