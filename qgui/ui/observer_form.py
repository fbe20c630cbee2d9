"""Choosing an observer and its parameters."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QDoubleSpinBox, QFormLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from qgui.core.recipe import Observer, ObserverKind, observer_name
from qgui.ui.choice_box import ChoiceBox
from qgui.ui.choices import Choice


class ParameterBox(QDoubleSpinBox):
    """A number that can stand for several different values, and does not turn under the mouse wheel.

    Args:
        name: Object name.
        accessible_name: What the number is.
        tool_tip: One sentence on what it does.
        parent: Qt parent.
    """

    def __init__(self, name: str, accessible_name: str, tool_tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setAccessibleName(accessible_name)
        self.setToolTip(tool_tip)
        self.setKeyboardTracking(False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        # Its bounds have more digits than any range that is worth room.
        self.setMinimumWidth(self.fontMetrics().horizontalAdvance("-12.34567") + 3 * self.fontMetrics().height())
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setSpecialValueText(self.tr("mixed"))
        self.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)

    def show_values(self, values: Sequence[float]) -> None:
        """Show the common value, or that several differ; nothing is reported."""
        self.blockSignals(True)
        same = len(set(values)) == 1
        self.setValue(values[0] if same else self.minimum())
        self.blockSignals(False)

    @property
    def mixed(self) -> bool:
        """Whether it stands for several values."""
        return self.value() <= self.minimum()

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class ObserverForm(QWidget):
    """An observer with the parameters that it has.

    Signals:
        decided: The `Observer` the person wants and a key under which successive steps merge.

    Args:
        name: Object name, a prefix of those of the controls.
        parent: Qt parent.
    """

    decided = Signal(object, str)

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._observers: list[Observer] = [Observer()]
        self._start = (0.0, 1.0)
        self.setObjectName(name)
        self.kind = ChoiceBox(
            f"{name}Kind", self.tr("Observer"), self.tr("Which observer chooses the range from the statistics."), self
        )
        self.constant = self._parameter(
            "Constant", self.tr("Averaging constant"), self.tr("Weight of the newest batch (PyTorch: 0.01)."), 0, 1, 4
        )
        self.percentile = self._parameter(
            "Percentile", self.tr("Percentile"), self.tr("Share of the values that the range covers."), 49.9, 100, 4
        )
        self.percentile.setSuffix(" %")
        self.low = self._parameter("Low", self.tr("Low"), self.tr("Lower bound of the range."), -1e9, 1e9, 5)
        self.high = self._parameter("High", self.tr("High"), self.tr("Upper bound of the range."), -1e9, 1e9, 5)
        self._form = QFormLayout()
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self._form.addRow(self._label(self.tr("Observer"), self.kind), self.kind)
        self._rows = {
            ObserverKind.MOVING_AVERAGE: (self.constant,),
            ObserverKind.PERCENTILE: (self.percentile,),
            ObserverKind.FIXED: (self.low, self.high),
        }
        for boxes in self._rows.values():
            for box in boxes:
                self._form.addRow(self._label(box.accessibleName(), box), box)
                self._form.setRowVisible(box, False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self._form)
        self.kind.chosen.connect(self._on_kind)

    def _parameter(self, suffix: str, title: str, tip: str, low: float, high: float, decimals: int) -> ParameterBox:
        box = ParameterBox(f"{self._name}{suffix}", title, tip, self)
        box.setDecimals(decimals)
        box.setRange(low, high)
        box.valueChanged.connect(self._on_parameter)
        return box

    def _label(self, text: str, buddy: QWidget) -> QLabel:
        label = QLabel(text, self)
        label.setBuddy(buddy)
        return label

    def set_label_width(self, width: int) -> None:
        """Give the labels a width, to stand in line with those of other forms."""
        for field in (self.kind, self.constant, self.percentile, self.low, self.high):
            self._form.labelForField(field).setMinimumWidth(width)

    def show_observers(
        self,
        observers: Sequence[Observer],
        reasons: dict[ObserverKind, str],
        start: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        """Show the observer of one or several layers.

        Args:
            observers: One for each layer.
            reasons: Observer to why it may not be chosen.
            start: The bounds with which a fixed range begins.
        """
        self._observers = list(observers)
        self._start = start
        kinds = {observer.kind for observer in observers}
        choices = [Choice(kind, observer_name(kind), reasons.get(kind, "")) for kind in ObserverKind]
        self.kind.set_choices(choices, observers[0].kind, mixed=len(kinds) > 1)
        shown = self._rows.get(observers[0].kind, ()) if len(kinds) == 1 else ()
        for boxes in self._rows.values():
            for box in boxes:
                self._form.setRowVisible(box, box in shown)
        self.constant.show_values([observer.averaging_constant for observer in observers])
        self.percentile.show_values([observer.percentile for observer in observers])
        self.low.show_values([observer.low for observer in observers])
        self.high.show_values([observer.high for observer in observers])

    def _on_kind(self, kind: object) -> None:
        if not isinstance(kind, ObserverKind):
            return
        if kind is ObserverKind.FIXED:
            low, high = self._start
            self.decided.emit(Observer(kind, low=low, high=high), "")
        else:
            self.decided.emit(Observer(kind), "")

    def _on_parameter(self) -> None:
        box = self.sender()
        first = self._observers[0]
        if not isinstance(box, ParameterBox) or box.mixed:
            return
        if box is self.constant:
            wanted = msgspec.structs.replace(first, averaging_constant=box.value())
        elif box is self.percentile:
            wanted = msgspec.structs.replace(first, percentile=box.value())
        else:
            low, high = self.low.value(), self.high.value()
            if self.low.mixed or self.high.mixed or low >= high:
                box.show_values([first.low if box is self.low else first.high])
                return
            wanted = msgspec.structs.replace(first, low=low, high=high)
        self.decided.emit(wanted, f"{self._name}.{box.objectName()}")
