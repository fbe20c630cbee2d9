"""Ticking equalization, bias correction and AdaRound for some layers or all, and seeing what they did."""

import msgspec
import ui_samples
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from qgui.core import decisions
from qgui.core.recipe import STEPS, Mode, Step
from qgui.core.results import StepEffect
from qgui.ui.document import Document
from qgui.ui.inspector import Inspector
from qgui.ui.step_boxes import StepBoxes, StepMenu


def shown(qtbot: QtBot, document: Document, *names: str) -> StepBoxes:
    inspector = Inspector(document)
    qtbot.addWidget(inspector)
    inspector.show()
    show(qtbot, inspector, *names)
    return inspector.steps


def show(qtbot: QtBot, inspector: Inspector, *names: str) -> None:
    inspector.show_layers(names)
    qtbot.waitUntil(lambda: [layer.name for layer in inspector.steps._layers] == list(names))


def ticked(document: Document, step: Step) -> set[str]:
    return {name for name, rule in document.recipe.rules.items() if getattr(rule, step)}


def test_that_a_tick_is_one_undoable_decision(qtbot: QtBot, calibrated: Document) -> None:
    boxes = shown(qtbot, calibrated, "stem.conv")
    boxes.boxes["correct_bias"].click()
    assert ticked(calibrated, "correct_bias") == {"stem.conv"}
    assert calibrated.undo_stack.undoText() == "Bias correction"
    qtbot.waitUntil(lambda: "Quantize to see its effect" in boxes.notes["correct_bias"].text())
    calibrated.undo_stack.undo()
    assert ticked(calibrated, "correct_bias") == set()
    qtbot.waitUntil(lambda: not boxes.boxes["correct_bias"].isChecked())


def test_that_several_layers_are_ticked_as_one_step_and_a_mixed_selection_says_so(
    qtbot: QtBot, calibrated: Document
) -> None:
    calibrated.decide("One", ["head"], decisions.step_edit("adaround", True, "x86"))
    boxes = shown(qtbot, calibrated, "stem.conv", "head")
    assert boxes.boxes["adaround"].checkState() is Qt.CheckState.PartiallyChecked
    before = calibrated.undo_stack.count()
    boxes.boxes["adaround"].click()
    assert ticked(calibrated, "adaround") == {"stem.conv", "head"}
    assert calibrated.undo_stack.count() == before + 1
    qtbot.waitUntil(lambda: boxes.boxes["adaround"].checkState() is Qt.CheckState.Checked)
    boxes.boxes["adaround"].click()
    assert ticked(calibrated, "adaround") == set()


def test_that_layers_that_may_not_have_a_step_keep_theirs_beside_others(qtbot: QtBot, calibrated: Document) -> None:
    boxes = shown(qtbot, calibrated, "stem.conv", "rnn", "up")
    boxes.boxes["adaround"].click()
    assert ticked(calibrated, "adaround") == {"stem.conv"}


def test_that_a_box_that_cannot_be_ticked_says_why(qtbot: QtBot, calibrated: Document) -> None:
    boxes = shown(qtbot, calibrated, "up")
    for step in STEPS:
        assert not boxes.boxes[step].isEnabled()
        assert "ConvTranspose2d" in boxes.boxes[step].toolTip()
        assert not boxes.notes[step].isVisible()
    assert "ConvTranspose2d" in boxes.reason.text()


def test_that_each_box_has_a_name_and_one_sentence(qtbot: QtBot, calibrated: Document) -> None:
    boxes = shown(qtbot, calibrated, "stem.conv")
    for box in boxes.boxes.values():
        assert box.isEnabled()
        assert box.accessibleName()
        assert box.toolTip().endswith(".")


def test_that_equalization_waits_for_its_partner_and_makes_the_statistics_stale_with_it(
    qtbot: QtBot, calibrated: Document
) -> None:
    boxes = shown(qtbot, calibrated, "stem.conv")
    boxes.boxes["equalize"].click()
    qtbot.waitUntil(lambda: "once head is ticked too" in boxes.notes["equalize"].text())
    assert calibrated.statistics_stale == ""
    calibrated.decide("Partner", ["head"], decisions.step_edit("equalize", True, "x86"))
    assert "equalization changes the weights of head, stem.conv" in calibrated.statistics_stale


def test_that_the_effect_of_a_step_is_shown_after_quantizing(qtbot: QtBot, calibrated: Document) -> None:
    boxes = shown(qtbot, calibrated, "stem.conv")
    boxes.boxes["adaround"].click()
    result = ui_samples.result(calibrated.recipe)
    layers = tuple(
        msgspec.structs.replace(layer, effects=(StepEffect("adaround", 28.04, 33.17),))
        if layer.name == "stem.conv"
        else layer
        for layer in result.layers
    )
    calibrated.set_result(msgspec.structs.replace(result, layers=layers))
    qtbot.waitUntil(lambda: boxes.notes["adaround"].text() == "SQNR 28.0 dB → 33.2 dB")
    calibrated.decide("Later", ["head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    qtbot.waitUntil(lambda: "before the last decisions" in boxes.notes["adaround"].text())


def test_that_another_mode_takes_the_ticks_that_it_does_not_allow(calibrated: Document) -> None:
    for step in STEPS:
        calibrated.decide(step, ["stem.conv", "head"], decisions.step_edit(step, True, "x86"))
    calibrated.decide("Mode", ["stem.conv"], decisions.mode_edit(Mode.FLOAT, "x86"))
    assert all(ticked(calibrated, step) == {"head"} for step in STEPS)
    calibrated.undo_stack.undo()
    assert all(ticked(calibrated, step) == {"head", "stem.conv"} for step in STEPS)


def test_that_the_menu_ticks_all_layers_that_may_as_one_step(qtbot: QtBot, calibrated: Document) -> None:
    menu = StepMenu(calibrated)
    qtbot.addWidget(menu)
    able = {"stem.conv", "head"}
    for step in STEPS:
        menu.steps[step].trigger()
        assert ticked(calibrated, step) == able
        assert menu.steps[step].isChecked()
    assert calibrated.undo_stack.count() == 3
    menu.steps["adaround"].trigger()
    assert ticked(calibrated, "adaround") == set()
    calibrated.undo_stack.undo()
    menu.aboutToShow.emit()
    assert menu.steps["adaround"].isChecked()


def test_that_the_menu_says_why_nothing_can_be_ticked(qtbot: QtBot, calibrated: Document) -> None:
    calibrated.decide("Float", list(calibrated.recipe.rules), decisions.mode_edit(Mode.FLOAT, "x86"))
    menu = StepMenu(calibrated)
    qtbot.addWidget(menu)
    assert not any(action.isEnabled() for action in menu.steps.values())
    assert all("No layer may have it" in action.toolTip() for action in menu.steps.values())
