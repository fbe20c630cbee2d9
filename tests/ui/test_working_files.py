"""Temporary files go with the model, with the window, and with the next start where a window was killed."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from qgui.ui.actions import ActionId
from qgui.ui.main_window import MainWindow
from qgui.ui.working_files import WorkingFiles, remove_leftovers


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def step(qtbot: QtBot, window: MainWindow, name: str) -> object:
    return qtbot.waitSignal(window.workflow.step_finished, check_params_cb=lambda finished: finished == name)


def close_model(qtbot: QtBot, window: MainWindow) -> None:
    action = window.actions_by_id[ActionId.CLOSE_MODEL]
    qtbot.waitUntil(action.isEnabled)
    action.trigger()
    assert window.document.model is None
    qtbot.waitUntil(lambda: window.client.idle)


def written(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob("*") if file.is_file() and file.name != "window.lock")


def test_that_closing_a_model_removes_its_files_and_closing_the_window_all(
    qtbot: QtBot, opened: MainWindow, temporary: Path
) -> None:
    with step(qtbot, opened, "measure"):
        opened.workflow.quantize()
    assert "measured.npz" in written(temporary)
    close_model(qtbot, opened)
    qtbot.waitUntil(lambda: not written(temporary))
    opened.close_without_asking()
    assert list(temporary.iterdir()) == []


def test_that_calibrating_again_leaves_one_file_of_statistics(
    qtbot: QtBot, opened: MainWindow, temporary: Path
) -> None:
    for _ in range(3):
        with step(qtbot, opened, "calibrate"):
            opened.workflow.calibrate()
    assert sum(name.startswith("statistics") for name in written(temporary)) == 1


def test_that_a_fresh_engine_after_a_closed_model_begins_with_nothing(
    qtbot: QtBot, opened: MainWindow, heard: Callable[[], list[str]]
) -> None:
    with step(qtbot, opened, "calibrate"):
        opened.workflow.calibrate()
    close_model(qtbot, opened)
    before = heard()
    with qtbot.waitSignals([opened.client.replaced, opened.client.ready]):
        os.kill(opened.client._process.processId(), signal.SIGKILL)  # type: ignore[union-attr]
    assert opened.client.idle
    assert heard() == before


def test_that_what_is_written_beside_statistics_stays_and_goes_with_them(temporary: Path) -> None:
    files = WorkingFiles()
    first, second = files.new_path("statistics", ".npz"), files.new_path("statistics", ".npz")
    kept = files.path("weight.npz")
    for file in (first, first.with_suffix(".moments"), second, second.with_suffix(".moments"), kept):
        file.touch()
    files.remove_others(second)
    assert written(temporary) == sorted([second.name, second.with_suffix(".moments").name, kept.name])
    files.close()
    assert list(temporary.iterdir()) == []


def test_that_files_of_a_killed_window_go_at_the_next_start_and_those_of_a_running_one_stay(temporary: Path) -> None:
    script = (
        "import os; from qgui.ui.working_files import WorkingFiles; files = WorkingFiles(); "
        "files.path('weight.npz').touch(); os._exit(9)"
    )
    environment = {**os.environ, "TMPDIR": str(temporary)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=False, timeout=60)
    assert written(temporary) == ["weight.npz"]
    running = WorkingFiles()
    running.path("measured.npz").touch()
    stranger = temporary / "qgui-window-without-lock"
    stranger.mkdir()
    remove_leftovers()
    assert written(temporary) == ["measured.npz"]
    assert stranger.exists()
    running.close()
