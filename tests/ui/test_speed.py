"""Runtimes side by side and ways out of slow int8, in the compare panel."""

from collections.abc import Callable

import msgspec
import pytest
import ui_samples
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QLabel, QPushButton
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from qgui.core.recipe import Mode
from qgui.core.results import Island
from qgui.ui.main_window import MainWindow
from qgui.ui.runtime_table import SHARE_ROLE, RuntimeColumn
from qgui.ui.slowness_tab import SlownessTab
from qgui.ui.slowness_table import SlowColumn


def step(window: MainWindow, name: str) -> dict[str, object]:
    return {"signal": window.workflow.step_finished, "check_params_cb": lambda finished: finished == name}


def button(tab: SlownessTab, name: str) -> QPushButton:
    found = tab.findChild(QPushButton, name)
    assert found is not None, f"no button {name}"
    return found


@pytest.fixture
def compared(qtbot: QtBot, opened: MainWindow) -> MainWindow:
    """The window with a comparison in which a convolution is slower and a float layer lies between int8 ones."""
    with qtbot.waitSignal(**step(opened, "compare")):
        opened.compare()
    found = opened.document.comparison
    assert found is not None
    layers = tuple(
        msgspec.structs.replace(
            layer, mode=Mode.STATIC if layer.name == "stem.conv" else layer.mode, float_ms=0.5, quantized_ms=ms
        )
        for layer in found.layers
        for ms in [8.0 if layer.name == "stem.conv" else 0.2]
    )
    islands = (Island(("stem.act",), 0.2, 0.5, 0.3),)
    opened.document.set_comparison(msgspec.structs.replace(found, layers=layers, islands=islands))
    return opened


def cells(model: object, row: int) -> list[str]:
    count = model.columnCount()  # type: ignore[attr-defined]
    return [model.data(model.index(row, column)) for column in range(count)]  # type: ignore[attr-defined]


def test_that_runtimes_are_measured_and_stand_in_one_table(
    qtbot: QtBot, compared: MainWindow, qtmodeltester: ModelTester
) -> None:
    tab = compared.workbench.compare_panel.runtimes
    assert tab.table.isHidden()
    with qtbot.waitSignal(**step(compared, "runtimes")):
        tab.button.click()
    assert not tab.table.isHidden()
    assert "2.00 times as fast as the best float" in tab.sentence.text()
    first, second = cells(tab.model, 0), cells(tab.model, 1)
    assert first[RuntimeColumn.RUNTIME] == "★ ONNX Runtime"
    assert first[RuntimeColumn.MODEL] == "● int8"
    assert first[RuntimeColumn.MEDIAN] == "0.5 ms"
    assert first[RuntimeColumn.MEMORY] == "80 MB"
    assert second[RuntimeColumn.MODEL] == "○ float"
    qtmodeltester.check(tab.model)


def test_that_bars_compare_the_medians_and_a_missing_runtime_says_why(qtbot: QtBot, compared: MainWindow) -> None:
    tab = compared.workbench.compare_panel.runtimes
    with qtbot.waitSignal(**step(compared, "runtimes")):
        tab.button.click()
    median = RuntimeColumn.MEDIAN
    shares = [tab.model.data(tab.model.index(row, median), SHARE_ROLE) for row in range(tab.model.rowCount())]
    assert shares == pytest.approx([0.125, 0.25, 0.4, 1.0, 0.0])
    assert "not installed" in cells(tab.model, 4)[median]
    slow = tab.model.index(2, RuntimeColumn.GAIN)
    assert "a slow float" in tab.model.data(slow, Qt.ItemDataRole.ToolTipRole)


def test_that_runtimes_of_an_earlier_model_are_marked(qtbot: QtBot, compared: MainWindow) -> None:
    tab = compared.workbench.compare_panel.runtimes
    with qtbot.waitSignal(**step(compared, "runtimes")):
        tab.button.click()
    assert tab.stale.isHidden()
    compared.document.change_backend("onednn")
    qtbot.waitUntil(lambda: not tab.stale.isHidden())
    compared.document.close_model()
    assert compared.speed.table is None


def test_that_slow_layers_and_islands_are_listed_with_their_causes(
    compared: MainWindow, qtmodeltester: ModelTester
) -> None:
    tab = compared.workbench.compare_panel.slowness
    layer, island = cells(tab.model, 0), cells(tab.model, 1)
    assert layer[SlowColumn.LAYER] == "stem.conv"
    assert layer[SlowColumn.RATIO] == "16 ×"
    assert layer[SlowColumn.CAUSE]
    assert island[SlowColumn.LAYER] == "⇄ stem.act"
    assert island[SlowColumn.CAUSE] == "float island"
    tab.table.selectRow(1)
    assert "Dequantize 0.2 ms, work 0.5 ms, quantize 0.3 ms" in tab.reason.text()
    qtmodeltester.check(tab.model)


def test_that_a_way_out_is_adopted_only_after_its_effect_is_known_and_is_one_undo_step(
    qtbot: QtBot, compared: MainWindow
) -> None:
    tab, document = compared.workbench.compare_panel.slowness, compared.document
    explanation = compared.speed.explanation
    assert explanation is not None
    place = next(i for i, way in enumerate(explanation.ways) if way.kind == "float")
    take = button(tab, f"wayTake{place}")
    assert not take.isEnabled()
    assert "Measure it first" in take.toolTip()
    with qtbot.waitSignal(**step(compared, "way out")):
        button(tab, f"wayMeasure{place}").click()
    label = tab.findChild(QLabel, f"wayEffect{place}")
    assert label is not None
    assert label.text() == "9 → 1.5 ms (6 × as fast), float 3 ms, SQNR 20.0 → 22.0 dB"
    before = document.recipe
    qtbot.waitUntil(take.isEnabled)
    take.click()
    assert document.recipe.rule("stem.conv").mode is Mode.FLOAT
    assert document.undo_stack.undoText() == "Leave stem.conv float"
    document.undo_stack.undo()
    assert document.recipe == before


def test_that_all_ways_out_are_measured_at_once_and_one_that_does_not_run_says_why(
    qtbot: QtBot, compared: MainWindow, heard: Callable[[], list[str]]
) -> None:
    machine = msgspec.structs.replace(ui_samples.MACHINE, runtimes=("onnxruntime",))
    compared.document.set_machine(machine)
    compared.document.set_comparison(msgspec.structs.replace(compared.document.comparison, notes=()))
    tab = compared.workbench.compare_panel.slowness
    explanation = compared.speed.explanation
    assert explanation is not None
    tab.measure_all.click()
    effects = compared.speed.effect
    qtbot.waitUntil(lambda: all(effects(way) is not None for way in explanation.ways))
    assert heard().count("MeasureWayOut") == len(explanation.ways)
    place = next(i for i, way in enumerate(explanation.ways) if way.kind == "runtime")
    assert not button(tab, f"wayTake{place}").isEnabled()
    assert button(tab, f"wayTake{place}").toolTip() == "It does not run there."


def test_that_another_runtime_leads_to_the_export(qtbot: QtBot, compared: MainWindow) -> None:
    from qgui.core.slowness import WayOut

    compared.speed.take(WayOut("runtime", runtime="onnxruntime"))
    assert compared.findChild(QDialog, "exportDialog") is not None


def test_that_an_effect_no_longer_holds_once_the_decisions_change(qtbot: QtBot, compared: MainWindow) -> None:
    explanation = compared.speed.explanation
    assert explanation is not None
    way = explanation.ways[0]
    with qtbot.waitSignal(**step(compared, "way out")):
        compared.speed.measure(way)
    assert compared.speed.effect(way) is not None
    compared.document.change_backend("onednn")
    assert compared.speed.effect(way) is None
