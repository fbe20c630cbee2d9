"""The window with the real engine, on the bundled example."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from qgui.core import decisions
from qgui.core.recipe import DataReference, Mode, ModelReference
from qgui.ui.main_window import MainWindow
from qgui.ui.settings import RUNS, Settings
from qgui.ui.theme import Theme
from qgui.ui.tour import main as tour
from qgui.ui.worker_client import WorkerClient

PATIENCE = 90_000


@pytest.fixture
def window(qtbot: QtBot, settings: Settings, theme: Theme, tmp_path: Path) -> Iterator[MainWindow]:
    """The window with the real worker and the example open."""
    settings.set(RUNS, 3)
    window = MainWindow(settings, theme, WorkerClient(), state_folder=tmp_path / "state")
    window.show()
    window.build_panels()
    with qtbot.waitSignal(window.workflow.step_finished, timeout=PATIENCE, check_params_cb=lambda step: step == "data"):
        window.client.start()
        window.open_model(ModelReference("example:digits-cnn"), DataReference("example:digits", calibrate=32))
    yield window
    window.close_without_asking()
    window.deleteLater()


def finish(qtbot: QtBot, window: MainWindow, step: str) -> object:
    return qtbot.waitSignal(
        window.workflow.step_finished, timeout=PATIENCE, check_params_cb=lambda finished: finished == step
    )


def test_that_what_is_seen_is_what_is_quantized(qtbot: QtBot, window: MainWindow) -> None:
    with finish(qtbot, window, "quantize"):
        window.workflow.quantize()
    document = window.document
    assert document.result is not None
    assert document.ranges is not None
    assert not document.result_stale
    seen = {tensor.tensor: document.ranges.chosen(tensor.tensor, document.recipe) for tensor in document.result.tensors}
    assert len(seen) > 10
    for tensor in document.result.tensors:
        assert (float(seen[tensor.tensor].scale[0]), int(seen[tensor.tensor].zero_point[0])) == (
            tensor.scale,
            tensor.zero_point,
        )


def test_that_a_decision_needs_no_second_calibration_and_the_comparison_is_fresh(
    qtbot: QtBot, window: MainWindow
) -> None:
    with finish(qtbot, window, "calibrate"):
        window.workflow.calibrate()
    record = window.document.ranges
    window.document.decide("Mode", ["classifier"], decisions.mode_edit(Mode.DYNAMIC, window.document.recipe.backend))
    with finish(qtbot, window, "compare"):
        window.compare()
    document = window.document
    assert document.ranges is record
    assert document.comparison is not None
    assert not document.comparison_stale
    assert document.comparison.quantized_accuracy is not None
    assert (document.comparison.quantized_accuracy.top1 or 0) > 0.95
    by_name = {layer.name: layer for layer in document.comparison.layers}
    assert by_name["classifier"].mode is Mode.DYNAMIC


def test_that_a_killed_engine_costs_the_job_and_nothing_else(qtbot: QtBot, window: MainWindow) -> None:
    with finish(qtbot, window, "calibrate"):
        window.workflow.calibrate()
    recipe = window.document.recipe
    process = window.client._process
    assert process is not None
    with qtbot.waitSignals([window.workflow.failed, window.client.ready], timeout=PATIENCE):
        window.workflow.compare()
        os.kill(process.processId(), signal.SIGKILL)
    assert window.document.recipe == recipe
    with finish(qtbot, window, "quantize"):
        window.workflow.quantize()
    assert not window.document.result_stale


def test_that_cancel_takes_effect_within_three_seconds(qtbot: QtBot, window: MainWindow) -> None:
    with finish(qtbot, window, "data"):
        window.workflow.open_data(DataReference("example:digits", calibrate=1500, batch_size=1))
    with qtbot.waitSignal(window.client.progressed, timeout=PATIENCE):
        window.workflow.calibrate()
    began = time.monotonic()
    with qtbot.waitSignal(window.client.finished, timeout=PATIENCE):
        window.client.cancel()
    assert time.monotonic() - began < 3.5
    assert window.document.ranges is None


def test_that_a_mode_chosen_in_the_table_trains_and_converts_and_training_can_be_cancelled(
    qtbot: QtBot, window: MainWindow
) -> None:
    with finish(qtbot, window, "calibrate"):
        window.workflow.calibrate()
    window.layer_panel.filter_row.type_box.setCurrentIndex(window.layer_panel.filter_row.type_box.findData("Conv2d"))
    window.layer_panel.select_matching()
    window.layer_panel.menu.mode_actions[Mode.QAT].trigger()
    assert window.document.undo_stack.count() == 1
    with qtbot.waitSignal(
        window.workflow.progressed, timeout=PATIENCE, check_params_cb=lambda progress: progress.phase == "Training"
    ):
        window.workflow.quantize()
    with qtbot.waitSignal(window.workflow.settled, timeout=PATIENCE):
        window.workflow.cancel()
    assert window.document.result is None
    with finish(qtbot, window, "quantize"):
        window.workflow.quantize()
    result = window.document.result
    assert result is not None
    assert {layer.mode for layer in result.layers if layer.type == "Conv2d"} == {Mode.QAT}
    assert result.notes[0].startswith("Trained 8 epochs on 1006 samples with cross-entropy")
    assert result.notes[0] in window.workbench.notice.label.text()


@pytest.mark.slow
def test_that_the_tour_walks_through_everything(qtbot: QtBot, tmp_path: Path) -> None:
    assert tour(["--out", str(tmp_path / "out"), "--calibrate", "32"]) == 0
    assert len(list((tmp_path / "out" / "pictures").glob("*.png"))) >= 9
    report = (tmp_path / "out" / "report.html").read_text()
    assert "top-1 accuracy" in report
    assert "data:image/png;base64," in report
    assert (tmp_path / "out" / "export" / "model.pt").exists()
