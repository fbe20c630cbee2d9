"""The range of a weight as a number: typed, with what it costs beside it, and given back to the observer."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QPushButton, QWidget

from qgui.ui import formatting


class WeightBound(QWidget):
    """A row below the histogram of a weight.

    Signals:
        typed: A bound above 0 that the person typed.
        refused: A sentence: why what was typed is no bound.
        reset: The shown channel, or the weight, goes back to its observer.
        reset_all: All channels go back to the observer.

    Args:
        parent: Qt parent.
    """

    typed = Signal(float)
    refused = Signal(str)
    reset = Signal()
    reset_all = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("weightBound")
        self._shown = ""
        self.caption = QLabel(self.tr("Range ±"), self)
        self.field = QLineEdit(self)
        self.field.setObjectName("weightBoundField")
        self.field.setAccessibleName(self.tr("Bound of the range"))
        self.field.setToolTip(self.tr("The range goes from minus this value to this value. Return takes it."))
        self.field.setMaximumWidth(self.field.fontMetrics().horizontalAdvance("0" * 14))
        self.field.editingFinished.connect(self._on_typed)
        self.caption.setBuddy(self.field)
        self.cost = QLabel(self)
        self.cost.setObjectName("weightBoundCost")
        self.reset_button = self._button("weightBoundReset", self.tr("Reset"))
        self.reset_button.setToolTip(self.tr("Let the observer choose this range again."))
        self.reset_button.clicked.connect(self.reset)
        self.all_button = self._button("weightBoundResetAll", self.tr("Reset all channels"))
        self.all_button.setToolTip(self.tr("Let the observer choose the range of every channel again."))
        self.all_button.clicked.connect(self.reset_all)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for widget in (self.caption, self.field):
            row.addWidget(widget)
        row.addWidget(self.cost, 1)
        row.addWidget(self.reset_button)
        row.addWidget(self.all_button)

    def _button(self, name: str, text: str) -> QPushButton:
        button = QPushButton(text, self)
        button.setObjectName(name)
        button.setAutoDefault(False)
        return button

    def show_bound(self, bound: float | None, why_not: str) -> None:
        """Show a bound.

        Args:
            bound: The bound in use; None where there is none to show.
            why_not: Why it cannot be changed; empty where it can.
        """
        for widget in (self.caption, self.field):
            widget.setVisible(bound is not None)
        self.field.setEnabled(not why_not)
        self._shown = "" if bound is None else f"{bound:.6g}"
        self.field.setText(self._shown)
        if why_not:
            self.cost.setText(why_not)

    def show_cost(self, bound: float, scale: float, sqnr_db: float, clipped: float) -> None:
        """Show what a bound costs, also while it is dragged."""
        self._shown = f"{bound:.6g}"
        self.field.setText(self._shown)
        parts = [
            self.tr("scale {scale}").format(scale=formatting.scale(scale)),
            self.tr("SQNR {sqnr}").format(sqnr=formatting.decibel(sqnr_db)),
            self.tr("clipped {share}").format(share=formatting.small_percent(clipped)),
        ]
        self.cost.setText(" · ".join(parts))

    def show_resets(self, one: bool, channels: int) -> None:
        """Offer to give the shown range back where it is fixed by hand, and all fixed channels."""
        self.reset_button.setVisible(one)
        self.all_button.setVisible(channels > 0)
        self.all_button.setText(self.tr("Reset all channels ({count})").format(count=channels))

    def _on_typed(self) -> None:
        text = self.field.text()
        if text == self._shown:
            return
        try:
            bound = float(text.replace(",", "."))
        except ValueError:
            bound = 0.0
        if 0.0 < bound < float("inf"):
            self.typed.emit(bound)
        else:
            self.field.setText(self._shown)
            self.refused.emit(self.tr("A range needs a bound above 0; the one before stays."))
