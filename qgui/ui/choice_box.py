"""A combo box whose impossible items are disabled and say why, and which can stand for several different values."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QStandardItem, QStandardItemModel, QWheelEvent
from PySide6.QtWidgets import QComboBox, QSizePolicy, QWidget

from qgui.ui.choices import Choice


class ChoiceBox(QComboBox):
    """A combo box of choices.

    Signals:
        chosen: The value that the person chose.

    Args:
        name: Object name.
        accessible_name: What is chosen, for screen readers.
        tool_tip: One sentence on what the choice means.
        parent: Qt parent.
    """

    chosen = Signal(object)

    def __init__(self, name: str, accessible_name: str, tool_tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setAccessibleName(accessible_name)
        self.setToolTip(tool_tip)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(15)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._choices: list[Choice] = []
        self._general_tip = tool_tip
        self.activated.connect(self._on_activated)

    def set_choices(self, choices: Sequence[Choice], value: object, mixed: bool = False) -> None:
        """Show choices with one of them taken, or none where several layers differ."""
        choices = list(choices)
        if choices != self._choices:
            self._choices = choices
            self.clear()
            for choice in choices:
                self.addItem(choice.label, choice.value)
                self._mark(self.count() - 1, choice.reason)
        self.setPlaceholderText(self.tr("mixed") if mixed else "")
        values = [choice.value for choice in choices]
        self.setCurrentIndex(-1 if mixed or value not in values else values.index(value))
        possible = [choice for choice in choices if not choice.reason]
        self.setEnabled(bool(possible))
        reason = choices[0].reason if choices and not possible else ""
        self.setToolTip(reason or self._general_tip)

    def value(self) -> object:
        """Return the value that is shown, None where several differ."""
        index = self.currentIndex()
        return self._choices[index].value if index >= 0 else None

    def wheelEvent(self, event: QWheelEvent) -> None:
        # Scrolling through a form must not change decisions on the way.
        event.ignore()

    def _mark(self, row: int, reason: str) -> None:
        model = self.model()
        if not isinstance(model, QStandardItemModel):
            return
        item: QStandardItem = model.item(row)
        item.setEnabled(not reason)
        item.setToolTip(reason)

    def _on_activated(self, index: int) -> None:
        if 0 <= index < len(self._choices):
            self.chosen.emit(self._choices[index].value)
