from collections.abc import Iterator

import pytest
import ui_samples
from PySide6.QtCore import QPoint, Qt
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from qgui.core import decisions
from qgui.core.recipe import DataReference, ModelReference, Observer, ObserverKind
from qgui.ui.document import Document
from qgui.ui.idle import Idle
from qgui.ui.overview_model import SQNR_ROLE, Order
from qgui.ui.overview_panel import OverviewPanel
from qgui.ui.theme import Theme, ThemeName

OWNERS = ["x", "stem.conv", "stem.act", "rnn", "up", "block.0.add", "gate", "head"]


@pytest.fixture
def panel(qtbot: QtBot, calibrated: Document, theme: Theme) -> Iterator[OverviewPanel]:
    panel = OverviewPanel(calibrated, theme, Idle(calibrated))
    qtbot.addWidget(panel)
    panel.resize(560, 420)
    with qtbot.waitExposed(panel):
        panel.show()
    qtbot.waitUntil(lambda: panel.model.rowCount() == len(OWNERS))
    yield panel
    panel.close()


def names(panel: OverviewPanel) -> list[str]:
    return [str(panel.model.index(row).data()) for row in range(panel.model.rowCount())]


def pictured(panel: OverviewPanel) -> int:
    return len(panel.model._pictures)


def test_that_the_overview_is_a_sound_item_model(qtmodeltester: ModelTester, panel: OverviewPanel) -> None:
    qtmodeltester.check(panel.model)


def test_that_every_range_stands_there_once_in_the_order_of_the_model(panel: OverviewPanel) -> None:
    assert names(panel) == OWNERS
    assert "pool" in panel.model.index(OWNERS.index("stem.act")).data(Qt.ItemDataRole.ToolTipRole)


def test_that_pictures_come_with_their_predicted_sqnr(qtbot: QtBot, panel: OverviewPanel, calibrated: Document) -> None:
    qtbot.waitUntil(lambda: pictured(panel) == len(OWNERS))
    ranges = calibrated.ranges
    assert ranges is not None
    index = panel.model.index(OWNERS.index("head"))
    setting = ranges.setting("head", calibrated.recipe)
    assert index.data(SQNR_ROLE) == ranges.choice("head", setting).sqnr_db
    assert "predicted SQNR" in index.data(Qt.ItemDataRole.AccessibleTextRole)


def test_that_the_worst_stand_first_when_sorted_by_sqnr(
    qtbot: QtBot, panel: OverviewPanel, calibrated: Document
) -> None:
    edit = decisions.activation_observer_edit(Observer(ObserverKind.FIXED, low=-0.5, high=0.5))
    calibrated.decide("Fix", ["up"], edit)
    panel.order.setCurrentIndex(panel.order.findData(Order.WORST))
    qtbot.waitUntil(lambda: names(panel)[0] == "up")
    shown = [panel.model.index(row).data(SQNR_ROLE) for row in range(panel.model.rowCount())]
    assert shown == sorted(shown)
    panel.order.setCurrentIndex(panel.order.findData(Order.BEST))
    qtbot.waitUntil(lambda: names(panel)[-1] == "up")
    panel.order.setCurrentIndex(panel.order.findData(Order.MODEL))
    assert names(panel) == OWNERS


def test_that_a_click_chooses_the_layer_and_keys_walk_on(qtbot: QtBot, panel: OverviewPanel) -> None:
    place = panel.view.visualRect(panel.model.index(1)).center()
    with qtbot.waitSignal(panel.layer_wanted) as wanted:
        qtbot.mouseClick(panel.view.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(place))
    assert wanted.args == ["stem.conv"]
    with qtbot.waitSignal(panel.layer_wanted) as wanted:
        qtbot.keyClick(panel.view, Qt.Key.Key_Right)
    assert wanted.args == ["stem.act"]
    with qtbot.waitSignal(panel.ranges_wanted):
        qtbot.keyClick(panel.view, Qt.Key.Key_Return)


def test_that_it_follows_the_selection_without_asking_for_it(qtbot: QtBot, panel: OverviewPanel) -> None:
    with qtbot.assertNotEmitted(panel.layer_wanted):
        panel.show_layers(["pool"])
    assert panel.view.currentIndex().data() == "stem.act"


def test_that_a_decision_makes_one_new_picture(qtbot: QtBot, panel: OverviewPanel, calibrated: Document) -> None:
    qtbot.waitUntil(lambda: pictured(panel) == len(OWNERS))
    before = panel.model.index(OWNERS.index("head")).data(SQNR_ROLE)
    edit = decisions.activation_observer_edit(Observer(ObserverKind.FIXED, low=-0.5, high=0.5))
    calibrated.decide("Fix", ["head"], edit)
    qtbot.waitUntil(lambda: pictured(panel) == len(OWNERS) + 1)
    assert panel.model.index(OWNERS.index("head")).data(SQNR_ROLE) < before


def test_that_pictures_follow_the_theme(qtbot: QtBot, panel: OverviewPanel, theme: Theme) -> None:
    qtbot.waitUntil(lambda: pictured(panel) == len(OWNERS))
    theme.choose(ThemeName.DARK)
    qtbot.waitUntil(lambda: pictured(panel) == 2 * len(OWNERS))
    theme.choose(ThemeName.LIGHT)


def test_that_nothing_is_computed_for_what_is_not_seen(qtbot: QtBot, theme: Theme) -> None:
    model = ui_samples.large_model(300)
    document = Document()
    document.open_model(model, ModelReference("example:large"), DataReference())
    statistics = ui_samples.statistics(0)
    record = ui_samples.record(ui_samples.large_model(1))
    names = [tensor.name for tensor in model.tensors]
    document.set_statistics(type(record)(dict.fromkeys(names, statistics), record.samples, 20, "m", "d"))
    idle = Idle(document)
    panel = OverviewPanel(document, theme, idle)
    qtbot.addWidget(panel)
    panel.resize(560, 420)
    with qtbot.waitExposed(panel):
        panel.show()
    qtbot.waitUntil(lambda: pictured(panel) >= 9)
    qtbot.waitUntil(lambda: panel.model._drawing is None)
    assert pictured(panel) < 25
    panel.view.scrollToBottom()
    last = (names[-1], panel.model._setting(panel.model._entries[-1]), False)
    qtbot.waitUntil(lambda: last in panel.model._pictures)
    assert pictured(panel) < 50
    panel.close()
    document.deleteLater()


def test_that_it_says_what_is_missing(qtbot: QtBot, document: Document, theme: Theme) -> None:
    panel = OverviewPanel(document, theme, Idle(document))
    qtbot.addWidget(panel)
    with qtbot.waitExposed(panel):
        panel.show()
    qtbot.waitUntil(lambda: "open some, then calibrate" in panel.banner.label.text())
    document.open_data(ui_samples.data(), DataReference("example:digits"))
    qtbot.waitUntil(panel.banner.button.isVisible)
    with qtbot.waitSignal(panel.calibration_wanted):
        panel.banner.button.click()
