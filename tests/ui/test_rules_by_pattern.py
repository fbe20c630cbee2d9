"""Rules by pattern in the window, and recipes of other models."""

from pathlib import Path

import msgspec
import pytest
import ui_samples
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog
from pytestqt.qtbot import QtBot

from qgui.core import decisions, recipe_file
from qgui.core.patterns import parsed
from qgui.core.recipe import Mode, ModelReference, PatternRule, Recipe, Rule
from qgui.ui.actions import ActionId
from qgui.ui.dialogs.misfits import MisfitDialog
from qgui.ui.dialogs.rules import RulesDialog
from qgui.ui.document import Document
from qgui.ui.inspector import Inspector
from qgui.ui.layer_cells import Column
from qgui.ui.main_window import MainWindow


def rules(*lines: str) -> tuple[PatternRule, ...]:
    return tuple(map(parsed, lines))


def mode(document: Document, layer: str) -> Mode:
    return document.recipe.rule(layer).mode


def choose(dialog: RulesDialog, key: str, label: str) -> None:
    box = dialog.settings.boxes[key]
    index = box.findText(label)
    assert index >= 0
    box.setCurrentIndex(index)
    box.activated.emit(index)


@pytest.fixture
def dialog(qtbot: QtBot, document: Document) -> RulesDialog:
    dialog = RulesDialog(document, "Conv2d")
    qtbot.addWidget(dialog)
    dialog.decided.connect(document.change_patterns)
    return dialog


def test_that_rules_by_pattern_are_one_undo_step_with_all_that_follows(document: Document) -> None:
    before = document.recipe
    document.change_patterns(rules("stem.*=float", "Linear=dynamic"))
    assert (mode(document, "stem.conv"), mode(document, "head")) == (Mode.FLOAT, Mode.DYNAMIC)
    assert document.undo_stack.count() == 1
    document.undo_stack.undo()
    assert document.recipe == before


def test_that_a_decision_for_one_layer_frees_it_from_its_pattern_until_it_is_taken_back(document: Document) -> None:
    document.change_patterns(rules("stem.*=float"))
    bound = document.recipe
    document.decide("Mode", ["stem.conv"], decisions.mode_edit(Mode.STATIC, "x86"))
    assert mode(document, "stem.conv") is Mode.STATIC
    document.give_back(["stem.conv"])
    assert document.recipe == bound
    document.undo_stack.undo()
    assert mode(document, "stem.conv") is Mode.STATIC
    document.undo_stack.undo()
    assert document.recipe == bound


def test_that_patterns_hold_for_layers_that_data_makes_known(document: Document) -> None:
    document.change_patterns(rules("Linear=float"))
    fuller = ui_samples.model()
    extra = msgspec.structs.replace(fuller.layer("head"), name="head2", node="head2", tensor="head2")
    document.describe_model(msgspec.structs.replace(fuller, layers=(*fuller.layers, extra)))
    assert mode(document, "head2") is Mode.FLOAT


def test_that_patterns_hold_again_where_a_backend_forbade_them(document: Document) -> None:
    document.change_patterns(rules("Linear=dynamic,weight_dtype=float16"))
    document.change_backend("qnnpack")
    assert document.recipe.rule("head").weight.dtype == "qint8"
    document.change_backend("x86")
    assert document.recipe.rule("head").weight.dtype == "float16"


def test_that_the_dialog_adds_a_rule_for_the_suggested_type(
    qtbot: QtBot, dialog: RulesDialog, document: Document
) -> None:
    assert not dialog.remove.isEnabled()
    assert "no rules" in dialog.note.text()
    dialog.add.click()
    assert dialog.pattern.text() == "Conv2d"
    assert not dialog.take.isEnabled()
    assert "sets nothing" in dialog.take.toolTip()
    choose(dialog, "mode", "float")
    choose(dialog, "observer", "MinMax")
    qtbot.waitUntil(dialog.take.isEnabled)
    assert dialog.table.item(0, 1).text() == "float, observer=minmax"
    assert "stem.conv" in dialog.note.text()
    with qtbot.waitSignal(dialog.decided):
        dialog.take.click()
    assert document.recipe.patterns == rules("Conv2d=float,observer=minmax")
    assert mode(document, "stem.conv") is Mode.FLOAT


def test_that_the_dialog_orders_changes_and_removes_rules(qtbot: QtBot, document: Document) -> None:
    document.change_patterns(rules("stem.*=float", "Conv2d=static"))
    assert mode(document, "stem.conv") is Mode.STATIC
    dialog = RulesDialog(document)
    qtbot.addWidget(dialog)
    dialog.decided.connect(document.change_patterns)
    assert not dialog.up.isEnabled()
    dialog.down.click()
    assert dialog.table.currentRow() == 1
    assert not dialog.down.isEnabled()
    dialog.table.setCurrentCell(0, 0)
    dialog.pattern.selectAll()
    qtbot.keyClicks(dialog.pattern, "Linear")
    dialog.take.click()
    assert document.recipe.patterns == rules("Linear=static", "stem.*=float")
    assert mode(document, "stem.conv") is Mode.FLOAT
    again = RulesDialog(document)
    qtbot.addWidget(again)
    again.decided.connect(document.change_patterns)
    again.remove.click()
    again.remove.click()
    again.take.click()
    assert document.recipe.patterns == ()


def test_that_the_dialog_says_what_a_rule_cannot_do(qtbot: QtBot, dialog: RulesDialog, document: Document) -> None:
    document.decide("Mode", ["head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    dialog.add.click()
    dialog.pattern.selectAll()
    qtbot.keyClicks(dialog.pattern, "nowhere.*")
    choose(dialog, "mode", "dynamic")
    qtbot.waitUntil(lambda: "No layer of this model" in dialog.note.text())
    assert dialog.table.item(0, 2).text() == "⚠ 0 layers"
    dialog.pattern.selectAll()
    qtbot.keyClicks(dialog.pattern, "*")
    qtbot.waitUntil(lambda: "Dynamic is not possible for stem.conv" in dialog.note.text())
    assert "head keeps a rule of its own." in dialog.note.text()


def test_that_cancelling_the_dialog_changes_nothing(dialog: RulesDialog, document: Document) -> None:
    before = document.recipe
    dialog.add.click()
    choose(dialog, "mode", "float")
    dialog.reject()
    assert document.recipe is before


def test_that_table_and_inspector_name_the_pattern_of_a_layer(qtbot: QtBot, opened: MainWindow) -> None:
    document, view = opened.document, opened.layer_panel.view
    assert view.isColumnHidden(Column.RULE)
    document.change_patterns(rules("stem.*=float"))
    assert not view.isColumnHidden(Column.RULE)
    model = opened.layer_panel.model
    cell = model.index_of("stem.conv").siblingAtColumn(Column.RULE)
    assert cell.data() == "stem.*"
    assert "stem.* (float)" in cell.siblingAtColumn(Column.MODE).data(Qt.ItemDataRole.ToolTipRole)
    opened.layer_panel.select(["stem.conv"])
    inspector: Inspector = opened.inspector
    qtbot.waitUntil(lambda: "By pattern" in inspector.origin.text())
    assert not inspector.give_back.isVisible()
    document.decide("Mode", ["stem.conv"], decisions.mode_edit(Mode.STATIC, document.recipe.backend))
    assert cell.data() == "own"
    qtbot.waitUntil(inspector.give_back.isVisible)
    assert "wins over the pattern" in inspector.origin.text()
    inspector.give_back.click()
    assert mode(document, "stem.conv") is Mode.FLOAT
    document.undo_stack.setIndex(0)
    assert view.isColumnHidden(Column.RULE)


def test_that_the_edit_menu_opens_the_dialog_with_the_type_of_the_selected_layer(opened: MainWindow) -> None:
    opened.layer_panel.select(["head"])
    opened.actions_by_id[ActionId.RULES].trigger()
    dialog = opened.findChild(QDialog, "rulesDialog")
    assert isinstance(dialog, RulesDialog)
    dialog.add.click()
    assert dialog.pattern.text() == "Linear"
    dialog.reject()


def test_that_a_recipe_of_another_model_is_applied_as_one_step_and_says_what_does_not_fit(
    qtbot: QtBot, opened: MainWindow, tmp_path: Path
) -> None:
    document = opened.document
    before, data = document.recipe, document.recipe.data
    other = Recipe(
        model=ModelReference("torchvision:resnet18", "other.pt"),
        rules={"head": Rule(Mode.DYNAMIC), "gone": Rule(Mode.STATIC), "rnn": Rule(Mode.STATIC)},
        patterns=rules("stem.*=float"),
    )
    recipe_file.save(other, tmp_path / "other.qgui")
    opened.workflow.apply_recipe(tmp_path / "other.qgui")
    assert (mode(document, "head"), mode(document, "stem.conv")) == (Mode.DYNAMIC, Mode.FLOAT)
    assert document.recipe.model == before.model
    assert document.recipe.data == data
    dialog = opened.findChild(QDialog, "misfitDialog")
    assert isinstance(dialog, MisfitDialog)
    assert dialog.table.rowCount() == 2
    assert "gone: the model has no such layer" in dialog.text()
    assert "statistics and trained weights of the former do not come along" in dialog.text()
    dialog.accept()
    document.undo_stack.undo()
    assert document.recipe == before


def test_that_a_file_that_is_no_recipe_is_refused_and_nothing_changes(
    qtbot: QtBot, opened: MainWindow, tmp_path: Path
) -> None:
    before = opened.document.recipe
    (tmp_path / "bad.qgui").write_text("nothing")
    with qtbot.waitSignal(opened.workflow.failed):
        opened.workflow.apply_recipe(tmp_path / "bad.qgui")
    assert opened.document.recipe == before
    opened.findChild(QDialog, "failureDialog").accept()
