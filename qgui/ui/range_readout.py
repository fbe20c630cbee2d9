"""The range in use in numbers: two fields for its bounds, and what it costs, live while it is dragged."""

from __future__ import annotations

import math

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QKeyEvent, QPainter, QPaintEvent, QWheelEvent
from PySide6.QtWidgets import QDoubleSpinBox, QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QWidget

from qgui.core.plan import Choice
from qgui.ui import formatting
from qgui.ui.choices import short_observer_label
from qgui.ui.plots import translucent
from qgui.ui.range_drag import Bounds
from qgui.ui.theme import Theme

#: From this share on one kind of error is what a range suffers from.
_MOSTLY = 0.6
#: Pixels between a number and the caption beside it.
_GAP = 8.0


class BoundBox(QDoubleSpinBox):
    """A bound of a range; its arrows move it by one quantization step.

    Args:
        name: Object name.
        accessible_name: Which bound.
        tool_tip: One sentence on what it does.
        parent: Qt parent.
    """

    def __init__(self, name: str, accessible_name: str, tool_tip: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._exact = 0.0
        self.setObjectName(name)
        self.setAccessibleName(accessible_name)
        self.setToolTip(tool_tip)
        self.setKeyboardTracking(False)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCorrectionMode(QDoubleSpinBox.CorrectionMode.CorrectToPreviousValue)

    def show_bound(self, value: float, step: float, steps: int) -> None:
        """Show a bound, and how many steps it lies from zero; nothing is reported."""
        self._exact = value
        decimals = min(max(1 - math.floor(math.log10(step)), 0), 12) if step > 0 else 4
        self.blockSignals(True)
        if decimals != self.decimals():
            self.setDecimals(decimals)
        limit = max(1e6, 1e3 * abs(value))
        if limit != self.maximum():
            self.setRange(-limit, limit)
        self.setSingleStep(step)
        self.setSuffix(self.tr(" ({steps} steps)").format(steps=str(steps).replace("-", "\u2212")))
        self.setValue(value)
        self.blockSignals(False)

    @property
    def touched(self) -> bool:
        """Whether it shows another number than the bound rounded to its decimals."""
        return self.value() != round(self._exact, self.decimals())

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


class RangeReadout(QWidget):
    """What the range in use costs, and fields to type its bounds.

    Signals:
        typed: New `Bounds`, and a key under which successive steps merge.

    Args:
        theme: For the colours.
        parent: Qt parent.
    """

    typed = Signal(object, str)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("rangesReadout")
        self._bounds: Bounds | None = None
        tip = self.tr("{which} bound of the range, in the units of the activation; its arrows move it by one step.")
        self.low = BoundBox("rangesLow", self.tr("Lower bound"), tip.format(which=self.tr("Lower")), self)
        self.high = BoundBox("rangesHigh", self.tr("Upper bound"), tip.format(which=self.tr("Upper")), self)
        self.cost = CostView(theme, self)
        fields = QGridLayout()
        fields.setContentsMargins(0, 0, 0, 0)
        fields.setVerticalSpacing(3)
        sample = QFontMetricsF(self.font()).horizontalAdvance("−0.0000 (−128 steps)")
        for row, (text, box) in enumerate(((self.tr("from"), self.low), (self.tr("to"), self.high))):
            label = QLabel(text, self)
            label.setBuddy(box)
            fields.addWidget(label, row, 0)
            fields.addWidget(box, row, 1)
            box.setFixedWidth(round(sample) + 28)
            box.valueChanged.connect(self._on_value)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(10)
        layout.addLayout(fields)
        layout.addWidget(self.cost, 1)

    def show_choice(self, choice: Choice | None, bounds: Bounds | None, best: Choice | None) -> None:
        """Show a range and what it costs.

        Args:
            choice: The range; None where there is none, as between handles that crossed.
            bounds: Where moving by hand begins; None where the range cannot be moved.
            best: The best of the observers' choices.
        """
        self._bounds = bounds
        self.cost.show_choice(choice, best)
        if choice is None:
            return
        qparams = choice.qparams
        step, zero = float(qparams.scale[0]), int(qparams.zero_point[0])
        for box, value, level in (
            (self.low, float(qparams.low[0]), qparams.grid.quant_min),
            (self.high, float(qparams.high[0]), qparams.grid.quant_max),
        ):
            box.show_bound(value, step, level - zero)
            if box.isEnabled() != (bounds is not None):
                box.setEnabled(bounds is not None)

    def _on_value(self) -> None:
        box = self.sender()
        if self._bounds is None or not isinstance(box, BoundBox) or not box.touched:
            return
        bounds = self._bounds.with_low(box.value()) if box is self.low else self._bounds.with_high(box.value())
        self.typed.emit(bounds, box.objectName())


class CostView(QWidget):
    """SQNR, scale, zero point, clipped shares, and how the error divides into rounding and clipping, drawn.

    It is drawn rather than laid out, so that a drag does not lay out the panel for every frame.

    Args:
        theme: For the colours.
        parent: Qt parent.
    """

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._choice: Choice | None = None
        self._best: Choice | None = None
        self.setObjectName("rangesCost")
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setToolTip(
            self.tr(
                "What the range in use costs. Rounding is what the levels between the bounds lose, clipping what lies "
                "beyond them; the best range keeps their sum least."
            )
        )
        self.setAccessibleName(self.tr("What the range costs"))
        theme.changed.connect(self.update)

    def show_choice(self, choice: Choice | None, best: Choice | None) -> None:
        """Show what a range costs, beside the best of the observers."""
        self._choice, self._best = choice, best
        self.setAccessibleDescription(self.description())
        self.update()

    def description(self) -> str:
        """Return everything that is drawn, in words."""
        choice = self._choice
        if choice is None:
            return self.verdict()
        cost, qparams = choice.cost, choice.qparams
        return self.tr(
            "SQNR {sqnr}, scale {scale}, zero point {zero}, clipped below {low}, above {high}, "
            "error {rounding} rounding and {clipping} clipping. {verdict}"
        ).format(
            sqnr=formatting.decibel(choice.sqnr_db),
            scale=formatting.scale(float(qparams.scale[0])),
            zero=int(qparams.zero_point[0]),
            low=formatting.small_percent(float(cost.clipped_low[0])),
            high=formatting.small_percent(float(cost.clipped_high[0])),
            rounding=formatting.percent(1.0 - cost.clipping_share, 0),
            clipping=formatting.percent(cost.clipping_share, 0),
            verdict=self.verdict(),
        )

    def verdict(self) -> str:
        """Return how good the range is, in a few words."""
        choice, best = self._choice, self._best
        if choice is None:
            return self.tr("The range is empty: let go and it stays as it was.")
        if best is None or choice.is_as_good_as(best):
            return self.tr("as good as the best")
        behind = formatting.number_fixed(best.sqnr_db - choice.sqnr_db, 1)
        name = short_observer_label(best.observer.kind)
        if choice.cost.clipping_share >= _MOSTLY:
            return self.tr("{behind} dB under {name}: widen").format(behind=behind, name=name)
        if choice.cost.clipping_share <= 1 - _MOSTLY:
            return self.tr("{behind} dB under {name}: narrow").format(behind=behind, name=name)
        return self.tr("{behind} dB under {name}").format(behind=behind, name=name)

    @property
    def behind(self) -> bool:
        """Whether another range would be clearly better."""
        choice, best = self._choice, self._best
        return choice is None or (best is not None and not choice.is_as_good_as(best))

    def sizeHint(self) -> QSize:
        return QSize(320, 4 * round(QFontMetricsF(self.font()).height()) + 6)

    def minimumSizeHint(self) -> QSize:
        metrics = QFontMetricsF(self.font())
        column = metrics.horizontalAdvance(f"{self.tr('clipped high')} 0.0063 %") + _GAP
        return QSize(round(2 * column), self.sizeHint().height())

    def event(self, event: QEvent) -> bool:
        if event.type() in {QEvent.Type.FocusIn, QEvent.Type.FocusOut}:
            self.update()
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        event.ignore()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        colours = self._theme.colours
        if self._choice is None:
            painter.setPen(QColor(colours.bad))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignVCenter | Qt.TextFlag.TextWordWrap, self.verdict())
            return
        line, half = self.height() / 4, self.width() / 2
        self._draw_quality(painter, QRectF(0.0, 0.0, self.width(), line), self._choice)
        cost, qparams = self._choice.cost, self._choice.qparams
        texts = (
            (self.tr("scale"), formatting.scale(float(qparams.scale[0]))),
            (self.tr("zero point"), str(int(qparams.zero_point[0]))),
            (self.tr("clipped low"), formatting.small_percent(float(cost.clipped_low[0]))),
            (self.tr("clipped high"), formatting.small_percent(float(cost.clipped_high[0]))),
        )
        for number, (caption, value) in enumerate(texts):
            rect = QRectF(number % 2 * half, (1 + number // 2) * line, half - _GAP, line)
            painter.setPen(QColor(colours.faint))
            painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, caption)
            painter.setPen(QColor(colours.text))
            painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, value)
        self._draw_error(painter, QRectF(0.0, 3 * line, self.width() - _GAP, line), self._choice)
        if self.hasFocus():
            painter.setPen(QColor(colours.accent))
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def _draw_quality(self, painter: QPainter, rect: QRectF, choice: Choice) -> None:
        colours = self._theme.colours
        bold = QFont(self.font())
        bold.setBold(True)
        bold.setPointSizeF(bold.pointSizeF() * 1.2)
        quality = QColor(colours.bad if self.behind else colours.good)
        for font, colour, text in (
            (bold, quality, formatting.decibel(choice.sqnr_db)),
            (self.font(), QColor(colours.faint), "SQNR"),
            (self.font(), quality, self.verdict()),
        ):
            metrics = QFontMetricsF(font)
            painter.setFont(font)
            painter.setPen(colour)
            shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, rect.width())
            painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter, shown)
            rect = rect.adjusted(metrics.horizontalAdvance(text) + 8.0, 0.0, 0.0, 0.0)

    def _draw_error(self, painter: QPainter, rect: QRectF, choice: Choice) -> None:
        """Draw how the squared error divides, as one bar with both names."""
        colours = self._theme.colours
        share = choice.cost.clipping_share
        left = self.tr("rounding {share}").format(share=formatting.percent(1.0 - share, 0))
        right = self.tr("clipping {share}").format(share=formatting.percent(share, 0))
        metrics = QFontMetricsF(self.font())
        room = metrics.horizontalAdvance(self.tr("rounding {share}").format(share="100 %")) + 8
        bar = QRectF(rect.left() + room, rect.top() + 4, max(rect.width() - 2 * room, 10.0), rect.height() - 8)
        painter.setPen(QColor(colours.text))
        painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, left)
        painter.drawText(rect, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, right)
        border = bar.left() + bar.width() * (1.0 - share)
        rounding = QRectF(bar.left(), bar.top(), border - bar.left(), bar.height())
        clipping = QRectF(border, bar.top(), bar.right() - border, bar.height())
        painter.fillRect(rounding, translucent(colours.accent, 0.55))
        painter.fillRect(clipping, translucent(colours.bad, 0.55))
        painter.fillRect(clipping, Qt.BrushStyle.BDiagPattern)
