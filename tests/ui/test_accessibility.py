"""Every control of the window, its panels and its dialogs can be named, explained and reached."""

from collections.abc import Callable

import pytest
import ui_samples
from control_walk import controls, doubled_mnemonics, doubled_shortcuts, lacking
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QMenu, QMessageBox, QWidget
from pytestqt.qtbot import QtBot

from qgui.core import decisions
from qgui.core.fitting import Misfit
from qgui.core.messages import Failed
from qgui.core.recipe import DataReference, Mode, ModelReference
from qgui.core.results import BackendTiming
from qgui.ui.actions import ActionId
from qgui.ui.dialogs.backends import BackendDialog
from qgui.ui.dialogs.export import ExportDialog
from qgui.ui.dialogs.failure import ConsentDialog, FailureDialog, TrustDialog
from qgui.ui.dialogs.misfits import MisfitDialog
from qgui.ui.dialogs.open_data import OpenDataDialog
from qgui.ui.dialogs.open_model import OpenModelDialog
from qgui.ui.dialogs.preferences import Applied, PreferencesDialog
from qgui.ui.dialogs.rules import RulesDialog
from qgui.ui.main_window import MainWindow

FAILED = Failed(what="Could not open", why="it is dark", next_step="Wait.", details="Traceback", needs_trust=True)
_TIMINGS = (BackendTiming("onednn", "torchscript", 0.8), BackendTiming("x86", "eager", 1.1))


def nothing(*_: object) -> None:
    pass


DIALOGS: dict[str, Callable[[MainWindow], QDialog]] = {
    "open model": OpenModelDialog,
    "open data": lambda window: OpenDataDialog(ui_samples.model(), DataReference(), window),
    "export": lambda window: ExportDialog(window.document, window.workflow, window.settings, window),
    "preferences": lambda window: PreferencesDialog(
        window.settings, ui_samples.MACHINE, Applied(nothing, nothing, nothing, nothing), window
    ),
    "rules": lambda window: RulesDialog(window.document, "Conv2d", window),
    "backends": lambda window: BackendDialog(_TIMINGS, "x86", window),
    "failure": lambda window: FailureDialog(FAILED, window.theme, window),
    "trust": lambda window: TrustDialog(FAILED, window.theme, window),
    "consent": lambda window: ConsentDialog(FAILED, window.theme, window),
    "misfits": lambda window: MisfitDialog((Misfit("head", "no such layer."),), ("A note.",), window),
}


@pytest.mark.parametrize("name", DIALOGS)
def test_that_every_control_of_a_dialog_is_named_and_explained(qtbot: QtBot, opened: MainWindow, name: str) -> None:
    dialog = DIALOGS[name](opened)
    qtbot.addWidget(dialog)
    assert "\n".join(lacking(dialog)) == ""
    assert doubled_shortcuts(dialog) == []
    assert dialog.objectName()
    assert dialog.windowTitle()


def test_that_the_questions_before_leaving_are_named_and_explained(qtbot: QtBot, window: MainWindow) -> None:
    with qtbot.waitSignal(window.workflow.step_finished, check_params_cb=lambda step: step == "data"):
        window.open_model(ModelReference("example:slow"), DataReference("example:digits"))
    window.document.decide("Mode", ["head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    window.close()
    with qtbot.waitSignal(window.client.progressed):
        window.workflow.calibrate()
    window.close()
    for name in ("unsavedBox", "runningJobBox"):
        box = window.findChild(QMessageBox, name)
        assert box is not None
        assert "\n".join(lacking(box)) == ""
        box.reject()
    window.client.abandon()


def test_that_every_control_of_the_start_page_is_named_and_explained(window: MainWindow) -> None:
    assert "\n".join(lacking(window)) == ""


def test_that_every_control_of_the_panels_is_named_and_explained(qtbot: QtBot, opened: MainWindow) -> None:
    with qtbot.waitSignal(opened.workflow.step_finished, check_params_cb=lambda step: step == "compare"):
        opened.compare()
    opened.layer_panel.select(["stem.conv"])
    qtbot.waitUntil(lambda: opened.inspector.weight_scheme.count() > 0)
    tabs = opened.workbench.tabs
    for place in range(tabs.count()):
        tabs.setCurrentIndex(place)
        qtbot.waitUntil(lambda: not opened.client.busy)
        assert tabs.tabToolTip(place)
    assert "\n".join(lacking(opened)) == ""


def test_that_every_control_of_guide_palette_about_box_and_benchmarks_is_named_and_explained(
    qtbot: QtBot, window: MainWindow
) -> None:
    for action in (ActionId.GUIDE, ActionId.PALETTE, ActionId.BENCHMARKS, ActionId.ABOUT):
        window.actions_by_id[action].trigger()
    qtbot.waitUntil(lambda: window.benchmarks is not None and window.benchmarks.built)
    assert "\n".join(lacking(window)) == ""
    for child in window.findChildren(QWidget):
        if (
            child.isWindow()
            and child.isVisible()
            and child.objectName() in {"guideWindow", "commandPalette", "aboutBox"}
        ):
            child.close()


def test_that_every_control_of_the_advice_is_named_and_explained(opened: MainWindow) -> None:
    opened.actions_by_id[ActionId.ADVICE].trigger()
    window = opened.findChild(QDialog, "adviceWindow")
    assert window is not None
    assert "\n".join(lacking(window)) == ""
    window.close()


def test_that_no_key_and_no_underlined_letter_means_two_things(opened: MainWindow) -> None:
    assert doubled_shortcuts(opened) == []
    menus = [menu for menu in opened.findChildren(QMenu) if menu.title()]
    assert doubled_mnemonics([opened.menuBar(), *menus]) == []


def test_that_the_tab_key_reaches_every_control_of_the_window(qtbot: QtBot, opened: MainWindow) -> None:
    reached: set[int] = set()
    widget: QWidget = opened
    while id(widget) not in reached:
        reached.add(id(widget))
        widget = widget.nextInFocusChain()
    for control in controls(opened):
        if control.isVisible() and control.isEnabled() and control.focusPolicy() & Qt.FocusPolicy.TabFocus:
            assert id(control) in reached, control.objectName()
