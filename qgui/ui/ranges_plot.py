"""The histogram of an activation with every observer's range, the chosen range as a region that can be dragged."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QWidget

from qgui.core.plan import Choice
from qgui.core.qparams import QParams
from qgui.core.recipe import ObserverKind
from qgui.ui.choices import short_observer_label
from qgui.ui.plots import Float64, LogAxis, Plot, pen, step_curve, translucent
from qgui.ui.theme import OBSERVER_DASHES, Theme

#: More levels than this in view would be a solid surface.
_GRID_LEVELS = 130
#: Room that a level's number needs on the axis, in pixels.
_LEVEL_SPACING = 44


class LevelAxis(pg.AxisItem):
    """An axis that counts the integer levels of the chosen scale and zero point."""

    def __init__(self) -> None:
        super().__init__(orientation="top")
        self._qparams: QParams | None = None

    def set_qparams(self, qparams: QParams | None) -> None:
        """Count the levels of other qparams."""
        self._qparams = qparams
        self.picture = None
        self.update()

    def levels(self, low: float, high: float) -> range:
        """Return the levels that lie between two values."""
        if self._qparams is None:
            return range(0)
        scale, zero, grid = self._step(), self._zero(), self._qparams.grid
        first = max(grid.quant_min, math.ceil(low / scale) + zero)
        last = min(grid.quant_max, math.floor(high / scale) + zero)
        return range(first, last + 1)

    def value(self, level: int) -> float:
        """Return the value of a level."""
        return (level - self._zero()) * self._step()

    def _step(self) -> float:
        return float(self._qparams.scale[0]) if self._qparams else 1.0

    def _zero(self) -> int:
        return int(self._qparams.zero_point[0]) if self._qparams else 0

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, list[float]]]:
        levels = self.levels(min(minVal, maxVal), max(minVal, maxVal))
        if not levels or maxVal == minVal:
            return []
        width = self._step() * size / abs(maxVal - minVal)
        every = 1
        while every * width < _LEVEL_SPACING and every < 256:
            every *= 2
        shown = [level for level in levels if level % every == 0]
        if self._qparams is not None and every > 1 and self._qparams.grid.quant_max in levels:
            last = self._qparams.grid.quant_max
            shown = [level for level in shown if (last - level) * width >= _LEVEL_SPACING] + [last]
        return [(every * self._step(), [self.value(level) for level in shown])]

    def tickStrings(self, values: Sequence[float], scale: float, spacing: float) -> list[str]:
        return [str(round(value / self._step()) + self._zero()) for value in values]


class RangesPlot(Plot):
    """Draws one activation.

    Signals:
        dragged: Low and high while the region is dragged.
        released: Low and high when the drag ends.

    Args:
        theme: Whose colours.
        parent: Qt parent.
    """

    dragged = Signal(float, float)
    released = Signal(float, float)

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
            self.tr("Drag the shaded range or its edges; the wheel zooms, and close up the integer levels appear.")
        )
        self.showAxis("top")
        self._logarithmic = True
        self._counts: Float64 = np.zeros(1)
        self._edges: Float64 = np.array([0.0, 1.0])
        self._choices: list[Choice] = []
        self._hidden: set[ObserverKind] = set()
        self._used: ObserverKind | None = None
        self._lines: dict[ObserverKind, list[pg.InfiniteLine]] = {}
        self._grid = pg.PlotCurveItem(connect="pairs", skipFiniteCheck=True)
        self._curve = step_curve(fill_level=0.0)
        self._region = pg.LinearRegionItem(swapMode="block")
        self._region.setZValue(5)
        for item in (self._grid, self._curve, self._region):
            self.addItem(item)
        self._region.sigRegionChanged.connect(self._on_dragged)
        self._region.sigRegionChangeFinished.connect(self._on_released)
        self.plotItem.vb.sigXRangeChanged.connect(self._draw_grid)
        self.label("left", self.tr("values per bin"))
        self.label("bottom", self.tr("value of the activation"))
        self.label("top", self.tr("integer level"))
        self._style()

    # Content

    def show_histogram(self, counts: Float64, edges: Float64) -> None:
        """Show a histogram and all of it."""
        self._counts, self._edges = counts, edges
        self._draw_histogram()
        self.reset_view()

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
        self._choices = list(choices)
        self._used = used
        self._draw_lines()

    def set_visible(self, kind: ObserverKind, visible: bool) -> None:
        """Show or hide the lines of an observer."""
        (self._hidden.discard if visible else self._hidden.add)(kind)
        for line in self._lines.get(kind, []):
            line.setVisible(visible)

    def is_visible(self, kind: ObserverKind) -> bool:
        """Whether the lines of an observer are shown."""
        return kind not in self._hidden

    def show_region(self, qparams: QParams | None, movable: bool) -> None:
        """Show the range in use; without one there is no region."""
        self._region.setVisible(qparams is not None)
        self.show_levels(qparams)
        if qparams is None:
            return
        self._region.setMovable(movable)
        self._region.blockSignals(True)
        self._region.setRegion((float(qparams.low[0]), float(qparams.high[0])))
        self._region.blockSignals(False)

    def show_levels(self, qparams: QParams | None) -> None:
        """Count the levels of these qparams on the upper axis."""
        self.levels.set_qparams(qparams)
        self._draw_grid()

    def region(self) -> tuple[float, float]:
        """Return the bounds of the region."""
        low, high = self._region.getRegion()
        return float(low), float(high)

    def drag_to(self, low: float, high: float) -> None:
        """Move the region as a drag would, for the keyboard and for tests."""
        self._region.setRegion((low, high))
        self._region.sigRegionChangeFinished.emit(self._region)

    def reset_view(self) -> None:
        """Show the whole histogram and every range."""
        bounds = [self._edges[0], self._edges[-1]]
        for choice in self._choices:
            bounds += [float(choice.qparams.low[0]), float(choice.qparams.high[0])]
        self.setXRange(min(bounds), max(bounds), padding=0.04)

    # Drawing

    def redraw(self) -> None:
        self._style()
        self._draw_lines()

    def _style(self) -> None:
        colours = self.theme.colours
        self._curve.setPen(pen(colours.histogram))
        self._curve.setBrush(translucent(colours.histogram, 0.55))
        self._grid.setPen(pen(colours.line))
        self._region.setBrush(translucent(colours.accent, 0.10))
        self._region.setHoverBrush(translucent(colours.accent, 0.17))
        for line in self._region.lines:
            line.setPen(pen(colours.accent, 2))
            line.setHoverPen(pen(colours.accent, 4))

    def _draw_histogram(self) -> None:
        counts = np.asarray(self._counts, dtype=np.float64)
        self._counting.logarithmic = self._logarithmic
        self._counting.picture = None
        if self._logarithmic:
            floor = max(float(counts.max(initial=1.0)) * 1e-7, 0.5)
            heights = np.log10(np.maximum(counts, floor))
            base = float(np.log10(floor))
        else:
            heights, base = counts, 0.0
        self._curve.setFillLevel(base)
        self._curve.setData(self._edges, heights)
        top = float(heights.max(initial=base + 1.0))
        self.setYRange(base, base + (top - base) * 1.12, padding=0)
        self._draw_grid()

    def _draw_lines(self) -> None:
        for lines in self._lines.values():
            for line in lines:
                self.removeItem(line)
        self._lines = {}
        for place, choice in enumerate(self._choices):
            kind = choice.observer.kind
            colour = self.theme.observer_colour(kind)
            width = 2.0 if kind is self._used else 1.2
            stroke = pen(colour, width, OBSERVER_DASHES[kind])
            low, high = float(choice.qparams.low[0]), float(choice.qparams.high[0])
            label = {
                "position": 0.95 - 0.075 * place,
                "color": colour,
                "movable": False,
                "anchors": [(1, 0.5), (1, 0.5)],
                "fill": translucent(self.theme.colours.base, 0.8),
            }
            lines = [
                pg.InfiniteLine(low, pen=stroke),
                pg.InfiniteLine(high, pen=stroke, label=short_observer_label(kind), labelOpts=label),
            ]
            for line in lines:
                line.setZValue(10)
                line.setAcceptedMouseButtons(Qt.MouseButton.NoButton)
                line.setVisible(kind not in self._hidden)
                self.addItem(line, ignoreBounds=True)
            self._lines[kind] = lines

    def _draw_grid(self) -> None:
        (low, high), (bottom, top) = self.viewRange()
        levels = self.levels.levels(low, high)
        if not 0 < len(levels) <= _GRID_LEVELS:
            self._grid.clear()
            return
        x = np.repeat([self.levels.value(level) for level in levels], 2)
        self._grid.setData(x, np.tile([bottom, top], len(levels)))

    def _on_dragged(self) -> None:
        self.dragged.emit(*self.region())

    def _on_released(self) -> None:
        self.released.emit(*self.region())
