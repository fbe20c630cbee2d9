"""The plots of a comparison keep room for what stands beside the bars, whatever their size."""

import numpy as np
import pyqtgraph as pg
import pytest
import ui_samples
from pytestqt.qtbot import QtBot

from qgui.core.recipe import Recipe
from qgui.core.results import Latency
from qgui.ui.compare_plots import LabelledPlot, LatencyPlot, PairPlot
from qgui.ui.theme import Theme


def shown(qtbot: QtBot, plot: LabelledPlot, width: int) -> None:
    qtbot.addWidget(plot)
    plot.resize(width, 160)
    with qtbot.waitExposed(plot):
        plot.show()


def right_edges(plot: LabelledPlot) -> list[float]:
    """Return where the texts of a plot end, in pixels of the scene."""
    texts = [item for item in plot.plotItem.items if isinstance(item, pg.TextItem)]
    return [item.mapRectToScene(item.boundingRect()).right() for item in texts]


@pytest.mark.parametrize("width", [230, 600])
def test_that_values_beside_bars_are_never_cut_off(qtbot: QtBot, theme: Theme, width: int) -> None:
    plot = PairPlot(theme, "pair")
    shown(qtbot, plot, 900)
    plot.show_pair((99.26, 98.5), ("99.26 %", "98.50 %"), limit=100)
    plot.resize(width, 160)
    view = plot.plotItem.vb
    qtbot.waitUntil(lambda: max(right_edges(plot)) <= view.mapRectToScene(view.boundingRect()).right())
    assert len(right_edges(plot)) == 2


def test_that_medians_stand_inside_the_plot_and_beyond_the_runs(qtbot: QtBot, theme: Theme) -> None:
    plot = LatencyPlot(theme)
    shown(qtbot, plot, 420)
    plot.show_latencies(ui_samples.comparison(Recipe()).latencies)
    view = plot.plotItem.vb
    qtbot.waitUntil(lambda: max(right_edges(plot)) <= view.mapRectToScene(view.boundingRect()).right() + 1)
    texts = [item for item in plot.plotItem.items if isinstance(item, pg.TextItem)]
    slowest = view.mapViewToScene(pg.Point(4.0 * 1.19, 0)).x()
    assert min(item.mapRectToScene(item.boundingRect()).left() for item in texts) >= slowest


def test_that_a_run_which_took_far_longer_does_not_squeeze_the_others(qtbot: QtBot, theme: Theme) -> None:
    plot = LatencyPlot(theme)
    shown(qtbot, plot, 420)
    samples = (*np.linspace(1.0, 1.1, 29).tolist(), 50.0)
    plot.show_latencies([Latency("float", "eager", 1.05, 1.1, 1.0, 30, samples)])
    assert plot.plotItem.vb.viewRange()[0][1] < 5.0
    (dots,) = (item for item in plot.plotItem.items if isinstance(item, pg.ScatterPlotItem))
    assert [symbol for symbol in dots.data["symbol"] if symbol != "o"] == ["t2"]
    assert len(dots.data) == 30
