"""The layer table as a person uses it: its menus, its filter, its folds, and what the inspector says of a layer."""

import pytest
import ui_samples
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QLabel, QMenu
from pytestqt.qtbot import QtBot

from qgui.core import decisions
from qgui.core.recipe import DataReference, Mode, ModelReference, ObserverKind
from qgui.ui.actions import ActionId
from qgui.ui.document import Document
from qgui.ui.inspector import Inspector
from qgui.ui.layer_cells import Column
from qgui.ui.layer_panel import LayerPanel
from qgui.ui.main_window import MainWindow
from qgui.ui.theme import Theme


@pytest.fixture
def panel(qtbot: QtBot, document: Document, theme: Theme) -> LayerPanel:
    panel = LayerPanel(document, theme)
    qtbot.addWidget(panel)
    panel.resize(700, 160)
    with qtbot.waitExposed(panel):
        panel.show()
    return panel


def entry(menu: QMenu, *titles: str) -> QAction:
    """Return an entry of a menu by the titles that lead to it."""
    found = next(action for action in menu.actions() if action.text().replace("&", "") == titles[0])
    inner = found.menu()
    return entry(inner, *titles[1:]) if len(titles) > 1 and isinstance(inner, QMenu) else found


def filled(panel: LayerPanel, *selected: str) -> QMenu:
    panel.select(selected)
    menu = QMenu(panel)
    panel.menu.fill(menu)
    return menu


def test_that_a_mode_which_no_selected_layer_may_have_is_disabled_and_says_why(panel: LayerPanel) -> None:
    panel.select(["stem.conv", "up"])
    dynamic = panel.menu.mode_actions[Mode.DYNAMIC]
    assert not dynamic.isEnabled()
    assert "not for Conv2d" in dynamic.toolTip()
    panel.select(["stem.conv", "rnn"])
    assert dynamic.isEnabled()
    assert "int8 weights" in dynamic.toolTip()
    panel.select([])
    assert dynamic.toolTip() == "Select a layer first."


def test_that_every_entry_of_the_menu_is_possible_or_says_why_not(panel: LayerPanel) -> None:
    menu = filled(panel, "up")
    per_channel = entry(menu, "Weights", "per-channel symmetric")
    assert not per_channel.isEnabled()
    assert "one scale per tensor" in per_channel.toolTip()
    assert entry(menu, "Weights", "per-tensor symmetric").isEnabled()
    assert not entry(filled(panel, "pool"), "Weights", "qint8").isEnabled()
    nothing = filled(panel)
    assert not entry(nothing, "Set mode").isEnabled()
    assert entry(nothing, "Set mode").toolTip() == "Select a layer first."


def test_that_an_observer_from_the_menu_goes_to_the_layer_that_decides_the_range(
    panel: LayerPanel, document: Document
) -> None:
    entry(filled(panel, "pool"), "Observer", "MinMax").trigger()
    assert document.recipe.rule("stem.act").activation.observer.kind is ObserverKind.MINMAX
    assert document.recipe.rule("pool").activation.observer.kind is ObserverKind.MSE
    assert document.undo_stack.undoText() == "Observer MinMax"


def test_that_layers_return_to_what_was_advised(panel: LayerPanel, document: Document) -> None:
    before = document.recipe
    document.decide("Mode", ["head", "stem.conv"], decisions.mode_edit(Mode.FLOAT, "x86"))
    entry(filled(panel, "head", "stem.conv"), "Set as advised").trigger()
    assert document.recipe == before


def test_that_the_menu_bar_offers_what_the_table_does(opened: MainWindow) -> None:
    opened.layer_panel.select(["head"])
    menu = opened.menuBar().findChild(QMenu, "modelMenu")
    assert isinstance(menu, QMenu)
    menu.aboutToShow.emit()
    entry(menu, "Weights", "per-tensor symmetric").trigger()
    assert opened.document.recipe.rule("head").weight.qscheme == "per_tensor_symmetric"


def test_that_order_and_columns_can_be_chosen_from_the_menu_bar(opened: MainWindow) -> None:
    menu = opened.menuBar().findChild(QMenu, "layerTableMenu")
    assert isinstance(menu, QMenu)
    view = opened.layer_panel.view
    entry(menu, "Sort by Parameters").trigger()
    assert opened.layer_panel.model.flat
    top = opened.layer_panel.filter.index(0, 0).data()
    entry(menu, "Sort by Parameters").trigger()
    assert opened.layer_panel.filter.index(0, 0).data() != top
    menu.aboutToShow.emit()
    assert entry(menu, "Sort by Parameters").isChecked()
    entry(menu, "Show Type").trigger()
    assert view.isColumnHidden(Column.TYPE)
    entry(menu, "Order of execution").trigger()
    assert not opened.layer_panel.model.flat


def test_that_another_model_is_shown_unfiltered_and_in_order(panel: LayerPanel, document: Document) -> None:
    panel.filter_row.text.setText("conv")
    panel.view.sortByColumn(Column.SQNR, Qt.SortOrder.AscendingOrder)
    document.open_model(ui_samples.large_model(24), ModelReference("example:large"), DataReference())
    assert panel.filter_row.text.text() == ""
    assert not panel.filter.active
    assert not panel.model.flat
    assert panel.filter.rowCount() == panel.model.rowCount()


def test_that_a_filter_unfolds_what_it_finds_and_leaves_the_folds_of_the_person(panel: LayerPanel) -> None:

    def unfolded(layer: str) -> bool:
        return panel.view.isExpanded(panel.filter.mapFromSource(panel.model.index_of(layer)).parent())

    panel.view.collapse(panel.filter.mapFromSource(panel.model.index_of("stem.conv")).parent())
    panel.filter_row.text.setText("conv")
    assert unfolded("stem.conv")
    panel.filter_row.text.setText("")
    assert not unfolded("stem.conv")
    assert unfolded("block.0.add")


def test_that_the_first_selection_keeps_the_top_of_the_table_in_sight(panel: LayerPanel) -> None:
    panel.resize(700, 110)
    panel.select_first()
    assert panel.selected_layers() == ("stem.conv",)
    assert panel.view.verticalScrollBar().value() == 0


def test_that_the_filter_wraps_where_there_is_little_room(qtbot: QtBot, panel: LayerPanel) -> None:
    row = panel.filter_row
    assert row.type_box.x() > row.text.x() + row.text.width()
    panel.resize(260, 300)
    qtbot.waitUntil(lambda: row.type_box.y() > row.text.y())
    assert row.text.width() > row.type_box.width()


def test_that_the_summary_counts_what_can_be_decided(qtbot: QtBot, panel: LayerPanel) -> None:
    qtbot.waitUntil(lambda: panel.summary.text() == "◐ 2 dynamic   ● 6 static")
    panel.select(["head", "rnn"])
    qtbot.waitUntil(lambda: panel.summary.text().endswith("2 selected"))


def test_that_facts_of_an_earlier_quantized_model_are_marked(qtbot: QtBot, calibrated: Document) -> None:
    inspector = Inspector(calibrated)
    qtbot.addWidget(inspector)
    calibrated.set_result(ui_samples.result(calibrated.recipe))
    calibrated.set_comparison(ui_samples.comparison(calibrated.recipe))
    inspector.show_layers(["head"])
    ratio = inspector.findChild(QLabel, "layerFact_sqnr")
    stale = inspector.findChild(QLabel, "layerFactsStale")
    assert isinstance(ratio, QLabel)
    assert isinstance(stale, QLabel)
    qtbot.waitUntil(lambda: ratio.text() != "")
    assert not ratio.font().italic()
    assert stale.isHidden()
    calibrated.decide("Mode", ["rnn"], decisions.mode_edit(Mode.FLOAT, "x86"))
    qtbot.waitUntil(lambda: ratio.font().italic())
    assert "before the last decisions" in stale.text()


def test_that_a_quantized_model_is_described_as_it_is_now_not_as_it_was_compared(calibrated: Document) -> None:
    calibrated.set_result(ui_samples.result(calibrated.recipe))
    calibrated.set_comparison(ui_samples.comparison(calibrated.recipe))
    calibrated.decide("Mode", ["head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    calibrated.set_result(ui_samples.result(calibrated.recipe))
    outcome, measured = calibrated.outcome("head"), calibrated.measurement("head")
    assert outcome is not None
    assert measured is not None
    assert (outcome.mode, measured.mode) == (Mode.FLOAT, Mode.STATIC)
    assert not calibrated.result_stale
    assert calibrated.comparison_stale


def test_that_the_inspector_asks_for_the_width_in_which_nothing_is_cut_off(qtbot: QtBot, opened: MainWindow) -> None:
    opened.resize(opened.minimumSizeHint())
    opened.document.decide(
        "Range", ["stem.conv"], decisions.activation_observer_edit(ui_samples.fixed_range(-1234.5, 99.25))
    )
    inspector = opened.inspector
    opened.layer_panel.select(["stem.conv"])
    qtbot.waitUntil(inspector.activation_observer.low.isVisible)
    body = inspector.widget()
    qtbot.waitUntil(lambda: inspector.viewport().width() >= body.minimumSizeHint().width())
    assert body.width() == inspector.viewport().width()


def test_that_select_matching_and_a_mode_are_one_step(opened: MainWindow) -> None:
    opened.layer_panel.filter_row.text.setText("conv")
    opened.actions_by_id[ActionId.SELECT_MATCHING].trigger()
    opened.layer_panel.menu.mode_actions[Mode.FLOAT].trigger()
    assert opened.document.undo_stack.count() == 1
    assert {opened.document.recipe.rule(name).mode for name in ("stem.conv", "up")} == {Mode.FLOAT}
