"""Every action of the window, found by typing a part of its name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from PySide6.QtCore import QEvent, QObject, QPoint, Qt
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QDialog,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMainWindow,
    QMenu,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
)

from qgui.ui import formatting

_SHOWN = 12


@dataclass(frozen=True)
class Command:
    """An action with the menu it stands in.

    Attributes:
        path: Titles of menus and action, for instance `Run: Calibrate`.
        action: What is done.
    """

    path: str
    action: QAction


def commands_of(menus: Iterable[QMenu], above: str = "") -> list[Command]:
    """Return all actions of menus and of the menus inside, in their order."""
    found = []
    for menu in menus:
        title = f"{above}{plain(menu.title())}: "
        menu.aboutToShow.emit()
        for action in menu.actions():
            inner = action.menu()
            if isinstance(inner, QMenu):
                found.extend(commands_of([inner], title))
            elif not action.isSeparator() and action.text():
                found.append(Command(title + plain(action.text()), action))
    return found


def plain(text: str) -> str:
    """Return a text without the marks of mnemonics and dialogs."""
    return formatting.without_mnemonic(text).removesuffix("…")


def matching(commands: Iterable[Command], words: str) -> list[Command]:
    """Return the commands that hold all words, those first whose own name begins with the first word."""
    wanted = words.casefold().split()
    found = [command for command in commands if all(word in command.path.casefold() for word in wanted)]
    if wanted:
        found.sort(key=lambda command: not command.path.rsplit(": ", 1)[1].casefold().startswith(wanted[0]))
    return found


class CommandPalette(QDialog):
    """A line to type in and the actions that match; Enter does the first.

    Args:
        window: Whose menus are offered.
    """

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._commands: list[Command] = []
        self.setObjectName("commandPalette")
        self.setWindowTitle(self.tr("Find an action"))
        self.setWindowModality(Qt.WindowModality.WindowModal)
        self.words = QLineEdit(self)
        self.words.setObjectName("paletteWords")
        self.words.setAccessibleName(self.tr("Name of the action"))
        self.words.setPlaceholderText(self.tr("Type what you want to do"))
        self.words.setToolTip(self.tr("Part of the action's name; Enter does the chosen one."))
        self.words.installEventFilter(self)
        self.words.textChanged.connect(self._refresh)
        self.list = QTreeWidget(self)
        self.list.setObjectName("paletteList")
        self.list.setAccessibleName(self.tr("Matching actions"))
        self.list.setToolTip(self.tr("The actions whose names hold what you typed."))
        self.list.setColumnCount(2)
        self.list.setHeaderHidden(True)
        self.list.header().setStretchLastSection(False)
        self.list.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.list.header().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.list.setRootIsDecorated(False)
        self.list.setUniformRowHeights(True)
        self.list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.list.itemActivated.connect(lambda _: self._do())
        self.list.itemClicked.connect(lambda _: self._do())
        self.why = QLabel(self)
        self.why.setObjectName("paletteWhy")
        self.why.setProperty("faint", True)
        self.why.setWordWrap(True)
        self.list.currentItemChanged.connect(lambda _: self._tell())
        column = QVBoxLayout(self)
        for widget in (self.words, self.list, self.why):
            column.addWidget(widget)
        width = self.fontMetrics().averageCharWidth()
        self.resize(84 * width, (_SHOWN + 7) * self.fontMetrics().lineSpacing() * 5 // 4)

    def ask(self) -> None:
        """Show all actions as they are now, under the top of the window."""
        menus = [action.menu() for action in self._window.menuBar().actions()]
        self._commands = commands_of(menu for menu in menus if isinstance(menu, QMenu))
        self.words.clear()
        self._refresh()
        self.move(
            self._window.mapToGlobal(QPoint((self._window.width() - self.width()) // 2, self._window.height() // 8))
        )
        self.open()
        self.words.setFocus()

    def _refresh(self) -> None:
        self.list.clear()
        for command in matching(self._commands, self.words.text()):
            keys = command.action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
            ticked = "✓ " if command.action.isCheckable() and command.action.isChecked() else ""
            item = QTreeWidgetItem(self.list, [ticked + command.path, keys])
            item.setData(0, Qt.ItemDataRole.UserRole, command.action)
            item.setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            if not command.action.isEnabled():
                item.setForeground(0, self.palette().placeholderText())
        self._choose(0)
        self._tell()

    def _choose(self, row: int) -> None:
        item = self.list.topLevelItem(min(max(row, 0), self.list.topLevelItemCount() - 1))
        if item is not None:
            self.list.setCurrentItem(item)

    def _action(self) -> QAction | None:
        item = self.list.currentItem()
        return item.data(0, Qt.ItemDataRole.UserRole) if item is not None else None

    def _tell(self) -> None:
        action = self._action()
        if action is None:
            self.why.setText(self.tr("No action has such a name."))
        else:
            self.why.setText(action.toolTip() if action.toolTip() != plain(action.text()) else "")

    def _do(self) -> None:
        action = self._action()
        if action is not None and action.isEnabled():
            self.accept()
            action.trigger()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if isinstance(event, QKeyEvent) and event.type() is QEvent.Type.KeyPress:
            if event.key() in {Qt.Key.Key_Up, Qt.Key.Key_Down}:
                self._choose(self.list.currentIndex().row() + (1 if event.key() == Qt.Key.Key_Down else -1))
                return True
            if event.key() in {Qt.Key.Key_Return, Qt.Key.Key_Enter}:
                self._do()
                return True
        return super().eventFilter(watched, event)
