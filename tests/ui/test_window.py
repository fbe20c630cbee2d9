import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QWidget,
)
from pytestqt.qtbot import QtBot

from qgui.core import decisions, recipe_file
from qgui.core.layers import Layer
from qgui.core.recipe import DataReference, Mode, ModelReference, ObserverKind, Rule
from qgui.ui.actions import ActionId
from qgui.ui.dialogs.export import ExportDialog
from qgui.ui.examples import examples
from qgui.ui.main_window import MainWindow
from qgui.ui.settings import THEME, RecentEntry
from qgui.ui.theme import ThemeName

ROOT = Path(__file__).resolve().parents[2]


def step(window: MainWindow, name: str) -> object:
    return {"signal": window.workflow.step_finished, "check_params_cb": lambda finished: finished == name}


def dialog(window: MainWindow, name: str) -> QDialog:
    found = window.findChild(QDialog, name)
    assert found is not None, f"no dialog {name}"
    return found


def press(parent: QWidget, name: str) -> None:
    button = parent.findChild(QPushButton, name)
    assert button is not None, f"no button {name}"
    button.click()


def settle(qtbot: QtBot, condition: Callable[[], bool]) -> None:
    qtbot.waitUntil(condition)


def test_that_an_empty_window_offers_the_examples_and_says_why_nothing_else_works(window: MainWindow) -> None:
    assert window.pages.currentWidget() is window.start_page
    assert not window.actions_by_id[ActionId.QUANTIZE].isEnabled()
    assert "Open a model first" in window.actions_by_id[ActionId.QUANTIZE].toolTip()
    for example in examples():
        assert window.start_page.findChild(QPushButton, f"open_{example.source}") is not None


def test_that_an_example_opens_with_its_data_and_the_next_step_stands_out(qtbot: QtBot, window: MainWindow) -> None:
    with qtbot.waitSignal(**step(window, "data")):
        press(window.start_page, "open_example:digits-cnn")
    assert window.windowTitle() == "digits-cnn.qgui[*] - QGUI"
    assert not window.isWindowModified()
    button = window.bar.steps.buttons[ActionId.CALIBRATE]
    settle(qtbot, lambda: bool(button.property("nextStep")))
    assert "calibrate" in window.status.text.text()


def test_that_quantizing_calibrates_first(qtbot: QtBot, opened: MainWindow, heard: Callable[[], list[str]]) -> None:
    with qtbot.waitSignal(**step(opened, "quantize")):
        opened.actions_by_id[ActionId.QUANTIZE].trigger()
    assert heard()[-2:] == ["Calibrate", "Quantize"]
    assert opened.document.result is not None
    assert not opened.document.result_stale


def test_that_comparing_after_a_decision_quantizes_again_and_shows_the_numbers(
    qtbot: QtBot, opened: MainWindow, heard: Callable[[], list[str]]
) -> None:
    with qtbot.waitSignal(**step(opened, "compare")):
        opened.actions_by_id[ActionId.COMPARE].trigger()
    panel = opened.workbench.compare_panel
    assert panel.isVisible()
    assert panel.cards["speed"].number.text() == "3.33 ×"
    assert "−0.50 points" in panel.cards["accuracy"].text.text()
    assert not panel.stale.isVisible()
    opened.document.decide("Mode", ["head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    assert panel.stale.isVisible()
    with qtbot.waitSignal(**step(opened, "compare")):
        panel.stale.button.click()
    assert heard()[-2:] == ["Quantize", "Compare"]
    assert not panel.stale.isVisible()


def test_that_an_export_shows_its_checked_files(qtbot: QtBot, opened: MainWindow, tmp_path: Path) -> None:
    with qtbot.waitSignal(**step(opened, "quantize")):
        opened.workflow.quantize()
    qtbot.waitUntil(opened.actions_by_id[ActionId.EXPORT].isEnabled)
    opened.actions_by_id[ActionId.EXPORT].trigger()
    export = dialog(opened, "exportDialog")
    export.findChild(QLineEdit, "exportFolder").setText(str(tmp_path / "out"))
    with qtbot.waitSignal(**step(opened, "export")):
        press(export, "exportStart")
    table = export.table  # type: ignore[attr-defined]
    rows = [[table.item(row, column).text() for column in range(8)] for row in range(2)]
    assert rows[0] == ["TorchScript", "model.pt", "4 B", "✓ same outputs", "100.0 %", "0", "exact", "0.8 ms"]
    assert rows[1][3:] == ["✕ other outputs", "50.0 %", "3.1", "3.2 dB", "0.4 ms"]
    message = export.message.text()  # type: ignore[attr-defined]
    assert message == "ONNX: The fresh process computes other outputs. The first layer where they part: head."
    assert (tmp_path / "out" / "model.pt").exists()
    press(export, "exportStart")
    box = dialog(opened, "exportReplaceBox")
    assert isinstance(box, QMessageBox)
    assert box.text() == "Replace model.pt?"
    box.button(QMessageBox.StandardButton.Cancel).click()
    assert export.export.isEnabled()  # type: ignore[attr-defined]
    press(export, "exportStart")
    box = opened.findChildren(QMessageBox, "exportReplaceBox")[-1]
    with qtbot.waitSignal(**step(opened, "export")):
        next(button for button in box.buttons() if button.text() == "Replace").click()
    export.accept()


def test_that_a_format_that_cannot_carry_the_model_is_disabled_and_says_why(qtbot: QtBot, opened: MainWindow) -> None:
    model, recipe = opened.document.model, opened.document.recipe
    assert model is not None
    gru = Layer("encoder.gru", "GRU", "module", node="encoder_gru")
    opened.document.model = msgspec.structs.replace(model, layers=(*model.layers, gru))
    opened.document.recipe = recipe.with_rules({**recipe.rules, "encoder.gru": Rule(mode=Mode.DYNAMIC)})
    export = ExportDialog(opened.document, opened.workflow, opened.settings, opened)
    qtbot.addWidget(export)
    box = export.formats["onnx"]
    assert not box.isEnabled()
    assert not box.isChecked()
    assert "ONNX Runtime has no int8 GRU: encoder.gru" in export.sentences["onnx"].text()
    assert "Make these layers float" in box.toolTip()
    assert export.formats["torchscript"].isEnabled()


def test_that_the_fastest_backend_is_offered_and_its_choice_can_be_undone(qtbot: QtBot, opened: MainWindow) -> None:
    with qtbot.waitSignal(opened.workflow.backends_measured):
        opened.workflow.measure_backends()
    press(dialog(opened, "backendDialog"), "backendUse")
    assert opened.document.recipe.backend == "onednn"
    qtbot.waitUntil(lambda: opened.bar.backend.currentText() == "onednn")
    opened.actions_by_id[ActionId.UNDO].trigger()
    assert opened.document.recipe.backend == "x86"


def test_that_code_in_a_file_runs_only_after_the_person_agrees(qtbot: QtBot, window: MainWindow) -> None:
    with qtbot.waitSignal(window.workflow.trust_needed):
        window.open_model(ModelReference("evil.pt"))
    trust = dialog(window, "trustDialog")
    assert "with your rights" in " ".join(label.text() for label in trust.findChildren(QWidget, "trustText"))
    trust.reject()
    assert window.document.model is None
    with qtbot.waitSignal(window.workflow.trust_needed):
        window.open_model(ModelReference("evil.pt"))
    with qtbot.waitSignal(**step(window, "model")):
        press(window.findChildren(QDialog, "trustDialog")[-1], "trustRun")
    assert window.document.recipe.model.source == "evil.pt"


def test_that_a_failure_says_what_why_and_what_next_and_can_be_copied(qtbot: QtBot, window: MainWindow) -> None:
    with qtbot.waitSignal(window.workflow.failed):
        window.open_model(ModelReference("example:missing"))
    failure = dialog(window, "failureDialog")
    texts = [label.text() for label in failure.findChildren(QWidget) if label.objectName().startswith("failure_")]
    assert texts == ["Could not open the model", "No such example.", "Choose another."]
    press(failure, "failureCopy")
    assert "no such example" in QGuiApplication.clipboard().text()
    failure.accept()
    assert window.document.model is None


def test_that_a_crash_keeps_every_decision_and_the_next_job_runs(qtbot: QtBot, window: MainWindow) -> None:
    with qtbot.waitSignal(**step(window, "data")):
        window.open_model(ModelReference("example:crash"), DataReference("example:digits"))
    window.document.decide("Mode", ["head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    before = window.document.recipe
    with qtbot.waitSignal(window.workflow.failed):
        window.workflow.calibrate()
    assert window.document.recipe == before
    dialog(window, "failureDialog").accept()
    with qtbot.waitSignal(**step(window, "quantize")):
        window.workflow.quantize()
    assert window.document.recipe == before


def test_that_cancel_stops_the_job_and_no_decision_is_lost(qtbot: QtBot, window: MainWindow) -> None:
    with qtbot.waitSignal(**step(window, "data")):
        window.open_model(ModelReference("example:slow"), DataReference("example:digits"))
    before = window.document.recipe
    with qtbot.waitSignal(window.client.progressed):
        window.workflow.calibrate()
    assert window.status.text.text() == "Calibrating  3 of 10"
    assert window.status.left.text() == "00:07 left"
    qtbot.waitUntil(window.actions_by_id[ActionId.CANCEL].isEnabled)
    with qtbot.waitSignal(window.client.finished):
        window.actions_by_id[ActionId.CANCEL].trigger()
    assert window.document.recipe == before
    assert window.document.ranges is None
    qtbot.waitUntil(window.actions_by_id[ActionId.CALIBRATE].isEnabled)


def test_that_selected_layers_get_a_mode_by_key(qtbot: QtBot, opened: MainWindow) -> None:
    opened.layer_panel.select(["stem.conv", "head"])
    opened.layer_panel.menu.mode_actions[Mode.FLOAT].trigger()
    assert opened.document.recipe.rule("stem.conv").mode is Mode.FLOAT
    assert opened.document.recipe.rule("head").mode is Mode.FLOAT
    assert opened.document.undo_stack.count() == 1


def test_that_all_layers_of_a_type_are_found_selected_and_decided_at_once(qtbot: QtBot, opened: MainWindow) -> None:
    opened.layer_panel.filter_row.text.setText("conv")
    opened.actions_by_id[ActionId.SELECT_MATCHING].trigger()
    assert set(opened.layer_panel.selected_layers()) == {"stem.conv", "up"}


def test_that_a_mixed_selection_is_shown_as_mixed(qtbot: QtBot, opened: MainWindow) -> None:
    opened.layer_panel.select(["stem.conv", "rnn"])
    mode = opened.inspector.mode
    qtbot.waitUntil(lambda: mode.currentIndex() == -1)
    assert mode.placeholderText() == "mixed"
    mode.chosen.emit(Mode.DYNAMIC)
    assert opened.document.recipe.rule("rnn").mode is Mode.DYNAMIC
    assert opened.document.recipe.rule("stem.conv").mode is Mode.STATIC
    assert "stem.conv" in opened.workbench.notice.label.text()


def test_that_the_inspector_disables_what_is_impossible_and_says_why(qtbot: QtBot, opened: MainWindow) -> None:
    opened.layer_panel.select(["up"])
    scheme = opened.inspector.weight_scheme
    qtbot.waitUntil(lambda: opened.inspector.facts.title.accessibleName() == "up" and scheme.isVisible())
    row = scheme.findText("per-channel symmetric")
    item = scheme.model().item(row)  # type: ignore[attr-defined]
    assert not item.isEnabled()
    assert "one scale per tensor" in item.toolTip()


def test_that_dragging_the_range_is_one_undo_step(qtbot: QtBot, opened: MainWindow) -> None:
    with qtbot.waitSignal(**step(opened, "calibrate")):
        opened.workflow.calibrate()
    opened.layer_panel.select(["head"])
    panel = opened.workbench.ranges_panel
    qtbot.waitUntil(lambda: panel.model.rowCount() == 5)
    before = opened.document.recipe
    viewport, y = panel.plot.viewport(), panel.plot.height() * 3 // 4
    start, end = (round(panel.plot.pixel_of(value)) for value in (panel.plot.region.handles[1], 3.0))
    qtbot.mousePress(viewport, Qt.MouseButton.LeftButton, pos=QPoint(start, y))
    for x in (start - 5, end + 20, end):
        qtbot.mouseMove(viewport, QPoint(x, y))
    assert opened.document.recipe == before
    qtbot.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=QPoint(end, y))
    observer = opened.document.recipe.rule("head").activation.observer
    assert observer.kind is ObserverKind.FIXED
    assert observer.high == pytest.approx(3.0, abs=0.1)
    assert opened.document.undo_stack.count() == 1
    qtbot.waitUntil(opened.actions_by_id[ActionId.UNDO].isEnabled)
    assert panel.model.rowCount() == 6
    opened.actions_by_id[ActionId.UNDO].trigger()
    assert opened.document.recipe == before


def test_that_page_keys_in_the_plot_step_through_the_layers_and_the_focus_stays(
    qtbot: QtBot, opened: MainWindow
) -> None:
    with qtbot.waitSignal(**step(opened, "calibrate")):
        opened.workflow.calibrate()
    opened.layer_panel.select(["stem.conv"])
    plot = opened.workbench.ranges_panel.plot
    qtbot.waitUntil(plot.isVisible)
    plot.setFocus()
    qtbot.keyClick(plot, Qt.Key.Key_PageDown)
    assert opened.layer_panel.selected_layers() == ("stem.act",)
    qtbot.keyClick(plot, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    assert opened.layer_panel.selected_layers() == ("pool",)
    qtbot.keyClick(plot, Qt.Key.Key_PageUp)
    assert opened.layer_panel.selected_layers() == ("stem.act",)
    qtbot.waitUntil(lambda: "stem.act" in opened.workbench.ranges_panel.title.text())
    assert opened.focusWidget() is plot


def test_that_arrow_keys_in_the_layer_table_take_the_plot_along(qtbot: QtBot, opened: MainWindow) -> None:
    with qtbot.waitSignal(**step(opened, "calibrate")):
        opened.workflow.calibrate()
    opened.layer_panel.select(["pool"])
    for name in ("rnn", "up"):
        qtbot.keyClick(opened.layer_panel.view, Qt.Key.Key_Down)
        qtbot.waitUntil(lambda name=name: opened.workbench.ranges_panel.title.text() == f"Output of {name}")


def test_that_an_observer_is_adopted_from_the_legend(qtbot: QtBot, opened: MainWindow) -> None:
    with qtbot.waitSignal(**step(opened, "calibrate")):
        opened.workflow.calibrate()
    opened.layer_panel.select(["pool"])
    panel = opened.workbench.ranges_panel
    qtbot.waitUntil(lambda: panel.model.rowCount() == 5)
    assert "stem.act" in panel.note.text()
    panel.table.adopted.emit(0)
    assert opened.document.recipe.rule("stem.act").activation.observer.kind is ObserverKind.MINMAX


def test_that_the_weights_come_from_the_engine_and_can_be_adopted(qtbot: QtBot, opened: MainWindow) -> None:
    opened.layer_panel.select(["stem.conv"])
    opened.workbench.tabs.setCurrentWidget(opened.workbench.weights_panel)
    panel = opened.workbench.weights_panel
    qtbot.waitUntil(lambda: panel.model.rowCount() == 4)
    panel.table.adopted.emit(3)
    weight = opened.document.recipe.rule("stem.conv").weight
    assert (weight.qscheme, weight.observer.kind) == ("per_tensor_symmetric", ObserverKind.MSE)


def test_that_weights_are_asked_for_again_once_they_are_equalized(
    qtbot: QtBot, opened: MainWindow, heard: Callable[[], list[str]]
) -> None:
    opened.layer_panel.select(["stem.conv"])
    opened.workbench.tabs.setCurrentWidget(opened.workbench.weights_panel)
    panel = opened.workbench.weights_panel
    qtbot.waitUntil(lambda: panel.model.rowCount() == 4)
    opened.step_menu.aboutToShow.emit()
    opened.step_menu.steps["equalize"].trigger()
    qtbot.waitUntil(lambda: panel.model.rowCount() == 4 and "equalized" in panel.facts.text())
    assert heard().count("WeightRanges") == 2
    opened.document.undo_stack.undo()
    qtbot.waitUntil(lambda: panel.model.rowCount() == 4 and "equalized" not in panel.facts.text())


def test_that_closing_with_unsaved_decisions_asks(qtbot: QtBot, opened: MainWindow) -> None:
    opened.document.decide("Mode", ["head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    opened.close()
    assert opened.isVisible()
    box = dialog(opened, "unsavedBox")
    assert isinstance(box, QMessageBox)
    box.button(QMessageBox.StandardButton.Cancel).click()
    assert opened.isVisible()
    opened.close()
    box = opened.findChildren(QMessageBox, "unsavedBox")[-1]
    box.button(QMessageBox.StandardButton.Discard).click()
    assert not opened.isVisible()


def test_that_saved_decisions_open_again(qtbot: QtBot, opened: MainWindow, tmp_path: Path) -> None:
    opened.document.decide("Mode", ["head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    path = tmp_path / "mine.qgui"
    opened.filing.save_to(path)
    assert not opened.isWindowModified()
    saved = recipe_file.load(path)
    opened.document.decide("Mode", ["head"], decisions.mode_edit(Mode.STATIC, "x86"))
    with qtbot.waitSignal(**step(opened, "data")):
        opened.filing.open_recipe(path)
    assert opened.document.recipe == saved
    assert opened.windowTitle() == "mine.qgui[*] - QGUI"
    assert not opened.isWindowModified()
    assert opened.settings.recent()[0] == RecentEntry("recipe", str(path))


def test_that_a_full_disk_at_saving_is_told_and_keeps_the_decisions_unsaved(opened: MainWindow, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    opened.document.decide("Mode", ["head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    opened.filing.save_to(tmp_path / "file" / "mine.qgui")
    assert opened.document.modified
    assert "Could not write" in dialog(opened, "failureDialog").findChild(QWidget, "failure_what").text()  # type: ignore[attr-defined]


def test_that_a_damaged_recipe_is_told_in_one_sentence(qtbot: QtBot, window: MainWindow, tmp_path: Path) -> None:
    path = tmp_path / "broken.qgui"
    path.write_text("{")
    with qtbot.waitSignal(window.workflow.failed) as failed:
        window.filing.open_recipe(path)
    assert "not a recipe" in failed.args[0].why
    dialog(window, "failureDialog").accept()


def test_that_the_theme_changes_at_once_and_is_remembered(window: MainWindow) -> None:
    window.choose_theme(ThemeName.DARK)
    assert window.theme.colours.dark
    assert window.palette().window().color().lightness() < 80
    assert window.settings.get(THEME) == "dark"
    window.choose_theme(ThemeName.LIGHT)
    assert window.palette().window().color().lightness() > 200


def test_that_every_action_can_be_reached_by_key_or_menu(window: MainWindow) -> None:
    shown = {action for menu in window.menuBar().findChildren(QWidget) for action in menu.actions()}
    assert all(window.actions_by_id[name] in shown for name in ActionId)
    keys = [window.actions_by_id[name].shortcut().toString() for name in ActionId]
    keys += [action.shortcut().toString() for action in window.layer_panel.menu.mode_actions.values()]
    given = [key for key in keys if key]
    assert len(given) == len(set(given))


@pytest.mark.qt_log_ignore("This plugin does not support grabbing the keyboard")
def test_that_the_mode_is_edited_in_place_by_keyboard(qtbot: QtBot, opened: MainWindow) -> None:
    from qgui.ui.layer_cells import Column

    view = opened.layer_panel.view
    opened.layer_panel.select(["head"])
    index = opened.layer_panel.filter.mapFromSource(opened.layer_panel.model.index_of("head"))
    view.setCurrentIndex(index.siblingAtColumn(Column.MODE))
    view.setFocus()
    qtbot.keyClick(view, Qt.Key.Key_F2)
    editor = view.findChild(QComboBox, "cellEditor")
    assert editor is not None
    qtbot.keyClick(editor, Qt.Key.Key_Up)
    qtbot.waitUntil(lambda: opened.document.recipe.rule("head").mode is not Mode.STATIC)


def test_that_a_running_window_has_no_torch() -> None:
    code = (
        "import sys; from qgui.ui.app import create_application; from qgui.ui.main_window import MainWindow; "
        "from qgui.ui.settings import Settings; from qgui.ui.theme import Theme; from pathlib import Path; "
        "import tempfile; folder = Path(tempfile.mkdtemp()); application = create_application(); "
        "window = MainWindow(Settings(folder / 's.ini'), Theme(), state_folder=folder); window.show(); "
        "early = 'numpy' in sys.modules or 'pyqtgraph' in sys.modules; window.build_panels(); "
        "application.processEvents(); window.close(); "
        "assert not early, 'too much before the first paint'; assert 'pyqtgraph' in sys.modules; "
        "assert 'torch' not in sys.modules, 'torch'"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
