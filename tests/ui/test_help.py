"""The guide opens where it explains, and every action is found by typing a part of its name."""

from __future__ import annotations

import re

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from qgui.ui import command_palette, guide
from qgui.ui.actions import ActionId, action_texts
from qgui.ui.command_palette import CommandPalette
from qgui.ui.guide_window import GuideWindow
from qgui.ui.main_window import MainWindow


def guide_of(window: MainWindow) -> GuideWindow:
    found = window.findChild(GuideWindow)
    assert isinstance(found, GuideWindow)
    return found


def palette_of(window: MainWindow) -> CommandPalette:
    window.actions_by_id[ActionId.PALETTE].trigger()
    found = window.findChild(CommandPalette)
    assert isinstance(found, CommandPalette)
    return found


def texts(palette: CommandPalette) -> list[str]:
    items = (palette.list.topLevelItem(row) for row in range(palette.list.topLevelItemCount()))
    return [item.text(0) for item in items if item is not None]


@pytest.mark.parametrize("page", guide.pages(), ids=lambda page: page.name)
def test_every_page_begins_with_its_title_and_names_shortcuts_as_they_are(page: guide.Page) -> None:
    assert page.text.startswith(f"# {page.title}\n")
    keys = {text.shortcut for text in action_texts().values() if isinstance(text.shortcut, str)}
    named = set(re.findall(r"\(((?:Ctrl\+)?(?:Shift\+)?(?:F\d+|[A-Z]))\)", page.text))
    assert named <= keys | {"F1"}


def test_pages_are_found_by_what_they_say() -> None:
    found = guide.matching(guide.pages(), "VNNI amx")
    assert [page.name for page in found] == ["backends"]
    assert guide.matching(guide.pages(), "nosuchword") == []
    assert guide.matching(guide.pages(), "") == guide.pages()


def test_a_language_without_a_guide_reads_english() -> None:
    assert guide.pages("xx_XX") == guide.pages("en")


def test_all_controls_are_explained_by_a_page_that_exists(opened: MainWindow) -> None:
    names = {page.name for page in guide.pages()}
    for widget in opened.findChildren(QWidget):
        assert guide.page_about(widget) in names


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("inspectorMode", "modes"),
        ("weightScheme", "weights"),
        ("step_adaround", "weights"),
        ("activationScheme", "observers"),
        ("backendBox", "backends"),
        ("training_epochs", "training"),
        ("rangesLogarithmic", "plots"),
    ],
)
def test_f1_opens_the_page_about_the_control(opened: MainWindow, name: str, page: str) -> None:
    control = opened.findChild(QWidget, name)
    assert control is not None
    assert guide.page_about(control) == page


def test_the_guide_stands_beside_the_work_and_searches(qtbot: QtBot, opened: MainWindow) -> None:
    opened.actions_by_id[ActionId.GUIDE].trigger()
    window = guide_of(opened)
    assert window.isVisible()
    assert not window.isModal()
    qtbot.keyClicks(window.search, "equalization")
    assert window.contents.count() < len(guide.pages())
    assert "equalization" in window.text.toPlainText().casefold()
    qtbot.keyClicks(window.search, "zzz")
    assert window.nothing.isVisibleTo(window)
    opened.help.show_page("backends")
    assert window.page == "backends"
    assert window.search.text() == ""
    assert "VNNI" in window.text.toPlainText()


def test_every_action_of_the_menus_is_in_the_palette(opened: MainWindow) -> None:
    shown = "\n".join(texts(palette_of(opened)))
    for text in action_texts().values():
        assert command_palette.plain(text.text) in shown or text.text in {"&Undo", "&Redo"}


def test_an_action_is_found_and_done_with_the_keyboard(qtbot: QtBot, opened: MainWindow) -> None:
    palette = palette_of(opened)
    qtbot.keyClicks(palette.words, "guide")
    assert texts(palette)[0] == "Help: Guide"
    qtbot.keyClick(palette.words, Qt.Key.Key_Return)
    assert not palette.isVisible()
    assert guide_of(opened).isVisible()


def test_an_action_that_is_not_possible_says_why_and_is_not_done(qtbot: QtBot, opened: MainWindow) -> None:
    palette = palette_of(opened)
    qtbot.keyClicks(palette.words, "cancel job")
    assert palette.why.text() == opened.actions_by_id[ActionId.CANCEL].toolTip()
    assert palette.why.text()
    qtbot.keyClick(palette.words, Qt.Key.Key_Return)
    assert palette.isVisible()
    palette.reject()


def test_arrows_choose_among_what_matches(qtbot: QtBot, opened: MainWindow) -> None:
    palette = palette_of(opened)
    qtbot.keyClicks(palette.words, "open")
    first = palette.list.currentIndex().row()
    qtbot.keyClick(palette.words, Qt.Key.Key_Down)
    assert palette.list.currentIndex().row() == first + 1
    qtbot.keyClick(palette.words, Qt.Key.Key_Up)
    qtbot.keyClick(palette.words, Qt.Key.Key_Up)
    assert palette.list.currentIndex().row() == first
    palette.words.setText("no such action")
    assert palette.why.text() == "No action has such a name."
    qtbot.keyClick(palette.words, Qt.Key.Key_Return)
    assert palette.isVisible()
    palette.reject()
