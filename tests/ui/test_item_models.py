import time

import pytest
import ui_samples
from PySide6.QtCore import QEvent, QModelIndex, QObject, QPoint, Qt
from PySide6.QtGui import QPaintEvent, QRegion
from PySide6.QtWidgets import QAbstractItemView
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from qgui.core import decisions
from qgui.core.ranges import histogram_of
from qgui.core.recipe import DataReference, Mode, ModelReference
from qgui.ui.comparison_tables import LayerResultModel, QuantityModel, ResultColumn
from qgui.ui.document import Document
from qgui.ui.histogram_table import HistogramModel
from qgui.ui.layer_cells import CHOICES_ROLE, MODE_ROLE, Column
from qgui.ui.layer_filter import LayerFilter
from qgui.ui.layer_model import LayerModel
from qgui.ui.layer_panel import LayerPanel
from qgui.ui.observer_table import ObserverModel
from qgui.ui.theme import Theme
from qgui.ui.weight_table import WeightTableModel


def text(model: LayerModel, layer: str, column: Column) -> str:
    return str(model.index_of(layer).siblingAtColumn(column).data())


def test_that_the_layer_table_is_a_sound_item_model(
    qtmodeltester: ModelTester, calibrated: Document, theme: Theme
) -> None:
    model = LayerModel(calibrated, theme)
    qtmodeltester.check(model)
    model.set_flat(True)
    qtmodeltester.check(model)


def test_that_the_filtered_table_is_a_sound_item_model(
    qtmodeltester: ModelTester, document: Document, theme: Theme
) -> None:
    model = LayerModel(document, theme)
    proxy = LayerFilter(model)
    qtmodeltester.check(proxy)
    proxy.set_criteria("conv", "", None)
    qtmodeltester.check(proxy)


def test_that_the_other_tables_are_sound_item_models(
    qtmodeltester: ModelTester, calibrated: Document, theme: Theme
) -> None:
    comparison = ui_samples.comparison(calibrated.recipe)
    quantities, layers, observers = QuantityModel(), LayerResultModel(theme), ObserverModel(theme)
    quantities.show_comparison(comparison)
    layers.show_comparison(comparison)
    assert calibrated.ranges is not None
    setting = calibrated.recipe.rule("head").activation
    bins = HistogramModel()
    bins.show_histogram(*histogram_of(calibrated.ranges.distribution("head"), 64))
    observers.show_choices(calibrated.ranges.choices("head", setting), setting.observer.kind, True)
    for model in (quantities, layers, observers, bins, WeightTableModel(theme)):
        qtmodeltester.check(model)


def test_that_fused_layers_stand_under_their_head(document: Document, theme: Theme) -> None:
    model = LayerModel(document, theme)
    fused = model.index_of("stem.bn")
    assert fused.parent() == model.index_of("stem.conv")
    assert text(model, "stem.bn", Column.MODE) == "fused"
    assert "stem.conv" in fused.siblingAtColumn(Column.MODE).data(Qt.ItemDataRole.ToolTipRole)
    assert fused.siblingAtColumn(Column.MODE).data(Qt.ItemDataRole.AccessibleTextRole) == "Mode: fused into stem.conv"
    assert "stem.conv" in fused.data(Qt.ItemDataRole.ToolTipRole)


def test_that_a_leaf_says_why_it_is_one_and_holds_what_lies_inside(document: Document, theme: Theme) -> None:
    model = LayerModel(document, theme)
    leaf = model.index_of("weird")
    assert "control flow in forward" in leaf.data(Qt.ItemDataRole.ToolTipRole)
    assert model.index_of("weird.fc").parent() == leaf


def test_that_impossible_modes_carry_their_reason(document: Document, theme: Theme) -> None:
    model = LayerModel(document, theme)
    choices = {c.value: c.reason for c in model.index_of("rnn").siblingAtColumn(Column.MODE).data(CHOICES_ROLE)}
    assert choices[Mode.DYNAMIC] == ""
    assert "recurrent" in choices[Mode.STATIC]
    schemes = {c.value: c.reason for c in model.index_of("up").siblingAtColumn(Column.WEIGHTS).data(CHOICES_ROLE)}
    assert "one scale per tensor" in schemes["per_channel_symmetric"]


def test_that_a_module_shows_the_mode_its_weights_share(document: Document, theme: Theme) -> None:
    model = LayerModel(document, theme)
    module = model.index_of("stem.conv").parent()
    assert module.siblingAtColumn(Column.MODE).data(MODE_ROLE) == Mode.STATIC


def test_that_a_shared_range_names_its_owner(calibrated: Document, theme: Theme) -> None:
    assert text(LayerModel(calibrated, theme), "pool", Column.OBSERVER) == "as act"


def test_that_one_decision_emits_one_range_per_parent(qtbot: QtBot, document: Document, theme: Theme) -> None:
    model = LayerModel(document, theme)
    model.set_flat(True)
    ranges: list[tuple[QModelIndex, QModelIndex]] = []
    model.dataChanged.connect(lambda top, bottom: ranges.append((top, bottom)))
    document.decide("Mode", ["stem.conv", "up", "head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    decided = [pair for pair in ranges if pair[0].column() == Column.MODE]
    assert len(decided) == 1


def test_that_a_decision_for_layers_of_many_modules_is_told_once(
    qtbot: QtBot, document: Document, theme: Theme
) -> None:
    document.open_model(ui_samples.large_model(400), ModelReference("example:large"), DataReference())
    model = LayerModel(document, theme)
    names = [row.layer.name for row in model.rows() if row.layer is not None]
    ranges = []
    model.dataChanged.connect(lambda top, bottom: ranges.append((top, bottom)))
    document.decide("Mode", names, decisions.mode_edit(Mode.FLOAT, document.recipe.backend))
    of_modes = [(top, bottom) for top, bottom in ranges if top.column() <= Column.MODE]
    assert [(top.row(), bottom.row()) for top, bottom in of_modes] == [(0, model.rowCount() - 1)]
    assert of_modes[0][1].column() >= Column.RULE
    assert {model.cells.mode(row) for row in model.rows()} == {Mode.FLOAT}


def test_that_filtering_keeps_the_rows_above_a_match(document: Document, theme: Theme) -> None:
    model = LayerModel(document, theme)
    proxy = LayerFilter(model)
    proxy.set_criteria("add", "", None)
    assert proxy.rowCount() == 1
    assert proxy.index(0, 0).data() == "block"
    assert proxy.matching_layers() == ["block.0.add"]
    proxy.set_criteria("", "Conv2d", Mode.STATIC)
    assert proxy.matching_layers() == ["stem.conv"]


def test_that_sorting_by_sqnr_is_numeric_over_the_whole_model(qtbot: QtBot, calibrated: Document, theme: Theme) -> None:
    calibrated.set_comparison(ui_samples.comparison(calibrated.recipe))
    panel = LayerPanel(calibrated, theme)
    qtbot.addWidget(panel)
    panel.view.sortByColumn(Column.SQNR, Qt.SortOrder.AscendingOrder)
    assert panel.model.flat
    shown = [panel.filter.index(row, Column.SQNR).data() for row in range(panel.filter.rowCount())]
    numbers = [float(value.replace("\u2212", "-")) for value in shown if value]
    assert numbers == sorted(numbers)
    assert len(numbers) >= 10
    panel.view.sort_by_execution()
    assert not panel.model.flat


def test_that_layer_results_sort_and_keep_unknown_last(calibrated: Document, theme: Theme) -> None:
    model = LayerResultModel(theme)
    model.show_comparison(ui_samples.comparison(calibrated.recipe))
    model.sort(ResultColumn.SPEEDUP, Qt.SortOrder.AscendingOrder)
    assert model.name(0) == "up"
    model.sort(-1)
    assert model.name(0) == "x"


def test_that_other_results_keep_the_order_that_the_header_shows(calibrated: Document, theme: Theme) -> None:
    model = LayerResultModel(theme)
    comparison = ui_samples.comparison(calibrated.recipe)
    model.show_comparison(comparison)
    model.sort(ResultColumn.SQNR, Qt.SortOrder.DescendingOrder)
    worst_last = [model.name(row) for row in range(model.rowCount())]
    model.show_comparison(ui_samples.comparison(calibrated.recipe))
    assert [model.name(row) for row in range(model.rowCount())] == worst_last
    title = str(model.headerData(ResultColumn.SQNR, Qt.Orientation.Horizontal))
    assert title.strip() == "SQNR dB"
    assert title != title.strip(), "the mark of the order covers the title"


@pytest.mark.slow
def test_that_a_table_of_5000_layers_shows_quickly(qtbot: QtBot, theme: Theme) -> None:
    document = Document()
    panel = LayerPanel(document, theme)
    qtbot.addWidget(panel)
    panel.show()
    began = time.perf_counter()
    document.open_model(ui_samples.large_model(5_000), ModelReference("example:large"), DataReference())
    panel.grab()
    assert time.perf_counter() - began < 1.0


@pytest.mark.slow
def test_that_5000_layers_are_selected_filtered_and_refused_quickly(
    qtbot: QtBot, document: Document, theme: Theme
) -> None:
    panel = LayerPanel(document, theme)
    qtbot.addWidget(panel)
    document.open_model(ui_samples.large_model(5_000), ModelReference("example:large"), DataReference())
    begin = time.perf_counter()
    panel.select_matching()
    assert not panel.menu.mode_actions[Mode.DYNAMIC].isEnabled()
    panel.filter_row.text.setText("conv3")
    assert len(panel.selected_layers()) == 625
    panel.filter_row.text.setText("")
    assert time.perf_counter() - begin < 1.5


def test_that_new_results_redraw_rows_of_every_depth(calibrated: Document, theme: Theme, qtbot: QtBot) -> None:
    panel = LayerPanel(calibrated, theme)
    qtbot.addWidget(panel)
    with qtbot.waitExposed(panel):
        panel.show()
    panel.view.setFixedHeight(panel.view.header().height() + 2 * panel.view.rowHeight(panel.view.model().index(0, 0)))
    inner = panel.filter.mapFromSource(panel.model.index_of("stem.act"))
    panel.view.scrollTo(inner, QAbstractItemView.ScrollHint.PositionAtTop)
    qtbot.waitUntil(lambda: panel.view.indexAt(QPoint(0, 0)).parent().isValid())
    painted = PaintedRegion()
    panel.view.viewport().installEventFilter(painted)
    calibrated.set_comparison(ui_samples.comparison(calibrated.recipe))
    qtbot.waitUntil(lambda: painted.region.contains(panel.view.viewport().rect()))


class PaintedRegion(QObject):
    """Remembers what was painted of a widget."""

    def __init__(self) -> None:
        super().__init__()
        self.region = QRegion()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if isinstance(event, QPaintEvent):
            self.region = self.region.united(event.region())
        return False
