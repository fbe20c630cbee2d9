"""The histogram of a weight, whole or of one output channel, with a range mirrored at zero that can be dragged."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QWidget

from qgui.ui.plots import Float64, LogAxis, Plot, pen, step_curve, translucent
from qgui.ui.theme import Theme


class WeightHistogram(Plot):
    """Elements of a weight on a logarithmic axis.

    Signals:
        dragged: The bound while an edge is dragged.
        released: The bound when the drag ends.
        nudged: By how many quantization steps the bound is to move.

    Args:
        theme: Whose colours.
        parent: Qt parent.
    """

    dragged = Signal(float)
    released = Signal(float)
    nudged = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, "weightHistogram", "", "", zoom=True, parent=parent, axis_items={"left": LogAxis()})
        self.setAccessibleName(self.tr("Histogram of the weight with its range"))
        self.setToolTip(
            self.tr(
                "Drag an edge of the shaded range; the other one mirrors it. Left and Right move it by one step, with "
                "Ctrl by ten."
            )
        )
        self._curve = step_curve(fill_level=0.0)
        self._region = pg.LinearRegionItem()
        self._region.setZValue(5)
        self._region.hide()
        self._movable = False
        self._bound = 0.0
        self._edge = 1.0
        self.addItem(self._curve)
        self.addItem(self._region, ignoreBounds=True)
        # Only the edges are dragged: moving the whole region would leave the middle off zero.
        self._region.setAcceptedMouseButtons(Qt.MouseButton.NoButton)
        for line in self._region.lines:
            line.sigPositionChanged.connect(self._on_moved)
            line.sigPositionChangeFinished.connect(self._on_released)
        self.label("left", self.tr("elements"))
        self.label("bottom", self.tr("weight"))
        self.redraw()

    def show_histogram(self, counts: Float64, edges: Float64) -> None:
        """Show elements: counts of shape `(bins,)` between edges of shape `(bins + 1,)`."""
        floor = float(np.log10(0.5))
        heights = np.log10(np.maximum(counts, 0.5))
        self._curve.setFillLevel(floor)
        self._curve.setData(edges, heights)
        self._edge = max(abs(float(edges[0])), abs(float(edges[-1])))
        self.setYRange(floor, float(heights.max()) * 1.05 + 0.1, padding=0)
        self.reset_view()

    def clear_histogram(self) -> None:
        """Show nothing."""
        self._curve.clear()
        self._region.hide()

    def show_bounds(self, bounds: tuple[float, float] | None, movable: bool) -> None:
        """Show a range; None hides it.

        Args:
            bounds: Least and greatest value of the range.
            movable: Whether it can be dragged.
        """
        self._movable = movable
        self._region.setVisible(bounds is not None)
        if bounds is None:
            return
        self._region.setMovable(movable)
        self._bound = max(abs(bounds[0]), abs(bounds[1]))
        self._place(*bounds)
        if self._bound > self.viewRange()[0][1]:
            self.reset_view()

    def reset_view(self) -> None:
        """Show all elements and the range."""
        reach = max(self._edge, self._bound if self._region.isVisible() else 0.0)
        self.setXRange(-reach, reach, padding=0.06)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The range that is shown; None where there is none."""
        if not self._region.isVisible():
            return None
        low, high = self._region.getRegion()
        return float(low), float(high)

    def drag_to(self, bound: float) -> None:
        """Move the upper edge as a drag would and let it go."""
        self._region.lines[1].setValue(bound)
        self._region.lines[1].sigPositionChangeFinished.emit(self._region.lines[1])

    def redraw(self) -> None:
        colours = self.theme.colours
        self._curve.setPen(pen(colours.histogram))
        self._curve.setBrush(translucent(colours.histogram, 0.55))
        self._region.setBrush(translucent(colours.accent, 0.10))
        for line in self._region.lines:
            line.setPen(pen(colours.accent, 2))
            line.setHoverPen(pen(colours.accent, 4))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()), 0)
        if not steps or not self._movable:
            super().keyPressEvent(event)
            return
        self.nudged.emit(steps * (10 if event.modifiers() & Qt.KeyboardModifier.ControlModifier else 1))

    def _place(self, low: float, high: float) -> None:
        for item in (self._region, *self._region.lines):
            item.blockSignals(True)
        self._region.lines[0].setValue(low)
        self._region.lines[1].setValue(high)
        for item in (self._region, *self._region.lines):
            item.blockSignals(False)
        self._region.prepareGeometryChange()
        self._region.update()

    def _on_moved(self, line: pg.InfiniteLine) -> None:
        bound = abs(float(line.value()))
        self._bound = bound
        self._place(-bound, bound)
        self.dragged.emit(bound)

    def _on_released(self, line: pg.InfiniteLine) -> None:
        self.released.emit(self._bound)
