"""The weight of a layer: its channels sorted, compared and seen alone, and its range fixed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from pytestqt.qtbot import QtBot

from qgui.core import decisions
from qgui.core.recipe import Mode, Observer, ObserverKind, WeightSetting
from qgui.ui.main_window import MainWindow
from qgui.ui.weights_panel import WeightsPanel

LAYER = "stem.conv"


@pytest.fixture
def panel(qtbot: QtBot, opened: MainWindow) -> WeightsPanel:
    """The panel with the weight of a convolution, which has one scale per channel."""
    opened.layer_panel.select([LAYER])
    opened.workbench.tabs.setCurrentWidget(opened.workbench.weights_panel)
    panel = opened.workbench.weights_panel
    qtbot.waitUntil(lambda: panel.model.rowCount() == 4)
    return panel


def weight(window: MainWindow) -> WeightSetting:
    return window.document.recipe.rule(LAYER).weight


def choose(panel: WeightsPanel, text: str) -> None:
    panel.order.setCurrentIndex(panel.order.findText(text, Qt.MatchFlag.MatchStartsWith))
    panel.order.activated.emit(panel.order.currentIndex())


def per_tensor(window: MainWindow) -> None:
    edit = decisions.weight_choice_edit("per_tensor_symmetric", Observer())
    window.document.decide("Scheme", [LAYER], edit)


def test_that_channels_are_sorted_by_number_range_and_sqnr(panel: WeightsPanel) -> None:
    assert panel.channels.order.tolist() == list(range(16))
    choose(panel, "by range")
    ranges = panel.channels.ranges
    assert ranges is not None
    assert (np.diff(ranges.magnitude[panel.channels.order]) <= 0).all()
    assert panel.sqnr.order.tolist() == panel.channels.order.tolist()
    choose(panel, "by SQNR")
    shown = panel.sqnr.values("per-tensor")
    assert shown is not None
    assert (np.diff(shown) >= 0).all()


def test_that_both_granularities_are_shown_for_each_channel(panel: WeightsPanel) -> None:
    per_channel, one_scale = panel.sqnr.values("per-channel"), panel.sqnr.values("per-tensor")
    assert per_channel is not None
    assert one_scale is not None
    assert per_channel.shape == one_scale.shape == (16,)


def test_that_the_channel_that_sets_the_range_of_one_scale_is_named(panel: WeightsPanel) -> None:
    ranges = panel.channels.ranges
    assert ranges is not None
    widest = int(np.argmax(ranges.magnitude))
    assert ranges.setters[0] == widest
    assert f"set by channel #{widest}" in panel.facts.text()


def test_that_a_click_shows_one_channel_and_another_shows_all(qtbot: QtBot, panel: WeightsPanel) -> None:
    view = panel.channels.plotItem.vb
    point = panel.channels.mapFromScene(view.mapViewToScene(view.viewRect().center()))
    qtbot.mouseClick(panel.channels.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(point.x(), point.y()))
    assert panel.channels.channel in {7, 8}
    assert panel.sqnr.channel == panel.channels.channel
    assert f"Output channel {panel.channels.channel}" in panel.shown.text()
    panel.whole.click()
    assert panel.channels.channel is None
    assert panel.shown.text() == "All elements"


def test_that_the_arrow_keys_walk_the_channels(qtbot: QtBot, panel: WeightsPanel) -> None:
    choose(panel, "by range")
    order = panel.channels.order.tolist()
    seen = []
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_End, Qt.Key.Key_Left, Qt.Key.Key_Home):
        qtbot.keyClick(panel.channels, key)
        seen.append(panel.channels.channel)
    assert seen == [order[0], order[1], order[-1], order[-2], order[0]]
    qtbot.keyClick(panel.channels, Qt.Key.Key_Escape)
    assert panel.channels.channel is None


def test_that_dragging_the_range_of_one_scale_fixes_it_in_one_step(opened: MainWindow, panel: WeightsPanel) -> None:
    per_tensor(opened)
    steps = opened.document.undo_stack.count()
    panel.histogram._region.lines[1].setValue(2.0)
    panel.histogram._region.lines[1].setValue(1.5)
    assert "SQNR" in panel.bound.cost.text()
    assert panel.bound.field.text() == "1.5"
    assert panel.histogram.bounds == (-1.5, 1.5)
    assert opened.document.undo_stack.count() == steps
    panel.histogram.drag_to(1.5)
    assert weight(opened).observer == Observer(ObserverKind.FIXED, low=-1.5, high=1.5)
    assert opened.document.undo_stack.count() == steps + 1
    opened.document.undo_stack.undo()
    assert weight(opened).observer.kind is ObserverKind.MINMAX


def test_that_the_bound_of_a_channel_is_dragged_moved_typed_and_reset(
    qtbot: QtBot, opened: MainWindow, panel: WeightsPanel
) -> None:
    panel.select_channel(5)
    panel.histogram.drag_to(2.55)
    assert weight(opened).channel_bounds == ((5, 2.55),)
    assert "fixed by hand: channel #5" in panel.facts.text()
    steps = opened.document.undo_stack.count()
    for _ in range(3):
        qtbot.keyClick(panel.histogram, Qt.Key.Key_Right)
    (moved,) = weight(opened).channel_bounds
    assert moved == (5, pytest.approx(2.55 + 3 * 2.55 / 127.5, rel=0.01))
    assert opened.document.undo_stack.count() == steps + 1
    panel.bound.field.setText("1.25")
    panel.bound.field.editingFinished.emit()
    assert weight(opened).channel_bounds == ((5, 1.25),)
    panel.select_channel(2)
    panel.histogram.drag_to(1.0)
    assert weight(opened).channel_bounds == ((2, 1.0), (5, 1.25))
    panel.bound.reset_button.click()
    assert weight(opened).channel_bounds == ((5, 1.25),)
    panel.bound.all_button.click()
    assert weight(opened).channel_bounds == ()
    assert not panel.bound.all_button.isVisible()


@pytest.mark.parametrize("text", ["0", "-1", "many", "inf", ""])
def test_that_a_bad_bound_is_refused_and_the_one_before_stays(
    text: str, qtbot: QtBot, opened: MainWindow, panel: WeightsPanel
) -> None:
    panel.select_channel(0)
    before = panel.bound.field.text()
    panel.bound.field.setText(text)
    with qtbot.waitSignal(opened.document.notice):
        panel.bound.field.editingFinished.emit()
    assert panel.bound.field.text() == before
    assert weight(opened).channel_bounds == ()


def test_that_a_range_dragged_to_nothing_stays_as_it_was(qtbot: QtBot, opened: MainWindow, panel: WeightsPanel) -> None:
    panel.select_channel(0)
    before = panel.histogram.bounds
    with qtbot.waitSignal(opened.document.notice):
        panel.histogram.drag_to(0.0)
    assert weight(opened).channel_bounds == ()
    assert panel.histogram.bounds == before


def test_that_a_range_that_cannot_be_fixed_says_why(opened: MainWindow, panel: WeightsPanel) -> None:
    assert "Select a channel" in panel.bound.cost.text()
    assert panel.histogram.bounds is None
    per_tensor(opened)
    panel.select_channel(3)
    assert "One scale for all channels" in panel.bound.cost.text()
    opened.document.decide("Mode", [LAYER], decisions.mode_edit(Mode.FLOAT, "x86"))
    assert "stays as it is" in panel.bound.cost.text()


def test_that_one_scale_per_tensor_lets_the_bounds_of_channels_go(opened: MainWindow, panel: WeightsPanel) -> None:
    panel.select_channel(1)
    panel.histogram.drag_to(1.0)
    per_tensor(opened)
    assert weight(opened).channel_bounds == ()
    opened.document.undo_stack.undo()
    assert weight(opened).channel_bounds == ((1, 1.0),)
