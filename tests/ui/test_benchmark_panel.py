"""The published tables in the window: what rows need, running them, and the results that are kept."""

from pathlib import Path

import ui_samples
from pytestqt.qtbot import QtBot

from qgui.core import benchmarks
from qgui.ui import guide
from qgui.ui.actions import ActionId
from qgui.ui.benchmark_panel import BenchmarkPanel
from qgui.ui.benchmark_rows import BenchmarkRow
from qgui.ui.main_window import MainWindow
from qgui.ui.theme import ThemeName

IMAGES = "accuracy/resnet50"
QUICK = "latency/resnet50"


def shown(qtbot: QtBot, window: MainWindow) -> BenchmarkPanel:
    window.actions_by_id[ActionId.BENCHMARKS].trigger()
    panel = window.benchmarks
    assert panel is not None
    qtbot.waitUntil(lambda: panel.built and bool(panel.work.states))
    return panel


def run(qtbot: QtBot, panel: BenchmarkPanel, key: str) -> BenchmarkRow:
    row = panel.rows[key]
    with qtbot.waitSignal(panel.work.told):
        row.button.click()
    return row


def test_that_the_tables_need_no_model_and_lead_back(qtbot: QtBot, window: MainWindow) -> None:
    panel = shown(qtbot, window)
    assert window.pages.currentWidget() is panel
    assert len(panel.rows) == 11
    panel.back.click()
    assert window.pages.currentWidget() is window.start_page


def test_that_the_guide_explains_the_tables(qtbot: QtBot, window: MainWindow) -> None:
    panel = shown(qtbot, window)
    assert guide.page_about(panel.rows[QUICK].button) == "benchmarks"


def test_that_the_model_stays_open_behind_the_tables(qtbot: QtBot, opened: MainWindow) -> None:
    panel = shown(qtbot, opened)
    assert not opened.docks.layers.isVisible()
    panel.back.click()
    assert opened.pages.currentWidget() is opened.workbench
    assert opened.docks.layers.isVisible()
    assert opened.document.model is not None


def test_that_a_row_says_what_it_lacks_and_cannot_be_run_before(qtbot: QtBot, window: MainWindow) -> None:
    panel = shown(qtbot, window)
    row = panel.rows[IMAGES]
    assert row.notes.text() == "Choose the folder of images. Let the weights be downloaded (98 MB)."
    assert not row.button.isEnabled()
    assert row.button.toolTip() == row.notes.text()
    assert not panel.run_all["accuracy"].isEnabled()
    assert panel.rows[QUICK].button.isEnabled()


def test_that_choosing_images_and_agreeing_to_the_download_lets_rows_run(qtbot: QtBot, window: MainWindow) -> None:
    panel = shown(qtbot, window)
    panel.images.set_path("/some/images")
    panel.download.setChecked(True)
    qtbot.waitUntil(panel.rows[IMAGES].button.isEnabled)
    row = run(qtbot, panel, IMAGES)
    assert row.here.text() == "70.0 → 69.0 % here"
    assert row.difference.text() == "−0.2 points published\n−1.0 (−2.0 to +0.0) here, 900 samples"


def test_that_folders_are_remembered_and_the_agreement_is_not(qtbot: QtBot, window: MainWindow) -> None:
    panel = shown(qtbot, window)
    panel.limit.setValue(500)
    panel.images.set_path("/some/images")
    panel.download.setChecked(True)
    qtbot.waitUntil(lambda: panel.work.settings.limit == 500)
    assert panel.work.settings.download
    again = type(panel.work)(window.client, window.settings)
    assert (again.settings.images, again.settings.limit, again.settings.download) == ("/some/images", 500, False)
    again.deleteLater()


def test_that_a_run_shows_both_speedups_and_keeps_the_result(qtbot: QtBot, window: MainWindow) -> None:
    panel = shown(qtbot, window)
    row = run(qtbot, panel, QUICK)
    assert row.here.text() == "100 → 20 ms here"
    assert row.bars.accessibleName() == "2.0× published; 5.0× here; 4.0× here, against the best float"
    assert "A note." in row.notes.text()
    assert benchmarks.load(benchmarks.results_file())[QUICK] == ui_samples.benchmark_result(QUICK)
    assert not window.client.busy
    for theme in (ThemeName.DARK, ThemeName.LIGHT):
        window.choose_theme(theme)
        assert not row.grab().isNull()


def test_that_a_kept_result_of_another_version_is_marked(qtbot: QtBot, window: MainWindow) -> None:
    kept = ui_samples.benchmark_result(QUICK)
    kept.versions["torch"] = "2.8"
    benchmarks.keep(benchmarks.results_file(), [kept])
    row = shown(qtbot, window).rows[QUICK]
    assert "stale" in row.when.text()
    assert row.notes.text().startswith("Stale: torch was 2.8 and is 2.9.")


def test_that_running_all_goes_on_after_a_failure_and_stops_when_cancelled(qtbot: QtBot, window: MainWindow) -> None:
    panel = shown(qtbot, window)
    panel.run_all["latency"].click()
    assert panel.rows["latency/bert"].button.text() == "Running…"
    assert panel.rows[QUICK].button.text() == "Waiting…"
    qtbot.waitUntil(lambda: QUICK in panel.work.results)
    qtbot.waitUntil(lambda: panel.work.place("latency/mobilenet_v2") == "running")
    assert panel.rows["latency/bert"].notes.text().startswith("Could not run BERT: it is dark. Wait.")
    qtbot.waitUntil(window.actions_by_id[ActionId.CANCEL].isEnabled)
    window.actions_by_id[ActionId.CANCEL].trigger()
    qtbot.waitUntil(lambda: not panel.work.running)
    assert panel.rows["latency/mobilenet_v2"].button.text() == "Run"


def test_that_results_that_cannot_be_read_are_said(qtbot: QtBot, window: MainWindow) -> None:
    path = benchmarks.results_file()
    path.parent.mkdir(parents=True)
    path.write_text("{nonsense")
    panel = shown(qtbot, window)
    assert "Could not read the kept benchmark results" in panel.trouble.label.text()
    assert panel.trouble.isVisible()


def test_that_a_result_that_cannot_be_kept_is_shown_all_the_same(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    path = benchmarks.results_file()
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    path.parent.write_text("a file in the way")
    panel = shown(qtbot, window)
    row = run(qtbot, panel, QUICK)
    assert row.here.text() == "100 → 20 ms here"
    assert "Could not write" in panel.trouble.label.text()
