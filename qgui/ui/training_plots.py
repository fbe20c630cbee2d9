"""The plots of a training: loss, score against two lines, gradient norm, and a range moving over its histogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from qgui.core.training_run import Curve
from qgui.ui.plots import Float64, Plot, pen, step_curve, text_item, translucent
from qgui.ui.theme import Theme
from qgui.ui.training_watch import RangeTrack

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """A level to hold a curve against.

    Attributes:
        value: Where it lies.
        label: What it is.
        quantized: Whether it has the colour of int8, else that of float.
    """

    value: float
    label: str
    quantized: bool


class CurvePlot(Plot):
    """A curve over the steps: its mean, the band between least and greatest value, and points of the epochs.

    Args:
        theme: Whose colours.
        name: Object name.
        accessible_name: What is plotted.
        tool_tip: One sentence on what is seen.
        axis: The name of the vertical axis, with its unit.
        parent: Qt parent.
    """

    def __init__(
        self, theme: Theme, name: str, accessible_name: str, tool_tip: str, axis: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(theme, name, accessible_name, tool_tip, parent=parent)
        self._axis = axis
        self._lines: tuple[Line, ...] = ()
        self._line_items: list[Any] = []
        self._low, self._high = pg.PlotCurveItem(), pg.PlotCurveItem()
        self._band = pg.FillBetweenItem(self._low, self._high)
        self._curve = pg.PlotCurveItem()
        self._points = pg.PlotDataItem(symbol="o", symbolSize=6)
        self._message = text_item("", theme.colours.faint, (0.5, 0.5))
        for item in (self._band, self._curve, self._points):
            self.addItem(item)
        self.addItem(self._message, ignoreBounds=True)
        self.redraw()

    def show_curve(
        self, curve: Curve, points: Points, lines: Sequence[Line] = (), end: float = 0.0, most: float | None = None
    ) -> None:
        """Show a curve with the points of the epochs and levels to hold it against.

        Args:
            curve: Over the steps.
            points: Step and value of each epoch.
            lines: Levels.
            end: Last step of the whole training, 0 where it is not known.
            most: Greatest value there can be, None where there is none.
        """
        steps = np.array(curve.steps)
        lows, highs = np.array(curve.lows), np.array(curve.highs)
        self._low.setData(steps, lows)
        self._high.setData(steps, highs)
        self._curve.setData(steps, np.array(curve.means))
        self._points.setData([p[0] for p in points], [p[1] for p in points])
        if tuple(lines) != self._lines:
            self._lines = tuple(lines)
            self._draw_lines()
        values = [*curve.means, *(p[1] for p in points), *(line.value for line in lines)]
        self._message.setText("" if values else self.tr("No training yet."))
        self.getAxis("left").setTicks(None if values else [[]])
        self.getAxis("bottom").setTicks(None if values else [[]])
        last = max([end, *(p[0] for p in points), *curve.steps[-1:]], default=0.0)
        self.setXRange(0, max(last, 1.0), padding=0.02)
        if values:
            low, high = min(values), max(values)
            room = max((high - low) * 0.12, abs(high) * 0.02, 1e-9)
            top = high + room if most is None else min(high + room, most + room / 8)
            self.setYRange(low - room, top, padding=0)
        else:
            self.setYRange(0, 1, padding=0)
            self._message.setPos(max(last, 1.0) / 2, 0.5)

    def name_values(self, name: str) -> None:
        """Name the values, with their unit."""
        self._axis = name
        self.label("left", name)

    def redraw(self) -> None:
        colours = self.theme.colours
        self.label("left", self._axis)
        self.label("bottom", self.tr("step"))
        self._curve.setPen(pen(colours.int8_series, 1.5))
        self._band.setBrush(translucent(colours.int8_series, 0.2))
        self._points.setPen(pen(colours.text, 1.2, [4, 2]))
        self._points.setSymbolBrush(translucent(colours.text, 1.0))
        self._points.setSymbolPen(None)
        self._message.setColor(colours.faint)
        self._draw_lines()

    def _draw_lines(self) -> None:
        for item in self._line_items:
            self.removeItem(item)
        self._line_items = []
        colours = self.theme.colours
        for place, line in enumerate(self._lines):
            colour = colours.bad if line.quantized else colours.float_series
            # A label above its line and one below it, so that neither is struck through where both lines are one.
            beside = [(0.5, float(not place)), (0.5, float(not place))]
            label = {
                "position": 0.22 + 0.45 * place,
                "color": colour,
                "fill": translucent(colours.base, 0.85),
                "anchors": beside,
            }
            item = pg.InfiniteLine(
                line.value, angle=0, pen=pen(colour, 1.4, [2, 3] if line.quantized else [7, 3]), label=line.label,
                labelOpts=label,
            )  # fmt: skip
            item.setAcceptedMouseButtons(Qt.MouseButton.NoButton)
            self.addItem(item, ignoreBounds=True)
            self._line_items.append(item)


class RangeTrackPlot(Plot):
    """The histogram of an activation from calibration, and how the ends of its range move over it with the steps.

    Args:
        theme: Whose colours.
        parent: Qt parent.
    """

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, "rangeTrackPlot", "", "", parent=parent)
        self.setAccessibleName(self.tr("Range of the selected layer over the histogram of its output"))
        self.setToolTip(
            self.tr("The curves show both ends of the range from the first step (below) to the last (above).")
        )
        self._counts: Float64 = np.zeros(0)
        self._edges: Float64 = np.zeros(0)
        self._histogram = step_curve(0.0)
        self._ends = [pg.PlotCurveItem(), pg.PlotCurveItem()]
        self._marks = [pg.InfiniteLine(0, angle=90), pg.InfiniteLine(0, angle=90)]
        self._message = text_item("", theme.colours.faint, (0.5, 0.5))
        for item in (self._histogram, *self._ends):
            self.addItem(item)
        for mark in self._marks:
            mark.setAcceptedMouseButtons(Qt.MouseButton.NoButton)
            self.addItem(mark, ignoreBounds=True)
        self.addItem(self._message, ignoreBounds=True)
        self.redraw()
        self.show_nothing("")

    def show_histogram(self, counts: Float64, edges: Float64) -> None:
        """Show how the values are spread, as logarithms of the counts."""
        self._counts, self._edges = np.log10(1.0 + counts), edges
        self._histogram.setData(edges, self._counts)
        self._histogram.setVisible(True)
        self._message.setText("")

    def show_track(self, track: RangeTrack | None) -> None:
        """Show how a range moved; None where it has not moved yet."""
        found = track is not None and len(track.low) > 0
        for item in (*self._ends, *self._marks):
            item.setVisible(found)
        top = float(self._counts.max(initial=1.0))
        low, high = (float(self._edges[0]), float(self._edges[-1])) if len(self._edges) else (0.0, 1.0)
        if found and track is not None:
            share = np.array(track.low.steps) / max(track.low.steps[-1], 1.0) * top
            for item, mark, curve in zip(self._ends, self._marks, (track.low, track.high), strict=True):
                item.setData(np.array(curve.means), share)
                mark.setValue(curve.means[-1])
            low, high = min(low, *track.low.means), max(high, *track.high.means)
        room = (high - low) * 0.05 or 1.0
        self.setXRange(low - room, high + room, padding=0)
        self.setYRange(0, top * 1.08, padding=0)

    def show_nothing(self, why: str) -> None:
        """Say why there is nothing to see."""
        self._counts, self._edges = np.zeros(0), np.zeros(0)
        for item in (self._histogram, *self._ends, *self._marks):
            item.setVisible(False)
        self._message.setText(why)
        self.setXRange(0, 1, padding=0)
        self.setYRange(0, 1, padding=0)
        self._message.setPos(0.5, 0.5)

    def redraw(self) -> None:
        colours = self.theme.colours
        self.label("bottom", self.tr("value"))
        self.label("left", self.tr("count (log)"))
        self.getAxis("left").setTicks([[]])
        self._histogram.setPen(pen(colours.histogram))
        self._histogram.setBrush(translucent(colours.histogram, 0.45))
        for item, mark in zip(self._ends, self._marks, strict=True):
            item.setPen(pen(colours.bad, 1.6))
            mark.setPen(pen(colours.int8_series, 1.8))
        self._message.setColor(colours.faint)
