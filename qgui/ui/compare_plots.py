"""The plots of a comparison: every run's latency, accuracy, size, and the layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QWidget

from qgui.core.recipe import Mode, mode_name
from qgui.core.results import Comparison, Latency, LayerResult
from qgui.ui import formatting
from qgui.ui.layer_cells import POOR_SQNR_DB
from qgui.ui.plots import Float64, Plot, pen, text_item, translucent
from qgui.ui.theme import Theme

_BOX = 0.28
#: How many times the time of all but the slowest tenth of the runs the plot reaches.
_REACH = 2.0
#: So few layers are named on the axis; more are counted.
_NAMED_LAYERS = 7
_RUNTIMES = {"eager": "eager", "torchscript": "TorchScript"}


def series_label(latency: Latency) -> str:
    """Return how a measured variant is called."""
    subject = mode_name(Mode.FLOAT) if latency.subject == "float" else "int8"
    return f"{subject} {_RUNTIMES[latency.runtime]}"


class ComparePlots:
    """The plots of the compare panel, made one at a time.

    Args:
        theme: Whose colours.
    """

    latency: LatencyPlot
    accuracy: PairPlot
    size: PairPlot
    layers: LayerPlot
    slow_layers: LayerPlot

    def __init__(self, theme: Theme) -> None:
        self._theme = theme

    def build(self, parent: QWidget) -> Iterator[None]:
        """Make the plots, and pause after each."""
        self.latency = LatencyPlot(self._theme, parent)
        yield
        self.accuracy = PairPlot(self._theme, "accuracyPlot", parent)
        yield
        self.size = PairPlot(self._theme, "sizePlot", parent)
        yield
        self.layers = LayerPlot(self._theme, "layerPlot", parent)
        yield
        self.slow_layers = LayerPlot(self._theme, "slowLayerPlot", parent)
        yield


class LabelledPlot(Plot):
    """A plot with texts beside what they belong to, which keep their room when it becomes narrower.

    Args:
        theme: Whose colours.
        name: Object name.
        parent: Qt parent.
    """

    def __init__(self, theme: Theme, name: str, parent: QWidget | None = None) -> None:
        super().__init__(theme, name, "", "", parent=parent)
        self.plotItem.vb.sigResized.connect(lambda _: self.fit())

    def fit(self) -> None:
        """Choose the range anew for the present size."""

    def range_beside(self, value: float, texts: Sequence[str]) -> float:
        """Return the end of the axis that leaves room for texts at the right of a value."""
        width = float(self.plotItem.vb.width())
        metrics = self.fontMetrics()
        room = max((metrics.horizontalAdvance(text) for text in texts), default=0) + metrics.height()
        return float(value * width / max(width - room, width / 3, 1.0))


class LatencyPlot(LabelledPlot):
    """A box for each measured variant: quartiles, median, and every run as a dot.

    Args:
        theme: Whose colours.
        parent: Qt parent.
    """

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        self._latencies: tuple[Latency, ...] = ()
        self._medians: list[pg.TextItem] = []
        self._widest = 0.0
        super().__init__(theme, "latencyPlot", parent)
        self.setAccessibleName(self.tr("Latency of each variant"))
        self.setToolTip(
            self.tr(
                "Each dot is one run; the box holds the middle half of them, the line is the median. A triangle at the "
                "edge is a run that took longer than the plot reaches."
            )
        )
        self.label("bottom", self.tr("latency in ms"))
        self.getAxis("left").setWidth(self.fontMetrics().horizontalAdvance(f"{mode_name(Mode.FLOAT)} TorchScript  "))

    def show_latencies(self, latencies: Sequence[Latency]) -> None:
        """Show measured variants, the first at the top."""
        self._latencies = tuple(latencies)
        self.redraw()

    def redraw(self) -> None:
        self.clear()
        rows = list(reversed(self._latencies))
        self.getAxis("left").setTicks([[(place, series_label(entry)) for place, entry in enumerate(rows)]])
        runs = [np.array(entry.samples_ms or (entry.min_ms, entry.median_ms, entry.p95_ms)) for entry in rows]
        self._widest = max((float(min(times.max(), _REACH * np.percentile(times, 90))) for times in runs), default=0.0)
        for place, (entry, times) in enumerate(zip(rows, runs, strict=True)):
            colours = self.theme.colours
            colour = colours.float_series if entry.subject == "float" else colours.int8_series
            self._draw_box(times, place, colour)
        self._medians = [
            text_item(formatting.milliseconds(entry.median_ms), self.theme.colours.text, (1.0, 0.5)) for entry in rows
        ]
        for median in self._medians:
            self.addItem(median, ignoreBounds=True)
        self.fit()

    def fit(self) -> None:
        """Leave room for the medians at the right edge."""
        if not self._latencies:
            return
        end = self.range_beside(self._widest * 1.02, [item.toPlainText() for item in self._medians])
        for place, median in enumerate(self._medians):
            median.setPos(end, place)
        self.setXRange(0, end, padding=0)
        self.setYRange(-0.6, len(self._latencies) - 0.4, padding=0)

    def _draw_box(self, times: Float64, place: int, colour: str) -> None:
        first, median, third = (float(value) for value in np.percentile(times, (25, 50, 75)))
        box = pg.BarGraphItem(
            x0=[first], x1=[max(third, first * 1.001)], y=[place], height=2 * _BOX,
            brush=translucent(colour, 0.35), pen=pen(colour),
        )  # fmt: skip
        spread = np.linspace(-0.18, 0.18, len(times)) if len(times) > 1 else np.zeros(1)
        beyond = times > self._widest
        dots = pg.ScatterPlotItem(
            x=np.minimum(times, self._widest), y=place + spread, pen=None, brush=translucent(colour, 0.8),
            size=np.where(beyond, 7, 3), symbol=np.where(beyond, "t2", "o").tolist(), hoverable=False,
        )  # fmt: skip
        line = pg.PlotCurveItem([median, median], [place - _BOX, place + _BOX], pen=pen(colour, 2.5))
        for item in (box, dots, line):
            self.addItem(item)


class PairPlot(LabelledPlot):
    """Two bars, float above quantized, with their values.

    Args:
        theme: Whose colours.
        name: Object name.
        parent: Qt parent.
    """

    def __init__(self, theme: Theme, name: str, parent: QWidget | None = None) -> None:
        self._values: tuple[float, float] | None = None
        self._texts = ("", "")
        self._limit = 0.0
        super().__init__(theme, name, parent)
        self.getAxis("left").setTicks([[(1, self.tr("float")), (0, "int8")]])
        self.getAxis("left").setWidth(self.fontMetrics().horizontalAdvance(self.tr("float") + "  "))

    def show_pair(self, values: tuple[float, float] | None, texts: tuple[str, str], limit: float = 0.0) -> None:
        """Show the values of float and quantized.

        Args:
            values: Lengths of the bars; None for nothing.
            texts: The values as read.
            limit: Where the axis ends at least.
        """
        self._values, self._texts, self._limit = values, texts, limit
        self.redraw()

    def redraw(self) -> None:
        self.clear()
        if self._values is None:
            return
        colours = self.theme.colours
        series = zip((1, 0), self._values, self._texts, (colours.float_series, colours.int8_series), strict=True)
        for place, value, text, colour in series:
            bar = pg.BarGraphItem(
                x0=[0.0], x1=[value], y=[place], height=0.55, brush=translucent(colour, 0.75), pen=pen(colour)
            )
            self.addItem(bar)
            label = text_item(text, colours.text, (0.0, 0.5))
            label.setPos(value, place)
            self.addItem(label, ignoreBounds=True)
        self.fit()

    def fit(self) -> None:
        """Leave room for the values beside their bars."""
        if self._values is None:
            return
        end = self.range_beside(max(*self._values, 1e-9), self._texts)
        self.setXRange(0, max(end, self._limit), padding=0)
        self.setYRange(-0.5, 1.5, padding=0)


class LayerPlot(Plot):
    """One value of every layer as bars, in order of execution; clicking one selects its layer.

    Signals:
        layer_clicked: The path of a layer.

    Args:
        theme: Whose colours.
        name: Object name.
        parent: Qt parent.
    """

    layer_clicked = Signal(str)

    def __init__(self, theme: Theme, name: str, parent: QWidget | None = None) -> None:
        super().__init__(theme, name, "", "", zoom=True, parent=parent)
        self.setAccessibleName(self.tr("Values of the layers in order of execution"))
        self.setToolTip(self.tr("Click a bar to select its layer; the wheel zooms."))
        self._layers: tuple[LayerResult, ...] = ()
        self._sqnr = True
        self.label("bottom", self.tr("layer in order of execution"))
        self.scene().sigMouseClicked.connect(self._on_clicked)

    def show_layers(self, comparison: Comparison | None, sqnr: bool) -> None:
        """Show SQNR, or float and int8 latency, of the layers that have it."""
        layers = comparison.layers if comparison is not None else ()
        self._sqnr = sqnr
        self._layers = tuple(
            layer for layer in layers if (layer.sqnr_db if sqnr else layer.quantized_ms or layer.float_ms) is not None
        )
        self.redraw()

    def redraw(self) -> None:
        self.clear()
        self.label("left", self.tr("SQNR in dB") if self._sqnr else self.tr("ms"))
        if not self._layers:
            return
        places = np.arange(len(self._layers), dtype=np.float64)
        if self._sqnr:
            self._draw_sqnr(places)
        else:
            self._draw_latency(places)
        few = len(self._layers) <= _NAMED_LAYERS
        names = [(place, formatting.short_path(layer.name)) for place, layer in enumerate(self._layers)]
        self.getAxis("bottom").setTicks([names] if few else None)
        self.setXRange(-0.6, len(self._layers) - 0.4, padding=0)

    def _draw_sqnr(self, places: Float64) -> None:
        colours = self.theme.colours
        # What loses nothing is drawn as high as the best of the others.
        measured = [layer.sqnr_db or 0.0 for layer in self._layers]
        top = max([value for value in measured if value < 200], default=60.0)
        heights = np.minimum(np.array(measured), top)
        poor = heights < POOR_SQNR_DB
        for mask, colour in ((~poor, colours.int8_series), (poor, colours.bad)):
            if mask.any():
                self.addItem(
                    pg.BarGraphItem(
                        x=places[mask], height=heights[mask], width=0.8, brush=translucent(colour, 0.7), pen=None
                    )
                )
        line = pg.InfiniteLine(
            POOR_SQNR_DB,
            angle=0,
            pen=pen(colours.faint, 1, [4, 3]),
            label=self.tr("poor below {limit:.0f} dB").format(limit=POOR_SQNR_DB),
            labelOpts={
                "position": 0.99,
                "anchors": [(1, 1), (1, 1)],
                "color": colours.text,
                "fill": translucent(colours.base, 0.8),
            },
        )
        self.addItem(line, ignoreBounds=True)
        self.setYRange(min(0.0, float(heights.min())), max(top, POOR_SQNR_DB) * 1.05, padding=0)

    def _draw_latency(self, places: Float64) -> None:
        colours = self.theme.colours
        before = np.array([layer.float_ms or 0.0 for layer in self._layers])
        after = np.array([layer.quantized_ms or 0.0 for layer in self._layers])
        for offset, heights, colour in ((-0.2, before, colours.float_series), (0.2, after, colours.int8_series)):
            self.addItem(
                pg.BarGraphItem(x=places + offset, height=heights, width=0.38, brush=translucent(colour, 0.8), pen=None)
            )
        top = float(max(before.max(), after.max(), 1e-6))
        self.setYRange(0, top * 1.15, padding=0)
        for text, colour, anchor in (
            (self.tr("■ float"), colours.float_series, 0.0),
            ("■ int8", colours.int8_series, -1.1),
        ):
            legend = text_item(text, colour, (anchor, 0.0))
            legend.setPos(-0.5, top * 1.14)
            self.addItem(legend, ignoreBounds=True)

    def _on_clicked(self, event: object) -> None:
        position = self.plotItem.vb.mapSceneToView(event.scenePos())  # type: ignore[attr-defined]
        place = round(position.x())
        if event.button() == Qt.MouseButton.LeftButton and 0 <= place < len(self._layers):  # type: ignore[attr-defined]
            self.layer_clicked.emit(self._layers[place].name)
