"""The built-in guide: its pages, and which page explains which control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtWidgets import QWidget

from qgui.core.resources import resources

#: Links of the guide into the program; there is one, to the advice for the open model.
OWN_SCHEME = "qgui"

#: Which page explains a widget, by the beginning of its object name; the widgets around it are asked in turn.
_EXPLAINED_BY = {
    "inspectorMode": "modes",
    "weight": "weights",
    "step": "weights",
    "activation": "observers",
    "reduceRange": "observers",
    "observer": "observers",
    "backend": "backends",
    "training": "training",
    "ranges": "plots",
    "overview": "plots",
    "graph": "graph",
    "compare": "plots",
    "export": "formats",
    "benchmark": "benchmarks",
    "advice": "modes",
    "layerPanel": "fusion",
    "inspector": "modes",
}


@dataclass(frozen=True)
class Page:
    """A page of the guide.

    Attributes:
        name: What it is called in code, for instance `observers`.
        title: Its heading.
        text: Markdown.
    """

    name: str
    title: str
    text: str


def pages(language: str = "en") -> list[Page]:
    """Return the pages in their order; in English where they are not translated.

    Args:
        language: As in `QLocale.name()`, for instance `zh_CN`.
    """
    folder = resources() / "guide" / language
    if not folder.is_dir():
        folder = resources() / "guide" / "en"
    return [_page(path) for path in sorted(folder.glob("*.md"), key=_place)]


def _place(path: Path) -> int:
    return int(path.stem.split("-", 1)[0])


def _page(path: Path) -> Page:
    text = path.read_text(encoding="utf-8")
    heading = text.split("\n", 1)[0]
    return Page(path.stem.split("-", 1)[1], heading.removeprefix("# "), text)


def page_about(widget: QWidget | None) -> str:
    """Return the name of the page that explains a widget; of the first page where none does."""
    while widget is not None:
        name = widget.objectName()
        for beginning, page in _EXPLAINED_BY.items():
            if name.startswith(beginning):
                return page
        widget = widget.parentWidget()
    return "first-steps"


def matching(found: Sequence[Page], words: str) -> list[Page]:
    """Return the pages that hold all words, in any case; all pages for no word."""
    wanted = words.casefold().split()
    return [page for page in found if all(word in page.text.casefold() for word in wanted)]
