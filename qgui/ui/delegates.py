"""How the cells of the layer table are drawn and edited in place."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QAbstractItemModel, QModelIndex, QObject, QRect, QSize, Qt, QTimer
from PySide6.QtGui import QColor, QPainter, QPalette
from PySide6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from qgui.core.recipe import Mode
from qgui.ui.choice_box import ChoiceBox
from qgui.ui.layer_cells import CHOICES_ROLE, MODE_ROLE
from qgui.ui.layer_model import Index
from qgui.ui.theme import Theme

#: A shape for each mode, so that colour is never the only sign.
MODE_MARKS = {Mode.FLOAT: "○", Mode.DYNAMIC: "◐", Mode.STATIC: "●", Mode.QAT: "◆"}

#: Takes the index whose cell was edited and the chosen value.
Apply = Callable[[QModelIndex, object], None]


class RowDelegate(QStyledItemDelegate):
    """Gives rows room to breathe."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        wanted = super().sizeHint(option, index)
        wanted.setHeight(option.fontMetrics.height() + 6)
        return wanted


class ChoiceDelegate(RowDelegate):
    """Edits a cell with a combo box of the values it may take.

    Args:
        apply: Called with the index and the chosen value.
        parent: Qt parent.
    """

    def __init__(self, apply: Apply, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._apply = apply

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: Index) -> QWidget:
        title = index.model().headerData(index.column(), Qt.Orientation.Horizontal)
        box = ChoiceBox("cellEditor", str(title), self.tr("Choose a value; Escape leaves it as it is."), parent)
        box.chosen.connect(lambda _: self._finish(box))
        QTimer.singleShot(0, box, box.showPopup)
        return box

    def setEditorData(self, editor: QWidget, index: Index) -> None:
        if isinstance(editor, ChoiceBox):
            choices = index.data(CHOICES_ROLE) or []
            label = index.data(Qt.ItemDataRole.DisplayRole)
            value = next((choice.value for choice in choices if choice.label == label), None)
            editor.set_choices(choices, value)

    def setModelData(self, editor: QWidget, model: QAbstractItemModel, index: Index) -> None:
        if isinstance(editor, ChoiceBox) and editor.property("decided"):
            self._apply(model.index(index.row(), index.column(), index.parent()), editor.value())

    def updateEditorGeometry(self, editor: QWidget, option: QStyleOptionViewItem, index: Index) -> None:
        wanted = QRect(option.rect)
        wanted.setWidth(max(wanted.width(), editor.sizeHint().width()))
        editor.setGeometry(wanted)

    def _finish(self, box: ChoiceBox) -> None:
        box.setProperty("decided", True)
        self.commitData.emit(box)
        self.closeEditor.emit(box)


class ModeDelegate(ChoiceDelegate):
    """Draws a mode as a tinted chip with its mark.

    Args:
        apply: Called with the index and the chosen mode.
        theme: For the colours.
        parent: Qt parent.
    """

    def __init__(self, apply: Apply, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(apply, parent)
        self._theme = theme

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        # Qt hands an enumeration of strings on as the string.
        value = index.data(MODE_ROLE)
        if not value:
            super().paint(painter, option, index)
            return
        mode = Mode(value)
        cell = QStyleOptionViewItem(option)
        self.initStyleOption(cell, index)
        text, cell.text = cell.text, ""
        style = cell.widget.style()
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, cell, painter, cell.widget)
        selected = bool(cell.state & QStyle.StateFlag.State_Selected) and bool(
            cell.state & QStyle.StateFlag.State_Active
        )
        colour = QColor(self._theme.mode_colour(mode))
        label = f"{MODE_MARKS[mode]} {text}"
        metrics = cell.fontMetrics
        gap = metrics.height() // 3
        width = min(metrics.horizontalAdvance(label) + 2 * gap, cell.rect.width() - gap)
        chip = QRect(cell.rect.left() + gap // 2, cell.rect.top() + 2, width, cell.rect.height() - 4)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if selected:
            painter.setPen(cell.palette.color(QPalette.ColorRole.HighlightedText))
        else:
            ground = QColor(colour)
            ground.setAlphaF(0.14)
            painter.setBrush(ground)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.drawRoundedRect(chip, 4, 4)
            painter.setPen(colour)
        elided = metrics.elidedText(label, Qt.TextElideMode.ElideRight, chip.width() - gap)
        painter.drawText(chip.adjusted(gap, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, elided)
        painter.restore()
