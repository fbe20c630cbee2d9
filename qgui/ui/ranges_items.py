"""What the ranges plot draws: histogram, range with its handles, the observers' ranges. All in the pixels of its view.

Drawing in pixels costs less than items in the coordinates of the data, and labels can be kept clear of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QFontMetricsF, QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QGraphicsItem, QStyleOptionGraphicsItem, QWidget

from qgui.core.plan import Choice
from qgui.core.recipe import ObserverKind
from qgui.ui import formatting
from qgui.ui.choices import short_observer_label
from qgui.ui.plots import Float64, pen, translucent
from qgui.ui.theme import OBSERVER_DASHES, Theme

#: Width and height of the grip on a handle, in pixels.
_GRIP = (7.0, 30.0)


@dataclass(frozen=True)
class Frame:
    """How values become pixels.

    Attributes:
        low: Value at the left edge.
        high: Value at the right edge.
        bottom: Height at the lower edge.
        top: Height at the upper edge.
        width: Pixels from left to right.
        height: Pixels from top to bottom.
    """

    low: float = 0.0
    high: float = 1.0
    bottom: float = 0.0
    top: float = 1.0
    width: float = 1.0
    height: float = 1.0

    @classmethod
    def of(cls, view: pg.ViewBox) -> Frame:
        """Return the frame of a view as it is now."""
        (low, high), (bottom, top) = view.viewRange()
        rect = view.rect()
        return cls(low, high, bottom, top, max(rect.width(), 1.0), max(rect.height(), 1.0))

    def x(self, value: float) -> float:
        """Return the pixel of a value, kept near the view so that painting never meets huge numbers."""
        pixel = (value - self.low) / (self.high - self.low) * self.width
        return min(max(pixel, -10.0), self.width + 10.0)

    def xs(self, values: Float64) -> Float64:
        """Return the pixels of values."""
        pixels: Float64 = (values - self.low) * (self.width / (self.high - self.low))
        return np.clip(pixels, -10.0, self.width + 10.0)

    def ys(self, heights: Float64) -> Float64:
        """Return the pixels of heights."""
        pixels: Float64 = (self.top - heights) * (self.height / (self.top - self.bottom))
        return np.clip(pixels, -10.0, self.height + 10.0)

    def value(self, pixel: float) -> float:
        """Return the value of a pixel."""
        return self.low + pixel / self.width * (self.high - self.low)


class PixelItem(QGraphicsItem):
    """Something drawn in the pixels of a view; it takes no mouse events.

    Args:
        view: In which it is drawn.
        theme: For the colours.
        height: Place in the stack; greater lies above.
    """

    def __init__(self, view: pg.ViewBox, theme: Theme, height: float) -> None:
        super().__init__(view)
        self.theme = theme
        self.frame = Frame()
        self.setZValue(height)
        self.setAcceptedMouseButtons(Qt.MouseButton.NoButton)

    def fit(self, frame: Frame) -> None:
        """Take another view range or size."""
        if (frame.width, frame.height) != (self.frame.width, self.frame.height):
            self.prepareGeometryChange()
        self.frame = frame
        self.update()

    def boundingRect(self) -> QRectF:
        return QRectF(0.0, 0.0, self.frame.width, self.frame.height)


class HistogramItem(PixelItem):
    """Bins as steps; what lies outside the range is hatched in the colour of a loss.

    Args:
        view: In which it is drawn.
        theme: For the colours.
        height: Place in the stack.
        outline: Whether only the outline is drawn, in the colour of int8: over another histogram.
    """

    def __init__(self, view: pg.ViewBox, theme: Theme, height: float, outline: bool = False) -> None:
        super().__init__(view, theme, height)
        self._outline = outline
        self._edges: Float64 = np.array([0.0, 1.0])
        self._heights: Float64 = np.zeros(0)
        self._bounds: tuple[float, float] | None = None
        self._steps: tuple[Float64, Float64] | None = None

    def set_bins(self, edges: Float64, heights: Float64) -> None:
        """Take other bins: their edges, and their heights in the units of the axis."""
        self._edges, self._heights = edges, heights
        self._steps = None
        self.update()

    def set_bounds(self, bounds: tuple[float, float] | None) -> None:
        """Hatch what lies outside these bounds; None hatches nothing."""
        if bounds != self._bounds:
            self._bounds = bounds
            self.update()

    def fit(self, frame: Frame) -> None:
        self._steps = None
        super().fit(frame)

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        if not len(self._heights):
            return
        if self._steps is None:
            self._steps = self.frame.xs(self._edges), self.frame.ys(self._heights)
        edges, tops = self._steps
        colours = self.theme.colours
        if self._outline:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(pen(colours.int8_series, 1.6))
            painter.drawPolyline(_outline(edges, tops, self.frame.height))
            return
        painter.setPen(Qt.PenStyle.NoPen)
        low, high = (self.frame.x(bound) for bound in self._bounds) if self._bounds else (edges[0], edges[-1])
        fill = QBrush(translucent(colours.histogram, 0.62))
        loss = translucent(colours.bad, 0.30)
        hatch = QBrush(QColor(colours.bad), Qt.BrushStyle.BDiagPattern)
        for left, right, brushes in (
            (low, high, (fill,)),
            (edges[0], low, (loss, hatch)),
            (high, edges[-1], (loss, hatch)),
        ):
            part = _between(edges, tops, left, right)
            if part is None:
                continue
            polygon = _outline(*part, self.frame.height)
            for brush in brushes:
                painter.setBrush(brush)
                painter.drawPolygon(polygon)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(pen(colours.histogram))
        painter.drawPolyline(_outline(edges, tops, self.frame.height))


def _between(edges: Float64, tops: Float64, left: float, right: float) -> tuple[Float64, Float64] | None:
    """Return the bins between two pixels, the outer ones cut; None where there are none."""
    left, right = max(left, float(edges[0])), min(right, float(edges[-1]))
    if not left < right:
        return None
    first = max(int(np.searchsorted(edges, left, side="right")) - 1, 0)
    last = min(int(np.searchsorted(edges, right, side="left")), len(tops))
    inner = edges[first : last + 1].copy()
    inner[0], inner[-1] = left, right
    return inner, tops[first:last]


def _outline(edges: Float64, tops: Float64, ground: float) -> QPolygonF:
    x = np.repeat(edges, 2)
    y = np.empty(len(x))
    y[0] = y[-1] = ground
    y[1:-1] = np.repeat(tops, 2)
    # Bins without values, and bins in one column of pixels, add nothing to the picture.
    keep = np.ones(len(x), dtype=bool)
    keep[1:-1] = (y[1:-1] != y[:-2]) | (y[1:-1] != y[2:])
    return pg.functions.arrayToQPolygonF(x[keep], y[keep])  # type: ignore[no-any-return]


class GridItem(PixelItem):
    """A line for each integer level, where there is room to tell them apart."""

    def __init__(self, view: pg.ViewBox, theme: Theme, height: float) -> None:
        super().__init__(view, theme, height)
        self._values: Sequence[float] = ()

    def set_values(self, values: Sequence[float]) -> None:
        """Take the values of other levels."""
        if values or self._values:
            self._values = values
            self.update()

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        if not self._values:
            return
        painter.setPen(pen(self.theme.colours.line))
        bottom = self.frame.height
        painter.drawLines([QLineF(x, 0.0, x, bottom) for x in map(self.frame.x, self._values)])


class RangeItem(PixelItem):
    """The range in use, shaded, with a handle at each end."""

    def __init__(self, view: pg.ViewBox, theme: Theme, height: float) -> None:
        super().__init__(view, theme, height)
        self._used: tuple[float, float] | None = None
        self._handles: tuple[float, float] | None = None
        self._movable = False
        self._held: tuple[bool, bool] = (False, False)
        self._focused = False

    def set_range(self, used: tuple[float, float] | None, handles: tuple[float, float] | None, movable: bool) -> None:
        """Show a range.

        Args:
            used: The bounds that are used, after snapping to the levels; None shows none.
            handles: Where the handles stand, which while dragging is where the mouse is.
            movable: Whether the handles can be dragged.
        """
        self._used, self._handles, self._movable = used, handles, movable
        self.update()

    @property
    def handles(self) -> tuple[float, float] | None:
        """Where the handles stand."""
        return self._handles

    def set_held(self, low: bool, high: bool) -> None:
        """Show which handles the mouse holds, or would take."""
        if (low, high) != self._held:
            self._held = (low, high)
            self.update()

    def set_focused(self, focused: bool) -> None:
        """Show that keys go here."""
        self._focused = focused
        self.update()

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        frame, colours = self.frame, self.theme.colours
        if self._used is not None:
            left, right = frame.x(self._used[0]), frame.x(self._used[1])
            painter.fillRect(QRectF(left, 0.0, right - left, frame.height), translucent(colours.accent, 0.09))
        if self._focused:
            painter.setPen(pen(colours.accent))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(QRectF(0.5, 0.5, frame.width - 1.0, frame.height - 1.0))
        if self._handles is None:
            return
        inverted = self._handles[0] >= self._handles[1]
        colour = colours.bad if inverted else colours.accent
        for value, held in zip(self._handles, self._held, strict=True):
            x = frame.x(value)
            if not 0.0 <= x <= frame.width:
                continue
            painter.setPen(pen(colour, 3.0 if held else 2.0))
            painter.drawLine(QPointF(x, 0.0), QPointF(x, frame.height))
            if self._movable:
                self._draw_grip(painter, x, colour, held)

    def _draw_grip(self, painter: QPainter, x: float, colour: str, held: bool) -> None:
        width, height = _GRIP
        grip = QRectF(x - width / 2, self.frame.height * 0.62 - height / 2, width, height)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(pen(colour, 1.5))
        painter.setBrush(QColor(colour if held or self._focused else self.theme.colours.base))
        painter.drawRoundedRect(grip, 3.0, 3.0)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)


class ObserversItem(PixelItem):
    """For each observer a bar from the lower to the upper bound, in a row of its own with its name, and a line at each.

    Names never lie upon each other, however close the bounds are, because each has its row.
    """

    def __init__(self, view: pg.ViewBox, theme: Theme, height: float) -> None:
        super().__init__(view, theme, height)
        self._choices: Sequence[Choice] = ()
        self._used: ObserverKind | None = None
        self._hidden: frozenset[ObserverKind] = frozenset()
        self._pens: dict[tuple[ObserverKind, bool], tuple[QPen, QPen]] = {}
        self._font = QFont()
        self._font.setPointSizeF(self._font.pointSizeF() * 0.9)
        self._bold = QFont(self._font)
        self._bold.setBold(True)
        self._row = QFontMetricsF(self._font).height() + 2.0

    def set_choices(
        self, choices: Sequence[Choice], used: ObserverKind | None, hidden: frozenset[ObserverKind]
    ) -> None:
        """Show choices; the used one stronger, the hidden ones not."""
        self._choices, self._used, self._hidden = choices, used, hidden
        self.update()

    def recolour(self) -> None:
        """Take the colours of another theme."""
        self._pens.clear()
        self.update()

    @property
    def headroom(self) -> float:
        """Pixels that the rows need above the histogram, with one for a range by hand that may come."""
        by_hand = any(choice.observer.kind is ObserverKind.FIXED for choice in self._shown())
        return (len(self._shown()) + (not by_hand)) * self._row + 6.0 if self._choices else 0.0

    def rows(self) -> list[tuple[ObserverKind, QRectF]]:
        """Return where the name of each shown observer stands."""
        return [(choice.observer.kind, self._label_rect(choice, place)) for place, choice in enumerate(self._shown())]

    def _shown(self) -> list[Choice]:
        return [choice for choice in self._choices if choice.observer.kind not in self._hidden]

    def _middle(self, place: int) -> float:
        return 3.0 + (place + 0.5) * self._row

    def _ends(self, choice: Choice) -> tuple[float, float]:
        return self.frame.x(float(choice.qparams.low[0])), self.frame.x(float(choice.qparams.high[0]))

    def text(self, choice: Choice) -> str:
        """Return the name of an observer with what its range is predicted to reach."""
        best = min(self._choices, key=lambda other: other.cost.error)
        mark = "★ " if choice.is_as_good_as(best) else ""
        return f"{mark}{short_observer_label(choice.observer.kind)}  {formatting.decibel(choice.sqnr_db)}"

    def _label_rect(self, choice: Choice, place: int) -> QRectF:
        font = self._bold if choice.observer.kind is self._used else self._font
        width = QFontMetricsF(font).horizontalAdvance(self.text(choice)) + 8.0
        left, right = (min(max(x, 0.0), self.frame.width) for x in self._ends(choice))
        if right - left >= width + 16.0:
            start = (left + right - width) / 2
        else:
            start = right + 6.0 if right + 6.0 + width <= self.frame.width else left - 6.0 - width
        start = min(max(start, 2.0), max(self.frame.width - width - 2.0, 2.0))
        return QRectF(start, self._middle(place) - self._row / 2, width, self._row)

    def _pens_of(self, kind: ObserverKind) -> tuple[QPen, QPen]:
        key = (kind, kind is self._used)
        if key not in self._pens:
            colour, dashes = self.theme.observer_colour(kind), OBSERVER_DASHES[kind]
            wide = 2.0 if kind is self._used else 1.0
            self._pens[key] = pen(colour, wide + 0.5), pen(colour, wide, dashes)
        return self._pens[key]

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        shown, bottom = self._shown(), self.frame.height
        for place, choice in enumerate(shown):
            bar, line = self._pens_of(choice.observer.kind)
            left, right = self._ends(choice)
            middle = self._middle(place)
            painter.setPen(line)
            painter.drawLines([QLineF(x, middle, x, bottom) for x in (left, right)])
            painter.setPen(bar)
            painter.drawLines(
                [QLineF(left, middle, right, middle)]
                + [QLineF(x, middle - 4.0, x, middle + 4.0) for x in (left, right)]
            )
        ground = translucent(self.theme.colours.base, 0.88)
        for place, choice in enumerate(shown):
            rect = self._label_rect(choice, place)
            painter.fillRect(rect, ground)
            painter.setFont(self._bold if choice.observer.kind is self._used else self._font)
            painter.setPen(QColor(self.theme.observer_colour(choice.observer.kind)))
            painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, self.text(choice))
