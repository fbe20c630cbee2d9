"""The plots of a weight: extremes of each output channel, and the histogram of all elements."""

from __future__ import annotations

import numpy as np
from PySide6.QtWidgets import QWidget

from qgui.ui.plots import LogAxis, Plot, pen, step_curve, translucent
from qgui.ui.theme import OBSERVER_DASHES, Theme
from qgui.ui.weight_file import WeightChoice, WeightRanges


class ChannelPlot(Plot):
    """Least and greatest element of each output channel, with the ranges in use.

    Args:
        theme: Whose colours.
        parent: Qt parent.
    """

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, "channelPlot", "", "", zoom=True, parent=parent)
        self.setAccessibleName(self.tr("Extremes of the weight in each output channel"))
        self.setToolTip(self.tr("Channels much narrower than the others lose most under one scale per tensor."))
        self._ranges: WeightRanges | None = None
        self._used: WeightChoice | None = None
        self._low = step_curve()
        self._high = step_curve(fill_level=0.0)
        self._low_range = step_curve()
        self._high_range = step_curve()
        self._low.setFillLevel(0.0)
        for item in (self._low, self._high, self._low_range, self._high_range):
            self.addItem(item)
        self.label("bottom", self.tr("output channel"))
        self.label("left", self.tr("weight"))

    def show_weight(self, ranges: WeightRanges | None, used: WeightChoice | None) -> None:
        """Show a weight and the choice in use."""
        fresh = ranges is not self._ranges
        self._ranges, self._used = ranges, used
        self.redraw()
        if fresh and ranges is not None:
            self.setXRange(0, len(ranges.minimum), padding=0.02)
            bottom, top = min(0.0, float(ranges.minimum.min())), max(0.0, float(ranges.maximum.max()))
            self.setYRange(bottom, top, padding=0.12)

    def redraw(self) -> None:
        ranges, colours = self._ranges, self.theme.colours
        if ranges is None:
            for item in (self._low, self._high, self._low_range, self._high_range):
                item.clear()
            return
        edges = np.arange(len(ranges.minimum) + 1, dtype=np.float64)
        for item, values in ((self._low, ranges.minimum), (self._high, ranges.maximum)):
            item.setPen(pen(colours.histogram))
            item.setBrush(translucent(colours.histogram, 0.55))
            item.setData(edges, values)
        used = self._used
        for item, bounds in (
            (self._low_range, used.low if used else None),
            (self._high_range, used.high if used else None),
        ):
            if used is None or bounds is None:
                item.clear()
                continue
            item.setPen(pen(self.theme.observer_colour(used.kind), 1.5, OBSERVER_DASHES[used.kind]))
            item.setData(edges, np.broadcast_to(bounds, ranges.minimum.shape).astype(np.float64))


class WeightHistogram(Plot):
    """Histogram of all elements of a weight on a logarithmic axis.

    Args:
        theme: Whose colours.
        parent: Qt parent.
    """

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, "weightHistogram", "", "", zoom=True, parent=parent, axis_items={"left": LogAxis()})
        self.setAccessibleName(self.tr("Histogram of the weight"))
        self.setToolTip(self.tr("All elements of the weight, counted on a logarithmic axis."))
        self._curve = step_curve(fill_level=0.0)
        self.addItem(self._curve)
        self.label("left", self.tr("elements per bin"))
        self.label("bottom", self.tr("weight"))
        self.redraw()

    def show_weight(self, ranges: WeightRanges | None) -> None:
        """Show the histogram of a weight."""
        if ranges is None:
            self._curve.clear()
            return
        floor = float(np.log10(0.5))
        heights = np.log10(np.maximum(ranges.counts, 0.5))
        self._curve.setFillLevel(floor)
        self._curve.setData(ranges.edges, heights)
        self.setXRange(float(ranges.edges[0]), float(ranges.edges[-1]), padding=0.04)
        self.setYRange(floor, float(heights.max()) * 1.05 + 0.1, padding=0)

    def redraw(self) -> None:
        colours = self.theme.colours
        self._curve.setPen(pen(colours.histogram))
        self._curve.setBrush(translucent(colours.histogram, 0.55))
