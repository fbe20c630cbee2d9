"""The guide says the same in every language: pages, structure, links and shortcuts; no page is left in English."""

from __future__ import annotations

import re

import pytest
from PySide6.QtGui import QTextDocument
from pytestqt.qtbot import QtBot

from qgui.core.language import LANGUAGES, SOURCE_LANGUAGE
from qgui.core.resources import resources
from qgui.ui import guide, guide_window
from qgui.ui.guide_window import GuideWindow
from qgui.ui.theme import Theme

OTHERS = [name for name in LANGUAGES if name != SOURCE_LANGUAGE]
ENGLISH = {page.name: page for page in guide.pages(SOURCE_LANGUAGE)}
TRANSLATED = [
    pytest.param(ENGLISH[page.name], page, id=f"{name}-{page.name}")
    for name in OTHERS
    for page in guide.pages(name)
    if page.name in ENGLISH
]
CHINESE = [pytest.param(page, id=page.name) for page in guide.pages("zh_CN")]


def heading_levels(text: str) -> list[int]:
    return [len(marks) for marks in re.findall(r"^(#+) ", text, re.MULTILINE)]


def links(text: str) -> list[str]:
    return sorted(re.findall(r"\]\(([^)]+)\)|(?<![(\w])https?://\S+", text))


def shortcuts(text: str) -> list[str]:
    return re.findall(r"[(（]((?:Ctrl\+)?(?:Shift\+)?(?:F\d+|[A-Z]))[)）]", text)


def table_rows(text: str) -> list[int]:
    return [row.count("|") for row in re.findall(r"^\|.*$", text, re.MULTILINE)]


def list_items(text: str) -> list[str]:
    return re.findall(r"^(-|\d+\.) ", text, re.MULTILINE)


def commands(text: str) -> list[str]:
    return re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)


def filled(text: str) -> list[bool]:
    """Return for each heading whether text follows before the next one."""
    return [bool(section.strip()) for section in re.split(r"^#+ .*$", text, flags=re.MULTILINE)[1:]]


def shown(page: guide.Page) -> str:
    document = QTextDocument()
    document.setMarkdown(page.text, QTextDocument.MarkdownFeature.MarkdownDialectGitHub)
    return document.toPlainText()


@pytest.mark.parametrize("name", OTHERS)
def test_every_language_has_a_guide_of_its_own_with_the_same_pages(name: str) -> None:
    def files(language: str) -> list[str]:
        return sorted(path.name for path in (resources() / "guide" / language).glob("*.md"))

    assert files(name) == files(SOURCE_LANGUAGE)
    assert [page.name for page in guide.pages(name)] == list(ENGLISH)


@pytest.mark.parametrize(("english", "page"), TRANSLATED)
def test_a_translated_page_is_built_as_the_english_one(english: guide.Page, page: guide.Page) -> None:
    for part in (heading_levels, links, shortcuts, table_rows, list_items, commands):
        assert part(page.text) == part(english.text), part.__name__


@pytest.mark.parametrize(("english", "page"), TRANSLATED)
def test_no_page_or_paragraph_is_empty_or_left_in_english(english: guide.Page, page: guide.Page) -> None:
    assert page.text.startswith(f"# {page.title}\n")
    assert page.title != english.title
    assert filled(page.text) == filled(english.text)
    kept = {line for line in english.text.splitlines() if len(line.split()) > 3} & set(page.text.splitlines())
    assert {line for line in kept if not line.startswith(("    ", "| ---"))} == set()


@pytest.mark.parametrize(("english", "page"), TRANSLATED)
def test_code_is_not_translated(english: guide.Page, page: guide.Page) -> None:
    def code(text: str) -> set[str]:
        return set(re.findall(r"`([^`]+)`", text))

    assert code(english.text) <= code(page.text)


@pytest.mark.parametrize("page", CHINESE)
def test_chinese_text_shows_no_markup_and_no_spaces_of_broken_lines(qtbot: QtBot, page: guide.Page) -> None:
    text = shown(page)
    assert "**" not in text
    assert "`" not in text
    assert re.findall(r".{8}[\u3001-\u9fff，。：；] +[\u3001-\u9fff，。：；].{8}", text) == []
    assert re.findall(r"[\u4e00-\u9fff][,;:!?(]|[\u4e00-\u9fff][A-Za-z0-9]|[A-Za-z0-9][\u4e00-\u9fff]", text) == []


def test_the_chinese_guide_is_searched_by_chinese_words(
    qtbot: QtBot, theme: Theme, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guide_window, "language", lambda: "zh_CN")
    window = GuideWindow(theme)
    qtbot.addWidget(window)
    assert window.contents.count() == len(ENGLISH)
    window.search.setText("伪量化 蒸馏")
    assert [window.contents.item(row).text() for row in range(window.contents.count())] == ["量化感知训练"]
    assert window.text.textCursor().selectedText() == "伪量化"
    window.show_page("backends")
    assert "后端" in window.text.toPlainText()
