"""The legend of the ranges plot: what each observer chooses, what it costs, and for which layers it is to be used."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QSize, Qt, Signal
from PySide6.QtGui import QColor, QContextMenuEvent, QFont, QPainter, QPixmap, QResizeEvent
from PySide6.QtWidgets import QMenu, QWidget

from qgui.core.plan import Choice
from qgui.core.recipe import ObserverKind, observer_name
from qgui.ui import formatting
from qgui.ui.choice_table import ChoiceTable
from qgui.ui.choices import observer_sentence, short_observer_label
from qgui.ui.layer_model import Index
from qgui.ui.plots import pen
from qgui.ui.theme import OBSERVER_DASHES, Theme


class ObserverColumn(enum.IntEnum):
    """The columns in their order."""

    OBSERVER = 0
    LOW = 1
    HIGH = 2
    SCALE = 3
    ZERO_POINT = 4
    SQNR = 5
    CLIPPED = 6
    USE = 7
    MORE = 8


_COLUMNS = tuple(ObserverColumn)
_NUMBERS = frozenset(_COLUMNS[ObserverColumn.LOW : ObserverColumn.USE])
_RIGHT = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)


class ObserverModel(QAbstractTableModel):
    """One row for each observer.

    Signals:
        shown: An observer and whether its lines are shown.

    Args:
        theme: For the sample of each line.
        parent: Qt parent.
    """

    shown = Signal(object, bool)

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._choices: list[Choice] = []
        self._used: ObserverKind | None = None
        self._hidden: set[ObserverKind] = set()
        self._can_use = True
        self._samples: dict[tuple[ObserverKind, str], QPixmap] = {}
        self._best: Choice | None = None
        self._bold = QFont()
        self._bold.setBold(True)
        self._titles = self._make_titles()
        role = Qt.ItemDataRole
        # A view asks for eight roles of every cell it draws: those that are not here cost nothing.
        self._answers: dict[int, Callable[[Choice, ObserverColumn], Any]] = {
            role.DisplayRole: self._text,
            role.ToolTipRole: self._tool_tip,
            role.CheckStateRole: self._check_state,
            role.DecorationRole: self._sample,
            role.TextAlignmentRole: lambda _, column: _RIGHT if column in _NUMBERS else None,
            role.FontRole: self._font,
            role.ForegroundRole: self._foreground,
            role.AccessibleTextRole: self._accessible_text,
        }
        theme.changed.connect(self._on_theme_changed)

    def show_choices(self, choices: Sequence[Choice], used: ObserverKind | None, can_use: bool) -> None:
        """Show what observers choose; where just a range by hand comes or goes, the other rows stay."""
        automatic = [choice for choice in choices if choice.observer.kind is not ObserverKind.FIXED]
        self._best = min(automatic, key=lambda choice: choice.cost.error, default=None)
        before, after = len(self._choices), len(choices)
        if before and after == before + 1:
            self.beginInsertRows(QModelIndex(), before, before)
            self._choices, self._used, self._can_use = list(choices), used, can_use
            self.endInsertRows()
        elif after and after == before - 1:
            self.beginRemoveRows(QModelIndex(), after, after)
            self._choices, self._used, self._can_use = list(choices), used, can_use
            self.endRemoveRows()
        elif after != before:
            self.beginResetModel()
            self._choices, self._used, self._can_use = list(choices), used, can_use
            self.endResetModel()
            return
        self._choices, self._used, self._can_use = list(choices), used, can_use
        if choices:
            self.dataChanged.emit(self.index(0, 0), self.index(after - 1, len(ObserverColumn) - 1))

    def show_by_hand(self, choice: Choice) -> None:
        """Show what a dragged range costs in the row of the range by hand, which comes where it is not there yet."""
        if not self._choices or self._choices[-1].observer.kind is not ObserverKind.FIXED:
            self.show_choices([*self._choices, choice], ObserverKind.FIXED, self._can_use)
            return
        self._choices[-1] = choice
        row = len(self._choices) - 1
        if self._used is not ObserverKind.FIXED:
            self._used = ObserverKind.FIXED
            self.dataChanged.emit(self.index(0, 0), self.index(row, len(ObserverColumn) - 1))
        self.dataChanged.emit(self.index(row, ObserverColumn.LOW), self.index(row, ObserverColumn.CLIPPED))

    def choice(self, row: int) -> Choice:
        """Return the choice in a row."""
        return self._choices[row]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._choices)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(ObserverColumn)

    def flags(self, index: Index) -> Qt.ItemFlag:
        flags = super().flags(index)
        return flags | Qt.ItemFlag.ItemIsUserCheckable if index.column() == ObserverColumn.OBSERVER else flags

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(ObserverColumn):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._titles[section][0]
        if role == Qt.ItemDataRole.TextAlignmentRole and ObserverColumn.OBSERVER < section < ObserverColumn.USE:
            return _RIGHT
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._titles[section][1]
        return None

    def _make_titles(self) -> tuple[tuple[str, str], ...]:
        return (
            (self.tr("Observer"), self.tr("Tick an observer to show its range in the plot.")),
            (self.tr("Min"), self.tr("Least value that can be represented.")),
            (self.tr("Max"), self.tr("Greatest value that can be represented.")),
            (self.tr("Scale"), self.tr("Distance of two neighbouring levels.")),
            (self.tr("Zero"), self.tr("Zero point: the integer level that stands for zero.")),
            (self.tr("SQNR dB"), self.tr("Predicted signal to quantization noise ratio; more is better.")),
            (self.tr("Clipped %"), self.tr("Share of the values outside the range.")),
            ("", self.tr("Use this observer for the layer.")),
            ("", self.tr("Use this observer for several layers.")),
        )

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        answer = self._answers.get(role)
        if answer is None or not index.isValid():
            return None
        return answer(self._choices[index.row()], _COLUMNS[index.column()])

    def _check_state(self, choice: Choice, column: ObserverColumn) -> Qt.CheckState | None:
        if column is not ObserverColumn.OBSERVER:
            return None
        return Qt.CheckState.Unchecked if choice.observer.kind in self._hidden else Qt.CheckState.Checked

    def _font(self, choice: Choice, column: ObserverColumn) -> QFont | None:
        return self._bold if choice.observer.kind is self._used else None

    def _accessible_text(self, choice: Choice, column: ObserverColumn) -> str:
        return f"{self._titles[column][0]} {self._text(choice, column)}".strip()

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        if role != Qt.ItemDataRole.CheckStateRole or index.column() != ObserverColumn.OBSERVER:
            return False
        kind = self._choices[index.row()].observer.kind
        visible = Qt.CheckState(value) == Qt.CheckState.Checked
        (self._hidden.discard if visible else self._hidden.add)(kind)
        at = self.index(index.row(), index.column())
        self.dataChanged.emit(at, at, [role])
        self.shown.emit(kind, visible)
        return True

    def can_use_for_more(self, row: int) -> bool:
        """Whether the observer of a row may be used for other layers: a range by hand fits one tensor only."""
        return self._can_use and self._choices[row].observer.kind is not ObserverKind.FIXED

    @property
    def best(self) -> Choice | None:
        """The automatic observer of the least predicted error."""
        return self._best

    def _foreground(self, choice: Choice, column: ObserverColumn) -> QColor | None:
        used, best = choice.observer.kind is self._used, self._best
        if column is ObserverColumn.MORE or (column is ObserverColumn.USE and not used):
            return QColor(self._theme.colours.accent)
        if column is ObserverColumn.SQNR and best is not None and choice.is_as_good_as(best):
            return QColor(self._theme.colours.good)
        return None

    def _text(self, choice: Choice, column: ObserverColumn) -> str:
        qparams = choice.qparams
        match column:
            case ObserverColumn.OBSERVER:
                return short_observer_label(choice.observer.kind)
            case ObserverColumn.LOW:
                return formatting.number(float(qparams.low[0]))
            case ObserverColumn.HIGH:
                return formatting.number(float(qparams.high[0]))
            case ObserverColumn.SCALE:
                return formatting.number(float(qparams.scale[0]))
            case ObserverColumn.ZERO_POINT:
                return str(int(qparams.zero_point[0]))
            case ObserverColumn.SQNR:
                best = self._best
                mark = "★ " if best is not None and choice.is_as_good_as(best) else ""
                number = self.tr("exact") if choice.sqnr_db >= 200 else formatting.number_fixed(choice.sqnr_db, 1)
                return mark + number
            case ObserverColumn.CLIPPED:
                return formatting.small_percent(choice.clipped).removesuffix(" %")
            case ObserverColumn.USE if choice.observer.kind is self._used:
                return self.tr("✓ in use")
            case ObserverColumn.USE:
                return self.tr("Use") if self._can_use else ""
            case ObserverColumn.MORE:
                more = self._can_use and choice.observer.kind is not ObserverKind.FIXED
                return "▾" if more else ""

    def _tool_tip(self, choice: Choice, column: ObserverColumn) -> str:
        if column is ObserverColumn.SCALE:
            return self.tr("scale {value}").format(value=formatting.scale(float(choice.qparams.scale[0])))
        if column is ObserverColumn.CLIPPED:
            return self.tr("clipped below {low}, above {high}").format(
                low=formatting.small_percent(float(choice.cost.clipped_low[0])),
                high=formatting.small_percent(float(choice.cost.clipped_high[0])),
            )
        if column is ObserverColumn.SQNR:
            return self.tr("{value}, of the error {rounding} is rounding and {clipping} clipping").format(
                value=formatting.decibel(choice.sqnr_db),
                rounding=formatting.percent(1.0 - choice.cost.clipping_share, 0),
                clipping=formatting.percent(choice.cost.clipping_share, 0),
            )
        if column is ObserverColumn.MORE:
            return self.tr("Use {name} for the selected layers or for all.").format(
                name=observer_name(choice.observer.kind)
            )
        if column is ObserverColumn.USE and choice.observer.kind is not self._used:
            return self.tr("Use {name} for this layer.").format(name=observer_name(choice.observer.kind))
        return observer_sentence(choice.observer.kind)

    def _sample(self, choice: Choice, column: ObserverColumn) -> QPixmap | None:
        if column is not ObserverColumn.OBSERVER:
            return None
        kind = choice.observer.kind
        colour = self._theme.observer_colour(kind)
        if (kind, colour) in self._samples:
            return self._samples[kind, colour]
        pixmap = QPixmap(QSize(28, 12))
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        painter.setPen(pen(colour, 2, OBSERVER_DASHES[kind]))
        painter.drawLine(0, 6, 28, 6)
        painter.end()
        self._samples[kind, colour] = pixmap
        return pixmap

    def _on_theme_changed(self) -> None:
        if self._choices:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self._choices) - 1, len(ObserverColumn) - 1))


#: Columns that make room where the table is narrow, the first to go first.
_EXPENDABLE = (ObserverColumn.ZERO_POINT, ObserverColumn.SCALE)


class ObserverTable(ChoiceTable):
    """The legend: Use takes an observer for this layer, the words beside it for the selected layers or for all.

    Signals:
        adopted_for_more: The row whose observer is wanted, and whether for all layers, else for the selected ones.

    Args:
        model: The observers.
        parent: Qt parent.
    """

    adopted_for_more = Signal(int, bool)

    def __init__(self, model: ObserverModel, parent: QWidget | None = None) -> None:
        super().__init__(model, "observerTable", "", 6, parent)
        self._observers = model
        self._selected = 1
        self.setAccessibleName(self.tr("Observers"))
        self.setAccessibleDescription(
            self.tr("The range of each observer with SQNR and clipped share; Enter takes the one in the current row.")
        )
        self.size_columns(["−4.444", "−4.444", "0.04444", "127", "★ 44.4", "0.00044", self.tr("✓ in use"), "▾"])
        model.modelReset.connect(self._make_room)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._make_room()

    def _make_room(self) -> None:
        """Hide zero point and scale, which the readout tells of the range in use, where names would be cut off."""
        header = self.horizontalHeader()
        for column in _EXPENDABLE:
            self.setColumnHidden(column, False)
        taken = sum(header.sectionSize(column) for column in range(1, header.count()))
        room = self.viewport().width() - taken
        for column in _EXPENDABLE:
            if room >= self.sizeHintForColumn(ObserverColumn.OBSERVER):
                break
            room += header.sectionSize(column)
            self.setColumnHidden(column, True)

    def set_selected(self, layers: int) -> None:
        """Take note of how many layers are selected."""
        self._selected = layers

    def menu(self, row: int) -> QMenu:
        """Return the menu that says for which layers the observer of a row is wanted."""
        menu = QMenu(self)
        menu.setObjectName("observerMenu")
        menu.setToolTipsVisible(True)
        possible = self._observers.can_use_for_more(row)
        name = observer_name(self._observers.choice(row).observer.kind)
        why_not = self.tr("A range set by hand fits the layer for which it was set.")
        tip = self.tr("One undo step; layers that share a range share the observer.")
        this = menu.addAction(self.tr("Use {name} for this layer").format(name=name), lambda: self.adopted.emit(row))
        selected = menu.addAction(
            self.tr("Use {name} for the {count} selected layers").format(name=name, count=self._selected),
            lambda: self.adopted_for_more.emit(row, False),
        )
        selected.setEnabled(possible and self._selected > 1)
        every = menu.addAction(
            self.tr("Use {name} for all layers").format(name=name), lambda: self.adopted_for_more.emit(row, True)
        )
        every.setEnabled(possible)
        for action, object_name in ((this, "useForThis"), (selected, "useForSelected"), (every, "useForAll")):
            action.setObjectName(object_name)
            action.setToolTip(tip if possible else why_not)
        if possible and self._selected <= 1:
            selected.setText(self.tr("Use {name} for the selected layers").format(name=name))
            selected.setToolTip(self.tr("Select several layers in the table of layers first."))
        return menu

    def _popup(self, row: int, column: int) -> None:
        menu = self.menu(row)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        cell = self.visualRect(self.model().index(row, column))
        menu.popup(self.viewport().mapToGlobal(cell.bottomLeft()))

    def _on_clicked(self, index: QModelIndex) -> None:
        if index.column() == ObserverColumn.USE:
            self.adopted.emit(index.row())
        elif index.column() == ObserverColumn.MORE and self._observers.can_use_for_more(index.row()):
            self._popup(index.row(), ObserverColumn.MORE)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        by_key = event.reason() == QContextMenuEvent.Reason.Keyboard
        index = self.currentIndex() if by_key else self.indexAt(event.pos())
        if index.isValid():
            self._popup(index.row(), index.column())
