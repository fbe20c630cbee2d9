"""The person chooses a language; the window speaks it from its next start on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtWidgets import QComboBox, QPushButton

from qgui.core import decisions
from qgui.core.language import VARIABLE
from qgui.core.recipe import Mode
from qgui.ui import language, restart
from qgui.ui import settings as options
from qgui.ui.actions import ActionId
from qgui.ui.dialogs.preferences import PreferencesDialog
from qgui.ui.main_window import MainWindow
from qgui.ui.settings import Settings


def test_the_language_of_the_system_is_spoken_where_it_can_be() -> None:
    assert language.of_system(["zh-Hans-CN", "en-US"]) == "zh_CN"
    assert language.of_system(["zh_CN"]) == "zh_CN"
    assert language.of_system(["zh-Hant-TW"]) == "en"
    assert language.of_system(["de-DE", "zh-CN"]) == "zh_CN"
    assert language.of_system(["en-GB", "zh-CN"]) == "en"
    assert language.of_system(["de-DE"]) == "en"
    assert language.of_system([]) == "en"


def test_the_preference_holds_over_the_system_and_the_environment_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(tmp_path / "settings.ini")
    settings.set(options.LANGUAGE, "zh_CN")
    monkeypatch.delenv(VARIABLE, raising=False)
    language.choose(settings)
    assert os.environ[VARIABLE] == "zh_CN"
    monkeypatch.setenv(VARIABLE, "en")
    language.choose(settings)
    assert os.environ[VARIABLE] == "en"


def preferences(window: MainWindow) -> PreferencesDialog:
    window.actions_by_id[ActionId.PREFERENCES].trigger()
    found = window.findChild(PreferencesDialog)
    assert isinstance(found, PreferencesDialog)
    return found


def choose(combo: QComboBox, value: str) -> None:
    combo.setCurrentIndex(combo.findData(value))
    combo.activated.emit(combo.currentIndex())


def test_another_language_offers_to_start_anew(opened: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Path | None] = []
    monkeypatch.setattr(restart, "start_again", started.append)
    dialog = preferences(opened)
    button = dialog.findChild(QPushButton, "preferencesRestart")
    assert button is not None
    choose(dialog.language, "en")
    assert button.isHidden()
    choose(dialog.language, "zh_CN")
    assert not button.isHidden()
    assert opened.settings.get(options.LANGUAGE) == "zh_CN"
    button.click()
    assert started == [opened.document.path]
    assert not opened.isVisible()


def test_starting_anew_asks_about_unsaved_decisions_first(opened: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    opened.document.decide("Mode", ["head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    started: list[Path | None] = []
    monkeypatch.setattr(restart, "start_again", started.append)
    dialog = preferences(opened)
    choose(dialog.language, "zh_CN")
    dialog.restart.click()
    assert not started
    assert opened.isVisible()


def test_the_program_that_starts_anew_opens_the_recipe() -> None:
    assert restart.command(None) == [sys.executable, "-m", "qgui"]
    assert restart.command(Path("a.qgui"))[-2:] == ["open", "a.qgui"]


def test_every_text_of_a_chinese_window_is_chinese(tmp_path: Path) -> None:
    walk = Path(__file__).with_name("chinese_walk.py")
    environment = {**os.environ, VARIABLE: "zh_CN"}
    done = subprocess.run(
        [sys.executable, str(walk), str(tmp_path)],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout + done.stderr
