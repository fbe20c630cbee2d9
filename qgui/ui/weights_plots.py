"""The plots of a weight over its output channels: extremes and ranges, and what one scale or many make of each."""

from __future__ import annotations

import enum

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QWidget

from qgui.core.recipe import ObserverKind
from qgui.ui.plots import Float64, Plot, pen, step_curve, text_item, translucent
from qgui.ui.theme import OBSERVER_DASHES, Theme
from qgui.ui.weight_file import WeightRanges

Order = npt.NDArray[np.int64]
#: More names than this would lie upon each other.
_NAMED = 3
#: Share of the width that a name needs.
_ROOM = 0.08


class ChannelOrder(enum.StrEnum):
    """By what the output channels are sorted."""

    CHANNEL = "channel"
    RANGE = "range"
    SQNR = "sqnr"


def order_of(ranges: WeightRanges, wished: ChannelOrder) -> Order:
    """Return the output channels by number, widest first, or first those that one scale per tensor hurts most."""
    if wished is ChannelOrder.RANGE:
        return np.argsort(-ranges.magnitude, kind="stable")
    choice = ranges.choice("per-tensor", ObserverKind.MINMAX)
    if wished is ChannelOrder.SQNR and choice is not None:
        return np.argsort(choice.sqnr_by_row, kind="stable")
    return np.arange(len(ranges.minimum), dtype=np.int64)


class ChannelAxis(pg.AxisItem):
    """An axis whose places are output channels in some order."""

    def __init__(self) -> None:
        super().__init__(orientation="bottom")
        self._order: Order = np.arange(0, dtype=np.int64)

    def set_order(self, order: Order) -> None:
        """Name other channels."""
        self._order = order
        self.picture = None
        self.update()

    def tickValues(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, list[float]]]:
        first, last = max(0, int(minVal)), min(len(self._order) - 1, int(maxVal))
        every = 1
        while (last - first) / every * 34 > max(size, 1.0):
            every *= 2
        return [(float(every), [place + 0.5 for place in range(first - first % every, last + 1, every)])]

    def tickStrings(self, values: list[float], scale: float, spacing: float) -> list[str]:
        places = [int(value) for value in values]
        return [str(self._order[place]) if 0 <= place < len(self._order) else "" for place in places]


class ChannelsPlot(Plot):
    """A plot over output channels, of which one is selected with the mouse or the arrow keys.

    Signals:
        selected: An output channel, or None for all of them.

    Args:
        theme: Whose colours.
        name: Object name.
        parent: Qt parent.
    """

    selected = Signal(object)

    def __init__(self, theme: Theme, name: str, parent: QWidget | None = None) -> None:
        self.places = ChannelAxis()
        super().__init__(theme, name, "", "", zoom=True, parent=parent, axis_items={"bottom": self.places})
        self.getAxis("left").setWidth(58)
        self.ranges: WeightRanges | None = None
        self.order: Order = np.arange(0, dtype=np.int64)
        self.channel: int | None = None
        self._mark = pg.LinearRegionItem(movable=False)
        self._mark.setZValue(20)
        self._mark.setAcceptedMouseButtons(Qt.MouseButton.NoButton)
        self._mark.hide()
        self.addItem(self._mark, ignoreBounds=True)
        self.scene().sigMouseClicked.connect(self._on_clicked)

    def set_order(self, order: Order) -> None:
        """Put the channels in another order."""
        self.order = order
        self.places.set_order(order)
        self.redraw()
        self.select(self.channel)

    def select(self, channel: int | None) -> None:
        """Mark a channel; None marks none."""
        self.channel = channel
        places = np.flatnonzero(self.order == channel) if channel is not None else np.arange(0)
        self._mark.setVisible(bool(len(places)))
        if len(places):
            place = float(places[0])
            self._mark.setRegion((place, place + 1))
            (low, high), _ = self.viewRange()
            if not low <= place <= high - 1:
                half = (high - low) / 2
                self.setXRange(place - half, place + half, padding=0)

    def redraw(self) -> None:
        accent = self.theme.colours.accent
        self._mark.setBrush(translucent(accent, 0.22))
        for line in self._mark.lines:
            line.setPen(pen(accent, 1.5))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}
        key = Qt.Key(event.key())
        if key == Qt.Key.Key_Escape and self.channel is not None:
            self.selected.emit(None)
        elif not len(self.order) or key not in {*steps, Qt.Key.Key_Home, Qt.Key.Key_End}:
            super().keyPressEvent(event)
        else:
            known = self.channel is not None
            place = int(np.flatnonzero(self.order == self.channel)[0]) + steps.get(key, 0) if known else 0
            place = {Qt.Key.Key_Home: 0, Qt.Key.Key_End: len(self.order) - 1}.get(key, place)
            self.selected.emit(int(self.order[min(max(place, 0), len(self.order) - 1)]))

    def _on_clicked(self, event: object) -> None:
        if event.button() != Qt.MouseButton.LeftButton:  # type: ignore[attr-defined]
            return
        where = self.plotItem.vb.mapSceneToView(event.scenePos())  # type: ignore[attr-defined]
        place = int(np.floor(where.x()))
        if 0 <= place < len(self.order):
            channel = int(self.order[place])
            self.selected.emit(None if channel == self.channel else channel)


class ChannelPlot(ChannelsPlot):
    """Least and greatest element of each output channel, with the ranges in use.

    Args:
        theme: Whose colours.
        parent: Qt parent.
    """

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        self._bounds: tuple[Float64, Float64] | None = None
        self._kind = ObserverKind.MINMAX
        self._names: list[pg.TextItem] = []
        super().__init__(theme, "channelPlot", parent)
        self.setAccessibleName(self.tr("Extremes of the weight in each output channel"))
        self.setToolTip(
            self.tr(
                "Channels much narrower than the others lose most under one scale per tensor. Click a channel, or "
                "use Left and Right, to see it alone; Escape shows all."
            )
        )
        self._low = step_curve(fill_level=0.0)
        self._high = step_curve(fill_level=0.0)
        self._low_range = step_curve()
        self._high_range = step_curve()
        self._setters = pg.ScatterPlotItem(symbol="t", size=11, pxMode=True)
        for item in (self._low, self._high, self._low_range, self._high_range, self._setters):
            self.addItem(item)
        self.label("left", self.tr("weight"))

    def show_weight(
        self, ranges: WeightRanges | None, bounds: tuple[Float64, Float64] | None, kind: ObserverKind
    ) -> None:
        """Show a weight.

        Args:
            ranges: The weight; None shows none.
            bounds: Least and greatest value that can be represented in each channel; None where there is no range.
            kind: The observer that chose them.
        """
        fresh = ranges is not self.ranges
        self.ranges, self._bounds, self._kind = ranges, bounds, kind
        self.redraw()
        if fresh and ranges is not None:
            self.setXRange(0, len(ranges.minimum), padding=0.02)
            bottom, top = min(0.0, float(ranges.minimum.min())), max(0.0, float(ranges.maximum.max()))
            self.setYRange(bottom, top, padding=0.2)

    def redraw(self) -> None:
        super().redraw()
        for name in self._names:
            self.removeItem(name)
        self._names = []
        ranges, colours = self.ranges, self.theme.colours
        curves = (self._low, self._high, self._low_range, self._high_range)
        if ranges is None or len(self.order) != len(ranges.minimum):
            for item in (*curves, self._setters):
                item.clear()
            return
        edges = np.arange(len(self.order) + 1, dtype=np.float64)
        for item, values in ((self._low, ranges.minimum), (self._high, ranges.maximum)):
            item.setPen(pen(colours.histogram))
            item.setBrush(translucent(colours.histogram, 0.55))
            item.setData(edges, values[self.order])
        for item, bound in zip((self._low_range, self._high_range), self._bounds or (None, None), strict=True):
            if bound is None:
                item.clear()
                continue
            item.setPen(pen(self.theme.observer_colour(self._kind), 1.5, OBSERVER_DASHES[self._kind]))
            item.setData(edges, bound[self.order])
        self._mark_setters(ranges)

    def _mark_setters(self, ranges: WeightRanges) -> None:
        """Point at the channels that set the range of one scale per tensor, and name the first of them."""
        colour = self.theme.colours.bad
        setters = ranges.setters if len(ranges.minimum) > 1 else []
        places = [float(np.flatnonzero(self.order == channel)[0]) + 0.5 for channel in setters]
        upward = [ranges.maximum[channel] >= -ranges.minimum[channel] for channel in setters]
        values = [ranges.maximum[c] if up else ranges.minimum[c] for c, up in zip(setters, upward, strict=True)]
        self._setters.setBrush(pg.mkBrush(colour))
        self._setters.setPen(pen(colour))
        self._setters.setData(places, values, symbol=["t" if up else "t1" for up in upward])
        taken: list[float] = []
        for channel, place, value, up in list(zip(setters, places, values, upward, strict=True))[:_NAMED]:
            if any(abs(place - other) < _ROOM * len(self.order) for other in taken):
                continue
            taken.append(place)
            left = place < len(self.order) / 2
            name = text_item(f"#{channel}", colour, (-0.25 if left else 1.25, 0.9 if up else 0.1))
            name.setPos(place, value)
            self.addItem(name, ignoreBounds=True)
            self._names.append(name)


class ChannelSqnrPlot(ChannelsPlot):
    """SQNR of each output channel with a scale of its own and with one scale for all, side by side.

    Args:
        theme: Whose colours.
        parent: Qt parent.
    """

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        self._kind = ObserverKind.MINMAX
        super().__init__(theme, "channelSqnrPlot", parent)
        self.setAccessibleName(self.tr("SQNR of each output channel, per channel and per tensor"))
        self.setToolTip(
            self.tr("Filled: one scale per tensor. Line: a scale for each channel. The gap is what that is worth.")
        )
        self._per_tensor = step_curve(fill_level=0.0)
        self._per_channel = step_curve()
        self.addItem(self._per_tensor)
        self.addItem(self._per_channel)
        self.label("left", self.tr("SQNR dB"))
        self.legend = self.addLegend(offset=(-8, -2), colCount=2, labelTextSize="8pt", verSpacing=-4)
        self.legend.addItem(self._per_channel, self.tr("per channel"))
        self.legend.addItem(self._per_tensor, self.tr("per tensor"))

    def show_weight(self, ranges: WeightRanges | None, kind: ObserverKind) -> None:
        """Show a weight under the ranges that an observer chooses; MinMax where it chooses none."""
        self.ranges, self._kind = ranges, kind
        self.redraw()

    def values(self, granularity: str) -> Float64 | None:
        """Return what is drawn for a granularity in the order of the channels, None where there is nothing."""
        if self.ranges is None:
            return None
        choice = self.ranges.choice(granularity, self._kind) or self.ranges.choice(granularity, ObserverKind.MINMAX)
        if choice is None or len(choice.sqnr_by_row) != len(self.order):
            return None
        return np.clip(choice.sqnr_by_row[self.order], 0.0, 80.0)

    def redraw(self) -> None:
        super().redraw()
        colours = self.theme.colours
        for _, label in self.legend.items:
            label.setText(label.text, color=colours.text)
        self._per_tensor.setPen(pen(colours.histogram))
        self._per_tensor.setBrush(translucent(colours.histogram, 0.55))
        self._per_channel.setPen(pen(colours.accent, 2))
        edges = np.arange(len(self.order) + 1, dtype=np.float64)
        top = 10.0
        for item, granularity in ((self._per_tensor, "per-tensor"), (self._per_channel, "per-channel")):
            values = self.values(granularity)
            if values is None:
                item.clear()
                continue
            item.setData(edges, values)
            top = max(top, float(values.max()))
        self.setYRange(0, top * 1.15, padding=0)
