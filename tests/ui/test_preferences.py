"""Preferences hold at once and the next time; trusted folders spare the question."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtWidgets import QCheckBox, QComboBox, QLabel, QListWidget, QPushButton, QSpinBox

from qgui.core.messages import Failed
from qgui.ui import settings as options
from qgui.ui.actions import ActionId
from qgui.ui.dialogs.failure import TrustDialog
from qgui.ui.dialogs.preferences import PreferencesDialog
from qgui.ui.main_window import MainWindow
from qgui.ui.settings import Settings
from qgui.ui.theme import ThemeName


@pytest.fixture
def dialog(opened: MainWindow) -> PreferencesDialog:
    """The preferences of a window with an open model."""
    return shown(opened)


def shown(opened: MainWindow) -> PreferencesDialog:
    opened.actions_by_id[ActionId.PREFERENCES].trigger()
    found = opened.findChild(PreferencesDialog)
    assert isinstance(found, PreferencesDialog)
    return found


def choose(combo: QComboBox, value: str) -> None:
    combo.setCurrentIndex(combo.findData(value))
    combo.activated.emit(combo.currentIndex())


def test_a_theme_holds_at_once(opened: MainWindow, dialog: PreferencesDialog) -> None:
    choose(dialog.theme, ThemeName.DARK.value)
    assert opened.theme.name is ThemeName.DARK
    assert opened.settings.get(options.THEME) == "dark"


def test_threads_are_those_of_the_comparison(opened: MainWindow, dialog: PreferencesDialog) -> None:
    dialog.threads.setValue(3)
    box = opened.workbench.compare_panel.findChild(QSpinBox, "compare_threads")
    assert box is not None
    assert box.value() == 3
    assert opened.settings.get(options.THREADS) == 3


def test_the_backend_is_that_of_models_opened_later(opened: MainWindow, dialog: PreferencesDialog) -> None:
    document = opened.document
    assert document.machine is not None
    assert document.model is not None
    before = document.recipe.backend
    other = next(name for name in document.machine.backends if name != before)
    choose(dialog.backend, other)
    assert document.recipe.backend == before
    wished = opened.settings.get(options.BACKEND)
    document.open_model(document.model, document.recipe.model, document.recipe.data, wished)
    assert document.recipe.backend == other
    document.open_model(document.model, document.recipe.model, document.recipe.data, "no such backend")
    assert document.recipe.backend != "no such backend"


def test_a_memory_limit_reaches_the_engine(opened: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    assert opened.document.machine is not None
    limited: list[int] = []
    monkeypatch.setattr(opened.client, "limit_memory", limited.append)
    dialog = shown(opened)
    dialog.memory.setEnabled(True)
    dialog.memory.setValue(4)
    dialog.memory.setValue(dialog.memory.minimum())
    assert limited == [4, 0]
    assert opened.settings.get(options.MEMORY_LIMIT) == 0
    assert dialog.memory.text() == "none"


def test_folders_are_trusted_and_not(opened: MainWindow, dialog: PreferencesDialog, tmp_path: Path) -> None:
    inside = tmp_path / "inner" / "model.pt"
    assert not opened.settings.trusts(str(inside))
    dialog.trust(str(tmp_path))
    assert opened.settings.trusts(str(inside))
    assert not opened.settings.trusts(str(tmp_path.parent / "model.pt"))
    listed = dialog.findChild(QListWidget, "preferencesTrusted")
    remove = dialog.findChild(QPushButton, "preferencesTrustRemove")
    assert listed is not None
    assert remove is not None
    assert not remove.isEnabled()
    assert remove.toolTip()
    listed.setCurrentRow(0)
    remove.click()
    assert opened.settings.trusted() == []
    assert listed.count() == 0


def test_a_link_out_of_a_trusted_folder_is_not_trusted(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "settings.ini")
    trusted, elsewhere = tmp_path / "trusted", tmp_path / "elsewhere"
    trusted.mkdir()
    elsewhere.mkdir()
    (trusted / "model.pt").symlink_to(elsewhere / "model.pt")
    settings.set_trusted([str(trusted)])
    assert not settings.trusts(str(trusted / "model.pt"))


def test_a_file_in_a_trusted_folder_is_opened_without_a_question(opened: MainWindow, tmp_path: Path) -> None:
    asked: list[Failed] = []
    went_on: list[bool] = []
    opened.workflow.trust_needed.disconnect()
    opened.workflow.trust_needed.connect(lambda event, _: asked.append(event))
    refused = Failed(what="Could not open", why="code", needs_trust=True, file=str(tmp_path / "model.pt"))
    opened.workflow._refused(refused, lambda: went_on.append(True))
    assert (len(asked), len(went_on)) == (1, 0)
    opened.settings.set_trusted([str(tmp_path)])
    opened.workflow._refused(refused, lambda: went_on.append(True))
    assert (len(asked), len(went_on)) == (1, 1)


def test_the_question_offers_to_trust_the_folder(opened: MainWindow, tmp_path: Path) -> None:
    failure = Failed(what="Could not open", why="code", needs_trust=True, file=str(tmp_path / "model.pt"))
    went_on: list[bool] = []
    opened.asking.ask_for_trust(failure, lambda: went_on.append(True))
    dialog = opened.findChild(TrustDialog)
    assert isinstance(dialog, TrustDialog)
    box = dialog.findChild(QCheckBox, "trustFolder")
    assert box is not None
    assert str(tmp_path) in box.text()
    box.setChecked(True)
    dialog.accept()
    assert went_on == [True]
    assert opened.settings.trusts(str(tmp_path / "other.pt"))


def test_it_is_said_that_nothing_is_sent(dialog: PreferencesDialog) -> None:
    label = dialog.findChild(QLabel, "preferencesTelemetry")
    assert label is not None
    assert label.text().startswith("None.")
