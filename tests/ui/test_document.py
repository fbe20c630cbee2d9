from pathlib import Path

import msgspec
import ui_samples
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QCoreApplication
from pytestqt.qtbot import QtBot

from qgui.core import decisions, recipe_file
from qgui.core.recipe import DataReference, Mode, ModelReference, Observer, ObserverKind
from qgui.ui.document import Document

NAMES = [layer.name for layer in ui_samples.LAYERS]


def fixed(low: float, high: float) -> decisions.Edit:
    return decisions.activation_observer_edit(Observer(ObserverKind.FIXED, low=low, high=high))


def test_that_opening_a_model_starts_clean_with_the_advised_rules(document: Document) -> None:
    assert not document.modified
    assert document.recipe.rule("stem.conv").mode is Mode.STATIC
    assert document.recipe.rule("rnn").mode is Mode.DYNAMIC
    assert document.recipe.backend == "x86"


def test_that_a_decision_names_the_changed_layers_and_marks_the_document_modified(
    qtbot: QtBot, document: Document
) -> None:
    with qtbot.waitSignal(document.recipe_changed) as signal:
        document.decide("Mode", ["stem.conv", "head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    assert set(signal.args[0].layers) == {"stem.conv", "head"}
    assert document.modified


def test_that_an_edit_of_many_layers_is_one_undo_step(document: Document) -> None:
    before = document.recipe
    document.decide("Mode", NAMES, decisions.mode_edit(Mode.FLOAT, "x86"))
    assert document.undo_stack.count() == 1
    document.undo_stack.undo()
    assert document.recipe == before


def test_that_dragging_merges_into_one_step(document: Document) -> None:
    before = document.recipe
    for high in (3.0, 4.0, 5.0):
        document.decide("Drag", ["head"], fixed(-1.0, high), merge_key="drag")
    assert document.undo_stack.count() == 1
    assert document.recipe.rule("head").activation.observer.high == 5.0
    document.undo_stack.undo()
    assert document.recipe == before


def test_that_dragging_back_to_the_start_leaves_no_step(document: Document) -> None:
    document.decide("Drag", ["head"], fixed(-1.0, 3.0), merge_key="drag")
    document.undo_stack.setClean()
    document.decide("Drag", ["head"], fixed(-1.0, 4.0), merge_key="turn")
    document.decide("Drag", ["head"], fixed(-1.0, 3.0), merge_key="turn")
    assert document.undo_stack.count() == 1


def test_that_layers_which_may_not_have_a_mode_are_skipped_and_named(qtbot: QtBot, document: Document) -> None:
    document.decide("Mode", ["rnn", "up"], decisions.mode_edit(Mode.DYNAMIC, "x86"))
    assert document.recipe.rule("rnn").mode is Mode.DYNAMIC
    with qtbot.waitSignal(document.notice) as signal:
        document.decide("Mode", ["rnn", "head"], decisions.mode_edit(Mode.STATIC, "x86"))
    assert "rnn" in signal.args[0]
    assert "recurrent" in signal.args[0]
    assert document.recipe.rule("rnn").mode is Mode.DYNAMIC


def test_that_deciding_for_a_fused_layer_decides_for_its_head(document: Document) -> None:
    document.decide("Mode", ["stem.bn"], decisions.mode_edit(Mode.FLOAT, "x86"))
    assert document.recipe.rule("stem.conv").mode is Mode.FLOAT


def test_that_changing_the_backend_is_one_step_that_corrects_rules(qtbot: QtBot, document: Document) -> None:
    document.decide("Mode", ["head"], decisions.mode_edit(Mode.DYNAMIC, "x86"))
    document.decide("Weight", ["head"], decisions.weight_dtype_edit("float16", "x86"))
    before = document.recipe
    with qtbot.waitSignal(document.notice) as signal:
        document.change_backend("qnnpack")
    assert "head" in signal.args[0]
    assert document.recipe.backend == "qnnpack"
    assert document.recipe.rule("head").weight.dtype == "qint8"
    document.undo_stack.undo()
    assert document.recipe == before


def test_that_results_become_stale_with_a_decision_and_fresh_again_by_undo(calibrated: Document) -> None:
    calibrated.set_result(ui_samples.result(calibrated.recipe))
    calibrated.set_comparison(ui_samples.comparison(calibrated.recipe))
    assert not calibrated.result_stale
    calibrated.decide("Mode", ["head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    assert calibrated.result_stale
    assert calibrated.comparison_stale
    calibrated.undo_stack.undo()
    assert not calibrated.result_stale
    assert not calibrated.comparison_stale


def test_that_a_new_calibration_makes_results_stale(calibrated: Document) -> None:
    calibrated.set_result(ui_samples.result(calibrated.recipe))
    calibrated.set_statistics(ui_samples.record())
    assert calibrated.result_stale


def test_that_other_data_voids_statistics_and_results(calibrated: Document) -> None:
    calibrated.set_result(ui_samples.result(calibrated.recipe))
    calibrated.open_data(ui_samples.data(), DataReference("example:digits", calibrate=7))
    assert calibrated.ranges is None
    assert calibrated.result is None
    assert calibrated.recipe.data.calibrate == 7


def test_that_saving_and_opening_gives_the_same_recipe(document: Document, tmp_path: Path) -> None:
    document.decide("Mode", ["head"], decisions.mode_edit(Mode.DYNAMIC, "x86"))
    path = tmp_path / "mine.qgui"
    document.save(path)
    assert not document.modified
    assert document.title == "mine.qgui"
    saved = document.recipe
    document.close_model()
    document.open_recipe(ui_samples.model(), recipe_file.load(path), path)
    assert document.recipe == saved
    assert not document.modified


def test_that_a_recipe_with_impossible_rules_is_corrected_and_counts_as_modified(document: Document) -> None:
    rules = {**document.recipe.rules, "gone": document.recipe.rule("head")}
    rules["rnn"] = msgspec.structs.replace(document.recipe.rule("rnn"), mode=Mode.STATIC)
    changed = document.open_recipe(ui_samples.model(), msgspec.structs.replace(document.recipe, rules=rules), None)
    assert {misfit.subject for misfit in changed} == {"gone", "rnn"}
    assert document.modified


def test_that_a_fuller_description_keeps_decisions_and_adds_new_layers(document: Document) -> None:
    document.decide("Mode", ["head"], decisions.mode_edit(Mode.DYNAMIC, "x86"))
    fuller = ui_samples.model()
    extra = msgspec.structs.replace(fuller.layers[-1], name="head2", node="head2", tensor="head2")
    document.describe_model(msgspec.structs.replace(fuller, layers=(*fuller.layers, extra)))
    assert document.recipe.rule("head").mode is Mode.DYNAMIC
    assert document.recipe.rule("head2").mode is Mode.STATIC


_MODES = st.sampled_from(list(Mode))
_SOME = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4)
_STEPS = st.one_of(
    st.tuples(st.just("mode"), _SOME, _MODES),
    st.tuples(st.just("drag"), _SOME, st.floats(0.5, 9.0)),
    st.tuples(st.just("scheme"), _SOME, st.sampled_from(["per_tensor_symmetric", "per_channel_symmetric"])),
    st.tuples(st.just("backend"), st.just([]), st.sampled_from(ui_samples.MACHINE.backends)),
    st.tuples(st.just("undo"), st.just([]), st.none()),
    st.tuples(st.just("redo"), st.just([]), st.none()),
)


@given(st.lists(_STEPS, max_size=25))
def test_that_undoing_everything_gives_the_start(steps: list[tuple[str, list[str], object]]) -> None:
    assert QCoreApplication.instance() is not None
    document = Document()
    document.set_machine(ui_samples.MACHINE)
    document.open_model(ui_samples.model(), ModelReference("example:digits-cnn"), DataReference())
    start = document.recipe
    for kind, names, value in steps:
        match kind:
            case "mode":
                document.decide("Mode", names, decisions.mode_edit(Mode(str(value)), document.recipe.backend))
            case "drag":
                document.decide("Drag", names, fixed(-1.0, float(str(value))), merge_key="drag")
            case "scheme":
                document.decide("Weights", names, decisions.weight_scheme_edit(str(value)))  # type: ignore[arg-type]
            case "backend":
                document.change_backend(str(value))
            case "undo":
                document.undo_stack.undo()
            case "redo":
                document.undo_stack.redo()
    end = document.recipe
    while document.undo_stack.canUndo():
        document.undo_stack.undo()
    assert document.recipe == start
    while document.undo_stack.canRedo():
        document.undo_stack.redo()
    if not any(kind == "undo" for kind, _, _ in steps):
        assert document.recipe == end
