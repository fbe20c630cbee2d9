"""Walks the controls of a window and tells what a person with a keyboard or a screen reader would miss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from PySide6.QtCore import QObject, Qt
from PySide6.QtGui import QAction, QShortcut
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QDockWidget,
    QGraphicsView,
    QLineEdit,
    QMenu,
    QMenuBar,
    QPlainTextEdit,
    QProgressBar,
    QScrollArea,
    QScrollBar,
    QTabBar,
    QTabWidget,
    QTextEdit,
    QWidget,
)

CONTROLS = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QGraphicsView,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QTabWidget,
    QTextEdit,
)

#: These answer themselves for the widgets that Qt puts into them.
_OWN_BUSINESS = (
    QComboBox,
    QAbstractSpinBox,
    QAbstractItemView,
    QLineEdit,
    QTabBar,
    QMenuBar,
    QScrollBar,
    QGraphicsView,
)


def ancestors(widget: QWidget) -> Iterator[QWidget]:
    """Yield the widgets around a widget, from the inside."""
    parent = widget.parentWidget()
    while parent is not None:
        yield parent
        parent = parent.parentWidget()


def controls(root: QWidget) -> Iterator[QWidget]:
    """Yield what a person can act upon or has to be told of, shown now or not."""
    for widget in root.findChildren(QWidget):
        acts = isinstance(widget, CONTROLS) or bool(widget.focusPolicy() & Qt.FocusPolicy.TabFocus)
        if not acts or isinstance(widget, (QScrollBar, QMenu, QMenuBar, QTabBar, QDockWidget)):
            continue
        if widget.objectName().startswith("qt_") or any(
            isinstance(outer, _OWN_BUSINESS) for outer in ancestors(widget)
        ):
            continue
        if isinstance(widget, QAbstractButton) and isinstance(widget.parent(), QDockWidget):
            continue  # Qt's own buttons to close and to float
        if isinstance(widget, QAbstractButton) and not widget.text() and widget.icon().isNull():
            continue  # the button of a banner that has nothing to offer now
        if isinstance(widget, QScrollArea) and not widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
            continue
        yield widget


def lacking(root: QWidget) -> list[str]:
    """Return what controls lack: object name, accessible name, or a sentence (as tooltip or description)."""
    problems = []
    for widget in controls(root):
        missing = [
            what
            for what, text in (
                ("object name", widget.objectName()),
                ("accessible name", widget.accessibleName() or _text(widget)),
                ("sentence", _sentence(widget)),
            )
            if not text
        ]
        if missing:
            inside = next((outer.objectName() for outer in ancestors(widget) if outer.objectName()), "")
            name = widget.objectName() or getattr(widget, "text", str)()
            problems.append(f"{type(widget).__name__} {name!r} in {inside}: {', '.join(missing)}")
    return problems


def _text(widget: QWidget) -> str:
    """Return the text of a button, which is its name for a screen reader too."""
    return widget.text() if isinstance(widget, QAbstractButton) else ""


def _sentence(widget: QWidget) -> str:
    """Return what explains a control; a group of tabs is explained by its tabs, text and what scrolls by itself."""
    if isinstance(widget, QTabWidget):
        return " ".join(widget.tabToolTip(place) for place in range(widget.count()))
    if isinstance(widget, (QPlainTextEdit, QTextEdit, QScrollArea)):
        return widget.toolTip() or widget.accessibleDescription() or widget.accessibleName()
    return widget.toolTip() or widget.accessibleDescription()


def doubled_shortcuts(root: QObject) -> list[str]:
    """Return the keys that mean two things in one window."""
    keys = [
        sequence.toString()
        for action in {id(found): found for found in root.findChildren(QAction)}.values()
        for sequence in action.shortcuts()
        if action.shortcutContext() is not Qt.ShortcutContext.WidgetShortcut
    ]
    keys += [
        sequence.toString()
        for shortcut in root.findChildren(QShortcut)
        for sequence in QShortcut.keys(shortcut)
        if shortcut.context() in {Qt.ShortcutContext.WindowShortcut, Qt.ShortcutContext.ApplicationShortcut}
    ]
    return sorted(key for key, count in Counter(filter(None, keys)).items() if count > 1)


def doubled_mnemonics(menus: Iterable[QMenu | QMenuBar]) -> list[str]:
    """Return the underlined letters that mean two things in one menu."""
    problems = []
    for menu in menus:
        letters = Counter(
            text[place + 1].casefold()
            for action in menu.actions()
            if (place := (text := action.text().replace("&&", "")).find("&")) >= 0
        )
        title = menu.title() if isinstance(menu, QMenu) else "menu bar"
        problems += [f"{letter} in {title}" for letter, count in letters.items() if count > 1]
    return problems
