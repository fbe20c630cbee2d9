"""The histogram of an activation with every observer's range, the chosen range as a region that can be dragged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QWidget

from qgui.core.plan import Choice
from qgui.core.recipe import ObserverKind
from qgui.ui.level_axis import LevelAxis
from qgui.ui.plots import Float64, LogAxis, Plot
from qgui.ui.range_drag import Bounds, Grab, RangeDrag
from qgui.ui.ranges_items import Frame, GridItem, HistogramItem, ObserversItem, RangeItem
from qgui.ui.theme import Theme

#: More levels than this in view would be a solid surface.
_GRID_LEVELS = 130
#: How near a handle the mouse takes it, in pixels.
_REACH = 6.0
_CURSORS = {
    Grab.LOW: Qt.CursorShape.SplitHCursor,
    Grab.HIGH: Qt.CursorShape.SplitHCursor,
    Grab.BOTH: Qt.CursorShape.SizeAllCursor,
}


class RangesPlot(Plot):
    """Draws one activation, and lets its range be dragged or moved by keys.

    Signals:
        dragged: Low and high while the range is dragged; the upper bound may lie below the lower one.
        released: Low and high when the drag ends.
        drag_cancelled: Escape ended the drag.
        nudged: Whether the lower bound moves (else the upper one), and by how many quantization steps.
        stepped: 1 for the next layer, -1 for the one before.

    Args:
        theme: Whose colours.
        parent: Qt parent.
    """

    dragged = Signal(float, float)
    released = Signal(float, float)
    drag_cancelled = Signal()
    nudged = Signal(bool, int)
    stepped = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        self.levels = LevelAxis()
        self._counting = LogAxis()
        super().__init__(
            theme,
            "rangesPlot",
            "",
            "",
            zoom=True,
            parent=parent,
            axis_items={"top": self.levels, "left": self._counting},
        )
        self.setAccessibleName(self.tr("Histogram of the activation with the ranges of the observers"))
        self.setToolTip(
            self.tr(
                "Drag the shaded range or its edges. Left and Right move the upper bound by one step, with Shift the "
                "lower one, with Ctrl by ten; Page Up and Page Down go to the layer before and after. The wheel zooms."
            )
        )
        self.setMinimumHeight(8 * self.fontMetrics().height())
        self.showAxis("top")
        self._logarithmic = True
        self._counts: Float64 = np.zeros(1)
        self._edges: Float64 = np.array([0.0, 1.0])
        self._measured: tuple[Float64, Float64] | None = None
        self._choices: list[Choice] = []
        self._hidden: set[ObserverKind] = set()
        self._used: ObserverKind | None = None
        self._base = 0.0
        self._bounds: Bounds | None = None
        self._drag: RangeDrag | None = None
        view = self.plotItem.vb
        self.grid = GridItem(view, theme, 1.0)
        self.histogram = HistogramItem(view, theme, 2.0)
        self.overlay = HistogramItem(view, theme, 3.0, outline=True)
        self.region = RangeItem(view, theme, 5.0)
        self.observers = ObserversItem(view, theme, 6.0)
        self._items = (self.grid, self.histogram, self.overlay, self.region, self.observers)
        view.sigRangeChanged.connect(self._fit)
        view.sigResized.connect(self._on_resized)
        self.label("left", self.tr("values per bin"))
        self.label("bottom", self.tr("value of the activation"))
        self.label("top", self.tr("integer level"))

    # Content

    def show_histogram(self, counts: Float64, edges: Float64) -> None:
        """Show a histogram.

        Args:
            counts: Shape `(bins,)`, values in each bin.
            edges: Shape `(bins + 1,)`.
        """
        self._counts, self._edges = counts, edges
        self._draw_histogram()

    def show_measured(self, edges: Float64, counts: Float64 | None) -> None:
        """Show another histogram as an outline over the first, as what the quantized model really made; None hides it.

        Args:
            edges: Shape `(bins + 1,)`, values.
            counts: Shape `(bins,)`, values in each bin, comparable with those of `show_histogram`.
        """
        self._measured = (edges, counts) if counts is not None else None
        self._draw_histogram()

    @property
    def measured(self) -> tuple[Float64, Float64] | None:
        """Edges and counts of the outline, None where there is none."""
        return self._measured

    @property
    def bin_width(self) -> float:
        """Width of a bin of the histogram."""
        return float(self._edges[1] - self._edges[0])

    def set_logarithmic(self, logarithmic: bool) -> None:
        """Count on a logarithmic or a linear axis."""
        self._logarithmic = logarithmic
        self._draw_histogram()

    def show_choices(self, choices: Sequence[Choice], used: ObserverKind | None) -> None:
        """Show the ranges that observers choose.

        Args:
            choices: One for each observer.
            used: The one in use, drawn stronger.
        """
        before = self.observers.headroom
        self._choices, self._used = list(choices), used
        self.observers.set_choices(self._choices, used, frozenset(self._hidden))
        if self.observers.headroom != before:
            self._scale_heights()

    def set_visible(self, kind: ObserverKind, visible: bool) -> None:
        """Show or hide the lines of an observer."""
        (self._hidden.discard if visible else self._hidden.add)(kind)
        self.show_choices(self._choices, self._used)

    def show_range(self, choice: Choice | None, bounds: Bounds | None) -> None:
        """Show the range in use.

        Args:
            choice: Whose range; without one there is none.
            bounds: Where a drag begins; None where the range cannot be moved.
        """
        if self._drag is None:
            self._bounds = bounds
        used = (float(choice.qparams.low[0]), float(choice.qparams.high[0])) if choice is not None else None
        handles = (self._drag.low, self._drag.high) if self._drag is not None else used
        self.region.set_range(used, handles, self._bounds is not None)
        self.histogram.set_bounds(used)
        self.levels.set_qparams(choice.qparams if choice is not None else None)
        self._draw_grid()

    @property
    def dragging(self) -> bool:
        """Whether the mouse holds the range."""
        return self._drag is not None

    def reset_view(self) -> None:
        """Show the whole histogram and every range."""
        bounds = [float(self._edges[0]), float(self._edges[-1])]
        for choice in self._choices:
            bounds += [float(choice.qparams.low[0]), float(choice.qparams.high[0])]
        low, high = min(bounds), max(bounds)
        if not low < high:
            low, high = low - 0.5, high + 0.5
        self.setXRange(low, high, padding=0.04)

    def pixel_of(self, value: float) -> float:
        """Return where a value lies on the horizontal axis, in pixels of the widget."""
        return float(self.plotItem.vb.x()) + Frame.of(self.plotItem.vb).x(value)

    # Drawing

    def redraw(self) -> None:
        self.observers.recolour()
        for item in self._items:
            item.update()

    def _heights(self, counts: Float64, base: float) -> Float64:
        if not self._logarithmic:
            return counts
        heights: Float64 = np.log10(np.maximum(counts, 10.0**base))
        return heights

    def _draw_histogram(self) -> None:
        counts = np.asarray(self._counts, dtype=np.float64)
        if self._counting.logarithmic != self._logarithmic:
            self._counting.logarithmic = self._logarithmic
            self._counting.picture = None
            self._counting.update()
        floor = max(float(counts.max(initial=1.0)) * 1e-7, 0.5)
        self._base = float(np.log10(floor)) if self._logarithmic else 0.0
        self.histogram.set_bins(self._edges, self._heights(counts, self._base))
        edges, measured = self._measured or (self._edges, np.zeros(0))
        self.overlay.set_bins(edges, self._heights(measured, self._base))
        self._scale_heights()

    def _scale_heights(self) -> None:
        """Give the histogram the height that the rows of the observers leave."""
        top = max(float(self._heights(self._counts, self._base).max(initial=0.0)), self._base + 1e-9)
        height = max(self.plotItem.vb.rect().height(), 1.0)
        room = min(self.observers.headroom + 4.0, 0.6 * height)
        self.setYRange(self._base, self._base + (top - self._base) * height / (height - room), padding=0)
        self._fit()

    def _on_resized(self) -> None:
        self._scale_heights()

    def _fit(self) -> None:
        frame = Frame.of(self.plotItem.vb)
        if frame == self.grid.frame:
            return
        for item in self._items:
            item.fit(frame)
        self._draw_grid()

    def _draw_grid(self) -> None:
        frame = self.grid.frame
        levels = self.levels.levels(frame.low, frame.high)
        shown = levels if 0 < len(levels) <= _GRID_LEVELS else ()
        self.grid.set_values([self.levels.value(level) for level in shown])

    # Mouse

    def _place(self, event: QMouseEvent) -> QPointF:
        return self.plotItem.vb.mapFromScene(self.mapToScene(event.position().toPoint()))  # type: ignore[no-any-return]

    def _grab_at(self, place: QPointF) -> Grab | None:
        """Return what the mouse would take at a place in the view."""
        if self._bounds is None or not self.plotItem.vb.rect().contains(place):
            return None
        frame, handles = self.grid.frame, self.region.handles
        if handles is None:
            return None
        low, high = frame.x(handles[0]), frame.x(handles[1])
        to_low, to_high = abs(place.x() - low), abs(place.x() - high)
        if min(to_low, to_high) <= _REACH:
            # Handles upon each other are told apart by the side of the mouse.
            nearer_low = to_low < to_high or (to_low == to_high and place.x() < (low + high) / 2)
            return Grab.LOW if nearer_low else Grab.HIGH
        return Grab.BOTH if low < place.x() < high and not self._bounds.mirrored else None

    def mousePressEvent(self, event: QMouseEvent) -> None:
        grab = self._grab_at(self._place(event)) if event.button() == Qt.MouseButton.LeftButton else None
        if grab is None or self._bounds is None:
            super().mousePressEvent(event)
            return
        self._drag = RangeDrag(self._bounds, grab, self.grid.frame.value(self._place(event).x()))
        self._show_grab(grab)
        event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._drag is None:
            if event.buttons() == Qt.MouseButton.NoButton:
                self._show_grab(self._grab_at(self._place(event)))
            super().mouseMoveEvent(event)
            return
        if self._drag.move_to(self.grid.frame.value(self._place(event).x())):
            self.dragged.emit(self._drag.low, self._drag.high)
        event.accept()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._drag is None or event.button() != Qt.MouseButton.LeftButton:
            super().mouseReleaseEvent(event)
            return
        drag, self._drag = self._drag, None
        if drag.moved:
            self.released.emit(drag.low, drag.high)
        event.accept()

    def leaveEvent(self, event: QEvent) -> None:
        if self._drag is None:
            self._show_grab(None)
        super().leaveEvent(event)

    def _show_grab(self, grab: Grab | None) -> None:
        self.region.set_held(grab in {Grab.LOW, Grab.BOTH}, grab in {Grab.HIGH, Grab.BOTH})
        cursor = _CURSORS[grab] if grab is not None else Qt.CursorShape.ArrowCursor
        if self.viewport().cursor().shape() != cursor:
            self.viewport().setCursor(cursor)

    def cancel_drag(self) -> None:
        """Give up a drag; the range stays where it was."""
        if self._drag is not None:
            self._drag = None
            self.drag_cancelled.emit()

    # Keys

    def keyPressEvent(self, event: QKeyEvent) -> None:
        modifiers, key = event.modifiers(), Qt.Key(event.key())
        alt = bool(modifiers & Qt.KeyboardModifier.AltModifier)
        if key == Qt.Key.Key_Escape and self._drag is not None:
            self.cancel_drag()
        elif key in {Qt.Key.Key_Left, Qt.Key.Key_Right} and self._bounds is not None and not alt:
            steps = 10 if modifiers & Qt.KeyboardModifier.ControlModifier else 1
            lower = bool(modifiers & Qt.KeyboardModifier.ShiftModifier)
            self.nudged.emit(lower, steps if key == Qt.Key.Key_Right else -steps)
        elif key == Qt.Key.Key_PageDown or (alt and key == Qt.Key.Key_Down):
            self.stepped.emit(1)
        elif key == Qt.Key.Key_PageUp or (alt and key == Qt.Key.Key_Up):
            self.stepped.emit(-1)
        else:
            super().keyPressEvent(event)
            return
        event.accept()

    def focusInEvent(self, event: QFocusEvent) -> None:
        self.region.set_focused(True)
        super().focusInEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self.region.set_focused(False)
        super().focusOutEvent(event)
