from pathlib import Path

import pytest
from PySide6.QtCore import QLockFile
from pytestqt.qtbot import QtBot

from qgui.core import decisions
from qgui.core.recipe import Mode
from qgui.ui.document import Document
from qgui.ui.main_window import MainWindow
from qgui.ui.recovery import Autosave, leftovers
from qgui.ui.settings import Option, RecentEntry, Settings


@pytest.fixture
def kept(document: Document, tmp_path: Path) -> Autosave:
    """Unsaved decisions that were kept."""
    autosave = Autosave(document, tmp_path / "state")
    document.decide("Mode", ["head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    autosave.keep()
    autosave._timer.stop()
    return autosave


def end_without_a_word(autosave: Autosave) -> None:
    """Let go of the lock as the operating system does for a program that died."""
    assert isinstance(autosave._lock, QLockFile)
    autosave._lock.unlock()
    autosave._lock = None


def test_that_decisions_of_a_running_program_are_not_offered(kept: Autosave, tmp_path: Path) -> None:
    assert kept.file.exists()
    assert leftovers(tmp_path / "state") == []


def test_that_decisions_of_a_program_that_ended_are_offered(kept: Autosave, document: Document, tmp_path: Path) -> None:
    end_without_a_word(kept)
    found = leftovers(tmp_path / "state")
    assert [leftover.recipe for leftover in found] == [document.recipe]
    found[0].discard()
    assert leftovers(tmp_path / "state") == []


def test_that_saving_forgets_what_was_kept(kept: Autosave, document: Document, tmp_path: Path) -> None:
    document.save(tmp_path / "mine.qgui")
    assert not kept.file.exists()


def test_that_a_decision_is_kept_after_a_moment(qtbot: QtBot, document: Document, tmp_path: Path) -> None:
    autosave = Autosave(document, tmp_path / "state")
    autosave._timer.setInterval(1)
    document.decide("Mode", ["head"], decisions.mode_edit(Mode.FLOAT, "x86"))
    qtbot.waitUntil(autosave.file.exists)
    autosave.forget()


def test_that_a_damaged_file_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "damaged.json").write_text("{")
    assert leftovers(tmp_path) == []


def test_that_the_start_page_restores_decisions(
    qtbot: QtBot, kept: Autosave, document: Document, window: MainWindow
) -> None:
    end_without_a_word(kept)
    window.filing.offer_leftovers()
    page = window.start_page
    assert page.recovered.isVisible()
    with qtbot.waitSignal(window.workflow.step_finished, check_params_cb=lambda step: step == "model"):
        page.recovered.button.click()
    assert window.document.recipe.rule("head").mode is Mode.FLOAT
    assert window.document.modified
    assert leftovers(window.autosave.file.parent) == []
    assert window.autosave.file.exists()


def test_that_settings_return_defaults_for_nonsense(tmp_path: Path) -> None:
    path = tmp_path / "settings.ini"
    path.write_text("[compare]\nthreads=many\n[files]\nrecent=nonsense\n")
    settings = Settings(path)
    assert settings.get(Option("compare/threads", 1)) == 1
    assert settings.recent() == []


def test_that_recent_files_which_are_gone_are_left_out(settings: Settings, tmp_path: Path) -> None:
    there = tmp_path / "there.qgui"
    there.write_text("")
    settings.add_recent(RecentEntry("recipe", str(tmp_path / "gone.qgui")))
    settings.add_recent(RecentEntry("recipe", str(there)))
    settings.add_recent(RecentEntry("model", "torchvision:resnet18", "DEFAULT"))
    assert [entry.text for entry in settings.recent()] == ["torchvision:resnet18", str(there)]
