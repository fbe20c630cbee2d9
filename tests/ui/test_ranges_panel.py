import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ui_samples
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAction, QGuiApplication, QImage
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from qgui.core import decisions
from qgui.core.qparams import activation_grid, qparams_of_range
from qgui.core.recipe import AUTOMATIC_OBSERVERS, Observer, ObserverKind
from qgui.core.statistics import BINS, CalibrationRecord, TensorStatistics
from qgui.ui.document import Document
from qgui.ui.idle import Idle
from qgui.ui.observer_table import ObserverColumn
from qgui.ui.ranges_panel import RangesPanel
from qgui.ui.settings import Settings
from qgui.ui.theme import Theme


@pytest.fixture
def panel(qtbot: QtBot, calibrated: Document, theme: Theme, settings: Settings) -> Iterator[RangesPanel]:
    panel = RangesPanel(calibrated, theme, settings)
    qtbot.addWidget(panel)
    panel.resize(620, 720)
    with qtbot.waitExposed(panel):
        panel.show()
    show(qtbot, panel, "head")
    yield panel
    panel.close()


def show(qtbot: QtBot, panel: RangesPanel, layer: str, *others: str) -> None:
    panel.show_layers([layer, *others])
    qtbot.waitUntil(lambda: panel.title.text() == f"Output of {layer}" and panel.model.rowCount() > 0)


def observer(document: Document, layer: str = "head") -> Observer:
    return document.recipe.rule(layer).activation.observer


def drag(qtbot: QtBot, panel: RangesPanel, start: float, *ends: float, drop: bool = True) -> None:
    """Press at a value, move over others, and let go at the last."""
    plot = panel.plot
    y = plot.height() * 3 // 4
    at = [QPoint(round(plot.pixel_of(value)), y) for value in (start, *ends)]
    qtbot.mousePress(plot.viewport(), Qt.MouseButton.LeftButton, pos=at[0])
    for place in at[1:]:
        qtbot.mouseMove(plot.viewport(), place)
    if drop:
        qtbot.mouseRelease(plot.viewport(), Qt.MouseButton.LeftButton, pos=at[-1])


def handles(panel: RangesPanel) -> tuple[float, float]:
    found = panel.plot.region.handles
    assert found is not None
    return found


def use(document: Document, observer: Observer, layer: str = "head") -> None:
    document.decide("Observer", [layer], decisions.activation_observer_edit(observer))


def make_symmetric(qtbot: QtBot, panel: RangesPanel, document: Document) -> None:
    document.decide("Scheme", ["head"], decisions.activation_scheme_edit("per_tensor_symmetric"))
    qtbot.waitUntil(lambda: "zero point 128" in panel.readout.cost.description())
    document.undo_stack.clear()


# All observers at once


def test_that_every_observer_has_a_label_and_no_label_lies_upon_another(qtbot: QtBot, panel: RangesPanel) -> None:
    rows = panel.plot.observers.rows()
    assert [kind for kind, _ in rows] == list(AUTOMATIC_OBSERVERS)
    for place, (_, rect) in enumerate(rows):
        assert rect.left() >= 0
        assert rect.right() <= panel.plot.observers.frame.width
        assert not any(rect.intersects(other) for _, other in rows[place + 1 :])


def test_that_labels_keep_clear_of_each_other_when_zoomed_into_one_bound(qtbot: QtBot, panel: RangesPanel) -> None:
    high = handles(panel)[1]
    panel.plot.setXRange(high - 0.01, high + 0.01, padding=0)
    rects = [rect for _, rect in panel.plot.observers.rows()]
    assert not any(a.intersects(b) for place, a in enumerate(rects) for b in rects[place + 1 :])


def test_that_an_observer_is_hidden_by_its_tick(qtbot: QtBot, panel: RangesPanel) -> None:
    index = panel.model.index(0, ObserverColumn.OBSERVER)
    assert panel.model.setData(index, Qt.CheckState.Unchecked.value, Qt.ItemDataRole.CheckStateRole)
    assert ObserverKind.MINMAX not in [kind for kind, _ in panel.plot.observers.rows()]


def test_that_the_legend_tells_the_best_and_what_is_clipped_on_either_side(panel: RangesPanel) -> None:
    texts = [panel.model.index(row, ObserverColumn.SQNR).data() for row in range(5)]
    assert sum(text.startswith("★") for text in texts) >= 1
    assert texts[AUTOMATIC_OBSERVERS.index(ObserverKind.MSE)].startswith("★")
    tip = panel.model.index(2, ObserverColumn.CLIPPED).data(Qt.ItemDataRole.ToolTipRole)
    assert "below" in tip
    assert "above" in tip


def test_that_one_click_adopts_an_observer_for_this_layer(
    qtbot: QtBot, panel: RangesPanel, calibrated: Document
) -> None:
    click(qtbot, panel, 0, ObserverColumn.USE)
    assert observer(calibrated).kind is ObserverKind.MINMAX
    assert calibrated.undo_stack.count() == 1


def click(qtbot: QtBot, panel: RangesPanel, row: int, column: int) -> None:
    cell = panel.table.visualRect(panel.model.index(row, column))
    qtbot.mouseClick(panel.table.viewport(), Qt.MouseButton.LeftButton, pos=cell.center())


def action(panel: RangesPanel, row: int, name: str) -> QAction:
    found = panel.table.menu(row).findChild(QAction, name)
    assert found is not None
    return found


def test_that_an_observer_is_adopted_for_the_selected_layers_and_for_all(
    qtbot: QtBot, panel: RangesPanel, calibrated: Document
) -> None:
    before = calibrated.recipe
    assert not action(panel, 1, "useForSelected").isEnabled()
    show(qtbot, panel, "head", "up")
    action(panel, 0, "useForSelected").trigger()
    assert observer(calibrated, "up").kind is observer(calibrated, "head").kind is ObserverKind.MINMAX
    assert observer(calibrated, "stem.conv").kind is ObserverKind.MSE
    action(panel, 4, "useForAll").trigger()
    owners = ("x", "stem.conv", "stem.act", "up", "block.0.add", "head")
    assert {observer(calibrated, layer).kind for layer in owners} == {ObserverKind.ENTROPY}
    assert "6" in panel.said.text() or "7" in panel.said.text()
    calibrated.undo_stack.undo()
    calibrated.undo_stack.undo()
    assert calibrated.recipe == before


def test_that_a_range_by_hand_is_not_offered_for_other_layers(
    qtbot: QtBot, panel: RangesPanel, calibrated: Document
) -> None:
    use(calibrated, Observer(ObserverKind.FIXED, low=-1.0, high=2.0))
    qtbot.waitUntil(lambda: panel.model.rowCount() == 6)
    assert not action(panel, 5, "useForAll").isEnabled()


def test_that_the_best_per_layer_is_one_undo_step_and_nothing_gets_worse(
    qtbot: QtBot, panel: RangesPanel, calibrated: Document
) -> None:
    for layer in ("head", "up"):
        use(calibrated, Observer(ObserverKind.FIXED, low=-90.0, high=90.0), layer)
    calibrated.undo_stack.clear()
    before, ranges = calibrated.recipe, calibrated.ranges
    assert ranges is not None
    tensors = ("x", "stem_conv", "stem_act", "up", "add", "head")
    errors = {name: ranges.choice(name, ranges.setting(name, before)).cost.error for name in tensors}
    with qtbot.waitSignal(panel.best.ended) as ended:
        qtbot.mouseClick(panel.best_button, Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    assert "Ctrl+Z" in ended.args[0]
    assert panel.said.text() == ended.args[0]
    assert calibrated.undo_stack.count() == 1
    for name in tensors:
        setting = ranges.setting(name, calibrated.recipe)
        chosen = ranges.choice(name, setting).cost.error
        assert chosen <= errors[name]
        assert chosen == min(ranges.choice(name, other).cost.error for other in ranges.candidates(name, setting))
    calibrated.undo_stack.undo()
    assert calibrated.recipe == before


def test_that_the_best_for_the_selected_layers_leaves_the_others(
    qtbot: QtBot, panel: RangesPanel, calibrated: Document
) -> None:
    for layer in ("head", "up"):
        use(calibrated, Observer(ObserverKind.FIXED, low=-90.0, high=90.0), layer)
    with qtbot.waitSignal(panel.best.ended):
        panel.best_button.for_selected.trigger()
    assert observer(calibrated, "head").kind is not ObserverKind.FIXED
    assert observer(calibrated, "up").kind is ObserverKind.FIXED


def test_that_looking_for_the_best_can_be_stopped_and_decides_nothing(
    qtbot: QtBot, panel: RangesPanel, calibrated: Document
) -> None:
    use(calibrated, Observer(ObserverKind.FIXED, low=-90.0, high=90.0))
    before = calibrated.recipe
    panel.best_button.click()
    assert panel.best.running
    with qtbot.waitSignal(panel.best.ended):
        panel.best_button.click()
    assert calibrated.recipe == before
    assert panel.best_button.text() == "Best per layer"


# Drag to decide


def test_that_a_drag_shows_live_what_core_computes_and_decides_on_release(
    qtbot: QtBot, panel: RangesPanel, calibrated: Document
) -> None:
    before = calibrated.recipe
    high = handles(panel)[1]
    with qtbot.waitSignal(panel.plot.dragged) as dragged:
        drag(qtbot, panel, high, high / 2, drop=False)
    assert calibrated.recipe == before
    assert panel.model.rowCount() == 6
    qparams = qparams_of_range(*dragged.args, activation_grid(before.rule("head").activation))
    assert f"scale {float(qparams.scale[0]):.9g}" in panel.readout.cost.description()
    assert f"zero point {int(qparams.zero_point[0])}" in panel.readout.cost.description()
    assert "widen" in panel.readout.cost.verdict()
    assert panel.readout.high.value() == pytest.approx(float(qparams.high[0]), rel=1e-3)
    assert "% clipping" in panel.readout.cost.description()
    qtbot.mouseRelease(panel.plot.viewport(), Qt.MouseButton.LeftButton)
    assert observer(calibrated) == Observer(ObserverKind.FIXED, low=dragged.args[0], high=dragged.args[1])
    assert calibrated.undo_stack.count() == 1
    ranges = calibrated.ranges
    assert ranges is not None
    assert ranges.chosen("head", calibrated.recipe).same(qparams)


def test_that_dragging_the_middle_moves_both_bounds(qtbot: QtBot, panel: RangesPanel, calibrated: Document) -> None:
    low, high = handles(panel)
    drag(qtbot, panel, (low + high) / 2, (low + high) / 2 + 1.0)
    assert observer(calibrated).low == pytest.approx(low + 1.0, abs=0.1)
    assert observer(calibrated).high == pytest.approx(high + 1.0, abs=0.1)


def test_that_escape_gives_a_drag_up(qtbot: QtBot, panel: RangesPanel, calibrated: Document) -> None:
    before, at = calibrated.recipe, handles(panel)
    drag(qtbot, panel, at[1], 1.0, drop=False)
    qtbot.keyClick(panel.plot, Qt.Key.Key_Escape)
    qtbot.mouseRelease(panel.plot.viewport(), Qt.MouseButton.LeftButton)
    assert calibrated.recipe == before
    assert handles(panel) == at
    assert panel.model.rowCount() == 5


def test_that_a_click_without_moving_decides_nothing(qtbot: QtBot, panel: RangesPanel, calibrated: Document) -> None:
    drag(qtbot, panel, handles(panel)[1])
    assert calibrated.undo_stack.count() == 0


def test_that_a_range_dragged_inside_out_is_refused_and_stays_where_it_was(
    qtbot: QtBot, panel: RangesPanel, calibrated: Document
) -> None:
    before, at = calibrated.recipe, handles(panel)
    drag(qtbot, panel, at[1], at[0] - 0.5, drop=False)
    assert "empty" in panel.readout.cost.description()
    qtbot.mouseRelease(panel.plot.viewport(), Qt.MouseButton.LeftButton)
    assert calibrated.recipe == before
    assert calibrated.undo_stack.count() == 0
    assert handles(panel) == at
    assert panel.model.rowCount() == 5
    assert panel.said.isVisible()
    assert "stays as it was" in panel.said.text()


def test_that_a_range_dragged_past_zero_reaches_to_zero_and_says_so(
    qtbot: QtBot, panel: RangesPanel, calibrated: Document
) -> None:
    drag(qtbot, panel, handles(panel)[0], 1.0)
    assert observer(calibrated).low == 0.0
    assert "Zero" in panel.said.text()
    qtbot.waitUntil(lambda: handles(panel)[0] == 0.0)


def test_that_symmetric_ranges_keep_both_handles_mirrored(
    qtbot: QtBot, panel: RangesPanel, calibrated: Document
) -> None:
    make_symmetric(qtbot, panel, calibrated)
    high = handles(panel)[1]
    drag(qtbot, panel, high, high / 2, drop=False)
    assert handles(panel)[0] == -handles(panel)[1]
    qtbot.mouseRelease(panel.plot.viewport(), Qt.MouseButton.LeftButton)
    assert observer(calibrated).low == -observer(calibrated).high
    ranges = calibrated.ranges
    assert ranges is not None
    assert int(ranges.chosen("head", calibrated.recipe).zero_point[0]) == 128


def test_that_a_symmetric_range_does_not_move_as_a_whole(
    qtbot: QtBot, panel: RangesPanel, calibrated: Document
) -> None:
    make_symmetric(qtbot, panel, calibrated)
    drag(qtbot, panel, 0.5, 1.5)
    assert calibrated.undo_stack.count() == 0


@pytest.mark.parametrize(
    ("modifier", "lower", "steps"),
    [
        (Qt.KeyboardModifier.NoModifier, False, 1),
        (Qt.KeyboardModifier.ControlModifier, False, 10),
        (Qt.KeyboardModifier.ShiftModifier, True, 1),
    ],
)
def test_that_arrow_keys_move_a_bound_by_one_quantization_step(
    qtbot: QtBot, panel: RangesPanel, calibrated: Document, modifier: Qt.KeyboardModifier, lower: bool, steps: int
) -> None:
    low, high = handles(panel)
    ranges = calibrated.ranges
    assert ranges is not None
    scale = float(ranges.chosen("head", calibrated.recipe).scale[0])
    panel.plot.setFocus()
    qtbot.keyClick(panel.plot, Qt.Key.Key_Right, modifier)
    moved = observer(calibrated)
    assert moved.low == pytest.approx(low + lower * steps * scale)
    assert moved.high == pytest.approx(high + (not lower) * steps * scale)


def test_that_repeated_keys_are_one_undo_step(qtbot: QtBot, panel: RangesPanel, calibrated: Document) -> None:
    before = calibrated.recipe
    panel.plot.setFocus()
    for _ in range(5):
        qtbot.keyClick(panel.plot, Qt.Key.Key_Left)
    assert calibrated.undo_stack.count() == 1
    drag(qtbot, panel, handles(panel)[1], 2.0)
    qtbot.keyClick(panel.plot, Qt.Key.Key_Left)
    assert calibrated.undo_stack.count() == 3
    for _ in range(3):
        calibrated.undo_stack.undo()
    assert calibrated.recipe == before


def test_that_bounds_can_be_typed(qtbot: QtBot, panel: RangesPanel, calibrated: Document) -> None:
    low = handles(panel)[0]
    field = panel.readout.high
    field.setFocus()
    field.selectAll()
    qtbot.keyClicks(field, "2.5")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert observer(calibrated) == Observer(ObserverKind.FIXED, low=low, high=2.5)
    assert "steps" in field.suffix()


def test_that_an_empty_typed_range_is_refused(qtbot: QtBot, panel: RangesPanel, calibrated: Document) -> None:
    before = calibrated.recipe
    field = panel.readout.high
    shown = field.value()
    field.setFocus()
    field.selectAll()
    qtbot.keyClicks(field, "-100")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert calibrated.recipe == before
    assert "stays as it was" in panel.said.text()
    assert field.value() == shown


def test_that_the_bounds_shown_are_those_that_are_used(qtbot: QtBot, panel: RangesPanel, calibrated: Document) -> None:
    use(calibrated, Observer(ObserverKind.FIXED, low=-1.01, high=3.0))
    ranges = calibrated.ranges
    assert ranges is not None
    used = ranges.chosen("head", calibrated.recipe)
    qtbot.waitUntil(lambda: handles(panel) == (float(used.low[0]), float(used.high[0])))
    assert panel.readout.low.value() == pytest.approx(float(used.low[0]), abs=float(used.scale[0]))


def test_that_a_prescribed_range_cannot_be_moved(qtbot: QtBot, panel: RangesPanel, calibrated: Document) -> None:
    show(qtbot, panel, "gate")
    qtbot.waitUntil(lambda: not panel.readout.low.isEnabled())
    low, high = handles(panel)
    drag(qtbot, panel, high, (low + high) / 2)
    qtbot.keyClick(panel.plot, Qt.Key.Key_Left)
    assert calibrated.undo_stack.count() == 0
    assert "prescribes" in panel.note.text()


# The measured histogram and other widgets


def test_that_a_measured_histogram_lies_over_the_first_and_leaves_again(panel: RangesPanel) -> None:
    edges = np.linspace(-5.0, 5.0, 65)
    plain = panel.plot.grab().toImage()
    panel.plot.show_measured(edges, np.full(64, 300.0))
    assert panel.plot.grab().toImage() != plain
    panel.plot.show_measured(edges, None)
    assert panel.plot.grab().toImage() == plain


# Taking it along


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_that_the_plot_is_copied_and_saved_as_a_picture(qtbot: QtBot, panel: RangesPanel, tmp_path: Path) -> None:
    entry(panel, "copyPicture").trigger()
    copied = QGuiApplication.clipboard().image()
    assert copied.width() == 2 * panel.plot.width()
    panel.files.save_png(tmp_path / "plot.png")
    assert QImage(str(tmp_path / "plot.png")).width() == copied.width()
    assert "plot.png" in panel.said.text()
    panel.files.save_svg(tmp_path / "plot.svg")
    renderer = QSvgRenderer(str(tmp_path / "plot.svg"))
    assert renderer.isValid()
    assert "Output of head" in (tmp_path / "plot.svg").read_text()


def entry(panel: RangesPanel, name: str) -> QAction:
    found = panel.files_button.menu().findChild(QAction, name)
    assert found is not None
    return found


def test_that_the_numbers_of_a_tensor_are_those_of_the_legend(
    qtbot: QtBot, panel: RangesPanel, calibrated: Document, tmp_path: Path
) -> None:
    panel.files.save_csv(tmp_path / "head.csv")
    rows = rows_of(tmp_path / "head.csv")
    assert [row["observer"] for row in rows] == [kind.value for kind in AUTOMATIC_OBSERVERS]
    assert [row["observer"] for row in rows if row["in_use"]] == ["mse"]
    ranges = calibrated.ranges
    assert ranges is not None
    for row, choice in zip(rows, ranges.choices("head", calibrated.recipe.rule("head").activation), strict=True):
        assert np.float32(row["scale"]) == choice.qparams.scale[0]
        assert int(row["zero_point"]) == choice.qparams.zero_point[0]
        assert float(row["min"]) == choice.qparams.low[0]
        assert float(row["sqnr_db"]) == pytest.approx(choice.sqnr_db, abs=1e-3)
    entry(panel, "copyNumbers").trigger()
    assert QGuiApplication.clipboard().text().count("\t") == 12 * 6


def test_that_the_numbers_of_all_tensors_are_saved_when_they_are_computed(
    qtbot: QtBot, panel: RangesPanel, calibrated: Document, tmp_path: Path
) -> None:
    path = tmp_path / "all.csv"
    panel.files.save_all_csv(path)
    qtbot.waitUntil(path.exists)
    rows = rows_of(path)
    assert {row["layer"] for row in rows} == {
        "x", "stem.conv", "stem.act", "rnn", "up", "block.0.add", "gate", "head",
    }  # fmt: skip
    assert sum(row["layer"] == "gate" for row in rows) == 1
    assert sum(bool(row["in_use"]) for row in rows) == 8


def test_that_a_path_that_cannot_be_written_is_told_with_its_reason(panel: RangesPanel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for save in (panel.files.save_png, panel.files.save_svg, panel.files.save_csv):
        save(tmp_path / "file" / "x")
        assert "Could not write" in panel.said.text()
        assert "Choose another place" in panel.said.text()
    assert (tmp_path / "file").read_text() == "kept"


def test_that_saving_asks_where(qtbot: QtBot, panel: RangesPanel, tmp_path: Path) -> None:
    entry(panel, "saveCsv").trigger()
    dialog = panel.findChild(QFileDialog, "rangesSaveDialog")
    assert dialog is not None
    dialog.fileSelected.emit(str(tmp_path / "chosen.csv"))
    assert (tmp_path / "chosen.csv").exists()
    dialog.reject()


def test_that_the_histogram_is_there_as_a_table(qtbot: QtBot, panel: RangesPanel, calibrated: Document) -> None:
    use(calibrated, Observer(ObserverKind.FIXED, low=-1.0, high=2.0))
    qtbot.keyClick(panel.as_table, Qt.Key.Key_Space)
    assert panel.bins_table.isVisible()
    assert not panel.plot.isVisible()
    model = panel.bins
    qtbot.waitUntil(lambda: model.index(0, 3).data() == "clipped")
    counts = [int(model.index(row, 2).data().replace("\u202f", "")) for row in range(model.rowCount())]
    assert calibrated.ranges is not None
    assert sum(counts) == pytest.approx(calibrated.ranges.distribution("head").mass.sum(), abs=64)
    assert {model.index(row, 3).data() for row in range(model.rowCount())} == {"clipped", "in part", "yes"}
    assert "Count" in model.index(0, 2).data(Qt.ItemDataRole.AccessibleTextRole)
    qtbot.keyClick(panel.as_table, Qt.Key.Key_Space)
    assert panel.plot.isVisible()


# Bad input


def constant(value: float) -> TensorStatistics:
    counts = np.zeros(BINS)
    counts[0] = 0.0 if value == 0 else 100.0
    extreme = np.full(2, value, np.float32)
    return TensorStatistics(counts, value, value, extreme, extreme, 100, 100 * value, 100 * value**2, float(value == 0))


def nothing_finite() -> TensorStatistics:
    nothing = np.zeros(0, np.float32)
    return TensorStatistics(np.zeros(BINS), 0.0, 0.0, nothing, nothing, 0, 0.0, 0.0, 0.0, nan=100)


def with_head(document: Document, statistics: TensorStatistics) -> None:
    record = ui_samples.record()
    document.set_statistics(CalibrationRecord({**record.tensors, "head": statistics}, record.samples, 20, "m", "d"))


@pytest.mark.parametrize("value", [0.0, 3.25, -0.5])
def test_that_a_constant_tensor_has_a_plot_and_a_range(
    qtbot: QtBot, panel: RangesPanel, calibrated: Document, value: float
) -> None:
    with_head(calibrated, constant(value))
    qtbot.waitUntil(lambda: "100 values" in panel.facts.text() and panel.model.rowCount() == 5)
    assert panel.plot.isVisible()
    assert "all the same" in panel.facts.text()
    panel.grab()
    low, high = handles(panel)
    assert low <= value <= high * 1.01 + 1e-9
    qtbot.keyClick(panel.plot, Qt.Key.Key_Right)
    assert observer(calibrated).kind is ObserverKind.FIXED


def test_that_a_tensor_without_finite_values_is_said_and_the_best_goes_on_without_it(
    qtbot: QtBot, panel: RangesPanel, calibrated: Document
) -> None:
    with_head(calibrated, nothing_finite())
    qtbot.waitUntil(panel.banner.isVisible)
    assert "no finite value" in panel.banner.label.text()
    assert not panel.plot.isVisible()
    with qtbot.waitSignal(panel.best.ended):
        panel.best.start(None)


def test_that_left_out_values_are_counted(qtbot: QtBot, panel: RangesPanel, calibrated: Document) -> None:
    statistics = ui_samples.statistics(1)
    with_head(
        calibrated,
        TensorStatistics(
            statistics.counts, statistics.low, statistics.high, statistics.batch_min, statistics.batch_max,
            statistics.elements, statistics.total, statistics.energy, statistics.zeros, nan=3, infinite=2,
        ),
    )  # fmt: skip
    qtbot.waitUntil(lambda: "5 NaN or infinite, left out" in panel.facts.text())


# In the idle moments


def test_that_idle_work_rests_while_the_person_acts(qtbot: QtBot, panel: RangesPanel) -> None:
    idle, done = Idle(panel), []

    def work() -> Iterator[None]:
        for step in range(3):
            done.append(step)
            yield

    idle.add(work())
    idle.rest()
    assert not done
    qtbot.waitUntil(lambda: len(done) == 3)


def test_that_what_observers_choose_is_computed_ahead_for_every_tensor(
    qtbot: QtBot, panel: RangesPanel, calibrated: Document
) -> None:
    ranges = calibrated.ranges
    assert ranges is not None
    calibrated.set_statistics(ui_samples.record())
    fresh = calibrated.ranges
    assert fresh is not None
    setting = fresh.setting("up", calibrated.recipe)
    qtbot.waitUntil(lambda: all(fresh.knows("up", candidate) for candidate in fresh.candidates("up", setting)))
