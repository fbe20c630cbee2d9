"""What int8 really produced: measured in the background after quantizing, drawn, explained, marked and filtered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import ui_samples
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox, QLabel
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from qgui.core import decisions
from qgui.core.measured import MeasuredRatios
from qgui.core.recipe import DataReference, Mode, ModelReference
from qgui.ui.document import Document
from qgui.ui.layer_cells import SORT_ROLE, Column
from qgui.ui.layer_model import LayerModel
from qgui.ui.main_window import MainWindow
from qgui.ui.measured_line import comparable_counts
from qgui.ui.measured_words import explanation
from qgui.ui.theme import Theme


def step(window: MainWindow, name: str) -> object:
    return {"signal": window.workflow.step_finished, "check_params_cb": lambda finished: finished == name}


@pytest.fixture
def measured(qtbot: QtBot, opened: MainWindow) -> MainWindow:
    """The window after quantizing, with the first convolution selected."""
    opened.layer_panel.select(["stem.conv"])
    with qtbot.waitSignal(**step(opened, "measure")):
        opened.workflow.quantize()
    qtbot.waitUntil(lambda: opened.workbench.ranges_panel.findChild(QLabel, "measuredText").isVisible())
    return opened


@pytest.fixture
def quantized(calibrated: Document) -> Document:
    calibrated.set_result(ui_samples.result(calibrated.recipe))
    calibrated.set_measured(ui_samples.measured(calibrated.recipe))
    return calibrated


def test_that_quantizing_measures_quietly_and_shows_the_output_over_the_histogram(measured: MainWindow) -> None:
    panel = measured.workbench.ranges_panel
    text = panel.findChild(QLabel, "measuredText")
    assert "measured 34.0 dB · predicted 41.0 dB · inherited 35.0 dB" in text.text()
    assert "16 evaluation samples" in text.toolTip()
    assert "the error of the layers before" in text.toolTip()
    assert panel.plot.measured is not None
    assert not measured.client.busy


def test_that_the_outline_can_be_hidden_and_goes_with_another_layer(qtbot: QtBot, measured: MainWindow) -> None:
    plot = measured.workbench.ranges_panel.plot
    outline = measured.workbench.ranges_panel.findChild(QCheckBox, "measuredOutline")
    outline.setChecked(False)
    assert plot.measured is None
    outline.setChecked(True)
    assert plot.measured is not None
    measured.layer_panel.select(["up"])
    qtbot.waitUntil(lambda: plot.measured is None)


def test_that_a_decision_makes_the_measurement_stale(qtbot: QtBot, measured: MainWindow) -> None:
    measured.document.decide("Mode", ["head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    assert measured.document.measured_stale
    text = measured.workbench.ranges_panel.findChild(QLabel, "measuredText")
    qtbot.waitUntil(lambda: "before the last decisions" in text.text())
    measured.document.undo_stack.undo()
    assert not measured.document.measured_stale


def test_that_comparing_comes_before_measuring(qtbot: QtBot, opened: MainWindow, tmp_path: Path) -> None:
    with qtbot.waitSignal(**step(opened, "measure")):
        opened.workflow.compare()
    words = (tmp_path / "heard.txt").read_text().split()
    assert [w for w in words if w not in {"WeightRanges", "ShowSamples"}][-3:] == [
        "Quantize",
        "Compare",
        "MeasureActivations",
    ]


def test_that_what_cannot_be_measured_is_logged_once_and_disturbs_nobody(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    with qtbot.waitSignal(**step(window, "data")):
        window.open_model(ModelReference("example:unmeasurable"), DataReference("example:digits"))
    with qtbot.waitSignal(window.client.log_line, check_params_cb=lambda level, text: "it is dark" in text):
        window.workflow.quantize()
    with qtbot.waitSignal(**step(window, "compare")):
        window.workflow.compare()
    assert window.document.measured is None
    assert (tmp_path / "heard.txt").read_text().split().count("MeasureActivations") == 1


def test_that_layers_off_their_prediction_are_marked_sorted_and_filtered(
    qtmodeltester: ModelTester, quantized: Document, theme: Theme
) -> None:
    model = LayerModel(quantized, theme)
    conv, first = (model.index_of(name).siblingAtColumn(Column.SQNR) for name in ("stem.conv", "x"))
    assert conv.data() == "34.0"
    assert not conv.data(Qt.ItemDataRole.DecorationRole).isNull()
    assert "7.0 dB worse than predicted" in conv.data(Qt.ItemDataRole.ToolTipRole)
    assert first.data(Qt.ItemDataRole.DecorationRole) is None
    assert conv.siblingAtColumn(Column.GAP).data() == "−7.0"
    gaps = [model.index_of(n).siblingAtColumn(Column.GAP).data(SORT_ROLE) for n in ("head", "stem.conv", "x", "up")]
    assert gaps == sorted(gaps)
    qtmodeltester.check(model)


def test_that_only_surprising_layers_can_be_shown(measured: MainWindow) -> None:
    panel = measured.layer_panel
    button = panel.filter_row.surprising
    assert button.isVisible()
    button.click()
    assert panel.filter.matching_layers() == ["stem.conv", "head"]
    button.click()
    assert len(panel.filter.matching_layers()) > 5


def test_that_a_measurement_of_another_model_is_not_taken(quantized: Document) -> None:
    before = quantized.measured
    quantized.decide("Mode", ["head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    other = ui_samples.measured(quantized.recipe)
    quantized.set_measured(other)
    assert quantized.measured is before
    quantized.set_result(ui_samples.result(quantized.recipe))
    assert quantized.measured is None


@pytest.mark.parametrize(
    ("measured_db", "predicted", "inherited", "told"),
    [
        (40.0, 40.5, None, "Measured in the whole int8 model: 40.0 dB."),
        (45.0, 40.0, 60.0, "5.0 dB better than predicted"),
        (30.0, 40.0, 30.5, "because the error of the layers before"),
        (30.0, 40.0, 35.0, "Range and inheritance together explain 33.8 dB"),
        (30.0, 40.0, 60.0, "explain 40.0 dB: look at its weight"),
        (30.0, 40.0, None, "explain 40.0 dB"),
        (30.0, None, 31.0, "what the layer read had 31.0 dB"),
    ],
)
def test_that_the_words_tell_what_was_inherited(
    measured_db: float, predicted: float | None, inherited: float | None, told: str
) -> None:
    assert told in explanation(MeasuredRatios("a", "a", 0.1, 0, 256, measured_db, predicted, inherited))


def test_that_the_outline_holds_as_many_values_as_the_histogram(calibrated: Document) -> None:
    entry = ui_samples.measured(calibrated.recipe).layers["stem.conv"]
    seen = ui_samples.statistics(1)
    produced = entry.counts.copy()
    produced[entry.ratios.zero_point] += produced.sum() / 9
    counts = comparable_counts(dataclasses.replace(entry, counts=produced), seen, entry.ratios.scale)
    assert counts.sum() == pytest.approx(seen.elements * (1 - seen.zeros), rel=1e-6)
    assert np.all(counts >= 0)


def test_that_measuring_gives_way_to_any_other_job(
    qtbot: QtBot, opened: MainWindow, heard: Callable[[], list[str]]
) -> None:
    with qtbot.waitSignal(**step(opened, "quantize")):
        opened.workflow.quantize()
    qtbot.waitUntil(lambda: opened.client.current is not None and opened.client.current.gives_way)
    measuring = opened.client.current
    assert measuring is not None
    with qtbot.waitSignal(**step(opened, "compare")):
        opened.workflow.compare()
    assert measuring.cancelled
    assert heard()[-1] == "Compare" or "Cancel" in heard()
